//! Snapshots: checked copies of volumes.

use ideal_core::id::{Life, SnapshotId, Token, VolumeId};
use ideal_core::observed::{SealKind, SnapshotState, Tags};
use ideal_host::durable::{self, Lock};
use ideal_host::now;

use super::records::{Ledger, SnapshotMeta, no_such};
use super::tokens::{Known, parameters};
use crate::{Answer, Object, ProviderError};

impl Ledger {
    pub(super) fn seal(
        &self,
        volume: &VolumeId,
        life: Life,
        token: &Token,
        mut tags: Tags,
        kind: SealKind,
    ) -> Result<Answer, ProviderError> {
        let wish = parameters("snapshot", &tags, &format!("of {volume} life {life} {kind:?}"));
        let id = SnapshotId::new(self.id_of('s', token));
        let folder = self.snapshot(&id)?;
        tags.token = Some(token.clone());
        let lock = self.lock()?;
        let known = self.use_token(token, &wish)?;
        if let Some(meta) = self.snapshot_meta(&id)?.filter(|meta| meta.checksum.is_some()) {
            return Ok(Answer::Made(Object::Snapshot(meta.show())));
        }
        if let Known::Ended(object) = known {
            return Ok(Answer::Made(*object));
        }
        // Its lock is held to the end of the copy: nobody attaches, deletes or copies it meanwhile.
        let (source, _volume) = self.detached(volume)?;
        if source.life != life {
            return Err(ProviderError::refused(format!(
                "{volume} is in life {}, not in {life}",
                source.life
            )));
        }
        durable::private_dir(&folder)?;
        let Some(_own) = Lock::try_take(&folder.join("lock"))? else {
            return Err(ProviderError::retry(format!("{id} is being taken")));
        };
        let mut meta = SnapshotMeta {
            id,
            tags: Some(tags),
            volume: volume.clone(),
            life,
            seal: Some(kind),
            size: source.size,
            at: now(),
            checksum: None,
        };
        self.write_snapshot(&meta)?;
        self.point("snapshot.begun");
        drop(lock);
        let data = folder.join("data");
        let unfinished = durable::unfinished(&data);
        durable::remove(&unfinished)?;
        durable::remove(&data)?;
        let original = self.volume(volume)?.join("data");
        self.volumes.copy(&original, &unfinished)?;
        self.point("snapshot.copied");
        // Read back from the copy and compared with what is there now: that nothing wrote meanwhile is what a
        // seal says.
        let checksum = self.volumes.checksum(&unfinished)?;
        if self.volumes.checksum(&original)? != checksum {
            durable::remove(&folder)?;
            return Err(ProviderError::retry(format!("{volume} changed while it was copied")));
        }
        durable::rename(&unfinished, &data)?;
        self.point("snapshot.renamed");
        let _lock = self.lock()?;
        // Demands may have been mirrored to it meanwhile.
        if let Some(present) = self.snapshot_meta(&meta.id)? {
            meta.tags = present.tags;
        }
        meta.checksum = Some(checksum);
        self.write_snapshot(&meta)?;
        self.point("snapshot.completed");
        Ok(Answer::Made(Object::Snapshot(meta.show())))
    }

    pub(super) fn delete_snapshot(&self, id: &SnapshotId) -> Result<Answer, ProviderError> {
        let trash = {
            let _lock = self.lock()?;
            let Some(meta) = self.snapshot_meta(id)? else { return Err(no_such(id)) };
            let snapshot = meta.show();
            if snapshot.state != SnapshotState::Completed {
                return Err(ProviderError::retry(format!("{id} is being taken")));
            }
            let token = snapshot.tags.token.clone();
            self.bury(token.as_ref(), Object::Snapshot(snapshot))?;
            self.discard(&self.snapshot(id)?)?
        };
        durable::remove(&trash)?;
        self.point("snapshot.deleted");
        Ok(Answer::Accepted)
    }
}
