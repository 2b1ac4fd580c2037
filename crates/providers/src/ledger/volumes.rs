//! Volumes: made, attached, taken back and deleted, each under its conditions.

use std::path::PathBuf;

use ideal_core::id::{Life, MachineId, Name, SnapshotId, Token, VolumeId};
use ideal_core::observed::{
    Attachment, AttachmentState, MachineState, RetireMark, Tags, Volume, VolumeState,
};
use ideal_core::time::Bytes;
use ideal_host::durable::{self, Lock};
use ideal_host::home::Attached;
use ideal_host::now;

use super::Place;
use super::records::{Ledger, VolumeMeta, no_such};
use super::tokens::{Known, parameters};
use crate::{Answer, Object, ProviderError};

impl Ledger {
    pub(super) fn place(&self, meta: &VolumeMeta) -> std::io::Result<Place> {
        let data = self.volume(&meta.id)?.join("data");
        let home = meta.machine.as_ref().map(|machine| self.home(machine)).transpose()?;
        self.volumes.place(&data, meta.machine.as_ref().zip(home.as_ref()), &meta.id)
    }

    pub(super) fn show_volume(&self, meta: VolumeMeta) -> std::io::Result<Volume> {
        let (state, attachment) = match self.place(&meta)? {
            _ if !meta.whole => (VolumeState::Creating, None),
            Place::Here => (VolumeState::Ready, None),
            Place::On(machine) => {
                (VolumeState::Ready, Some(Attachment { machine, state: AttachmentState::Attached }))
            }
            Place::Lost => (VolumeState::Error, None),
        };
        Ok(Volume {
            id: meta.id,
            tags: meta.tags.unwrap_or_else(Tags::nobodys),
            life: meta.life,
            state,
            attachment,
            size: meta.size,
            origin: meta.origin,
            retired: meta.retired,
        })
    }

    /// A volume that is detached and that nobody copies, with its lock.
    pub(super) fn detached(&self, id: &VolumeId) -> Result<(VolumeMeta, Lock), ProviderError> {
        let Some(meta) = self.volume_meta(id)? else { return Err(no_such(id)) };
        let Some(lock) = Lock::try_take(&self.volume(id)?.join("lock"))? else {
            return Err(ProviderError::retry(format!("{id} is being copied")));
        };
        if !meta.whole {
            return Err(ProviderError::refused(format!("{id} is half made")));
        }
        match self.place(&meta)? {
            Place::Here => Ok((meta, lock)),
            Place::On(machine) => Err(ProviderError::refused(format!("{id} is attached to {machine}"))),
            Place::Lost => Err(ProviderError::refused(format!("the data of {id} is not where it should be"))),
        }
    }

    pub(super) fn create_volume(
        &self,
        token: &Token,
        mut tags: Tags,
        size: Bytes,
        life: Life,
        from: Option<SnapshotId>,
    ) -> Result<Answer, ProviderError> {
        let origin = from.as_ref().map(|id| id.to_string()).unwrap_or_default();
        let wish = parameters("volume", &tags, &format!("{size} life {life} from {origin}"));
        let id = VolumeId::new(self.id_of('v', token));
        let folder = self.volume(&id)?;
        tags.token = Some(token.clone());
        let lock = self.lock()?;
        let known = self.use_token(token, &wish)?;
        if let Some(meta) = self.volume_meta(&id)?.filter(|meta| meta.whole) {
            return Ok(Answer::Made(Object::Volume(self.show_volume(meta)?)));
        }
        if let Known::Ended(object) = known {
            return Ok(Answer::Made(*object));
        }
        let source = match &from {
            None => None,
            Some(from) => {
                let snapshot = self.snapshot_meta(from)?.ok_or_else(|| no_such(from))?;
                let Some(checksum) = snapshot.checksum else {
                    return Err(ProviderError::refused(format!("{from} is not completed")));
                };
                Some((self.snapshot(from)?.join("data"), checksum))
            }
        };
        durable::private_dir(&folder)?;
        let Some(own) = Lock::try_take(&folder.join("lock"))? else {
            return Err(ProviderError::retry(format!("{id} is being made")));
        };
        let mut meta = VolumeMeta {
            id,
            tags: Some(tags),
            life,
            size,
            origin: from,
            retired: None,
            whole: false,
            machine: None,
        };
        self.write_volume(&meta)?;
        self.point("volume.begun");
        drop(lock);
        let data = folder.join("data");
        let unfinished = durable::unfinished(&data);
        durable::remove(&unfinished)?;
        durable::remove(&data)?;
        match source {
            None => self.volumes.blank(&unfinished, size)?,
            Some((source, checksum)) => {
                self.volumes.copy(&source, &unfinished)?;
                self.point("volume.copied");
                let found = self.volumes.checksum(&unfinished)?;
                if found != checksum {
                    let _ = durable::remove(&folder);
                    let why = format!(
                        "the content of {origin} is not what was sealed: {found} instead of {checksum}"
                    );
                    return Err(ProviderError::refused(why));
                }
                self.volumes.fit(&unfinished, size)?;
            }
        }
        durable::rename(&unfinished, &data)?;
        self.point("volume.filled");
        let _lock = self.lock()?;
        meta.whole = true;
        self.write_volume(&meta)?;
        self.point("volume.made");
        drop(own);
        Ok(Answer::Made(Object::Volume(self.show_volume(meta)?)))
    }

