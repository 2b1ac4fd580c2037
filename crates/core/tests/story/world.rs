//! What a story acts on: the things of each slot, what of them is seen, and an engine without I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use ideal_core::address::Address;
use ideal_core::demand::{Demands, Ending, Scope, State};
use ideal_core::guard::{self, Refusal};
use ideal_core::id::{CloudId, MachineId, MountId, Name, SlotId, SnapshotId};
use ideal_core::ideal::Ideal;
use ideal_core::journal::{Outcome, Record, View};
use ideal_core::model::{self, SlotModel};
use ideal_core::observed::{
    AgentSeen, Attachment, AttachmentState, HookSeen, Machine, MachineState, Observed, Problem, Report,
    RetireMark, Sight, SlotSeen, Snapshot, SnapshotState, Volume,
};
use ideal_core::plan::{Act, Hook, Planned, Step, text};
use ideal_core::planner::{
    Consent, Decision, How, Input, Patience, ProviderTraits, decide, forecast, standing,
};
use ideal_core::recover;
use ideal_core::time::{Span, Time};
use ideal_file::{Sources, load};

/// More passes than this in one run is a fault.
const MOST_PASSES: usize = 60;

/// What becomes of a step that somebody meddles with.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Fails(String),
    /// It does not happen, and nobody knows.
    Lost,
    /// It happens, and nobody knows.
    AnswerLost,
}

/// What befalls one slot.
#[derive(Default)]
struct Trouble {
    silent: bool,
    busy: BTreeMap<Name, String>,
    hooks: BTreeMap<Hook, String>,
    not_right: Option<String>,
    snapshots: Option<SnapshotState>,
    fates: BTreeMap<String, Fate>,
}

pub(super) struct World {
    ideal: Ideal,
    clouds: BTreeMap<String, CloudId>,
    truth: BTreeMap<SlotId, SlotSeen>,
    troubles: BTreeMap<SlotId, Trouble>,
    pub(super) hidden: BTreeSet<String>,
    pub(super) blind: Option<String>,
    pub(super) partial: bool,
    pub(super) traits: ProviderTraits,
    pub(super) consent: Consent,
    view: View,
    patience: Patience,
    missing: BTreeMap<String, Time>,
    ended: BTreeSet<String>,
    now: Time,
    made: BTreeMap<char, u32>,
}

impl Default for World {
    fn default() -> World {
        World {
            ideal: Ideal::default(),
            clouds: BTreeMap::new(),
            truth: BTreeMap::new(),
            troubles: BTreeMap::new(),
            hidden: BTreeSet::new(),
            blind: None,
            partial: false,
            traits: ProviderTraits::AT_HAND,
            consent: Consent::default(),
            view: View::default(),
            patience: Patience::default(),
            missing: BTreeMap::new(),
            ended: BTreeSet::new(),
            now: Time(0),
            made: BTreeMap::new(),
        }
    }
}

// What people and fate do.
impl World {
    pub(super) fn file(&mut self, name: &str, text: &str) -> Result<(), String> {
        let loaded = load(&Sources::one(name, text));
        let problems = loaded.diagnostics.iter().map(|one| one.diagnostic.message.clone());
        let problems: Vec<String> = problems.collect();
        self.ideal = loaded.resolved.ok_or_else(|| problems.join("; "))?.ideal;
        for cloud in &self.ideal.clouds {
            self.clouds.insert(cloud.path.to_string(), cloud.id);
        }
        Ok(())
    }

