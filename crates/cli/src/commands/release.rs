//! `ideal release`: our marks come off everything; all of it keeps running and is nobody's.

use ideal_engine::Engine;
use ideal_engine::progress::Silent;
use serde_json::json;

use crate::arguments::{Global, Release};
use crate::ask;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words::counted;
use crate::world::{World, settings, wait_for};

pub(crate) fn run(wanted: &Release, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let seen = glance.observed.slots.values();
        let count: usize = seen
            .map(|seen| {
                let machines = seen.machines.iter().filter(|machine| !machine.state.is_over()).count();
                machines + seen.volumes.len() + seen.snapshots.len()
            })
            .sum();
        if count == 0 {
            output.result(&format!("{} has nothing to release", world.name()));
            world.sweep();
            return Ok(Exit::Done);
        }
        let text = format!(
            "{} of {} keep running and are no longer managed. There is no way back. Go on?",
            counted(count, "thing"),
            world.name()
        );
        if !ask::question(&text, wanted.yes, output)? {
            return Ok(Exit::Failed);
        }
        let outside = world.outside_to_act(std::rc::Rc::new(Silent))?;
        let settings = settings(wanted.take_over);
        let failure = |error| world.engine_failure(error);
        let mut engine = Engine::open(outside, world.ideal.clone(), settings).await.map_err(failure)?;
        let run = engine.open_run("release").await.map_err(failure)?;
        let (released, refused) = engine.disown().await.map_err(failure)?;
        engine
            .close_run(&run, if refused.is_empty() { "released" } else { "released in part" })
            .await
            .map_err(failure)?;
        engine.release().await.map_err(failure)?;
        if output.is_json() {
            let store = world.store.display().to_string();
            output.document("release", json!({"released": released, "refused": refused, "store": store}))?;
        } else {
            for why in &refused {
                output.problem(&format!("\u{2717} {why}"));
            }
            output.result(&format!(
                "{} released; everything keeps running. The history stays in {}",
                counted(released, "thing"),
                world.store.display()
            ));
        }
        Ok(if refused.is_empty() { Exit::Done } else { Exit::Failed })
    })
}
