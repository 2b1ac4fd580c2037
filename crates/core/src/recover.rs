//! Making the journal and the world agree before anything is decided: what has an unknown end is looked up, what
//! is found is adopted, what is gone is noted.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Life, SlotId, VolumeId};
use crate::journal::{ObjectKind, Outcome, Record, View};
use crate::observed::{MachineState, Observed, SlotSeen, Tags, Volume, VolumeState};
use crate::plan::{Act, Part};
use crate::time::{Span, Time};

/// Records that bring the journal up to what is seen. `settle` says after how long absence is believed.
pub fn catch_up(view: &View, observed: &Observed, settle: impl Fn(&Part) -> Span, now: Time) -> Vec<Record> {
    let mut records = Vec::new();
    let volumes = Volumes::of(observed);
    for (slot, seen) in &observed.slots {
        found(view, &Part::node(*slot), seen, &mut records);
        unmounted(view, &volumes, seen, &mut records);
        filesystems(view, &volumes, seen, &mut records);
        healed(view, &Part::node(*slot), seen, &mut records);
    }
    gone(view, observed, settle, now, &mut records);
    records
}

/// Intents that an engine left behind when it ended: nobody knows what came of them.
pub fn doubts(view: &View) -> Vec<Record> {
    let open = view.open.keys().cloned();
    open.map(|(part, verb)| Record::Doubted { part, verb }).collect()
}

/// What agents made right since the last look.
fn healed(view: &View, node: &Part, seen: &SlotSeen, records: &mut Vec<Record>) {
    let Some(report) = seen.agent.report() else { return };
    let (generation, last) = view.heals.get(&node.slot).copied().unwrap_or_default();
    let known = if generation == report.generation { last } else { 0 };
    for heal in report.heals.iter().filter(|heal| heal.number > known) {
        let (part, generation) = (node.clone(), report.generation);
        records.push(Record::Healed { part, generation, heal: heal.clone() });
    }
}

/// Things that are seen and that the journal does not know: what a creation in doubt made, or adopted ones.
fn found(view: &View, node: &Part, seen: &SlotSeen, records: &mut Vec<Record>) {
    let known = view.slot(node.slot);
    let mount_of = |tags: &Tags| tags.mount.as_ref().map(|name| Part::mount(node.slot, name));
    for machine in &seen.machines {
        let is_known = known.is_some_and(|known| known.machines.contains(&machine.id));
        if is_known || matches!(machine.state, MachineState::Terminated | MachineState::Terminating) {
            continue;
        }
        let act = Act::CreateMachine {
            generation: machine.tags.generation,
            image: machine.image.clone(),
            size: machine.size.clone(),
        };
        let own = known.is_some_and(|known| known.generation >= machine.tags.generation);
        records.push(taken_in(
            view,
            node,
            act,
            machine.id.as_str(),
            ObjectKind::Machine,
            &machine.tags,
            0,
            own,
        ));
    }
    for volume in &seen.volumes {
        let Some(part) = mount_of(&volume.tags) else { continue };
        let memory = known.and_then(|known| known.mounts.get(part.mount.as_ref()?));
        let is_known = memory.is_some_and(|memory| memory.volumes.contains(&volume.id))
            || known_under_other_name(known, |mount| mount.volumes.contains(&volume.id));
        if is_known || matches!(volume.state, VolumeState::Deleted | VolumeState::Deleting) {
            continue;
        }
        let act = Act::CreateVolume {
            generation: volume.tags.generation,
            size: volume.size,
            life: volume.life,
            from: volume.origin.clone(),
        };
        let own = memory.is_some_and(|memory| memory.generation >= volume.tags.generation);
        let (id, tags) = (volume.id.as_str(), &volume.tags);
        records.push(taken_in(view, &part, act, id, ObjectKind::Volume, tags, volume.life, own));
    }
    for snapshot in &seen.snapshots {
        let Some(part) = mount_of(&snapshot.tags) else { continue };
        let memory = known.and_then(|known| known.mounts.get(part.mount.as_ref()?));
        let is_known = memory.is_some_and(|memory| memory.snapshots.contains(&snapshot.id))
            || known_under_other_name(known, |mount| mount.snapshots.contains(&snapshot.id));
        if is_known {
            continue;
        }
        let (volume, life) = (snapshot.volume.clone(), snapshot.life);
        let act = match snapshot.seal {
            Some(kind) => Act::Seal { volume, life, kind, attempt: 0 },
            None => Act::Backup { volume, life, at: snapshot.at },
        };
        let own = memory.is_some_and(|memory| memory.life >= snapshot.life);
        let (id, tags) = (snapshot.id.as_str(), &snapshot.tags);
        records.push(taken_in(view, &part, act, id, ObjectKind::Snapshot, tags, snapshot.life, own));
    }
}

