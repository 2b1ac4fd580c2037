//! `ideal snapshots prune`: what newer snapshots have made superfluous is deleted; the last seal of a mount never is.

use ideal_core::plan::Act;
use ideal_core::planner::prunable;
use serde_json::json;

use crate::arguments::{Global, data};
use crate::ask;
use crate::exit::Exit;
use crate::handwork;
use crate::mounts;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::PruneSnapshots, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let mut steps = Vec::new();
        for view in mounts::of(&glance, &wanted.addresses)? {
            let Some(seen) = view.seen else { continue };
            let of_file = view.wanted.and_then(|mount| Some(mount.backup.as_ref()?.keep));
            let seals = wanted.seals.unwrap_or(glance.ideal.policy.seals);
            // Backups of a mount of which the file says nothing: the newest is kept.
            let backups = wanted.backups.or(of_file).unwrap_or(1);
            steps.extend(prunable(seen, &view.part, seals, backups));
        }
        if wanted.dry_run || steps.is_empty() {
            let ids: Vec<_> = steps.iter().filter_map(|step| named(&step.act)).collect();
            match (output.is_json(), steps.is_empty()) {
                (true, _) => output.document("snapshots", json!(ids))?,
                (false, true) => output.result("every snapshot is needed; nothing is pruned"),
                (false, false) => output.result(&shown(&world, &steps)),
            }
            return Ok(Exit::Done);
        }
        output.note(&shown(&world, &steps));
        let question = format!("{} are deleted for good. Go on?", words::counted(steps.len(), "snapshot"));
        if !ask::question(&question, wanted.yes, output)? {
            return Ok(Exit::Failed);
        }
        let done = handwork::carry_out(&world, &steps, "snapshots prune", wanted.take_over, output).await?;
        done.tell(&world, output, "snapshot", "deleted")
    })
}

fn named(act: &Act) -> Option<String> {
    match act {
        Act::Prune { snapshot, .. } => Some(snapshot.to_string()),
        _ => None,
    }
}

fn shown(world: &World, steps: &[ideal_core::plan::Step]) -> String {
    let line = |step: &ideal_core::plan::Step| {
        let part = ideal_core::plan::text::address(&world.ideal, &step.part);
        format!("  -  {part:<22} {}\n", step.reason)
    };
    steps.iter().map(line).collect()
}
