//! `ideal away`: shows the plan, asks, puts everything away or stops it, and gives a receipt.

use ideal_core::demand::{Ending, Scope, State};
use ideal_core::id::SlotId;
use ideal_core::planner::Consent;
use ideal_engine::Glance;
use serde_json::json;

use crate::arguments::{Away, Global};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::receipt;
use crate::render::words;
use crate::scopes;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &Away, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    if wanted.pursuit.step {
        ask::must_be_terminal("each step is asked for", "no --step")?;
    }
    let covered = scopes::of(&world.ideal, &wanted.addresses)?;
    let state = if wanted.keep_nodes { State::Halted } else { State::Away };
    wait_for(async {
        let glance = world.glance().await?;
        if wanted.keep_nodes {
            can_be_stopped(&glance, &covered, &wanted.addresses)?;
        }
        let demands = scopes::demands_if(&glance, &covered, state, Ending::No);
        let plan = glance.plan(&demands, &Consent::default());
        let losses = Losses::of(&glance, &demands, &plan);
        up::show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &up::agreed(&wanted.pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let verb = if wanted.keep_nodes { "away --keep-nodes" } else { "away" };
        let what = up::what(verb, &wanted.addresses);
        let demand = (covered.clone(), state, Ending::No);
        // What ends and was not in the plan that was shown needs another question.
        let consent = losses.consent(Consent::default());
        let pursued = up::errand(&what, demand, consent, &wanted.pursuit).run(&world, output).await?;
        let kept = receipt::kept(&world.ideal, &pursued.observed, &covered);
        let retired = receipt::retired(&world.ideal, &pursued.observed, &covered);
        let name = if wanted.addresses.is_empty() { world.name() } else { wanted.addresses.join(" ") };
        let back = up::what("wake", &wanted.addresses);
        let met = format!(
            "{}{name} is {state}. Nothing of it runs.   {}\nbring it back: ideal {back}",
            receipt::render(&kept, &retired),
            words::span(pursued.took)
        );
        let more = json!({"kept": kept, "retired": retired});
        pursued.tell_with(&world, output, &format!("ideal {what}"), &met, more)
    })
}

/// Refuses before anything is done what some provider cannot do.
fn can_be_stopped(glance: &Glance, covered: &[Scope], addresses: &[String]) -> anyhow::Result<()> {
    let wanted = glance.ideal.clouds.iter().filter(|cloud| {
        let mut slots = (0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index });
        slots.any(|slot| scopes::holds(covered, slot))
    });
    let never: Vec<String> =
        wanted.filter(|cloud| !glance.can_stop(cloud)).map(|cloud| cloud.path.to_string()).collect();
    if never.is_empty() {
        return Ok(());
    }
    let message = format!("machines of {} cannot be stopped and started again from here", never.join(", "));
    Err(Failure::new("cannot-stop", Exit::BadInput, message)
        .next(format!(
            "ideal {}        ends them; machines that only exist are left",
            up::what("away", addresses)
        ))
        .into())
}
