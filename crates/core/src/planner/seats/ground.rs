//! What placing starts from: wishes, hosts and seats, and what is asked of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::id::SlotId;
use crate::placement::{
    self, Answer, Board, Explanation, Host, Open, Placement, Replica, Seat, Strength, Wish,
};

/// What placing starts from, for who wants it explained.
#[derive(Debug)]
pub struct Ground {
    pub(super) wishes: Vec<Wish>,
    pub(super) hosts: Vec<Host>,
    pub(super) seats: Vec<Seat>,
    /// Hosts that are on their way, as indices: they are asked only when the others cannot carry all.
    pub(super) coming: Vec<u32>,
    /// Replicas that were given another node because theirs has given them up.
    pub(super) moved: BTreeMap<Replica, SlotId>,
    /// Replicas that were on a node and are on none now.
    pub(super) displaced: Vec<Replica>,
    /// Replicas that a node has given up, with that node.
    pub(super) barred: BTreeMap<Replica, SlotId>,
}

/// A replica that would be better off on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The place of its service in the file.
    pub service: u32,
    /// Its number.
    pub index: u32,
    /// The node that carries it.
    pub from: SlotId,
    /// The node that it would choose.
    pub to: SlotId,
    /// What it would gain, in points.
    pub points: i64,
}

impl Ground {
    /// What each node means to a replica, given as the place of its service in the file and its number.
    pub fn explain(&self, service: u32, index: u32) -> Option<Explanation> {
        let (hosts, seats) = self.round();
        let mut board = Board::new(&self.wishes, &hosts, &seats);
        board.fill();
        board.explain(Replica { service, index })
    }

    /// Which replicas would be better off on another node that is up, in the order in which they are to move. `may` says
    /// of which one may think so, given as the place of its service in the file and its number.
    pub fn rebalance(&self, may: impl Fn(u32, u32) -> bool) -> Vec<Move> {
        let hosts = self.without_coming();
        let mut board = Board::new(&self.wishes, &hosts, &self.seats);
        board.fill();
        let all = board.rebalance(|replica| may(replica.service, replica.index));
        let slot = |host: u32| hosts.get(host as usize).map(|host| host.slot);
        let moves = all.into_iter().filter_map(|better| {
            let Replica { service, index } = better.replica;
            let (from, to) = (slot(better.from)?, slot(better.to)?);
            Some(Move { service, index, from, to, points: better.points })
        });
        moves.collect()
    }

    /// All hosts; those that are on their way take nobody.
    fn without_coming(&self) -> Vec<Host> {
        let mut up = self.hosts.clone();
        for at in &self.coming {
            if let Some(host) = up.get_mut(*at as usize).filter(|host| host.open == Open::Open) {
                host.open = Open::Cordoned("it is still on its way".into());
            }
        }
        up
    }

    pub(super) fn place(&mut self) -> Placement {
        let (hosts, seats) = self.round();
        let placed = placement::place(&self.wishes, &hosts, &seats);
        let barred = std::mem::take(&mut self.barred);
        let back = |(replica, node): &(&Replica, &SlotId)| {
            let host = placed.of(**replica).and_then(Result::ok);
            host.is_some_and(|host| hosts.get(host as usize).is_some_and(|host| host.slot == **node))
        };
        let back: Vec<(&Replica, &SlotId)> = barred.iter().filter(back).collect();
        if back.is_empty() {
            return placed;
        }
        // The next best node; the one that gave it up when there is no other.
        let mut board = Board::new(&self.wishes, &hosts, &seats);
        board.fill();
        let next = back.into_iter().filter_map(|(replica, node)| {
            let others = board.explain(*replica)?.verdicts.into_iter().filter_map(|verdict| {
                let slot = hosts.get(verdict.host as usize)?.slot;
                match verdict.answer {
                    Answer::Scored(score) if slot != *node => {
                        Some((score.total, Reverse(verdict.host), slot))
                    }
                    _ => None,
                }
            });
            Some((*replica, others.max()?.2))
        });
        let next: Vec<(Replica, SlotId)> = next.collect();
        for (replica, slot) in next {
            if let Some(wish) = self.wishes.get_mut(replica.service as usize) {
                wish.pinned.insert(replica.index, slot);
                self.moved.insert(replica, slot);
            }
        }
        let (hosts, seats) = self.round();
        placement::place(&self.wishes, &hosts, &seats)
    }

    /// Hosts and seats for all: those that lost their node have a seat on one that is up already, if there is room,
    /// so that nobody waits for a node that is still to come. What was never anywhere may wait for one.
    fn round(&self) -> (Vec<Host>, Vec<Seat>) {
        if self.coming.is_empty() || self.displaced.is_empty() {
            return (self.hosts.clone(), self.seats.clone());
        }
        let up = self.without_coming();
        let mut board = Board::new(&self.wishes, &up, &self.seats);
        let found = board.replace(&self.displaced).into_iter().filter_map(|(replica, host)| {
            let strength = Strength::Hint;
            Some(Seat { replica, host: host.ok()?, strength })
        });
        let seats = self.seats.iter().copied().chain(found).collect();
        (self.hosts.clone(), seats)
    }
}