    pub(super) fn demand(&mut self, state: State, at: Option<&&str>) -> Result<(), String> {
        let scopes: Vec<Scope> = match at {
            None => vec![Scope::Whole],
            Some(at) if at.contains('[') => vec![Scope::Slot(self.slot(at)?.0)],
            Some(at) => {
                let address: Address = at.parse().map_err(|_| "not an address")?;
                self.ideal.covered(&address).map(|cloud| Scope::Cloud(cloud.id)).collect()
            }
        };
        let mut demands = standing(&self.view, &self.observe()).demands;
        if self.view.demands.is_hold() && demands.version() == self.view.demands.version() {
            demands = self.view.demands.clone();
        }
        for scope in scopes {
            demands.demand(scope, state, 1, |other| match (other, scope) {
                (_, Scope::Whole) => true,
                (Scope::Slot(slot), Scope::Cloud(cloud)) => slot.cloud == cloud,
                (other, scope) => other == scope,
            });
        }
        demands.ending = Ending::No;
        self.take(&Record::Demanded { demands });
        self.open_run();
        Ok(())
    }

    pub(super) fn demand_the_end(&mut self) {
        let mut demands = self.view.demands.clone();
        demands.demand(Scope::Whole, State::Away, 1, |_| true);
        demands.ending = Ending::Everything;
        self.take(&Record::Demanded { demands });
        self.open_run();
    }

    pub(super) fn demand_nothing(&mut self) {
        self.take(&Record::Demanded { demands: Demands::none() });
    }

    pub(super) fn open_run(&mut self) {
        self.patience.renew();
        self.take(&Record::RunOpened { run: String::new(), what: String::new(), by: String::new() });
    }

    pub(super) fn forget(&mut self) {
        self.view = View::default();
        self.patience = Patience::default();
        self.missing.clear();
        // The next engine finds what is demanded on what lasts.
        let known = standing(&self.view, &self.observe());
        if known.how == How::Mirrored {
            self.take(&Record::Demanded { demands: known.demands });
        }
        self.catch_up();
    }

    pub(super) fn advance(&mut self, span: Span) {
        self.now = self.now + span;
    }

    pub(super) fn blank(&mut self, at: &str) -> Result<(), String> {
        let id = self.mount(at)?;
        self.consent.blank.insert(id);
        Ok(())
    }

    pub(super) fn restore(&mut self, at: &str, snapshot: &str) -> Result<(), String> {
        let id = self.mount(at)?;
        self.consent.restore = vec![(id, SnapshotId::new(snapshot))];
        Ok(())
    }

    /// The machine of a slot gets this state; none: it is no more.
    pub(super) fn machine(&mut self, at: &str, state: Option<MachineState>) -> Result<(), String> {
        let seen = self.truth.get_mut(&slot_in(&self.clouds, at)?.0).ok_or("nothing is there")?;
        match state {
            Some(state) => seen.machines.iter_mut().for_each(|machine| machine.state = state),
            None => {
                self.ended.extend(seen.machines.drain(..).map(|machine| machine.id.to_string()));
                seen.volumes.iter_mut().for_each(|volume| volume.attachment = None);
            }
        }
        seen.agent = AgentSeen::NotAsked;
        Ok(())
    }

    /// A second machine of the same slot, older than the one it has.
    pub(super) fn second_machine(&mut self, at: &str) -> Result<(), String> {
        let id = self.name('m');
        let seen = self.truth.get_mut(&slot_in(&self.clouds, at)?.0).ok_or("nothing is there")?;
        let mut copy = seen.machines.first().ok_or("it has no machine")?.clone();
        copy.id = MachineId::new(id);
        copy.tags.generation = 0;
        seen.machines.push(copy);
        Ok(())
    }

    pub(super) fn silent(&mut self, at: &str, silent: bool) -> Result<(), String> {
        self.trouble(at)?.silent = silent;
        Ok(())
    }

    pub(super) fn busy(&mut self, at: &str, why: Option<&str>) -> Result<(), String> {
        let name = self.mount(at)?.name;
        let busy = &mut self.trouble(at)?.busy;
        match why {
            Some(why) => busy.insert(name, why.to_owned()),
            None => busy.remove(&name),
        };
        Ok(())
    }

