//! Limits: how much may be done without asking, how long to wait, how often to try. A constant that is a
//! policy carries its argument.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Limits on what may be done without asking, and on patience.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What becomes of nodes and mounts that the file no longer wants. Default ask.
    pub surplus: Leftover,
    /// What becomes of the parts of clouds that left the file. Default ask.
    pub orphans: Leftover,
    /// How many of a hundred machines may be ended in one plan without asking (at least one may). Default 20.
    pub blast_percent: u32,
    /// How long a machine, volume or snapshot may take to become what was asked for. Default 10m.
    pub patience: Span,
    /// How long an unmount may stay busy, or an agent silent, before a person is asked. Default 2m.
    pub node_patience: Span,
    /// How often one step is tried before a person is asked. Default 8.
    pub attempts: u32,
    /// How many calls may be under way at once. Default 32.
    pub concurrency: u32,
    /// How long an agent may be silent before replicas without mounts are placed elsewhere. Default 5s.
    pub silent: Span,
    /// How long an agent may be silent before its machine is ended, so that what is on its volumes can go on
    /// elsewhere. Default: never without a person's word (`ideal nodes confirm-dead`).
    pub fence_after: Option<Span>,
    /// How many seals of each mount `ideal snapshots prune` leaves; the last one always stays. Default 3.
    pub seals: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            surplus: Leftover::Ask,
            orphans: Leftover::Ask,
            blast_percent: 20,
            patience: Span::mins(10),
            node_patience: Span::mins(2),
            attempts: 8,
            concurrency: 32,
            silent: Span::secs(5),
            fence_after: None,
            seals: 3,
        }
    }
}

/// What becomes of things that are no longer wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Leftover {
    /// They are put away, data sealed, after a person said yes.
    #[default]
    Ask,
    /// They are reported and left alone.
    Ignore,
    /// They are put away, data sealed.
    Away,
    /// They are ended; volumes are deleted a day later, unsealed.
    Prune,
}
