//! Which machine is which node, as it is written down. Read afresh by each call, under a lock: nothing is in memory that
//! could be lost or be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ideal_core::demand::Demands;
use ideal_core::id::{Epoch, MachineId};
use ideal_core::observed::Tags;
use ideal_core::time::Time;
use ideal_host::durable::{self, Lock};
use serde::{Deserialize, Serialize};

use super::no_such;
use crate::{Answer, ObjectId, ProviderError};

/// A machine that is a node, or was one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The name of the way to it.
    pub way: String,
    /// Whom `ssh` is told to connect to.
    pub host: String,
    /// Where other nodes reach it.
    pub address: String,
    pub tags: Tags,
    /// As asked when it was taken.
    pub image: String,
    /// As asked when it was taken.
    pub size: String,
    pub retired: bool,
    /// When it was given back.
    pub over: Option<Time>,
    /// Whether ours may still run there: it was taken for dead and not heard.
    #[serde(default)]
    pub unheard: bool,
    /// Whether our agent ever answered there.
    #[serde(default)]
    pub came: bool,
}

/// All that is written down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    pub machines: BTreeMap<MachineId, Record>,
    /// Machines that said that they are no node, by the name of the way.
    pub free: BTreeSet<String>,
}

impl Book {
    /// The node that a machine is now.
    pub(super) fn taken(&self, way: &str) -> Option<(&MachineId, &Record)> {
        self.machines.iter().find(|(_, record)| record.way == way && record.over.is_none())
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(super) fn new(folder: PathBuf) -> Records {
        Records { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("machines.json")
    }

    pub(super) fn read(&self) -> Result<Book, ProviderError> {
        durable::read_json(&self.file()).map(Option::unwrap_or_default).map_err(|error| unreadable(&error))
    }

    /// Changes what is written down. An error changes nothing.
    pub(super) fn with<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let locked = || -> io::Result<Lock> {
            durable::private_dir(&self.folder)?;
            Lock::take(&self.folder.join("lock"))
        };
        let _lock = locked().map_err(|error| unreadable(&error))?;
        let mut book = self.read()?;
        let before = book.clone();
        let answer = change(&mut book)?;
        if book != before {
            durable::write_json(&self.file(), &book).map_err(|error| ProviderError::Unknown {
                why: format!("{}: {error}", self.file().display()),
            })?;
        }
        Ok(answer)
    }

    pub(super) fn change(
        &self,
        id: &MachineId,
        change: impl FnOnce(&mut Record) -> Result<(), ProviderError>,
    ) -> Result<Answer, ProviderError> {
        self.with(|book| change(book.machines.get_mut(id).ok_or_else(|| no_such(id))?))?;
        Ok(Answer::Accepted)
    }

    pub(super) fn mirror(
        &self,
        objects: &[ObjectId],
        demand: &Demands,
        epoch: Epoch,
    ) -> Result<Answer, ProviderError> {
        let demand = Arc::new(demand.clone());
        self.with(|book| {
            for object in objects {
                let ObjectId::Machine(id) = object else { continue };
                if let Some(record) = book.machines.get_mut(id) {
                    record.tags.demand = Some(demand.clone());
                    record.tags.epoch = record.tags.epoch.max(epoch);
                }
            }
            Ok(())
        })?;
        Ok(Answer::Accepted)
    }
}

fn unreadable(error: &io::Error) -> ProviderError {
    ProviderError::retry(format!("which machine is which node cannot be read: {error}"))
}

/// Removes the folder when no machine is a node any more. `ended`: also when such as were nodes are still remembered there.
pub(crate) fn remove_when_over(folder: &Path, ended: bool) -> io::Result<bool> {
    if !folder.exists() {
        return Ok(false);
    }
    let _lock = Lock::take(&folder.join("lock"))?;
    let book: Book = durable::read_json(&folder.join("machines.json"))?.unwrap_or_default();
    // What may still run there must be known when the machine is taken again.
    let keeps = |record: &Record| record.over.is_none() || record.unheard || !ended;
    if book.machines.values().any(keeps) {
        return Ok(false);
    }
    durable::remove(folder)?;
    Ok(true)
}
