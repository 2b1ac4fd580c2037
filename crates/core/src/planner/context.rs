//! What all ladders of one decision share: the input, and what is worked out once for each cloud.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::Build;
use crate::demand::{Ending, State};
use crate::id::{CloudId, MachineId, SlotId, VolumeId};
use crate::ideal::{Cloud, Service};
use crate::observed::{MachineState, Sight, SlotSeen, size_text};
use crate::plan::{Wanted, WantedBy};
use crate::policy::Leftover;
use crate::time::Span;

use super::Input;
use super::consent::Prune;
use super::names::Whereabouts;
use super::replica;
use super::seats::{self, Seats};
use super::slices::{CloudHash, NamesHashes};
use super::slot::{Ladder, Out};

/// What can be relied upon at a provider, as far as a decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProviderTraits {
    /// After this long, what was done is seen by every read.
    pub settle: Span,
    /// Whether the provider itself refuses to delete what is not marked.
    pub enforces_marks: bool,
    /// Whether a machine can be fenced by ending it.
    pub can_fence: bool,
    /// Whether its machines can be stopped and started again.
    pub can_stop: bool,
    /// Whether it makes machines as the file wants them. If not they only exist, and are taken as they are.
    pub makes_machines: bool,
    /// The agent that is brought to its machines, where that is a step of its own. None: machines come with theirs.
    pub agent: Option<Build>,
}

impl ProviderTraits {
    /// A provider of this host: what was done is seen at once, and machines come with their agents.
    pub const AT_HAND: ProviderTraits = ProviderTraits {
        settle: Span::ZERO,
        enforces_marks: true,
        can_fence: true,
        can_stop: true,
        makes_machines: true,
        agent: None,
    };
}

/// Whether a decision is to be acted upon, or is a round of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Acted upon.
    Now,
    /// A look ahead: consent, back-off and turns are left out.
    Forecast,
}

/// What is worked out once for each cloud.
pub(super) struct CloudInfo<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) hash: CloudHash,
    /// Whose turn it is to be replaced, when machines differ from the file.
    pub(super) turn: Option<SlotId>,
}

/// What all ladders of one decision share.
pub(super) struct Context<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) clouds: BTreeMap<CloudId, CloudInfo<'a>>,
    /// Where replicas are to be.
    pub(super) seats: Seats,
    /// Whose turn it is to have another agent put in the place of its own: one at a time, in the order of the file.
    renewed: Option<SlotId>,
    /// Volumes of replicas, by the machine that they are attached to.
    guests: BTreeMap<MachineId, BTreeSet<VolumeId>>,
    mode: Mode,
}

