//! Mounts as people name them, with what is seen of each: its volume, its snapshots, and what its agent says.

use ideal_core::address::Address;
use ideal_core::id::{Name, SlotId};
use ideal_core::ideal::{Mount, Service};
use ideal_core::observed::{MountSeen, Report, SlotSeen, Snapshot, SnapshotState, Volume, VolumeState};
use ideal_core::plan::Part;
use ideal_core::plan::text::address;
use ideal_engine::Glance;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::scopes;

/// One mount.
pub(crate) struct View<'g> {
    pub(crate) glance: &'g Glance,
    pub(crate) part: Part,
    pub(crate) name: Name,
    /// What the file says of it; none when it does not want it.
    pub(crate) wanted: Option<&'g Mount>,
    pub(crate) seen: Option<&'g SlotSeen>,
}

impl<'g> View<'g> {
    pub(crate) fn address(&self) -> String {
        address(&self.glance.ideal, &self.part)
    }
    /// Its volume that is there: of the highest life, when there are several.
    pub(crate) fn volume(&self) -> Option<&'g Volume> {
        let own = self.seen?.volumes.iter().filter(|own| own.tags.mount.as_ref() == Some(&self.name));
        own.filter(|own| own.state != VolumeState::Deleted).max_by_key(|own| (own.life, own.tags.generation))
    }
    /// What its agent says of the volume, of its present life.
    pub(crate) fn mount(&self) -> Option<&'g MountSeen> {
        let volume = self.volume()?;
        let told = self.report(volume)?.mounts.get(&volume.id)?;
        (told.life == volume.life).then_some(told)
    }
    /// What the agent says on whose machine a volume is: that of the node itself, or of the one that carries the replica.
    fn report(&self, volume: &Volume) -> Option<&'g Report> {
        let node = self.holder(volume).unwrap_or(self.part.slot);
        self.glance.observed.slots.get(&node)?.agent.report()
    }
    fn holder(&self, volume: &Volume) -> Option<SlotId> {
        let machine = &volume.attachment.as_ref()?.machine;
        self.glance.observed.machine(machine).map(|(slot, _)| slot)
    }
    /// The node that has its volume, or is to have it.
    pub(crate) fn node(&self) -> Option<SlotId> {
        if self.glance.ideal.service(self.part.slot.cloud).is_none() {
            return Some(self.part.slot);
        }
        let holder = self.volume().and_then(|volume| self.holder(volume));
        holder.or_else(|| self.glance.seats().of(self.part.slot)?.node)
    }
    /// The path of the cloud that it is in, or that its service is on.
    pub(crate) fn cloud(&self) -> Option<String> {
        let ideal = &self.glance.ideal;
        let id = ideal.service(self.part.slot.cloud).map_or(self.part.slot.cloud, |own| own.cloud);
        ideal.cloud(id).map(|cloud| cloud.path.to_string())
    }
    /// Its snapshots, newest first.
    pub(crate) fn snapshots(&self) -> Vec<&'g Snapshot> {
        let own = self.seen.into_iter().flat_map(|seen| &seen.snapshots);
        let mut own: Vec<&Snapshot> = own.filter(|own| own.tags.mount.as_ref() == Some(&self.name)).collect();
        own.sort_by_key(|own| std::cmp::Reverse((own.life, own.at, &own.id)));
        own
    }
    /// The newest that is whole.
    pub(crate) fn newest(&self) -> Option<&'g Snapshot> {
        self.snapshots().into_iter().find(|own| own.state == SnapshotState::Completed)
    }
    /// How it is, in a word.
    pub(crate) fn state(&self) -> &'static str {
        let mounted = self.mount().is_some_and(|seen| seen.mounted);
        match self.volume() {
            Some(_) if mounted => "mounted",
            Some(volume) if volume.state == VolumeState::Error => "broken",
            Some(volume) if volume.attachment.is_some() => "attached",
            Some(volume) if volume.retired.is_some() => "retired",
            Some(_) => "detached",
            None if self.snapshots().iter().any(|own| own.seal.is_some()) => "sealed",
            None => "missing",
        }
    }
}

/// The mounts that addresses mean: those of the file in its order, then others that are seen. Without an address
/// all of them.
pub(crate) fn of<'g>(glance: &'g Glance, addresses: &[String]) -> anyhow::Result<Vec<View<'g>>> {
    let wanted: Vec<Address> =
        addresses.iter().map(|text| scopes::address(text)).collect::<Result<_, _>>()?;
    for (own, text) in wanted.iter().zip(addresses) {
        if service_of(glance, own).is_none() {
            // Says so when there is no such cloud.
            let node = text.split(':').next().unwrap_or(text).to_owned();
            scopes::of(&glance.ideal, &[node])?;
        }
        let known = |view: &View<'_>| covers(glance, own, &view.part);
        if own.mount.is_some() && !all(glance).iter().any(known) {
            let failure = Failure::new("no-such-part", Exit::BadInput, format!("there is no mount `{text}`"));
            return Err(failure.next("ideal volumes list        shows those that there are").into());
        }
    }
    let asked =
        |view: &View<'_>| wanted.is_empty() || wanted.iter().any(|own| covers(glance, own, &view.part));
    Ok(all(glance).into_iter().filter(asked).collect())
}

