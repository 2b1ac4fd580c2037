//! How long each part has waited for the same thing, so that no wait is endless.

use std::collections::BTreeMap;

use crate::plan::{Act, Cause, Part, Waiting};
use crate::policy::Policy;
use crate::time::{Span, Time};

/// Since when each part waits for what it waits for. Kept by the engine from pass to pass; lost at a restart,
/// which only makes it more patient.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patience {
    since: BTreeMap<(Part, &'static str), Time>,
    /// How often in a row each step was accepted, and when last; with what it was about, where that is not always the
    /// same.
    accepted: BTreeMap<(Part, &'static str, String), (u32, Time)>,
}

/// Steps accepted further apart than this have nothing to do with each other.
const IN_A_ROW: Span = Span::mins(10);

impl Patience {
    /// Takes note of what waits now; what no longer waits is forgotten.
    pub fn note(&mut self, waiting: &[Waiting], now: Time) {
        let mut kept = BTreeMap::new();
        for wait in waiting {
            let key = (wait.part.clone(), wait.cause.slug());
            let since = self.since.get(&key).copied().unwrap_or(now);
            kept.insert(key, since);
        }
        self.since = kept;
    }
    /// Takes note of a step that was accepted. One that is accepted again and again and never seen to hold is a
    /// fight with something else, or a fault: it must not go on for ever.
    pub fn accepted(&mut self, part: &Part, act: &Act, now: Time) {
        let count = self.repeats(part, act, now) + 1;
        self.accepted.insert(key(part, act), (count, now));
        // Forgotten in bulk, now and then: a launch of many parts accepts many steps once.
        if self.accepted.len() > 100_000 {
            self.accepted.retain(|_, (_, at)| now.since(*at) < IN_A_ROW);
        }
    }
    /// A person who asks again wants it tried again: what was accepted before does not count against it.
    pub fn renew(&mut self) {
        self.accepted.clear();
    }
    /// How often in a row a step was accepted.
    pub(super) fn repeats(&self, part: &Part, act: &Act, now: Time) -> u32 {
        if self.accepted.is_empty() {
            return 0;
        }
        let known = self.accepted.get(&key(part, act));
        known.filter(|(_, at)| now.since(*at) < IN_A_ROW).map_or(0, |(count, _)| *count)
    }
    /// Since when this is waited for.
    pub(super) fn since(&self, waiting: &Waiting) -> Option<Time> {
        if self.since.is_empty() {
            return None;
        }
        self.since.get(&(waiting.part.clone(), waiting.cause.slug())).copied()
    }
}

/// A step, with what it is about where it is taken often in good order: a node is told many things one after the other
/// while replicas come and go, and only the same again is a fight, also when something else was told in between.
fn key(part: &Part, act: &Act) -> (Part, &'static str, String) {
    let about = match act {
        Act::Apply { hash, .. } => hash.clone(),
        _ => String::new(),
    };
    (part.clone(), act.verb(), about)
}

/// How long a cause is waited for before a person is asked; none: it has its own end.
pub(super) fn limit(cause: &Cause, policy: &Policy) -> Option<Span> {
    match cause {
        Cause::Under { .. } | Cause::Sight { .. } | Cause::NotSeen { .. } => Some(policy.patience),
        Cause::Agent { .. } | Cause::Busy { .. } | Cause::Converging { .. } | Cause::Unplaced { .. } => {
            Some(policy.node_patience)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{CloudId, SlotId};

    #[test]
    fn only_the_same_again_is_a_fight() {
        let part = Part::node(SlotId { cloud: CloudId(uuid::Uuid::from_u128(1)), index: 0 });
        let tell = |hash: &str| Act::Apply { quiet: false, hash: hash.to_owned() };
        let mut patience = Patience::default();
        (0..5).for_each(|at| patience.accepted(&part, &tell("a"), Time(at)));
        assert_eq!(patience.repeats(&part, &tell("a"), Time(5)), 5);
        assert_eq!(patience.repeats(&part, &tell("b"), Time(5)), 0, "it is told something else");
        patience.accepted(&part, &tell("b"), Time(6));
        assert_eq!(patience.repeats(&part, &tell("b"), Time(7)), 1);
        assert_eq!(patience.repeats(&part, &tell("a"), Time(7)), 5, "two in turn are a fight, too");
        assert_eq!(patience.repeats(&part, &tell("b"), Time(6) + IN_A_ROW), 0, "that is long ago");
    }
}
