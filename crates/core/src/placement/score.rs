//! How good a node is for a replica: points by name, in whole numbers.
//!
//! The weights make an order of importance. Spreading outweighs all that can be earned by being near, and being
//! near one service more outweighs the room that is left.

use std::cmp::Reverse;

/// For each replica of the same service that the node carries.
const SPREAD: i64 = -1000;
/// For each service there that it wants to be near.
const NEAR: i64 = 110;
/// So many of these count: eight of them and all the room are less than one step of spreading.
pub(super) const MOST_NEAR: u32 = 8;

/// What a node earns, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The lines; together they are the total.
    pub lines: Vec<Line>,
    /// The sum of the lines: more is better.
    pub total: i64,
    /// How many replicas of any service the node carries: of equal totals the lowest wins, then the first host.
    pub carries: u32,
}

/// One line of a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `spread`, `near` or `room`.
    pub name: &'static str,
    /// What it adds.
    pub points: i64,
    /// For what, in words.
    pub why: String,
}

/// Hosts in order of preference: the greatest is the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    pub(super) total: i64,
    pub(super) carries: Reverse<u32>,
    pub(super) host: Reverse<u32>,
}

/// Points for spreading, of a node that carries `own` replicas of the same service.
pub(super) fn spread(own: u32) -> i64 {
    SPREAD * i64::from(own)
}

/// Points for being near to some services.
pub(super) fn near(services: u32) -> i64 {
    NEAR * i64::from(services.min(MOST_NEAR))
}

/// How much of a capacity is free, in whole percent, rounded down. Nothing of nothing is full.
pub(super) fn percent(free: u64, capacity: u64) -> u8 {
    if capacity == 0 {
        return 0;
    }
    let whole = match free.checked_mul(100) {
        Some(hundredfold) => hundredfold / capacity,
        None => (u128::from(free) * 100 / u128::from(capacity)) as u64,
    };
    whole.min(100) as u8
}

/// Whether that [`percent`] is so much at least.
pub(super) fn reaches(free: u64, capacity: u64, least: i64) -> bool {
    // Multiplied instead of divided, which is ten times as fast; products of whole numbers are as exact.
    let reaches = i128::from(free) * 100 >= i128::from(least) * i128::from(capacity);
    least <= 0 || capacity > 0 && reaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_an_order_of_importance() {
        assert!(near(1) > 100 && near(2) - near(1) > 100, "a neighbour is more than all the room");
        assert!(spread(1) + near(u32::MAX) + 100 < 0, "a step of spreading is more than all else");
    }

    #[test]
    fn a_percentage_is_reached_exactly() {
        let large = u64::MAX - 1;
        for capacity in [0, 1, 3, 7, 99, 100, 101, 1 << 40, large] {
            for free in [0, 1, 2, capacity / 3, capacity / 100, capacity.saturating_sub(1), capacity] {
                let percent = i64::from(percent(free.min(capacity), capacity));
                for least in -1..=101 {
                    let said = reaches(free.min(capacity), capacity, least);
                    assert_eq!(said, percent >= least, "{free} of {capacity}: {percent}, {least}");
                }
            }
        }
    }
}
