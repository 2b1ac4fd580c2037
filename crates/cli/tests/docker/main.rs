//! The provider `docker` on a real engine, which is started for each test and ends with it: machines are containers,
//! volumes are loop devices with real filesystems.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells why it did nothing"
)]

mod backups;
mod bed;
mod cluster;
mod contract;
// Crash points are in builds with assertions only.
#[cfg(debug_assertions)]
mod crashes;
mod devices;
mod ec2;
mod failures;
mod first;
mod guard;
mod hand;
mod many;
mod names;
mod one_line;
mod postgres;
mod proxy;
mod registry;
mod services;
mod shipped;
mod ssh;
