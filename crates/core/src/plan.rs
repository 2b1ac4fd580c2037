//! What would be done and why: steps, and what waits for what. Data only.

mod cause;
pub mod dot;
pub mod text;

use serde::{Deserialize, Serialize};

use crate::demand::State;
use crate::id::{Generation, Life, MachineId, Name, SlotId, SnapshotId, Token, VolumeId};
use crate::observed::SealKind;
use crate::time::{Bytes, Time};

pub use cause::Cause;

/// A part of a cluster: a slot, or a mount of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The slot.
    pub slot: SlotId,
    /// The mount, when it is one.
    pub mount: Option<Name>,
}

impl Part {
    /// A node.
    pub fn node(slot: SlotId) -> Part {
        Part { slot, mount: None }
    }
    /// A mount of a node.
    pub fn mount(slot: SlotId, name: &Name) -> Part {
        Part { slot, mount: Some(name.clone()) }
    }
}

/// One shove, with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// At which part.
    pub part: Part,
    /// What is done.
    pub act: Act,
    /// Why, in words: completes "because ".
    pub reason: String,
    /// Facts that must hold before.
    pub needs: Vec<Fact>,
    /// Facts that hold after.
    pub brings: Vec<Fact>,
    /// Facts that hold no more.
    pub ends: Vec<Fact>,
    /// Whether a person must have agreed.
    pub danger: Danger,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Make a machine for a slot.
    CreateMachine {
        /// Which machine of the slot it will be.
        generation: Generation,
        /// In the provider's words.
        image: String,
        /// See [`crate::observed::size_text`].
        size: String,
    },
    /// Start a stopped machine.
    StartMachine {
        /// Which.
        machine: MachineId,
    },
    /// Stop a machine that runs, to be started again: what is on its own disk stays.
    StopMachine {
        /// Which.
        machine: MachineId,
    },
    /// See to it that the agent that is wanted runs on a machine: bring it there, start it, or put another in its place.
    BringAgent {
        /// To which.
        machine: MachineId,
    },
    /// End a machine for good; its volumes stay.
    EndMachine {
        /// Which.
        machine: MachineId,
        /// Nobody hears its agent, and a person or the policy takes it for dead: what is mounted there is not asked.
        #[serde(default)]
        unheard: bool,
    },
    /// Make a volume for a mount.
    CreateVolume {
        /// Which volume of the mount it will be.
        generation: Generation,
        /// How large.
        size: Bytes,
        /// The life that its content is of.
        life: Life,
        /// What it is made of; none: blank.
        from: Option<SnapshotId>,
    },
    /// Take over a volume that the file names and that nobody owns.
    ClaimVolume {
        /// Which.
        volume: VolumeId,
        /// Which volume of the mount it becomes.
        generation: Generation,
    },
    /// Raise the life of a volume, then attach it.
    Attach {
        /// Which.
        volume: VolumeId,
        /// The new life.
        life: Life,
        /// To which machine.
        machine: MachineId,
    },
    /// Make a volume larger.
    Grow {
        /// Which.
        volume: VolumeId,
        /// How large it will be.
        size: Bytes,
    },
    /// Take a snapshot of a volume in use: no seal.
    Backup {
        /// Of which volume.
        volume: VolumeId,
        /// Of which life.
        life: Life,
        /// When it was decided: each has a token of its own.
        at: Time,
    },
    /// Delete a snapshot that newer ones have made superfluous.
    Prune {
        /// Which.
        snapshot: SnapshotId,
        /// So many newer ones of its kind must stay.
        keep: u32,
    },
    /// Mount an attached volume.
    Mount {
        /// Which.
        volume: VolumeId,
        /// In which life.
        life: Life,
        /// Whether it is new and blank: only then may a filesystem be made.
        blank: bool,
    },
    /// Give the agent its slice.
    Apply {
        /// Whether the node is to be quiet.
        quiet: bool,
        /// The hash of the slice.
        hash: String,
    },
    /// Run a hook on the node.
    RunHook {
        /// Which.
        hook: Hook,
        /// The same key is run once.
        key: String,
    },
    /// Unmount a volume.
    Unmount {
        /// Which.
        volume: VolumeId,
    },
    /// Take a volume from its machine.
    Detach {
        /// Which.
        volume: VolumeId,
        /// From which machine.
        machine: MachineId,
        /// In which life: should another have begun meanwhile, it is not taken off.
        life: Life,
    },
    /// Take a snapshot that provably holds the last write.
    Seal {
        /// Of which volume.
        volume: VolumeId,
        /// Of which life.
        life: Life,
        /// What it rests on.
        kind: SealKind,
        /// Counts failed ones, so that each try has its own token.
        attempt: u32,
    },
    /// The first of the two acts of deletion.
    Retire {
        /// Which.
        volume: VolumeId,
        /// In which life.
        life: Life,
        /// Not before this instant may it be deleted.
        until: Time,
        /// Whether its data is given up on purpose.
        unsealed: bool,
    },
    /// The second act.
    DeleteVolume {
        /// Which.
        volume: VolumeId,
        /// In which life.
        life: Life,
        /// Whether its data is given up on purpose.
        unsealed: bool,
    },
    /// Delete a snapshot for good: only when a cluster ends, snapshots included, or a person gave it up.
    DeleteSnapshot {
        /// Which.
        snapshot: SnapshotId,
        /// Nothing in the file wants it, and a person typed that it may go.
        #[serde(default)]
        given_up: bool,
    },
    /// Write the demands on what lasts, and tell the agent.
    Mirror {
        /// Machines of the slot.
        machines: Vec<MachineId>,
        /// Volumes of the slot.
        volumes: Vec<VolumeId>,
        /// Snapshots of the slot.
        snapshots: Vec<SnapshotId>,
        /// Whether the agent is told too.
        agent: bool,
    },
    /// Give a mount's objects its new name.
    Rename {
        /// The name they carry.
        from: Name,
        /// Volumes.
        volumes: Vec<VolumeId>,
        /// Snapshots.
        snapshots: Vec<SnapshotId>,
    },
}

