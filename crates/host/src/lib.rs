//! What an agent and the provider of its machine must agree on, on one Linux host: files that survive a crash,
//! processes known by their mark, and where things lie in the home of a machine.
//!
//! A crate of its own so that providers need not know the agent, nor the agent any provider. It decides nothing.

pub mod brought;
pub mod cgroup;
mod crash;
pub mod durable;
pub mod engine;
pub mod home;
pub mod process;
pub mod unit;

pub use crash::crash_point;
pub use home::{AgentCommand, Home, Identity};
pub use process::{Marks, ProcessId};

use std::time::{SystemTime, UNIX_EPOCH};

use ideal_core::time::Time;

/// The present instant, by the host's clock.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
