//! What is known of a node: `{{ facts.os.family }}`, `ideal facts`. The shape is published: `ideal schema facts`.
//!
//! Facts are of two sorts. What seldom changes can be used in texts, and a change of it renders them anew; what is
//! dated or counted (free memory, ages) is shown to people and is not in [`Facts::for_texts`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Time;

/// All that is known of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Facts {
    /// When this was gathered, in milliseconds since 1970.
    pub at: Time,
    /// Its name in the network.
    pub hostname: String,
    /// The operating system.
    pub os: Os,
    /// The kernel.
    pub kernel: Kernel,
    /// The processor's kind: `x86_64`, `aarch64`.
    pub architecture: String,
    /// How many processors it has.
    pub cpus: u32,
    /// Memory.
    pub memory: Memory,
    /// Disks, by name: `vda`.
    pub disks: BTreeMap<String, Disk>,
    /// Network addresses, without those of the machine itself, by interface.
    pub addresses: BTreeMap<String, Vec<String>>,
    /// Mounted filesystems that hold data, by place.
    pub mounts: BTreeMap<String, Mounted>,
    /// Installed packages and their versions.
    pub packages: BTreeMap<String, String>,
    /// Services that run, by name: of the system, and ours.
    pub services: BTreeMap<String, String>,
    /// Containers of a Docker engine on this node, by name, and how each is.
    pub containers: BTreeMap<String, String>,
    /// What the provider says of this machine.
    pub provider: BTreeMap<String, Value>,
    /// What your own programs say: each executable in the node's `/etc/ideal/facts.d` answers a JSON value.
    pub custom: BTreeMap<String, Value>,
    /// Data that is worth keeping: volumes, databases, and paths that you name, by name.
    pub assets: BTreeMap<String, Asset>,
    /// When the machine was started, in milliseconds since 1970.
    pub boot: Time,
}

/// The operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Os {
    /// As it names itself: `debian`.
    pub id: String,
    /// What it is like: `debian`, `rhel`, `alpine`.
    pub family: String,
    /// Its version: `12`.
    pub version: String,
    /// The name of that version: `bookworm`.
    pub codename: String,
    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// What starts services: `systemd`, `sysv` or `none`.
    pub init: String,
}

/// The kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Kernel {
    /// `Linux`.
    pub name: String,
    /// `6.1.0-18-amd64`.
    pub release: String,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What could be used now.
    pub available: u64,
    /// Swap.
    pub swap: u64,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Disk {
    /// Its size, in bytes.
    pub size: u64,
    /// Whether it turns.
    pub rotates: bool,
}

/// A mounted filesystem. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mounted {
    /// What is mounted: `/dev/vda1`.
    pub device: String,
    /// `ext4`.
    pub filesystem: String,
    /// Its size.
    pub size: u64,
    /// What can still be written.
    pub free: u64,
}

/// Data that is worth keeping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Asset {
    /// `volume`, `path` or `database`.
    pub kind: String,
    /// Where it is.
    pub path: String,
    /// How large, in bytes.
    pub size: u64,
    /// Whose it is.
    pub owner: String,
    /// When it was last changed, in milliseconds since 1970.
    pub changed: Time,
    /// BLAKE3 over all of its files, in hex; only when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl Facts {
    /// The names by which texts can ask for facts.
    pub const NAMES: &'static [&'static str] = &[
        "hostname",
        "os",
        "kernel",
        "architecture",
        "cpus",
        "memory",
        "disks",
        "addresses",
        "mounts",
        "packages",
        "services",
        "containers",
        "provider",
        "custom",
        "assets",
        "boot",
    ];

    /// What texts are rendered with: all but what differs at each look, so that a text is rendered anew only when
    /// something changed that it could mean.
    pub fn for_texts(&self) -> Value {
        let mut facts = Facts { at: Time(0), ..self.clone() };
        facts.memory.available = 0;
        facts.mounts.values_mut().for_each(|mounted| mounted.free = 0);
        facts.assets.values_mut().for_each(|asset| (asset.size, asset.changed) = (0, Time(0)));
        serde_json::to_value(facts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_fields() {
        let all = serde_json::to_value(Facts::default()).unwrap();
        let mut fields: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        fields.retain(|name| *name != "at");
        let mut names = Facts::NAMES.to_vec();
        names.sort_unstable();
        fields.sort_unstable();
        assert_eq!(names, fields);
    }
}
