//! What is done about a replica that is not well: one rung of its ladder after the other, each with a number of tries,
//! and between the tries ever longer waits. And when so many are not well at once that none is started again.

use std::collections::BTreeMap;
use std::time::Duration;

use ideal_core::ideal::service::Rung;
use ideal_core::time::{Span, Time};

use crate::pace::Pace;
use crate::state::Started;

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is started again; `anew` from nothing but its image and its mounts.
    Again { anew: bool },
    /// It is left, and a person is asked.
    Ask,
}

/// Notes that a replica ended that should run, and says what is done about it.
///
/// A rung has its number of tries within the window of the budget; who fails more often comes to the next one. The last
/// rung that is not `ask` is kept up without end when no `ask` follows.
pub(crate) fn fell(started: &mut Started, ladder: &[Rung], pace: &Pace, now: Time) -> Next {
    let lived = now.since(started.since).std();
    if lived >= pace.lived {
        started.in_a_row = 0;
    }
    let window = Span(u64::try_from(pace.window.as_millis()).unwrap_or(u64::MAX));
    if lived >= pace.window {
        // It was well for so long that this is a new story.
        (started.rung, started.recent) = (0, Vec::new());
    }
    started.restarts += 1;
    started.in_a_row += 1;
    started.recent.retain(|at| now.since(*at) < window);
    started.recent.push(now);
    while let Some(rung) = ladder.get(started.rung).filter(|rung| **rung != Rung::Ask) {
        let is_last = started.rung + 1 == ladder.len();
        if started.recent.len() <= tries(*rung, pace) || is_last {
            return Next::Again { anew: makes_anew(started, ladder) };
        }
        started.rung += 1;
        started.recent = vec![now];
    }
    Next::Ask
}

/// How often a rung is tried before the next one.
fn tries(rung: Rung, pace: &Pace) -> usize {
    match rung {
        Rung::Restart => pace.budget,
        Rung::Recreate | Rung::Move => pace.tries,
        Rung::Ask => 0,
    }
}

/// What the node cannot do for a replica that is down and stands on this rung.
pub(crate) fn asks(started: &Started, ladder: &[Rung]) -> Option<Rung> {
    match ladder.get(started.rung) {
        Some(Rung::Move) => Some(Rung::Move),
        Some(Rung::Ask) | None => Some(Rung::Ask),
        Some(Rung::Restart | Rung::Recreate) => None,
    }
}

/// Whether a replica that is on this rung is made anew.
pub(crate) fn makes_anew(started: &Started, ladder: &[Rung]) -> bool {
    !matches!(ladder.get(started.rung), Some(Rung::Restart) | None)
}

/// How long after its end it is started again.
pub(crate) fn wait(started: &Started, pace: &Pace) -> Duration {
    match started.in_a_row {
        0 | 1 => Duration::ZERO,
        n => pace.first_wait.saturating_mul(1 << (n - 2).min(16)).min(pace.longest_wait),
    }
}

/// Begins anew: a new slice or another program deserves its own chances.
pub(crate) fn forgive(started: &mut Started) {
    started.in_a_row = 0;
    started.rung = 0;
    started.recent.clear();
    started.suspended = None;
}

/// The fewest replicas that can be a storm.
const FEWEST: usize = 3;

/// When most replicas of a node fail again as soon as they are started again, the cause is not theirs: a disk that is
/// full, a network that is gone. Starting all of them on and on would only add to it.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// When each last failed that had failed just before, too.
    failed: BTreeMap<String, Time>,
    /// Until when nothing is started again, and under which slice that was decided.
    holds: Option<(Time, String)>,
}

