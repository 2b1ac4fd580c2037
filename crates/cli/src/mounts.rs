//! Mounts as people name them, with what is seen of each: its volume, its snapshots, and what its agent says.

use ideal_core::address::Address;
use ideal_core::id::{Name, SlotId};
use ideal_core::ideal::Mount;
use ideal_core::observed::{MountSeen, SlotSeen, Snapshot, SnapshotState, Volume, VolumeState};
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
        let told = self.seen?.agent.report()?.mounts.get(&volume.id)?;
        (told.life == volume.life).then_some(told)
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
        // Says so when there is no such cloud.
        let node = text.split(':').next().unwrap_or(text).to_owned();
        scopes::of(&glance.ideal, &[node])?;
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
        let message = format!("`{text}` is not a mount; write shop.db[0]:data");
        let failure = Failure::new("bad-address", Exit::BadInput, message);
        return Err(failure.next("ideal volumes list        shows those that there are").into());
    }
    let mut found = of(glance, &[text.to_owned()])?;
    found.pop().ok_or_else(|| {
        Failure::new("no-such-part", Exit::BadInput, format!("there is no mount `{text}`")).into()
    })
}

fn covers(glance: &Glance, asked: &Address, part: &Part) -> bool {
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

fn all(glance: &Glance) -> Vec<View<'_>> {
    let mut views = Vec::new();
    for cloud in &glance.ideal.clouds {
        for index in 0..cloud.nodes {
            let slot = SlotId { cloud: cloud.id, index };
            views.extend(cloud.mounts.iter().map(|mount| view(glance, slot, &mount.name)));
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
    let cloud = glance.ideal.cloud(slot.cloud).filter(|cloud| slot.index < cloud.nodes);
    let wanted = cloud.and_then(|cloud| cloud.mounts.iter().find(|mount| mount.name == *name));
    let seen = glance.observed.slots.get(&slot);
    View { glance, part: Part::mount(slot, name), name: name.clone(), wanted, seen }
}
