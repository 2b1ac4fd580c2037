//! Nodes as placing sees them: which take replicas, which keep what they have, which have lost it.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{CloudId, Generation, MachineId, SlotId};
use crate::ideal::Cloud;
use crate::journal::Seated;
use crate::observed::{AgentSeen, Machine, MachineState, Sight, SlotSeen};
use crate::placement::{Capacity, Host, Open};
use crate::plan::Part;
use crate::time::Time;

use super::super::context::{outdated, turn};
use super::super::{Input, consent};

/// How a node is, as far as its replicas are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// Its agent answers.
    Up,
    /// It is on its way, or has been silent for a moment only.
    Coming,
    /// It is dead, or has been silent for too long: for this reason.
    Lost(&'static str),
}

/// All nodes that may carry replicas.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) list: Vec<Host>,
    pub(super) index: BTreeMap<SlotId, u32>,
    /// Those that are on their way, as indices.
    pub(super) coming: Vec<u32>,
    /// The node of each machine that is not over.
    pub(super) machines: BTreeMap<MachineId, SlotId>,
    /// The identities of services.
    pub(super) services: BTreeSet<CloudId>,
    pub(super) wake_at: Option<Time>,
    nodes: BTreeMap<SlotId, (Health, Generation)>,
}

impl Hosts {
    /// `ahead`: what is lost is taken to be replaced, as the plan will do.
    pub(super) fn new(input: &Input<'_>, ahead: bool) -> Hosts {
        let services = &input.ideal.services;
        let mut hosts = Hosts {
            list: Vec::new(),
            index: BTreeMap::new(),
            coming: Vec::new(),
            machines: BTreeMap::new(),
            services: services.iter().map(|service| service.id).collect(),
            wake_at: None,
            nodes: BTreeMap::new(),
        };
        let used: BTreeSet<CloudId> = services.iter().flat_map(|service| &service.clouds).copied().collect();
        for cloud in input.ideal.clouds.iter().filter(|cloud| used.contains(&cloud.id)) {
            let turn = turn(input, cloud);
            for index in 0..cloud.nodes {
                hosts.add(input, cloud, turn, SlotId { cloud: cloud.id, index }, ahead);
            }
        }
        for (slot, seen) in &input.observed.slots {
            let alive = seen.machines.iter().filter(|machine| !machine.state.is_over());
            hosts.machines.extend(alive.map(|machine| (machine.id.clone(), *slot)));
        }
        hosts
    }

    fn add(&mut self, input: &Input<'_>, cloud: &Cloud, turn: Option<SlotId>, slot: SlotId, ahead: bool) {
        let seen = input.observed.slots.get(&slot);
        let alive = seen.into_iter().flat_map(|seen| &seen.machines);
        let machine = alive
            .filter(|machine| !machine.state.is_over())
            .max_by_key(|machine| (machine.tags.generation, &machine.id));
        let health = match (seen, machine) {
            (Some(seen), Some(machine)) => self.health_of(input, cloud, seen, machine),
            _ => Health::Coming,
        };
        let generation = match machine {
            Some(machine) => machine.tags.generation,
            None => to_be(input, slot, seen),
        };
        let open = match (input.demands.of(slot), health) {
            (None, _) => Open::Cordoned("nothing is demanded of it".into()),
            (Some(state), _) if !state.is_up() => Open::Draining(format!("{state} is demanded of it").into()),
            _ if machine.is_some_and(|machine| machine.retired) => Open::Draining("it is being ended".into()),
            _ if machine.is_some_and(|machine| is_replaced(input, cloud, turn, slot, machine)) => {
                Open::Draining("its machine is being replaced".into())
            }
            _ if input.view.cordoned.contains(&slot) => {
                Open::Cordoned("a person said that it takes no more".into())
            }
            (_, Health::Lost(why)) if !ahead => Open::Cordoned(why.into()),
            _ => Open::Open,
        };
        let at = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        if health != Health::Up {
            self.coming.push(at);
        }
        self.nodes.insert(slot, (health, generation));
        self.index.insert(slot, at);
        self.list.push(Host {
            slot,
            name: format!("{}[{}]", cloud.path, slot.index).into(),
            room: room(cloud, seen),
            tags: cloud.tags.clone(),
            taken_ports: Vec::new(),
            open,
        });
    }

