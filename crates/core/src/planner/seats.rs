//! Which node carries each replica, and as which version: decided before any ladder is climbed.
//!
//! What is seen is turned into hosts and seats for [`crate::placement`]; its answer is what slices and mounts follow.

mod ground;
mod hosts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::demand::State;
use crate::id::{CloudId, MachineId, SlotId};
use crate::ideal::service::Rung;
use crate::ideal::{Ideal, Service, ServiceSpec};
use crate::journal::{Record, Seated};
use crate::observed::{Observed, ServiceSeen, ServiceState};
use crate::placement::{self, Replica, Room, Seat, Strength, Unplaced, Wish};
use crate::time::{Bytes, Time};

use super::Input;
use super::rollout::{Known, Rollout, rollout};
pub use ground::{Ground, Move};
use hosts::Hosts;

/// Where every replica is to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seats {
    /// By service, in the order of the file, then by replica.
    rows: Vec<Vec<Place>>,
    by_node: BTreeMap<SlotId, Vec<(u32, u32)>>,
    services: BTreeMap<CloudId, u32>,
    rollouts: Vec<Rollout>,
    /// Of each service, the hash of all that is said of it: of the version in the file, and of the last good one.
    hashes: Vec<[[u8; 32]; 2]>,
    /// What was decided anew and is to be remembered.
    pub records: Vec<Record>,
    /// The next instant at which the answer could change by itself.
    pub wake_at: Option<Time>,
    /// What people should know of services.
    pub notes: Vec<String>,
}

/// Where one replica is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its node.
    pub node: Option<SlotId>,
    /// Why it has none.
    pub unplaced: Option<Unplaced>,
    /// Why its node is not told of it yet.
    pub waits: Option<Wait>,
}

/// Why a node is not told yet of a replica that it is to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// It still runs on another node: there is never more than one of it.
    Elsewhere(SlotId),
    /// A service that comes before it is not well.
    After(crate::id::Name),
    /// It is to be down, alone of its service.
    Down,
}

/// A replica with all that its node must know of it.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    /// Of which service.
    pub service: &'a Service,
    /// Which one.
    pub index: u32,
    /// What it runs as.
    pub spec: &'a ServiceSpec,
    /// How often it was started again on purpose.
    pub again: u32,
}

impl Seats {
    /// Where a replica is to be; none: nothing is wanted of it.
    pub fn of(&self, replica: SlotId) -> Option<&Place> {
        let row = self.rows.get(*self.services.get(&replica.cloud)? as usize)?;
        row.get(replica.index as usize)
    }

    /// The replicas of which a node is to be told.
    pub fn on<'a>(&'a self, ideal: &'a Ideal, node: SlotId) -> impl Iterator<Item = Carried<'a>> {
        let all = self.by_node.get(&node).map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(move |(at, index)| {
            let service = ideal.services.get(*at as usize)?;
            let (spec, again) = self.rollouts.get(*at as usize)?.of(service, *index);
            Some(Carried { service, index: *index, spec, again })
        })
    }

    /// The hash of all that is said of a replica, also of what may change under it.
    pub(super) fn spec_hash(&self, carried: &Carried<'_>) -> &[u8] {
        let at = self.services.get(&carried.service.id).copied().unwrap_or_default() as usize;
        let is_old = !std::ptr::eq(carried.spec, &carried.service.spec);
        self.hashes.get(at).map_or(&[][..], |both| &both[usize::from(is_old)])
    }

    /// Replicas that have no place, or whose node is not told of them yet.
    pub fn held<'a>(&'a self, ideal: &'a Ideal) -> impl Iterator<Item = (SlotId, &'a Place)> {
        let rows = ideal.services.iter().zip(&self.rows);
        rows.flat_map(|(service, row)| {
            let all = row.iter().zip(0u32..);
            let held = all.filter(|(place, _)| place.unplaced.is_some() || place.waits.is_some());
            held.map(|(place, index)| (service.slot(index), place))
        })
    }
}

