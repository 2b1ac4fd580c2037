//! What is there: listing, reading by id, and the sweep of what a crash left half made.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ideal_core::id::{MachineId, SnapshotId, VolumeId};
use ideal_core::observed::Listing;
use ideal_core::time::{Span, Time};
use ideal_host::durable::{self, Lock, UNFINISHED};
use ideal_host::{Home, now};

use super::Place;
use super::records::{End, Ledger};
use super::snapshots::TRIAL;
use crate::{Object, ObjectId, ProviderError};

/// How long an ended machine is shown.
const SHOWN: Span = Span::hours(1);
/// How much later than it should an agent may let a filesystem go on before it counts as dead.
const LATE: Span = Span::secs(5);

impl Ledger {
    pub(crate) fn list(&self) -> Result<Listing, ProviderError> {
        let lock = self.lock()?;
        let glance = self.machines.glance()?;
        self.sweep()?;
        let mut listing = Listing { at: now(), complete: true, ..Listing::default() };
        for name in self.names("machines")? {
            if let Some(meta) = self.machine_meta(&MachineId::new(name))?.filter(|meta| meta.tags.is_some()) {
                listing.machines.push(self.seen_machine(meta, &glance)?);
            }
        }
        for name in self.names("volumes")? {
            if let Some(meta) = self.volume_meta(&VolumeId::new(name))?.filter(|meta| meta.tags.is_some()) {
                listing.volumes.push(self.show_volume(meta)?);
            }
        }
        for name in self.names("snapshots")? {
            if let Some(meta) = self.snapshot_meta(&SnapshotId::new(name))?.filter(|meta| meta.tags.is_some())
            {
                listing.snapshots.push(meta.show());
            }
        }
        drop(lock);
        // Out of sight already, and perhaps large; whoever put it there may be removing it at the same time.
        for name in self.names("trash")? {
            let _ = durable::remove(&self.data.join("trash").join(name));
        }
        Ok(listing)
    }

    pub(super) fn read(&self, id: &ObjectId) -> Result<Option<Object>, ProviderError> {
        let _lock = self.lock()?;
        Ok(match id {
            ObjectId::Machine(id) => match self.machine_meta(id)? {
                Some(meta) => Some(Object::Machine(self.seen_machine(meta, &self.machines.glance()?)?)),
                None => None,
            },
            ObjectId::Volume(id) => match self.volume_meta(id)? {
                Some(meta) => Some(Object::Volume(self.show_volume(meta)?)),
                None => None,
            },
            ObjectId::Snapshot(id) => self.snapshot_meta(id)?.map(|meta| Object::Snapshot(meta.show())),
        })
    }

    /// Removes what is half made and what is ended for long. Called with the lock held, so that nothing is
    /// between two of its steps but what holds a lock of its own.
    pub(crate) fn sweep(&self) -> Result<Vec<PathBuf>, ProviderError> {
        let (mut swept, mut left, mut detached) = (Vec::new(), Vec::new(), Vec::new());
        let machines = self.data.join("machines");
        for name in self.names("machines")? {
            let path = machines.join(&name);
            if name.ends_with(UNFINISHED) {
                swept.push(path);
                continue;
            }
            let Some(meta) = self.machine_meta(&MachineId::new(name))? else { continue };
            if matches!(meta.end, End::Done(at) if now().since(at) > SHOWN)
                && self.volumes.with(&self.home(&meta.id)?)?.is_empty()
            {
                swept.push(path);
                continue;
            }
            // What the agent itself does in time is left to it. What cannot be done now is tried at the next look.
            let late = Time(now().0.saturating_sub(LATE.0));
            _ = self.let_go(&self.home(&meta.id)?, late);
            left.push(meta);
        }
        for name in self.names("volumes")? {
            let meta = self.volume_meta(&VolumeId::new(name.clone()))?;
            if let Some(meta) = meta.as_ref().filter(|meta| meta.whole)
                && matches!(self.place(meta)?, Place::Here)
            {
                detached.push(self.volume(&meta.id)?.join("data"));
            }
            let whole = meta.map(|meta| meta.whole || meta.id.as_str() != name);
            self.sweep_unless(whole, self.data.join("volumes").join(name), &mut swept)?;
        }
        for name in self.names("snapshots")? {
            let meta = self.snapshot_meta(&SnapshotId::new(name.clone()))?;
            let whole = meta.map(|meta| meta.checksum.is_some() || meta.id.as_str() != name);
            let folder = self.data.join("snapshots").join(&name);
            if folder.join(TRIAL).exists() && Lock::try_take(&folder.join("lock"))?.is_some() {
                swept.push(folder.join(TRIAL));
            }
            self.sweep_unless(whole, self.data.join("snapshots").join(name), &mut swept)?;
        }
        self.volumes.sweep(&detached)?;
        self.machines.sweep(&left)?;
        for path in &swept {
            // At once: half removed it could no longer be told from what is left alone.
            let trash = self.discard(path)?;
            durable::remove(&trash)?;
        }
        Ok(swept)
    }

    /// Lets filesystems of a machine go on that are held still for longer than until `before`.
    pub(super) fn let_go(&self, home: &Home, before: Time) -> io::Result<()> {
        self.volumes.let_go(home, before, &|volume| Ok(self.volume(volume)?.join("data")))
    }

    /// Whether nothing is left but machines that were ended (not `ended`: not even those).
    pub(crate) fn is_over(&self, ended: bool) -> io::Result<bool> {
        let machines = self.names("machines")?;
        let holds = |part: &str| self.names(part).map(|names| !names.is_empty());
        if holds("volumes")? || holds("snapshots")? || (!ended && !machines.is_empty()) {
            return Ok(false);
        }
        for name in machines {
            let meta = self.machine_meta(&MachineId::new(name))?;
            if !meta.is_some_and(|meta| matches!(meta.end, End::Done(_))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `whole` is what was read of it; none: nothing was.
    fn sweep_unless(&self, whole: Option<bool>, path: PathBuf, swept: &mut Vec<PathBuf>) -> io::Result<()> {
        let half = match whole {
            Some(whole) => !whole,
            None => path.is_dir() && (is_unfinished(path.as_os_str()) || is_hollow(&path)?),
        };
        // Whoever makes it holds its lock; a crash gave it back.
        if half && Lock::try_take(&path.join("lock"))?.is_some() {
            swept.push(path);
        }
        Ok(())
    }
}

fn is_unfinished(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(UNFINISHED.as_bytes())
}

/// Whether nothing is in a folder but what its maker begins with: its lock, unfinished things, empty data.
fn is_hollow(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let is_empty = || Ok::<_, io::Error>(fs::read_dir(folder.join(&name))?.next().is_none());
        if name != "lock" && !is_unfinished(&name) && !(name == "data" && is_empty()?) {
            return Ok(false);
        }
    }
    Ok(true)
}
