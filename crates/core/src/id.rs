//! One type per identifier, so that a volume's id can never stand where a machine's is wanted.
//!
//! Nothing here makes an id: uuids of clouds come from the file, ids of machines, volumes and snapshots from
//! their provider, tokens are derived (see [`Token`]).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The uuid of a cloud: set once in the file, never changed, written on everything that belongs to the cloud.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CloudId(pub Uuid);

impl JsonSchema for CloudId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CloudId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "uuid",
            "description": "A uuid that is set once and never changed; `ideal check --fix` writes missing ones.",
        })
    }
}

impl fmt::Display for CloudId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for CloudId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl FromStr for CloudId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<CloudId, uuid::Error> {
        Uuid::parse_str(text).map(CloudId)
    }
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as its maker gave it.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_id! {
    /// What the provider calls a machine.
    MachineId;
    /// What the provider calls a volume.
    VolumeId;
    /// What the provider calls a snapshot.
    SnapshotId;
    /// Makes a creation idempotent: derived from cloud, slot and generation, never random, so that the same
    /// wish asked twice (after a crash, a timeout, from a second engine) makes one thing.
    Token;
}

/// A name that people give: lower-case letters, digits and dashes, 1 to 63 of them, not starting with a dash.
///
/// The same rule for clouds, mounts, services, providers and ports: such a name is safe in a path, a label, a
/// host name and an argument.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 63 lower-case letters, digits and dashes, and does not start with a dash")]
pub struct NotAName;

impl Name {
    /// Checks and keeps a name.
    pub fn new(text: &str) -> Result<Name, NotAName> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=63).contains(&text.len()) && text.chars().all(good) && !text.starts_with('-');
        if fits { Ok(Name(text.into())) } else { Err(NotAName) }
    }
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Name {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Name, NotAName> {
        Name::new(text)
    }
}
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        Name::new(&text).map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"})
    }
}

/// One slot of a cloud: identity is the cloud's uuid and the index, never a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SlotId {
    /// The cloud it belongs to.
    pub cloud: CloudId,
    /// Counted from zero; the highest leaves first.
    pub index: u32,
}

/// A filesystem of a slot, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct MountId {
    /// The slot it belongs to.
    pub slot: SlotId,
    /// Its name in the file.
    pub name: Name,
}

/// Rises each time a slot gets a new machine, or a mount a new volume. Zero: never had one.
pub type Generation = u32;

/// Rises each time a mount's volume is attached anew: which life a byte was written in decides what is newest,
/// clocks do not. Zero: never attached.
pub type Life = u32;

/// Rises each time another engine takes a cluster over. Orders of a lower epoch are refused.
pub type Epoch = u64;