/// How often a replica is given another node because theirs has given it up: then a person is asked.
const MOST_MOVES: u32 = 3;

/// What placing starts from.
pub fn ground(input: &Input<'_>) -> Ground {
    let hosts = Hosts::new(input, false);
    let running = running(input);
    let attached = attached(input.observed, &hosts);
    ground_of(input, &hosts, &running, &attached)
}

/// The clouds that would carry replicas which find no room, if they had another node. What only waits for a machine
/// that is being replaced needs none.
pub(super) fn needs_more(input: &Input<'_>) -> BTreeSet<CloudId> {
    let hosts = Hosts::new(input, true);
    let attached = attached(input.observed, &hosts);
    let placed = ground_of(input, &hosts, &running(input), &attached).place();
    let short = placed.unplaced().filter(|(_, why)| {
        use placement::Constraint::{Apart, Cpu, Memory, Nodes, PerNode, Port};
        matches!(why.constraint, Apart | Cpu | Memory | Nodes | PerNode | Port)
    });
    let services = short.filter_map(|(replica, _)| input.ideal.services.get(replica.service as usize));
    let up = |service: &&Arc<Service>| {
        input.demands.of_cloud(service.cloud).is_some_and(State::is_up) && !service.spec.uses_its_node()
    };
    services.filter(up).flat_map(|service| service.clouds.iter().copied()).collect()
}

/// Decides for all replicas. `ahead`: what is to be in the end; nothing is held back for what comes before it.
pub(super) fn seats(input: &Input<'_>, ahead: bool) -> Seats {
    let ideal = input.ideal;
    if ideal.services.is_empty() {
        return Seats::default();
    }
    let hosts = Hosts::new(input, ahead);
    let running = running(input);
    let attached = attached(input.observed, &hosts);
    let mut ground = ground_of(input, &hosts, &running, &attached);
    let placed = ground.place();
    let mut seats = Seats { wake_at: hosts.wake_at, ..Seats::default() };
    for (at, service) in (0u32..).zip(&ideal.services) {
        seats.services.insert(service.id, at);
        let row = (0..service.replicas).map(|index| match placed.of(Replica { service: at, index }) {
            Some(Ok(host)) => {
                Place { node: hosts.list.get(host as usize).map(|host| host.slot), ..Place::default() }
            }
            Some(Err(why)) => Place { unplaced: Some(why.clone()), ..Place::default() },
            None => Place::default(),
        });
        seats.rows.push(row.collect());
    }
    seats.versions(input, &running);
    if !ahead {
        seats.hold_back(input, &hosts, &running);
    }
    for (service, row) in ideal.services.iter().zip(&mut seats.rows) {
        for (place, index) in row.iter_mut().zip(0u32..) {
            if is_put_down(input, service, index) {
                place.waits = Some(Wait::Down);
            }
        }
    }
    for (at, (service, row)) in (0u32..).zip(ideal.services.iter().zip(&seats.rows)) {
        for (place, index) in row.iter().zip(0u32..) {
            if let (Some(node), None) = (place.node, &place.waits) {
                seats.by_node.entry(node).or_default().push((at, index));
            }
        }
        debug_assert_eq!(row.len(), service.replicas as usize);
    }
    seats.remember(input, &hosts, &running, &ground.moved);
    seats
}

/// Whether something else is demanded of one replica than of its service.
fn is_put_down(input: &Input<'_>, service: &Service, index: u32) -> bool {
    let own = input.demands.of_replica(service.slot(index), service.cloud);
    own != input.demands.of_cloud(service.cloud)
}

type Running<'a> = BTreeMap<SlotId, Vec<(SlotId, &'a ServiceSeen)>>;

