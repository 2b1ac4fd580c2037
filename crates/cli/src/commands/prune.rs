//! `ideal prune`: ends what the file no longer wants: surplus nodes, mounts and clouds that left it. Shown first;
//! data that no seal holds goes a day later.

use ideal_core::id::SlotId;
use ideal_core::ideal::Ideal;
use ideal_core::plan::{Act, Part, Plan, text};
use ideal_core::planner::{Consent, Prune as Wholly};
use serde_json::json;

use crate::arguments::{Global, data};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::errand::Errand;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::{receipt, words};
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::Prune, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let prune = if wanted.snapshots { Wholly::Everything } else { Wholly::KeepSnapshots };
    let given = Consent { prune, ..Consent::default() };
    wait_for(async {
        let glance = world.glance().await?;
        let demands = &glance.standing.demands;
        let plan = only_leftovers(&glance.ideal, glance.plan(demands, &given));
        let losses = Losses::of(&glance, demands, &plan);
        let ends = plan.steps.iter().any(|planned| !planned.step.act.is_upkeep());
        if !ends || wanted.dry_run {
            let everything = [ideal_core::demand::Scope::Whole];
            let retired = receipt::retired(&world.ideal, &glance.observed, &everything);
            match (output.is_json(), ends) {
                (true, _) => output.document("plan", json!({"steps": plan.steps, "retired": retired}))?,
                (false, true) => output.result(&text::render(&world.ideal, &plan, false)),
                (false, false) if retired.is_empty() => {
                    output.result("the file wants all that there is; nothing is pruned");
                }
                (false, false) => output.result(&format!(
                    "{}nothing more is pruned until then; writing it into the file again brings it back",
                    receipt::render(&[], &retired)
                )),
            }
            return Ok(Exit::Done);
        }
        up::show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &up::agreed(&wanted.pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let what = if wanted.snapshots { "prune --snapshots" } else { "prune" };
        // What was shown, and nothing else that is demanded.
        let parts = plan.steps.iter().map(|planned| planned.step.part.clone());
        let parts = parts.chain(plan.waiting.iter().map(|waiting| waiting.part.clone())).collect();
        let errand = up::with_flags(what, losses.consent(given), &wanted.pursuit);
        let errand = Errand { only: Some(parts), ..errand };
        let pursued = errand.run(&world, output).await?;
        let everything = [ideal_core::demand::Scope::Whole];
        let retired = receipt::retired(&world.ideal, &pursued.observed, &everything);
        let later = match (retired.is_empty(), wanted.snapshots) {
            (true, _) => "",
            (false, false) => "; when its time has come, the same again deletes what is retired",
            (false, true) => {
                "; when its time has come, the same again deletes what is retired, and its snapshots"
            }
        };
        let met = format!(
            "{}what the file does not want is ended{later}   {}",
            receipt::render(&[], &retired),
            words::span(pursued.took)
        );
        pursued.tell_with(&world, output, &format!("ideal {what}"), &met, json!({"retired": retired}))
    })
}

/// The steps of what the file does not want: of slots beyond it, and of mounts that it has no more.
fn only_leftovers(ideal: &Ideal, mut plan: Plan) -> Plan {
    let wanted = |slot: SlotId, mount: Option<&ideal_core::id::Name>| {
        let there = match (ideal.cloud(slot.cloud), ideal.service(slot.cloud)) {
            (Some(cloud), _) => slot.index < cloud.nodes,
            (None, service) => service.is_some_and(|service| slot.index < service.replicas),
        };
        there && mount.is_none_or(|name| ideal.mount(slot, name).is_some())
    };
    let is_leftover = |part: &Part| !wanted(part.slot, part.mount.as_ref());
    // A replica that is to go is stopped by its node, which is told so.
    let goes = |part: &Part| is_leftover(part) && ideal.cloud(part.slot.cloud).is_none();
    let tells = plan.steps.iter().any(|planned| goes(&planned.step.part));
    plan.steps.retain(|planned| {
        let is_told = tells && matches!(planned.step.act, Act::Apply { .. });
        is_leftover(&planned.step.part) || is_told
    });
    for planned in &mut plan.steps {
        planned.after.clear();
    }
    plan.waiting.retain(|waiting| !wanted(waiting.part.slot, waiting.part.mount.as_ref()));
    (plan.right, plan.parts) = (0, 0);
    plan
}
