//! The wire contract: what an engine and an agent say to each other, and how.
//!
//! [`NodeLink`] is what the engine sees; `client` speaks it as HTTP and JSON over any transport, `routes` names
//! the paths that the agent serves.

mod bytes;
pub mod client;
pub mod exec;
pub mod routes;

pub use bytes::Bytes;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use ideal_core::demand::Demands;
use ideal_core::id::{Name, VolumeId};
use ideal_core::ideal::Hook;
use ideal_core::observed::{Authority, HookSeen, Report};
use ideal_core::recipe::{FileRef, Use};
use ideal_core::resource::{Pause, Row};
use ideal_core::secret::Secrets;
use ideal_core::slice::{ForNode, MountOrder, Slice};
use ideal_core::time::Span;
use serde::{Deserialize, Serialize};

/// A future of an agent's answer. Not `Send`, as the engine is one task.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Reply, LinkError>> + 'a>>;

/// The way to agents.
pub trait NodeLink: std::fmt::Debug {
    /// Says one thing to the agent at `address` (as its machine shows it: `unix:/run/…/agent.sock`).
    fn ask<'a>(&'a self, address: &'a str, order: &'a Order) -> Asking<'a>;
    /// Something was done there: that it did not answer before says nothing any more.
    fn forget(&self, address: &str) {
        let _ = address;
    }
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
        /// The secrets that it names. Kept in memory only.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        secrets: Secrets,
    },
    /// Mount a volume that is attached.
    Mount(MountOrder),
    /// Stop what uses a volume and unmount it. Refused as busy when something else uses it.
    Unmount {
        /// Which.
        volume: VolumeId,
    },
    /// Run `before`, then hold the filesystem of a mounted volume still, until it is thawed or this long has passed.
    /// A volume that is a folder is not held.
    Freeze {
        /// Which.
        volume: VolumeId,
        /// For how long at most.
        at_most: Span,
        /// Runs first; when it fails nothing is held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Hook>,
        /// Runs once it is thawed, whoever thaws it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Hook>,
    },
    /// Let the filesystem go on, and run what was to run afterwards. Again is as good as once.
    Thaw {
        /// Which.
        volume: VolumeId,
    },
    /// Say which of these contents you do not have. Changes nothing.
    Lacks {
        /// BLAKE3, in hex.
        hashes: Vec<String>,
    },
    /// Keep a part of a content. Parts come in order; with the last one the whole must be what its hash says.
    Store {
        /// Of the whole: BLAKE3, in hex.
        hash: String,
        /// How many bytes the whole has.
        size: u64,
        /// Where this part begins.
        offset: u64,
        /// The part itself.
        part: Bytes,
    },
    /// Have this slice at hand, without putting it in force.
    Push {
        /// What the node would be.
        slice: Box<Slice>,
        /// Its hash.
        hash: String,
    },
    /// Stop a replica, as gently as it wants, and start it again, whatever was given up about it. Answered at once.
    Restart {
        /// Its address: `pub[0]`.
        replica: String,
    },
    /// Look at resources, or make them right, now.
    Work(Work),
    /// Ask the program of a plugin about the thing that a resource declares.
    Query {
        /// The resource: `plugin greeting door`.
        label: String,
        /// What is asked.
        question: String,
    },
    /// Leave resources alone for a time.
    Pause(Pause),
    /// Leave nothing alone any more.
    Resume,
    /// Say what is known of the node.
    Facts {
        /// With checksums of its data, which reads all of it.
        checksums: bool,
    },
    /// Run a hook of the slice in force, once for each key.
    RunHook {
        /// `launched`, `unmountable` or `haltable`.
        hook: String,
        /// The same key again is answered with the first answer.
        key: String,
    },
}

/// Work on resources that a person asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// To look, or to make right.
    pub mode: WorkMode,
    /// These resources only, by label; all when empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// Those with one of these tags only; all when empty.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Secrets that these recipes name. Kept for as long as the work goes on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: Secrets,
    /// The programs of plugins that these recipes use. Their contents must be on the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<Name, FileRef>,
    /// What these recipes ask for beyond the node: `clouds`, `services`, `routes`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub beyond: serde_json::Map<String, serde_json::Value>,
    /// These recipes, once, instead of what the node is to be.
    #[serde(default)]
    pub recipes: Option<Vec<Use>>,
}

/// What kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkMode {
    /// Look, and change nothing.
    Diagnose {
        /// Whether programs of the author (`unless`, plugins) may be asked.
        run_checks: bool,
    },
    /// Make right what is wrong, also what is left to a person.
    Converge,
}

impl Verb {
    /// Whether it only asks: then it needs no authority.
    pub fn only_asks(&self) -> bool {
        match self {
            Verb::Report | Verb::Lacks { .. } | Verb::Facts { .. } => true,
            Verb::Work(work) => work.mode == WorkMode::Diagnose { run_checks: false },
            _ => false,
        }
    }
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
    /// Which contents it does not have.
    Lacks(Vec<String>),
    /// How each resource stands.
    Rows(Vec<Row>),
    /// What is known of the node.
    Facts(Box<serde_json::Value>),
    /// What a plugin answers.
    Answer(Box<serde_json::Value>),
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
