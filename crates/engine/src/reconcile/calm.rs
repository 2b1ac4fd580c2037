//! Where nothing is to be done, nobody is asked what is there at every look.
//!
//! Looking at a cloud costs requests, and a cluster that is right stays so for days. So what was listed a while ago stands
//! in for a fresh listing as long as nothing that agents say leads to another decision than before; as soon as it does,
//! all is looked at anew before anything is done.

use std::collections::BTreeMap;

use ideal_core::id::Name;
use ideal_core::plan::{Part, Waiting};
use ideal_core::planner::Decision;
use ideal_core::time::Span;

use super::Engine;
use crate::observe;

/// What was decided last, by provider.
#[derive(Debug, Default)]
pub(super) struct Calm(BTreeMap<Name, Matters>);

/// What a decision says of the things at one provider.
#[derive(Debug, Default, PartialEq)]
struct Matters {
    steps: usize,
    waiting: Vec<Waiting>,
}

impl Calm {
    /// Whether a decision that rests on what was listed before differs from the last one.
    pub(super) fn is_disturbed(&self, engine: &Engine, decision: &Decision) -> bool {
        let stands_in = &engine.memory.stands_in;
        if stands_in.is_empty() {
            return false;
        }
        let now = matters(engine, decision);
        stands_in
            .iter()
            .any(|name| now.get(name) != self.0.get(name) || now.get(name).is_some_and(|own| own.steps > 0))
    }

    /// Takes note of a decision: who may be left alone, and how long to wait before the others are looked at again.
    pub(super) fn note(&mut self, engine: &mut Engine, decision: &Decision, idle: bool) -> Span {
        self.0 = matters(engine, decision);
        let stuck = decision.is_stuck();
        let rests = |name: &Name| match self.0.get(name) {
            None => idle,
            Some(own) => idle && stuck && own.steps == 0,
        };
        // Who ends when all is met has to have seen it.
        let forever = engine.settings.forever;
        let providers = &engine.common.outside.providers;
        let at_rest = providers.keys().filter(|name| forever && rests(name)).cloned().collect();
        let others = providers.iter().filter(|(name, _)| self.0.contains_key(*name));
        let pace = others.map(|(_, provider)| provider.character().pace).max();
        engine.memory.at_rest = at_rest;
        pace.unwrap_or_default()
    }
}

/// What is to be done and what is waited for, by the provider of whose it is. Those of whom nothing is said have nothing.
fn matters(engine: &Engine, decision: &Decision) -> BTreeMap<Name, Matters> {
    let mut matters: BTreeMap<Name, Matters> = BTreeMap::new();
    let outside = &engine.common.outside;
    let names = |part: &Part| {
        let seen = engine.observed.slots.get(&part.slot);
        match observe::provider_of(outside, &engine.ideal, part.slot, seen) {
            Some((name, _)) => vec![name],
            None => outside.providers.keys().cloned().collect(),
        }
    };
    for step in &decision.steps {
        for name in names(&step.part) {
            matters.entry(name).or_default().steps += 1;
        }
    }
    for waiting in &decision.waiting {
        for name in names(&waiting.part) {
            matters.entry(name).or_default().waiting.push(waiting.clone());
        }
    }
    matters
}
