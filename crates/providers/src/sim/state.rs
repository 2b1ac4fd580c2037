//! The cloud's own state, and what of it is seen.

mod others;
mod shove;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ideal_core::build::Build;
use ideal_core::id::{MachineId, MountId, SlotId, SnapshotId, Token, VolumeId};
use ideal_core::model;
use ideal_core::observed::{
    Listing, Machine, MachineState, Snapshot, SnapshotState, Tags, Volume, VolumeState,
};
use ideal_core::time::{Span, Time};

use super::SETTLE;
use super::agents::Agent;
use super::fault::{Faults, Random};
use crate::{Answer, Call, Object, ObjectId, ProviderError};

/// How often what was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Listings.
    pub lists: u64,
    /// Reads by id.
    pub reads: u64,
    /// Calls that change something.
    pub shoves: u64,
    /// Orders to agents that change something.
    pub orders: u64,
}

pub(super) struct SimMachine {
    pub(super) machine: Machine,
    pub(super) due: Time,
    pub(super) agent: Agent,
}

impl SimMachine {
    fn settle(&mut self) {
        let before = self.machine.state;
        model::settle_machine(&mut self.machine);
        if before != self.machine.state && self.machine.state == MachineState::Running {
            self.machine.address = Some("10.0.0.1".to_owned());
            self.machine.agent = Some(self.machine.id.to_string());
        }
    }
}

pub(super) struct SimVolume {
    pub(super) volume: Volume,
    pub(super) due: Time,
    /// The version of its content: rises with every write.
    pub(super) data: u64,
}

pub(super) struct SimSnapshot {
    pub(super) snapshot: Snapshot,
    pub(super) due: Time,
    pub(super) fails: bool,
    pub(super) data: u64,
}

/// The truth about the simulated cloud.
pub struct State {
    /// What goes wrong.
    pub faults: Faults,
    /// How often what was called.
    pub calls: Calls,
    /// Whether the policy ends machines that nobody hears for long.
    pub fences: bool,
    /// What broke an invariant; empty in a good run.
    pub violations: Vec<String>,
    /// How often each remarkable thing happened: a test that never saw one proves nothing about it.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Folded over every event: equal for equal runs.
    pub trace: u64,
    /// Every event as text, when asked for.
    pub log: Option<Vec<String>>,
    /// Whether things that are nobody's are listed too: for a planted fault.
    pub shows_foreign: bool,
    /// The agent that is brought, where that is so.
    pub program: Build,
    /// Hooks that refuse, and how often still.
    pub refusing: BTreeMap<String, u32>,
    pub(super) random: Random,
    pub(super) now: Time,
    pub(super) machines: BTreeMap<MachineId, SimMachine>,
    pub(super) volumes: BTreeMap<VolumeId, SimVolume>,
    pub(super) snapshots: BTreeMap<SnapshotId, SimSnapshot>,
    pub(super) tokens: BTreeMap<Token, (ObjectId, String)>,
    /// The newest content of each mount, by its version.
    pub(super) newest: BTreeMap<MountId, u64>,
    /// Mounts whose data somebody else destroyed: no fault of ours.
    pub(super) harmed: BTreeSet<MountId>,
    pub(super) past: VecDeque<(Time, Listing)>,
    pub(super) writes: u64,
    /// Whether any machine was ever told of a replica.
    pub(super) has_replicas: bool,
    /// What was made for each slot: so that judging a creation does not cost a look at everything.
    pub(super) of_slot: BTreeMap<SlotId, Vec<ObjectId>>,
    made: u64,
    unsettled: Unsettled,
}

