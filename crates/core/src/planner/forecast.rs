//! What `plan` shows: the same ladders, run forward on the model until nothing is left to do.
//!
//! Slots do not depend on one another (but for turns), so each is run to its end by itself: a plan of ten
//! thousand parts costs ten thousand short walks, not dozens of passes over everything.

use std::sync::Arc;

use crate::demand::Demands;
use crate::id::{CloudId, Life, MachineId, SlotId, SnapshotId, VolumeId};
use crate::journal::{Outcome, Record, SlotMemory, View};
use crate::model;
use crate::observed::{AgentSeen, HookSeen, MachineState, MountSeen, Report, SlotSeen, Tags};
use crate::plan::{Act, Fact, Plan, Planned, Step};
use crate::time::Time;

use super::context::{Context, Mode};
use super::slot::Out;
use super::{Input, leftover};

/// No ladder has as many rungs; more rounds than this is a fault of ours, and the plan says so.
const MOST_ROUNDS: u32 = 60;

/// The whole plan: every step that the demand will take, in order, with its reason, if nothing goes wrong.
pub fn forecast(input: &Input<'_>) -> Plan {
    let context = Context::new(input, Mode::Forecast);
    let demands = Arc::new(input.demands.clone());
    let mut plan = Plan { demand: input.demands.to_string(), ..Plan::default() };
    let mut turns = Turns::default();
    for slot in context.slots() {
        let begins = plan.steps.len();
        walk(&context, slot, &demands, &mut plan);
        turns.order(&context, slot, begins, &mut plan);
    }
    let mut out = Out::default();
    leftover::notes(&context, &mut out);
    plan.notes.append(&mut out.notes);
    plan
}

/// Runs one slot to its end.
fn walk(context: &Context<'_>, slot: SlotId, demands: &Arc<Demands>, plan: &mut Plan) {
    let mut first = Out::default();
    context.decide(slot, &mut first);
    plan.parts += first.parts;
    plan.right += first.parts.saturating_sub(first.touched);
    if first.steps.is_empty() && first.waiting.is_empty() {
        plan.notes.append(&mut first.notes);
        return;
    }
    let seen = context.input.observed.slots.get(&slot).cloned().unwrap_or_default();
    let memory = context.input.view.slot(slot).cloned().unwrap_or_default();
    let mut ahead = Ahead { seen, memory, demands: demands.clone(), now: context.input.now };
    let mut edges = Edges::default();
    let mut out = first;
    for round in 0..MOST_ROUNDS {
        let offered = !out.steps.is_empty();
        for step in out.steps.drain(..) {
            ahead.apply(slot, &step);
            let after = edges.place(&step, plan.steps.len());
            plan.steps.push(Planned { step, round, after });
        }
        let settled = ahead.settle();
        if !offered && !settled {
            break;
        }
        out = Out::default();
        context.decide_with(slot, &ahead.seen, &ahead.memory, &mut out);
    }
    plan.waiting.append(&mut out.waiting);
    plan.notes.append(&mut out.notes);
}

/// Machines of a cloud that are replaced go one after another.
#[derive(Default)]
struct Turns {
    last: Option<(CloudId, u32)>,
}

impl Turns {
    fn order(&mut self, context: &Context<'_>, slot: SlotId, begins: usize, plan: &mut Plan) {
        if plan.steps.len() == begins || context.clouds.get(&slot.cloud).is_none_or(|info| info.turn.is_none()) {
            return;
        }
        if let Some((cloud, last)) = self.last
            && cloud == slot.cloud
        {
            plan.steps[begins].after.push(last);
        }
        self.last = u32::try_from(plan.steps.len() - 1).ok().map(|last| (slot.cloud, last));
    }
}

/// Who brought each fact last, and who needed it since. A slot has few facts: lists are quicker than maps.
#[derive(Default)]
struct Edges {
    brought: Vec<(Fact, u32)>,
    needed: Vec<(Fact, u32)>,
}

impl Edges {
    /// The earlier steps that this one comes after.
    fn place(&mut self, step: &Step, index: usize) -> Vec<u32> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut after = Vec::new();
        for fact in &step.needs {
            after.extend(self.brought.iter().filter(|(known, _)| known == fact).map(|(_, at)| *at));
            self.needed.push((fact.clone(), index));
        }
        for fact in &step.ends {
            after.extend(self.needed.iter().filter(|(known, _)| known == fact).map(|(_, at)| *at));
            after.extend(self.brought.iter().filter(|(known, _)| known == fact).map(|(_, at)| *at));
            self.brought.retain(|(known, _)| known != fact);
            self.needed.retain(|(known, _)| known != fact);
        }
        for fact in &step.brings {
            self.brought.retain(|(known, _)| known != fact);
            self.brought.push((fact.clone(), index));
        }
        after.retain(|at| *at != index);
        after.sort_unstable();
        after.dedup();
        after
    }
}

