//! Snapshots: seals and backups, tried and deleted.

use ideal_core::id::{Life, SnapshotId, Token, VolumeId};
use ideal_core::observed::{SealKind, Snapshot, SnapshotState, Tags, VolumeState};
use ideal_core::time::Span;
use ideal_host::now;
use jiff::Timestamp;

use super::actions::Action;
use super::failure::Kind;
use super::query::Query;
use super::see::gib;
use super::tags::{self, Written};
use super::{Ec2, no_such, wish};
use crate::{Answer, Object, ProviderError, Verdict};

/// How long the volume of a trial may take until it can be used.
const RESTORED_WITHIN: Span = Span::mins(10);
/// After so long a trial counts as broken off.
const LEFT: Span = Span::hours(1);
/// How often it is looked at meanwhile.
const LOOK: Span = Span::secs(2);

impl Ec2 {
    /// EC2 takes no token for a snapshot: the tag that it is made with is looked for instead. An engine asks again only
    /// when what was done is seen, so that finds what a lost answer had made; and a second seal of one life would be
    /// as good as the first.
    pub(super) async fn take(
        &self,
        (id, life): (&VolumeId, Life),
        token: &Token,
        tags: &Tags,
        seal: Option<SealKind>,
    ) -> Result<Answer, ProviderError> {
        let wish = wish("snapshot", tags, &format!("of {id} life {life} {seal:?}"));
        if let Some(made) = self.made::<Snapshot>(token, &wish).await? {
            return Ok(Answer::Made(Object::Snapshot(made)));
        }
        let volume = self.volume(id).await?;
        let why = match (&volume.attachment, volume.state) {
            (Some(at), _) if seal.is_some() => Some(format!("{id} is attached to {}", at.machine)),
            (_, VolumeState::Ready) if volume.life == life => None,
            (_, VolumeState::Ready) => Some(format!("{id} is in life {}, not in {life}", volume.life)),
            (_, state) => Some(format!("{id} is {state:?}")),
        };
        if let Some(why) = why {
            return Err(ProviderError::refused(why));
        }
        let mut written = self.written(tags, token, &wish)?;
        written.insert(tags::LIFE.to_owned(), life.to_string());
        written.insert(tags::SIZE.to_owned(), volume.size.0.to_string());
        written.insert(tags::VOLUME.to_owned(), id.to_string());
        if let Some(kind) = seal {
            written.insert(tags::SEAL.to_owned(), tags::seal_text(kind).to_owned());
        }
        let query = Query::new(Action::CreateSnapshot).with("VolumeId", id).tagged("snapshot", &written);
        let answer = self.client.ask(&query).await?;
        Ok(Answer::Made(Object::Snapshot(super::see::snapshot(&answer))))
    }

    pub(super) async fn delete_snapshot(&self, id: &SnapshotId) -> Result<Answer, ProviderError> {
        self.client.by_id::<Snapshot>(id.as_str()).await?.ok_or_else(|| no_such(id))?;
        match self.client.ask(&Query::new(Action::DeleteSnapshot).with("SnapshotId", id)).await {
            Ok(_) => Ok(Answer::Accepted),
            // An answer that was lost had done it.
            Err(failure) if failure.kind() == Kind::NotFound => Ok(Answer::Accepted),
            Err(failure) => Err(failure.into()),
        }
    }

    /// EC2 keeps sums of the blocks of its snapshots for itself and shows no content: what can be tried without a
    /// machine is that a volume is made of it, whole and as large as it should be.
    pub(super) async fn verify(&self, id: &SnapshotId) -> Result<Verdict, ProviderError> {
        let found = self.client.by_id::<Snapshot>(id.as_str()).await?.ok_or_else(|| no_such(id))?;
        if found.state != SnapshotState::Completed {
            return Err(ProviderError::refused(format!("{id} is not completed")));
        }
        self.sweep_trials().await?;
        let wanted = gib(found.size);
        let zones = self.zones().await?;
        let zone = zones.first().ok_or_else(|| ProviderError::refused("no zone is named"))?;
        // It is nobody's, and marked from the first, so that it may be removed.
        let marks = Written::from([
            (tags::TRIAL.to_owned(), id.to_string()),
            (tags::RETIRED.to_owned(), "trial".to_owned()),
        ]);
        let query = Query::new(Action::CreateVolume)
            .with("AvailabilityZone", zone)
            .with("VolumeType", &self.spec.volume_type)
            .with("SnapshotId", id)
            .with("ClientToken", uuid::Uuid::new_v4())
            .with_some("Encrypted", self.spec.encrypted.then_some(true))
            .with_some("KmsKeyId", self.spec.kms_key.as_ref())
            .tagged("volume", &marks);
        let answer = self.client.ask(&query).await?;
        let trial = answer.text("volumeId").to_owned();
        let restored = self.restored(&trial).await;
        self.client.ask(&Query::new(Action::DeleteVolume).with("VolumeId", &trial)).await?;
        Ok(Verdict { taken: format!("{wanted} GiB of {id}"), restored: restored? })
    }

    /// Removes what trials have left that were broken off long ago: a volume costs for as long as it is there.
    async fn sweep_trials(&self) -> Result<(), ProviderError> {
        let query = Query::new(Action::DescribeVolumes).filter("tag-key", tags::TRIAL);
        let pages = self.client.elements(query).await?;
        let before = Timestamp::from_millisecond(i64::try_from((now() - LEFT).0).unwrap_or_default());
        for volume in pages.iter().flat_map(|page| page.items("volumeSet")) {
            let made = volume.parsed::<Timestamp>("createTime");
            let old = made.zip(before.as_ref().ok()).is_some_and(|(made, before)| made < *before);
            // One that somebody claimed has data of theirs.
            let owned = tags::written(volume).contains_key(tags::CLOUD);
            if old && !owned && volume.text("status") == "available" {
                let query = Query::new(Action::DeleteVolume).with("VolumeId", volume.text("volumeId"));
                match self.client.ask(&query).await {
                    Ok(_) => {}
                    // Another trial removes the same.
                    Err(failure) if failure.kind() == Kind::NotFound => {}
                    Err(failure) => return Err(failure.into()),
                }
            }
        }
        Ok(())
    }

    async fn restored(&self, trial: &str) -> Result<String, ProviderError> {
        let begun = tokio::time::Instant::now();
        loop {
            let query = Query::new(Action::DescribeVolumes).list("VolumeId", [trial]);
            match self.client.ask(&query).await {
                Ok(answer) => {
                    if let Some(volume) = answer.items("volumeSet").next() {
                        match volume.text("status") {
                            "available" => {
                                let (size, of) = (volume.text("size"), volume.text("snapshotId"));
                                return Ok(format!("{size} GiB of {of}"));
                            }
                            "error" => return Ok("nothing: EC2 could not make a volume of it".to_owned()),
                            _ => {}
                        }
                    }
                }
                // Made a moment ago: not found is not gone.
                Err(failure) if failure.kind() == Kind::NotFound => {}
                Err(failure) => return Err(failure.into()),
            }
            if begun.elapsed() > RESTORED_WITHIN.std() {
                return Err(ProviderError::retry(format!("{trial} is still being made")));
            }
            tokio::time::sleep(LOOK.std()).await;
        }
    }
}
