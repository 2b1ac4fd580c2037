//! A service: processes kept running across the nodes of a cloud. Replica `i` runs on node `i` modulo the
//! number of nodes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::CloudPath;
use crate::id::Name;
use crate::ideal::document::Argv;
use crate::time::Span;

/// What runs, where, and how it is kept well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// The cloud whose nodes carry the replicas.
    pub on: CloudPath,
    /// How many. Default: one for each node.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// The program and its arguments; runs in the node's root.
    pub command: Argv,
    /// Environment, added to a small clean one.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Ports by name: a number, or `auto` for a free one that is then kept.
    #[serde(default)]
    pub ports: BTreeMap<Name, Port>,
    /// How to tell that it is well.
    #[serde(default)]
    pub health: Option<Health>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
}

/// A port of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// This one.
    Fixed(u16),
    /// A free one, chosen on the node and kept.
    Auto,
}

impl Serialize for Port {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Port::Fixed(number) => to.serialize_u16(*number),
            Port::Auto => to.serialize_str("auto"),
        }
    }
}
impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Port, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = Port;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a port from 1 to 65535, or auto")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Port, E> {
                match u16::try_from(number) {
                    Ok(port) if port > 0 => Ok(Port::Fixed(port)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(number), &self)),
                }
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Port, E> {
                let number = u64::try_from(number)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))?;
                self.visit_u64(number)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Port, E> {
                match text {
                    "auto" => Ok(Port::Auto),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(Reader)
    }
}
impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A port from 1 to 65535, or auto.",
            "anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "enum": ["auto"]}],
        })
    }
}

/// How to tell that a replica is well. One of `command`, `http` and `tcp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// A program that exits with 0 when all is well.
    #[serde(default)]
    pub command: Option<Argv>,
    /// A URL on the node that answers with 2xx or 3xx.
    #[serde(default)]
    pub http: Option<String>,
    /// An address and port that accept a connection.
    #[serde(default)]
    pub tcp: Option<String>,
    /// How often. Default 10s.
    #[serde(default = "ten_seconds")]
    pub every: Span,
    /// How long one look may take. Default 5s.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
    /// How many failures in a row make it unhealthy. Default 3.
    #[serde(default = "three")]
    pub retries: u32,
    /// How long failures do not count after a start. Default 0s.
    #[serde(default)]
    pub start_period: Span,
}

fn ten_seconds() -> Span {
    Span::secs(10)
}
fn five_seconds() -> Span {
    Span::secs(5)
}
fn three() -> u32 {
    3
}

/// How a replica is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The signal that asks.
    #[serde(default)]
    pub signal: Signal,
    /// How long it may take before it is killed. Default 10s.
    #[serde(default = "ten_seconds")]
    pub grace: Span,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { signal: Signal::default(), grace: ten_seconds() }
    }
}

/// A signal that asks a process to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// The ordinary one.
    #[default]
    Term,
    /// As Ctrl-C.
    Int,
    /// For servers that take it as "finish what you do".
    Quit,
    /// Hang-up.
    Hup,
}