impl Storm {
    /// Notes that a replica failed again without a life worth the name. Answers how many did, when this makes it a storm.
    pub(crate) fn note(
        &mut self,
        replica: &str,
        all: usize,
        slice: &str,
        pace: &Pace,
        now: Time,
    ) -> Option<usize> {
        let moment = Span(u64::try_from(pace.storm.as_millis()).unwrap_or(u64::MAX));
        self.failed.insert(replica.to_owned(), now);
        self.failed.retain(|_, at| now.since(*at) < moment);
        let many = self.failed.len();
        if many < FEWEST || many * 2 < all || self.held(slice, now).is_some() {
            return None;
        }
        self.failed.clear();
        self.holds =
            Some((now + Span(u64::try_from(pace.pause.as_millis()).unwrap_or(u64::MAX)), slice.to_owned()));
        Some(many)
    }
    /// Until when nothing is started again; none: no storm holds it up.
    pub(crate) fn held(&self, slice: &str, now: Time) -> Option<Time> {
        self.holds.as_ref().filter(|(until, of)| now < *until && of == slice).map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Rung::{Ask, Move, Recreate, Restart};

    /// What is done about failures that follow each other after this many milliseconds of life.
    fn story(ladder: &[Rung], life: u64, failures: usize) -> Vec<(Next, Option<Rung>)> {
        let pace = Pace::default();
        let mut started = Started::default();
        let mut now = Time(1_000_000);
        let mut seen = Vec::new();
        for _ in 0..failures {
            started.since = now;
            now = now + Span(life);
            let next = fell(&mut started, ladder, &pace, now);
            now = now + Span(u64::try_from(wait(&started, &pace).as_millis()).unwrap());
            seen.push((next, asks(&started, ladder)));
        }
        seen
    }

    /// How often in a row, whether it is made anew, and what is asked for.
    type Counted = (usize, bool, Option<Rung>);

    /// How often each thing is done in a row.
    fn counted(ladder: &[Rung], life: u64, failures: usize) -> Vec<Counted> {
        let mut counts: Vec<Counted> = Vec::new();
        for (next, asks) in story(ladder, life, failures) {
            let anew = next == Next::Again { anew: true };
            match counts.last_mut() {
                Some((count, was, asked)) if (*was, *asked) == (anew, asks) => *count += 1,
                _ => counts.push((1, anew, asks)),
            }
        }
        counts
    }

    #[test]
    fn one_rung_after_the_other() {
        let cases: [(&[Rung], &[Counted]); 6] = [
            (
                &[Restart, Recreate, Move, Ask],
                &[(10, false, None), (3, true, None), (3, true, Some(Move)), (4, false, Some(Ask))],
            ),
            (&[Restart, Ask], &[(10, false, None), (10, false, Some(Ask))]),
            (&[Recreate, Ask], &[(3, true, None), (17, false, Some(Ask))]),
            // Without `ask` the last one is kept up.
            (&[Restart], &[(20, false, None)]),
            (&[Restart, Move], &[(10, false, None), (10, true, Some(Move))]),
            (&[Ask], &[(20, false, Some(Ask))]),
        ];
        for (ladder, expected) in cases {
            assert_eq!(counted(ladder, 10, 20), expected, "{ladder:?}");
        }
    }

    #[test]
    fn who_lives_for_a_while_stays_on_its_rung() {
        // Dying once a minute is within the budget, for ever.
        assert_eq!(counted(&[Restart, Ask], 60_000, 100), [(100, false, None)]);
        // Nine seconds are no life worth the name: the waits grow, and the ladder is walked to its end.
        assert_eq!(counted(&[Restart, Recreate, Move, Ask], 9_000, 40).last().unwrap().2, Some(Ask));
    }

    #[test]
    fn a_long_life_is_a_new_beginning() {
        let pace = Pace::default();
        let mut started = Started { in_a_row: 5, rung: 2, since: Time(0), ..Started::default() };
        let next = fell(&mut started, &[Restart, Recreate, Move, Ask], &pace, Time(301_000));
        assert_eq!(
            (next, started.rung, wait(&started, &pace)),
            (Next::Again { anew: false }, 0, Duration::ZERO)
        );
    }

    #[test]
    fn waits_double() {
        let pace = Pace::default();
        let waits = (1..=11).map(|n| wait(&Started { in_a_row: n, ..Started::default() }, &pace).as_millis());
        let waits: Vec<u128> = waits.collect();
        assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn most_at_once_are_a_storm() {
        let pace = Pace::default();
        let cases = [
            // How many fail, of how many, and whether that is a storm.
            (2, 2, false),
            (3, 3, true),
            (3, 6, true),
            (3, 7, false),
            (4, 7, true),
        ];
        for (failing, all, expected) in cases {
            let mut storm = Storm::default();
            let told: Vec<usize> = (0..failing)
                .filter_map(|i| storm.note(&format!("pub[{i}]"), all, "s", &pace, Time(1000 + i)))
                .collect();
            assert_eq!(told.len(), usize::from(expected), "{failing} of {all}: {told:?}");
            assert_eq!(storm.held("s", Time(1100)).is_some(), expected);
        }
    }

    #[test]
    fn a_storm_is_told_once_and_ends() {
        let pace = Pace::default();
        let mut storm = Storm::default();
        // One that fails on and on is not many, and long ago does not count.
        for at in 0..20 {
            assert_eq!(storm.note("pub[0]", 3, "s", &pace, Time(at * 1000)), None);
        }
        assert_eq!(storm.note("pub[1]", 3, "s", &pace, Time(40_000)), None);
        assert_eq!(storm.note("pub[2]", 3, "s", &pace, Time(41_000)), None);
        assert_eq!(storm.note("pub[0]", 3, "s", &pace, Time(42_000)), Some(3));
        assert_eq!(storm.note("pub[1]", 3, "s", &pace, Time(42_001)), None, "told once");
        assert_eq!(storm.held("s", Time(71_999)), Some(Time(72_000)));
        assert_eq!(storm.held("other", Time(50_000)), None, "the slice changed");
        assert_eq!(storm.held("s", Time(72_000)), None);
    }
}