/// What may be under way. Without latency it is what was just touched; looking at all of a large cloud with each
/// call would cost its square.
enum Unsettled {
    All,
    These(Vec<ObjectId>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("now", &self.now).field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(seed: u64, faults: Faults) -> State {
        State {
            faults,
            calls: Calls::default(),
            fences: false,
            violations: Vec::new(),
            sometimes: BTreeMap::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            log: None,
            shows_foreign: false,
            program: Build(1),
            refusing: BTreeMap::new(),
            random: Random::new(seed),
            now: super::BEGINNING,
            machines: BTreeMap::new(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            tokens: BTreeMap::new(),
            newest: BTreeMap::new(),
            harmed: BTreeSet::new(),
            past: VecDeque::new(),
            writes: 0,
            has_replicas: false,
            of_slot: BTreeMap::new(),
            made: 0,
            unsettled: Unsettled::All,
        }
    }

    /// Notes an event: in the trace always (FNV-1a), in the log when asked for.
    pub fn event(&mut self, text: impl FnOnce() -> String) {
        // Large runs need neither; building the text is most of their cost.
        if self.faults.instant && self.log.is_none() {
            return;
        }
        let text = text();
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(log) = &mut self.log {
            let at = self.now.since(super::BEGINNING).0;
            log.push(format!("{:>5}.{:03}  {text}", at / 1000, at % 1000));
        }
    }

    pub(super) fn seen(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    /// Whether chance faults still happen.
    pub(super) fn chance(&mut self, permille: u32) -> bool {
        self.faults.until.is_none_or(|until| self.now < until) && self.random.chance(permille)
    }

    pub(super) fn latency(&mut self) -> Span {
        if self.faults.instant {
            return Span::ZERO;
        }
        let slow = self.chance(self.faults.slow);
        let span = self.random.span(Span::millis(10), Span::millis(200));
        if slow { Span(span.0 * 20) } else { span }
    }

    fn due(&mut self, low: Span, high: Span) -> Time {
        if self.faults.instant {
            return self.now;
        }
        let slow = self.chance(self.faults.slow);
        let span = self.random.span(low, high);
        self.now + if slow { Span(span.0 * 20) } else { span }
    }

    /// Lets time pass: what is due comes to its end.
    pub(super) fn advance(&mut self, now: Time) {
        self.now = now;
        self.settle_replicas();
        if let Unsettled::These(ids) = &mut self.unsettled {
            let ids = std::mem::take(ids);
            if ids.iter().all(|id| self.settle_one(id)) {
                return;
            }
        }
        for own in self.machines.values_mut().filter(|own| own.due <= now) {
            own.settle();
        }
        let over: BTreeSet<MachineId> = self
            .machines
            .values()
            .filter(|own| own.machine.state.is_over())
            .map(|own| own.machine.id.clone())
            .collect();
        for own in self.volumes.values_mut() {
            if own.due <= now {
                model::settle_volume(&mut own.volume);
            }
            if own.volume.attachment.as_ref().is_some_and(|at| over.contains(&at.machine)) {
                own.volume.attachment = None;
            }
        }
        for own in self.snapshots.values_mut().filter(|own| own.due <= now) {
            match own.fails && own.snapshot.state == SnapshotState::Pending {
                true => own.snapshot.state = SnapshotState::Error,
                false => model::settle_snapshot(&mut own.snapshot),
            }
        }
        let later = self.machines.values().any(|own| own.due > now)
            || self.volumes.values().any(|own| own.due > now)
            || self.snapshots.values().any(|own| own.due > now);
        self.unsettled = match later || !self.faults.instant {
            true => Unsettled::All,
            false => Unsettled::These(Vec::new()),
        };
    }

    /// Settles one object. False when others must be looked at too.
    fn settle_one(&mut self, id: &ObjectId) -> bool {
        match id {
            ObjectId::Machine(id) => self.machines.get_mut(id).is_none_or(|own| {
                own.settle();
                !own.machine.state.is_over()
            }),
            ObjectId::Volume(id) => {
                if let Some(own) = self.volumes.get_mut(id) {
                    model::settle_volume(&mut own.volume);
                }
                true
            }
            ObjectId::Snapshot(_) => false,
        }
    }

    /// What a call touched may have something under way.
    fn unsettle(&mut self, call: &Call, answer: &Result<Answer, ProviderError>) {
        let Unsettled::These(ids) = &mut self.unsettled else { return };
        match (call, answer) {
            (_, Ok(Answer::Made(Object::Machine(machine)))) => {
                ids.push(ObjectId::Machine(machine.id.clone()))
            }
            (_, Ok(Answer::Made(Object::Volume(volume)))) => ids.push(ObjectId::Volume(volume.id.clone())),
            (Call::NewLife { volume, .. } | Call::Attach { volume, .. }, _) => {
                ids.push(ObjectId::Volume(volume.clone()));
            }
            (Call::Mirror { .. } | Call::Rename { .. }, _) => {}
            _ => self.unsettled = Unsettled::All,
        }
    }

    /// The listing as it truly is now.
    pub fn listing(&self) -> Listing {
        Listing {
            at: self.now,
            complete: true,
            // Ended machines are shown for an hour, as EC2 does; deleted volumes are not.
            machines: self
                .machines
                .values()
                .filter(|own| !own.machine.state.is_over() || self.now.since(own.due) < Span::hours(1))
                .filter(|own| self.shows(&own.machine.tags))
                .map(|own| own.machine.clone())
                .collect(),
            volumes: self
                .volumes
                .values()
                .filter(|own| own.volume.state != VolumeState::Deleted && self.shows(&own.volume.tags))
                .map(|own| own.volume.clone())
                .collect(),
            snapshots: self
                .snapshots
                .values()
                .filter(|own| self.shows(&own.snapshot.tags))
                .map(|own| own.snapshot.clone())
                .collect(),
        }
    }

    /// Only what carries a cloud's tag is listed, unless a planted fault looks at everything.
    fn shows(&self, tags: &Tags) -> bool {
        self.shows_foreign || !tags.cloud.0.is_nil()
    }

    pub(super) fn list(&mut self) -> Result<Listing, ProviderError> {
        self.calls.lists += 1;
        self.others_act();
        if self.chance(self.faults.fail_list) {
            self.seen("list failed");
            return Err(ProviderError::retry("the listing failed"));
        }
        if self.chance(self.faults.empty_list) {
            self.seen("empty list");
            return Ok(Listing { at: self.now, complete: true, ..Listing::default() });
        }
        let mut listing = match self.chance(self.faults.stale_list) {
            true => self.older().unwrap_or_else(|| self.listing()),
            false => self.listing(),
        };
        if self.chance(self.faults.partial_list) {
            self.seen("partial list");
            listing.complete = false;
            listing.volumes.truncate(listing.volumes.len() / 2);
            listing.machines.truncate(listing.machines.len() / 2);
        }
        Ok(listing)
    }

    fn older(&mut self) -> Option<Listing> {
        let oldest = Time(self.now.0.saturating_sub(SETTLE.0 - 1000));
        while self.past.front().is_some_and(|(at, _)| *at < oldest) {
            self.past.pop_front();
        }
        let count = self.past.len() as u64;
        let pick = self.random.below(count.max(1));
        let older = self.past.get(usize::try_from(pick).unwrap_or(0)).map(|(_, listing)| listing.clone());
        if older.is_some() {
            self.seen("stale list");
        }
        older
    }

    pub(super) fn read(&mut self, id: &ObjectId) -> Result<Option<Object>, ProviderError> {
        self.calls.reads += 1;
        if self.chance(self.faults.fail_before) {
            return Err(ProviderError::retry("the read failed"));
        }
        if self.chance(self.faults.stale_read)
            && let Some(listing) = self.older()
        {
            self.seen("stale read");
            return Ok(find(&listing, id));
        }
        Ok(self.find(id))
    }

    fn find(&self, id: &ObjectId) -> Option<Object> {
        match id {
            ObjectId::Machine(id) => self.machines.get(id).map(|own| Object::Machine(own.machine.clone())),
            ObjectId::Volume(id) => self.volumes.get(id).map(|own| Object::Volume(own.volume.clone())),
            ObjectId::Snapshot(id) => {
                self.snapshots.get(id).map(|own| Object::Snapshot(own.snapshot.clone()))
            }
        }
    }
}

fn find(listing: &Listing, id: &ObjectId) -> Option<Object> {
    match id {
        ObjectId::Machine(id) => {
            listing.machines.iter().find(|own| own.id == *id).cloned().map(Object::Machine)
        }
        ObjectId::Volume(id) => listing.volumes.iter().find(|own| own.id == *id).cloned().map(Object::Volume),
        ObjectId::Snapshot(id) => {
            listing.snapshots.iter().find(|own| own.id == *id).cloned().map(Object::Snapshot)
        }
    }
}
