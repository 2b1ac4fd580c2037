//! The half of the product that lives on a node: holds its slice of the ideal and heals the node alone.
//!
//! Programs, each a hidden subcommand of the one binary: [`keep`] is the machine (tiny, no logic), [`run`] is the
//! agent under it, [`shim`] is what a service is for the instant before it becomes itself; [`give`] and [`take`] are the
//! far ends of a copy; [`install`], [`leave`] and [`dial`] are for machines to which the agent was brought.
//!
//! Reading order: [`keep`], `run` (start and the loop), `orders` (what is accepted), `state`, then one file for
//! each thing that is kept right: `resources`, `services`, `mounts`, `hooks`, `names`.
//!
//! Invariants: what was acknowledged is on disk; the death of the agent touches no service; a service is never
//! started twice; nothing outside the node's root is written by a resource.

mod brought;
mod contents;
mod engine;
mod exec;
mod files;
mod guard;
mod health;
mod hooks;
mod http;
mod keep;
mod log;
mod mounts;
mod names;
mod node;
mod orders;
mod pace;
mod ports;
mod render;
mod resources;
mod run;
mod secrets;
mod services;
mod shim;
mod state;

pub use brought::{dial, install, leave};
pub use files::{give, take};
pub use guard::{Beat, GuardOptions, LABEL, Told, guard};
pub use ideal_host::AgentCommand;
pub use keep::{KeepOptions, keep};
pub use pace::Pace;
pub use run::{AgentOptions, run};
pub use shim::shim;
pub use state::at_hand;

/// Why one of the programs came to an end.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The world said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What came of it.
        source: std::io::Error,
    },
    /// What a person asked for cannot be had.
    #[error("{0}")]
    Said(String),
    /// What is on disk cannot be relied upon, and is not guessed at.
    #[error("{0}")]
    Damaged(String),
}

impl AgentError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> AgentError {
        let what = what.into();
        move |source| AgentError::Io { what, source }
    }
}