/// Who says that it has a replica which is not stopped: by replica.
fn running<'a>(input: &Input<'a>) -> Running<'a> {
    // What runs under the name that it had before is the same.
    let all = || input.ideal.services.iter().map(AsRef::as_ref);
    let before = all().filter_map(|service: &Service| Some((service.spec.was.as_ref()?.as_str(), service)));
    let services: BTreeMap<&str, &Service> =
        before.chain(all().map(|service| (service.name.as_str(), service))).collect();
    let mut running: Running<'a> = BTreeMap::new();
    for (node, seen) in &input.observed.slots {
        let Some(report) = seen.agent.report() else { continue };
        for (address, own) in report.services.iter().filter(|(_, own)| own.state != ServiceState::Stopped) {
            let Some((name, index)) = address.strip_suffix(']').and_then(|text| text.split_once('[')) else {
                continue;
            };
            if let (Some(service), Ok(index)) = (services.get(name), index.parse()) {
                running.entry(service.slot(index)).or_default().push((*node, own));
            }
        }
    }
    running
}

/// The node to whose machine a volume of a replica is attached, by replica.
fn attached(observed: &Observed, hosts: &Hosts) -> BTreeMap<SlotId, SlotId> {
    let mut attached = BTreeMap::new();
    for (slot, seen) in observed.slots.iter().filter(|(slot, _)| hosts.services.contains(&slot.cloud)) {
        let held = seen.volumes.iter().filter_map(|volume| volume.attachment.as_ref());
        let node = held.filter_map(|at| hosts.machines.get(&at.machine)).next();
        if let Some(node) = node {
            attached.insert(*slot, *node);
        }
    }
    attached
}

fn ground_of(
    input: &Input<'_>,
    hosts: &Hosts,
    running: &Running<'_>,
    attached: &BTreeMap<SlotId, SlotId>,
) -> Ground {
    let mut shared: BTreeMap<&[CloudId], Arc<[u32]>> = BTreeMap::new();
    let (mut wishes, mut seats) = (Vec::new(), Vec::new());
    let mut barred: BTreeMap<Replica, SlotId> = BTreeMap::new();
    let mut displaced = Vec::new();
    for (at, service) in (0u32..).zip(&input.ideal.services) {
        let nodes = shared.entry(&service.clouds).or_insert_with(|| {
            let own = (0u32..).zip(&hosts.list).filter(|(_, host)| service.clouds.contains(&host.slot.cloud));
            own.map(|(at, _)| at).collect()
        });
        let mut wish = wish(input, service, nodes.clone());
        for index in 0..service.replicas {
            let (slot, replica) = (service.slot(index), Replica { service: at, index });
            let mut claimed = false;
            let mut claim = |node: SlotId, strength: Strength| {
                if let Some(host) = hosts.index.get(&node) {
                    claimed = true;
                    seats.push(Seat { replica, host: *host, strength });
                }
            };
            if let Some(node) = attached.get(&slot) {
                claim(*node, Strength::Attached);
            }
            for (node, seen) in running.get(&slot).into_iter().flatten() {
                // What the node has given up is not kept there; what other nodes gave up before waits for a person.
                let tried = input.view.seats.get(&slot).map_or(0, |known| known.moved);
                if seen.asks == Some(Rung::Move) && tried < MOST_MOVES {
                    barred.insert(replica, *node);
                } else {
                    claim(*node, Strength::Running);
                }
            }
            let Some(known) = input.view.seats.get(&slot) else { continue };
            // Who was sent to a node that takes nobody any more stays where it is, or goes where there is room.
            if known.asked && hosts.takes(known.node) {
                wish.pinned.entry(index).or_insert(known.node);
            }
            if hosts.honours(known) && barred.get(&replica) != Some(&known.node) {
                // A node that is silent for a moment still has what was seen there.
                if known.up && !hosts.answers(known.node) {
                    claim(known.node, Strength::Running);
                }
                claim(known.node, Strength::Hint);
            }
            if !claimed {
                displaced.push(replica);
            }
        }
        wishes.push(wish);
    }
    Ground {
        wishes,
        hosts: hosts.list.clone(),
        seats,
        coming: hosts.coming.clone(),
        displaced,
        moved: BTreeMap::new(),
        barred,
    }
}

