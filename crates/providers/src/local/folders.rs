//! Volumes that are folders, moved to the machine that they are attached to. Where the data is, is where the
//! volume is attached.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ideal_core::id::{MachineId, VolumeId};
use ideal_core::time::{Bytes, Time};
use ideal_host::Home;
use ideal_host::durable;
use ideal_host::home::Attached;

use super::copy;
use crate::ledger::{Place, Volumes};
use crate::{ProviderError, crash_point};

/// Volumes as folders.
#[derive(Debug)]
pub(crate) struct Folders;

impl Volumes for Folders {
    fn place(&self, data: &Path, on: Option<(&MachineId, &Home)>, id: &VolumeId) -> io::Result<Place> {
        if data.is_dir() {
            return Ok(Place::Here);
        }
        match on {
            Some((machine, home)) if home.volume(id).is_dir() => Ok(Place::On(machine.clone())),
            _ => Ok(Place::Lost),
        }
    }
    /// The size is not enforced.
    fn blank(&self, to: &Path, _: Bytes) -> io::Result<()> {
        fs::create_dir(to)
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        copy::copy(from, to)
    }
    fn fit(&self, _: &Path, _: Bytes) -> io::Result<()> {
        Ok(())
    }
    fn can_be_held(&self) -> bool {
        false
    }
    fn readable(&self, data: &Path, on: Option<&Home>, id: &VolumeId) -> PathBuf {
        on.map_or_else(|| data.to_owned(), |home| home.volume(id))
    }
    fn checksum(&self, at: &Path) -> io::Result<String> {
        copy::checksum(at)
    }
    fn attach(&self, data: &Path, home: &Home, attached: Attached) -> Result<(), ProviderError> {
        durable::private_dir(&home.attached())?;
        durable::private_dir(&home.volumes())?;
        durable::write_json(&home.attachment(&attached.volume), &attached)?;
        crash_point("local.attach.written");
        Ok(durable::rename(data, &home.volume(&attached.volume))?)
    }
    fn detach(&self, data: &Path, home: &Home, id: &VolumeId) -> Result<(), ProviderError> {
        durable::rename(&home.volume(id), data)?;
        crash_point("local.detach.taken");
        Ok(durable::remove(&home.attachment(id))?)
    }
    fn with(&self, home: &Home) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(home.volumes()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
    fn again(&self, _: &Home, _: &dyn Fn(&VolumeId) -> io::Result<PathBuf>) -> io::Result<()> {
        Ok(())
    }
    fn let_go(&self, _: &Home, _: Time, _: &dyn Fn(&VolumeId) -> io::Result<PathBuf>) -> io::Result<()> {
        Ok(())
    }
    fn sweep(&self, _: &[PathBuf]) -> io::Result<()> {
        Ok(())
    }
}
