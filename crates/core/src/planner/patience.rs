//! How long each part has waited for the same thing, so that no wait is endless.

use std::collections::BTreeMap;

use crate::plan::{Cause, Part, Waiting};
use crate::policy::Policy;
use crate::time::{Span, Time};

/// Since when each part waits for what it waits for. Kept by the engine from pass to pass; lost at a restart,
/// which only makes it more patient.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patience {
    since: BTreeMap<(Part, &'static str), Time>,
    /// How often in a row each step was accepted, and when last.
    accepted: BTreeMap<(Part, &'static str), (u32, Time)>,
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
    pub fn accepted(&mut self, part: &Part, verb: &'static str, now: Time) {
        let entry = self.accepted.entry((part.clone(), verb)).or_insert((0, now));
        let count = if now.since(entry.1) < IN_A_ROW { entry.0 + 1 } else { 1 };
        *entry = (count, now);
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
    pub(super) fn repeats(&self, part: &Part, verb: &'static str, now: Time) -> u32 {
        if self.accepted.is_empty() {
            return 0;
        }
        let known = self.accepted.get(&(part.clone(), verb));
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