fn wish(input: &Input<'_>, service: &Service, nodes: Arc<[u32]>) -> Wish {
    let ideal = input.ideal;
    let spec = &service.spec;
    let pinned = spec.place.pin.iter().filter_map(|(index, address)| {
        let cloud = ideal.cloud_at(&address.path)?;
        let slot = SlotId { cloud: cloud.id, index: address.index.unwrap_or(0) };
        Some((index.parse().ok()?, slot))
    });
    // Replica `i` on node `i` modulo the number of nodes; and there it stays, also when there are more nodes by then.
    let bound = service.spec.uses_its_node();
    let homes: Vec<SlotId> = service
        .clouds
        .iter()
        .filter(|_| bound)
        .filter_map(|id| ideal.cloud(*id))
        .flat_map(|cloud| (0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index }))
        .collect();
    let home = |index: u32| {
        let known = input.view.seats.get(&service.slot(index)).map(|known| known.node);
        let kept = known.filter(|node| homes.contains(node));
        let node = kept.or_else(|| homes.get(index as usize % homes.len().max(1)).copied())?;
        Some((index, node))
    };
    let pinned = (0..service.replicas).filter(|_| bound).filter_map(home).chain(pinned);
    let takes =
        Room { memory: spec.memory.unwrap_or(Bytes(0)), millicpus: spec.cpus.map_or(0, |cpus| cpus.0) };
    Wish {
        name: service.name.clone(),
        replicas: service.replicas,
        takes,
        ports: spec.ports.values().filter_map(|port| port.fixed()).collect(),
        tags: spec.place.tags.clone(),
        pinned: pinned.collect(),
        near: spec.place.near.clone(),
        apart: spec.place.apart.clone(),
        most_per_node: spec.place.most_per_node,
        on: spec.on.clone(),
        nodes,
    }
}

impl Seats {
    /// Which version each replica is to be of.
    fn versions(&mut self, input: &Input<'_>, running: &Running<'_>) {
        let nothing = crate::journal::ServiceMemory::default();
        for (service, row) in input.ideal.services.iter().zip(&self.rows) {
            let memory = input.view.services.get(&service.id).unwrap_or(&nothing);
            let known = |index: u32| {
                let down = is_put_down(input, service, index);
                let Some(node) = row.get(index as usize).and_then(|place| place.node).filter(|_| !down)
                else {
                    return Known::Nowhere;
                };
                let mut all = running.get(&service.slot(index)).into_iter().flatten();
                all.find(|(at, _)| *at == node).map_or(Known::Unseen, |(_, seen)| Known::Seen(seen))
            };
            let decided = rollout(service, memory, known, input.now);
            if decided.memory != *memory {
                let memory = Box::new(decided.memory.clone());
                self.records.push(Record::Changing { service: service.id, memory });
            }
            let is_wanted = input.demands.of_cloud(service.cloud).is_some_and(State::is_up);
            if let Some(note) = decided.note.as_ref().filter(|_| is_wanted) {
                self.notes.push(format!("{} {note}", service.name));
            }
            if let Some(at) = decided.wake_at {
                self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
            }
            let hash =
                |spec: &ServiceSpec| *blake3::hash(&serde_json::to_vec(spec).unwrap_or_default()).as_bytes();
            let old = decided.memory.good.as_ref().map_or([0; 32], |(spec, _)| hash(spec));
            self.hashes.push([hash(&service.spec), old]);
            self.rollouts.push(decided);
        }
    }

