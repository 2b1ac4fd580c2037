//! Looking: everything the providers list, what the journal knows beyond that (by id), and what the agents say.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use ideal_api::{Order, Reply, Verb};
use ideal_core::id::{Generation, Name, SlotId};
use ideal_core::ideal::Ideal;
use ideal_core::journal::View;
use ideal_core::observed::{
    AgentSeen, Authority, Listing, MachineState, Observed, Sight, SlotSeen, Tags, VolumeState,
};
use ideal_core::slice::ForNode;
use ideal_core::time::{Span, Time};
use ideal_providers::{Object, ObjectId, Provider};

use crate::outside::Outside;

/// How many agents are asked at once.
pub(crate) const AGENTS_AT_ONCE: usize = 128;

/// What is kept from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    missing: BTreeMap<String, Time>,
    silent: BTreeMap<SlotId, Time>,
    /// Whose agents were heard, and of which machine of their slot.
    heard: BTreeMap<SlotId, Generation>,
    /// What was listed last, of those who are to be left alone for a while when nothing is to be done there.
    listings: BTreeMap<Name, (Time, Listing)>,
    /// Where nothing is to be done.
    pub(crate) at_rest: BTreeSet<Name>,
    /// Who was not asked at the last look: what was listed before stands in.
    pub(crate) stands_in: BTreeSet<Name>,
}

impl Memory {
    /// The listing that may stand in for a fresh one.
    fn rested(&self, name: &Name, rest: Span, now: Time) -> Option<&Listing> {
        let (at, listing) = self.listings.get(name).filter(|_| self.at_rest.contains(name))?;
        (now < *at + rest).then_some(listing)
    }
}

/// One look at everything.
pub(crate) async fn observe(
    outside: &Outside,
    ideal: &Ideal,
    view: &View,
    memory: &mut Memory,
    authority: Option<&Authority>,
) -> Observed {
    let mut observed = Observed { at: outside.clock.now(), ..Observed::default() };
    memory.stands_in.clear();
    for (name, provider) in &outside.providers {
        if let Some(listing) = memory.rested(name, provider.character().rest, observed.at) {
            observed.add(name, listing.clone());
            memory.stands_in.insert(name.clone());
            continue;
        }
        match outside.effect("describe", provider.describe()).await {
            Ok(listing) => {
                if provider.character().rest > Span::ZERO {
                    memory.listings.insert(name.clone(), (observed.at, listing.clone()));
                }
                observed.add(name, listing);
            }
            Err(error) => {
                observed.sight.insert(name.clone(), Sight::Blind { why: error.to_string() });
            }
        }
    }
    observed.keep_only(|cloud| ideal.knows(cloud) || view.clouds.contains(&cloud));
    look_for_missing(outside, ideal, view, memory, &mut observed).await;
    ask_agents(outside, memory, authority, &mut observed).await;
    observed
}

/// What the journal knows and no listing shows is read by id: only that can say that it is gone.
async fn look_for_missing(
    outside: &Outside,
    ideal: &Ideal,
    view: &View,
    memory: &mut Memory,
    observed: &mut Observed,
) {
    let now = outside.clock.now();
    let mut missing = BTreeMap::new();
    for (slot, known) in &view.slots {
        let seen = observed.slots.get(slot);
        let unseen = unseen(known, seen);
        if unseen.is_empty() {
            continue;
        }
        let provider = provider_of(outside, ideal, *slot, seen);
        for id in unseen {
            let Some((name, provider)) = &provider else { continue };
            if !matches!(observed.sight.get(name), Some(Sight::Whole)) {
                continue;
            }
            if memory.stands_in.contains(name) {
                let id = id.to_string();
                missing.extend(memory.missing.get(&id).map(|since| (id, *since)));
                continue;
            }
            match outside.effect("read", provider.read(&id)).await {
                // Ownership is the tag: what was released is as gone as what was ended.
                Ok(Some(object)) if !is_over(&object) && tags(&object).slot() == Some(*slot) => {
                    let seen = observed.slots.entry(*slot).or_default();
                    seen.provider.get_or_insert_with(|| name.clone());
                    add(seen, object);
                }
                // That it is over is said, not inferred: it is believed at once.
                Ok(Some(_)) => {
                    missing.insert(id.to_string(), Time(0));
                }
                Ok(None) => {
                    let id = id.to_string();
                    let since = memory.missing.get(&id).copied().unwrap_or(now);
                    missing.insert(id, since);
                }
                // Not even that could be read: it stays unseen, and nothing is concluded.
                Err(_) => {}
            }
        }
    }
    memory.missing.clone_from(&missing);
    observed.missing = missing;
}

