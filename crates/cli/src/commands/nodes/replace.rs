//! `ideal nodes replace`: another machine in the place of one, with the same volumes.

use ideal_core::observed::MachineState;
use ideal_core::planner::Consent;

use crate::arguments::{Global, NodesMove};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::crew;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &NodesMove, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::some(&world, &wanted.addresses)?;
    wait_for(async {
        let glance = world.glance().await?;
        let mut given = Consent::default();
        for slot in &slots {
            let seen = glance.observed.slots.get(slot);
            let alive = seen.into_iter().flat_map(|seen| &seen.machines).filter(|own| !own.state.is_over());
            let machine = alive.max_by_key(|own| (own.tags.generation, &own.id));
            match machine {
                Some(machine) if machine.state == MachineState::Running => {
                    given.replace.insert(machine.id.clone());
                }
                _ => {
                    let node = glance.ideal.address(*slot);
                    let message = format!("{node} has no machine that runs, so there is none to replace");
                    let failure = Failure::new("no-machine", Exit::BadInput, message);
                    return Err(failure.next(format!("ideal up {node}        makes one")).into());
                }
            }
        }
        let demands = &glance.standing.demands;
        let plan = glance.plan(demands, &given);
        let losses = Losses::of(&glance, demands, &plan);
        up::show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &up::agreed(&wanted.pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let what = up::what("nodes replace", &wanted.addresses);
        let errand = up::with_flags(&what, losses.consent(given), &wanted.pursuit);
        let pursued = errand.run(&world, output).await?;
        let nodes = words::counted(slots.len(), "node");
        let met = format!("{nodes} replaced, their volumes brought along   {}", words::span(pursued.took));
        pursued.tell(&world, output, "ideal heal", &met)
    })
}
