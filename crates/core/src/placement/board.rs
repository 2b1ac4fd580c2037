//! Where everything is, kept up to date: built once, asked often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::time::Bytes;

use super::rules::Rules;
use super::turn::Turn;
use super::{Host, NOWHERE, Open, Placement, Replica, Room, Seat, Strength, Unplaced, Wish};

/// All services, all hosts, and which replica is where.
///
/// Replicas by number: a million of them take four bytes each, and to look through all of them is a millisecond.
#[derive(Clone, Debug)]
pub struct Board<'a> {
    pub(super) wishes: &'a [Wish],
    pub(super) hosts: &'a [Host],
    pub(super) rules: Arc<Rules>,
    /// The host of each replica, in the order of `rules.starts`.
    pub(super) at: Vec<u32>,
    pub(super) open: Vec<Open>,
    /// What each host has; the largest number there is where that is not known.
    pub(super) capacity: Vec<Room>,
    pub(super) free: Vec<Room>,
    /// How much of each host is free, in percent of its scarcer dimension.
    pub(super) percent: Vec<u8>,
    /// How many replicas each host carries.
    pub(super) carries: Vec<u32>,
    /// Which port is taken on which host.
    pub(super) ports: BTreeSet<(u16, u32)>,
}

/// A host that a replica claims before it has to choose.
#[derive(Clone, Copy, Debug)]
struct Claim {
    replica: Replica,
    host: u32,
    /// Whether it is there already.
    is_there: bool,
}