    pub(super) fn hook(&mut self, hook: Hook, at: &str, why: Option<&str>) -> Result<(), String> {
        let hooks = &mut self.trouble(at)?.hooks;
        match why {
            Some(why) => hooks.insert(hook, why.to_owned()),
            None => hooks.remove(&hook),
        };
        Ok(())
    }

    pub(super) fn not_right(&mut self, at: &str, why: Option<&str>) -> Result<(), String> {
        self.trouble(at)?.not_right = why.map(str::to_owned);
        Ok(())
    }

    /// Snapshots taken from now on end like this; those that are pending complete when nothing holds them.
    pub(super) fn snapshots(&mut self, at: &str, state: Option<SnapshotState>) -> Result<(), String> {
        self.trouble(at)?.snapshots = state;
        Ok(())
    }

    pub(super) fn fate(&mut self, verb: &str, at: &str, fate: Fate) -> Result<(), String> {
        self.trouble(at)?.fates.insert(verb.to_owned(), fate);
        Ok(())
    }

    pub(super) fn works(&mut self, verb: &str, at: &str) -> Result<(), String> {
        self.trouble(at)?.fates.remove(verb).map(|_| ()).ok_or_else(|| "it did work".to_owned())
    }

    /// A snapshot that is not a seal: taken while the volume may be written to.
    pub(super) fn backup(&mut self, at: &str) -> Result<String, String> {
        let id = self.name('s');
        let now = self.now;
        let (seen, name) = self.things(at)?;
        let volume = seen.volumes.iter().find(|volume| volume.tags.mount.as_ref() == Some(&name));
        let volume = volume.ok_or("it has no volume")?;
        let mut tags = volume.tags.clone();
        tags.token = None;
        let mut backup =
            model::new_snapshot(SnapshotId::new(id.as_str()), tags, volume, volume.life, None, now);
        backup.state = SnapshotState::Completed;
        seen.snapshots.push(backup);
        Ok(format!("    {id} is a backup\n"))
    }

    pub(super) fn delete_snapshots(&mut self, at: &str) -> Result<(), String> {
        let (seen, name) = self.things(at)?;
        seen.snapshots.retain(|snapshot| snapshot.tags.mount.as_ref() != Some(&name));
        Ok(())
    }

    pub(super) fn delete_snapshot(&mut self, id: &str) {
        for seen in self.truth.values_mut() {
            seen.snapshots.retain(|snapshot| snapshot.id.as_str() != id);
        }
    }

    pub(super) fn delete_volume(&mut self, at: &str) -> Result<(), String> {
        let (seen, name) = self.things(at)?;
        seen.volumes.retain(|volume| volume.tags.mount.as_ref() != Some(&name));
        Ok(())
    }

    pub(super) fn steal(&mut self, at: &str, machine: &str) -> Result<(), String> {
        let volume = self.volume_mut(at)?;
        volume.attachment =
            Some(Attachment { machine: MachineId::new(machine), state: AttachmentState::Attached });
        Ok(())
    }

    pub(super) fn retire(&mut self, at: &str) -> Result<(), String> {
        let now = self.now;
        let volume = self.volume_mut(at)?;
        volume.retired = Some(RetireMark { life: volume.life, at: now, until: now });
        Ok(())
    }

    pub(super) fn hide(&mut self, thing: &str, at: &str) -> Result<(), String> {
        let seen = self.truth.get(&self.slot(at)?.0).ok_or("nothing is there")?;
        let ids: Vec<String> = match thing {
            "machine" => seen.machines.iter().map(|machine| machine.id.to_string()).collect(),
            "volume" => seen.volumes.iter().map(|volume| volume.id.to_string()).collect(),
            "snapshot" => seen.snapshots.iter().map(|snapshot| snapshot.id.to_string()).collect(),
            _ => return Err("no such thing".to_owned()),
        };
        self.hidden.extend(ids);
        Ok(())
    }
}