fn mount_of(step: &Step) -> &str {
    step.part.mount.as_ref().map(crate::id::Name::as_str).unwrap_or_default()
}

/// One slot as it will be.
struct Ahead {
    seen: SlotSeen,
    memory: SlotMemory,
    demands: Arc<Demands>,
    now: Time,
}

impl Ahead {
    fn tags(&self, slot: SlotId, step: &Step, generation: u32) -> Tags {
        Tags {
            cloud: slot.cloud,
            index: Some(slot.index),
            mount: step.part.mount.clone(),
            generation,
            token: None,
            demand: Some(self.demands.clone()),
            epoch: 0,
        }
    }

    fn report(&mut self) -> Option<&mut Report> {
        match &mut self.seen.agent {
            AgentSeen::Answered(report) => Some(report),
            _ => None,
        }
    }

    /// What the step will have done, by the same model as the simulated provider.
    fn apply(&mut self, slot: SlotId, step: &Step) {
        let mut made: Option<String> = None;
        match &step.act {
            Act::CreateMachine { generation, image, size } => {
                let id = format!("machine-{generation}-to-be");
                let tags = self.tags(slot, step, *generation);
                let machine = model::new_machine(MachineId::new(id.as_str()), tags, image, size);
                self.seen.machines.push(machine);
                self.seen.agent = AgentSeen::NotAsked;
                made = Some(id);
            }
            Act::CreateVolume { generation, size, life, from } => {
                let id = VolumeId::new(format!("the {} volume to be", mount_of(step)));
                let tags = self.tags(slot, step, *generation);
                made = Some(id.to_string());
                self.seen.volumes.push(model::new_volume(id, tags, *size, *life, from.clone()));
            }
            Act::ClaimVolume { volume, generation } => {
                let tags = self.tags(slot, step, *generation);
                let size = crate::time::Bytes(0);
                let mut volume = model::new_volume(volume.clone(), tags, size, 0, None);
                model::settle_volume(&mut volume);
                made = Some(volume.id.to_string());
                self.seen.volumes.push(volume);
            }
            Act::StartMachine { machine } => {
                for own in self.seen.machines.iter_mut().filter(|own| own.id == *machine) {
                    own.state = MachineState::Running;
                }
            }
            Act::EndMachine { machine } => {
                self.seen.machines.retain(|own| own.id != *machine);
                for volume in &mut self.seen.volumes {
                    if volume.attachment.as_ref().is_some_and(|at| at.machine == *machine) {
                        volume.attachment = None;
                    }
                }
                self.seen.agent = AgentSeen::NotAsked;
            }
            Act::Seal { volume, life, kind, .. } => self.seal(slot, step, volume, *life, *kind),
            Act::Mirror { .. } | Act::Rename { .. } => self.write_tags(step),
            Act::DeleteSnapshot { snapshot } => self.seen.snapshots.retain(|own| own.id != *snapshot),
            Act::Mount { .. } | Act::Unmount { .. } | Act::Apply { .. } | Act::RunHook { .. } => {
                self.on_node(&step.act);
            }
            Act::Attach { .. } | Act::Detach { .. } | Act::Retire { .. } | Act::DeleteVolume { .. } => {
                self.on_volume(&step.act);
            }
        }
        let mut view = View::default();
        view.slots.insert(slot, std::mem::take(&mut self.memory));
        let (part, act) = (step.part.clone(), step.act.clone());
        view.take(self.now, &Record::Intent { part: part.clone(), act: act.clone(), reason: String::new() });
        view.take(self.now, &Record::Outcome { part, act, outcome: Outcome::Accepted { made } });
        self.memory = view.slots.remove(&slot).unwrap_or_default();
        // What ends will also be seen to be gone.
        match &step.act {
            Act::EndMachine { machine } => {
                self.memory.machines.remove(machine);
            }
            Act::DeleteVolume { volume, .. } => {
                self.memory.mounts.values_mut().for_each(|mount| {
                    mount.volumes.remove(volume);
                });
            }
            _ => {}
        }
    }

    fn seal(&mut self, slot: SlotId, step: &Step, volume: &VolumeId, life: Life, kind: crate::observed::SealKind) {
        let tags = self.tags(slot, step, 0);
        let Some(own) = self.seen.volumes.iter().find(|own| own.id == *volume) else { return };
        let id = SnapshotId::new(format!("the seal of {} life {life}", mount_of(step)));
        let mut snapshot = model::new_snapshot(id, tags, own, life, kind, self.now);
        snapshot.tags.generation = own.tags.generation;
        self.seen.snapshots.push(snapshot);
    }

