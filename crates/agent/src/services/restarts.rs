//! When a replica that ended may start again: at once the first time, then ever later, then not any more.

use std::time::Duration;

use ideal_core::time::{Span, Time};

use crate::pace::Pace;
use crate::state::Started;

/// Notes that a replica ended that should run, and that it will be started again.
pub(crate) fn note(started: &mut Started, pace: &Pace, now: Time) {
    if now.since(started.since).std() >= pace.lived {
        started.in_a_row = 0;
    }
    started.restarts += 1;
    started.in_a_row += 1;
    let window = Span(u64::try_from(pace.window.as_millis()).unwrap_or(u64::MAX));
    started.recent.retain(|at| now.since(*at) < window);
    started.recent.push(now);
}

/// Whether there were too many.
pub(crate) fn is_spent(started: &Started, pace: &Pace) -> bool {
    started.recent.len() > pace.budget
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
    started.recent.clear();
    started.suspended = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_the_budget_ends() {
        let pace = Pace::default();
        let mut started = Started::default();
        let mut waits = Vec::new();
        let mut now = Time(1_000_000);
        started.since = now;
        while !is_spent(&started, &pace) {
            note(&mut started, &pace, now);
            waits.push(wait(&started, &pace).as_millis());
            now = now + Span(10);
            started.since = now;
        }
        assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(started.recent.len(), pace.budget + 1);
    }

    #[test]
    fn a_long_life_is_a_new_beginning() {
        let pace = Pace::default();
        let mut started = Started { in_a_row: 5, since: Time(0), ..Started::default() };
        note(&mut started, &pace, Time(20_000));
        assert_eq!(wait(&started, &pace), Duration::ZERO);
    }
}
