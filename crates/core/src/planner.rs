//! The decision: from what is wanted, demanded, seen and remembered to the steps that can be taken now.
//!
//! Each kind of part has its own ladder, a plain function that looks at one part and answers one step, or what
//! it waits for. There is no search and no graph engine: order arises because a step is offered only when the
//! facts that it needs are seen. What `plan` shows is [`forecast()`]: the same ladders, run forward on
//! [`crate::model`].

mod backup;
mod consent;
mod context;
mod elastic;
mod forecast;
mod gate;
mod leftover;
mod machine;
mod mount;
mod names;
mod patience;
mod replica;
mod rollout;
mod seats;
mod slices;
mod slot;
mod source;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::demand::Demands;
use crate::id::Name;
use crate::ideal::Ideal;
use crate::journal::View;
use crate::observed::Observed;
use crate::plan::{Cause, Step, Waiting};
use crate::time::{Span, Time};

pub use backup::{back_up, prunable};
pub use consent::{Consent, Prune, key};
pub use context::ProviderTraits;
pub use elastic::grown;
pub use forecast::forecast;

pub use names::MOST_NAMES;
pub use patience::Patience;
pub use seats::{Carried, Ground, Move, Place, Seats, Wait, ground};
pub use slices::{secrets_of, seen_by_texts, slice_hash, slice_of};
pub use standing::{How, Standing, standing};

/// Everything that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What is wanted.
    pub ideal: &'a Ideal,
    /// What is demanded.
    pub demands: &'a Demands,
    /// What was seen.
    pub observed: &'a Observed,
    /// What is remembered.
    pub view: &'a View,
    /// What a person agreed to.
    pub consent: &'a Consent,
    /// How long each part has waited.
    pub patience: &'a Patience,
    /// What can be relied upon at each provider.
    pub providers: &'a BTreeMap<Name, ProviderTraits>,
    /// What time it is.
    pub now: Time,
}

/// What to do now, and what is not done and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Steps whose needs are met, in the order of the parts.
    pub steps: Vec<Step>,
    /// What waits, and for what.
    pub waiting: Vec<Waiting>,
    /// What is reported and left alone.
    pub notes: Vec<String>,
    /// How many parts are as demanded.
    pub right: usize,
    /// How many parts there are.
    pub parts: usize,
    /// The next instant at which the answer could change by itself.
    pub wake_at: Option<Time>,
    /// Where replicas are to be, with what of that is to be remembered.
    pub seats: Arc<Seats>,
}

impl Decision {
    /// The demand is met: nothing to do and nothing waits.
    pub fn is_met(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_empty()
    }
    /// Nothing will happen until a person acts.
    pub fn is_stuck(&self) -> bool {
        let needs_person = |waiting: &Waiting| waiting.overdue || waiting.cause.needs_person();
        // What only waits behind something that is stuck is stuck too; a replica without a node does so when
        // something else is.
        let behind = |waiting: &Waiting| match waiting.cause {
            Cause::Fact { .. } | Cause::Turn { .. } => true,
            Cause::Unplaced { .. } => self.waiting.iter().any(needs_person),
            _ => false,
        };
        self.steps.is_empty()
            && !self.waiting.is_empty()
            && self.waiting.iter().all(|waiting| needs_person(waiting) || behind(waiting))
    }
}

/// Where every replica is to be, and as which version, as things are now.
pub fn seats(input: &Input<'_>) -> Seats {
    seats::seats(input, false)
}

/// Decides for every slot that is wanted, seen or remembered.
pub fn decide(input: &Input<'_>) -> Decision {
    let context = context::Context::new(input, context::Mode::Now);
    let mut out = slot::Out::default();
    for slot in context.slots() {
        context.decide(slot, &mut out);
    }
    leftover::notes(&context, &mut out);
    replica::held(&context, &mut out);
    consent::limit(&context, &mut out);
    if let Some(at) = context.seats.wake_at {
        out.wake(at);
    }
    out.notes.extend(context.seats.notes.iter().cloned());
    let mut waiting = std::mem::take(&mut out.waiting);
    for waiting in &mut waiting {
        let since = input.patience.since(waiting).unwrap_or(input.now);
        if let Some(limit) = patience::limit(&waiting.cause, &input.ideal.policy) {
            waiting.overdue = input.now >= since + limit;
            if !waiting.overdue {
                out.wake(since + limit);
            }
        }
    }
    Decision {
        right: out.right,
        parts: out.parts,
        steps: out.steps,
        waiting,
        notes: out.notes,
        wake_at: out.wake_at,
        seats: Arc::new(context.seats),
    }
}

/// How long a deletion waits between its two acts (DESIGN: grace).
#[derive(Debug, Clone, Copy)]
pub struct Grace;

impl Grace {
    /// The data is sealed and the provider refuses to delete what is not marked: nothing can go wrong in between.
    pub const SEALED_ENFORCED: Span = Span::ZERO;
    /// The data is sealed, but the provider would delete without the mark: long enough for a frozen engine to
    /// be noticed.
    pub const SEALED: Span = Span::mins(10);
    /// The data is given up: a night's sleep, to change one's mind.
    pub const UNSEALED: Span = Span::hours(24);
}