/// Everything known of a slot that was not listed.
fn unseen(known: &ideal_core::journal::SlotMemory, seen: Option<&SlotSeen>) -> Vec<ObjectId> {
    let mut unseen = Vec::new();
    let listed = |check: &dyn Fn(&SlotSeen) -> bool| seen.is_some_and(check);
    for id in &known.machines {
        if !listed(&|seen| seen.machines.iter().any(|machine| machine.id == *id)) {
            unseen.push(ObjectId::Machine(id.clone()));
        }
    }
    for mount in known.mounts.values() {
        for id in &mount.volumes {
            if !listed(&|seen| seen.volumes.iter().any(|volume| volume.id == *id)) {
                unseen.push(ObjectId::Volume(id.clone()));
            }
        }
        for id in &mount.snapshots {
            if !listed(&|seen| seen.snapshots.iter().any(|snapshot| snapshot.id == *id)) {
                unseen.push(ObjectId::Snapshot(id.clone()));
            }
        }
    }
    unseen
}

fn tags(object: &Object) -> &Tags {
    match object {
        Object::Machine(machine) => &machine.tags,
        Object::Volume(volume) => &volume.tags,
        Object::Snapshot(snapshot) => &snapshot.tags,
    }
}

fn is_over(object: &Object) -> bool {
    match object {
        Object::Machine(machine) => machine.state.is_over(),
        Object::Volume(volume) => volume.state == VolumeState::Deleted,
        Object::Snapshot(_) => false,
    }
}

fn add(seen: &mut SlotSeen, object: Object) {
    match object {
        Object::Machine(machine) => seen.machines.push(machine),
        Object::Volume(volume) => seen.volumes.push(volume),
        Object::Snapshot(snapshot) => seen.snapshots.push(snapshot),
    }
}

/// The provider of a slot: by the file, else by where its things were seen, else the only one there is.
pub(crate) fn provider_of(
    outside: &Outside,
    ideal: &Ideal,
    slot: SlotId,
    seen: Option<&SlotSeen>,
) -> Option<(Name, std::rc::Rc<dyn Provider>)> {
    let by_file = ideal.provider_of(slot.cloud).cloned();
    let name = by_file.or_else(|| seen.and_then(|seen| seen.provider.clone())).or_else(|| {
        let mut names = outside.providers.keys();
        names.next().filter(|_| names.next().is_none()).cloned()
    })?;
    let provider = outside.providers.get(&name)?.clone();
    Some((name, provider))
}

/// Asks the agent of every machine that runs how things are.
async fn ask_agents(
    outside: &Outside,
    memory: &mut Memory,
    authority: Option<&Authority>,
    observed: &mut Observed,
) {
    let mut asked: Vec<(SlotId, String, Order)> = Vec::new();
    let mut silent = BTreeSet::new();
    for (slot, seen) in &mut observed.slots {
        let alive = seen.machines.iter().filter(|machine| !machine.state.is_over());
        let Some(machine) = alive.max_by_key(|machine| (machine.tags.generation, &machine.id)) else {
            continue;
        };
        if machine.state != MachineState::Running {
            continue;
        }
        let Some(address) = machine.agent.clone() else {
            silent.insert(*slot);
            continue;
        };
        let order = Order {
            node: ForNode { slot: *slot, generation: machine.tags.generation },
            // A report needs no authority; before the lease is taken there is none to show.
            authority: authority.cloned().unwrap_or_else(nobody),
            verb: Verb::Report,
        };
        asked.push((*slot, address, order));
    }
    let answers = stream::iter(&asked)
        .map(|(slot, address, order)| async move {
            let answer = outside.effect("report", outside.link.ask(address, order)).await;
            (*slot, answer)
        })
        .buffer_unordered(AGENTS_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let now = outside.clock.now();
    let mut quiet = BTreeMap::new();
    let mut fall_silent = |observed: &mut Observed, slot: SlotId, why: String| {
        let since = memory.silent.get(&slot).copied().unwrap_or(now);
        quiet.insert(slot, since);
        if let Some(seen) = observed.slots.get_mut(&slot) {
            seen.agent = AgentSeen::Silent { since, why };
        }
    };
    for (slot, answer) in answers {
        match answer {
            Ok(Reply::Report(report)) => {
                memory.heard.insert(slot, report.generation);
                if let Some(seen) = observed.slots.get_mut(&slot) {
                    seen.agent = AgentSeen::Answered(report);
                }
            }
            Ok(_) => fall_silent(observed, slot, "it answered something else".to_owned()),
            Err(error) => fall_silent(observed, slot, error.to_string()),
        }
    }
    for slot in silent {
        fall_silent(observed, slot, "it has no address yet".to_owned());
    }
    memory.silent = quiet;
    for (slot, generation) in &memory.heard {
        if let Some(seen) = observed.slots.get_mut(slot) {
            let newest = seen.machines.iter().map(|machine| machine.tags.generation).max();
            seen.heard = newest == Some(*generation);
        }
    }
}

/// Who asks without any authority.
pub(crate) fn nobody() -> Authority {
    Authority { epoch: 0, holder: String::new(), store: String::new(), until: Time(0), forced: false }
}
