//! Volumes: made, attached, taken back, grown and deleted, each under its conditions.
//!
//! EC2 has no condition on a change but what a policy says. So each shove reads the volume by its id, asks
//! [`ideal_core::model`] whether it may be, and then does it: what comes between is what a policy, the marks and the
//! lives are for.

use ideal_core::id::{Life, MachineId, SnapshotId, Token, VolumeId};
use ideal_core::model;
use ideal_core::observed::{Machine, RetireMark, Tags, Volume, VolumeState};
use ideal_core::time::{Bytes, Span};
use ideal_host::now;

use super::actions::Action;
use super::element::Element;
use super::failure::Kind;
use super::query::Query;
use super::see::{self, gib};
use super::tags::{self, Written};
use super::{Ec2, client_token, no_such, wish};
use crate::{Answer, Object, ProviderError};

/// The letters of the devices that EC2 recommends for volumes.
const DEVICES: [char; 11] = ['f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p'];
/// A volume can be changed so often only; asked sooner, EC2 refuses.
const BETWEEN_CHANGES: Span = Span::mins(30);

impl Ec2 {
    pub(super) async fn create_volume(
        &self,
        token: &Token,
        tags: &Tags,
        size: Bytes,
        life: Life,
        from: Option<&SnapshotId>,
    ) -> Result<Answer, ProviderError> {
        let origin = from.map(SnapshotId::as_str).unwrap_or_default();
        let wish = wish("volume", tags, &format!("{size} life {life} from {origin}"));
        if let Some(made) = self.made::<Volume>(token, &wish).await? {
            return Ok(Answer::Made(Object::Volume(made)));
        }
        if let Some(from) = from.filter(|from| !see::is_id::<ideal_core::observed::Snapshot>(from.as_str())) {
            return Err(no_such(from));
        }
        let slot = tags.slot();
        let _placing = self.placing(slot)?;
        let zone = self.zone_for_volume(slot).await?;
        let mut written = self.written(tags, token, &wish)?;
        written.insert(tags::LIFE.to_owned(), life.to_string());
        written.insert(tags::SIZE.to_owned(), size.0.to_string());
        if let Some(from) = from {
            written.insert(tags::ORIGIN.to_owned(), from.to_string());
        }
        let query = Query::new(Action::CreateVolume)
            .with("AvailabilityZone", &zone)
            .with("Size", gib(size))
            .with("VolumeType", &self.spec.volume_type)
            .with("ClientToken", client_token(token, ""))
            .with_some("SnapshotId", from)
            .with_some("Encrypted", self.spec.encrypted.then_some(true))
            .with_some("KmsKeyId", self.spec.kms_key.as_ref())
            .tagged("volume", &written);
        let answer = match self.client.ask(&query).await {
            Ok(answer) => answer,
            Err(failure) if failure.kind() == Kind::TokenTaken => {
                let made = self.made::<Volume>(token, &wish).await?.ok_or(ProviderError::TokenTaken)?;
                return Ok(Answer::Made(Object::Volume(made)));
            }
            Err(failure) => return Err(failure.into()),
        };
        self.remember(slot, &zone);
        Ok(Answer::Made(Object::Volume(self.as_it_is(&answer).await?)))
    }

    /// A volume as the answer to its creation shows it. The answer to a token that was used long ago is the old one: then
    /// what is not found any more is gone.
    async fn as_it_is(&self, answer: &Element) -> Result<Volume, ProviderError> {
        let volume = see::volume(answer);
        let begun = answer.parsed::<jiff::Timestamp>("createTime").map(jiff::Timestamp::as_millisecond);
        let begun = begun.and_then(|at| u64::try_from(at).ok()).unwrap_or(u64::MAX);
        if volume.state == VolumeState::Deleted || begun.saturating_add(self.settle().0) > now().0 {
            return Ok(volume);
        }
        let present = self.client.by_id::<Volume>(volume.id.as_str()).await?;
        Ok(present.unwrap_or(Volume { state: VolumeState::Deleted, ..volume }))
    }

