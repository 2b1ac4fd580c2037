//! How to tell that a replica is well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ideal::document::Argv;
use crate::time::Span;

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