/// The one mount that an address means.
pub(crate) fn one<'g>(glance: &'g Glance, text: &str) -> anyhow::Result<View<'g>> {
    if scopes::address(text)?.mount.is_none() {
        let message = format!("`{text}` is not a mount; write shop.db[0]:data or pub[0]:home");
        let failure = Failure::new("bad-address", Exit::BadInput, message);
        return Err(failure.next("ideal volumes list        shows those that there are").into());
    }
    let mut found = of(glance, &[text.to_owned()])?;
    found.pop().ok_or_else(|| {
        Failure::new("no-such-part", Exit::BadInput, format!("there is no mount `{text}`")).into()
    })
}

/// The service that an address means. Where a cloud has the same name, that is meant.
fn service_of<'g>(glance: &'g Glance, asked: &Address) -> Option<&'g Service> {
    if glance.ideal.cloud_at(&asked.path).is_some() {
        return None;
    }
    let found = glance.ideal.services.iter().find(|own| asked.path.0 == [own.name.clone()]);
    found.map(AsRef::as_ref)
}

fn covers(glance: &Glance, asked: &Address, part: &Part) -> bool {
    if let Some(service) = glance.ideal.service(part.slot.cloud) {
        // By its service, or by the cloud that this is on.
        let is_own = service_of(glance, asked).is_some_and(|own| own.id == service.id);
        let on = glance.ideal.cloud(service.cloud).filter(|_| asked.index.is_none());
        let within = on.is_some_and(|cloud| cloud.path.is_within(&asked.path));
        let same = asked.index.is_none_or(|index| index == part.slot.index)
            && (asked.mount.is_none() || asked.mount == part.mount);
        return within || is_own && same;
    }
    let Some(cloud) = glance.ideal.cloud(part.slot.cloud) else { return false };
    match asked.index {
        None => cloud.path.is_within(&asked.path),
        Some(index) => {
            cloud.path == asked.path
                && index == part.slot.index
                && (asked.mount.is_none() || asked.mount == part.mount)
        }
    }
}

/// The mounts of one node or replica that the file wants.
pub(crate) fn of_slot(glance: &Glance, slot: SlotId) -> Vec<View<'_>> {
    let ideal = &glance.ideal;
    let own = match (ideal.cloud(slot.cloud), ideal.service(slot.cloud)) {
        (Some(cloud), _) => &cloud.mounts[..],
        (None, service) => service.map_or(&[][..], |service| &service.mounts),
    };
    own.iter().map(|mount| view(glance, slot, &mount.name)).collect()
}

fn all(glance: &Glance) -> Vec<View<'_>> {
    let mut views = Vec::new();
    for cloud in &glance.ideal.clouds {
        for index in 0..cloud.nodes {
            let slot = SlotId { cloud: cloud.id, index };
            views.extend(cloud.mounts.iter().map(|mount| view(glance, slot, &mount.name)));
        }
    }
    for service in &glance.ideal.services {
        for index in 0..service.replicas {
            let slot = service.slot(index);
            views.extend(service.mounts.iter().map(|mount| view(glance, slot, &mount.name)));
        }
    }
    for (slot, seen) in &glance.observed.slots {
        let volumes = seen.volumes.iter().filter(|own| own.state != VolumeState::Deleted);
        let tags = volumes.map(|own| &own.tags).chain(seen.snapshots.iter().map(|own| &own.tags));
        for name in tags.filter_map(|tags| tags.mount.as_ref()) {
            if !views.iter().any(|view| view.part.slot == *slot && view.name == *name) {
                views.push(view(glance, *slot, name));
            }
        }
    }
    views
}

fn view<'g>(glance: &'g Glance, slot: SlotId, name: &Name) -> View<'g> {
    let ideal = &glance.ideal;
    let there = match (ideal.cloud(slot.cloud), ideal.service(slot.cloud)) {
        (Some(cloud), _) => slot.index < cloud.nodes,
        (None, service) => service.is_some_and(|service| slot.index < service.replicas),
    };
    let wanted = ideal.mount(slot, name).filter(|_| there);
    let seen = glance.observed.slots.get(&slot);
    View { glance, part: Part::mount(slot, name), name: name.clone(), wanted, seen }
}
