//! `ideal push`: what nodes would be is brought to them, and not put in force.

use serde_json::json;

use crate::arguments::{Global, Push};
use crate::crew;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &Push, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::slots(&world, &wanted.addresses)?;
    wait_for(async {
        let answers =
            crew::with_engine(&world, wanted.take_over, async |engine| engine.push(&slots).await).await?;
        let name = |slot| world.ideal.address(slot);
        let failed: Vec<(String, String)> = answers
            .iter()
            .filter_map(|(slot, answer)| Some((name(*slot), answer.as_ref().err()?.to_string())))
            .collect();
        let good = answers.len() - failed.len();
        if output.is_json() {
            let failed: Vec<_> =
                failed.iter().map(|(node, why)| json!({"node": node, "error": why})).collect();
            output.document("push", json!({"brought": good, "failed": failed}))?;
        } else {
            for (node, why) in &failed {
                output.problem(&format!("\u{2717} {node}: {why}"));
            }
            let nodes = words::counted(answers.len(), "node");
            output.result(&format!("{good} of {nodes} have it at hand; `ideal up` puts it in force"));
        }
        Ok(if failed.is_empty() { Exit::Done } else { Exit::Failed })
    })
}