// What is asked.
impl World {
    /// Steps until none is offered and nothing changes, then what waits.
    pub(super) fn run(&mut self) -> String {
        let mut told = String::new();
        for _ in 0..MOST_PASSES {
            self.catch_up();
            let decision = self.decide();
            self.patience.note(&decision.waiting, self.now);
            for step in &decision.steps {
                self.tell(&mut told, step);
                self.act(&mut told, step);
            }
            let settled = self.settle();
            if decision.steps.is_empty() && !settled {
                told.push_str(&self.report(&decision));
                return told;
            }
        }
        told.push_str("    IT RUNS IN CIRCLES\n");
        told
    }

    pub(super) fn status(&mut self) -> String {
        self.catch_up();
        let decision = self.decide();
        let mut told = String::new();
        for step in &decision.steps {
            told.push_str("    next:");
            self.tell(&mut told, step);
        }
        told + &self.report(&decision)
    }

    pub(super) fn plan(&mut self) -> String {
        self.catch_up();
        let observed = self.observe();
        let standing = standing(&self.view, &observed);
        let how = match standing.how {
            How::Recorded | How::Mirrored => String::new(),
            How::SeenRunning => {
                "    nothing is demanded; something runs: launched is taken to be meant\n".to_owned()
            }
            How::SeenNothing => {
                "    nothing is demanded; nothing runs: away is taken to be meant\n".to_owned()
            }
        };
        let traits = self.all_traits();
        let plan = forecast(&self.input(&observed, &standing.demands, &traits));
        how + &indented(&text::render(&self.ideal, &plan, false))
    }

    /// What a guard says of something, as it is.
    pub(super) fn may(&self, verb: &str, at: &str) -> Result<String, String> {
        let (slot, _) = self.slot(at)?;
        let none = SlotSeen::default();
        let seen = self.truth.get(&slot).unwrap_or(&none);
        let machine = seen.machines.iter().max_by_key(|machine| machine.tags.generation);
        let volume = || -> Result<&Volume, String> {
            let name = self.mount(at)?.name;
            let own = seen.volumes.iter().find(|volume| volume.tags.mount.as_ref() == Some(&name));
            own.ok_or_else(|| "it has no volume".to_owned())
        };
        let report = |machine: &Machine| self.agent(slot, seen, machine);
        let machine_of = |volume: &Volume| {
            let at = volume.attachment.as_ref();
            let own = at.and_then(|at| seen.machines.iter().find(|machine| machine.id == at.machine));
            own.or(machine).ok_or_else(|| "there is no machine".to_owned())
        };
        let answer = match verb {
            "end" => {
                let machine = machine.ok_or("it has no machine")?;
                guard::terminate(slot.cloud, machine, report(machine)).map(drop)
            }
            "detach" => {
                let machine = machine_of(volume()?)?;
                guard::detach(slot.cloud, volume()?, machine, report(machine)).map(drop)
            }
            "attach" => {
                guard::attach(slot.cloud, volume()?, &[slot.cloud], machine.ok_or("it has no machine")?)
            }
            "seal" => guard::seal(slot.cloud, volume()?).map(drop),
            "delete" => guard::delete(slot.cloud, volume()?, &seen.snapshots, false, self.now).map(drop),
            "give-up" => guard::delete(slot.cloud, volume()?, &seen.snapshots, true, self.now).map(drop),
            "prune" => {
                let snapshot = seen.snapshots.first().ok_or("it has no snapshot")?;
                guard::prune(slot.cloud, snapshot, self.view.demands.ending, false).map(drop)
            }
            _ => return Err("no such guard".to_owned()),
        };
        Ok(match answer {
            Ok(()) => "    yes\n".to_owned(),
            Err(refusal) => format!("    no: {refusal}\n"),
        })
    }

