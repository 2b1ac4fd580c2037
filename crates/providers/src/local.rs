//! `local`: machines are processes, volumes are folders. No root, Docker or network needed.
//!
//! A machine is a keeper process with a home; a volume is a folder that is moved under the machine when it is
//! attached; a snapshot is a checked copy. What is written down of them, and under which conditions they change,
//! is the ledger's.
//!
//! The size of a volume is recorded and not enforced. Copies keep content, modes, owners, times and links; they
//! do not keep extended attributes, and pass over sockets and devices.

mod containers;
mod copy;
mod folders;
mod keeper;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ideal_core::id::SnapshotId;
use ideal_core::observed::{Listing, Machine};
use ideal_host::{AgentCommand, Identity, durable};

use crate::ledger::Ledger;
use crate::{
    Answer, Answering, Call, Character, Fence, Object, ObjectId, Provider, ProviderError, Verdict, WayIn,
};
pub(crate) use folders::Folders;
use keeper::Keepers;

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
    ledger: Arc<Ledger>,
    run: PathBuf,
}

impl Local {
    /// Opens the data folder, and makes it when it is not there.
    pub fn new(options: LocalOptions) -> io::Result<Local> {
        durable::private_dir(&options.run)?;
        let run = options.run.canonicalize()?;
        let keepers = Keepers { run: run.clone(), agent: options.agent };
        let ledger = Ledger::open(&options.data, "local", |_, _| Ok((Box::new(keepers), Box::new(Folders))))?;
        Ok(Local { ledger: Arc::new(ledger), run })
    }
    /// Removes what a crash left half made. Answers what that was. Every listing does the same.
    pub fn sweep_unfinished(&self) -> Result<Vec<PathBuf>, ProviderError> {
        let _lock = self.ledger.lock()?;
        self.ledger.sweep()
    }
    /// Every process of every machine of this data folder, in words.
    pub fn processes(&self) -> io::Result<Vec<String>> {
        keeper::processes(&self.ledger)
    }
    /// Kills every process of every machine of this data folder. What is on disk stays, so that the machines are
    /// seen as impaired. Answers how many could not be killed.
    pub fn kill_everything(&self) -> io::Result<usize> {
        keeper::kill_everything(&self.ledger)
    }

    /// Removes the data folder when nothing is in it but machines that were ended (not `ended`: not even those).
    /// Answers whether it did.
    pub fn remove_when_over(&self, ended: bool) -> io::Result<bool> {
        let _lock = self.ledger.lock()?;
        if !self.ledger.is_over(ended)? || !self.processes()?.is_empty() {
            return Ok(false);
        }
        durable::remove(&self.ledger.data)?;
        // Others may have sockets there: then it stays.
        _ = std::fs::remove_dir(&self.run);
        Ok(true)
    }
}

impl Provider for Local {
    fn character(&self) -> Character {
        Character::at_hand(Fence::Terminate)
    }
    fn describe(&self) -> Answering<'_, Listing> {
        self.ledger.aside(Ledger::list)
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        self.ledger.reading(id)
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        self.ledger.issuing(call)
    }
    fn verify<'a>(&'a self, id: &'a SnapshotId) -> Answering<'a, Verdict> {
        self.ledger.verifying(id)
    }
    /// A program of this host in the node's root, with the marks of the machine: it ends with it.
    fn way_in<'a>(&'a self, machine: &'a Machine, _: bool) -> Answering<'a, WayIn> {
        let id = machine.id.clone();
        self.ledger.aside(move |ledger| {
            let home = ledger.home(&id)?;
            let identity: Identity = durable::read_json(&home.identity())?
                .ok_or_else(|| ProviderError::refused(format!("{id} has no identity.json")))?;
            Ok(WayIn { words: Vec::new(), at: Some(home.root()), environment: identity.marks(&home) })
        })
    }
}
