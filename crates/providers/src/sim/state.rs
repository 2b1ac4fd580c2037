//! The cloud's own state, and what each call does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ideal_core::id::{MachineId, MountId, SlotId, SnapshotId, Token, VolumeId};
use ideal_core::model;
use ideal_core::observed::{
    AttachmentState, Listing, Machine, MachineState, Snapshot, SnapshotState, Tags, Volume, VolumeState,
};
use ideal_core::time::{Span, Time};

use super::SETTLE;
use super::agents::Agent;
use super::fault::{Faults, Random};
use crate::{Answer, Call, Object, ObjectId, ProviderError, Verdict};

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
            violations: Vec::new(),
            sometimes: BTreeMap::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            log: None,
            shows_foreign: false,
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

    pub(super) fn shove(&mut self, call: &Call) -> Result<Answer, ProviderError> {
        self.calls.shoves += 1;
        if self.chance(self.faults.throttle) {
            self.seen("throttled");
            let after = Some(Span::secs(2));
            return Err(ProviderError::Retry { why: "too many requests".to_owned(), after });
        }
        if self.chance(self.faults.fail_before) {
            self.seen("failed before the effect");
            return Err(ProviderError::retry("the service is not available"));
        }
        if self.chance(self.faults.lose_call) {
            self.seen("call lost");
            return Err(ProviderError::Unknown { why: "no answer came".to_owned() });
        }
        if self.faults.stale_list + self.faults.stale_read > 0 {
            let listing = self.listing();
            self.past.push_back((self.now, listing));
        }
        let answer = self.effect(call);
        self.unsettle(call, &answer);
        let worked = answer.is_ok();
        self.event(|| format!("{} {}", if worked { "did    " } else { "refused" }, brief(call)));
        if self.faults.twice {
            self.seen("effect twice");
            let again = self.effect(call);
            if self.random.below(2) == 0 && again.is_ok() {
                return again;
            }
        }
        if worked && self.chance(self.faults.lose_answer) {
            self.seen("answer lost");
            return Err(ProviderError::Unknown { why: "the answer was lost".to_owned() });
        }
        answer
    }

    fn effect(&mut self, call: &Call) -> Result<Answer, ProviderError> {
        let refused = |why: String| ProviderError::refused(why);
        self.judge_ownership(call);
        match call {
            Call::CreateMachine { token, tags, image, size } => {
                let params = format!("machine {:?} {} {image} {size}", tags.slot(), tags.generation);
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                self.judge_new_machine(tags);
                let id = MachineId::new(self.fresh("m"));
                let machine = model::new_machine(id.clone(), tags.clone(), image, size);
                let due = self.due(Span::secs(2), Span::secs(20));
                self.tokens.insert(token.clone(), (ObjectId::Machine(id.clone()), params));
                let agent = Agent::new(tags.generation);
                self.note_slot(tags, ObjectId::Machine(id.clone()));
                self.machines.insert(id, SimMachine { machine: machine.clone(), due, agent });
                Ok(Answer::Made(Object::Machine(machine)))
            }
            Call::StartMachine(id) => {
                let due = self.due(Span::secs(1), Span::secs(5));
                let own = self.machines.get_mut(id).ok_or_else(|| refused(format!("{id} is not there")))?;
                if own.machine.state != MachineState::Stopped {
                    return Err(refused(format!("{id} is not stopped")));
                }
                own.machine.state = MachineState::Pending;
                own.due = due;
                Ok(Answer::Accepted)
            }
            Call::RetireMachine(permit) => {
                let id = permit.machine();
                let own = self.machines.get_mut(id).ok_or_else(|| refused(format!("{id} is not there")))?;
                model::retire_machine(&mut own.machine);
                Ok(Answer::Accepted)
            }
            Call::Terminate(permit) => self.terminate(permit.machine()),
            Call::CreateVolume { token, tags, size, life, from } => {
                let params =
                    format!("volume {:?} {} {size} {life} {from:?}", tags.mount_id(), tags.generation);
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                let data = match from {
                    None => 0,
                    Some(snapshot) => match self.snapshots.get(snapshot) {
                        Some(own) if own.snapshot.state == SnapshotState::Completed => own.data,
                        _ => return Err(refused(format!("snapshot {snapshot} is not complete"))),
                    },
                };
                self.judge_new_volume(tags, data);
                let id = VolumeId::new(self.fresh("v"));
                let volume = model::new_volume(id.clone(), tags.clone(), *size, *life, from.clone());
                let due = self.due(Span::secs(1), Span::secs(8));
                self.tokens.insert(token.clone(), (ObjectId::Volume(id.clone()), params));
                self.note_slot(tags, ObjectId::Volume(id.clone()));
                self.volumes.insert(id, SimVolume { volume: volume.clone(), due, data });
                Ok(Answer::Made(Object::Volume(volume)))
            }
            Call::ClaimVolume { volume, tags } => {
                let own =
                    self.volumes.get_mut(volume).ok_or_else(|| refused(format!("{volume} is not there")))?;
                if own.volume.tags.cloud != tags.cloud && !own.volume.tags.cloud.0.is_nil() {
                    return Err(refused(format!("{volume} belongs to somebody")));
                }
                own.volume.tags = tags.clone();
                self.note_slot(tags, ObjectId::Volume(volume.clone()));
                Ok(Answer::Accepted)
            }
            Call::Seal { permit, token, tags, kind } => {
                let params = format!("seal {} {}", permit.volume(), permit.life());
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                self.judge_seal(permit.volume(), *permit.life());
                let id = SnapshotId::new(self.fresh("s"));
                let due = self.due(Span::secs(5), Span::secs(60));
                let fails = self.chance(self.faults.snapshot_fails);
                let own = match self.volumes.get(permit.volume()) {
                    Some(own) if own.volume.state == VolumeState::Ready => own,
                    _ => return Err(refused(format!("{} is not there", permit.volume()))),
                };
                let life = *permit.life();
                let snapshot =
                    model::new_snapshot(id.clone(), tags.clone(), &own.volume, life, Some(*kind), self.now);
                let data = own.data;
                self.tokens.insert(token.clone(), (ObjectId::Snapshot(id.clone()), params));
                self.snapshots.insert(id, SimSnapshot { snapshot: snapshot.clone(), due, fails, data });
                Ok(Answer::Made(Object::Snapshot(snapshot)))
            }
            Call::Backup { permit, token, tags } => {
                let (volume, life) = (permit.volume(), *permit.life());
                let params = format!("backup {volume} {life}");
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                let id = SnapshotId::new(self.fresh("s"));
                let due = self.due(Span::secs(5), Span::secs(60));
                let fails = self.chance(self.faults.snapshot_fails);
                let own = match self.volumes.get(volume) {
                    Some(own) if own.volume.state == VolumeState::Ready && own.volume.life == life => own,
                    _ => return Err(refused(format!("{volume} is not there in life {life}"))),
                };
                let snapshot =
                    model::new_snapshot(id.clone(), tags.clone(), &own.volume, life, None, self.now);
                let data = own.data;
                self.seen("backup");
                self.tokens.insert(token.clone(), (ObjectId::Snapshot(id.clone()), params));
                self.snapshots.insert(id, SimSnapshot { snapshot: snapshot.clone(), due, fails, data });
                Ok(Answer::Made(Object::Snapshot(snapshot)))
            }
            Call::Grow { volume, size } => {
                let own = self.volumes.get_mut(volume);
                let own = own.ok_or_else(|| refused(format!("{volume} is not there")))?;
                model::grow(&mut own.volume, *size).map_err(refused)?;
                Ok(Answer::Accepted)
            }
            Call::NewLife { .. } | Call::Attach { .. } | Call::Detach(_) => {
                self.move_volume(call).map_err(refused)
            }
            Call::Retire { .. } | Call::DeleteVolume(_) => self.end_volume(call).map_err(refused),
            Call::DeleteSnapshot(permit) => {
                self.judge_prune(permit.snapshot());
                self.snapshots.remove(permit.snapshot());
                Ok(Answer::Accepted)
            }
            Call::Mirror { objects, demand, epoch } => {
                let demand = std::sync::Arc::new(demand.clone());
                for id in objects {
                    if let Some(tags) = self.tags_mut(id) {
                        tags.demand = Some(demand.clone());
                        tags.epoch = tags.epoch.max(*epoch);
                    }
                }
                Ok(Answer::Accepted)
            }
            Call::Rename { objects, mount } => {
                for id in objects {
                    let Some(tags) = self.tags_mut(id) else { continue };
                    let before = tags.mount_id();
                    tags.mount = Some(mount.clone());
                    if let (Some(before), Some(after)) = (before, tags.mount_id())
                        && let Some(newest) = self.newest.remove(&before)
                    {
                        self.newest.insert(after, newest);
                    }
                }
                Ok(Answer::Accepted)
            }
            Call::Disown { objects } => {
                for id in objects {
                    if let Some(tags) = self.tags_mut(id) {
                        tags.cloud = ideal_core::id::CloudId(Default::default());
                    }
                }
                Ok(Answer::Accepted)
            }
        }
    }

    pub(super) fn verify(&mut self, id: &SnapshotId) -> Result<Verdict, ProviderError> {
        self.calls.reads += 1;
        let own = self.snapshots.get(id).filter(|own| own.snapshot.state == SnapshotState::Completed);
        let own = own.ok_or_else(|| ProviderError::refused(format!("{id} is not complete")))?;
        let sum = format!("version {}", own.data);
        Ok(Verdict { taken: sum.clone(), restored: sum })
    }

    fn note_slot(&mut self, tags: &Tags, id: ObjectId) {
        if let Some(slot) = tags.slot() {
            self.of_slot.entry(slot).or_default().push(id);
        }
    }

    fn known(&self, token: &Token, params: &str) -> Result<Option<Answer>, ProviderError> {
        match self.tokens.get(token) {
            None => Ok(None),
            Some((_, used)) if used != params => Err(ProviderError::TokenTaken),
            Some((id, _)) => Ok(self.find(id).map(Answer::Made)),
        }
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }

    fn terminate(&mut self, id: &MachineId) -> Result<Answer, ProviderError> {
        let due = self.due(Span::secs(1), Span::secs(10));
        let enforces = self.faults.enforces_marks;
        let Some(own) = self.machines.get_mut(id) else {
            return Err(ProviderError::refused(format!("{id} is not there")));
        };
        if own.machine.state.is_over() {
            return Ok(Answer::Accepted);
        }
        // A cloud without conditions ends whatever it is told to.
        let marked = own.machine.retired || !enforces;
        if !marked {
            return Err(ProviderError::refused(format!("{id} is not marked to be ended")));
        }
        self.judge_terminate(id);
        if let Some(own) = self.machines.get_mut(id) {
            own.machine.state = MachineState::Terminating;
            own.due = due;
            own.agent.down = true;
        }
        Ok(Answer::Accepted)
    }

    fn move_volume(&mut self, call: &Call) -> Result<Answer, String> {
        let due = self.due(Span::secs(1), Span::secs(6));
        let missing = |id: &VolumeId| format!("{id} is not there");
        match call {
            Call::NewLife { volume, life } => {
                let own = self.volumes.get_mut(volume).ok_or_else(|| missing(volume))?;
                model::new_life(&mut own.volume, *life)?;
            }
            Call::Attach { volume, life, machine, .. } => {
                let machine =
                    &self.machines.get(machine).ok_or_else(|| format!("{machine} is not there"))?.machine;
                let own = self.volumes.get_mut(volume).ok_or_else(|| missing(volume))?;
                // A cloud without conditions attaches a marked volume too.
                let mark = own.volume.retired;
                if !self.faults.enforces_marks {
                    own.volume.retired = None;
                }
                let done = model::attach(&mut own.volume, *life, machine);
                if !self.faults.enforces_marks {
                    own.volume.retired = mark;
                }
                done?;
                own.due = due;
            }
            Call::Detach(permit) => {
                let id = permit.volume();
                let mounted = self.is_mounted(id);
                let own = self.volumes.get_mut(id).ok_or_else(|| missing(id))?;
                let mut after = own.volume.clone();
                model::detach(&mut after, permit.machine(), *permit.life())?;
                own.volume = after;
                own.due = due;
                if mounted {
                    self.judge_detach(permit.volume(), permit.machine());
                }
            }
            _ => {}
        }
        Ok(Answer::Accepted)
    }

    fn end_volume(&mut self, call: &Call) -> Result<Answer, String> {
        let due = self.due(Span::secs(1), Span::secs(6));
        let missing = |id: &VolumeId| format!("{id} is not there");
        match call {
            Call::Retire { volume, mark } => {
                let own = self.volumes.get_mut(volume).ok_or_else(|| missing(volume))?;
                model::retire(&mut own.volume, *mark)?;
            }
            Call::DeleteVolume(permit) => {
                let id = permit.volume();
                let now = self.now;
                let own = self.volumes.get_mut(id).ok_or_else(|| missing(id))?;
                if matches!(own.volume.state, VolumeState::Deleting | VolumeState::Deleted) {
                    return Ok(Answer::Accepted);
                }
                let marked = model::delete(&mut own.volume, *permit.life(), now);
                match marked {
                    Ok(()) => {}
                    Err(why) if self.faults.enforces_marks => return Err(why),
                    // A cloud without conditions deletes whatever it is told to, unless it is attached.
                    Err(why) if own.volume.attachment.is_some() => return Err(why),
                    Err(_) => own.volume.state = VolumeState::Deleting,
                }
                own.due = due;
                self.judge_delete(id);
            }
            _ => {}
        }
        Ok(Answer::Accepted)
    }

    fn tags_mut(&mut self, id: &ObjectId) -> Option<&mut Tags> {
        match id {
            ObjectId::Machine(id) => self.machines.get_mut(id).map(|own| &mut own.machine.tags),
            ObjectId::Volume(id) => self.volumes.get_mut(id).map(|own| &mut own.volume.tags),
            ObjectId::Snapshot(id) => self.snapshots.get_mut(id).map(|own| &mut own.snapshot.tags),
        }
    }

    pub(super) fn tags_of(&self, id: &ObjectId) -> Option<&Tags> {
        match id {
            ObjectId::Machine(id) => self.machines.get(id).map(|own| &own.machine.tags),
            ObjectId::Volume(id) => self.volumes.get(id).map(|own| &own.volume.tags),
            ObjectId::Snapshot(id) => self.snapshots.get(id).map(|own| &own.snapshot.tags),
        }
    }

    /// Machines die and are ended by others, as chance has it.
    fn others_act(&mut self) {
        if self.chance(self.faults.machine_dies) {
            self.kill_one(MachineState::Impaired);
        }
        if self.chance(self.faults.machine_ended) {
            self.kill_one(MachineState::Terminated);
        }
        if self.chance(self.faults.cut) {
            let span = self.random.span(Span::secs(1), Span::secs(60));
            let running = self.running();
            let pick = self.random.below(running.len().max(1) as u64);
            if let Some((_, id)) = running.get(usize::try_from(pick).unwrap_or(0)) {
                self.cut(id, span);
            }
        }
    }

    fn kill_one(&mut self, state: MachineState) {
        let running: Vec<MachineId> = self
            .machines
            .values()
            .filter(|own| own.machine.state == MachineState::Running)
            .map(|own| own.machine.id.clone())
            .collect();
        let pick = self.random.below(running.len().max(1) as u64);
        if let Some(id) = running.get(usize::try_from(pick).unwrap_or(0)).cloned() {
            self.kill(&id, state);
        }
    }

    /// A machine is dead (or ended by somebody else) from now on.
    pub fn kill(&mut self, id: &MachineId, state: MachineState) {
        self.seen(if state.is_over() { "machine ended by others" } else { "machine died" });
        self.unsettled = Unsettled::All;
        self.event(|| format!("others  {id} becomes {state:?}"));
        let now = self.now;
        if let Some(own) = self.machines.get_mut(id) {
            own.machine.state = state;
            own.due = now;
            own.agent.down = true;
            own.agent.report.mounts.clear();
        }
        self.advance(now);
    }

    /// Nobody reaches the agent of a machine for a while; all goes on there.
    pub fn cut(&mut self, id: &MachineId, span: Span) {
        let until = self.now + span;
        self.event(|| format!("others  {id} is cut off for {span}"));
        if let Some(own) = self.machines.get_mut(id) {
            own.agent.cut_until = own.agent.cut_until.max(until);
        }
    }

    /// Every machine that is not over, by slot.
    pub fn running(&self) -> Vec<(SlotId, MachineId)> {
        let alive = self.machines.values().filter(|own| own.machine.state == MachineState::Running);
        alive.filter_map(|own| Some((own.machine.tags.slot()?, own.machine.id.clone()))).collect()
    }

    /// Somebody else deletes a snapshot. What it alone held is lost by their hand, not ours.
    pub fn others_delete_snapshot(&mut self, id: &SnapshotId) {
        if let Some(own) = self.snapshots.remove(id)
            && let Some(mount) = own.snapshot.tags.mount_id()
        {
            self.harmed.insert(mount);
        }
        self.event(|| format!("others  delete {id}"));
    }

    /// A volume that nobody owns: for `from: {volume: …}`, and for tests that it is never touched.
    pub fn foreign_volume(&mut self, id: &str, tags: Tags, data: u64) {
        let id = VolumeId::new(id);
        let mut volume = model::new_volume(id.clone(), tags, ideal_core::time::Bytes(1 << 30), 0, None);
        volume.state = VolumeState::Ready;
        self.volumes.insert(id, SimVolume { volume, due: self.now, data });
    }

    /// Sets the version of what is on a volume, as a program on its node would: for the contract suite.
    pub fn set_content(&mut self, id: &VolumeId, version: u64) {
        if let Some(own) = self.volumes.get_mut(id) {
            own.data = version;
        }
    }

    /// The version of what is on a volume.
    pub fn content(&self, id: &VolumeId) -> Option<u64> {
        self.volumes.get(id).map(|own| own.data)
    }

    /// Takes the retire mark off a volume, as a new life would: for planted faults.
    pub fn unmark(&mut self, id: &VolumeId) {
        if let Some(own) = self.volumes.get_mut(id) {
            own.volume.retired = None;
        }
    }

    /// Whether an attached volume is mounted by the agent of its machine.
    pub(super) fn is_mounted(&self, id: &VolumeId) -> bool {
        let attached = self.volumes.get(id).and_then(|own| own.volume.attachment.as_ref());
        let machine = attached
            .filter(|at| at.state == AttachmentState::Attached)
            .and_then(|at| self.machines.get(&at.machine));
        machine.is_some_and(|own| {
            own.machine.state == MachineState::Running
                && own.agent.report.mounts.get(id).is_some_and(|mount| mount.mounted)
        })
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

fn brief(call: &Call) -> String {
    let part = |tags: &Tags| match (&tags.index, &tags.mount) {
        (Some(index), Some(mount)) => format!("[{index}]:{mount}"),
        (Some(index), None) => format!("[{index}]"),
        _ => String::new(),
    };
    match call {
        Call::CreateMachine { tags, .. } => {
            format!("create machine {} generation {}", part(tags), tags.generation)
        }
        Call::CreateVolume { tags, from, life, .. } => match from {
            None => format!("create volume {}", part(tags)),
            Some(from) => format!("create volume {} of {from} (life {life})", part(tags)),
        },
        Call::StartMachine(id) => format!("start {id}"),
        Call::RetireMachine(permit) => format!("mark {} to be ended", permit.machine()),
        Call::Terminate(permit) => format!("terminate {}", permit.machine()),
        Call::ClaimVolume { volume, tags } => format!("claim {volume} for {}", part(tags)),
        Call::NewLife { volume, life } => format!("new life {life} of {volume}"),
        Call::Attach { volume, life, machine, .. } => format!("attach {volume} (life {life}) to {machine}"),
        Call::Detach(permit) => format!("detach {} from {}", permit.volume(), permit.machine()),
        Call::Seal { permit, kind, .. } => {
            format!("seal {} life {} {kind:?}", permit.volume(), permit.life()).to_lowercase()
        }
        Call::Backup { permit, .. } => format!("back up {} life {}", permit.volume(), permit.life()),
        Call::Grow { volume, size } => format!("grow {volume} to {size}"),
        Call::Retire { volume, mark } => format!("retire {volume} life {}", mark.life),
        Call::DeleteVolume(permit) => format!("delete {} life {}", permit.volume(), permit.life()),
        Call::DeleteSnapshot(permit) => format!("delete {}", permit.snapshot()),
        Call::Mirror { objects, demand, .. } => format!("mirror {demand} to {} objects", objects.len()),
        Call::Rename { objects, mount } => format!("rename {} objects to {mount}", objects.len()),
        Call::Disown { objects } => format!("disown {} objects", objects.len()),
    }
}
