//! A service: containers or processes kept running across the nodes of a cloud.

mod container;
mod health;
mod place;
mod port;
mod route;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::CloudPath;
use crate::id::Name;
use crate::ideal::document::{Argv, MountSpec};
use crate::time::{Bytes, Span};

pub use container::{Capabilities, Pull, Registry};
pub use health::Health;
pub use place::PlaceSpec;
pub use port::{Cpus, Port};
pub use route::{Route, Tls, is_host};

/// What runs, where, and how it is kept well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// The cloud whose nodes carry the replicas, those of the clouds in it too.
    pub on: CloudPath,
    /// How many. Default: one for each node.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// The name that it had first. It stays here for as long as the service has mounts.
    #[serde(default)]
    pub was: Option<Name>,
    /// The image of a container; `name@sha256:…` is exactly that one. Without: a process of the node.
    #[serde(default)]
    pub image: Option<String>,
    /// The program and its arguments. Of a process it is needed, and runs in the node's root; of a container it
    /// stands in for what the image says.
    #[serde(default)]
    pub command: Option<Argv>,
    /// In a container: the program that is given the command, in place of the image's.
    #[serde(default)]
    pub entrypoint: Option<Argv>,
    /// Programs that run before each start, one after the other; when one fails, the replica does not start. For a
    /// container each runs in one of its own, of the same image.
    #[serde(default)]
    pub init: Vec<Argv>,
    /// Environment, added to a small clean one.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files that it finds when it starts.
    #[serde(default)]
    pub files: Vec<ServiceFile>,
    /// Ports by name: a number, or `auto` for a free one that is then kept; for a container also `8080:80` and
    /// `auto:80`, where the second is the one in the container.
    #[serde(default)]
    pub ports: BTreeMap<Name, Port>,
    /// Under which host requests from outside reach it: nodes with the recipe `proxy` see to it.
    #[serde(default)]
    pub route: Option<Route>,
    /// Filesystems of each replica, which follow it from node to node.
    #[serde(default)]
    pub mounts: BTreeMap<Name, MountSpec>,
    /// How much memory each replica may use; a node carries no more replicas than fit.
    #[serde(default)]
    pub memory: Option<Bytes>,
    /// How many processors each replica takes: a share when all are busy, and what a node counts.
    #[serde(default)]
    pub cpus: Option<Cpus>,
    /// How many processes and threads each replica may have.
    #[serde(default)]
    pub pids: Option<u32>,
    /// Who it runs as, by name or number. Default: the image's user, or that of the agent.
    #[serde(default)]
    pub user: Option<String>,
    /// In a container: whether its own filesystem cannot be written to.
    #[serde(default)]
    pub read_only: bool,
    /// In a container: what it may do beyond an ordinary program.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// In a container: when its image is fetched.
    #[serde(default)]
    pub pull: Pull,
    /// In a container: who asks the registry.
    #[serde(default)]
    pub registry: Option<Registry>,
    /// In a container: networks that it joins, made when they are not there. Default: one for the whole cluster.
    #[serde(default)]
    pub networks: Vec<Name>,
    /// Services that must be well before it starts for the first time.
    #[serde(default)]
    pub after: Vec<Name>,
    /// How to tell that it is well. Of a container without it: as its image says.
    #[serde(default)]
    pub health: Option<Health>,
    /// What is done about a replica that is not well, one after the other. Default: restart, recreate, move, ask.
    #[serde(default = "ladder")]
    pub heal: Vec<Rung>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// Which nodes may carry it, and which are better.
    #[serde(default)]
    pub place: PlaceSpec,
    /// How a new version takes the place of an old one.
    #[serde(default)]
    pub change: Change,
}

/// A file that a replica finds when it starts. One of `content` and `secret`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceFile {
    /// Where: an absolute path, in the container or in the node's root.
    pub path: String,
    /// Its text.
    #[serde(default)]
    pub content: Option<String>,
    /// The name of the secret that it holds: readable by its owner only, and held in memory.
    #[serde(default)]
    pub secret: Option<Name>,
}

/// One thing to do about a replica that is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// Stop it and start it again.
    Restart,
    /// Make it anew: another container of the same image.
    Recreate,
    /// Place it on another node.
    Move,
    /// Leave it, and ask a person.
    Ask,
}

fn ladder() -> Vec<Rung> {
    vec![Rung::Restart, Rung::Recreate, Rung::Move, Rung::Ask]
}

/// How a new version of a service takes the place of the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// How many replicas may be down for it at once. Default 1.
    #[serde(default = "one")]
    pub unavailable: u32,
    /// How long a replica of the new version may take to be well. Default 2m.
    #[serde(default = "two_minutes")]
    pub within: Span,
    /// What happens when one does not become well: the last good version comes back, or all waits for a person.
    #[serde(default)]
    pub on_failure: OnFailure,
}

