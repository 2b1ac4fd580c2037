//! The provider `ec2` from end to end: machines are made by moto's server, and a bridge makes a container of each, which reads
//! its user data with `cloud-init` itself, has sshd, and is given the volumes that are attached to it.

mod bridge;
mod deaths;
mod front;
mod keys;
mod life;
#[path = "../../../providers/tests/ec2/server.rs"]
mod server;