    fn write_tags(&mut self, step: &Step) {
        let machines = self.seen.machines.iter_mut().map(|machine| &mut machine.tags);
        let volumes = self.seen.volumes.iter_mut().map(|volume| &mut volume.tags);
        let snapshots = self.seen.snapshots.iter_mut().map(|snapshot| &mut snapshot.tags);
        for tags in machines.chain(volumes).chain(snapshots) {
            match &step.act {
                Act::Rename { from, .. } if tags.mount.as_ref() == Some(from) => {
                    tags.mount.clone_from(&step.part.mount);
                }
                Act::Mirror { .. } => tags.demand = Some(self.demands.clone()),
                _ => {}
            }
        }
        let demands = self.demands.clone();
        if let (Act::Mirror { .. }, Some(report)) = (&step.act, self.report()) {
            report.demand = Some(demands);
        }
    }

    fn on_node(&mut self, act: &Act) {
        let Some(report) = self.report() else { return };
        match act {
            Act::Mount { volume, life, .. } => {
                let seen = MountSeen { life: *life, mounted: true, busy: None };
                report.mounts.insert(volume.clone(), seen);
            }
            Act::Unmount { volume } => {
                if let Some(seen) = report.mounts.get_mut(volume) {
                    seen.mounted = false;
                }
            }
            Act::Apply { hash, .. } => {
                report.slice = Some(hash.clone());
                report.converged = true;
            }
            Act::RunHook { key, .. } => {
                let seen = HookSeen { agreed: true, output: String::new(), at: Time(0) };
                report.hooks.insert(key.clone(), seen);
            }
            _ => {}
        }
    }

    fn on_volume(&mut self, act: &Act) {
        let now = self.now;
        let (id, machine) = match act {
            Act::Attach { volume, machine, .. } => (volume, Some(machine)),
            Act::Detach { volume, .. } | Act::Retire { volume, .. } | Act::DeleteVolume { volume, .. } => {
                (volume, None)
            }
            _ => return,
        };
        let machine = machine.and_then(|id| self.seen.machines.iter().find(|own| own.id == *id)).cloned();
        let Some(volume) = self.seen.volumes.iter_mut().find(|own| own.id == *id) else { return };
        let done = match (act, machine) {
            (Act::Attach { life, .. }, Some(machine)) => {
                model::new_life(volume, *life).and_then(|()| model::attach(volume, *life, &machine))
            }
            (Act::Detach { machine, .. }, _) => model::detach(volume, machine, volume.life),
            (Act::Retire { life, until, .. }, _) => {
                let mark = crate::observed::RetireMark { life: *life, at: now, until: *until };
                model::retire(volume, mark)
            }
            (Act::DeleteVolume { life, .. }, _) => model::delete(volume, *life, now),
            _ => Ok(()),
        };
        // The ladder offers only what the model allows; should they differ, the plan stops there and shows it.
        debug_assert!(done.is_ok(), "{act:?}: {done:?}");
    }

    /// Lets what is under way come to its end. False when nothing was.
    fn settle(&mut self) -> bool {
        let before = self.seen.clone();
        self.seen.machines.iter_mut().for_each(model::settle_machine);
        self.seen.volumes.iter_mut().for_each(model::settle_volume);
        self.seen.volumes.retain(|volume| volume.state != crate::observed::VolumeState::Deleted);
        self.seen.snapshots.iter_mut().for_each(model::settle_snapshot);
        let machine = self.seen.machines.iter().filter(|machine| machine.state == MachineState::Running);
        if let Some(machine) = machine.max_by_key(|machine| machine.tags.generation) {
            let generation = machine.tags.generation;
            match &mut self.seen.agent {
                AgentSeen::Answered(report) if report.generation == generation => report.converged = true,
                // It will answer. Until it does, what is attached must be taken to be mounted.
                other => {
                    let silent = matches!(other, AgentSeen::Silent { .. });
                    let held = self.seen.volumes.iter().filter(|volume| {
                        silent && volume.attachment.as_ref().is_some_and(|at| at.machine == machine.id)
                    });
                    let mounts = held.map(|volume| {
                        (volume.id.clone(), MountSeen { life: volume.life, mounted: true, busy: None })
                    });
                    let report = Report {
                        generation,
                        demand: Some(self.demands.clone()),
                        mounts: mounts.collect(),
                        ..Report::default()
                    };
                    *other = AgentSeen::Answered(Box::new(report));
                }
            }
        }
        self.seen != before
    }
}