impl<'a> Context<'a> {
    pub(super) fn new(input: &'a Input<'a>, mode: Mode) -> Context<'a> {
        let seats = seats::seats(input, mode == Mode::Forecast);
        let at = Whereabouts { ideal: input.ideal, observed: input.observed, seats: &seats };
        let mut names = NamesHashes::new(at);
        let mut clouds = BTreeMap::new();
        for cloud in &input.ideal.clouds {
            let hash = CloudHash::new(at, cloud, names.of(cloud));
            let turn = turn(input, cloud);
            clouds.insert(cloud.id, CloudInfo { cloud, hash, turn });
        }
        let guests = guests(input, &clouds);
        let mut context = Context { input, clouds, seats, renewed: None, guests, mode };
        let up = |slot: &SlotId| {
            input.demands.of(*slot).is_some_and(|state| state.is_up() && state >= State::Mounted)
        };
        context.renewed = context.slots().into_iter().filter(up).find(|slot| {
            let Some(seen) = input.observed.slots.get(slot) else { return false };
            let newest = seen.machines.iter().filter(|machine| !machine.state.is_over());
            let newest = newest.max_by_key(|machine| (machine.tags.generation, &machine.id));
            newest.is_some_and(|machine| machine.state == MachineState::Running && !machine.retired)
                && seen.agent.report().is_some_and(|report| context.is_other_agent(*slot, report.build))
        });
        context
    }

    /// Whether the agent of a slot is another than the one that is brought to its machines.
    fn is_other_agent(&self, slot: SlotId, has: Option<Build>) -> bool {
        self.traits(slot).agent.is_some_and(|wanted| has != Some(wanted))
    }

    /// Whether another agent is to be put in the place of a slot's own now.
    pub(super) fn renews_agent(&self, slot: SlotId, has: Option<Build>) -> bool {
        self.is_other_agent(slot, has) && (self.is_forecast() || self.renewed == Some(slot))
    }

    pub(super) fn is_forecast(&self) -> bool {
        self.mode == Mode::Forecast
    }

    /// Every slot to decide for: wanted ones in the order of the file, then what was seen or is remembered
    /// beyond them.
    pub(super) fn slots(&self) -> Vec<SlotId> {
        let mut slots = Vec::new();
        for cloud in &self.input.ideal.clouds {
            slots.extend((0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index }));
        }
        for service in self.input.ideal.services.iter().filter(|service| !service.mounts.is_empty()) {
            slots.extend((0..service.replicas).map(|index| service.slot(index)));
        }
        let with_mounts = |slot: &SlotId| {
            self.service(slot.cloud)
                .is_some_and(|service| !service.mounts.is_empty() && slot.index < service.replicas)
        };
        let wanted = |slot: &SlotId| {
            self.clouds.get(&slot.cloud).is_some_and(|info| slot.index < info.cloud.nodes)
                || with_mounts(slot)
        };
        slots.extend(self.input.observed.slots.keys().filter(|slot| !wanted(slot)));
        slots
    }

    /// The service whose replicas have this identity.
    pub(super) fn service(&self, id: CloudId) -> Option<&'a Service> {
        // Asked for every slot: a file without services pays nothing for it.
        if self.input.ideal.services.is_empty() || self.clouds.contains_key(&id) {
            return None;
        }
        self.input.ideal.service(id).map(AsRef::as_ref)
    }

    /// Volumes of replicas that are attached to a machine.
    pub(super) fn guests(&self, machine: &MachineId) -> bool {
        self.guests.contains_key(machine)
    }

    /// Whether the agent of any other node of the same provider answers.
    pub(super) fn hears_others(&self, slot: SlotId) -> bool {
        let provider = self.info(slot.cloud).map(|info| &info.cloud.provider);
        let mut others = self.input.observed.slots.iter().filter(|(other, _)| **other != slot);
        others.any(|(_, seen)| seen.provider.as_ref() == provider && seen.agent.report().is_some())
    }

    /// The replicas whose volumes are attached to a machine.
    pub(super) fn guests_of(&self, machine: &MachineId) -> Vec<SlotId> {
        let Some(volumes) = self.guests.get(machine) else { return Vec::new() };
        let slots = self.input.observed.slots.iter();
        let holds = |seen: &SlotSeen| seen.volumes.iter().any(|volume| volumes.contains(&volume.id));
        slots.filter(|(_, seen)| holds(seen)).map(|(slot, _)| *slot).collect()
    }

    /// What belongs to a slot of the file: its cloud, or the cloud that its service is on.
    fn info(&self, id: CloudId) -> Option<&CloudInfo<'a>> {
        self.clouds.get(&id).or_else(|| self.clouds.get(&self.service(id)?.cloud))
    }

    /// After this long, what was done to a slot's things is seen by every read.
    pub(super) fn settle(&self, slot: SlotId) -> Span {
        self.traits(slot).settle
    }

    /// What can be relied upon at the provider of a slot.
    pub(super) fn traits(&self, slot: SlotId) -> ProviderTraits {
        let seen = || self.input.observed.slots.get(&slot)?.provider.as_ref();
        let provider = self.info(slot.cloud).map(|info| &info.cloud.provider).or_else(seen);
        provider.and_then(|name| self.input.providers.get(name)).copied().unwrap_or_default()
    }

    /// Decides for one slot as it was observed.
    pub(super) fn decide(&self, slot: SlotId, out: &mut Out) {
        static NOTHING: SlotSeen = SlotSeen {
            provider: None,
            machines: Vec::new(),
            volumes: Vec::new(),
            snapshots: Vec::new(),
            agent: crate::observed::AgentSeen::NotAsked,
            heard: false,
        };
        static BLANK: crate::journal::SlotMemory = crate::journal::SlotMemory {
            generation: 0,
            machines: std::collections::BTreeSet::new(),
            mounts: BTreeMap::new(),
        };
        let seen = self.input.observed.slots.get(&slot).unwrap_or(&NOTHING);
        let memory = self.input.view.slot(slot).unwrap_or(&BLANK);
        self.decide_with(slot, seen, memory, out);
    }

    /// Decides for one slot, seen and remembered like this.
    pub(super) fn decide_with(
        &self,
        slot: SlotId,
        seen: &SlotSeen,
        memory: &crate::journal::SlotMemory,
        out: &mut Out,
    ) {
        let service = self.service(slot.cloud);
        let info = self.info(slot.cloud);
        let (wanted, leftover) = match self.wanted(slot, seen, info, service) {
            Some(wanted) => wanted,
            None => return,
        };
        let provider = info.map(|info| &info.cloud.provider).or(seen.provider.as_ref());
        let sight = provider.and_then(|name| self.input.observed.sight.get(name));
        let mut ladder =
            Ladder { context: self, id: slot, info, service, wanted, leftover, seen, memory, out };
        match sight {
            Some(Sight::Whole) if self.is_guest(slot) => replica::decide(ladder, seen),
            Some(Sight::Whole) => ladder.decide(),
            Some(Sight::Blind { why }) => ladder.blind(why),
            None => ladder.blind("it was not asked"),
        }
    }

    /// Whether the mounts of a slot are on the machines of others: those of a replica, and of a slot of which nobody
    /// knows that it ever had a machine of its own.
    pub(super) fn is_guest(&self, slot: SlotId) -> bool {
        let seen = || self.input.observed.slots.get(&slot).is_some_and(|seen| !seen.machines.is_empty());
        let known = || self.input.view.slot(slot).is_some_and(|memory| !memory.machines.is_empty());
        self.service(slot.cloud).is_some() || (self.info(slot.cloud).is_none() && !known() && !seen())
    }

    /// What becomes of what is too much: by the policy of the file, unless it is to ask and a person has spoken.
    pub(super) fn of_leftovers(&self, policy: Leftover) -> Leftover {
        let spoken = self.input.consent.prune != Prune::Nothing && policy == Leftover::Ask;
        if spoken { Leftover::Prune } else { policy }
    }

    /// What is wanted of a slot; none: nothing is, and nothing is done.
    fn wanted(
        &self,
        slot: SlotId,
        seen: &SlotSeen,
        info: Option<&CloudInfo<'_>>,
        service: Option<&Service>,
    ) -> Option<(Wanted, Option<Leftover>)> {
        let demanded = match service {
            Some(service) => self.input.demands.of_replica(slot, service.cloud),
            None => self.input.demands.of(slot),
        };
        let wanted = match service {
            Some(service) => slot.index < service.replicas && !service.mounts.is_empty(),
            None => info.is_some_and(|info| slot.index < info.cloud.nodes),
        };
        if wanted {
            return demanded.map(|state| (Wanted { state, origin: WantedBy::Demand }, None));
        }
        let lives = seen.machines.iter().any(|machine| !machine.state.is_over())
            || seen.volumes.iter().any(|volume| volume.state != crate::observed::VolumeState::Deleted)
            || (self.input.demands.ending == Ending::Everything && !seen.snapshots.is_empty())
            // Those of a cloud that only has fewer nodes are kept for when it grows again.
            || (self.input.consent.prune == Prune::Everything && info.is_none() && !seen.snapshots.is_empty());
        if !lives || self.input.demands.is_hold() {
            return None;
        }
        let (policy, origin) = match info {
            Some(_) => (self.input.ideal.policy.surplus, WantedBy::Surplus),
            None => (self.input.ideal.policy.orphans, WantedBy::Orphan),
        };
        let policy = self.of_leftovers(policy);
        // Putting everything away puts the rest away too; else the policy decides.
        match (demanded, policy) {
            (_, Leftover::Ignore) => None,
            (Some(State::Away), _) => Some((Wanted { state: State::Away, origin }, Some(Leftover::Ask))),
            (_, policy) => Some((Wanted { state: State::Away, origin }, Some(policy))),
        }
    }
}

