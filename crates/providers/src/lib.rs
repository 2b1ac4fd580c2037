//! Adapters to what makes machines and volumes.
//!
//! A provider lists, reads by id, and can be given one shove at a time; it decides nothing. Adding one: a file
//! here, an arm in the registry; the contract suite runs on it unasked.

#[cfg(feature = "contract")]
pub mod contract;

pub mod docker;
pub mod ec2;
mod ledger;
pub mod local;
pub mod registry;
pub mod sim;
pub mod ssh;

pub use docker::{Docker, DockerOptions};
pub use ec2::Ec2;
pub use ideal_host::crash_point;
pub use ideal_ssh::{Came, Told};
pub use local::{Local, LocalOptions};
pub use ssh::Ssh;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use futures_util::future::join_all;
use ideal_core::build::Build;
use ideal_core::demand::Demands;
use ideal_core::guard::{
    BackupPermit, DeletePermit, DetachPermit, PrunePermit, SealPermit, StopPermit, TerminatePermit,
};
use ideal_core::id::{Epoch, Life, MachineId, Name, SnapshotId, Token, VolumeId};
use ideal_core::observed::{Listing, Machine, RetireMark, SealKind, Snapshot, Tags, Volume};
use ideal_core::time::{Bytes, Span};

/// A future of a provider's answer. Not `Send`: the engine is one task, and so is each simulation.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + 'a>>;

/// A future of the answers to several shoves.
pub type Together<'a> = Pin<Box<dyn Future<Output = Vec<Result<Answer, ProviderError>>> + 'a>>;

/// What makes machines and volumes.
pub trait Provider: fmt::Debug {
    /// What can be relied upon.
    fn character(&self) -> Character;
    /// Everything that carries our tags, in as few calls as the API allows.
    fn describe(&self) -> Answering<'_, Listing>;
    /// One object by its id, freshly. `None`: the provider says that there is no such thing, which for a thing
    /// made a moment ago ([`Character::settle`]) proves nothing.
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>>;
    /// One shove. Accepted does not mean done: done is what is observed later.
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer>;
    /// Several shoves of one kind, in as few requests as can be: as if each had been issued by itself, answered in their
    /// order. Only machines are asked for so, and only as many as [`Character::at_once`] says.
    fn issue_together<'a>(&'a self, calls: &'a [Call]) -> Together<'a> {
        Box::pin(join_all(calls.iter().map(|call| self.issue(call))))
    }
    /// A trial: restores a completed snapshot to where nobody uses it, reads it back, compares, and removes it.
    fn verify<'a>(&'a self, id: &'a SnapshotId) -> Answering<'a, Verdict>;
    /// Sees to it that the agent of [`Character::agent`] runs on a machine. Again is as good as once. Where another runs
    /// it is replaced, and is back if the new one does not answer; nothing that it started is touched. `told`: of how much
    /// of it has come.
    fn bring_agent<'a>(&'a self, machine: &'a Machine, told: Told<'a>) -> Answering<'a, ()> {
        let _ = (machine, told);
        let refused = ProviderError::refused("machines of this provider come with their agent");
        Box::pin(std::future::ready(Err(refused)))
    }
    /// How a person gets into a machine that runs. `terminal`: whether there is one at this end.
    fn way_in<'a>(&'a self, machine: &'a Machine, terminal: bool) -> Answering<'a, WayIn> {
        let _ = (machine, terminal);
        let refused = ProviderError::refused("its provider knows no way into it for people");
        Box::pin(std::future::ready(Err(refused)))
    }
}

/// What came of the trial of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The checksum that was written down when it was taken.
    pub taken: String,
    /// The checksum of what was restored.
    pub restored: String,
}

impl Verdict {
    /// Whether it would bring back what was sealed.
    pub fn holds(&self) -> bool {
        self.taken == self.restored
    }
}

/// A program of this host that leads into a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayIn {
    /// Its words; those of the program to be run there follow.
    pub words: Vec<String>,
    /// Where it is started.
    pub at: Option<PathBuf>,
    /// Added to its environment.
    pub environment: BTreeMap<String, String>,
}

/// What can be relied upon at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Character {
    /// After this long, what was done is seen by every read. Zero: at once.
    pub settle: Span,
    /// How a dead machine is kept from writing.
    pub fence: Fence,
    /// Whether its machines can be stopped and started again.
    pub stops: bool,
    /// Whether machines are made as they are asked for. If not such as exist are taken, as they are.
    pub makes_machines: bool,
    /// Whether a deletion is refused by the provider itself unless the volume carries the mark.
    pub enforces_marks: bool,
    /// The agent that [`Provider::bring_agent`] brings. None: machines come with theirs.
    pub agent: Option<Build>,
    /// How many machines are asked for at once. One: each by itself.
    pub at_once: usize,
    /// How long to wait between two looks while something is under way there. Looking costs requests.
    pub pace: Span,
    /// How long it is left alone when nothing is to be done there.
    pub rest: Span,
}

impl Character {
    /// One on this host: what was done is seen at once, and looking costs nothing.
    pub fn at_hand(fence: Fence) -> Character {
        Character {
            settle: Span::ZERO,
            fence,
            stops: true,
            makes_machines: true,
            enforces_marks: true,
            agent: None,
            at_once: 1,
            pace: Span::ZERO,
            rest: Span::ZERO,
        }
    }
}

/// How a machine is kept from writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It is ended.
    Terminate,
    /// It cannot be: a person must confirm that it is dead.
    None,
}

