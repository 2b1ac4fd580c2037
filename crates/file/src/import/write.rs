//! The outline of an older file, written as an ideal file. Remarks stand as comments above what they are about.

use std::fmt::Write;

use ideal_core::id::{CloudId, Name};

use super::outline::{Cluster, Kind, Machine, Mount, Outline, Role};
use super::{Imported, Remark};

/// Comments are folded to this width.
const WIDTH: usize = 110;

/// The text, and all remarks.
pub(super) fn write(outline: &Outline, mint: impl FnMut() -> CloudId) -> Imported {
    let mut text = Text { out: String::new(), remarks: Vec::new(), mint, providers: Providers::of(outline) };
    let system = outline.system;
    text.line(0, &format!("# Made by `ideal import {system}`. Read it, then: ideal check, ideal plan."));
    if outline.clusters.iter().flat_map(mounts).any(|mount| mount.from.is_some()) {
        text.line(0, "# Volumes and snapshots that it names must hold an ext4, or say `filesystem: xfs`. A volume that is");
        text.line(0, "# taken over gets our tags, and its data stays as it is.");
    }
    text.remarks(0, &outline.remarks);
    text.line(0, "ideal: 1\n");
    text.line(0, "providers:");
    for (name, kind) in text.providers.0.clone() {
        text.line(1, &format!("{name}: {}", provider(&kind)));
    }
    text.line(0, "\nclouds:");
    for cluster in &outline.clusters {
        text.cluster(cluster);
    }
    text.remarks.sort();
    Imported { text: text.out, remarks: text.remarks }
}

fn mounts(cluster: &Cluster) -> impl Iterator<Item = &Mount> {
    cluster.roles.iter().flat_map(|role| &role.nodes).flat_map(|node| &node.mounts)
}

/// What is said of the machines of a kind where they are made.
fn provider(kind: &Kind) -> String {
    let mut keys = Vec::new();
    if let Some(zone) = &kind.zone {
        // A zone is called like its region, with a letter after it.
        let region = zone.trim_end_matches(|c: char| c.is_ascii_lowercase());
        if region.ends_with(|c: char| c.is_ascii_digit()) {
            keys.push(format!("region: {region}"));
        }
        keys.push(format!("zones: [{zone}]"));
    }
    keys.extend(kind.size.as_ref().map(|size| format!("types: [{size}]")));
    format!("{{ec2: {{{}}}}}", keys.join(", "))
}

/// A provider for each zone and type that there is: images are said by clouds.
struct Providers(Vec<(String, Kind)>);

impl Providers {
    fn of(outline: &Outline) -> Providers {
        let mut all: Vec<(String, Kind)> = Vec::new();
        for cluster in &outline.clusters {
            let nodes = cluster.roles.iter().flat_map(|role| &role.nodes).map(|node| &node.kind);
            for kind in std::iter::once(&cluster.usual).chain(nodes) {
                let kind = Kind { image: None, ..kind.clone() };
                if !all.iter().any(|(_, own)| *own == kind) {
                    let name = match all.len() {
                        0 => "aws".to_owned(),
                        others => format!("aws-{}", others + 1),
                    };
                    all.push((name, kind));
                }
            }
        }
        Providers(all)
    }
    fn name(&self, kind: &Kind) -> &str {
        let same = |own: &Kind| (&own.zone, &own.size) == (&kind.zone, &kind.size);
        self.0.iter().find(|(_, own)| same(own)).map_or("aws", |(name, _)| name)
    }
}

struct Text<M> {
    out: String,
    remarks: Vec<Remark>,
    mint: M,
    providers: Providers,
}

