//! Which container engine a host has, and where: the agent makes containers there, and the provider of its machine
//! removes them with the machine.

pub mod client;

use std::path::{Path, PathBuf};

/// The variable that names another engine than the usual one.
pub const VARIABLE: &str = "DOCKER_HOST";
/// Where an engine listens unless told otherwise.
pub const SOCKET: &str = "/var/run/docker.sock";

/// The machine that a container is of: see [`crate::Identity::machine`].
pub const MACHINE: &str = "ideal.machine";
/// The home of that machine: together they tell machines apart that are copies of each other.
pub const HOME: &str = "ideal.home";
/// The replica that a container is: `pub[0]`.
pub const SERVICE: &str = "ideal.service";
/// The folder that the homes of several machines are in, whose containers share a network.
pub const DATA: &str = "ideal.data";
/// Which cluster a network is of.
pub const CLUSTER: &str = "ideal.cluster";

/// The socket of the engine of this host, there or not. Only an engine on the same host will do: it is given folders.
pub fn socket() -> PathBuf {
    named(std::env::var(VARIABLE).ok().as_deref())
}

fn named(variable: Option<&str>) -> PathBuf {
    let path = variable.and_then(|text| text.strip_prefix("unix://")).filter(|path| path.starts_with('/'));
    Path::new(path.unwrap_or(SOCKET)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_of_this_host_will_do() {
        assert_eq!(named(None), Path::new(SOCKET));
        assert_eq!(named(Some("unix:///run/user/1/docker.sock")), Path::new("/run/user/1/docker.sock"));
        assert_eq!(named(Some("tcp://10.0.0.1:2375")), Path::new(SOCKET));
    }
}
