//! What an older file means, before it is written as an ideal: clusters of roles of nodes with mounts, all at EC2.

use ideal_core::id::Name;
use ideal_core::time::Bytes;

use super::{Old, Remark, is_id, name_of, untaken};
use crate::tree::{Entry, Node, Value};
use crate::yaml::shortened;

/// All of a file.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Which system it was of.
    pub(super) system: &'static str,
    pub(super) clusters: Vec<Cluster>,
    /// On the whole of it.
    pub(super) remarks: Vec<Remark>,
}

/// A cluster: a cloud that stands alone.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) name: Name,
    /// What nodes are unless they say otherwise.
    pub(super) usual: Kind,
    pub(super) roles: Vec<Role>,
    pub(super) remarks: Vec<Remark>,
}

/// What nodes of one role are.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: Name,
    pub(super) nodes: Vec<Machine>,
    pub(super) remarks: Vec<Remark>,
}

/// What a machine is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) zone: Option<String>,
    pub(super) image: Option<String>,
    /// The type of machines, as EC2 calls it.
    pub(super) size: Option<String>,
}

/// What the types of that time have, as EC2's pages said: cpus and memory. Most cannot be had any more.
pub(super) fn size_of(name: &str) -> Option<(u32, Bytes)> {
    let (cpus, mib) = match name {
        "t1.micro" => (1, 613),
        "m1.small" => (1, 1740),
        "m1.medium" => (1, 3840),
        "m1.large" => (2, 7680),
        "m1.xlarge" => (4, 15360),
        "c1.medium" => (2, 1740),
        "c1.xlarge" => (8, 7168),
        "m2.xlarge" => (2, 17510),
        "m2.2xlarge" => (4, 35020),
        "m2.4xlarge" => (8, 70041),
        _ => return None,
    };
    Some((cpus, Bytes(mib << 20)))
}

/// One node.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) kind: Kind,
    pub(super) mounts: Vec<Mount>,
    pub(super) remarks: Vec<Remark>,
}

/// One filesystem of a node.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) name: Name,
    pub(super) at: String,
    pub(super) size: Bytes,
    /// Both words of `from`.
    pub(super) from: Option<(&'static str, String)>,
    pub(super) remarks: Vec<Remark>,
}

impl Machine {
    /// Whether another is so much like this one that both can be nodes of one cloud.
    pub(super) fn is_like(&self, other: &Machine) -> bool {
        let mounts = |one: &Machine| -> Vec<_> {
            one.mounts.iter().map(|own| (own.name.clone(), own.at.clone(), own.size)).collect()
        };
        let is_own = |one: &Machine| one.mounts.iter().any(|mount| mount.from.is_some());
        self.kind == other.kind && mounts(self) == mounts(other) && !is_own(self) && !is_own(other)
    }
}

/// A size that an older file does not say. None is made smaller than it is, and one that must grow asks.
const UNKNOWN: Bytes = Bytes(1 << 30);

/// The mounts of a node, as both older systems write them.
pub(super) fn mounts(list: &Node, old: &Old<'_>, remarks: &mut Vec<Remark>) -> Vec<Mount> {
    let mut taken = Vec::new();
    let mut mounts = Vec::new();
    if !matches!(list.value, Value::List(_) | Value::Null) {
        remarks.push(old.remark(list.at, "this is no list of volumes; none is made of it"));
    }
    for item in list.items() {
        mounts.extend(mount(item, old, &mut taken, remarks));
    }
    mounts
}

/// The key of an entry without the colon that a symbol of Ruby begins with.
pub(super) fn key(entry: &Entry) -> &str {
    entry.key.strip_prefix(':').unwrap_or(&entry.key)
}

/// A value under one of the names that a key has had.
pub(super) fn find<'n>(node: &'n Node, names: &[&str]) -> Option<&'n Node> {
    node.entries().iter().find(|entry| names.contains(&key(entry))).map(|entry| &entry.value)
}

/// Says that a thing is named by two of its names, of which the first counts.
pub(super) fn twice(node: &Node, names: &[&str], old: &Old<'_>, remarks: &mut Vec<Remark>) {
    for entry in node.entries().iter().filter(|entry| names.contains(&key(entry))).skip(1) {
        let text = format!("`{}` is not carried over: it is said above already", shortened(key(entry)));
        remarks.push(old.remark(entry.key_at, text));
    }
}

