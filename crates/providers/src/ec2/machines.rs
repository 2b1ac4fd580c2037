//! Machines: where they may be, what is asked of EC2 for them, started, and ended in two acts.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::id::{MachineId, SlotId};
use ideal_core::ideal::Ec2Spec;
use ideal_core::model;
use ideal_core::observed::{Machine, MachineState, Volume, VolumeState};
use ideal_core::time::Span;

use super::actions::Action;
use super::element::Element;
use super::failure::Failure;
use super::query::Query;
use super::tags::{self, Written};
use super::together::Kind;
use super::{Ec2, meaning, no_such, see};
use crate::{Answer, ProviderError};

/// What a request for machines says of them.
pub(super) struct Wanted<'a> {
    pub(super) token: String,
    pub(super) count: usize,
    pub(super) written: &'a Written,
    pub(super) asked: &'a str,
    pub(super) groups: &'a [String],
    pub(super) key: Option<&'a String>,
    pub(super) user_data: Option<&'a String>,
}

impl Ec2 {
    /// Asks for machines of one type in one zone: as many as there is room for, but one at least.
    pub(super) async fn run(&self, wanted: &Wanted<'_>, zone: &str, of_type: &str) -> Result<Element, Run> {
        let spec = &self.spec;
        let image = self.image(wanted.asked, of_type).await.map_err(Run::Error)?;
        let mut query = Query::new(Action::RunInstances)
            .with("ImageId", image)
            .with("InstanceType", of_type)
            .with("MinCount", 1)
            .with("MaxCount", wanted.count)
            .with("ClientToken", &wanted.token)
            .with("Placement.AvailabilityZone", zone)
            .with("MetadataOptions.HttpTokens", "required")
            .with_some("SubnetId", spec.subnets.get(zone))
            .with_some("KeyName", wanted.key)
            .with_some("IamInstanceProfile.Name", spec.instance_profile.as_ref())
            .with_some("UserData", wanted.user_data.map(|text| BASE64_STANDARD.encode(text)))
            .list("SecurityGroupId", wanted.groups)
            .tagged("instance", wanted.written);
        if spec.protected {
            query = query.with("DisableApiTermination", true);
        }
        self.client.ask(&query).await.map_err(Run::Failed)
    }

