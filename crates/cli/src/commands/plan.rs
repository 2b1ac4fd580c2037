//! `ideal plan`: what would be done and why. Takes no lease and changes nothing.

use ideal_core::demand::{Demands, State};
use ideal_core::plan::{Plan, dot, text};
use ideal_core::planner::{Consent, How};
use ideal_engine::Glance;
use serde_json::json;

use crate::arguments::{self, Global};
use crate::exit::Exit;
use crate::output::Output;
use crate::render::card;
use crate::saved::Saved;
use crate::world::{World, wait_for};
use crate::{ladder, scopes};

pub(crate) fn run(wanted: &arguments::Plan, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let covered = scopes::of(&world.ideal, &wanted.addresses)?;
    let glance = wait_for(world.glance())?;
    let inferred = matches!(glance.standing.how, How::SeenRunning | How::SeenNothing);
    // A saved plan demands something; what is inferred must be said aloud then.
    let to = match (wanted.to, &wanted.out) {
        (None, Some(_)) if inferred => Some(State::Launched),
        (to, _) => to,
    };
    let demands = match to {
        Some(state) => scopes::demands_if(&glance, &covered, state, ideal_core::demand::Ending::No),
        None => glance.standing.demands.clone(),
    };
    let mut plan = glance.plan(&demands, &Consent::default());
    // What is saved is what is done: everything that is demanded.
    if !wanted.addresses.is_empty() && to.is_none() && wanted.out.is_none() {
        plan = scopes::only(&plan, &covered);
    }
    let differs =
        plan.steps.iter().any(|planned| !text::is_quiet(&planned.step.act)) || !plan.waiting.is_empty();
    if let Some(path) = &wanted.out {
        Saved::new(&glance, &demands, &wanted.addresses, to, plan.clone()).write(path)?;
    }
    if output.is_json() {
        output.document("plan", for_scripts(&glance, &demands, &plan, to.is_some()))?;
    } else if wanted.dot {
        output.result(&dot::render(&world.ideal, &plan));
    } else {
        output.result(&heading(&world, &glance, &demands, to));
        output.result(&text::render(&world.ideal, &plan, wanted.verbose));
        if let Some(path) = &wanted.out {
            output.result(&format!("plan saved; run it: ideal up --plan {}", path.display()));
        } else if !differs && glance.standing.how == How::SeenNothing && to.is_none() {
            output.note("next: `ideal plan --to launched` shows what `ideal up` would do");
        }
    }
    world.sweep();
    Ok(if wanted.check && differs { Exit::Differs } else { Exit::Done })
}

/// What is, what is wanted, and how that is known.
fn heading(world: &World, glance: &Glance, demands: &Demands, to: Option<State>) -> String {
    let how = match to {
        Some(_) => "as asked here",
        None => scopes::how(glance.standing.how),
    };
    let wanted = scopes::words(&world.ideal, demands);
    format!("{}   now: {}   wanted: {wanted} ({how})\n", world.name(), ladder::whole(glance))
}

fn for_scripts(glance: &Glance, demands: &Demands, plan: &Plan, asked: bool) -> serde_json::Value {
    let ideal = &glance.ideal;
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|planned| {
            let step = &planned.step;
            json!({
                "part": text::address(ideal, &step.part), "verb": step.act.verb(),
                "sign": text::sign(planned).to_string(), "reason": step.reason, "danger": step.danger,
                "act": step.act, "round": planned.round, "after": planned.after,
                "bookkeeping": text::is_quiet(&step.act),
            })
        })
        .collect();
    let (made, changed, ended) = text::counts(plan);
    json!({
        "now": ladder::whole(glance),
        "wanted": scopes::words(ideal, demands),
        "known": if asked { "asked" } else { scopes::how(glance.standing.how) },
        "steps": steps, "waiting": card::for_scripts(ideal, &plan.waiting), "notes": plan.notes,
        "right": plan.right, "parts": plan.parts,
        "counts": {"make": made, "change": changed, "end": ended},
    })
}
