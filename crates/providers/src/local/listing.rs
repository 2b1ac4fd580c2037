//! What is there: listing, reading by id, and the sweep of what a crash left half made.

use std::io;
use std::path::PathBuf;

use ideal_core::id::{MachineId, SnapshotId, VolumeId};
use ideal_core::observed::Listing;
use ideal_core::time::Span;
use ideal_host::durable::{self, Lock, UNFINISHED};
use ideal_host::now;

use super::disk::{Disk, End};
use crate::{Object, ObjectId};

/// How long an ended machine is shown.
const SHOWN: Span = Span::hours(1);

impl Disk {
    pub(super) fn list(&self) -> io::Result<Listing> {
        let lock = self.lock()?;
        self.sweep()?;
        let mut listing = Listing { at: now(), complete: true, ..Listing::default() };
        for name in self.names("machines")? {
            if let Some(meta) = self.machine_meta(&MachineId::new(name))?.filter(|meta| meta.tags.is_some()) {
                let state = self.machine_state(&meta)?;
                listing.machines.push(meta.show(state));
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

    pub(super) fn read(&self, id: &ObjectId) -> io::Result<Option<Object>> {
        let _lock = self.lock()?;
        Ok(match id {
            ObjectId::Machine(id) => match self.machine_meta(id)? {
                Some(meta) => {
                    let state = self.machine_state(&meta)?;
                    Some(Object::Machine(meta.show(state)))
                }
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
    pub(super) fn sweep(&self) -> io::Result<Vec<PathBuf>> {
        let mut swept = Vec::new();
        let machines = self.data.join("machines");
        for name in self.names("machines")? {
            let path = machines.join(&name);
            if name.ends_with(UNFINISHED) {
                swept.push(path);
                continue;
            }
            let Some(meta) = self.machine_meta(&MachineId::new(name))? else { continue };
            if matches!(meta.end, End::Done(at) if now().since(at) > SHOWN) {
                swept.push(path);
            }
        }
        for name in self.names("volumes")? {
            let whole = self.volume_meta(&VolumeId::new(name.clone()))?.is_some_and(|meta| meta.whole);
            self.sweep_unless(whole, self.data.join("volumes").join(name), &mut swept)?;
        }
        for name in self.names("snapshots")? {
            let whole = self
                .snapshot_meta(&SnapshotId::new(name.clone()))?
                .is_some_and(|meta| meta.checksum.is_some());
            self.sweep_unless(whole, self.data.join("snapshots").join(name), &mut swept)?;
        }
        for path in &swept {
            durable::remove(path)?;
        }
        Ok(swept)
    }

    fn sweep_unless(&self, whole: bool, path: PathBuf, swept: &mut Vec<PathBuf>) -> io::Result<()> {
        // Whoever makes it holds its lock; a crash gave it back.
        if !whole && Lock::try_take(&path.join("lock"))?.is_some() {
            swept.push(path);
        }
        Ok(())
    }
}
