//! How far everything is, in the words of the ladder: which states hold of each slot, asked of the planner.

use std::collections::{BTreeMap, BTreeSet};

use ideal_core::demand::{Demands, Ending, Scope, State};
use ideal_core::id::SlotId;
use ideal_core::planner::Consent;
use ideal_engine::Glance;

/// The most telling first: `launched` says more than `mounted`, `away` more than `separated`.
const ORDER: [State; 9] = [
    State::Launched,
    State::Away,
    State::Halted,
    State::Mounted,
    State::Attached,
    State::Instantiated,
    State::Snapshotted,
    State::Separated,
    State::Unmounted,
];

/// The state of each slot that the file wants.
pub(crate) fn states(glance: &Glance) -> BTreeMap<SlotId, Option<State>> {
    let wanted = glance
        .ideal
        .clouds
        .iter()
        .flat_map(|cloud| (0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index }));
    let mut states: BTreeMap<SlotId, Option<State>> = wanted.map(|slot| (slot, None)).collect();
    for state in ORDER {
        let missing: Vec<SlotId> =
            states.iter().filter(|(_, known)| known.is_none()).map(|(slot, _)| *slot).collect();
        if missing.is_empty() {
            break;
        }
        let mut demands = Demands::none();
        demands.demand(Scope::Whole, state, 0, |_| true);
        // As if it had been demanded all along: what is written on things must not count as out of date.
        (demands.epoch, demands.count) = glance.standing.demands.version();
        demands.ending = Ending::No;
        let decision = glance.decide(&demands, &Consent::to_all());
        let steps = decision.steps.iter().filter(|step| !step.act.is_upkeep()).map(|step| step.part.slot);
        let not: BTreeSet<SlotId> =
            steps.chain(decision.waiting.iter().map(|waiting| waiting.part.slot)).collect();
        for slot in missing.into_iter().filter(|slot| !not.contains(slot)) {
            states.insert(slot, Some(state));
        }
    }
    states
}

/// The state of some slots together, in words.
pub(crate) fn together<'a>(states: impl IntoIterator<Item = &'a Option<State>>) -> String {
    let mut all: Vec<Option<State>> = Vec::new();
    for state in states {
        if !all.contains(state) {
            all.push(*state);
        }
    }
    match all.as_slice() {
        [] => "empty".to_owned(),
        [Some(state)] => state.to_string(),
        [None] => "between states".to_owned(),
        _ if all.contains(&Some(State::Launched)) => "partly launched".to_owned(),
        _ if all.iter().flatten().any(|state| state.is_up()) => "partly up".to_owned(),
        _ => "between states".to_owned(),
    }
}

/// The state of a whole file, in words.
pub(crate) fn whole(glance: &Glance) -> String {
    together(states(glance).values())
}
