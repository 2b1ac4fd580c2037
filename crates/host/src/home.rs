//! Where things lie in the home of a machine, and who the machine is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ideal_core::id::{CloudId, Generation, Life, MachineId, Name, SlotId, VolumeId};
use ideal_core::ideal::Hook;
use ideal_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::process::{self, Marks, ProcessId};

/// How to start the program that holds the agent: the binary, and the words before the agent's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCommand {
    /// The binary.
    pub program: PathBuf,
    /// What comes first: `["agent"]` for `ideal agent keep`.
    pub args: Vec<OsString>,
}

/// Who a machine is: written by its provider, read by its agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Of which slot.
    pub slot: SlotId,
    /// Which machine of the slot.
    pub generation: Generation,
    /// What the provider calls it.
    pub machine: MachineId,
    /// Its network address.
    pub address: String,
    /// Where its agent listens: `unix:/…`.
    pub agent: String,
    /// Whether it is a whole machine, with the root `/`, and not a folder of another.
    #[serde(default)]
    pub whole: bool,
}

impl Identity {
    /// The mark that people see.
    pub fn node_mark(&self) -> String {
        node_mark(self.slot.cloud, self.slot.index, self.generation)
    }
    /// The marks that everything on this machine carries.
    pub fn marks(&self, home: &Home) -> Marks {
        BTreeMap::from([
            (process::NODE.to_owned(), self.node_mark()),
            (process::MACHINE.to_owned(), self.machine.to_string()),
            (process::HOME.to_owned(), home.path().display().to_string()),
        ])
    }
    /// The socket that its agent listens at.
    pub fn socket(&self) -> Option<&Path> {
        self.agent.strip_prefix("unix:").map(Path::new)
    }
}

/// `<cloud uuid>/<index>/<generation>`.
pub fn node_mark(cloud: CloudId, index: u32, generation: Generation) -> String {
    format!("{cloud}/{index}/{generation}")
}

/// Whether marks are of the machine `machine` with this home. A home that is no longer where the marks say was
/// moved, and what runs is still ours; one that still is there is another copy of the same data.
pub fn is_of(marks: &Marks, machine: &MachineId, home: &Home) -> bool {
    let Some(at) = marks.get(process::HOME) else { return false };
    marks.get(process::MACHINE).map(String::as_str) == Some(machine.as_str())
        && (Path::new(at) == home.path() || !Path::new(at).exists())
}

/// The process that is the machine, as it wrote itself down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperRecord {
    /// Which.
    pub process: ProcessId,
    /// In which start of the host.
    pub boot: String,
}

impl KeeperRecord {
    /// Whether the machine runs.
    pub fn is_alive(&self) -> bool {
        self.boot == process::boot_id() && self.process.is_alive()
    }
}

/// The processes of services, as the agent wrote them down: the part of its runtime record that its provider
/// needs. A service may have cleared its environment, and with it the marks; it still leads its session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeRecord {
    /// In which start of the host.
    pub boot: String,
    /// By replica.
    pub services: BTreeMap<String, ServiceRecord>,
}

/// See [`RuntimeRecord`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRecord {
    /// Its process, while it runs.
    pub process: Option<ProcessId>,
}

impl RuntimeRecord {
    /// Every living process in the session of a service.
    pub fn processes(&self) -> Vec<ProcessId> {
        if self.boot != process::boot_id() {
            return Vec::new();
        }
        let leaders: Vec<ProcessId> = self.services.values().filter_map(|service| service.process).collect();
        // A number is not given away while a session of that number has members; so a leader that is another
        // process now means that the whole session is another's.
        let is_ours =
            |leader: &ProcessId| process::stat(leader.pid).is_none_or(|stat| stat.start == leader.start);
        let sessions: Vec<u32> =
            leaders.iter().filter(|leader| is_ours(leader)).map(|leader| leader.pid).collect();
        let member = |pid: u32| process::stat(pid).is_some_and(|stat| sessions.contains(&stat.session));
        let members = process::numbers().into_iter().filter(|pid| member(*pid));
        members
            .filter_map(ProcessId::of)
            .chain(leaders.into_iter().filter(|leader| leader.is_alive()))
            .collect()
    }
}

/// A volume as its provider attached it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Which.
    pub volume: VolumeId,
    /// In which life.
    pub life: Life,
    /// For which mount.
    pub mount: Name,
    /// The block device that it is; none: a folder in the machine's home.
    #[serde(default)]
    pub device: Option<Device>,
}

/// A block device by its numbers: a machine makes its own name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// A filesystem that the agent holds still while a snapshot is taken. Written before it is held and removed after, for
/// the kernel goes on holding it when the agent dies, and even when its machine does: whoever finds this sees to it
/// that the filesystem goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Still {
    /// Of which order: another may have taken its place.
    pub id: String,
    /// Until when at most.
    pub until: Time,
    /// Where it is mounted; none: it is not held, not yet or not any more, and only has something to run afterwards.
    pub at: Option<String>,
    /// What runs afterwards, as the file has it: its texts may name secrets.
    pub after: Option<Hook>,
}

/// The home of a machine: everything about it is below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident = $at:literal;)*) => {
        impl Home {$(
            $(#[$doc])*
            pub fn $name(&self) -> PathBuf {
                self.0.join($at)
            }
        )*}
    };
}

places! {
    /// Who it is.
    identity = "identity.json";
    /// The filesystem of the node.
    root = "root";
    /// Attached volumes, each a folder of the volume's id.
    volumes = "volumes";
    /// What the provider says of attached volumes.
    attached = "attached";
    /// Held by the keeper for as long as it lives.
    keeper_lock = "keeper.lock";
    /// The keeper, as it wrote itself down.
    keeper = "keeper.json";
    /// Says that the machine was ended: no keeper may start any more.
    over = "over";
    /// Ends of processes whose parent had died.
    exits = "exits.jsonl";
    /// Held by the agent for as long as it lives.
    agent_lock = "agent.lock";
    /// What the agent was told.
    state = "state.json";
    /// What the agent runs, in this start of the host.
    runtime = "runtime.json";
    /// What the agent says of itself.
    agent_log = "agent.log";
    /// What is written down for each volume of which the filesystem is held still.
    still = "still";
    /// What is remembered of resources, and the contents that were given for them.
    resources = "resources";
    /// What services say.
    logs = "logs";
    /// The socket of the container engine that the agent makes containers at; none: it never made one.
    engine = "engine";
    /// The folder in memory that files of services are in; none: there never was one.
    vault = "vault";
}

impl Home {
    /// The home at this path, which must be absolute.
    pub fn new(path: impl Into<PathBuf>) -> Home {
        Home(path.into())
    }
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// Where an attached volume is.
    pub fn volume(&self, id: &VolumeId) -> PathBuf {
        self.volumes().join(id.as_str())
    }
    /// What is written down while the filesystem of a volume is held still: a [`Still`].
    pub fn held(&self, id: &VolumeId) -> PathBuf {
        self.still().join(format!("{id}.json"))
    }
    /// What the provider says of an attached volume.
    pub fn attachment(&self, id: &VolumeId) -> PathBuf {
        self.attached().join(format!("{id}.json"))
    }
    /// The log of one replica.
    pub fn service_log(&self, replica: &str) -> PathBuf {
        self.logs().join(format!("{replica}.log"))
    }
}
