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
}

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
        Cause::Agent { .. } | Cause::Busy { .. } | Cause::Converging { .. } => Some(policy.node_patience),
        _ => None,
    }
}