impl<M: FnMut() -> CloudId> Text<M> {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing into a `String` cannot fail.
        _ = writeln!(self.out, "{:width$}{text}", "", width = depth * 2);
    }

    fn remarks(&mut self, depth: usize, remarks: &[Remark]) {
        for remark in remarks {
            let said = match remark.line {
                0 => remark.text.clone(),
                line => format!("line {line}: {}", remark.text),
            };
            let mut line = String::from("#");
            for word in said.split(' ') {
                if line.len() > 1 && depth * 2 + line.chars().count() + word.chars().count() >= WIDTH {
                    self.line(depth, &line);
                    line = String::from("#  ");
                }
                line.push(' ');
                line.push_str(word);
            }
            self.line(depth, &line);
            self.remarks.push(remark.clone());
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        self.remarks(1, &cluster.remarks);
        self.line(1, &format!("{}:", cluster.name));
        self.identity(2);
        let provider = format!("provider: {}", self.providers.name(&cluster.usual));
        self.line(2, &provider);
        match &cluster.usual.image {
            Some(image) => self.line(2, &format!("image: {image}")),
            None => self.line(2, "# image: the provider's own is taken where none is said"),
        }
        if cluster.roles.is_empty() {
            return;
        }
        self.line(2, "clouds:");
        for role in &cluster.roles {
            self.role(role, &cluster.usual);
        }
    }

    fn role(&mut self, role: &Role, usual: &Kind) {
        self.line(0, "");
        self.remarks(3, &role.remarks);
        let alike =
            role.nodes.split_first().map(|(first, others)| others.iter().all(|own| own.is_like(first)));
        if alike.unwrap_or(true) {
            // One cloud of as many; what is said of each is said of all.
            let mut remarks: Vec<Remark> = role.nodes.iter().flat_map(|node| node.remarks.clone()).collect();
            let others = role.nodes.iter().skip(1).flat_map(|node| &node.mounts);
            remarks.extend(others.flat_map(|mount| mount.remarks.clone()));
            self.remarks(3, &remarks);
            self.line(3, &format!("{}:", role.name));
            self.nodes(4, role.nodes.first(), role.nodes.len(), usual);
            return;
        }
        self.line(3, &format!("{}:", role.name));
        self.identity(4);
        self.line(4, "# Nodes of one cloud are all alike, so each of these is a cloud of one.");
        self.line(4, "clouds:");
        for (index, node) in role.nodes.iter().enumerate() {
            self.remarks(5, &node.remarks);
            self.line(5, &format!("{}:", of_index(&role.name, index)));
            self.nodes(6, Some(node), 1, usual);
        }
    }

    /// What a cloud of nodes says of itself.
    fn nodes(&mut self, depth: usize, node: Option<&Machine>, count: usize, usual: &Kind) {
        self.identity(depth);
        self.line(depth, &format!("nodes: {count}"));
        let Some(node) = node else { return };
        if (&node.kind.zone, &node.kind.size) != (&usual.zone, &usual.size) {
            let provider = format!("provider: {}", self.providers.name(&node.kind));
            self.line(depth, &provider);
        }
        if let Some(image) = node.kind.image.as_ref().filter(|image| usual.image.as_ref() != Some(*image)) {
            self.line(depth, &format!("image: {image}"));
        }
        if node.mounts.is_empty() {
            return;
        }
        self.line(depth, "mounts:");
        for mount in &node.mounts {
            self.remarks(depth + 1, &mount.remarks);
            let from = mount.from.as_ref().map(|(what, id)| format!(", from: {{{what}: {id}}}"));
            let from = from.unwrap_or_default();
            let line = format!("{}: {{size: {}, at: {}{from}}}", mount.name, mount.size, path(&mount.at));
            self.line(depth + 1, &line);
        }
    }

    fn identity(&mut self, depth: usize) {
        let uuid = (self.mint)();
        self.line(depth, &format!("uuid: {uuid}"));
    }
}

/// What a node that is a cloud of its own is called: `worker-0`.
fn of_index(role: &Name, index: usize) -> String {
    let end = format!("-{index}");
    let begins = role.as_str().get(..63 - end.len()).unwrap_or(role.as_str());
    format!("{begins}{end}")
}

/// A path as YAML reads it back.
fn path(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}