    pub(super) async fn attach(
        &self,
        id: &VolumeId,
        life: Life,
        machine: &MachineId,
    ) -> Result<Answer, ProviderError> {
        let (mut volume, there) = (self.volume(id).await?, self.machine(machine).await?);
        model::attach(&mut volume, life, &there).map_err(ProviderError::refused)?;
        let device = self.free_device(id, machine).await?;
        let query = Query::new(Action::AttachVolume)
            .with("VolumeId", id)
            .with("InstanceId", machine)
            .with("Device", device);
        match self.client.ask(&query).await {
            Ok(_) => Ok(Answer::Accepted),
            // Another volume was given the same device a moment ago.
            Err(failure) if failure.why().contains("already in use") => {
                Err(ProviderError::retry(failure.why()))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// A device of a machine that no volume has. Volumes begin to look at different ones, for several may be attached at
    /// the same time.
    async fn free_device(&self, volume: &VolumeId, machine: &MachineId) -> Result<String, ProviderError> {
        let shown = self.client.shown::<Machine>(machine.as_str()).await?.ok_or_else(|| no_such(machine))?;
        let used: Vec<&str> = shown.items("blockDeviceMapping").map(|one| one.text("deviceName")).collect();
        let count = DEVICES.len();
        let first = usize::from(blake3::hash(volume.as_str().as_bytes()).as_bytes()[0]) % count;
        let mut all = DEVICES.iter().cycle().skip(first).take(count).map(|letter| format!("/dev/sd{letter}"));
        let free = all.find(|device| !used.contains(&device.as_str()));
        free.ok_or_else(|| {
            ProviderError::refused(format!("{machine} has {count} volumes, and no device is left"))
        })
    }

    pub(super) async fn detach(
        &self,
        id: &VolumeId,
        machine: &MachineId,
        life: Life,
    ) -> Result<Answer, ProviderError> {
        let mut volume = self.volume(id).await?;
        model::detach(&mut volume, machine, life).map_err(ProviderError::refused)?;
        let query = Query::new(Action::DetachVolume).with("VolumeId", id).with("InstanceId", machine);
        self.client.ask(&query).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn grow(&self, id: &VolumeId, size: Bytes) -> Result<Answer, ProviderError> {
        let volume = self.volume(id).await?;
        model::grow(&mut volume.clone(), size).map_err(ProviderError::refused)?;
        if gib(size) > gib(volume.size) {
            let query = Query::new(Action::ModifyVolume).with("VolumeId", id).with("Size", gib(size));
            match self.client.ask(&query).await {
                Ok(_) => {}
                Err(failure) if failure.why().contains("ModificationRateExceeded") => {
                    return Err(ProviderError::Retry { why: failure.why(), after: Some(BETWEEN_CHANGES) });
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        // Written after it is so: in between, what EC2 says counts.
        let asked = Written::from([(tags::SIZE.to_owned(), size.0.to_string())]);
        self.mark(&[id.as_str()], &asked).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn retire(&self, id: &VolumeId, mark: RetireMark) -> Result<Answer, ProviderError> {
        let mut volume = self.volume(id).await?;
        model::retire(&mut volume, mark).map_err(ProviderError::refused)?;
        let mark = Written::from([(tags::RETIRED.to_owned(), tags::mark_text(mark))]);
        self.mark(&[id.as_str()], &mark).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn delete_volume(&self, id: &VolumeId, life: Life) -> Result<Answer, ProviderError> {
        let mut volume = self.volume(id).await?;
        model::delete(&mut volume, life, now()).map_err(ProviderError::refused)?;
        match self.client.ask(&Query::new(Action::DeleteVolume).with("VolumeId", id)).await {
            Ok(_) => Ok(Answer::Accepted),
            // It was there a moment ago: an answer that was lost had done it.
            Err(failure) if failure.kind() == Kind::NotFound => Ok(Answer::Accepted),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A volume that EC2 shows, freshly.
    pub(super) async fn volume(&self, id: &VolumeId) -> Result<Volume, ProviderError> {
        self.client.by_id::<Volume>(id.as_str()).await?.ok_or_else(|| no_such(id))
    }
}