    fn report(&self, decision: &Decision) -> String {
        let mut told = String::new();
        for waiting in &decision.waiting {
            let _ = writeln!(told, "    {}", text::waiting_line(&self.ideal, waiting).trim_end());
        }
        for note in &decision.notes {
            let _ = writeln!(told, "    i  {note}");
        }
        let verdict = if self.view.demands.is_hold() {
            "nothing is demanded"
        } else if decision.is_met() {
            "met"
        } else if decision.is_stuck() {
            "a person is asked"
        } else {
            "not met yet"
        };
        let _ =
            writeln!(told, "    {verdict}: {} of {} parts are as demanded", decision.right, decision.parts);
        told
    }

    fn tell(&self, told: &mut String, step: &Step) {
        if text::is_quiet(&step.act) {
            return;
        }
        let planned = Planned { step: step.clone(), round: 0, after: Vec::new() };
        let (sign, words) = (text::sign(&planned), text::words(&step.act));
        let address = text::address(&self.ideal, &step.part);
        let _ = writeln!(told, "    {sign}  {words:<16} {address:<18} {}", step.reason);
    }
}

// The engine, without I/O.
impl World {
    fn take(&mut self, record: &Record) {
        self.view.take(self.now, record);
    }

    fn catch_up(&mut self) {
        let observed = self.observe();
        self.missing.clone_from(&observed.missing);
        let settle = self.traits.settle;
        for record in recover::catch_up(&self.view, &observed, |_| settle, self.now) {
            self.take(&record);
        }
    }

    fn all_traits(&self) -> BTreeMap<Name, ProviderTraits> {
        self.ideal.providers.keys().map(|name| (name.clone(), self.traits)).collect()
    }