/// A program at the edge of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Must succeed before a node counts as launched.
    Launched,
    /// May refuse the unmounting.
    Unmountable,
    /// May refuse the stopping of a node.
    Haltable,
}

impl Hook {
    /// Its word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Hook::Launched => "launched",
            Hook::Unmountable => "unmountable",
            Hook::Haltable => "haltable",
        }
    }
}

impl Act {
    /// Its verb, stable: journal, attempts and crash boundaries are named by it.
    pub fn verb(&self) -> &'static str {
        match self {
            Act::CreateMachine { .. } => "create-machine",
            Act::StartMachine { .. } => "start-machine",
            Act::StopMachine { .. } => "stop-machine",
            Act::BringAgent { .. } => "bring-agent",
            Act::EndMachine { .. } => "end-machine",
            Act::CreateVolume { from: None, .. } => "create-volume",
            Act::CreateVolume { from: Some(_), .. } => "restore-volume",
            Act::ClaimVolume { .. } => "claim-volume",
            Act::Attach { .. } => "attach",
            Act::Grow { .. } => "grow",
            Act::Backup { .. } => "backup",
            Act::Prune { .. } => "prune",
            Act::Mount { .. } => "mount",
            Act::Apply { quiet: false, .. } => "configure",
            Act::Apply { quiet: true, .. } => "quiet",
            Act::RunHook { .. } => "hook",
            Act::Unmount { .. } => "unmount",
            Act::Detach { .. } => "detach",
            Act::Seal { .. } => "seal",
            Act::Retire { .. } => "retire",
            Act::DeleteVolume { .. } => "delete-volume",
            Act::DeleteSnapshot { .. } => "delete-snapshot",
            Act::Mirror { .. } => "mirror",
            Act::Rename { .. } => "rename",
        }
    }
}

impl Act {
    /// Whether it is upkeep: the state of a cluster is the same before and after.
    pub fn is_upkeep(&self) -> bool {
        matches!(self, Act::Mirror { .. } | Act::Backup { .. } | Act::Prune { .. })
    }
}

/// What may be lost by a step, and so who must have agreed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Danger {
    /// Nothing: it makes or changes.
    None,
    /// A snapshot is deleted; enough newer ones stay.
    EndsOldSnapshot,
    /// A dead machine is ended so that it can be replaced; limited by the blast radius only.
    EndsDeadMachine,
    /// A machine that runs is ended.
    EndsMachine,
    /// A volume is deleted; a seal holds all that was on it.
    EndsVolume,
    /// Data is deleted and nothing holds it.
    EndsData,
}

