//! Real clusters on this machine, through the real binary: real processes, folders and sockets.
#![expect(clippy::unwrap_used, reason = "failing loudly is the way of tests")]

mod bench;
mod cluster;
// Crash points are in builds with assertions only.
#[cfg(debug_assertions)]
mod crashes;
mod data;
mod drift;
mod nodes;
mod recipes;
mod services;