    fn input<'a>(
        &'a self,
        observed: &'a Observed,
        demands: &'a Demands,
        providers: &'a BTreeMap<Name, ProviderTraits>,
    ) -> Input<'a> {
        Input {
            ideal: &self.ideal,
            demands,
            observed,
            view: &self.view,
            consent: &self.consent,
            patience: &self.patience,
            providers,
            now: self.now,
        }
    }

    fn decide(&self) -> Decision {
        let traits = self.all_traits();
        decide(&self.input(&self.observe(), &self.view.demands, &traits))
    }

    /// What an engine would see now.
    fn observe(&self) -> Observed {
        let mut observed = Observed { at: self.now, ..Observed::default() };
        let sight = match (&self.blind, self.partial) {
            (Some(why), _) => Sight::Blind { why: why.clone() },
            (None, true) => Sight::Blind { why: "a page of the listing is missing".to_owned() },
            (None, false) => Sight::Whole,
        };
        let name = self.ideal.providers.keys().next().cloned();
        observed.sight.extend(self.ideal.providers.keys().map(|name| (name.clone(), sight.clone())));
        if self.blind.is_some() {
            return observed;
        }
        for (slot, truth) in &self.truth {
            let mut seen = truth.clone();
            seen.provider.clone_from(&name);
            seen.machines.retain(|machine| !self.hidden.contains(machine.id.as_str()));
            seen.volumes.retain(|volume| !self.hidden.contains(volume.id.as_str()));
            seen.snapshots.retain(|snapshot| !self.hidden.contains(snapshot.id.as_str()));
            let trouble = self.troubles.get(slot);
            let runs = seen.machines.iter().any(|machine| machine.state == MachineState::Running);
            if trouble.is_some_and(|trouble| trouble.silent) && runs {
                seen.agent = AgentSeen::Silent { since: self.now, why: "it timed out".to_owned() };
            }
            if !runs {
                seen.agent = AgentSeen::NotAsked;
            }
            let things = seen.machines.len() + seen.volumes.len() + seen.snapshots.len();
            if things > 0 {
                observed.slots.insert(*slot, seen);
            }
        }
        if !self.partial {
            observed.missing = self.missing();
        }
        observed
    }

    /// What the journal knows and a read by id does not find, since when.
    fn missing(&self) -> BTreeMap<String, Time> {
        let mut missing = BTreeMap::new();
        for (slot, known) in &self.view.slots {
            let none = SlotSeen::default();
            let truth = self.truth.get(slot).unwrap_or(&none);
            let mut there: BTreeSet<String> = truth.machines.iter().map(|one| one.id.to_string()).collect();
            there.extend(truth.volumes.iter().map(|one| one.id.to_string()));
            there.extend(truth.snapshots.iter().map(|one| one.id.to_string()));
            let mut ids: BTreeSet<String> = known.machines.iter().map(ToString::to_string).collect();
            for mount in known.mounts.values() {
                ids.extend(mount.volumes.iter().map(ToString::to_string));
                ids.extend(mount.snapshots.iter().map(ToString::to_string));
            }
            for id in ids.difference(&there) {
                // A machine that was ended is shown as such for a while; other things just go.
                let since = if self.ended.contains(id) { Time(0) } else { self.now };
                missing.insert(id.clone(), self.missing.get(id).copied().unwrap_or(since));
            }
        }
        missing
    }

    fn agent<'a>(&self, slot: SlotId, seen: &'a SlotSeen, machine: &Machine) -> Option<&'a Report> {
        let silent = self.troubles.get(&slot).is_some_and(|trouble| trouble.silent);
        let report = seen.agent.report().filter(|report| report.generation == machine.tags.generation);
        report.filter(|_| !silent && machine.state == MachineState::Running)
    }

    fn act(&mut self, told: &mut String, step: &Step) {
        let (part, act) = (step.part.clone(), step.act.clone());
        let reason = step.reason.clone();
        self.take(&Record::Intent { part: part.clone(), act: act.clone(), reason });
        let outcome = self.effect(step);
        match &outcome {
            Outcome::Accepted { .. } | Outcome::UsedUp => {
                self.patience.accepted(&part, &act, self.now);
            }
            Outcome::Failed { why, .. } | Outcome::Refused { why } => {
                let _ = writeln!(told, "         failed: {why}");
            }
            Outcome::Unknown { why } => {
                let _ = writeln!(told, "         nobody knows whether it happened: {why}");
            }
        }
        self.take(&Record::Outcome { part, act, outcome });
    }

    fn effect(&mut self, step: &Step) -> Outcome {
        let slot = step.part.slot;
        let failed = |why: String| Outcome::Failed { why, after: None };
        if let Err(refusal) = self.guard(step) {
            return failed(refusal.to_string());
        }
        let unknown = || Outcome::Unknown { why: "timed out".to_owned() };
        let fate =
            self.troubles.get_mut(&slot).and_then(|trouble| match trouble.fates.get(step.act.verb()) {
                Some(Fate::Fails(_)) => trouble.fates.get(step.act.verb()).cloned(),
                _ => trouble.fates.remove(step.act.verb()),
            });
        match &fate {
            Some(Fate::Fails(why)) => return failed(why.clone()),
            Some(Fate::Lost) => return unknown(),
            _ => {}
        }
        if let Err(why) = self.order(step) {
            return failed(why);
        }
        let letter = match step.act {
            Act::CreateMachine { .. } => 'm',
            Act::CreateVolume { .. } => 'v',
            _ => 's',
        };
        let made = self.made.get(&letter).map_or(1, |n| n + 1);
        let demands = Arc::new(self.view.demands.clone());
        let mut slot_model =
            SlotModel::new(slot, self.truth.remove(&slot).unwrap_or_default(), demands, self.now);
        let done = slot_model.apply(step, || format!("{letter}{made}"));
        self.ended.extend(slot_model.gone.drain(..));
        self.truth.insert(slot, slot_model.seen);
        match done {
            Err(why) => failed(why),
            Ok(made) => {
                if let Some(id) = &made
                    && !matches!(step.act, Act::ClaimVolume { .. })
                {
                    self.name(id.chars().next().unwrap_or(letter));
                }
                self.spoil(step);
                if fate.is_some() { unknown() } else { Outcome::Accepted { made } }
            }
        }
    }

    /// The guards, asked again immediately before the effect, as the engine does.
    fn guard(&self, step: &Step) -> Result<(), Refusal> {
        let slot = step.part.slot;
        let none = SlotSeen::default();
        let seen = self.truth.get(&slot).unwrap_or(&none);
        let machine = |id: &MachineId| seen.machines.iter().find(|machine| machine.id == *id);
        let volume = |id: &ideal_core::id::VolumeId| seen.volumes.iter().find(|volume| volume.id == *id);
        match &step.act {
            Act::EndMachine { machine: id, .. } => {
                let Some(own) = machine(id) else { return Ok(()) };
                guard::terminate(slot.cloud, own, self.agent(slot, seen, own)).map(drop)
            }
            Act::StopMachine { machine: id } => {
                let Some(own) = machine(id) else { return Ok(()) };
                guard::stop(slot.cloud, own, self.agent(slot, seen, own)).map(drop)
            }
            Act::Attach { volume: id, machine: to, .. } => match (volume(id), machine(to)) {
                (Some(own), Some(to)) => guard::attach(slot.cloud, own, &[to.tags.cloud], to),
                _ => Ok(()),
            },
            Act::Detach { volume: id, machine: from, .. } => match (volume(id), machine(from)) {
                (Some(own), Some(from)) => {
                    guard::detach(slot.cloud, own, from, self.agent(slot, seen, from)).map(drop)
                }
                _ => Ok(()),
            },
            Act::Seal { volume: id, .. } => {
                volume(id).map_or(Ok(()), |own| guard::seal(slot.cloud, own).map(drop))
            }
            Act::Retire { volume: id, unsealed, .. } => {
                let Some(own) = volume(id) else { return Ok(()) };
                guard::seal(slot.cloud, own)?;
                let sealed = seen.snapshots.iter().any(|snapshot| guard::covers(snapshot, own));
                if *unsealed || sealed {
                    return Ok(());
                }
                Err(Refusal::NotSealed { volume: own.id.clone(), life: own.life })
            }
            Act::DeleteVolume { volume: id, unsealed, .. } => volume(id).map_or(Ok(()), |own| {
                guard::delete(slot.cloud, own, &seen.snapshots, *unsealed, self.now).map(drop)
            }),
            Act::DeleteSnapshot { snapshot, given_up } => {
                let own = seen.snapshots.iter().find(|own| own.id == *snapshot);
                own.map_or(Ok(()), |own| {
                    guard::prune(slot.cloud, own, self.view.demands.ending, *given_up).map(drop)
                })
            }
            Act::Prune { snapshot, keep } => {
                let own = seen.snapshots.iter().find(|own| own.id == *snapshot);
                own.map_or(Ok(()), |own| guard::prune_old(slot.cloud, own, &seen.snapshots, *keep).map(drop))
            }
            Act::Backup { volume: id, life, .. } => {
                volume(id).map_or(Ok(()), |own| guard::backup(slot.cloud, own, *life).map(drop))
            }
            Act::Grow { volume: id, .. } => volume(id).map_or(Ok(()), |own| guard::grow(slot.cloud, own)),
            _ => Ok(()),
        }
    }

    /// Whether an agent takes an order.
    fn order(&mut self, step: &Step) -> Result<(), String> {
        let is_order = matches!(
            step.act,
            Act::Mount { .. } | Act::Unmount { .. } | Act::Apply { .. } | Act::RunHook { .. }
        );
        let Some(trouble) = self.troubles.get(&step.part.slot) else { return Ok(()) };
        if !is_order {
            return Ok(());
        }
        if trouble.silent {
            return Err("the agent does not answer".to_owned());
        }
        let busy = step.part.mount.as_ref().and_then(|name| trouble.busy.get(name)).cloned();
        if let (Act::Unmount { volume }, Some(why)) = (&step.act, busy) {
            if let Some(SlotSeen { agent: AgentSeen::Answered(report), .. }) =
                self.truth.get_mut(&step.part.slot)
                && let Some(seen) = report.mounts.get_mut(volume)
            {
                seen.busy = Some(why.clone());
            }
            return Err(format!("in use by {why}"));
        }
        Ok(())
    }

    /// A hook that refuses has refused.
    fn spoil(&mut self, step: &Step) {
        let Act::RunHook { hook, key } = &step.act else { return };
        let why = self.troubles.get(&step.part.slot).and_then(|trouble| trouble.hooks.get(hook)).cloned();
        let seen = self.truth.get_mut(&step.part.slot);
        if let (Some(why), Some(SlotSeen { agent: AgentSeen::Answered(report), .. })) = (why, seen) {
            report.hooks.insert(key.clone(), HookSeen { agreed: false, output: why, at: self.now });
        }
    }

    fn settle(&mut self) -> bool {
        let mut settled = false;
        let demands = Arc::new(self.view.demands.clone());
        for (slot, seen) in &mut self.truth {
            let trouble = self.troubles.get(slot);
            let before = seen.clone();
            let mut ahead = SlotModel::new(*slot, std::mem::take(seen), demands.clone(), self.now);
            ahead.settle();
            self.ended.extend(ahead.gone.drain(..));
            *seen = ahead.seen;
            if let Some(trouble) = trouble {
                hold_back(trouble, &before.snapshots, seen);
            }
            settled |= *seen != before;
        }
        settled
    }
}