impl<'a> Board<'a> {
    /// A board with those replicas on it that a person pinned, and those that have a seat and can keep it.
    pub fn new(wishes: &'a [Wish], hosts: &'a [Host], seats: &[Seat]) -> Board<'a> {
        let rules = Rules::new(wishes, hosts);
        let capacity = |host: &Host| Room {
            memory: host.room.memory.unwrap_or(Bytes(u64::MAX)),
            millicpus: host.room.millicpus.unwrap_or(u64::MAX),
        };
        let capacity: Vec<Room> = hosts.iter().map(capacity).collect();
        let taken =
            hosts.iter().zip(0u32..).flat_map(|(host, n)| host.taken_ports.iter().map(move |p| (*p, n)));
        let mut board = Board {
            wishes,
            hosts,
            at: vec![NOWHERE; rules.starts[wishes.len()]],
            rules: Arc::new(rules),
            open: hosts.iter().map(|host| host.open.clone()).collect(),
            free: capacity.clone(),
            capacity,
            percent: vec![0; hosts.len()],
            carries: vec![0; hosts.len()],
            ports: taken.collect(),
        };
        for host in 0..hosts.len() as u32 {
            board.percent[host as usize] = board.room_after(Room::default(), host);
        }
        board.sit_down(seats);
        board
    }

    /// Finds a host for every replica that has none.
    pub fn fill(&mut self) {
        let services = self.rules.starts.windows(2).zip(0u32..);
        let all = services.flat_map(|(ends, service)| {
            (0..(ends[1] - ends[0]) as u32).map(move |index| Replica { service, index })
        });
        let missing =
            all.zip(&self.at).filter(|(_, host)| **host == NOWHERE).map(|(replica, _)| replica).collect();
        self.settle(missing);
    }

    /// Takes replicas from their hosts, if they have one, and finds the best for each anew. Nothing else moves.
    /// The answers are in the order in which they chose; those that are not there are passed over.
    pub fn replace(&mut self, displaced: &[Replica]) -> Vec<(Replica, Result<u32, Unplaced>)> {
        let displaced: BTreeSet<Replica> = displaced.iter().copied().filter(|one| self.knows(*one)).collect();
        for replica in &displaced {
            self.lift(*replica);
        }
        let settled = self.settle(displaced.into_iter().collect());
        let mut whys = self.whys(settled.iter().copied());
        let answers = settled.into_iter().map(|replica| {
            let why = whys.remove(&replica);
            (replica, why.map_or(Ok(self.at[self.place_of(replica)]), Err))
        });
        answers.collect()
    }

    /// Says anew whether a host takes replicas. The answer is who cannot stay there; they stay on the board until
    /// they are [replaced](Board::replace).
    ///
    /// # Panics
    ///
    /// When there is no such host.
    pub fn set_open(&mut self, host: u32, open: Open) -> Vec<Replica> {
        let stays = matches!(open, Open::Open | Open::Cordoned(_));
        self.open[host as usize] = open;
        if stays { Vec::new() } else { self.on(host) }
    }

    /// The replicas that a host carries.
    pub fn on(&self, host: u32) -> Vec<Replica> {
        let there = self.at.iter().enumerate().filter(|(_, at)| **at == host);
        let replicas = there.map(|(place, _)| {
            // Services without replicas begin where the next one does; the last of these is meant.
            let service = self.rules.starts.partition_point(|start| *start <= place) - 1;
            Replica { service: service as u32, index: (place - self.rules.starts[service]) as u32 }
        });
        replicas.collect()
    }

    /// Which host carries each replica, and why none does.
    pub fn placement(&self) -> Placement {
        let services = self.rules.starts.windows(2).zip(0u32..);
        let all = services.flat_map(|(ends, service)| {
            (0..(ends[1] - ends[0]) as u32).map(move |index| Replica { service, index })
        });
        let unplaced = self.whys(all);
        Placement { starts: self.rules.starts.clone(), hosts: self.at.clone(), unplaced }
    }

    /// Why those of some replicas that have no host have none. They come service by service.
    fn whys(&self, replicas: impl Iterator<Item = Replica>) -> BTreeMap<Replica, Unplaced> {
        let mut whys = BTreeMap::new();
        let mut marks = Vec::new();
        let missing: Vec<Replica> =
            replicas.filter(|replica| self.at[self.place_of(*replica)] == NOWHERE).collect();
        for group in missing.chunk_by(|one, next| one.service == next.service) {
            let turn = self.turn(group[0].service, std::mem::take(&mut marks));
            // All that are not pinned stand before the same hosts.
            let mut shared = None;
            for replica in group {
                let why = match self.is_pinned(*replica) {
                    true => self.why(&turn, *replica),
                    false => shared.get_or_insert_with(|| self.why(&turn, *replica)).clone(),
                };
                whys.insert(*replica, why);
            }
            marks = turn.marks;
        }
        whys
    }

    /// The hosts of the replicas of a service, each as often as it carries one.
    pub(super) fn hosts_of(&self, service: u32) -> impl Iterator<Item = u32> + '_ {
        let starts = &self.rules.starts[service as usize..];
        self.at[starts[0]..starts[1]].iter().copied().filter(|host| *host != NOWHERE)
    }

    /// Where a replica stands in the list of all.
    pub(super) fn place_of(&self, replica: Replica) -> usize {
        self.rules.starts[replica.service as usize] + replica.index as usize
    }

    pub(super) fn knows(&self, replica: Replica) -> bool {
        self.wishes.get(replica.service as usize).is_some_and(|wish| replica.index < wish.replicas)
    }

    pub(super) fn is_pinned(&self, replica: Replica) -> bool {
        self.wishes[replica.service as usize].pinned.contains_key(&replica.index)
    }

    /// The host that a person pinned a replica to, when it is one that may carry it.
    pub(super) fn pin(&self, replica: Replica) -> Option<u32> {
        let slot = self.wishes[replica.service as usize].pinned.get(&replica.index)?;
        self.rules.host(*slot).filter(|host| self.rules.may(replica.service, *host))
    }

    /// Puts down who was pinned, and then who has a seat, as far as they can be there.
    fn sit_down(&mut self, seats: &[Seat]) {
        let known = |seat: &&Seat| self.knows(seat.replica) && (seat.host as usize) < self.hosts.len();
        let mut seats: Vec<Seat> = seats.iter().filter(known).copied().collect();
        seats.sort_unstable_by_key(|seat| (seat.replica, seat.host, seat.strength));
        let rank = |replica: Replica| self.rules.rank[replica.service as usize];

        let pins = self.wishes.iter().zip(0u32..).flat_map(|(wish, service)| {
            wish.pinned.keys().map(move |index| Replica { service, index: *index })
        });
        let pins = pins.filter_map(|replica| {
            let host = self.pin(replica).filter(|_| self.knows(replica))?;
            let seat = seats.binary_search_by_key(&(replica, host), |seat| (seat.replica, seat.host));
            Some(Claim { replica, host, is_there: seat.is_ok() })
        });
        let mut pins: Vec<Claim> = pins.collect();
        // Who is there already comes first, lest another order of services put it out for another pin.
        pins.sort_by_key(|claim| (!claim.is_there, rank(claim.replica), claim.replica));

        let groups = seats.chunk_by(|one, next| (one.replica, one.host) == (next.replica, next.host));
        let claims = groups.filter(|group| !self.is_pinned(group[0].replica)).map(|group| {
            let (strongest, weakest) = (group[0], group[group.len() - 1]);
            let disagrees = weakest.strength != Strength::Hint;
            let claim = Claim { replica: strongest.replica, host: strongest.host, is_there: true };
            ((strongest.strength, rank(claim.replica), claim.replica, disagrees, claim.host), claim)
        });
        let mut claims: Vec<_> = claims.collect();
        claims.sort_unstable_by_key(|(order, _)| *order);
        self.try_each(pins.into_iter());
        self.try_each(claims.into_iter().map(|(_, claim)| claim));
    }

    /// Puts each replica that has no host yet on the one that it claims, if it can be there.
    fn try_each(&mut self, claims: impl Iterator<Item = Claim>) {
        let mut turn: Option<Turn> = None;
        for Claim { replica, host, is_there } in claims {
            if self.at[self.place_of(replica)] != NOWHERE || !self.rules.may(replica.service, host) {
                continue;
            }
            let mut own = match turn.take() {
                Some(own) if own.service == replica.service => own,
                other => self.turn(replica.service, other.map_or(Vec::new(), |other| other.marks)),
            };
            if self.bars(&own, host, is_there).is_empty() {
                self.take(&mut own, replica, host);
            }
            turn = Some(own);
        }
    }

    /// Finds hosts for replicas that have none. Pinned ones first, then in the order of choosing, in which they
    /// are returned.
    fn settle(&mut self, mut missing: Vec<Replica>) -> Vec<Replica> {
        missing.sort_by_cached_key(|one| {
            (!self.is_pinned(*one), self.rules.rank[one.service as usize], one.index)
        });
        let pinned = missing.partition_point(|one| self.is_pinned(*one));
        let pins = missing[..pinned].iter().filter_map(|replica| {
            Some(Claim { replica: *replica, host: self.pin(*replica)?, is_there: false })
        });
        let pins: Vec<Claim> = pins.collect();
        self.try_each(pins.into_iter());
        let mut marks = Vec::new();
        for group in missing[pinned..].chunk_by(|one, next| one.service == next.service) {
            let mut turn = self.turn(group[0].service, std::mem::take(&mut marks));
            self.choose(&mut turn, group);
            marks = turn.marks;
        }
        missing
    }

    /// Takes a replica from its host, if it has one.
    pub(super) fn lift(&mut self, replica: Replica) {
        let place = self.place_of(replica);
        let host = std::mem::replace(&mut self.at[place], NOWHERE);
        if host == NOWHERE {
            return;
        }
        self.carries[host as usize] -= 1;
        let takes = self.wishes[replica.service as usize].takes;
        self.change_room(host, takes, |free, takes| free + takes);
        for port in &self.rules.ports[replica.service as usize] {
            self.ports.remove(&(*port, host));
        }
    }

    /// Takes room on a host that has it.
    pub(super) fn fill_room(&mut self, host: u32, takes: Room) {
        self.change_room(host, takes, |free, takes| free - takes);
    }

    fn change_room(&mut self, host: u32, takes: Room, change: impl Fn(u64, u64) -> u64) {
        let (free, all) = (&mut self.free[host as usize], self.capacity[host as usize]);
        // What is without bounds stays so.
        if all.memory.0 != u64::MAX {
            free.memory.0 = change(free.memory.0, takes.memory.0);
        }
        if all.millicpus != u64::MAX {
            free.millicpus = change(free.millicpus, takes.millicpus);
        }
        self.percent[host as usize] = self.room_after(Room::default(), host);
    }
}
