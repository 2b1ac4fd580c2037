//! Machines behind OpenSSH: the way in, and how the agent comes to them.
//!
//! The system's own `ssh` does the connecting, so that `~/.ssh/config`, agents and jump hosts mean here what they mean
//! everywhere. What it may do is written down for each machine in a file of its own ([`way`]); one connection asks what
//! the machine is, brings the program when it is not there, and puts it in force ([`bring`], [`reach.sh`](../reach.sh)).
//!
//! A host key is known before anything is said to a machine. There is no way to switch that off.

mod bring;
mod failure;
mod program;
mod session;
mod strange;
mod way;

pub use bring::{Came, Probe, Told, bring, leave, probe};
pub use failure::Failure;
pub use program::Program;
pub use way::{Folder, Known, Way};
