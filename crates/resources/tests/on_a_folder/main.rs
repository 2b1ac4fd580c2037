//! Resources on nodes that are folders: what holds for all sets of them, and what happens in a pass.
#![expect(clippy::unwrap_used, reason = "failing loudly is the way of tests")]

mod bench;
mod passes;
mod properties;
