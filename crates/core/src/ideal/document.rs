//! The ideal file as people write it. Doc comments here are the reference: they become the JSON Schema that
//! `ideal schema file` prints and that the shape check walks.
//!
//! No `flatten`, `untagged` or internally tagged types: they lose positions and ruin messages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::CloudPath;
use crate::id::{CloudId, Name};
use crate::ideal::{Nodes, ProviderSpec, ServiceSpec};
use crate::policy::Policy;
use crate::recipe::UseSpec;
use crate::resource::Declaration;
use crate::secret::SecretSource;
use crate::time::{Bytes, Span};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this format: 1.
    pub ideal: u32,
    /// Other files of this project, merged into this one. Paths are relative to the file that names them.
    #[serde(default)]
    pub include: Vec<String>,
    /// Values for expressions: `{{ vars.release }}`.
    #[serde(default)]
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Secrets by name, and where each comes from: `{{ secret.NAME }}` in texts that apply on a node.
    #[serde(default)]
    pub secrets: BTreeMap<Name, SecretSource>,
    /// Limits on what may be done without asking.
    #[serde(default)]
    pub policy: Policy,
    /// Where machines come from, by a name of your choice.
    #[serde(default)]
    pub providers: BTreeMap<Name, ProviderSpec>,
    /// What is wanted: clouds of nodes, nested as you like.
    #[serde(default)]
    pub clouds: BTreeMap<Name, CloudSpec>,
    /// What runs across the nodes of a cloud.
    #[serde(default)]
    pub services: BTreeMap<Name, ServiceSpec>,
}

/// A named group of like nodes; it may hold other clouds. Provider, image, size, tags, recipes, resources,
/// hooks and `protect` are inherited, root first; nodes and mounts are the cloud's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudSpec {
    /// Set once, never changed; the name may change. `ideal check --fix` writes a missing one.
    pub uuid: CloudId,
    /// The name of a provider.
    #[serde(default)]
    pub provider: Option<Name>,
    /// How many nodes; all alike. `2..10`: as many of these as its replicas need. Default 0.
    #[serde(default)]
    pub nodes: Option<Nodes>,
    /// The image of the machines, in the provider's words.
    #[serde(default)]
    pub image: Option<String>,
    /// The size of the machines.
    #[serde(default)]
    pub size: Option<MachineSize>,
    /// Labels for selecting.
    #[serde(default)]
    pub tags: Vec<Name>,
    /// Refuses destruction of what runs here.
    #[serde(default)]
    pub protect: Option<bool>,
    /// Filesystems of every node, by name.
    #[serde(default)]
    pub mounts: BTreeMap<Name, MountSpec>,
    /// Programs that may refuse a state or must succeed in it.
    #[serde(default)]
    pub hooks: Hooks,
    /// Recipes for every node of this cloud and of the clouds in it: names, or names with options.
    #[serde(default)]
    pub recipes: Vec<UseSpec>,
    /// What is kept right on every node of this cloud and of the clouds in it, after its recipes.
    #[serde(default)]
    pub resources: Vec<Declaration>,
    /// Clouds in this one.
    #[serde(default)]
    pub clouds: BTreeMap<Name, CloudSpec>,
}

/// How large a machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineSize {
    /// Processors.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Memory.
    #[serde(default)]
    pub memory: Option<Bytes>,
}

/// A filesystem: a volume when running, a snapshot when away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountSpec {
    /// How large the volume is.
    pub size: Bytes,
    /// Where it is mounted: an absolute path.
    pub at: String,
    /// What is on it.
    #[serde(default)]
    pub filesystem: Filesystem,
    /// What stays when the mount is put away.
    #[serde(default)]
    pub keep: Keep,
    /// What the first volume is made of, instead of a blank one.
    #[serde(default)]
    pub from: Option<From>,
    /// The name this mount had before.
    #[serde(default)]
    pub was: Option<Name>,
    /// Snapshots of the mount while it is in use.
    #[serde(default)]
    pub backup: Option<Backup>,
    /// What is done when its data is lost.
    #[serde(default)]
    pub lost: Lost,
}

/// Snapshots of a mount while it is in use: for going back, never used unasked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// How old the newest snapshot may become before another is taken.
    pub every: Span,
    /// How many are kept; older ones are deleted. Seals do not count. Default 7.
    #[serde(default = "seven")]
    pub keep: u32,
    /// Runs on the node before the filesystem is held still: flush, or stop what writes. When it fails, no snapshot
    /// is taken.
    #[serde(default)]
    pub before: Option<Hook>,
    /// Runs on the node afterwards, whatever came of it.
    #[serde(default)]
    pub after: Option<Hook>,
}

fn seven() -> u32 {
    7
}

/// What is on a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// The ordinary choice.
    #[default]
    Ext4,
    /// For large files.
    Xfs,
}

/// What stays of a mount that is put away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// A snapshot that provably holds the last write.
    #[default]
    Snapshot,
    /// Nothing: the volume is deleted a day after it was put away.
    Delete,
}

/// What is done when neither the volume of a mount nor the seal of its last life is there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// A person is asked.
    #[default]
    Ask,
    /// The newest whole snapshot is restored, seal or backup; what was written since stays lost. Without one a person
    /// is asked.
    Newest,
}

/// What the first volume of a mount is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum From {
    /// This volume itself, by the provider's id: it becomes the mount's own.
    Volume(String),
    /// A copy of this snapshot, by the provider's id.
    Snapshot(String),
}

/// Programs run on a node at the edge of a state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Must succeed before a node counts as launched.
    #[serde(default)]
    pub launched: Option<Hook>,
    /// May refuse the unmounting; its output is the reason.
    #[serde(default)]
    pub unmountable: Option<Hook>,
    /// May refuse the stopping of a node; its output is the reason.
    #[serde(default)]
    pub haltable: Option<Hook>,
}

/// One program with a time limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The program and its arguments.
    pub run: Argv,
    /// How long it may take. Default 30s.
    #[serde(default)]
    pub timeout: Option<Span>,
}

/// A program and its arguments: a list, or a text that is the program alone. Never a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Argv(pub Vec<String>);

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Argv, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Argv;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a program, or a list of a program and its arguments")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Argv, E> {
                Ok(Argv(vec![text.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Argv, A::Error> {
                let mut argv = Vec::new();
                while let Some(item) = items.next_element::<String>()? {
                    argv.push(item);
                }
                if argv.is_empty() {
                    return Err(serde::de::Error::invalid_length(0, &self));
                }
                Ok(Argv(argv))
            }
        }
        from.deserialize_any(Reader)
    }
}
impl JsonSchema for Argv {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Argv".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A program, or a list of a program and its arguments. Never a shell.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ],
        })
    }
}

/// Where a service runs.
pub type On = CloudPath;
