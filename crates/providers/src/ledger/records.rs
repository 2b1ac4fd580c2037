//! The data folder: where everything lies, and what is written of it.
//!
//! `machines/<id>/`, `volumes/<id>/`, `snapshots/<id>/` each with a `meta.json`; `tokens/`; `trash/` for what is
//! being removed; `lock` for every call. A thing whose `meta.json` says that it is not whole, or that has neither
//! a `meta.json` nor data, is half made: it belongs to the process that holds its own lock, or to the sweep.
//! Whatever else lies there is somebody's, and is left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ideal_core::id::{Life, MachineId, SnapshotId, VolumeId};
use ideal_core::observed::{Machine, MachineState, RetireMark, SealKind, Snapshot, SnapshotState, Tags};
use ideal_core::time::{Bytes, Time};
use ideal_host::durable::{self, Lock};
use ideal_host::{Home, now};
use serde::{Deserialize, Serialize};

use super::{Machines, Volumes};
use crate::ProviderError;

/// The data folder, opened.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub data: PathBuf,
    /// The provider in a word: crash points begin with it.
    pub(super) word: &'static str,
    /// Tells this data folder from every other one, so that ids made from the same token differ.
    pub id: String,
    pub(super) machines: Box<dyn Machines>,
    pub(super) volumes: Box<dyn Volumes>,
}

/// What is written of a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MachineMeta {
    pub id: MachineId,
    pub tags: Option<Tags>,
    pub image: String,
    pub size: String,
    pub address: String,
    pub agent: String,
    pub created: Time,
    /// The first of the two acts of its ending.
    #[serde(default)]
    pub retired: bool,
    pub end: End,
}

/// How far the end of a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Not,
    Begun,
    Done(Time),
}

/// What is written of a volume. Where it is attached is decided by where its data is; `machine` only says where
/// to look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VolumeMeta {
    pub id: VolumeId,
    pub tags: Option<Tags>,
    pub life: Life,
    pub size: Bytes,
    pub origin: Option<SnapshotId>,
    pub retired: Option<RetireMark>,
    pub whole: bool,
    pub machine: Option<MachineId>,
}

/// What is written of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotMeta {
    pub id: SnapshotId,
    pub tags: Option<Tags>,
    pub volume: VolumeId,
    pub life: Life,
    pub seal: Option<SealKind>,
    pub size: Bytes,
    pub at: Time,
    /// Of the content, once it is whole.
    pub checksum: Option<String>,
}

impl SnapshotMeta {
    pub(super) fn show(self) -> Snapshot {
        let whole = self.checksum.is_some();
        Snapshot {
            id: self.id,
            tags: self.tags.unwrap_or_else(Tags::nobodys),
            volume: self.volume,
            life: self.life,
            seal: self.seal,
            state: if whole { SnapshotState::Completed } else { SnapshotState::Pending },
            size: self.size,
            checksum: self.checksum,
            at: self.at,
        }
    }
}

impl MachineMeta {
    pub(super) fn show(self, state: MachineState) -> Machine {
        Machine {
            id: self.id,
            tags: self.tags.unwrap_or_else(Tags::nobodys),
            state,
            address: Some(self.address),
            agent: Some(self.agent),
            retired: self.retired,
            image: self.image,
            size: self.size,
        }
    }
}

/// An id becomes a part of a path, and it may come from a file that a person wrote.
fn safe(id: &str) -> io::Result<&str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !id.is_empty() && id.len() <= 64 && id.chars().all(good) {
        return Ok(id);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("`{id}` is no id of this provider")))
}

impl Ledger {
    /// Opens the data folder, and makes it when it is not there. What machines and volumes are made of is told by
    /// `matter`, from the folder and its id.
    pub(crate) fn open(
        data: &Path,
        word: &'static str,
        matter: impl FnOnce(&Path, &str) -> io::Result<(Box<dyn Machines>, Box<dyn Volumes>)>,
    ) -> io::Result<Ledger> {
        durable::private_dir(data)?;
        let data = data.canonicalize()?;
        for part in ["machines", "volumes", "snapshots", "tokens", "trash"] {
            durable::private_dir(&data.join(part))?;
        }
        let _lock = Lock::take(&data.join("lock"))?;
        let at = data.join("id");
        let id = match durable::read_json(&at)? {
            Some(id) => id,
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                durable::write_json(&at, &id)?;
                id
            }
        };
        let (machines, volumes) = matter(&data, &id)?;
        Ok(Ledger { data, word, id, machines, volumes })
    }

    /// Every reading and every change is made under it, so that a listing is of one instant. Copies are not.
    pub(crate) fn lock(&self) -> io::Result<Lock> {
        Lock::take(&self.data.join("lock"))
    }

    pub(crate) fn home(&self, id: &MachineId) -> io::Result<Home> {
        Ok(Home::new(self.data.join("machines").join(safe(id.as_str())?)))
    }
    pub(super) fn volume(&self, id: &VolumeId) -> io::Result<PathBuf> {
        Ok(self.data.join("volumes").join(safe(id.as_str())?))
    }
    pub(super) fn snapshot(&self, id: &SnapshotId) -> io::Result<PathBuf> {
        Ok(self.data.join("snapshots").join(safe(id.as_str())?))
    }

    pub(crate) fn machine_meta(&self, id: &MachineId) -> io::Result<Option<MachineMeta>> {
        meta(self.home(id).map(|home| home.path().join(META)))
    }
    pub(super) fn volume_meta(&self, id: &VolumeId) -> io::Result<Option<VolumeMeta>> {
        meta(self.volume(id).map(|folder| folder.join(META)))
    }
    pub(super) fn snapshot_meta(&self, id: &SnapshotId) -> io::Result<Option<SnapshotMeta>> {
        meta(self.snapshot(id).map(|folder| folder.join(META)))
    }
    pub(super) fn write_machine(&self, meta: &MachineMeta) -> io::Result<()> {
        durable::write_json(&self.home(&meta.id)?.path().join(META), meta)
    }
    pub(super) fn write_volume(&self, meta: &VolumeMeta) -> io::Result<()> {
        durable::write_json(&self.volume(&meta.id)?.join(META), meta)
    }
    pub(super) fn write_snapshot(&self, meta: &SnapshotMeta) -> io::Result<()> {
        durable::write_json(&self.snapshot(&meta.id)?.join(META), meta)
    }

    /// The names of everything in one of the folders, in order.
    pub(crate) fn names(&self, part: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.data.join(part))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes a thing out of its place at once; what is left to do is only to free the space.
    pub(super) fn discard(&self, path: &Path) -> io::Result<PathBuf> {
        let trash = self.data.join("trash").join(format!("{}-{}", now().0, uuid::Uuid::new_v4()));
        durable::rename(path, &trash)?;
        self.point("discarded");
        Ok(trash)
    }
}

pub(super) const META: &str = "meta.json";

fn meta<T: serde::de::DeserializeOwned>(path: io::Result<PathBuf>) -> io::Result<Option<T>> {
    match path {
        Ok(path) => match durable::read_json(&path) {
            // A file where a folder should be is nothing of ours.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            other => other,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The refusal of what is not there.
pub(super) fn no_such(id: impl std::fmt::Display) -> ProviderError {
    ProviderError::refused(format!("there is no {id}"))
}
