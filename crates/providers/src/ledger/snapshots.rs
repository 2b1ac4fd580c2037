//! Snapshots: checked copies of volumes.

use std::path::Path;

use ideal_core::id::{Life, SnapshotId, Token, VolumeId};
use ideal_core::observed::{SealKind, SnapshotState, Tags};
use ideal_host::durable::{self, Lock};
use ideal_host::now;

use super::records::{Ledger, SnapshotMeta, VolumeMeta, no_such};
use super::tokens::{Known, parameters};
use crate::{Answer, Object, ProviderError, Verdict};

/// What is restored on trial, beside the data of its snapshot.
pub(super) const TRIAL: &str = "trial";
/// How often a copy is made of what is being written to.
const TRIES: usize = 5;

impl Ledger {
    pub(super) fn seal(
        &self,
        volume: &VolumeId,
        life: Life,
        token: &Token,
        tags: Tags,
        kind: SealKind,
    ) -> Result<Answer, ProviderError> {
        let wish = parameters("snapshot", &tags, &format!("of {volume} life {life} {kind:?}"));
        // Its lock is held to the end of the copy: nobody attaches, deletes or copies it meanwhile.
        self.take(token, tags, &wish, life, Some(kind), || self.detached(volume))
    }

    pub(super) fn backup(
        &self,
        volume: &VolumeId,
        life: Life,
        token: &Token,
        tags: Tags,
    ) -> Result<Answer, ProviderError> {
        let wish = parameters("backup", &tags, &format!("of {volume} life {life}"));
        self.take(token, tags, &wish, life, None, || self.in_use(volume))
    }

    /// A volume that may be with a machine and that nobody copies, with its lock.
    fn in_use(&self, id: &VolumeId) -> Result<(VolumeMeta, Lock), ProviderError> {
        let Some(meta) = self.volume_meta(id)?.filter(|meta| meta.whole) else { return Err(no_such(id)) };
        match Lock::try_take(&self.volume(id)?.join("lock"))? {
            Some(lock) => Ok((meta, lock)),
            None => Err(ProviderError::retry(format!("{id} is being copied"))),
        }
    }

    fn take(
        &self,
        token: &Token,
        mut tags: Tags,
        wish: &str,
        life: Life,
        seal: Option<SealKind>,
        source: impl FnOnce() -> Result<(VolumeMeta, Lock), ProviderError>,
    ) -> Result<Answer, ProviderError> {
        let id = SnapshotId::new(self.id_of('s', token));
        let folder = self.snapshot(&id)?;
        tags.token = Some(token.clone());
        let lock = self.lock()?;
        let known = self.use_token(token, wish)?;
        if let Some(meta) = self.snapshot_meta(&id)?.filter(|meta| meta.checksum.is_some()) {
            return Ok(Answer::Made(Object::Snapshot(meta.show())));
        }
        if let Known::Ended(object) = known {
            return Ok(Answer::Made(*object));
        }
        let (source, _volume) = source()?;
        if source.life != life {
            let why = format!("{} is in life {}, not in {life}", source.id, source.life);
            return Err(ProviderError::refused(why));
        }
        let original = self.readable(&source)?;
        durable::private_dir(&folder)?;
        let Some(_own) = Lock::try_take(&folder.join("lock"))? else {
            return Err(ProviderError::retry(format!("{id} is being taken")));
        };
        let mut meta = SnapshotMeta {
            id,
            tags: Some(tags),
            volume: source.id.clone(),
            life,
            seal,
            size: source.size,
            at: now(),
            checksum: None,
        };
        self.write_snapshot(&meta)?;
        self.point("snapshot.begun");
        drop(lock);
        let data = folder.join("data");
        durable::remove(&data)?;
        // Of what is in use and cannot be held still, an instant without a write may come.
        let tries = if seal.is_some() || self.volumes.can_be_held() { 1 } else { TRIES };
        let copied = (0..tries).find_map(|_| self.same_copy(&original, &data).transpose());
        let checksum = match copied {
            Some(Ok(checksum)) => checksum,
            failed => {
                // What is not whole must not take the room that may have been lacking.
                _ = durable::remove(&folder);
                let id = &source.id;
                // The token of a backup is of one instant: nobody comes back with it.
                if seal.is_none() {
                    self.forget_token(token)?;
                }
                return Err(ProviderError::retry(match failed {
                    Some(Err(error)) => format!("{id} cannot be copied: {error}"),
                    _ if seal.is_some() => format!("{id} changed while it was copied"),
                    _ => {
                        format!("{id} changed while it was copied: let `before` stop what writes for longer")
                    }
                }));
            }
        };
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

    /// Copies data beside where it belongs, reads the copy back and compares it with what is there now: that nothing
    /// wrote meanwhile is what a seal says, and what makes a backup one of an instant. None: something wrote.
    fn same_copy(&self, original: &Path, data: &Path) -> std::io::Result<Option<String>> {
        let unfinished = durable::unfinished(data);
        durable::remove(&unfinished)?;
        self.volumes.copy(original, &unfinished)?;
        self.point("snapshot.copied");
        let checksum = self.volumes.checksum(&unfinished)?;
        if self.volumes.checksum(original)? != checksum {
            return Ok(None);
        }
        durable::rename(&unfinished, data)?;
        Ok(Some(checksum))
    }

    /// Restores a snapshot to a place of its own, reads it back and removes it.
    pub(super) fn verify(&self, id: &SnapshotId) -> Result<Verdict, ProviderError> {
        let lock = self.lock()?;
        let meta = self.snapshot_meta(id)?.ok_or_else(|| no_such(id))?;
        let Some(taken) = meta.checksum else {
            return Err(ProviderError::refused(format!("{id} is not completed")));
        };
        let folder = self.snapshot(id)?;
        let Some(_own) = Lock::try_take(&folder.join("lock"))? else {
            return Err(ProviderError::retry(format!("{id} is being used")));
        };
        drop(lock);
        let trial = folder.join(TRIAL);
        durable::remove(&trial)?;
        let restored = self.volumes.copy(&folder.join("data"), &trial);
        let restored = restored.and_then(|()| self.volumes.checksum(&trial));
        durable::remove(&trial)?;
        match restored {
            Ok(restored) => Ok(Verdict { taken, restored }),
            Err(error) => Err(ProviderError::refused(format!("{id} cannot be restored: {error}"))),
        }
    }

    pub(super) fn delete_snapshot(&self, id: &SnapshotId) -> Result<Answer, ProviderError> {
        let trash = {
            let _lock = self.lock()?;
            let Some(meta) = self.snapshot_meta(id)? else { return Err(no_such(id)) };
            let snapshot = meta.show();
            if snapshot.state != SnapshotState::Completed {
                return Err(ProviderError::retry(format!("{id} is being taken")));
            }
            let folder = self.snapshot(id)?;
            let Some(_own) = Lock::try_take(&folder.join("lock"))? else {
                return Err(ProviderError::retry(format!("{id} is being used")));
            };
            let token = snapshot.tags.token.clone();
            match &token {
                Some(token) if snapshot.seal.is_none() => self.forget_token(token)?,
                _ => self.bury(token.as_ref(), Object::Snapshot(snapshot))?,
            }
            self.discard(&folder)?
        };
        durable::remove(&trash)?;
        self.point("snapshot.deleted");
        Ok(Answer::Accepted)
    }
}
