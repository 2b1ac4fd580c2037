//! The mounts of a replica: they follow it from node to node, one node at a time.
//!
//! A replica has no machine of its own. Its ladder is that of a node's mounts, climbed on a machine that is lent to
//! it: the one that has its volume, or else that of the node on which it is placed.

use crate::demand::State;
use crate::id::{MachineId, Name, SlotId};
use crate::ideal::Service;
use crate::observed::{AgentSeen, Machine, MachineState, Report, ServiceState, SlotSeen, Volume};
use crate::plan::{Cause, Part, Waiting};

use super::context::Context;
use super::mount::{Surroundings, Target};
use super::seats::{Place, Wait};
use super::slot::{Ladder, Out};

impl Ladder<'_, '_> {
    /// One mount of a replica on the machine that is lent to it, whose node is `lender`.
    pub(super) fn follow(&mut self, name: &Name, lender: Option<SlotId>) {
        let spec = self.wanted_mounts().iter().find(|mount| mount.name == *name);
        let place = self.context.seats.of(self.id).and_then(|place| place.node);
        let state = self.wanted.state;
        let lent = self.machine().cloned();
        let stays = state.is_up() && spec.is_some() && place.is_some() && lender == place;
        if stays {
            let target = match state {
                State::Instantiated => Target::Exists,
                State::Attached => Target::Attached,
                _ => Target::Mounted,
            };
            let machine = lent.filter(|machine| machine.state == MachineState::Running && !machine.retired);
            self.mount(name, spec, target, &Surroundings { machine, may_unmount: false });
            return;
        }
        if state.is_up() && spec.is_none() {
            return self.leaving_mount(name, lent.as_ref());
        }
        let target = match state {
            State::Unmounted => Target::Unmounted,
            State::Snapshotted | State::Halted => Target::Sealed,
            State::Away => Target::Gone,
            // It moves, or has no place: it is taken off and waits.
            _ => Target::Separated,
        };
        let around = Surroundings { machine: lent, may_unmount: self.is_down() };
        self.mount(name, spec, target, &around);
    }

    /// Whether the machine that is lent does not run the replica.
    fn is_down(&self) -> bool {
        let address = self.context.input.ideal.address(self.id);
        let before = self.service.and_then(|service| service.spec.was.as_ref());
        let before = before.map(|name| format!("{name}[{}]", self.id.index));
        let services = self.report().map(|report| &report.services);
        let runs = |address: &String| {
            let seen = services.and_then(|services| services.get(address));
            seen.is_some_and(|seen| seen.state != ServiceState::Stopped)
        };
        !runs(&address) && !before.as_ref().is_some_and(runs)
    }

    /// Whether the node runs a replica that is not to be there: its copy is stopped before anything else is done.
    pub(super) fn carries_what_left(&self) -> bool {
        let Some(report) = self.report().filter(|report| !report.services.is_empty()) else { return false };
        let (context, ideal) = (self.context, self.context.input.ideal);
        let to_be: Vec<String> =
            context.seats.on(ideal, self.id).map(|carried| carried.service.address(carried.index)).collect();
        let mut running = report.services.iter().filter(|(_, seen)| seen.state != ServiceState::Stopped);
        running.any(|(address, _)| !to_be.contains(address))
    }
}

/// Decides for a slot that has mounts and no machine: of a replica, or of a service that left the file.
pub(super) fn decide(ladder: Ladder<'_, '_>, seen: &SlotSeen) {
    let Ladder { context, id, info, service, wanted, leftover, memory, out, .. } = ladder;
    let mut plain = Ladder { context, id, info, service, wanted, leftover, seen, memory, out };
    let names = plain.mount_names();
    plain.out.parts += 1 + names.len();
    let (steps, waiting) = (plain.out.steps.len(), plain.out.waiting.len());
    if plain.mirror() {
        return;
    }
    if let Err(cause) = plain.leave_to_go() {
        return plain.wait(&Part::node(id), cause);
    }
    for name in &names {
        let was = plain
            .wanted_mounts()
            .iter()
            .find(|mount| mount.name == *name)
            .and_then(|mount| mount.was.as_ref());
        let volume = plain.volumes_of(name, was).first().map(|volume| (*volume).clone());
        let (lender, lent) = lend(context, id, seen, volume.as_ref());
        let mut on = Ladder { seen: &lent, out: &mut *plain.out, ..plain };
        on.follow(name, lender);
    }
    let offered = plain.out.steps[steps..].iter().map(|step| &step.part);
    let held = plain.out.waiting[waiting..].iter().map(|waiting| &waiting.part);
    let touched: std::collections::BTreeSet<&Part> = offered.chain(held).collect();
    plain.out.right += (1 + names.len()).saturating_sub(touched.len());
}

