//! What is demanded, from wherever it is still known: the journal, the tags of what lasts, the agents. When
//! nobody knows, what is seen says it.

use crate::demand::{Demands, Scope, State};
use crate::journal::View;
use crate::observed::Observed;

/// What is demanded, and how that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What is demanded.
    pub demands: Demands,
    /// How that is known.
    pub how: How,
}

/// How a demand is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is recorded.
    Recorded,
    /// The journal did not have it (or an older one): tags or agents did.
    Mirrored,
    /// Nobody recorded one; something runs, so launched is taken to be meant.
    SeenRunning,
    /// Nobody recorded one; nothing runs, so away is taken to be meant.
    SeenNothing,
}

/// The demands of the highest version anywhere; else what is seen. A decision may be *shown* for an inferred
/// demand; it is acted upon only when a person names it, for no demand means hold.
pub fn standing(view: &View, observed: &Observed) -> Standing {
    let mut best = &view.demands;
    let mut how = How::Recorded;
    let offer = |demands: &std::sync::Arc<Demands>, best: &mut Option<std::sync::Arc<Demands>>| {
        if best.as_ref().is_none_or(|known| known.version() < demands.version()) {
            *best = Some(demands.clone());
        }
    };
    let mut mirrored = None;
    for slot in observed.slots.values() {
        let machines = slot.machines.iter().map(|machine| &machine.tags);
        let volumes = slot.volumes.iter().map(|volume| &volume.tags);
        let snapshots = slot.snapshots.iter().map(|snapshot| &snapshot.tags);
        for tags in machines.chain(volumes).chain(snapshots) {
            if let Some(demands) = &tags.demand {
                offer(demands, &mut mirrored);
            }
        }
        if let Some(demands) = slot.agent.report().and_then(|report| report.demand.as_ref()) {
            offer(demands, &mut mirrored);
        }
    }
    if let Some(demands) = &mirrored
        && demands.version() > best.version()
    {
        best = demands;
        how = How::Mirrored;
    }
    if !best.is_hold() {
        return Standing { demands: best.clone(), how };
    }
    let runs =
        observed.slots.values().any(|slot| slot.machines.iter().any(|machine| !machine.state.is_over()));
    let (state, how) =
        if runs { (State::Launched, How::SeenRunning) } else { (State::Away, How::SeenNothing) };
    let mut demands = best.clone();
    demands.demand(Scope::Whole, state, demands.epoch, |_| true);
    // It was not demanded: its version must not outrank anything that was.
    demands.count = best.count;
    Standing { demands, how }
}
