//! What `plan` shows: the same ladders, run forward on the model until nothing is left to do.
//!
//! Slots do not depend on one another (but for turns), so each is run to its end by itself: a plan of ten
//! thousand parts costs ten thousand short walks, not dozens of passes over everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::demand::Demands;
use crate::id::{CloudId, SlotId};
use crate::journal::SlotMemory;
use crate::model::SlotModel;
use crate::plan::{Act, Fact, Part, Plan, Planned, Step};

use super::context::{Context, Mode};
use super::replica::lend_ahead;
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
    ends_last(&context, &mut plan);
    let mut out = Out::default();
    leftover::notes(&context, &mut out);
    super::replica::held(&context, &mut out);
    plan.waiting.append(&mut out.waiting);
    plan.notes.extend(context.seats.notes.iter().cloned());
    plan.notes.append(&mut out.notes);
    plan
}

/// A machine that has volumes of replicas ends after these have left it. They have a walk of their own, so the end is
/// put behind all of them.
fn ends_last(context: &Context<'_>, plan: &mut Plan) {
    let mut last: BTreeMap<SlotId, usize> = BTreeMap::new();
    for (at, planned) in plan.steps.iter().enumerate() {
        last.insert(planned.step.part.slot, at);
    }
    let guests = |planned: &Planned| match &planned.step.act {
        Act::EndMachine { machine, .. } => context.guests_of(machine),
        _ => Vec::new(),
    };
    let is_last = |at: usize, planned: &Planned| last.get(&planned.step.part.slot) == Some(&at);
    let late: Vec<(usize, Vec<SlotId>)> = (0..)
        .zip(&plan.steps)
        .filter(|(at, planned)| is_last(*at, planned))
        .map(|(at, planned)| (at, guests(planned)))
        .filter(|(_, guests)| !guests.is_empty())
        .collect();
    if late.is_empty() {
        return;
    }
    let is_late = |at: &usize| late.iter().any(|(own, _)| own == at);
    let order: Vec<usize> = (0..plan.steps.len()).filter(|at| !is_late(at)).collect();
    let order: Vec<usize> = order.into_iter().chain(late.iter().map(|(at, _)| *at)).collect();
    let mut place = vec![0u32; order.len()];
    for (to, from) in (0u32..).zip(&order) {
        place[*from] = to;
    }
    for (at, guests) in &late {
        let after = guests.iter().filter_map(|guest| last.get(guest));
        let after: Vec<u32> = after.filter_map(|at| u32::try_from(*at).ok()).collect();
        plan.steps[*at].after.extend(after);
    }
    for planned in &mut plan.steps {
        planned.after.iter_mut().for_each(|after| *after = place[*after as usize]);
        planned.after.sort_unstable();
        planned.after.dedup();
    }
    let mut steps: Vec<Option<Planned>> = std::mem::take(&mut plan.steps).into_iter().map(Some).collect();
    plan.steps = order.into_iter().filter_map(|at| steps[at].take()).collect();
}

/// Runs one slot to its end.
fn walk(context: &Context<'_>, slot: SlotId, demands: &Arc<Demands>, plan: &mut Plan) {
    let mut first = Out::default();
    context.decide(slot, &mut first);
    plan.parts += first.parts;
    if first.steps.is_empty() && first.waiting.is_empty() {
        plan.right += first.right;
        plan.notes.append(&mut first.notes);
        return;
    }
    let mut seen = context.input.observed.slots.get(&slot).cloned().unwrap_or_default();
    let is_replica = context.is_guest(slot);
    if is_replica {
        lend_ahead(context, slot, &mut seen);
    }
    let mut memory = context.input.view.slot(slot).cloned().unwrap_or_default();
    let mut ahead = SlotModel::new(slot, seen, demands.clone(), context.input.now);
    ahead.agent = context.traits(slot).agent;
    let mut edges = Edges::default();
    let mut out = first;
    let (begins, parts) = (plan.steps.len(), out.parts);
    for round in 0..MOST_ROUNDS {
        let offered = !out.steps.is_empty();
        for step in out.steps.drain(..) {
            take(&mut ahead, &mut memory, &step);
            let after = edges.place(&step, plan.steps.len());
            plan.steps.push(Planned { step, round, after });
        }
        let settled = ahead.settle();
        // What the plan itself ended is not missed.
        for object in ahead.gone.drain(..) {
            memory.forget(&object);
        }
        if !offered && !settled {
            break;
        }
        out = Out::default();
        if is_replica {
            lend_ahead(context, slot, &mut ahead.seen);
        }
        context.decide_with(slot, &ahead.seen, &memory, &mut out);
    }
    // Whatever has a step of its own, or waits, is not right yet; book-keeping does not count.
    let steps = plan.steps[begins..].iter().map(|planned| &planned.step);
    let touched = steps.filter(|step| !matches!(step.act, Act::Mirror { .. })).map(|step| &step.part);
    let touched: BTreeSet<&Part> = touched.chain(out.waiting.iter().map(|waiting| &waiting.part)).collect();
    plan.right += parts.saturating_sub(touched.len());
    plan.waiting.append(&mut out.waiting);
    plan.notes.append(&mut out.notes);
}

/// What a step will have done to the things of its slot, and what will be remembered of it.
fn take(ahead: &mut SlotModel, memory: &mut SlotMemory, step: &Step) {
    let mount = step.part.mount.as_ref();
    memory.intend(mount, &step.act);
    match ahead.apply(step, || to_be(step)) {
        Ok(made) => memory.accept(mount, &step.act, made.as_deref()),
        // The ladder offers only what the model allows; should they differ, the plan stops there and shows it.
        Err(why) => debug_assert!(false, "{:?}: {why}", step.act),
    }
}

/// How a thing is called that does not exist yet: no two of a slot alike.
fn to_be(step: &Step) -> String {
    let mount = step.part.mount.as_ref().map_or("", |name| name.as_str());
    match &step.act {
        Act::CreateMachine { generation, .. } => format!("machine-{generation}-to-be"),
        Act::Seal { life, .. } => format!("the seal of {mount} in life {life}"),
        _ => format!("the new volume of {mount}"),
    }
}

/// Machines of a cloud that are replaced go one after another.
#[derive(Default)]
struct Turns {
    last: Option<(CloudId, u32)>,
}

impl Turns {
    fn order(&mut self, context: &Context<'_>, slot: SlotId, begins: usize, plan: &mut Plan) {
        if plan.steps.len() == begins
            || context.clouds.get(&slot.cloud).is_none_or(|info| info.turn.is_none())
        {
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
