//! Clusters of any size: their text, and how they look when they are launched.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, bail};
use ideal_core::demand::{Demands, Scope, State};
use ideal_core::id::Name;
use ideal_core::ideal::Ideal;
use ideal_core::journal::{Outcome, Record, View};
use ideal_core::model::SlotModel;
use ideal_core::observed::{Observed, Sight};
use ideal_core::planner::{Consent, Decision, Input, Patience, ProviderTraits, decide};
use ideal_core::time::Time;
use ideal_file::{Sources, load};

/// Nodes of one cloud: the file grows with the cluster.
const NODES: usize = 10;

/// The text of a cluster of so many parts: half of them nodes, half of them mounts.
pub(crate) fn text(parts: usize, policy: &str) -> String {
    let mut text = format!("ideal: 1\nproviders: {{here: local}}\n{policy}clouds:\n");
    let mut nodes = parts / 2;
    let mut number = 0;
    while nodes > 0 {
        let own = nodes.min(NODES);
        nodes -= own;
        number += 1;
        let _ = write!(
            text,
            "  c{number}:\n    uuid: 5f0c6f2e-0000-4000-8000-{number:012x}\n    provider: here\n    nodes: {own}\n    \
             mounts:\n      data: {{size: 1GiB, at: /data}}\n"
        );
    }
    text
}

/// What the text means.
pub(crate) fn ideal(text: &str) -> anyhow::Result<Ideal> {
    let loaded = load(&Sources::one("ideal.yaml", text));
    let first = loaded.diagnostics.first().map(|one| one.diagnostic.message.clone());
    Ok(loaded.resolved.with_context(|| first.unwrap_or_default())?.ideal)
}

/// A cluster at one instant.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) observed: Observed,
    pub(crate) view: View,
    pub(crate) demands: Demands,
}

impl World {
    /// Nothing is there, and all of it is demanded.
    pub(crate) fn empty() -> anyhow::Result<World> {
        let mut observed = Observed::default();
        observed.sight.insert(here()?, Sight::Whole);
        let mut demands = Demands::none();
        demands.demand(Scope::Whole, State::Launched, 1, |_| true);
        let view = View { demands: demands.clone(), ..View::default() };
        Ok(World { observed, view, demands })
    }

    /// Everything is launched.
    pub(crate) fn launched(ideal: &Ideal) -> anyhow::Result<World> {
        let mut world = World::empty()?;
        let demands = Arc::new(world.demands.clone());
        let mut made = 0u64;
        for _ in 0..20 {
            let decision: Decision = world.with(ideal, decide)?;
            if decision.is_met() {
                return Ok(world);
            }
            for step in decision.steps {
                let slot = step.part.slot;
                let seen = world.observed.slots.remove(&slot).unwrap_or_default();
                let mut ahead = SlotModel::new(slot, seen, demands.clone(), Time(0));
                made += 1;
                let done = ahead.apply(&step, || format!("o-{made:08x}"));
                let id = done.map_err(anyhow::Error::msg)?;
                ahead.seen.provider = Some(here()?);
                world.observed.slots.insert(slot, ahead.seen);
                let (part, act) = (step.part, step.act);
                let outcome = Outcome::Accepted { made: id };
                let intent = Record::Intent { part: part.clone(), act: act.clone(), reason: step.reason };
                world.view.take(Time(0), &intent);
                world.view.take(Time(0), &Record::Outcome { part, act, outcome });
            }
            for (slot, seen) in &mut world.observed.slots {
                let mut ahead = SlotModel::new(*slot, std::mem::take(seen), demands.clone(), Time(0));
                ahead.settle();
                *seen = ahead.seen;
            }
        }
        bail!("the cluster is not launched after twenty passes")
    }

    /// Answers something of this world.
    pub(crate) fn with<T>(&self, ideal: &Ideal, answer: impl FnOnce(&Input<'_>) -> T) -> anyhow::Result<T> {
        let traits = ProviderTraits::AT_HAND;
        Ok(answer(&Input {
            ideal,
            demands: &self.demands,
            observed: &self.observed,
            view: &self.view,
            consent: &Consent::default(),
            patience: &Patience::default(),
            providers: &BTreeMap::from([(here()?, traits)]),
            now: Time(0),
        }))
    }
}

/// The one provider.
pub(crate) fn here() -> anyhow::Result<Name> {
    Ok(Name::new("here")?)
}
