//! `ideal away`: shows the plan, asks, puts everything away, and gives a receipt.

use ideal_core::demand::{Ending, State};
use ideal_core::planner::Consent;
use serde_json::json;

use crate::arguments::{Away, Global};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::exit::Exit;
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
    wait_for(async {
        let glance = world.glance().await?;
        let demands = scopes::demands_if(&glance, &covered, State::Away, Ending::No);
        let plan = glance.plan(&demands, &Consent::default());
        let losses = Losses::of(&glance, &demands, &plan);
        up::show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &up::agreed(&wanted.pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let what = up::what("away", &wanted.addresses);
        let demand = (covered.clone(), State::Away, Ending::No);
        // What ends and was not in the plan that was shown needs another question.
        let consent = losses.consent(Consent::default());
        let pursued = up::errand(&what, demand, consent, &wanted.pursuit).run(&world, output).await?;
        let kept = receipt::kept(&world.ideal, &pursued.observed, &covered);
        let retired = receipt::retired(&world.ideal, &pursued.observed, &covered);
        let name = if wanted.addresses.is_empty() { world.name() } else { wanted.addresses.join(" ") };
        let back = up::what("wake", &wanted.addresses);
        let met = format!(
            "{}{name} is away. Nothing of it runs.   {}\nbring it back: ideal {back}",
            receipt::render(&kept, &retired),
            words::span(pursued.took)
        );
        let more = json!({"kept": kept, "retired": retired});
        pursued.tell_with(&world, output, &format!("ideal {what}"), &met, more)
    })
}
