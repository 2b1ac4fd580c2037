//! The wire contract: what an engine and an agent say to each other, and how.
//!
//! [`NodeLink`] is what the engine sees; `client` speaks it as HTTP and JSON over any transport, `routes` names
//! the paths that the agent serves.

pub mod client;
pub mod routes;

use std::future::Future;
use std::pin::Pin;

use ideal_core::demand::Demands;
use ideal_core::id::VolumeId;
use ideal_core::observed::{Authority, HookSeen, Report};
use ideal_core::slice::{ForNode, MountOrder, Slice};
use serde::{Deserialize, Serialize};

/// A future of an agent's answer. Not `Send`, as the engine is one task.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Reply, LinkError>> + 'a>>;

/// The way to agents.
pub trait NodeLink: std::fmt::Debug {
    /// Says one thing to the agent at `address` (as its machine shows it: `unix:/run/…/agent.sock`).
    fn ask<'a>(&'a self, address: &'a str, order: &'a Order) -> Asking<'a>;
}

/// One thing said to an agent: for whom, by whose authority, and what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// An agent of another slot or generation refuses.
    pub node: ForNode,
    /// An agent that knows a higher epoch, or whose lease is held by another store and not over, refuses.
    pub authority: Authority,
    /// What.
    pub verb: Verb,
}

/// What is said to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Say how things are. Needs no authority and changes nothing.
    Report,
    /// Take note of who gives orders and of what is demanded.
    Note {
        /// What is demanded.
        demand: Demands,
    },
    /// Hold this slice and make it so. Answered when it is stored, not when it is so.
    Apply {
        /// What the node is to be.
        slice: Box<Slice>,
        /// Its hash, as the report will show it.
        hash: String,
    },
    /// Mount a volume that is attached.
    Mount(MountOrder),
    /// Stop what uses a volume and unmount it. Refused as busy when something else uses it.
    Unmount {
        /// Which.
        volume: VolumeId,
    },
    /// Run a hook of the slice in force, once for each key.
    RunHook {
        /// `launched`, `unmountable` or `haltable`.
        hook: String,
        /// The same key again is answered with the first answer.
        key: String,
    },
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How things are.
    Report(Box<Report>),
    /// Taken.
    Accepted,
    /// What the hook said.
    Hook(HookSeen),
}

/// Why an agent could not be told something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkError {
    /// Nothing happened; try again later.
    #[error("{why}")]
    Unreachable {
        /// In one line.
        why: String,
    },
    /// Nothing happened, for this reason.
    #[error("{why}")]
    Refused {
        /// In one line.
        why: String,
    },
    /// Somebody else gives the orders.
    #[error("{} holds the lease in epoch {}", holder.holder, holder.epoch)]
    Stale {
        /// Who.
        holder: Authority,
    },
    /// Nobody knows whether it happened.
    #[error("{why}, and it is not known whether it happened")]
    Unknown {
        /// In one line.
        why: String,
    },
}