impl Default for Change {
    fn default() -> Change {
        Change { unavailable: one(), within: two_minutes(), on_failure: OnFailure::default() }
    }
}

fn one() -> u32 {
    1
}
fn two_minutes() -> Span {
    Span::mins(2)
}

/// What happens when a new version does not become well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The last version that was well comes back, and the new one is not tried again until the file changes.
    #[default]
    Return,
    /// No further replica is changed, and a person is asked.
    Pause,
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

/// How a replica is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The signal that asks.
    #[serde(default)]
    pub signal: Signal,
    /// How long it may take before it is killed. Default 10s.
    #[serde(default = "ten_seconds")]
    pub grace: Span,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { signal: Signal::default(), grace: ten_seconds() }
    }
}

/// A signal that asks a process to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// The ordinary one.
    #[default]
    Term,
    /// As Ctrl-C.
    Int,
    /// For servers that take it as "finish what you do".
    Quit,
    /// Hang-up.
    Hup,
}

impl ServiceSpec {
    /// A service on these nodes of which nothing else is said.
    pub fn on(on: CloudPath) -> ServiceSpec {
        ServiceSpec {
            on,
            replicas: None,
            was: None,
            image: None,
            command: None,
            entrypoint: None,
            init: Vec::new(),
            env: BTreeMap::new(),
            files: Vec::new(),
            ports: BTreeMap::new(),
            route: None,
            mounts: BTreeMap::new(),
            memory: None,
            cpus: None,
            pids: None,
            user: None,
            read_only: false,
            capabilities: Capabilities::default(),
            pull: Pull::default(),
            registry: None,
            networks: Vec::new(),
            after: Vec::new(),
            health: None,
            heal: ladder(),
            stop: Stop::default(),
            place: PlaceSpec::default(),
            change: Change::default(),
        }
    }

    /// Whether its texts ask for a mount that is not its own: one of the node that carries it. What is written there
    /// belongs to that node, so a replica stays where it is.
    pub fn uses_its_node(&self) -> bool {
        let text = serde_json::to_string(self).unwrap_or_default();
        names_in(&text, "mount").into_iter().any(|name| self.mounts.keys().all(|own| own.as_str() != name))
    }

    /// The hash of all that decides what each replica runs as: what cannot change without another start. Where it
    /// runs, how many there are and how they are looked at may change under a running replica.
    pub fn version(&self) -> String {
        let ServiceSpec { image, command, entrypoint, init, env, files, ports, mounts, .. } = self;
        let mounts: Vec<_> = mounts.iter().map(|(name, mount)| (name, &mount.at)).collect();
        let what = (image, command, entrypoint, init, env, files, ports, mounts);
        let limits = (self.memory, self.cpus, self.pids, &self.user, self.read_only, &self.capabilities);
        let said = serde_json::to_vec(&(what, limits, &self.networks)).unwrap_or_default();
        blake3::hash(&said).to_hex()[..12].to_owned()
    }
}

/// The names that the expressions of a text ask for behind a root: of `secret`, those in `secret.NAME` and
/// `secret['NAME']`.
pub fn names_in<'t>(text: &'t str, root: &str) -> BTreeSet<&'t str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let after = text.match_indices(root).map(|(at, word)| &text[at + word.len()..]);
    let names = after.filter_map(|rest| {
        let rest = rest.strip_prefix('.').or_else(|| {
            // A text in JSON writes a double quote with a backslash.
            let quoted = rest.trim_start().strip_prefix('[')?.trim_start().trim_start_matches('\\');
            quoted.strip_prefix(['\'', '"'])
        })?;
        Some(&rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_asked_for() {
        let text = r#"["{{ secret.token }} key", "{{ secret['app-db'] | upper }}", "{{ secret[\"one\"] }}", "secret sauce"]"#;
        assert_eq!(names_in(text, "secret").into_iter().collect::<Vec<_>>(), ["app-db", "one", "token"]);
    }

    #[test]
    fn who_uses_a_mount_of_its_node_stays_on_it() {
        let web = CloudPath(vec![Name::new("web").unwrap()]);
        let uses = |text: &str| {
            let command = Some(Argv(vec![text.to_owned()]));
            let size = serde_json::json!({"size": "1GiB", "at": "/home"});
            let mounts = [(Name::new("home").unwrap(), serde_json::from_value(size).unwrap())].into();
            ServiceSpec { command, mounts, ..ServiceSpec::on(web.clone()) }.uses_its_node()
        };
        assert!(uses("{{ mount.data }}") && uses("{{ mount['data'] }}/x"));
        assert!(!uses("{{ mount.home }}") && !uses("mountain"));
    }
}