    pub(super) async fn start_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let machine = self.machine(id).await?;
        match machine.state {
            MachineState::Running | MachineState::Pending => return Ok(Answer::Accepted),
            MachineState::Stopped if !machine.retired => {}
            MachineState::Stopping => return Err(ProviderError::retry(format!("{id} is stopping"))),
            state => {
                let state = format!("{state:?}").to_lowercase();
                return Err(ProviderError::refused(format!(
                    "{id} is {state}, and only a stopped machine is started"
                )));
            }
        }
        self.client.ask(&Query::new(Action::StartInstances).list("InstanceId", [id])).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn stop_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let mut machine = self.machine(id).await?;
        if matches!(machine.state, MachineState::Stopping | MachineState::Stopped) {
            return Ok(Answer::Accepted);
        }
        model::stop_machine(&mut machine).map_err(ProviderError::refused)?;
        self.client.ask(&Query::new(Action::StopInstances).list("InstanceId", [id])).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn retire_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        self.machine(id).await?;
        let mark = Written::from([(tags::RETIRED.to_owned(), "yes".to_owned())]);
        self.mark(&[id.as_str()], &mark).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn terminate(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let mut machine = self.machine(id).await?;
        if machine.state.is_over() {
            return Ok(Answer::Accepted);
        }
        model::end_machine(&mut machine).map_err(ProviderError::refused)?;
        self.keep_volumes(id).await?;
        if self.spec.protected {
            let query = Query::new(Action::ModifyInstanceAttribute).with("InstanceId", id);
            self.client.ask(&query.with("DisableApiTermination.Value", false)).await?;
        }
        match self.client.ask(&Query::new(Action::TerminateInstances).list("InstanceId", [id])).await {
            Ok(_) => Ok(Answer::Accepted),
            Err(failure) if failure.is("OperationNotPermitted") => Err(ProviderError::refused(format!(
                "{id} is protected from termination, which the file does not ask for: take that off at EC2, or \
                 write `protected: true` with the provider, and it is taken off here; {}",
                failure.why()
            ))),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Sees to it that no volume of ours goes with its machine. EC2 keeps what is attached, but whoever has access can
    /// say otherwise, and some programs say so of every volume.
    async fn keep_volumes(&self, id: &MachineId) -> Result<(), ProviderError> {
        let shown = self.client.shown::<Machine>(id.as_str()).await?.ok_or_else(|| no_such(id))?;
        let going: Vec<(&str, &str)> = shown
            .items("blockDeviceMapping")
            .filter_map(|one| Some((one.text("deviceName"), one.get("ebs")?)))
            .filter(|(_, ebs)| ebs.text("deleteOnTermination") != "false")
            .map(|(device, ebs)| (device, ebs.text("volumeId")))
            .collect();
        let ids: Vec<&str> = going.iter().map(|(_, volume)| *volume).collect();
        let volumes = self.client.there::<Volume>(&ids).await?;
        // What is attached is there: what is not shown yet could be ours.
        if let Some(hidden) = ids.iter().find(|id| !volumes.iter().any(|one| one.id.as_str() == **id)) {
            return Err(ProviderError::retry(format!("{hidden}, which is on {id}, is not shown by EC2 yet")));
        }
        let is_ours = |id: &str| volumes.iter().any(|one| one.id.as_str() == id && see::is_owned(&one.tags));
        for (device, _) in going.into_iter().filter(|(_, volume)| is_ours(volume)) {
            let query = Query::new(Action::ModifyInstanceAttribute)
                .with("InstanceId", id)
                .with("BlockDeviceMapping.1.DeviceName", device)
                .with("BlockDeviceMapping.1.Ebs.DeleteOnTermination", false);
            self.client.ask(&query).await?;
        }
        Ok(())
    }

    /// A machine that EC2 shows, freshly.
    pub(super) async fn machine(&self, id: &MachineId) -> Result<Machine, ProviderError> {
        self.client.by_id::<Machine>(id.as_str()).await?.ok_or_else(|| no_such(id))
    }

    /// The zones in which a machine of a slot may be, in the order in which they are tried: where its volumes are,
    /// and only when it has none, any.
    pub(super) async fn zones_for(&self, slot: Option<SlotId>) -> Result<Vec<String>, ProviderError> {
        let all = self.zones().await?;
        let Some(slot) = slot else { return Ok(all) };
        let bound: BTreeSet<String> = self.zones_of_volumes(slot).await?;
        match bound.len() {
            0 => {
                let mut all = all;
                let first = slot.index as usize % all.len().max(1);
                all.rotate_left(first);
                Ok(all)
            }
            1 => Ok(bound.into_iter().collect()),
            _ => {
                let zones: Vec<String> = bound.into_iter().collect();
                let why = format!(
                    "its volumes are in several zones, {}: no machine can have them all",
                    zones.join(" and ")
                );
                Err(ProviderError::refused(why))
            }
        }
    }

    /// In which zones the volumes of a slot are.
    pub(super) async fn zones_of_volumes(&self, slot: SlotId) -> Result<BTreeSet<String>, ProviderError> {
        let kind = Kind {
            listed: Action::DescribeVolumes,
            filter: format!("tag:{}", tags::NODE),
            and: vec![(format!("tag:{}", tags::CLOUD), slot.cloud.to_string())],
        };
        let found = self.client.look(kind, &slot.index.to_string()).await?;
        let there = |element: &&Element| {
            let volume: Volume = see::volume(element);
            volume.tags.slot() == Some(slot)
                && !matches!(volume.state, VolumeState::Deleting | VolumeState::Deleted)
        };
        let volumes = found.iter().filter(there);
        Ok(volumes.map(|element| element.text("availabilityZone").to_owned()).collect())
    }

    /// In which zone a machine of a slot is that is not over. Those of batches have no tag of one slot to ask for.
    pub(super) async fn zone_of_machine(&self, slot: SlotId) -> Result<Option<String>, ProviderError> {
        let filter = format!("tag:{}", tags::CLOUD);
        let kind = Kind { listed: Action::DescribeInstances, filter, and: Vec::new() };
        let found = self.client.look(kind, &slot.cloud.to_string()).await?;
        let alive = found.iter().filter(|element| {
            let machine = see::machine(element);
            machine.tags.slot() == Some(slot) && !machine.state.is_over()
        });
        let zone = |element: &Element| Some(element.get("placement")?.text("availabilityZone").to_owned());
        Ok(alive.filter_map(zone).next())
    }

    /// The image that is meant, by its id.
    async fn image(&self, asked: &str, of_type: &str) -> Result<String, ProviderError> {
        let (owner, name) = match meaning::image(&self.spec, asked, of_type) {
            Some(meaning::Image::Id(id)) => return Ok(id),
            Some(meaning::Image::Newest { owner, name }) => (owner, name),
            None => {
                let known = Ec2Spec::IMAGES.join(", ");
                let why = format!(
                    "`{asked}` is no image that is known here: {known}, a name of `images:`, or ami-…"
                );
                return Err(ProviderError::refused(why));
            }
        };
        // Who comes second waits for the answer that the first one gets.
        let mut images = self.images.lock().await;
        if let Some(known) = images.get(&name) {
            return Ok(known.clone());
        }
        let query = Query::new(Action::DescribeImages)
            .list("Owner", [owner])
            .filter("name", &name)
            .filter("state", "available");
        let pages = self.client.elements(query).await?;
        let found = pages.iter().flat_map(|page| page.items("imagesSet"));
        let newest = found.max_by_key(|image| (image.text("creationDate"), image.text("imageId")));
        let Some(id) = newest.map(|image| image.text("imageId").to_owned()) else {
            let why = format!("there is no image {name} of account {owner} in this region");
            return Err(ProviderError::Retry { why, after: Some(Span::mins(1)) });
        };
        images.insert(name, id.clone());
        Ok(id)
    }
}

/// Why a try to make machines came to nothing.
pub(super) enum Run {
    Failed(Failure),
    Error(ProviderError),
}
