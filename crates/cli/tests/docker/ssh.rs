//! The provider `ssh`: machines that exist. Each is a Debian in a container, in which nothing runs but sshd.

mod at_once;
mod deaths;
mod ends;
mod failures;
mod hops;
mod lives;
pub(crate) mod rack;