fn mount(item: &Node, old: &Old<'_>, taken: &mut Vec<Name>, above: &mut Vec<Remark>) -> Option<Mount> {
    let mut remarks = Vec::new();
    let is_path = |text: &str| text.starts_with('/') && !text.contains("{{");
    let said = find(item, &["mount_point"]).filter(|node| !matches!(node.value, Value::Null));
    let Some(said) = said else {
        above.push(old.remark(item.at, "it has no `mount_point`; this volume is left out"));
        return None;
    };
    let at = old.word(said, "no absolute path; this volume is left out", is_path, above)?;
    let name = untaken(name_of(&at).or_else(|| Name::new("data").ok())?, taken);
    let (mut volume, mut snapshot, mut size) = (None, None, None);
    for names in [&["volume_id", "id"], &["from_snapshot_id", "snapshot_id"], &["size", "size_gb"]] {
        twice(item, names, old, &mut remarks);
    }
    for entry in item.entries() {
        match key(entry) {
            "mount_point" => {}
            "volume_id" | "id" => {
                let is = |text: &str| is_id("vol-", text);
                let id = old.word(&entry.value, "no id of a volume; nothing is taken over", is, &mut remarks);
                volume = volume.or(id);
            }
            "from_snapshot_id" | "snapshot_id" => {
                let is = |text: &str| is_id("snap-", text);
                let id = old.word(&entry.value, "no id of a snapshot; nothing is copied", is, &mut remarks);
                snapshot = snapshot.or(id);
            }
            "size" | "size_gb" => size = size.or_else(|| gib(entry, old, &mut remarks)),
            "device" => {
                let device = old.text(&entry.value).unwrap_or_default();
                let why = "devices are chosen by the provider, and found by the id of the volume";
                let text = format!("`device: {}` is not carried over: {why}", shortened(&device));
                remarks.push(old.remark(entry.key_at, text));
            }
            "availability_zone" | "zone" => {
                let zone = old.text(&entry.value).unwrap_or_default();
                let text = format!(
                    "`{}: {}` is not carried over: a volume is in the zone of its node; see `zones` of the provider",
                    shortened(key(entry)),
                    shortened(&zone)
                );
                remarks.push(old.remark(entry.key_at, text));
            }
            _ => remarks.push(unknown(entry, old)),
        }
    }
    if let (Some(_), Some(snapshot)) = (&volume, &snapshot) {
        let why = "is not carried over: the volume that was made of it is taken over";
        remarks.push(old.remark(item.at, format!("`{snapshot}` {why}")));
    }
    let from = volume.map(|id| ("volume", id)).or(snapshot.map(|id| ("snapshot", id)));
    let size = size.unwrap_or_else(|| {
        let why = match from {
            Some(_) => "the old file does not say its size; 1GiB stands in, write what EC2 says of it",
            None => "the old file does not say its size; 1GiB stands in, write what you want",
        };
        remarks.push(old.remark(item.at, why));
        UNKNOWN
    });
    Some(Mount { name, at, size, from, remarks })
}

/// EC2 counts in whole GiB.
fn gib(entry: &Entry, old: &Old<'_>, remarks: &mut Vec<Remark>) -> Option<Bytes> {
    let read = |text: &str| -> Option<Bytes> {
        let number: u64 = text.trim().parse().ok()?;
        Some(Bytes(number.checked_mul(1 << 30).filter(|bytes| *bytes > 0)?))
    };
    let what = "no whole number of GiB";
    let text = old.word(&entry.value, what, |text| read(text).is_some(), remarks)?;
    read(&text)
}

/// What is said of a key that an ideal file has no place for. Never its value, which may be a secret.
pub(super) fn unknown(entry: &Entry, old: &Old<'_>) -> Remark {
    let name = key(entry);
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let why = if has(&["secret", "access_key", "account", "password", "token", "credential"]) {
        "credentials do not belong into this file; they are found as by every program of AWS: AWS_ACCESS_KEY_ID, \
         AWS_PROFILE or ~/.aws"
    } else if has(&["key_pair", "keypair", "key_name", "private_key"]) {
        "the key pair of machines is `key` of the provider, with `public_key` where there is none yet"
    } else if has(&["security_group"]) {
        "security groups are `security_groups` of the provider, by id, or made for its `rules`"
    } else if has(&["user_data"]) {
        "what a machine is given at its first start is `user_data` of the provider"
    } else if has(&["ssh_options", "max_tries", "sleep_time"]) {
        "not needed: it waits as long as it must, and `--timeout` bounds a command"
    } else if has(&["deletes_on_termination", "delete_on_termination"]) {
        "data is kept unless a mount says `keep: delete`"
    } else {
        "an ideal file has no place for it"
    };
    old.remark(entry.key_at, format!("`{}` is not carried over: {why}", shortened(name)))
}