/// The id of any object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectId {
    /// A machine's.
    Machine(MachineId),
    /// A volume's.
    Volume(VolumeId),
    /// A snapshot's.
    Snapshot(SnapshotId),
}
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectId::Machine(id) => id.fmt(f),
            ObjectId::Volume(id) => id.fmt(f),
            ObjectId::Snapshot(id) => id.fmt(f),
        }
    }
}

/// Any object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A machine.
    Machine(Machine),
    /// A volume.
    Volume(Volume),
    /// A snapshot.
    Snapshot(Snapshot),
}

/// One shove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Make a machine. The same token and parameters again: the same machine is answered, ended or not; other
    /// parameters: [`ProviderError::Refused`].
    CreateMachine {
        /// Makes it idempotent; also in the tags.
        token: Token,
        /// Written at creation.
        tags: Tags,
        /// In the provider's words; empty: its default.
        image: String,
        /// See [`ideal_core::observed::size_text`].
        size: String,
    },
    /// Start a stopped machine.
    StartMachine(MachineId),
    /// Stop a machine that runs; again is as good as once. What is on its own disk stays, and so do its volumes.
    StopMachine(StopPermit),
    /// The first of the two acts of a machine's ending: the mark is never taken off, and a marked machine is not
    /// used again.
    RetireMachine(TerminatePermit),
    /// The second act: end a marked machine for good. Its volumes stay. Refused when it is not marked.
    Terminate(TerminatePermit),
    /// Make a volume. Tokens as for machines.
    CreateVolume {
        /// Makes it idempotent; also in the tags.
        token: Token,
        /// Written at creation.
        tags: Tags,
        /// How large.
        size: Bytes,
        /// The life that its content is of: zero for a blank one.
        life: Life,
        /// What it is made of; none: blank.
        from: Option<SnapshotId>,
    },
    /// Give a volume our tags: one that a person named in the file and that nobody owns.
    ClaimVolume {
        /// Which.
        volume: VolumeId,
        /// Ours.
        tags: Tags,
    },
    /// Raise the life of a detached volume and clear its retire mark: written *before* it is attached. Refused
    /// when the volume is attached or its life is not lower.
    NewLife {
        /// Which.
        volume: VolumeId,
        /// The new life.
        life: Life,
    },
    /// Attach a volume. Refused when it is retired, attached, or not in this life.
    Attach {
        /// Which.
        volume: VolumeId,
        /// The life that was written before.
        life: Life,
        /// To which machine.
        machine: MachineId,
        /// For which mount.
        mount: Name,
    },
    /// Take a volume from its machine.
    Detach(DetachPermit),
    /// Take a snapshot that is a seal. Tokens as for machines.
    Seal {
        /// Proof that the volume is detached.
        permit: SealPermit,
        /// Makes it idempotent; also in the tags.
        token: Token,
        /// Written at creation.
        tags: Tags,
        /// What it rests on.
        kind: SealKind,
    },
    /// Take a snapshot of a volume that may be in use, as it is at one instant. Tokens as for machines. Who wants more
    /// than that instant keeps it still meanwhile.
    Backup {
        /// Of what, and of which life.
        permit: BackupPermit,
        /// Makes it idempotent; also in the tags.
        token: Token,
        /// Written at creation.
        tags: Tags,
    },
    /// Make a volume larger, attached or not. Again is as good as once; never smaller.
    Grow {
        /// Which.
        volume: VolumeId,
        /// How large it will be.
        size: Bytes,
    },
    /// The first of the two acts of deletion. Refused when the volume is attached or in another life.
    Retire {
        /// Which.
        volume: VolumeId,
        /// The mark.
        mark: RetireMark,
    },
    /// The second act. Refused unless detached, in the permit's life, and marked in that life.
    DeleteVolume(DeletePermit),
    /// Delete a snapshot.
    DeleteSnapshot(PrunePermit),
    /// Mirror the demands to objects that last. Objects that are gone are passed over.
    Mirror {
        /// To which.
        objects: Vec<ObjectId>,
        /// What is demanded.
        demand: Demands,
        /// By which engine.
        epoch: Epoch,
    },
    /// Give volumes and snapshots the new name of their mount.
    Rename {
        /// Which.
        objects: Vec<ObjectId>,
        /// The new name.
        mount: Name,
    },
    /// Take our tags off: the things stay as they are and are nobody's.
    Disown {
        /// Which.
        objects: Vec<ObjectId>,
    },
}

/// What a provider answers to a shove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepted; the effect will be seen.
    Accepted,
    /// Accepted; this is the object it made (or had made before, for this token: it may be ended by now).
    Made(Object),
}

/// Why a call came to nothing. Every one answers a question: may it be tried again?
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nothing happened; try again later.
    #[error("{why}")]
    Retry {
        /// In one line.
        why: String,
        /// Not before this long.
        after: Option<Span>,
    },
    /// Nothing happened, and the same call will not do better.
    #[error("{why}")]
    Refused {
        /// In one line.
        why: String,
    },
    /// This token was used for something else.
    #[error("the token was used before with other parameters")]
    TokenTaken,
    /// Nobody knows whether it happened: look before anything else.
    #[error("{why}, and it is not known whether it happened")]
    Unknown {
        /// In one line.
        why: String,
    },
}

impl ProviderError {
    /// Try again later.
    pub fn retry(why: impl Into<String>) -> ProviderError {
        ProviderError::Retry { why: why.into(), after: None }
    }
    /// Give up.
    pub fn refused(why: impl Into<String>) -> ProviderError {
        ProviderError::Refused { why: why.into() }
    }
}
