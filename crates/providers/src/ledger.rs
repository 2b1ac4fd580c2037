//! What a provider of this host writes down, and under which conditions it changes a thing.
//!
//! Tokens, tags, lives, marks and the two acts of every end are the same whatever machines and volumes are made
//! of. That is asked of two traits: [`Machines`] and [`Volumes`]. Everything is below one data folder and is read
//! from it afresh by every call, under one lock: there is nothing in memory that could be lost or be wrong.

mod listing;
mod machines;
mod records;
mod snapshots;
mod tags;
mod tokens;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ideal_core::id::{MachineId, SnapshotId, VolumeId};
use ideal_core::observed::MachineState;
use ideal_core::time::{Bytes, Time};
use ideal_host::Home;
use ideal_host::durable::Lock;
use ideal_host::home::Attached;

use crate::{Answer, Answering, Call, Object, ObjectId, ProviderError, Verdict};
pub(crate) use machines::STARTS_WITHIN;
pub(crate) use records::{End, Ledger, MachineMeta};

/// How a machine is reached, known before it is made.
#[derive(Debug)]
pub(crate) struct Way {
    /// Its network address, when that is known already.
    pub address: String,
    /// Where its agent is reached from here.
    pub agent: String,
    /// Where its agent listens, as the machine sees it.
    pub within: String,
    /// Whether it is a whole machine and not a folder of this one.
    pub whole: bool,
}

/// One look at all machines, where one look is cheaper than many.
#[derive(Debug, Default)]
pub(crate) struct Glance(pub BTreeMap<MachineId, Seen>);

/// One machine at a glance.
#[derive(Debug)]
pub(crate) struct Seen {
    pub state: MachineState,
    pub address: Option<String>,
}

