//! Which nodes may carry the replicas of a service, and which are better than others.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::id::Name;

/// Which nodes may carry the replicas, and which are better than others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceSpec {
    /// Only nodes that carry all these tags.
    #[serde(default)]
    pub tags: Vec<Name>,
    /// Services beside which a replica is better placed.
    #[serde(default)]
    pub near: Vec<Name>,
    /// Services beside which no replica may be. Its own name: at most one on each node.
    #[serde(default)]
    pub apart: Vec<Name>,
    /// At most so many on one node.
    #[serde(default)]
    pub most_per_node: Option<u32>,
    /// Replicas by number, each with the node that it must be on: `{0: "shop.web[2]"}`.
    #[serde(default)]
    pub pin: BTreeMap<String, Address>,
}
