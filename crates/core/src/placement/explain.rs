//! Why a replica is where it is, host by host.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::board::Board;
use super::score::{self, Line, Rank, Score};
use super::turn::{Bars, Turn};
use super::{Constraint, NOWHERE, Replica};

/// What each host means to one replica, given where all others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The replica.
    pub replica: Replica,
    /// What it is called: `pub[0]`.
    pub name: String,
    /// The host that carries it, as an index.
    pub here: Option<u32>,
    /// The host that it would choose if it had none: the one with the best score.
    pub best: Option<u32>,
    /// One for each node of its service, in the order of hosts.
    pub verdicts: Vec<Verdict>,
}

/// What one host means to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The host, as an index.
    pub host: u32,
    /// What it is called.
    pub name: Arc<str>,
    /// Yes or no.
    pub answer: Answer,
}

/// Whether a host can carry a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It cannot, for all of these reasons.
    Refused(Vec<(Constraint, String)>),
    /// It can, and is so good.
    Scored(Score),
}

impl Board<'_> {
    /// Explains one replica: what each host means to it as things are, with all others where they are. None: there
    /// is no such replica.
    ///
    /// One that has a host is looked at as if it had not, so the best host may be another: what is well placed is
    /// not moved for better points.
    pub fn explain(&self, replica: Replica) -> Option<Explanation> {
        if !self.knows(replica) {
            return None;
        }
        let here = Some(self.at[self.place_of(replica)]).filter(|host| *host != NOWHERE);
        let mut without = self.clone();
        without.lift(replica);
        let turn = without.turn(replica.service, Vec::new());
        let verdicts: Vec<Verdict> = without
            .standing(&turn, replica, here)
            .into_iter()
            .map(|(host, bars)| {
                let answer = without.answer(&turn, replica, host, bars);
                Verdict { host, name: self.hosts[host as usize].name.clone(), answer }
            })
            .collect();
        let ranks = verdicts.iter().filter_map(|verdict| match &verdict.answer {
            Answer::Scored(Score { total, carries, .. }) => {
                Some(Rank { total: *total, carries: Reverse(*carries), host: Reverse(verdict.host) })
            }
            Answer::Refused(_) => None,
        });
        let best = ranks.max().map(|rank| rank.host.0);
        let name = format!("{}[{}]", self.wishes[replica.service as usize].name, replica.index);
        Some(Explanation { replica, name, here, best, verdicts })
    }

    /// What keeps a replica from each node of its service, tags and pins included. On the host where it is, if it
    /// is somewhere, it is not kept out as a new one would be.
    pub(super) fn standing(&self, turn: &Turn, replica: Replica, here: Option<u32>) -> Vec<(u32, Bars)> {
        let wish = &self.wishes[replica.service as usize];
        let slot = wish.pinned.get(&replica.index);
        let mut nodes: Vec<u32> = wish.nodes.to_vec();
        nodes.retain(|host| (*host as usize) < self.hosts.len());
        nodes.sort_unstable();
        nodes.dedup();
        let all = nodes.into_iter().map(|host| {
            let mut bars = self.bars(turn, host, here == Some(host));
            bars.add_if(!self.rules.may(replica.service, host), Constraint::Tags);
            bars.add_if(slot.is_some_and(|slot| *slot != self.hosts[host as usize].slot), Constraint::Pinned);
            (host, bars)
        });
        all.collect()
    }

    /// What a host means to a replica that is nowhere.
    pub(super) fn answer(&self, turn: &Turn, replica: Replica, host: u32, bars: Bars) -> Answer {
        match bars.is_empty() {
            true => Answer::Scored(self.score(turn, host)),
            false => Answer::Refused(self.refusals(turn, replica, host, bars)),
        }
    }

    fn score(&self, turn: &Turn, host: u32) -> Score {
        let wish = &self.wishes[turn.service as usize];
        let mut lines = Vec::new();
        let own = turn.own(host);
        if own > 0 {
            let why = format!("carries {own} of {}", wish.name);
            lines.push(Line { name: "spread", points: score::spread(own), why });
        }
        let neighbours = turn.neighbours(host);
        if neighbours > 0 {
            let why = format!("carries {}", self.some_of(&self.rules.near[turn.service as usize], host));
            lines.push(Line { name: "near", points: score::near(neighbours), why });
        }
        let room = self.room_after(turn.takes, host);
        let all = self.capacity[host as usize];
        let is_unknown = all.memory.0 == u64::MAX && all.millicpus == u64::MAX;
        let why = match is_unknown {
            true => "how much it has is not known".to_owned(),
            false => format!("{room} % free after it"),
        };
        lines.push(Line { name: "room", points: i64::from(room), why });
        let total = lines.iter().map(|line| line.points).sum();
        Score { lines, total, carries: self.carries[host as usize] }
    }

    /// The first replica of each of some services that a host carries: `db[0], cache[2]`.
    fn some_of(&self, services: &[u32], host: u32) -> String {
        let first = services.iter().filter_map(|service| {
            let starts = &self.rules.starts[*service as usize..];
            let index = self.at[starts[0]..starts[1]].iter().position(|at| *at == host)?;
            Some(format!("{}[{index}]", self.wishes[*service as usize].name))
        });
        first.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Explanation {
    /// A line for each host, without a line break at the end: `>` before the best.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for Verdict { host, name, answer } in &self.verdicts {
            let mark = if self.best == Some(*host) { '>' } else { ' ' };
            let here = if self.here == Some(*host) { " (it is here)" } else { "" };
            write!(f, "\n{mark} {name}{here}: {answer}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Refused(why) => {
                let words: Vec<&str> = why.iter().map(|(_, words)| words.as_str()).collect();
                write!(f, "refused; {}", words.join("; "))
            }
            Answer::Scored(Score { lines, total, carries }) => {
                let lines: Vec<String> = lines.iter().map(Line::to_string).collect();
                write!(f, "{total:+} of {carries} there; {}", lines.join("; "))
            }
        }
    }
}

impl fmt::Display for Line {
    /// `spread -2000: carries 2 of pub`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { name, points, why } = self;
        write!(f, "{name} {points:+}: {why}")
    }
}