/// What is seen of a replica, with the machine that is lent to it and what its agent says of the replica. Also
/// whose machine that is.
fn lend(
    context: &Context<'_>,
    replica: SlotId,
    seen: &SlotSeen,
    volume: Option<&Volume>,
) -> (Option<SlotId>, SlotSeen) {
    let mut lent = SlotSeen { machines: Vec::new(), agent: AgentSeen::NotAsked, ..seen.clone() };
    let observed = context.input.observed;
    // A look ahead brings its own machine along.
    if context.is_forecast() && !seen.machines.is_empty() {
        let holder = seen.machines.first().map(|machine| &machine.id);
        let place = context.seats.of(replica).and_then(|place| place.node);
        let lender = holder.and_then(|id| observed.machine(id)).map(|(slot, _)| slot).or(place);
        return (lender, seen.clone());
    }
    let holder = volume.and_then(|volume| volume.attachment.as_ref()).map(|at| &at.machine);
    let Some((lender, machine)) = context.seats.machine_of(observed, replica, holder) else {
        let place = context.seats.of(replica).and_then(|place| place.node);
        return (place.filter(|_| holder.is_none()), lent);
    };
    lent.machines.push(machine.clone());
    lent.agent = match observed.slots.get(&lender).map(|host| &host.agent) {
        Some(AgentSeen::Answered(report)) => {
            AgentSeen::Answered(Box::new(brief(context, replica, seen, report)))
        }
        Some(other) => other.clone(),
        None => AgentSeen::NotAsked,
    };
    (Some(lender), lent)
}

/// Of a report, what is said of one replica.
fn brief(context: &Context<'_>, replica: SlotId, seen: &SlotSeen, report: &Report) -> Report {
    let address = context.input.ideal.address(replica);
    let own = |id: &&crate::id::VolumeId| seen.volumes.iter().any(|volume| volume.id == **id);
    let mounts = report.mounts.iter().filter(|(id, _)| own(id));
    let before = context.service(replica.cloud).and_then(|service| service.spec.was.as_ref());
    let before = before.map(|name| format!("{name}[{}]", replica.index));
    let services = [Some(address), before].into_iter().flatten();
    let services = services.filter_map(|address| report.services.get_key_value(&address));
    Report {
        at: report.at,
        generation: report.generation,
        mounts: mounts.map(|(id, seen)| (id.clone(), seen.clone())).collect(),
        services: services.map(|(name, seen)| (name.clone(), seen.clone())).collect(),
        ..Report::default()
    }
}

