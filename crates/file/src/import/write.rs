//! The outline of an older file, written as an ideal file. Remarks stand as comments above what they are about.

use std::fmt::Write;

use ideal_core::id::{CloudId, Name};

use super::outline::{Cluster, Kind, Machine, Mount, Outline, Role, size_of};
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
    let providers = std::mem::replace(&mut text.providers, Providers(Vec::new()));
    for provider in &providers.0 {
        if provider.zones.len() > 1 {
            let why = "nodes of a cloud are shared out over these zones by their number, the first node to the first zone";
            text.remarks(1, &[Remark { line: 0, text: why.to_owned() }]);
        }
        text.line(1, &format!("{}: {}", provider.name, provider.spec()));
    }
    text.providers = providers;
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

/// A provider of the new file. There is one for each region: the same account in the same region would be seen twice.
struct Provider {
    name: String,
    region: Option<String>,
    zones: Vec<String>,
    /// The type of all of its machines, where that says more than their size.
    only: Option<String>,
}

impl Provider {
    fn spec(&self) -> String {
        let mut keys: Vec<String> = self.region.iter().map(|region| format!("region: {region}")).collect();
        if !self.zones.is_empty() {
            keys.push(format!("zones: [{}]", self.zones.join(", ")));
        }
        keys.extend(self.only.as_ref().map(|only| format!("types: [{only}]")));
        format!("{{ec2: {{{}}}}}", keys.join(", "))
    }
}

/// A zone is called like its region, with a letter after it.
fn region(zone: &str) -> Option<&str> {
    let region = zone.trim_end_matches(|c: char| c.is_ascii_lowercase());
    region.ends_with(|c: char| c.is_ascii_digit()).then_some(region)
}

struct Providers(Vec<Provider>);

impl Providers {
    fn of(outline: &Outline) -> Providers {
        let mut all: Vec<Provider> = Vec::new();
        let nodes = |cluster: &'_ Cluster| -> Vec<Kind> {
            cluster.roles.iter().flat_map(|role| &role.nodes).map(|node| node.kind.clone()).collect()
        };
        let usual = outline.clusters.iter().map(|cluster| cluster.usual.clone());
        let kinds: Vec<Kind> = usual.chain(outline.clusters.iter().flat_map(nodes)).collect();
        for zone in kinds.iter().filter_map(|kind| kind.zone.as_deref()) {
            let region = region(zone).map(str::to_owned);
            let own = match all.iter().position(|own| own.region == region) {
                Some(at) => at,
                None => {
                    let name =
                        if all.is_empty() { "aws".to_owned() } else { format!("aws-{}", all.len() + 1) };
                    all.push(Provider { name, region, zones: Vec::new(), only: None });
                    all.len() - 1
                }
            };
            if let Some(own) = all.get_mut(own).filter(|own| !own.zones.iter().any(|known| known == zone)) {
                own.zones.push(zone.to_owned());
            }
        }
        if all.is_empty() {
            let name = "aws".to_owned();
            all.push(Provider { name, region: None, zones: Vec::new(), only: None });
        }
        let mut providers = Providers(all);
        let nodes: Vec<Kind> = outline.clusters.iter().flat_map(nodes).collect();
        for at in 0..providers.0.len() {
            let mut types = nodes.iter().filter(|kind| providers.at(kind) == at).map(|kind| &kind.size);
            let first = types.next().cloned().flatten().filter(|first| size_of(first).is_none());
            let only = first.filter(|first| types.all(|other| other.as_ref() == Some(first)));
            if let Some(own) = providers.0.get_mut(at) {
                own.only = only;
            }
        }
        providers
    }
    /// What says no zone is where the first is.
    fn at(&self, kind: &Kind) -> usize {
        let region = kind.zone.as_deref().and_then(region);
        self.0.iter().position(|own| kind.zone.is_some() && own.region.as_deref() == region).unwrap_or(0)
    }
    fn name(&self, kind: &Kind) -> &str {
        self.0.get(self.at(kind)).map_or("aws", |own| &own.name)
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
        self.size(2, &cluster.usual, &Kind::default());
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
            self.nodes(4, role.name.as_str(), role.nodes.first(), role.nodes.len(), usual);
            return;
        }
        self.line(3, &format!("{}:", role.name));
        self.identity(4);
        self.line(4, "# Nodes of one cloud are all alike, so each of these is a cloud of one.");
        self.line(4, "clouds:");
        for (index, node) in role.nodes.iter().enumerate() {
            self.remarks(5, &node.remarks);
            self.nodes(6, &of_index(&role.name, index), Some(node), 1, usual);
        }
    }

    /// What a cloud of nodes says of itself.
    fn nodes(&mut self, depth: usize, name: &str, node: Option<&Machine>, count: usize, usual: &Kind) {
        self.line(depth - 1, &format!("{name}:"));
        self.identity(depth);
        self.line(depth, &format!("nodes: {count}"));
        let Some(node) = node else { return };
        if self.providers.at(&node.kind) != self.providers.at(usual) {
            let provider = format!("provider: {}", self.providers.name(&node.kind));
            self.line(depth, &provider);
        }
        if let Some(image) = node.kind.image.as_ref().filter(|image| usual.image.as_ref() != Some(*image)) {
            self.line(depth, &format!("image: {image}"));
        }
        self.size(depth, &node.kind, usual);
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

    /// What a type of that time has, where it is not the usual one.
    fn size(&mut self, depth: usize, kind: &Kind, usual: &Kind) {
        if kind.size != usual.size
            && let Some((cpus, memory)) = kind.size.as_deref().and_then(size_of)
        {
            self.line(depth, &format!("size: {{cpus: {cpus}, memory: {memory}}}"));
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
