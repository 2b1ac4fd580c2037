//! One service's turn to choose: what each host means to it just then, and the best of them.
//!
//! Everything that a service must know of others (who is there that it wants to be near or apart, who has its
//! ports) is written on the hosts once, when its turn begins. While it lasts, only hosts that it chooses change.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::board::Board;
use super::score::{self, Rank};
use super::{Constraint, Open, Replica, Room};

/// Up to so many replicas each look at all hosts; more of them share a heap, which costs as much as several looks.
const FEW: usize = 8;

/// What keeps a service from a host: a set of constraints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bars(u16);

impl Bars {
    pub(super) fn add(&mut self, constraint: Constraint) {
        self.0 |= 1 << constraint as u16;
    }
    pub(super) fn add_if(&mut self, is_so: bool, constraint: Constraint) {
        self.0 |= u16::from(is_so) << constraint as u16;
    }
    pub(super) fn has(self, constraint: Constraint) -> bool {
        self.0 & 1 << constraint as u16 != 0
    }
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a host means to the service whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// One bit for each service there that it wants to be near.
    near: u64,
    /// How many of its own replicas are there.
    own: u32,
    /// What others there keep it from.
    bars: Bars,
}

/// The turn of one service.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) service: u32,
    pub(super) takes: Room,
    /// How many replicas one host may carry.
    pub(super) most: u32,
    /// One to a host, for it is apart from itself.
    alone: bool,
    has_ports: bool,
    /// One for each host.
    pub(super) marks: Vec<Mark>,
}

impl Turn {
    /// How many replicas of the service a host carries.
    pub(super) fn own(&self, host: u32) -> u32 {
        self.marks[host as usize].own
    }

    /// How many services that it wants to be near a host carries.
    pub(super) fn neighbours(&self, host: u32) -> u32 {
        self.marks[host as usize].near.count_ones()
    }

    /// The points of a host but for its room.
    fn base(&self, host: u32) -> i64 {
        let mark = &self.marks[host as usize];
        // Counting bits is slow on processors that old programs must run on, and mostly there are none.
        let near = if mark.near == 0 { 0 } else { score::near(mark.near.count_ones()) };
        score::spread(mark.own) + near
    }
}