/// For a look ahead: gives a replica the machine that it will be on next, as it will be.
pub(super) fn lend_ahead(context: &Context<'_>, replica: SlotId, seen: &mut SlotSeen) {
    let observed = context.input.observed;
    for volume in &mut seen.volumes {
        let dead = |id: &MachineId| {
            let holder = observed.machine(id).map(|(_, machine)| machine);
            let own = seen.machines.iter().any(|machine| machine.id == *id);
            !own && holder.is_none_or(|machine| machine.state != MachineState::Running)
        };
        // It comes back when its machine is ended, which is a step of that node.
        if volume.attachment.as_ref().is_some_and(|at| dead(&at.machine)) {
            volume.attachment = None;
        }
    }
    let holder =
        seen.volumes.iter().find_map(|volume| volume.attachment.as_ref()).map(|at| at.machine.clone());
    let here = seen.machines.first().map(|machine| machine.id.clone());
    if holder.is_some() && holder == here {
        return;
    }
    let volume = seen.volumes.iter().find(|volume| volume.attachment.is_some()).cloned();
    let plain = SlotSeen { machines: Vec::new(), ..seen.clone() };
    let (lender, mut lent) = lend(context, replica, &plain, volume.as_ref());
    if lent.machines.is_empty()
        && let Some(node) = lender
    {
        lent.machines.push(to_be(node));
    }
    if let Some(machine) = lent.machines.first_mut() {
        if here.as_ref() == Some(&machine.id) {
            return;
        }
        (machine.state, machine.retired) = (MachineState::Running, false);
        let report = match &lent.agent {
            AgentSeen::Answered(report) => (**report).clone(),
            _ => Report { generation: machine.tags.generation, ..Report::default() },
        };
        // By then it is stopped where it leaves.
        lent.agent = AgentSeen::Answered(Box::new(Report { services: Default::default(), ..report }));
    }
    (seen.machines, seen.agent) = (lent.machines, lent.agent);
}

/// The machine that a node will have.
fn to_be(node: SlotId) -> Machine {
    let tags = crate::observed::Tags {
        cloud: node.cloud,
        index: Some(node.index),
        mount: None,
        generation: 1,
        token: None,
        demand: None,
        epoch: 0,
    };
    crate::model::new_machine(MachineId::new("machine-to-be"), tags, "", "")
}

/// Replicas that have no place, or are held back: what they wait for.
pub(super) fn held(context: &Context<'_>, out: &mut Out) {
    let input = context.input;
    for (slot, place) in context.seats.held(input.ideal) {
        let Some(service) = context.service(slot.cloud) else { continue };
        if input.demands.of_replica(slot, service.cloud) != Some(State::Launched) {
            continue;
        }
        // Who puts a node down knows that what it carried may have no other.
        if let Some(unplaced) = place.unplaced.as_ref().filter(|_| is_partly_down(context, service)) {
            out.notes.push(format!("{} has no place: {}", input.ideal.address(slot), unplaced.why));
            continue;
        }
        let cause = cause_of(service, place, input.ideal);
        out.waiting.push(Waiting { part: Part::node(slot), cause, overdue: false });
    }
}

/// Whether a node that may carry the service is not demanded to be up.
fn is_partly_down(context: &Context<'_>, service: &Service) -> bool {
    let clouds = service.clouds.iter().filter_map(|id| context.clouds.get(id));
    let mut nodes =
        clouds.flat_map(|info| (0..info.cloud.nodes).map(|index| SlotId { cloud: info.cloud.id, index }));
    nodes.any(|node| context.input.demands.of(node).is_some_and(|state| !state.is_up()))
}

/// Whether the file has no such node.
fn is_surplus(ideal: &crate::ideal::Ideal, node: SlotId) -> bool {
    ideal.cloud(node.cloud).is_none_or(|cloud| node.index >= cloud.nodes)
        && ideal.policy.surplus == crate::policy::Leftover::Ignore
}

fn cause_of(service: &Service, place: &Place, ideal: &crate::ideal::Ideal) -> Cause {
    match (&place.unplaced, &place.waits) {
        (Some(unplaced), _) => Cause::Unplaced { why: unplaced.why.to_string() },
        (None, Some(Wait::Elsewhere(node))) if is_surplus(ideal, *node) => {
            let what = format!("it runs on {}, which the file does not want", ideal.address(*node));
            Cause::Broken { what }
        }
        (None, Some(Wait::Elsewhere(node))) => {
            Cause::Under { what: format!("it is stopped on {}", ideal.address(*node)) }
        }
        (None, Some(Wait::After(first))) => {
            Cause::Under { what: format!("{first}, which comes first, becomes well") }
        }
        (None, Some(Wait::Down) | None) => Cause::Under { what: format!("{} is placed", service.name) },
    }
}
