//! Clouds that grow: as many nodes, up to the most that the file allows, as their replicas need.
//!
//! A cloud grows when replicas fit on none of its nodes and would on one more. It never shrinks while a node beyond
//! the least carries anything; one that carries nothing is surplus, and the policy says what becomes of it.

use std::sync::Arc;

use crate::id::SlotId;
use crate::ideal::{Cloud, Ideal};
use crate::observed::VolumeState;

use super::Input;
use super::seats::needs_more;

/// How many nodes a cloud may grow by in one decision: the next one goes on.
const AT_ONCE: u32 = 16;

/// The ideal with as many nodes as are needed; none: those that it says.
pub fn grown(input: &Input<'_>) -> Option<Ideal> {
    let is_elastic = |cloud: &&Arc<Cloud>| cloud.most > cloud.nodes;
    if !input.ideal.clouds.iter().any(|cloud| is_elastic(&cloud)) {
        return None;
    }
    let mut grown = input.ideal.clone();
    for cloud in &mut grown.clouds {
        let used = used(input, cloud);
        if used > cloud.nodes {
            Arc::make_mut(cloud).nodes = used;
        }
    }
    for _ in 0..AT_ONCE {
        let next = {
            let trial = Input { ideal: &grown, ..*input };
            let short = needs_more(&trial);
            grown.clouds.iter().position(|cloud| is_elastic(&cloud) && short.contains(&cloud.id))
        };
        let Some(cloud) = next.and_then(|at| grown.clouds.get_mut(at)) else { break };
        Arc::make_mut(cloud).nodes += 1;
    }
    (grown != *input.ideal).then_some(grown)
}

/// How many nodes of a cloud carry something, counted to the last one that does.
fn used(input: &Input<'_>, cloud: &Cloud) -> u32 {
    let seats = input.view.seats.values().map(|seat| seat.node);
    let holds = input.observed.slots.iter().filter(|(_, seen)| {
        let runs = seen.agent.report().is_some_and(|report| !report.services.is_empty());
        runs || seen.volumes.iter().any(|volume| volume.state != VolumeState::Deleted)
    });
    let slots = seats.chain(holds.map(|(slot, _)| *slot));
    let own = slots.filter(|slot: &SlotId| slot.cloud == cloud.id && slot.index < cloud.most);
    own.map(|slot| slot.index + 1).max().unwrap_or(0)
}