impl Board<'_> {
    /// Begins the turn of a service. `marks` is what an earlier turn leaves behind, to be used again.
    pub(super) fn turn(&self, service: u32, mut marks: Vec<Mark>) -> Turn {
        let rules = &self.rules;
        let wish = &self.wishes[service as usize];
        marks.clear();
        marks.resize(self.hosts.len(), Mark::default());
        for host in self.hosts_of(service) {
            marks[host as usize].own += 1;
        }
        let apart = &rules.apart[service as usize];
        for host in apart.iter().filter(|other| **other != service).flat_map(|other| self.hosts_of(*other)) {
            marks[host as usize].bars.add(Constraint::Apart);
        }
        for (other, bit) in rules.near[service as usize].iter().zip(0..u64::BITS) {
            for host in self.hosts_of(*other) {
                marks[host as usize].near |= 1 << bit;
            }
        }
        let ports = &rules.ports[service as usize];
        for (_, host) in ports.iter().flat_map(|port| self.ports.range((*port, 0)..=(*port, u32::MAX))) {
            marks[*host as usize].bars.add(Constraint::Port);
        }
        Turn {
            service,
            takes: wish.takes,
            most: rules.most[service as usize],
            alone: apart.contains(&service),
            has_ports: !ports.is_empty(),
            marks,
        }
    }

    /// What keeps another replica of the service from a host, but for tags and pins. One that is there already is
    /// not kept from a host that takes no new ones.
    pub(super) fn bars(&self, turn: &Turn, host: u32, is_there: bool) -> Bars {
        let at = host as usize;
        let mark = &turn.marks[at];
        let mut bars = mark.bars;
        let closed = match self.open[at] {
            Open::Open => false,
            Open::Cordoned(_) => !is_there,
            Open::Draining(_) | Open::Gone(_) => true,
        };
        bars.add_if(closed, Constraint::Closed);
        bars.add_if(turn.alone && mark.own > 0, Constraint::Apart);
        bars.add_if(mark.own >= turn.most, Constraint::PerNode);
        bars.add_if(turn.takes.memory > self.free[at].memory, Constraint::Memory);
        bars.add_if(turn.takes.millicpus > self.free[at].millicpus, Constraint::Cpu);
        bars
    }

    /// How much of a host would be free with one more replica, in percent of its scarcer dimension.
    pub(super) fn room_after(&self, takes: Room, host: u32) -> u8 {
        let (free, all) = (self.free[host as usize], self.capacity[host as usize]);
        let part = |free: u64, takes: u64, all: u64| match all {
            u64::MAX => 100,
            _ => score::percent(free.saturating_sub(takes), all),
        };
        let memory = part(free.memory.0, takes.memory.0, all.memory.0);
        memory.min(part(free.millicpus, takes.millicpus, all.millicpus))
    }

    /// Whether [`Board::room_after`] would be so much at least.
    fn leaves(&self, takes: Room, host: u32, percent: i64) -> bool {
        let (free, all) = (self.free[host as usize], self.capacity[host as usize]);
        let part = |free: u64, takes: u64, all: u64| match all {
            u64::MAX => percent <= 100,
            _ => score::reaches(free.saturating_sub(takes), all, percent),
        };
        part(free.memory.0, takes.memory.0, all.memory.0)
            && part(free.millicpus, takes.millicpus, all.millicpus)
    }

    fn rank(&self, turn: &Turn, host: u32) -> Rank {
        Rank {
            total: turn.base(host) + i64::from(self.room_after(turn.takes, host)),
            carries: Reverse(self.carries[host as usize]),
            host: Reverse(host),
        }
    }

    /// The best host for one more replica.
    fn best(&self, turn: &Turn) -> Option<u32> {
        let mut best: Option<Rank> = None;
        for host in self.rules.pool(turn.service) {
            if let Some(best) = best {
                // Most hosts are passed over for one of these two looks, without a division. A host that is no
                // more than equal comes later in the list, and loses.
                let is_fuller = self.carries[*host as usize] >= best.carries.0;
                let needs = best.total + i64::from(is_fuller) - turn.base(*host);
                // No replica makes room: what is free now is the most that may be free after it.
                if i64::from(self.percent[*host as usize]) < needs || !self.leaves(turn.takes, *host, needs) {
                    continue;
                }
            }
            if self.bars(turn, *host, false).is_empty() {
                best = best.max(Some(self.rank(turn, *host)));
            }
        }
        best.map(|best| best.host.0)
    }

    /// Each of some replicas of the service takes the best host that there is for it, as long as there is one.
    pub(super) fn choose(&mut self, turn: &mut Turn, replicas: &[Replica]) {
        if replicas.len() <= FEW {
            for replica in replicas {
                let Some(host) = self.best(turn) else { return };
                self.take(turn, *replica, host);
            }
            return;
        }
        let pool = self.rules.pool(turn.service).iter();
        let open = pool.filter(|host| self.bars(turn, **host, false).is_empty());
        let mut heap: BinaryHeap<Rank> = open.map(|host| self.rank(turn, *host)).collect();
        for replica in replicas {
            let Some(mut best) = heap.peek_mut() else { return };
            let host = best.host.0;
            self.take(turn, *replica, host);
            // Only the host that was taken has changed.
            if self.bars(turn, host, false).is_empty() {
                *best = self.rank(turn, host);
            } else {
                PeekMut::pop(best);
            }
        }
    }

    /// Puts a replica on a host, for as long as nobody lifts it.
    pub(super) fn take(&mut self, turn: &mut Turn, replica: Replica, host: u32) {
        let place = self.place_of(replica);
        self.at[place] = host;
        self.carries[host as usize] += 1;
        self.fill_room(host, turn.takes);
        let mark = &mut turn.marks[host as usize];
        mark.own += 1;
        if turn.has_ports {
            mark.bars.add(Constraint::Port);
            self.ports.extend(self.rules.ports[turn.service as usize].iter().map(|port| (*port, host)));
        }
    }
}
