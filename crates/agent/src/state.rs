//! What the agent remembers: what it was told (durable) and what it runs (for this start of the host).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ideal_core::demand::Demands;
use ideal_core::id::{Life, Name, VolumeId};
use ideal_core::observed::{Authority, FilesystemSeen, HookSeen};
use ideal_core::resource::Pause;
use ideal_core::slice::{Slice, without_names};
use ideal_core::time::{Bytes, Time};
use ideal_host::home::Device;
use ideal_host::{Home, ProcessId, durable};
use ideal_resources::root::Root;
use serde::{Deserialize, Serialize};

/// What the agent was told and what it did once. Unknown fields are kept out on purpose: an older agent that
/// reads the state of a newer one knows less, and reports less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// Shared: it may be long, and is looked at often.
    pub slice: Option<Arc<Held>>,
    pub authority: Option<Authority>,
    pub demand: Option<Arc<Demands>>,
    pub mounts: BTreeMap<VolumeId, Mounted>,
    /// Ports that were chosen, by replica.
    pub ports: BTreeMap<String, BTreeMap<Name, u16>>,
    pub hooks: BTreeMap<String, HookSeen>,
    /// What is left alone for a time.
    pub pauses: Vec<Pause>,
    /// A slice that was brought here without being put in force.
    pub pushed: Option<Arc<Held>>,
}

/// A slice and its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub hash: String,
    pub slice: Slice,
}

impl Held {
    /// The hash of all that is wanted here but names.
    pub(crate) fn meant(&self) -> &str {
        without_names(&self.hash)
    }
}

/// A mount, or one that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mounted {
    pub name: Name,
    /// The replica that it belongs to; none: the node itself.
    #[serde(default)]
    pub replica: Option<String>,
    pub life: Life,
    pub at: String,
    pub mounted: bool,
    /// When it was mounted.
    #[serde(default)]
    pub since: Option<Time>,
    /// The block device; none: a folder.
    #[serde(default)]
    pub device: Option<Device>,
    /// What is on the device.
    #[serde(default)]
    pub filesystem: Option<FilesystemSeen>,
    /// How large the device was when the filesystem was last made to fill it.
    #[serde(default)]
    pub filled: Option<Bytes>,
    /// Why it does not fill its device while it is mounted.
    #[serde(default)]
    pub small: Option<String>,
}

/// What runs. Pids mean nothing in another start of the host, so it is then forgotten.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Runtime {
    pub boot: String,
    pub services: BTreeMap<String, Started>,
}

/// What is known of one replica.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Started {
    /// Its process, while it runs.
    pub process: Option<ProcessId>,
    /// Its container, while it runs, by the engine's id.
    pub container: Option<String>,
    /// Whether it was started as a container last, whatever came of that.
    pub image: bool,
    /// The hash of what it was started as, which begins with the version of its service.
    pub spec: String,
    /// When it was started.
    pub since: Time,
    /// How often it was started again.
    pub restarts: u32,
    /// How many of those followed each other without a life worth the name.
    pub in_a_row: u32,
    /// Which of the things that are done about it is its turn: the place in the ladder of its service.
    pub rung: usize,
    /// When it was started again on this rung, within the window of the budget.
    pub recent: Vec<Time>,
    /// Why it was given up, and under which slice.
    pub suspended: Option<(String, String)>,
}

/// In which root a path of a node lies, and as which path of that: that of the node itself, or the volume of the mount
/// that the path lies below.
pub(crate) fn below(state: &State, home: &Home, root: &Path, path: &str) -> io::Result<(Root, String)> {
    let mut found: Option<(&VolumeId, &Mounted, &str)> = None;
    for (volume, mount) in state.mounts.iter().filter(|(_, mount)| mount.mounted) {
        let at = mount.at.trim_end_matches('/');
        let rest = path.strip_prefix(at).filter(|rest| rest.starts_with('/'));
        let longer = found.is_none_or(|(_, other, _)| at.len() > other.at.len());
        if let Some(rest) = rest.filter(|_| longer) {
            found = Some((volume, mount, rest));
        }
    }
    match found {
        // A device is mounted within the root.
        Some((volume, mount, rest)) if mount.device.is_none() => {
            Ok((Root::open(&home.volume(volume))?, rest.to_owned()))
        }
        _ => Ok((Root::open(root)?, path.to_owned())),
    }
}

/// The slice that the agent of this home was brought last, put in force or not, and its hash.
pub fn at_hand(home: &Home) -> io::Result<Option<(String, Slice)>> {
    let state: Option<State> = durable::read_json(&home.state())?;
    let held = state.and_then(|state| state.pushed.or(state.slice));
    Ok(held.map(|held| (held.hash.clone(), held.slice.clone())))
}