/// What machines are made of.
pub(crate) trait Machines: fmt::Debug + Send + Sync {
    /// How the machine with this id and image is reached; refused when it could not be made.
    fn way(&self, id: &MachineId, image: &str) -> Result<Way, ProviderError>;
    /// One look at all of them.
    fn glance(&self) -> Result<Glance, ProviderError>;
    /// How a machine is that nobody has begun to end.
    fn state(&self, home: &Home, meta: &MachineMeta, glance: &Glance) -> io::Result<MachineState>;
    /// Makes it run that never did. Again is as good as once.
    fn begin(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError>;
    /// Makes it run that has stopped.
    fn resume(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError>;
    /// Ends all that runs on it, to be resumed. Again is as good as once.
    fn stop(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError>;
    /// Ends all that runs on it. What is answered keeps it from starting for as long as it is held.
    fn end(&self, home: &Home, meta: &MachineMeta) -> Result<Option<Lock>, ProviderError>;
    /// Removes what lies outside of its home.
    fn forget(&self, meta: &MachineMeta) -> io::Result<()>;
    /// Removes what is ours and of no machine that is left.
    fn sweep(&self, left: &[MachineMeta]) -> Result<(), ProviderError>;
}

/// Where the data of a volume is.
pub(crate) enum Place {
    /// With the volume: detached.
    Here,
    /// With a machine: attached.
    On(MachineId),
    /// Nowhere: somebody took it away.
    Lost,
}

/// What volumes are made of. `data` is where the data of a detached volume lies.
pub(crate) trait Volumes: fmt::Debug + Send + Sync {
    /// Where its data is; `on` is the machine that was last written down for it.
    fn place(&self, data: &Path, on: Option<(&MachineId, &Home)>, id: &VolumeId) -> io::Result<Place>;
    /// Makes blank data.
    fn blank(&self, to: &Path, size: Bytes) -> io::Result<()>;
    /// Copies data to where nothing is, and syncs it.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Brings data to the size of its volume, when that is larger; whoever has it as a device sees that.
    fn fit(&self, at: &Path, size: Bytes) -> io::Result<()>;
    /// Whether who writes to it can be held still while it is copied. Else an instant without a write is waited for.
    fn can_be_held(&self) -> bool;
    /// Where its data can be read; `data` and `on` are as for [`Volumes::place`].
    fn readable(&self, data: &Path, on: Option<&Home>, id: &VolumeId) -> PathBuf;
    /// A checksum over data.
    fn checksum(&self, at: &Path) -> io::Result<String>;
    /// Gives it to a machine that runs. That it was written down for that machine comes before.
    fn attach(&self, data: &Path, home: &Home, attached: Attached) -> Result<(), ProviderError>;
    /// Takes it back. Refused or put off when it is in use.
    fn detach(&self, data: &Path, home: &Home, id: &VolumeId) -> Result<(), ProviderError>;
    /// Which volumes are with a machine.
    fn with(&self, home: &Home) -> io::Result<Vec<String>>;
    /// Gives a machine again what it had before it stopped. `data`: where that of each volume lies.
    fn again(&self, home: &Home, data: &dyn Fn(&VolumeId) -> io::Result<PathBuf>) -> io::Result<()>;
    /// Lets filesystems go on that the agent of a machine held still for longer than until `before`: when it has died,
    /// nobody else does, and what waits for its disk cannot even be ended. `data` as above.
    fn let_go(
        &self,
        home: &Home,
        before: Time,
        data: &dyn Fn(&VolumeId) -> io::Result<PathBuf>,
    ) -> io::Result<()>;
    /// Undoes what a crash left half done for volumes that are with no machine: those of which the data lies here.
    fn sweep(&self, detached: &[PathBuf]) -> io::Result<()>;
}

impl Ledger {
    /// Answers aside: everything here waits for the disk, some of it for long.
    pub(crate) fn aside<T: Send + 'static>(
        self: &Arc<Ledger>,
        act: impl FnOnce(&Ledger) -> Result<T, ProviderError> + Send + 'static,
    ) -> Answering<'static, T> {
        let ledger = self.clone();
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || act(&ledger)).await {
                Ok(result) => result,
                Err(error) => Err(ProviderError::Unknown { why: format!("the call failed: {error}") }),
            }
        })
    }

    /// One object by its id.
    pub(crate) fn reading(self: &Arc<Ledger>, id: &ObjectId) -> Answering<'static, Option<Object>> {
        let id = id.clone();
        self.aside(move |ledger| ledger.read(&id))
    }
    /// The trial of a snapshot.
    pub(crate) fn verifying(self: &Arc<Ledger>, id: &SnapshotId) -> Answering<'static, Verdict> {
        let id = id.clone();
        self.aside(move |ledger| ledger.verify(&id))
    }
    /// One shove.
    pub(crate) fn issuing(self: &Arc<Ledger>, call: &Call) -> Answering<'static, Answer> {
        let call = call.clone();
        self.aside(move |ledger| ledger.issue(call))
    }

    /// A test can make the program die here.
    fn point(&self, name: &str) {
        if cfg!(debug_assertions) {
            crate::crash_point(&format!("{}.{name}", self.word));
        }
    }

    fn issue(&self, call: Call) -> Result<Answer, ProviderError> {
        match call {
            Call::CreateMachine { token, tags, image, size } => {
                self.create_machine(&token, tags, image, size)
            }
            Call::StartMachine(id) => self.start_machine(&id),
            Call::StopMachine(permit) => self.stop_machine(permit.machine()),
            Call::RetireMachine(permit) => self.retire_machine(permit.machine()),
            Call::Terminate(permit) => self.terminate(permit.machine()),
            Call::CreateVolume { token, tags, size, life, from } => {
                self.create_volume(&token, tags, size, life, from)
            }
            Call::ClaimVolume { volume, tags } => self.claim(&volume, tags),
            Call::NewLife { volume, life } => self.new_life(&volume, life),
            Call::Attach { volume, life, machine, mount } => self.attach(&volume, life, &machine, mount),
            Call::Detach(permit) => self.detach(permit.volume(), permit.machine(), *permit.life()),
            Call::Seal { permit, token, tags, kind } => {
                self.seal(permit.volume(), *permit.life(), &token, tags, kind)
            }
            Call::Backup { permit, token, tags } => {
                self.backup(permit.volume(), *permit.life(), &token, tags)
            }
            Call::Grow { volume, size } => self.grow(&volume, size),
            Call::Retire { volume, mark } => self.retire(&volume, mark),
            Call::DeleteVolume(permit) => self.delete_volume(permit.volume(), *permit.life()),
            Call::DeleteSnapshot(permit) => self.delete_snapshot(permit.snapshot()),
            Call::Mirror { objects, demand, epoch } => self.mirror(&objects, &demand, epoch),
            Call::Rename { objects, mount } => self.rename(&objects, &mount),
            Call::Disown { objects } => self.disown(&objects),
        }
    }
}

/// An error of the disk in the middle of a change: every change here can be made again or is swept, but whether
/// this one holds must be looked at.
impl From<io::Error> for ProviderError {
    fn from(error: io::Error) -> ProviderError {
        ProviderError::Unknown { why: error.to_string() }
    }
}
