//! What one node is to be: the part of the ideal that its agent holds and keeps right alone.
//!
//! Expressions in it are rendered on the node, from the same text, with [`Slice::context`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Life, Name, SlotId, VolumeId};
use crate::ideal::{Filesystem, Hooks, ServiceSpec};
use crate::recipe::{FileRef, Use};
use crate::resource::Declaration;
use crate::time::Bytes;

/// What one node is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Its slot.
    pub slot: SlotId,
    /// Its name for people: `shop.web[2]`.
    pub name: String,
    /// Whether it is to be quiet: services stopped, resources left as they are.
    pub quiet: bool,
    /// Recipes, in this order, each after those that it uses; all before the resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<Use>,
    /// What is kept right after them, in this order.
    pub resources: Vec<Declaration>,
    /// The replicas that this node carries.
    pub replicas: Vec<Replica>,
    /// The addresses at which replicas are reached, by service and number, for its list of names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<Name, BTreeMap<u32, String>>,
    /// Programs at the edges of states.
    pub hooks: Hooks,
    /// The programs of its plugins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<Name, FileRef>,
    /// The secrets that its texts name. Their values come with the order, not with the slice.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<Name>,
    /// Values for expressions, but those that only the node knows (`node.root`, `node.address`, `mount.*`,
    /// `port.*`): an object with `vars`, `cloud`, `node` and, where a text asks for them, `clouds`, `services`, `routes`.
    pub context: serde_json::Value,
}

/// The hash of a slice, of that of all else in it and that of the names that its node is told.
pub fn hash_with_names(rest: &str, names: &str) -> String {
    format!("{rest}+{names}")
}

/// Of the hash of a slice, that of all but names: they follow replicas elsewhere, and what was given up, fought over or
/// left for a person here is not meant otherwise because of them.
pub fn without_names(hash: &str) -> &str {
    hash.split_once('+').map_or(hash, |(rest, _)| rest)
}

/// One replica that a node carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// The service.
    pub service: Name,
    /// Which replica.
    pub index: u32,
    /// What it is.
    pub spec: ServiceSpec,
    /// How often a person wanted it started anew: another number is another version.
    #[serde(default)]
    pub again: u32,
}

impl Replica {
    /// `pub[0]`.
    pub fn address(&self) -> String {
        format!("{}[{}]", self.service, self.index)
    }
    /// What it runs as: see [`version`].
    pub fn version(&self) -> String {
        version(&self.spec, self.again)
    }
}

/// What replicas of a service run as: another text means that they are started anew.
pub fn version(spec: &ServiceSpec, again: u32) -> String {
    match again {
        0 => spec.version(),
        again => format!("{}+{again}", spec.version()),
    }
}

/// The order to mount a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOrder {
    /// The mount's name, for `{{ mount.NAME }}`.
    pub name: Name,
    /// Whose it is: `pub[0]`; none: the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// The volume that was attached.
    pub volume: VolumeId,
    /// In this life: an order of another life is refused.
    pub life: Life,
    /// Where, within the node's root.
    pub at: String,
    /// What is on it, or is made when it is blank.
    pub filesystem: Filesystem,
    /// Whether the volume is new and blank: only then may a filesystem be made.
    pub blank: bool,
    /// How large the volume is: a device that has less was cut, and is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// The uuid of the filesystem that was seen on it before: another is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl MountOrder {
    /// What its device is called on the node, where two replicas may have mounts of the same name.
    pub fn label(&self) -> Name {
        label(self.replica.as_deref(), &self.name)
    }
}

/// What the device of a mount is called on its node: `data` of the node itself, `pub-0-home` of a replica.
pub fn label(replica: Option<&str>, mount: &Name) -> Name {
    let Some(replica) = replica else { return mount.clone() };
    let text = format!("{}-{mount}", replica.replace('[', "-").replace(']', ""));
    // What is too long for a name is told apart by its hash.
    let short = || Name::new(&blake3::hash(text.as_bytes()).to_hex()[..32]);
    Name::new(&text).or_else(|_| short()).unwrap_or_else(|_| mount.clone())
}

/// Which node an order is meant for: refused by any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForNode {
    /// The slot.
    pub slot: SlotId,
    /// The machine of the slot.
    pub generation: Generation,
}
