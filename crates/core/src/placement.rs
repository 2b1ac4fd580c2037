//! Which node carries which replica of a service, and why.
//!
//! Constraints say where a replica can be at all; points say which of those nodes is best. Both are worked out by
//! the same few functions whether a million replicas are placed or one is explained, so that an explanation is
//! never a story told afterwards.
//!
//! The order in which replicas choose:
//!
//! 1. those that a person pinned, and of these first the ones that are there already;
//! 2. those that are somewhere ([`Seat`]), the strongest claim first. They stay while their node can still carry
//!    them beside what was pinned there: what is well placed is never moved to make room, or for better points;
//! 3. all others, service by service: those that the fewest nodes may carry, then the largest, then by name; but
//!    a service comes after those that it wants to be near. Within a service, by index.
//!
//! But for pins nobody is moved for another's sake, so a replica may find no node although a cleverer arrangement
//! of all would have one for it. That is the price of a decision that a person can follow.
//!
//! Names of wishes are unique, and so are the slots of hosts. The order in which wishes are listed changes
//! nothing. That of hosts decides between nodes that are equally good and equally full: the first one listed.
//!
//! What it does not do: it moves nothing, and does not know whether data can follow; a seat of strength
//! [`Strength::Attached`] is how the caller says that data is there.

mod board;
mod explain;
mod rebalance;
mod rules;
mod score;
mod turn;
mod words;

use std::collections::BTreeMap;
use std::ops::Add;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::CloudPath;
use crate::id::{Name, SlotId};
use crate::time::Bytes;

pub use board::Board;
pub use explain::{Answer, Explanation, Verdict};
pub use rebalance::Better;
pub use score::{Line, Score};

/// What a replica takes of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Memory.
    pub memory: Bytes,
    /// Thousandths of a processor.
    pub millicpus: u64,
}

impl Add for Room {
    type Output = Room;
    fn add(self, other: Room) -> Room {
        Room {
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            millicpus: self.millicpus.saturating_add(other.millicpus),
        }
    }
}

/// What a node has for replicas. What is not known refuses nobody and counts as empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Memory.
    pub memory: Option<Bytes>,
    /// Thousandths of a processor.
    pub millicpus: Option<u64>,
}

/// A service that is to be placed.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What it is called.
    pub name: Name,
    /// How many replicas, counted from zero.
    pub replicas: u32,
    /// What each of them takes.
    pub takes: Room,
    /// Ports that a replica needs on its node: two that need the same one are never on one node.
    pub ports: Vec<u16>,
    /// Tags that a node must have, all of them.
    pub tags: Vec<Name>,
    /// Replicas for which a person said which node. A pin is a constraint like the others: a replica whose node
    /// cannot carry it is placed nowhere.
    pub pinned: BTreeMap<u32, SlotId>,
    /// Services that it likes to be on one node with. The first [`Wish::MOST_NEAR`] that are there count; of very
    /// many names, the first 64.
    pub near: Vec<Name>,
    /// Services that it is never on one node with, whichever of the two asked for it. Its own name means: one to
    /// a node.
    pub apart: Vec<Name>,
    /// How many of its replicas one node may carry.
    pub most_per_node: Option<u32>,
    /// What its nodes are called, for explanations.
    pub on: CloudPath,
    /// The nodes that may carry it, as indices into the list of hosts. Services with the same nodes share it.
    pub nodes: Arc<[u32]>,
}

impl Wish {
    /// How many services of [`Wish::near`] earn points on one node. More would count for more than spreading.
    pub const MOST_NEAR: u32 = score::MOST_NEAR;
}

/// A node, as far as placing is concerned.
#[derive(Clone, Debug)]
pub struct Host {
    /// Which node.
    pub slot: SlotId,
    /// What it is called, for explanations: `shop.web[2]`.
    pub name: Arc<str>,
    /// What it has for replicas, whatever they take now.
    pub room: Capacity,
    /// Its tags.
    pub tags: Vec<Name>,
    /// Ports that others than replicas hold there.
    pub taken_ports: Vec<u16>,
    /// Whether it takes replicas.
    pub open: Open,
}

/// Whether a node takes replicas. What is not open says why, in words for an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// It does.
    Open,
    /// It keeps those that it has.
    Cordoned(Arc<str>),
    /// It loses those that it has, in good order.
    Draining(Arc<str>),
    /// It has lost them.
    Gone(Arc<str>),
}

/// One replica of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// Which wish.
    pub service: u32,
    /// Which of its replicas.
    pub index: u32,
}

/// How firmly a replica is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// What it writes is attached there.
    Attached,
    /// It runs there.
    Running,
    /// It was meant to be there, as far as is remembered.
    Hint,
}

/// Where a replica is.
///
/// There may be several of one replica: a node that comes back late, one that runs twice. The strongest that its
/// node can still carry wins; of equally strong ones that which a hint agrees with, then the first host. What
/// speaks of a replica or a host that is not there is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which replica.
    pub replica: Replica,
    /// Which host, as an index.
    pub host: u32,
    /// How firmly.
    pub strength: Strength,
}

/// What may keep a replica from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    /// There is no node at all for the service.
    Nodes,
    /// A person pinned it to another one.
    Pinned,
    /// A tag is missing.
    Tags,
    /// The node is cordoned, draining or gone.
    Closed,
    /// It carries a service that is to be apart.
    Apart,
    /// It carries as many of the service as one node may.
    PerNode,
    /// A port is taken.
    Port,
    /// Not enough memory is left.
    Memory,
    /// Not enough of the processors is left.
    Cpu,
}

/// Why a replica is on no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The constraint that rules out the most nodes.
    pub constraint: Constraint,
    /// In words, with further constraints until each node is accounted for.
    pub why: Arc<str>,
}

/// No host.
const NOWHERE: u32 = u32::MAX;

/// Which host carries each replica, or why none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Of each service, where its replicas begin in `hosts`; and the end of all.
    starts: Vec<usize>,
    hosts: Vec<u32>,
    unplaced: BTreeMap<Replica, Unplaced>,
}

impl Placement {
    /// The host of a replica, as an index, or why there is none. None: there is no such replica.
    pub fn of(&self, replica: Replica) -> Option<Result<u32, &Unplaced>> {
        let service = replica.service as usize;
        let all = self.hosts.get(*self.starts.get(service)?..*self.starts.get(service + 1)?)?;
        let host = *all.get(replica.index as usize)?;
        match self.unplaced.get(&replica) {
            Some(why) => Some(Err(why)),
            None => Some(Ok(host)),
        }
    }

    /// Every replica that has a host, by service and index.
    pub fn placed(&self) -> impl Iterator<Item = (Replica, u32)> + '_ {
        let services = self.starts.windows(2).zip(0u32..);
        let all = services.flat_map(move |(ends, service)| {
            let hosts = self.hosts[ends[0]..ends[1]].iter().copied();
            hosts.zip(0u32..).map(move |(host, index)| (Replica { service, index }, host))
        });
        all.filter(|(_, host)| *host != NOWHERE)
    }

    /// Every replica that has none.
    pub fn unplaced(&self) -> impl Iterator<Item = (Replica, &Unplaced)> {
        self.unplaced.iter().map(|(replica, why)| (*replica, why))
    }
}

/// Decides for all replicas. Asked again with its answer as the seats, it moves nothing.
pub fn place(wishes: &[Wish], hosts: &[Host], seats: &[Seat]) -> Placement {
    let mut board = Board::new(wishes, hosts, seats);
    board.fill();
    board.placement()
}

#[cfg(test)]
mod tests;