/// Something that holds of a part. Steps are ordered by the facts that they need, bring and end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// What holds.
    pub kind: FactKind,
    /// Of which part.
    pub part: Part,
}

/// What can hold of a part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// Its objects carry the present demands.
    Mirrored,
    /// Its objects carry its present name.
    Named,
    /// The slot has a machine that runs.
    Running,
    /// Its agent answers.
    Heard,
    /// Its machine is stopped.
    Stopped,
    /// The slot has no machine.
    NoMachine,
    /// The mount has a volume.
    Exists,
    /// Its volume is attached to its machine.
    Attached,
    /// Its volume is as large as wanted.
    Grown,
    /// It is mounted.
    Mounted,
    /// Its agent holds the wanted slice.
    Configured,
    /// The `launched` hook agreed.
    Launched,
    /// The `unmountable` hook agreed.
    Unmountable,
    /// The `haltable` hook agreed.
    Haltable,
    /// Its services are stopped.
    Quiet,
    /// It is not mounted.
    Unmounted,
    /// Its volume is not attached.
    Separated,
    /// A completed seal covers its volume.
    Sealed,
    /// Its volume carries the retire mark.
    Retired,
    /// It has no volume.
    Gone,
    /// It has no snapshot.
    Forgotten,
}

impl Fact {
    /// A fact of a part.
    pub fn of(kind: FactKind, part: &Part) -> Fact {
        Fact { kind, part: part.clone() }
    }
}

/// A part that is not as wanted and has no step: what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which part.
    pub part: Part,
    /// For what.
    pub cause: Cause,
    /// Set when it waited longer than the policy allows: a person is asked.
    pub overdue: bool,
}

impl FactKind {
    /// In words: completes "it is ".
    pub fn words(self) -> &'static str {
        match self {
            FactKind::Mirrored => "known to everything that lasts what is demanded",
            FactKind::Named => "renamed",
            FactKind::Running => "running",
            FactKind::Heard => "heard by its agent",
            FactKind::Stopped => "stopped",
            FactKind::NoMachine => "without a machine",
            FactKind::Exists => "there",
            FactKind::Attached => "attached",
            FactKind::Grown => "large enough",
            FactKind::Mounted => "mounted",
            FactKind::Configured => "configured",
            FactKind::Launched => "launched",
            FactKind::Unmountable => "unmountable",
            FactKind::Haltable => "haltable",
            FactKind::Quiet => "quiet",
            FactKind::Unmounted => "unmounted",
            FactKind::Separated => "separated",
            FactKind::Sealed => "sealed",
            FactKind::Retired => "retired",
            FactKind::Gone => "gone",
            FactKind::Forgotten => "forgotten",
        }
    }
}

/// The steps as a graph, plus what already holds and what waits for what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In an order in which they could be done; each says which earlier ones it comes after.
    pub steps: Vec<Planned>,
    /// What stays undone, and why.
    pub waiting: Vec<Waiting>,
    /// How many parts are as wanted already.
    pub right: usize,
    /// How many parts there are.
    pub parts: usize,
    /// What is reported and left alone.
    pub notes: Vec<String>,
    /// What is demanded, and how that is known.
    pub demand: String,
}

/// A step of a plan, with its place in the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// What and why.
    pub step: Step,
    /// The round of the forecast in which it came up.
    pub round: u32,
    /// Indices of earlier steps that it comes after.
    pub after: Vec<u32>,
}

impl Plan {
    /// Nothing to do, and nothing that waits.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// What a state is asked of, as a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The state.
    pub state: State,
    /// Why it is wanted.
    pub origin: WantedBy,
}

/// Why a state is wanted of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedBy {
    /// It is demanded.
    Demand,
    /// The file wants fewer nodes.
    Surplus,
    /// Its cloud left the file.
    Orphan,
}

/// The token of a creation: derived, so that the same wish is the same token, whoever asks.
pub fn token(part: &Part, what: &str, number: u32) -> Token {
    let Part { slot, mount } = part;
    let text = match mount {
        None => format!("{}/{}/{what}/{number}", slot.cloud.0.simple(), slot.index),
        Some(mount) => format!("{}/{}/{mount}/{what}/{number}", slot.cloud.0.simple(), slot.index),
    };
    Token::new(text)
}
