//! `ideal destroy`: ends a cluster for good. Snapshots stay, unless it is said and the name is typed.

use ideal_core::demand::{Ending, Scope, State};
use ideal_core::planner::Consent;
use serde_json::json;

use crate::arguments::{Destroy, Global};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::receipt;
use crate::render::words;
use crate::scopes;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &Destroy, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let covered = vec![Scope::Whole];
    let ending = if wanted.snapshots { Ending::Everything } else { Ending::KeepSnapshots };
    wait_for(async {
        let glance = world.glance().await?;
        let demands = scopes::demands_if(&glance, &covered, State::Away, ending);
        let plan = glance.plan(&demands, &Consent::default());
        let losses = Losses::of(&glance, &demands, &plan);
        up::show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &up::agreed(&wanted.pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let what = if wanted.snapshots { "destroy --snapshots" } else { "destroy" };
        let demand = (covered.clone(), State::Away, ending);
        // Who typed the name agreed to the end of everything, also of seals that are yet to be taken.
        let given = Consent { all: wanted.snapshots, ..Consent::default() };
        let errand = up::errand(what, demand, losses.consent(given), &wanted.pursuit);
        let pursued = errand.run(&world, output).await?;
        let kept = receipt::kept(&world.ideal, &pursued.observed, &covered);
        let retired = receipt::retired(&world.ideal, &pursued.observed, &covered);
        let left = receipt::left(&world.ideal, &pursued.observed);
        let took = words::span(pursued.took);
        let name = world.name();
        let met = match wanted.snapshots {
            true if retired.is_empty() && left.is_empty() => {
                format!("{name} is no more: nothing of it is left.   {took}")
            }
            true => {
                let next = match retired.is_empty() {
                    true => {
                        "what is left has no place in the file: end it with the provider's own tools, then do the same again"
                    }
                    false => "the same again, after that, ends the rest",
                };
                let (left, retired) = (receipt::render_left(&left), receipt::render(&[], &retired));
                format!("{left}{retired}{name} is ended; {next}.   {took}")
            }
            false => format!(
                "{}{name} is ended; its snapshots stay, and `ideal wake` would bring it back.   {took}",
                receipt::render(&kept, &retired)
            ),
        };
        let mut more = json!({"kept": kept, "retired": retired});
        if wanted.snapshots {
            more["left"] = json!(left);
        }
        let exit = pursued.tell_with(&world, output, &format!("ideal {what}"), &met, more)?;
        if exit == Exit::Done && wanted.snapshots && retired.is_empty() && left.is_empty() {
            world.bury()?;
        }
        Ok(exit)
    })
}
