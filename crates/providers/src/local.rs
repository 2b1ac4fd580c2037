//! `local`: machines are processes, volumes are folders. No root, Docker or network needed.
//!
//! A machine is a keeper process with a home; a volume is a folder that is moved under the machine when it is
//! attached; a snapshot is a checked copy. Everything is below one data folder and is read from it afresh by
//! every call, under one lock: there is nothing in memory that could be lost or be wrong.
//!
//! The size of a volume is recorded and not enforced. Copies keep content, modes, owners, times and links; they
//! do not keep extended attributes, and pass over sockets and devices.

mod copy;
mod disk;
mod listing;
mod machines;
mod snapshots;
mod tags;
mod tokens;
mod volumes;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ideal_core::observed::Listing;
use ideal_core::time::Span;
use ideal_host::AgentCommand;

use crate::{Answer, Answering, Call, Character, Fence, Object, ObjectId, Provider, ProviderError};
use disk::Disk;

/// Where `local` keeps things, and how it starts machines.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The data folder: `.ideal/local`.
    pub data: PathBuf,
    /// The folder of sockets. Short: the path of a socket has at most 107 bytes.
    pub run: PathBuf,
    /// How to start the agent.
    pub agent: AgentCommand,
}

/// Machines and volumes on this host.
#[derive(Clone, Debug)]
pub struct Local {
    disk: Arc<Disk>,
}

impl Local {
    /// Opens the data folder, and makes it when it is not there.
    pub fn new(options: LocalOptions) -> io::Result<Local> {
        Ok(Local { disk: Arc::new(Disk::open(options)?) })
    }
    /// Removes what a crash left half made. Answers what that was. Every listing does the same.
    pub fn sweep_unfinished(&self) -> io::Result<Vec<PathBuf>> {
        let _lock = self.disk.lock()?;
        self.disk.sweep()
    }
    /// Every process of every machine of this data folder, in words.
    pub fn processes(&self) -> io::Result<Vec<String>> {
        self.disk.processes()
    }
    /// Kills every process of every machine of this data folder. What is on disk stays, so that the machines are
    /// seen as impaired. Answers how many could not be killed.
    pub fn kill_everything(&self) -> io::Result<usize> {
        self.disk.kill_everything()
    }

    /// Removes the data folder when nothing is in it but machines that were ended (not `ended`: not even those).
    /// Answers whether it did.
    pub fn remove_when_over(&self, ended: bool) -> io::Result<bool> {
        let disk = &self.disk;
        let _lock = disk.lock()?;
        let machines = disk.names("machines")?;
        let holds = |part: &str| disk.names(part).map(|names| !names.is_empty());
        if holds("volumes")? || holds("snapshots")? || (!ended && !machines.is_empty()) {
            return Ok(false);
        }
        for name in machines {
            let meta = disk.machine_meta(&ideal_core::id::MachineId::new(name))?;
            if !meta.is_some_and(|meta| matches!(meta.end, disk::End::Done(_))) {
                return Ok(false);
            }
        }
        if !disk.processes()?.is_empty() {
            return Ok(false);
        }
        ideal_host::durable::remove(&disk.data)?;
        // Others may have sockets there: then it stays.
        _ = std::fs::remove_dir(&disk.run);
        Ok(true)
    }

    /// Everything here waits for the disk, some of it for long.
    fn aside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Disk) -> Result<T, ProviderError> + Send + 'static,
    ) -> Answering<'static, T> {
        let disk = self.disk.clone();
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || act(&disk)).await {
                Ok(result) => result,
                Err(error) => Err(ProviderError::Unknown { why: format!("the call failed: {error}") }),
            }
        })
    }
}

impl Provider for Local {
    fn character(&self) -> Character {
        Character { settle: Span::ZERO, fence: Fence::Terminate, enforces_marks: true }
    }
    fn describe(&self) -> Answering<'_, Listing> {
        self.aside(|disk| Ok(disk.list()?))
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        let id = id.clone();
        self.aside(move |disk| Ok(disk.read(&id)?))
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        let call = call.clone();
        self.aside(move |disk| disk.issue(call))
    }
}

/// An error of the disk in the middle of a change: every change here can be made again or is swept, but whether
/// this one holds must be looked at.
impl From<io::Error> for ProviderError {
    fn from(error: io::Error) -> ProviderError {
        ProviderError::Unknown { why: error.to_string() }
    }
}

impl Disk {
    fn issue(&self, call: Call) -> Result<Answer, ProviderError> {
        match call {
            Call::CreateMachine { token, tags, image, size } => {
                self.create_machine(&token, tags, image, size)
            }
            Call::StartMachine(id) => self.start_machine(&id),
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
            Call::Retire { volume, mark } => self.retire(&volume, mark),
            Call::DeleteVolume(permit) => self.delete_volume(permit.volume(), *permit.life()),
            Call::DeleteSnapshot(permit) => self.delete_snapshot(permit.snapshot()),
            Call::Mirror { objects, demand, epoch } => self.mirror(&objects, &demand, epoch),
            Call::Rename { objects, mount } => self.rename(&objects, &mount),
            Call::Disown { objects } => self.disown(&objects),
        }
    }
}
