//! Who would be better off elsewhere: what placing never does by itself, for a person who wants it done.

use std::cmp::Reverse;

use super::board::Board;
use super::score::{Rank, Score};
use super::{Answer, NOWHERE, Replica};

/// So many points make a move worth its while: a quarter of a node's room. One replica fewer of the same service beside
/// it, or a service that it wants to be near, is more than that.
const WORTH: i64 = 25;

/// A replica that would be better off elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Better {
    /// Which.
    pub replica: Replica,
    /// The host that carries it, as an index.
    pub from: u32,
    /// The host that it would choose.
    pub to: u32,
    /// What it would gain, in points.
    pub points: i64,
}

impl Board<'_> {
    /// Moves replicas to where they are better off, one after the other in their order, each at most once, and answers
    /// which. `may` says of which one may think so; pinned ones stay. What moved first is seen by those that follow.
    ///
    /// One moves for [a quarter of a node's room](WORTH) or more, or when it loses nothing and a node that carries more
    /// than another comes nearer to it.
    pub fn rebalance(&mut self, may: impl Fn(Replica) -> bool) -> Vec<Better> {
        let all = (0u32..)
            .zip(self.wishes)
            .flat_map(|(service, wish)| (0..wish.replicas).map(move |index| Replica { service, index }));
        let mut moved = Vec::new();
        for replica in all {
            let from = self.at[self.place_of(replica)];
            if from == NOWHERE || self.is_pinned(replica) || !may(replica) {
                continue;
            }
            self.lift(replica);
            let mut turn = self.turn(replica.service, Vec::new());
            let mut here = None;
            let mut best: Option<(Rank, Score)> = None;
            for (host, bars) in self.standing(&turn, replica, Some(from)) {
                let Answer::Scored(score) = self.answer(&turn, replica, host, bars) else { continue };
                let rank = Rank { total: score.total, carries: Reverse(score.carries), host: Reverse(host) };
                if host == from {
                    here = Some(score.clone());
                }
                if best.as_ref().is_none_or(|(known, _)| *known < rank) {
                    best = Some((rank, score));
                }
            }
            let better = here.zip(best).and_then(|(here, (rank, best))| {
                let points = best.total - here.total;
                let is_worth = points >= WORTH || points >= 0 && best.carries < here.carries;
                is_worth.then_some(Better { replica, from, to: rank.host.0, points })
            });
            self.take(&mut turn, replica, better.as_ref().map_or(from, |better| better.to));
            moved.extend(better);
        }
        moved
    }
}