/// Volumes of replicas, by the machine that they are attached to.
fn guests(
    input: &Input<'_>,
    clouds: &BTreeMap<CloudId, CloudInfo<'_>>,
) -> BTreeMap<MachineId, BTreeSet<VolumeId>> {
    let mut guests: BTreeMap<MachineId, BTreeSet<VolumeId>> = BTreeMap::new();
    let others = input.observed.slots.iter().filter(|(slot, seen)| {
        // Slots without a machine of their own: those of replicas, also of services that left the file.
        seen.machines.is_empty() && !clouds.contains_key(&slot.cloud)
    });
    for volume in others.flat_map(|(_, seen)| &seen.volumes) {
        if let Some(at) = &volume.attachment {
            guests.entry(at.machine.clone()).or_default().insert(volume.id.clone());
        }
    }
    guests
}

/// Whether a machine is other than the file wants it. One that was not made but only exists is as it is.
pub(super) fn outdated(input: &Input<'_>, cloud: &Cloud, machine: &crate::observed::Machine) -> bool {
    if input.providers.get(&cloud.provider).is_some_and(|traits| !traits.makes_machines) {
        return false;
    }
    machine.image != cloud.image || machine.size != size_text(&cloud.size)
}

/// Which slot of a cloud may be replaced now: one at a time, and only while all others are well. Of those that differ
/// from the file one that is down already goes first, then the one with the fewest replicas: what is being emptied
/// keeps its turn.
pub(super) fn turn(input: &Input<'_>, cloud: &Cloud) -> Option<SlotId> {
    // A slot that is to be down disturbs nobody.
    let is_up = |slot: &SlotId| input.demands.of(*slot).is_some_and(State::is_up);
    let slots = (0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index }).filter(is_up);
    let (mut others, mut disturbed) = (Vec::new(), None);
    for slot in slots {
        let Some(seen) = input.observed.slots.get(&slot) else {
            disturbed = disturbed.or(Some(slot));
            continue;
        };
        let running = seen.machines.iter().find(|machine| machine.state == MachineState::Running);
        let report = seen.agent.report();
        match running {
            Some(machine) if outdated(input, cloud, machine) => {
                others.push(slot);
                // One that is on its way down already keeps the turn.
                let leaving = report.is_none_or(|report| {
                    let mut own = seen.volumes.iter().filter_map(|volume| report.mounts.get(&volume.id));
                    !report.converged && !takes_up(input, slot, report) || own.any(|mount| !mount.mounted)
                });
                if leaving {
                    disturbed = disturbed.or(Some(slot));
                }
            }
            Some(_) if report.is_some_and(|report| report.converged || takes_up(input, slot, report)) => {}
            _ => disturbed = disturbed.or(Some(slot)),
        }
    }
    let carried = |slot: &SlotId| input.view.seats.values().filter(|seat| seat.node == *slot).count();
    let first = match others.as_slice() {
        [] => return None,
        [one] => *one,
        all => all.iter().copied().min_by_key(|slot| (carried(slot), *slot))?,
    };
    Some(disturbed.unwrap_or(first))
}

/// Whether replicas are on their way to a node: then not all is right there yet, and nothing is wrong.
fn takes_up(input: &Input<'_>, slot: SlotId, report: &crate::observed::Report) -> bool {
    let starts = |seen: &crate::observed::ServiceSeen| seen.state == crate::observed::ServiceState::Starting;
    report.services.values().any(starts)
        || input.view.seats.values().any(|seat| seat.node == slot && !seat.up)
}