/// What the story does not let come to a good end.
fn hold_back(trouble: &Trouble, before: &[Snapshot], seen: &mut SlotSeen) {
    for snapshot in &mut seen.snapshots {
        let was = before.iter().find(|was| was.id == snapshot.id);
        if let (Some(state), Some(SnapshotState::Pending)) = (trouble.snapshots, was.map(|was| was.state)) {
            snapshot.state = state;
        }
    }
    if let (Some(why), AgentSeen::Answered(report)) = (&trouble.not_right, &mut seen.agent)
        && report.slice.is_some()
    {
        report.converged = false;
        let problem = Problem { what: "service pub[0]".to_owned(), why: why.clone(), waiting: false };
        report.problems = vec![problem];
    } else if let AgentSeen::Answered(report) = &mut seen.agent {
        report.problems.clear();
    }
}

// Finding what a line names.
impl World {
    fn name(&mut self, letter: char) -> String {
        let count = self.made.entry(letter).or_default();
        *count += 1;
        format!("{letter}{count}")
    }

    fn slot(&self, at: &str) -> Result<(SlotId, Option<Name>), String> {
        slot_in(&self.clouds, at)
    }

    fn mount(&self, at: &str) -> Result<MountId, String> {
        let (slot, name) = self.slot(at)?;
        Ok(MountId { slot, name: name.ok_or("that is not a mount")? })
    }

    fn trouble(&mut self, at: &str) -> Result<&mut Trouble, String> {
        let (slot, _) = self.slot(at)?;
        Ok(self.troubles.entry(slot).or_default())
    }

    fn things(&mut self, at: &str) -> Result<(&mut SlotSeen, Name), String> {
        let id = self.mount(at)?;
        Ok((self.truth.entry(id.slot).or_default(), id.name))
    }

    fn volume_mut(&mut self, at: &str) -> Result<&mut Volume, String> {
        let (seen, name) = self.things(at)?;
        let volume = seen.volumes.iter_mut().find(|volume| volume.tags.mount.as_ref() == Some(&name));
        volume.ok_or_else(|| "it has no volume".to_owned())
    }
}

fn slot_in(clouds: &BTreeMap<String, CloudId>, at: &str) -> Result<(SlotId, Option<Name>), String> {
    let address: Address = at.parse().map_err(|_| "not an address")?;
    let cloud = *clouds.get(&address.path.to_string()).ok_or("no such cloud")?;
    Ok((SlotId { cloud, index: address.index.ok_or("which node?")? }, address.mount))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}