    fn health_of(&mut self, input: &Input<'_>, cloud: &Cloud, seen: &SlotSeen, machine: &Machine) -> Health {
        // What cannot be seen is not lost.
        if !matches!(input.observed.sight.get(&cloud.provider), Some(Sight::Whole)) {
            return Health::Coming;
        }
        match (machine.state, &seen.agent) {
            (MachineState::Impaired | MachineState::Terminating, _) => Health::Lost("its machine is dead"),
            (MachineState::Running, AgentSeen::Answered(report))
                if report.generation == machine.tags.generation =>
            {
                Health::Up
            }
            (MachineState::Running, AgentSeen::Silent { since, .. }) => {
                let lost_at = *since + input.ideal.policy.silent;
                if input.now >= lost_at {
                    return Health::Lost("its agent does not answer");
                }
                self.wake_at = Some(self.wake_at.map_or(lost_at, |known| known.min(lost_at)));
                Health::Coming
            }
            _ => Health::Coming,
        }
    }

    /// Whether the agent of a node said how things are there.
    pub(super) fn answers(&self, node: SlotId) -> bool {
        self.nodes.get(&node).is_some_and(|(health, _)| *health == Health::Up)
    }

    /// Whether a node is lost.
    pub(super) fn is_lost(&self, node: SlotId) -> bool {
        self.nodes.get(&node).is_some_and(|(health, _)| matches!(health, Health::Lost(_)))
    }

    /// Whether a replica may be sent to a node.
    pub(super) fn takes(&self, node: SlotId) -> bool {
        let host = self.index.get(&node).and_then(|at| self.list.get(*at as usize));
        host.is_some_and(|host| host.open == Open::Open) && !self.is_lost(node)
    }

    /// The number of the machine that a node has, or is to have.
    pub(super) fn generation(&self, node: SlotId) -> Generation {
        self.nodes.get(&node).map_or(0, |(_, generation)| *generation)
    }

    /// Whether what is remembered of a place still counts. What was there must be on the same machine, and not lost;
    /// what was never there goes on waiting for a machine of its node.
    pub(super) fn honours(&self, known: &Seated) -> bool {
        match known.up {
            true => self.generation(known.node) == known.generation && !self.is_lost(known.node),
            false => self.generation(known.node) >= known.generation && !self.is_lost(known.node),
        }
    }
}

/// Whether a machine that runs makes way for another, because a person wants so, or because it differs from the file
/// and it is its turn: what it carries goes elsewhere first.
fn is_replaced(
    input: &Input<'_>,
    cloud: &Cloud,
    turn: Option<SlotId>,
    slot: SlotId,
    machine: &Machine,
) -> bool {
    let differs = || {
        turn == Some(slot)
            && outdated(input, cloud, machine)
            && !cloud.protect
            && consent::may_end(input, &machine.id)
    };
    machine.state == MachineState::Running && (input.consent.replace.contains(&machine.id) || differs())
}

/// The number of the machine that a node without one is to have.
fn to_be(input: &Input<'_>, slot: SlotId, seen: Option<&SlotSeen>) -> Generation {
    let ended = seen.into_iter().flat_map(|seen| &seen.machines).map(|machine| machine.tags.generation);
    let ended = ended.max().unwrap_or(0);
    let Some(memory) = input.view.slot(slot) else { return ended + 1 };
    let create = (Part::node(slot), "create-machine".to_owned());
    let under_way = !memory.machines.is_empty() || input.view.open.contains_key(&create);
    ended.max(memory.generation) + u32::from(!under_way || ended >= memory.generation)
}

/// What a node has for replicas: as the file says, else as its agent does.
fn room(cloud: &Cloud, seen: Option<&SlotSeen>) -> Capacity {
    let told = seen.and_then(|seen| seen.agent.report()).map(|report| report.room).unwrap_or_default();
    Capacity {
        memory: cloud.size.memory.or(told.memory),
        millicpus: cloud.size.cpus.map(|cpus| u64::from(cpus) * 1000).or(told.millicpus),
    }
}