    /// There is one of each replica: a node is told of one only when no other has it any more; and what comes first
    /// must be well before what comes after it starts for the first time.
    fn hold_back(&mut self, input: &Input<'_>, hosts: &Hosts, running: &Running<'_>) {
        let well: BTreeSet<&str> = input
            .ideal
            .services
            .iter()
            .filter(|service| {
                (0..service.replicas).filter(|index| !is_put_down(input, service, *index)).all(|index| {
                    let all = running.get(&service.slot(index)).into_iter().flatten();
                    all.into_iter().any(|(_, seen)| seen.state == ServiceState::Running)
                })
            })
            .map(|service| service.name.as_str())
            .collect();
        for (service, row) in input.ideal.services.iter().zip(&mut self.rows) {
            let first = service.spec.after.iter().find(|name| !well.contains(name.as_str()));
            for (place, index) in row.iter_mut().zip(0u32..) {
                let Some(node) = place.node else { continue };
                let all = running.get(&service.slot(index)).map_or(&[][..], Vec::as_slice);
                if all.iter().any(|(at, _)| *at == node) {
                    continue;
                }
                let other = all.iter().find(|(at, _)| !hosts.is_lost(*at));
                place.waits = match (other, first) {
                    (Some((at, _)), _) => Some(Wait::Elsewhere(*at)),
                    // What ran once starts again whatever it needs.
                    (None, Some(name))
                        if input.view.seats.get(&service.slot(index)).is_none_or(|known| !known.up) =>
                    {
                        Some(Wait::After(name.clone()))
                    }
                    _ => None,
                };
            }
        }
    }

    /// What is remembered of the places.
    fn remember(
        &mut self,
        input: &Input<'_>,
        hosts: &Hosts,
        running: &Running<'_>,
        moved: &BTreeMap<Replica, SlotId>,
    ) {
        let mut changed = BTreeMap::new();
        for (at, (service, row)) in (0u32..).zip(input.ideal.services.iter().zip(&self.rows)) {
            for (place, index) in row.iter().zip(0u32..) {
                let slot = service.slot(index);
                let known = input.view.seats.get(&slot);
                let next = place.node.map(|node| {
                    let all = running.get(&slot).into_iter().flatten();
                    let here = all.into_iter().any(|(at, _)| *at == node);
                    let generation = hosts.generation(node);
                    let same = known.filter(|known| known.node == node && known.generation == generation);
                    let up = here || same.is_some_and(|known| known.up);
                    // Also when its machine becomes another on the way.
                    let stays = known.filter(|known| known.node == node);
                    let moves = moved.get(&Replica { service: at, index }) == Some(&node);
                    let asked = (moves || stays.is_some_and(|known| known.asked)) && !up;
                    let moved = known.map_or(0, |known| known.moved) + u32::from(moves && stays.is_none());
                    Seated { node, generation, up, asked, moved }
                });
                // A replica that has no place for now keeps the memory of the last.
                if next.is_some() && next.as_ref() != known {
                    changed.insert(slot, next);
                }
            }
        }
        let wanted = |slot: &SlotId| self.of(*slot).is_some();
        let gone = input.view.seats.keys().filter(|slot| !wanted(slot));
        changed.extend(gone.map(|slot| (*slot, None)));
        if !changed.is_empty() {
            self.records.push(Record::Seated { seats: changed });
        }
    }

    /// Which machine a replica's mounts have to do with: the one that has its volume, else that of its node.
    pub(super) fn machine_of<'o>(
        &self,
        observed: &'o Observed,
        replica: SlotId,
        holder: Option<&MachineId>,
    ) -> Option<(SlotId, &'o crate::observed::Machine)> {
        if let Some(holder) = holder {
            return observed.machine(holder);
        }
        let node = self.of(replica)?.node?;
        let machines = observed.slots.get(&node)?.machines.iter();
        let alive = machines.filter(|machine| !machine.state.is_over());
        let machine = alive.max_by_key(|machine| (machine.tags.generation, &machine.id))?;
        Some((node, machine))
    }
}
