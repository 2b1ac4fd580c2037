//! Calls that change only what is written on things: mirror, rename, disown, claim.

use std::sync::Arc;

use ideal_core::demand::Demands;
use ideal_core::id::{Epoch, Name, VolumeId};
use ideal_core::observed::Tags;

use super::records::{Ledger, no_such};
use crate::{Answer, ObjectId, ProviderError};

impl Ledger {
    /// Changes the tags of one thing; false when there is none, or it is nobody's and `change` needs tags.
    fn retag(&self, id: &ObjectId, change: &dyn Fn(&mut Option<Tags>)) -> Result<bool, ProviderError> {
        match id {
            ObjectId::Machine(id) => {
                let Some(mut meta) = self.machine_meta(id)? else { return Ok(false) };
                change(&mut meta.tags);
                self.write_machine(&meta)?;
            }
            ObjectId::Volume(id) => {
                let Some(mut meta) = self.volume_meta(id)? else { return Ok(false) };
                change(&mut meta.tags);
                self.write_volume(&meta)?;
            }
            ObjectId::Snapshot(id) => {
                let Some(mut meta) = self.snapshot_meta(id)? else { return Ok(false) };
                change(&mut meta.tags);
                self.write_snapshot(&meta)?;
            }
        }
        self.point("tags.written");
        Ok(true)
    }

    pub(super) fn mirror(
        &self,
        objects: &[ObjectId],
        demand: &Demands,
        epoch: Epoch,
    ) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let demand = Arc::new(demand.clone());
        for id in objects {
            self.retag(id, &|tags| {
                let Some(tags) = tags else { return };
                tags.epoch = tags.epoch.max(epoch);
                // A late call of an engine of before must not undo a later demand.
                if tags.demand.as_ref().is_none_or(|known| known.version() <= demand.version()) {
                    tags.demand = Some(Arc::clone(&demand));
                }
            })?;
        }
        Ok(Answer::Accepted)
    }

    pub(super) fn rename(&self, objects: &[ObjectId], mount: &Name) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        for id in objects {
            if matches!(id, ObjectId::Machine(_)) {
                return Err(ProviderError::refused(format!(
                    "{id} is a machine and has no mount to be named by"
                )));
            }
            let there = self.retag(id, &|tags| {
                if let Some(tags) = tags {
                    tags.mount = Some(mount.clone());
                }
            })?;
            if !there {
                return Err(no_such(id));
            }
        }
        Ok(Answer::Accepted)
    }

    pub(super) fn disown(&self, objects: &[ObjectId]) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        for id in objects {
            self.retag(id, &|tags| *tags = None)?;
        }
        Ok(Answer::Accepted)
    }

    pub(super) fn claim(&self, id: &VolumeId, tags: Tags) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let Some(mut meta) = self.volume_meta(id)?.filter(|meta| meta.whole) else { return Err(no_such(id)) };
        match &meta.tags {
            Some(held) if held.mount_id() == tags.mount_id() => return Ok(Answer::Accepted),
            Some(held) => {
                return Err(ProviderError::refused(format!("{id} belongs to the cloud {}", held.cloud)));
            }
            None => {}
        }
        meta.tags = Some(tags);
        self.write_volume(&meta)?;
        self.point("volume.claimed");
        Ok(Answer::Accepted)
    }
}
