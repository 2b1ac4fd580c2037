//! `ideal nodes confirm-dead`: a person's word that a machine is dead, where nobody can see that it is. What it carried
//! may then go elsewhere, with its volumes.

use ideal_core::observed::{AgentSeen, MachineState};
use ideal_core::planner::Consent;
use ideal_engine::Request;

use crate::arguments::{Global, NodesConfirmDead};
use crate::ask;
use crate::commands::up;
use crate::crew;
use crate::errand::Errand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &NodesConfirmDead, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slot = crew::node(&world, &wanted.address)?;
    let node = world.ideal.address(slot);
    wait_for(async {
        let glance = world.glance().await?;
        let seen = glance.observed.slots.get(&slot);
        let alive = seen.into_iter().flat_map(|seen| &seen.machines).filter(|own| !own.state.is_over());
        let Some(machine) = alive.max_by_key(|own| (own.tags.generation, &own.id)) else {
            let failure = Failure::new("no-machine", Exit::BadInput, format!("{node} has no machine"));
            return Err(failure.next(format!("ideal nodes show {node}")).into());
        };
        let silence = match seen.map(|seen| &seen.agent) {
            Some(AgentSeen::Answered(_)) if machine.state == MachineState::Running => {
                let message = format!("{node} lives: its machine {} runs and its agent answers", machine.id);
                let failure = Failure::new("it-lives", Exit::BadInput, message);
                return Err(failure
                    .next(format!("ideal nodes drain {node}        moves what it carries, in good order"))
                    .next(format!("ideal nodes replace {node}        puts another machine in its place"))
                    .into());
            }
            Some(AgentSeen::Silent { why, .. }) => format!("its agent is silent: {}", words::line(why, 120)),
            _ => "its machine does not run".to_owned(),
        };
        let carried: Vec<String> = glance
            .view
            .seats
            .iter()
            .filter(|(_, seat)| seat.node == slot)
            .map(|(replica, _)| world.ideal.address(*replica))
            .collect();
        let carried = match carried.len() {
            0 => "It carries no replica.".to_owned(),
            _ => format!("Carried by it: {}.", carried.join(", ")),
        };
        output.note(&format!(
            "{node} is machine {}; {silence}. {carried}\nSay so only when it is powered off, or can reach neither its \
             volumes nor anybody else: what still runs there would go on writing while a second copy of it runs elsewhere.",
            machine.id
        ));
        let question = format!("{} is dead, and what it carries goes elsewhere. Is it?", machine.id);
        if !ask::question(&question, wanted.pursuit.yes, output)? {
            return Ok(Exit::Failed);
        }
        let what = format!("nodes confirm-dead {node}");
        let errand = Errand {
            requests: vec![Request::ConfirmDead { machine: machine.id.clone() }],
            ..up::with_flags(&what, Consent::default(), &wanted.pursuit)
        };
        let pursued = errand.run(&world, output).await?;
        let met = format!(
            "{} counts as dead; all is as demanded without it   {}",
            machine.id,
            words::span(pursued.took)
        );
        pursued.tell(&world, output, "ideal heal", &met)
    })
}
