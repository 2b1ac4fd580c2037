//! Where the agents of nodes are, by one listing and nothing more: for what a person does by hand on a node, however the
//! others are.

use std::collections::BTreeMap;

use ideal_api::LinkError;
use ideal_core::id::{MachineId, Name, SlotId};
use ideal_core::observed::{Machine, MachineState};
use ideal_core::slice::ForNode;

use crate::outside::Outside;

/// The machine of a node, and the way to its agent.
#[derive(Clone, Debug)]
pub struct Way {
    /// As its agent knows it.
    pub node: ForNode,
    /// Where its agent is reached.
    pub agent: String,
    /// The provider of the machine.
    pub provider: Name,
    /// The machine itself.
    pub machine: Machine,
}

/// The ways to some nodes, or why there is none.
pub async fn ways(outside: &Outside, slots: &[SlotId]) -> BTreeMap<SlotId, Result<Way, LinkError>> {
    let mut machines: BTreeMap<SlotId, Vec<Machine>> = BTreeMap::new();
    let mut providers: BTreeMap<MachineId, &Name> = BTreeMap::new();
    let mut blind = None;
    for (name, provider) in &outside.providers {
        match outside.effect("describe", provider.describe()).await {
            Ok(listing) => {
                for machine in listing.machines {
                    let Some(slot) = machine.tags.slot() else { continue };
                    providers.insert(machine.id.clone(), name);
                    machines.entry(slot).or_default().push(machine);
                }
            }
            Err(error) => blind = Some(format!("the provider `{name}` cannot be seen: {error}")),
        }
    }
    let one = |slot: &SlotId| {
        let all = machines.get(slot).map(Vec::as_slice).unwrap_or_default();
        let way = match (agent_of(*slot, all), &blind) {
            (Ok((node, agent, machine)), _) => match providers.get(&machine.id) {
                Some(&provider) => {
                    Ok(Way { node, agent, provider: provider.clone(), machine: machine.clone() })
                }
                None => Err(unreachable("its provider is not known")),
            },
            // What cannot be seen may well be there.
            (Err(_), Some(blind)) => Err(unreachable(blind)),
            (Err(error), None) => Err(error),
        };
        (*slot, way)
    };
    slots.iter().map(one).collect()
}

fn unreachable(why: &str) -> LinkError {
    LinkError::Unreachable { why: why.to_owned() }
}

/// The machine that a node is now, of all that it ever had, and where its agent is.
pub(crate) fn agent_of(slot: SlotId, machines: &[Machine]) -> Result<(ForNode, String, &Machine), LinkError> {
    let alive = machines.iter().filter(|machine| !machine.state.is_over());
    let machine = alive.max_by_key(|machine| (machine.tags.generation, &machine.id));
    let machine = machine.ok_or_else(|| unreachable("it has no machine"))?;
    if machine.state != MachineState::Running {
        return Err(unreachable("its machine does not run"));
    }
    let agent = machine.agent.clone().ok_or_else(|| unreachable("its agent has no address yet"))?;
    Ok((ForNode { slot, generation: machine.tags.generation }, agent, machine))
}