    pub(super) fn new_life(&self, id: &VolumeId, life: Life) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let (mut meta, _own) = self.detached(id)?;
        if life <= meta.life {
            return Err(ProviderError::refused(format!("{id} is in life {} already", meta.life)));
        }
        (meta.life, meta.retired) = (life, None);
        self.write_volume(&meta)?;
        self.point("volume.life");
        Ok(Answer::Accepted)
    }

    pub(super) fn attach(
        &self,
        id: &VolumeId,
        life: Life,
        machine: &MachineId,
        mount: Name,
    ) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let (mut meta, _own) = self.detached(id)?;
        if meta.retired.is_some_and(|mark| mark.life == meta.life) {
            return Err(ProviderError::refused(format!("{id} is marked as retired")));
        }
        if meta.life != life {
            return Err(ProviderError::refused(format!("{id} is in life {}, not in {life}", meta.life)));
        }
        let there = self.machine_meta(machine)?.ok_or_else(|| no_such(machine))?;
        let there = self.seen_machine(there, &self.machines.glance()?)?;
        if there.state != MachineState::Running || there.retired {
            return Err(ProviderError::refused(format!("{machine} does not run, or is marked to be ended")));
        }
        let home = self.home(machine)?;
        // Where to look is written first, then the data is given: at every instant it is found.
        meta.machine = Some(machine.clone());
        self.write_volume(&meta)?;
        self.point("attach.said");
        let attached = Attached { volume: id.clone(), life, mount, device: None };
        self.volumes.attach(&self.volume(id)?.join("data"), &home, attached)?;
        self.point("attach.moved");
        Ok(Answer::Accepted)
    }

    pub(super) fn detach(
        &self,
        id: &VolumeId,
        machine: &MachineId,
        life: Life,
    ) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let Some(meta) = self.volume_meta(id)? else { return Err(no_such(id)) };
        match self.place(&meta)? {
            Place::On(found) if found == *machine && meta.life == life => self.bring_back(meta)?,
            Place::On(found) => {
                return Err(ProviderError::refused(format!(
                    "{id} is attached to {found} in life {}",
                    meta.life
                )));
            }
            _ => return Err(ProviderError::refused(format!("{id} is not attached to {machine}"))),
        }
        Ok(Answer::Accepted)
    }

    /// Moves the data of an attached volume back to it.
    pub(super) fn bring_back(&self, mut meta: VolumeMeta) -> Result<(), ProviderError> {
        let Some(machine) = meta.machine.take() else { return Ok(()) };
        let home = self.home(&machine)?;
        self.volumes.detach(&self.volume(&meta.id)?.join("data"), &home, &meta.id)?;
        self.point("detach.moved");
        self.write_volume(&meta)?;
        self.point("detach.written");
        Ok(())
    }

    pub(super) fn grow(&self, id: &VolumeId, size: Bytes) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let Some(mut meta) = self.volume_meta(id)?.filter(|meta| meta.whole) else { return Err(no_such(id)) };
        if size < meta.size {
            return Err(ProviderError::refused(format!("{id} has {}; it is never made smaller", meta.size)));
        }
        let Some(_own) = Lock::try_take(&self.volume(id)?.join("lock"))? else {
            return Err(ProviderError::retry(format!("{id} is being copied")));
        };
        self.volumes.fit(&self.readable(&meta)?, size)?;
        self.point("volume.grown");
        meta.size = size;
        self.write_volume(&meta)?;
        self.point("volume.size");
        Ok(Answer::Accepted)
    }

    /// Where the data of a volume can be read now.
    pub(super) fn readable(&self, meta: &VolumeMeta) -> Result<PathBuf, ProviderError> {
        let data = self.volume(&meta.id)?.join("data");
        match self.place(meta)? {
            Place::Here => Ok(self.volumes.readable(&data, None, &meta.id)),
            Place::On(machine) => Ok(self.volumes.readable(&data, Some(&self.home(&machine)?), &meta.id)),
            Place::Lost => {
                let why = format!("the data of {} is not where it should be", meta.id);
                Err(ProviderError::refused(why))
            }
        }
    }

    pub(super) fn retire(&self, id: &VolumeId, mark: RetireMark) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let (mut meta, _own) = self.detached(id)?;
        if mark.life != meta.life {
            return Err(ProviderError::refused(format!(
                "{id} is in life {}, not in {}",
                meta.life, mark.life
            )));
        }
        meta.retired = Some(mark);
        self.write_volume(&meta)?;
        self.point("volume.retired");
        Ok(Answer::Accepted)
    }

    pub(super) fn delete_volume(&self, id: &VolumeId, life: Life) -> Result<Answer, ProviderError> {
        let trash: PathBuf;
        {
            let _lock = self.lock()?;
            let (meta, _own) = self.detached(id)?;
            if meta.life != life {
                return Err(ProviderError::refused(format!("{id} is in life {}, not in {life}", meta.life)));
            }
            let Some(mark) = meta.retired.filter(|mark| mark.life == meta.life) else {
                return Err(ProviderError::refused(format!(
                    "{id} is not marked as retired in its present life"
                )));
            };
            if now() < mark.until {
                return Err(ProviderError::refused(format!("{id} may not be deleted yet, by its mark")));
            }
            let volume = self.show_volume(meta)?;
            let token = volume.tags.token.clone();
            self.bury(token.as_ref(), Object::Volume(Volume { state: VolumeState::Deleted, ..volume }))?;
            trash = self.discard(&self.volume(id)?)?;
        }
        // Gone for everybody; a crash from here on leaves work for the sweep only.
        durable::remove(&trash)?;
        self.point("volume.deleted");
        Ok(Answer::Accepted)
    }
}