fn known_under_other_name(
    known: Option<&crate::journal::SlotMemory>,
    has: impl Fn(&crate::journal::MountMemory) -> bool,
) -> bool {
    known.is_some_and(|known| known.mounts.values().any(has))
}

/// What a creation in doubt made is its outcome; anything else is adopted.
#[expect(clippy::too_many_arguments, reason = "one place that turns any found object into its record")]
fn taken_in(
    view: &View,
    part: &Part,
    act: Act,
    id: &str,
    kind: ObjectKind,
    tags: &Tags,
    life: u32,
    own: bool,
) -> Record {
    let doubted = |verb: &str| {
        view.open.contains_key(&(part.clone(), verb.to_owned()))
            || view.trouble(part, verb).is_some_and(|trouble| trouble.in_doubt)
    };
    let own_verb = [act.verb()];
    let verbs: &[&str] = match kind {
        ObjectKind::Volume => &["create-volume", "restore-volume", "claim-volume"],
        ObjectKind::Machine | ObjectKind::Snapshot => &own_verb,
    };
    if own && verbs.iter().any(|verb| doubted(verb)) {
        let outcome = Outcome::Accepted { made: Some(id.to_owned()) };
        return Record::Outcome { part: part.clone(), act, outcome };
    }
    Record::Adopted { part: part.clone(), object: id.to_owned(), kind, generation: tags.generation, life }
}

/// Volumes by their id: what an agent has mounted may be a replica's, whose volumes are no node's own.
struct Volumes<'a>(BTreeMap<&'a VolumeId, (SlotId, &'a Volume)>);

impl<'a> Volumes<'a> {
    fn of(observed: &'a Observed) -> Volumes<'a> {
        let reports = observed.slots.values().any(|seen| seen.agent.report().is_some());
        let slots = observed.slots.iter().filter(|_| reports);
        let all = slots.flat_map(|(slot, seen)| seen.volumes.iter().map(move |own| (&own.id, (*slot, own))));
        Volumes(all.collect())
    }

    /// The mount that a volume is of, as it was in this life.
    fn mount(&self, volume: &VolumeId, life: Life) -> Option<Part> {
        let (slot, own) = self.0.get(volume).filter(|(_, own)| own.life == life)?;
        Some(Part::mount(*slot, own.tags.mount.as_ref()?))
    }
}

/// Filesystems that agents report: so that another in the same place is noticed.
fn filesystems(view: &View, volumes: &Volumes<'_>, seen: &SlotSeen, records: &mut Vec<Record>) {
    let Some(report) = seen.agent.report() else { return };
    for (volume, mount) in report.mounts.iter().filter(|(_, mount)| mount.mounted) {
        let Some(filesystem) = &mount.filesystem else { continue };
        let Some(part) = volumes.mount(volume, mount.life) else { continue };
        let known = memory(view, &part).and_then(|known| known.filesystem.as_ref());
        if known.is_none_or(|(id, uuid)| id != volume || *uuid != filesystem.uuid) {
            let uuid = filesystem.uuid.clone();
            records.push(Record::FilesystemSeen { part, volume: volume.clone(), uuid });
        }
    }
}

/// Clean unmounts that agents report: so that it is still known when the agent is gone.
fn unmounted(view: &View, volumes: &Volumes<'_>, seen: &SlotSeen, records: &mut Vec<Record>) {
    let Some(report) = seen.agent.report() else { return };
    for (volume, mount) in report.mounts.iter().filter(|(_, mount)| !mount.mounted) {
        let Some(part) = volumes.mount(volume, mount.life) else { continue };
        let known = memory(view, &part).and_then(|known| known.clean.as_ref());
        if known != Some(&(volume.clone(), mount.life)) {
            records.push(Record::UnmountSeen { part, volume: volume.clone(), life: mount.life });
        }
    }
}

fn memory<'v>(view: &'v View, part: &Part) -> Option<&'v crate::journal::MountMemory> {
    view.slot(part.slot)?.mounts.get(part.mount.as_ref()?)
}

/// Things that the journal knows and that are believed gone by now.
fn gone(
    view: &View,
    observed: &Observed,
    settle: impl Fn(&Part) -> Span,
    now: Time,
    records: &mut Vec<Record>,
) {
    if observed.missing.is_empty() {
        return;
    }
    for (slot, known) in &view.slots {
        let part = Part::node(*slot);
        let machines = known.machines.iter().map(ToString::to_string);
        let mounts = known.mounts.values().flat_map(|mount| {
            let volumes = mount.volumes.iter().map(ToString::to_string);
            volumes.chain(mount.snapshots.iter().map(ToString::to_string))
        });
        let all: BTreeSet<String> = machines.chain(mounts).collect();
        for object in all {
            let since = observed.missing.get(&object);
            if since.is_some_and(|since| now >= *since + settle(&part)) {
                records.push(Record::Gone { part: part.clone(), object });
            }
        }
    }
}
