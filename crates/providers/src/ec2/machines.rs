//! Machines: made where there is room and where their data is, started, and ended in two acts.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::id::{MachineId, SlotId, Token};
use ideal_core::ideal::Ec2Spec;
use ideal_core::model;
use ideal_core::observed::{Machine, MachineState, Tags, Volume, VolumeState};
use ideal_core::time::Span;

use super::actions::Action;
use super::failure::{Failure, Kind};
use super::query::Query;
use super::tags::{self, Written};
use super::{Ec2, client_token, meaning, no_such, see, wish};
use crate::{Answer, Object, ProviderError};

/// What every try to make one machine has in common.
struct Wanted<'a> {
    token: &'a Token,
    written: &'a Written,
    asked: &'a str,
    groups: Vec<String>,
    key: Option<String>,
}

impl Ec2 {
    pub(super) async fn create_machine(
        &self,
        token: &Token,
        tags: &Tags,
        image: &str,
        size: &str,
    ) -> Result<Answer, ProviderError> {
        let wish = wish("machine", tags, &format!("image {image} size {size}"));
        // A try before this one may have made it with another type or in another zone, under a token of EC2's that
        // differs from the first.
        if let Some(made) = self.made::<Machine>(token, &wish).await? {
            return Ok(Answer::Made(Object::Machine(made)));
        }
        let Some(types) = meaning::choices(&self.spec, size) else {
            let why = format!("`{size}` is no size of a machine, or larger than any that is known here");
            return Err(ProviderError::refused(why));
        };
        let slot = tags.slot();
        let _placing = self.placing(slot)?;
        let zones = self.zones_for(slot).await?;
        let mut written = self.written(tags, token, &wish)?;
        written.insert(tags::IMAGE.to_owned(), image.to_owned());
        written.insert(tags::SIZE.to_owned(), size.to_owned());
        let wanted = Wanted {
            token,
            written: &written,
            asked: image,
            groups: self.groups().await?,
            key: self.key().await?,
        };
        let mut full = None;
        for (at, (zone, of_type)) in
            zones.iter().flat_map(|zone| types.iter().map(move |one| (zone, one))).enumerate()
        {
            match self.run(&wanted, at, zone, of_type).await {
                Ok(machine) => {
                    self.remember(slot, zone);
                    return Ok(Answer::Made(Object::Machine(machine)));
                }
                Err(Run::Failed(failure)) => match failure.kind() {
                    Kind::Capacity => full = Some(failure),
                    Kind::TokenTaken | Kind::TokenOver => return self.taken(token, &wish).await,
                    _ => return Err(failure.into()),
                },
                Err(Run::Error(error)) => return Err(error),
            }
        }
        Err(full.map_or_else(|| ProviderError::refused("no zone is named"), ProviderError::from))
    }

    /// EC2 knows the token. When it made just this, that is the answer, ended or not.
    async fn taken(&self, token: &Token, wish: &str) -> Result<Answer, ProviderError> {
        match self.made::<Machine>(token, wish).await? {
            Some(machine) => Ok(Answer::Made(Object::Machine(machine))),
            None => Err(ProviderError::TokenTaken),
        }
    }

    async fn run(&self, wanted: &Wanted<'_>, at: usize, zone: &str, of_type: &str) -> Result<Machine, Run> {
        let spec = &self.spec;
        let image = self.image(wanted.asked, of_type).await.map_err(Run::Error)?;
        let attempt = if at == 0 { String::new() } else { format!("{zone} {of_type}") };
        let mut query = Query::new(Action::RunInstances)
            .with("ImageId", image)
            .with("InstanceType", of_type)
            .with("MinCount", 1)
            .with("MaxCount", 1)
            .with("ClientToken", client_token(wanted.token, &attempt))
            .with("Placement.AvailabilityZone", zone)
            .with("MetadataOptions.HttpTokens", "required")
            .with_some("SubnetId", spec.subnets.get(zone))
            .with_some("KeyName", wanted.key.as_ref())
            .with_some("IamInstanceProfile.Name", spec.instance_profile.as_ref())
            .with_some("UserData", spec.user_data.as_ref().map(|text| BASE64_STANDARD.encode(text)))
            .list("SecurityGroupId", &wanted.groups)
            .tagged("instance", wanted.written);
        if spec.protected {
            query = query.with("DisableApiTermination", true);
        }
        let answer = self.client.ask(&query).await.map_err(Run::Failed)?;
        let made = answer.items("instancesSet").next().map(see::machine);
        made.ok_or_else(|| Run::Failed(Failure::Lost("EC2 did not say what it made".to_owned())))
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
        let answer = self.client.ask(&Query::new(Action::DescribeInstances).list("InstanceId", [id])).await?;
        let of = answer.items("reservationSet").flat_map(|one| one.items("instancesSet"));
        let going: Vec<(&str, &str)> = of
            .flat_map(|one| one.items("blockDeviceMapping"))
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
    async fn zones_for(&self, slot: Option<SlotId>) -> Result<Vec<String>, ProviderError> {
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
        let pages = self.client.elements(of_slot(Action::DescribeVolumes, slot)).await?;
        let there = |element: &&super::element::Element| {
            let volume: Volume = see::volume(element);
            !matches!(volume.state, VolumeState::Deleting | VolumeState::Deleted)
        };
        let volumes = pages.iter().flat_map(|page| page.items("volumeSet").filter(there));
        Ok(volumes.map(|element| element.text("availabilityZone").to_owned()).collect())
    }

    /// In which zone a machine of a slot is that is not over.
    pub(super) async fn zone_of_machine(&self, slot: SlotId) -> Result<Option<String>, ProviderError> {
        let pages = self.client.elements(of_slot(Action::DescribeInstances, slot)).await?;
        let all = pages
            .iter()
            .flat_map(|page| page.items("reservationSet"))
            .flat_map(|one| one.items("instancesSet"));
        let alive = all.filter(|element| !see::machine(element).state.is_over());
        let zone = |element: &super::element::Element| {
            Some(element.get("placement")?.text("availabilityZone").to_owned())
        };
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

/// Why a try to make a machine came to nothing.
enum Run {
    Failed(Failure),
    Error(ProviderError),
}

fn of_slot(action: Action, slot: SlotId) -> Query {
    Query::new(action)
        .filter(&format!("tag:{}", tags::CLOUD), slot.cloud)
        .filter(&format!("tag:{}", tags::NODE), slot.index)
}
