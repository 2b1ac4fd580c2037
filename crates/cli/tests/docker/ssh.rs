//! The provider `ssh`: machines that exist. Each is a Debian in a container, in which nothing runs but sshd.

mod failures;
mod lives;
pub(crate) mod rack;
