//! The YAML of wucluster: clusters by name, in each the instances by role, in each of these its volumes. Its own page and
//! its code did not agree on some keys; both are understood, as names and as symbols of Ruby.

use ideal_core::id::Name;

use super::outline::{Cluster, Kind, Machine, Outline, Role, find, key, mounts, size_of, twice, unknown};
use super::{Old, Remark, Wrong, is_id, name_of, untaken};
use crate::tree::{Entry, Node, Value};
use crate::yaml::shortened;

const ZONE: [&str; 2] = ["availability_zone", "zone"];
const IMAGE: [&str; 2] = ["image_id", "image"];
const TYPE: [&str; 2] = ["instance_type", "type"];
const NODES: [&str; 2] = ["instances", "nodes"];
const VOLUMES: [&str; 2] = ["volumes", "mounts"];

/// What the file means.
pub(super) fn read(root: &Node, old: &Old<'_>) -> Result<Outline, Wrong> {
    let Some(list) = find(root, &["clusters"]).filter(|list| !list.entries().is_empty()) else {
        let why = "there is no cluster: a file of wucluster names them under `clusters`".to_owned();
        let help =
            "is it another file, such as the storage file of Cloudera's scripts? Then: ideal import cloudera";
        return Err(Wrong { at: root.at, why, help: help.to_owned() });
    };
    let mut outline = Outline { system: "wucluster", ..Outline::default() };
    let others = root.entries().iter().filter(|entry| key(entry) != "clusters");
    outline.remarks = others.map(|entry| unknown(entry, old)).collect();
    let mut taken = Vec::new();
    for entry in list.entries() {
        match name_of(key(entry)) {
            Some(name) => outline.clusters.push(cluster(untaken(name, &mut taken), entry, old)),
            None => outline.remarks.push(unnamed(entry, old)),
        }
    }
    if outline.clusters.is_empty() {
        let why = "none of these clusters has a name of letters or digits".to_owned();
        return Err(Wrong { at: list.at, why, help: "give it one in this file first".to_owned() });
    }
    Ok(outline)
}

fn unnamed(entry: &Entry, old: &Old<'_>) -> Remark {
    old.remark(entry.key_at, format!("`{}` cannot be a name; it is left out", shortened(&entry.key)))
}

/// Said where a name had to become another.
fn renamed(entry: &Entry, name: &str, old: &Old<'_>) -> Option<Remark> {
    let other = key(entry) != name;
    other.then(|| old.remark(entry.key_at, format!("`{}` is called `{name}` now", shortened(key(entry)))))
}

fn cluster(name: Name, entry: &Entry, old: &Old<'_>) -> Cluster {
    let mut remarks: Vec<Remark> = renamed(entry, name.as_str(), old).into_iter().collect();
    shaped(&entry.value, "cluster", old, &mut remarks);
    let usual = kind(&entry.value, &Kind::default(), old, &mut remarks);
    let mut roles = Vec::new();
    let mut taken = Vec::new();
    for own in entry.value.entries() {
        if !NODES.contains(&key(own)) {
            remarks.extend((!is_kind(own)).then(|| unknown(own, old)));
            continue;
        }
        shaped(&own.value, "list of instances by role", old, &mut remarks);
        for role in own.value.entries() {
            match name_of(key(role)) {
                Some(name) => roles.push(self::role(untaken(name, &mut taken), role, &usual, old)),
                None => remarks.push(unnamed(role, old)),
            }
        }
    }
    Cluster { name, usual, roles, remarks }
}

fn role(name: Name, entry: &Entry, usual: &Kind, old: &Old<'_>) -> Role {
    let mut remarks: Vec<Remark> = renamed(entry, name.as_str(), old).into_iter().collect();
    if !matches!(entry.value.value, Value::List(_) | Value::Null) {
        remarks.push(old.remark(entry.value.at, "this is no list of instances; none is made of it"));
    }
    let nodes = entry.value.items().iter().map(|item| machine(item, usual, old)).collect();
    Role { name, nodes, remarks }
}

fn machine(item: &Node, usual: &Kind, old: &Old<'_>) -> Machine {
    let mut remarks = Vec::new();
    shaped(item, "instance", old, &mut remarks);
    twice(item, &VOLUMES, old, &mut remarks);
    let kind = kind(item, usual, old, &mut remarks);
    let own = find(item, &VOLUMES).map(|list| mounts(list, old, &mut remarks)).unwrap_or_default();
    for entry in item.entries().iter().filter(|entry| !VOLUMES.contains(&key(entry))) {
        if !is_kind(entry) {
            remarks.push(unknown(entry, old));
        }
    }
    Machine { kind, mounts: own, remarks }
}

/// Says where something else stands than what is looked for.
fn shaped(node: &Node, what: &str, old: &Old<'_>, remarks: &mut Vec<Remark>) {
    if !matches!(node.value, Value::Map(_) | Value::Null) {
        remarks.push(old.remark(node.at, format!("this is no {what}; nothing is taken from it")));
    }
}

fn is_kind(entry: &Entry) -> bool {
    [ZONE, IMAGE, TYPE].iter().any(|names| names.contains(&key(entry)))
}

/// What a machine is made of: what is said here, else the usual.
fn kind(node: &Node, usual: &Kind, old: &Old<'_>, remarks: &mut Vec<Remark>) -> Kind {
    for names in [ZONE, IMAGE, TYPE] {
        twice(node, &names, old, remarks);
    }
    let plain = |text: &str| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(good)
    };
    let is_image = |text: &str| is_id("ami-", text);
    let mut word = |names: &[&str], what: &str, good: &dyn Fn(&str) -> bool, usual: &Option<String>| {
        let said = find(node, names).and_then(|node| old.word(node, what, good, remarks));
        said.or_else(|| usual.clone())
    };
    let zone = word(&ZONE, "no zone of EC2; the first of the region is taken", &plain, &usual.zone);
    let image = word(&IMAGE, "no id of an image; write `image`", &is_image, &usual.image);
    let size = word(&TYPE, "no type of machines; one is taken by `size`", &plain, &usual.size);
    if let (Some(node), Some(name)) = (find(node, &TYPE), &size) {
        let text = match size_of(name) {
            Some(_) => format!("for `{name}`, the smallest type of today is taken that has as much: `size`"),
            None => format!(
                "`{name}` is carried over where all machines of its region are of it, as `types` of the provider; \
                 else write the `size` of the cloud"
            ),
        };
        remarks.push(old.remark(node.at, text));
    }
    Kind { zone, image, size }
}
