//! What keeps a replica from one host or from all of them, in words.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Name;
use crate::time::Bytes;

use super::board::Board;
use super::turn::{Bars, Turn};
use super::{Constraint, Open, Replica, Unplaced, Wish};

/// All of them, in the order in which they are told: what a person decided comes before what there is.
const ALL: [Constraint; 9] = [
    Constraint::Nodes,
    Constraint::Pinned,
    Constraint::Tags,
    Constraint::Closed,
    Constraint::Apart,
    Constraint::PerNode,
    Constraint::Port,
    Constraint::Memory,
    Constraint::Cpu,
];

/// How many different reasons for being closed are told.
const REASONS: usize = 3;

impl Board<'_> {
    /// Why a replica that has no host has none: the constraint that rules out the most hosts, then of those that
    /// are left the next, until each is accounted for.
    pub(super) fn why(&self, turn: &Turn, replica: Replica) -> Unplaced {
        let wish = &self.wishes[replica.service as usize];
        let mut left = self.standing(turn, replica, None);
        let all = left.len();
        if all == 0 {
            return Unplaced {
                constraint: Constraint::Nodes,
                why: format!("{} has no nodes", wish.on).into(),
            };
        }
        if let Some(slot) = wish.pinned.get(&replica.index) {
            left.retain(|(host, _)| self.hosts[*host as usize].slot == *slot);
            let why = match left.first() {
                Some((host, bars)) => {
                    let reasons = self.refusals(turn, replica, *host, *bars);
                    let reasons: Vec<String> = reasons.into_iter().map(|(_, words)| words).collect();
                    format!("pinned to {}; {}", self.hosts[*host as usize].name, reasons.join("; "))
                }
                None => format!("pinned to a node that is not among those of {}", wish.on),
            };
            return Unplaced { constraint: Constraint::Pinned, why: why.into() };
        }
        let mut first = None;
        let mut parts = Vec::new();
        while !left.is_empty() {
            let count =
                |constraint: &Constraint| left.iter().filter(|(_, bars)| bars.has(*constraint)).count();
            // Of equal counts the first in the list.
            let Some(most) = ALL.into_iter().rev().max_by_key(count).filter(|most| count(most) > 0) else {
                break;
            };
            let (ruled, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, bars)| bars.has(most));
            let ruled: Vec<u32> = ruled.into_iter().map(|(host, _)| host).collect();
            parts.push(self.ruled_out(turn, most, &ruled, all));
            first = first.or(Some(most));
            left = rest;
        }
        Unplaced { constraint: first.unwrap_or(Constraint::Nodes), why: parts.join("; ").into() }
    }

    /// Why some of `all` hosts are ruled out by one constraint.
    fn ruled_out(&self, turn: &Turn, constraint: Constraint, ruled: &[u32], all: usize) -> String {
        let wish = &self.wishes[turn.service as usize];
        let some = ruled.len();
        let on_each = match (some == all, some) {
            (true, 1) => "on the only node".to_owned(),
            (true, _) => format!("on each of the {all} nodes"),
            (false, 1) => "on 1 node".to_owned(),
            (false, _) => format!("on {some} nodes"),
        };
        let the_roomiest = match (some == all, some) {
            (true, 1) => "the only node".to_owned(),
            (false, 1) => "1 node".to_owned(),
            _ => format!("the roomiest of {some} nodes"),
        };
        let hosts = || ruled.iter().map(|host| *host as usize);
        match constraint {
            Constraint::Nodes | Constraint::Pinned => String::new(),
            Constraint::Tags if some == all => {
                let nowhere = |tag: &&Name| hosts().all(|host| !self.hosts[host].tags.contains(tag));
                match listed(wish.tags.iter().filter(nowhere)) {
                    tags if tags.is_empty() => {
                        format!("tags: no node of {} has all of {}", wish.on, listed(wish.tags.iter()))
                    }
                    tags => format!("tags: no node of {} has {tags}", wish.on),
                }
            }
            Constraint::Tags => {
                let lacks = |tag: &&Name| hosts().any(|host| !self.hosts[host].tags.contains(tag));
                format!("tags: {} missing {on_each}", listed(wish.tags.iter().filter(lacks)))
            }
            Constraint::Closed => self.closed(ruled),
            Constraint::Apart => format!("apart: one of {} is {on_each} already", self.met(turn, ruled)),
            Constraint::PerNode => {
                format!("per node: at most {} of {}, reached {on_each}", turn.most, wish.name)
            }
            Constraint::Port => format!("{} taken {on_each}", self.taken(turn, ruled)),
            Constraint::Memory => {
                let free = hosts().map(|host| self.free[host].memory).max().unwrap_or_default();
                format!("memory: needs {}, {the_roomiest} has {} free", turn.takes.memory, rough(free))
            }
            Constraint::Cpu => {
                let free = hosts().map(|host| self.free[host].millicpus).max().unwrap_or_default();
                format!("cpu: needs {}m, {the_roomiest} has {free}m free", turn.takes.millicpus)
            }
        }
    }

    /// Why one host refuses a replica.
    pub(super) fn refusals(
        &self,
        turn: &Turn,
        replica: Replica,
        host: u32,
        bars: Bars,
    ) -> Vec<(Constraint, String)> {
        let all = ALL.into_iter().filter(|constraint| bars.has(*constraint));
        all.map(|constraint| (constraint, self.refusal(turn, replica, host, constraint))).collect()
    }

    fn refusal(&self, turn: &Turn, replica: Replica, host: u32, constraint: Constraint) -> String {
        let wish = &self.wishes[turn.service as usize];
        let (free, tags) = (self.free[host as usize], &self.hosts[host as usize].tags);
        match constraint {
            Constraint::Nodes => String::new(),
            Constraint::Pinned => format!("pinned: {}", self.pinned_to(wish, replica)),
            Constraint::Tags => {
                format!("tags: lacks {}", listed(wish.tags.iter().filter(|tag| !tags.contains(tag))))
            }
            Constraint::Closed => match &self.open[host as usize] {
                Open::Open => String::new(),
                Open::Cordoned(why) => format!("cordoned: {why}"),
                Open::Draining(why) => format!("draining: {why}"),
                Open::Gone(why) => format!("gone: {why}"),
            },
            Constraint::Apart => format!("apart: carries {}", self.met(turn, &[host])),
            Constraint::PerNode => format!("per node: carries {} of {}", turn.own(host), wish.name),
            Constraint::Port => format!("{} taken", self.taken(turn, &[host])),
            Constraint::Memory => {
                format!("memory: needs {}, has {} free", turn.takes.memory, rough(free.memory))
            }
            Constraint::Cpu => format!("cpu: needs {}m, has {}m free", turn.takes.millicpus, free.millicpus),
        }
    }

    fn pinned_to(&self, wish: &Wish, replica: Replica) -> String {
        let host = wish.pinned.get(&replica.index).and_then(|slot| self.rules.host(*slot));
        match host {
            Some(host) => format!("to {}", self.hosts[host as usize].name),
            None => "to a node that is not there".to_owned(),
        }
    }

    /// The services that must not be with this one and are on some of the hosts.
    fn met(&self, turn: &Turn, hosts: &[u32]) -> String {
        let apart = self.rules.apart[turn.service as usize].iter();
        let met = apart.filter(|other| self.hosts_of(**other).any(|host| hosts.binary_search(&host).is_ok()));
        listed(met.map(|other| &self.wishes[*other as usize].name))
    }

    /// The service's ports that are taken on some of the hosts.
    fn taken(&self, turn: &Turn, hosts: &[u32]) -> String {
        let ports = self.rules.ports[turn.service as usize].iter();
        let taken = ports.filter(|port| hosts.iter().any(|host| self.ports.contains(&(**port, *host))));
        let taken: Vec<String> = taken.map(u16::to_string).collect();
        match taken.as_slice() {
            [one] => format!("port {one} is"),
            more => format!("one of the ports {} is", more.join(", ")),
        }
    }

    /// `cordoned: 2 nodes (upgrade); gone: 1 node (terminated)`
    fn closed(&self, hosts: &[u32]) -> String {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for host in hosts {
            let reason = match &self.open[*host as usize] {
                Open::Open => continue,
                Open::Cordoned(why) => ("cordoned", &**why),
                Open::Draining(why) => ("draining", &**why),
                Open::Gone(why) => ("gone", &**why),
            };
            *counts.entry(reason).or_default() += 1;
        }
        let told = counts.iter().take(REASONS).map(|((what, why), count)| {
            let nodes = if *count == 1 { "node" } else { "nodes" };
            format!("{what}: {count} {nodes} ({why})")
        });
        let mut told: Vec<String> = told.collect();
        let rest: usize = counts.values().skip(REASONS).sum();
        if rest > 0 {
            told.push(format!("closed for other reasons: {rest}"));
        }
        told.join("; ")
    }
}

/// "`a`, `b`", each once.
fn listed<'n>(names: impl Iterator<Item = &'n Name>) -> String {
    let names: BTreeSet<&Name> = names.collect();
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Rounded down to what one can read.
fn rough(bytes: Bytes) -> Bytes {
    let unit = if bytes.0 < 1 << 20 { 1 << 10 } else { 1 << 20 };
    Bytes(if bytes.0 < unit { bytes.0 } else { bytes.0 / unit * unit })
}
