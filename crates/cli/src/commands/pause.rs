//! `ideal pause`: resources are left alone for a time. It is seen wherever one looks, and ends by itself.

use ideal_api::Verb;
use ideal_core::resource::Pause;
use ideal_core::time::Time;
use serde_json::json;

use crate::arguments::{self, Global};
use crate::crew;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, settings, wait_for};

/// Longer than this is no pause but another ideal.
const LONGEST: u64 = 30 * 24 * 3600 * 1000;

pub(crate) fn run(wanted: &arguments::Pause, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::slots(&world, &wanted.addresses)?;
    let span = wanted.span.unwrap_or_default();
    if span.0 > LONGEST {
        let failure =
            crate::failure::Failure::new("too-long", Exit::BadInput, "a pause lasts 30 days at most");
        return Err(failure.next("what is not wanted any more is better removed from the file").into());
    }
    let until = Time(ideal_host::now().0 + span.0);
    let verb = match wanted.end {
        true => Verb::Resume,
        false => Verb::Pause(Pause {
            only: wanted.only.clone(),
            until,
            why: wanted.why.clone().unwrap_or_default(),
            who: settings(false).holder,
        }),
    };
    wait_for(async {
        let answers =
            crew::with_engine(&world, wanted.take_over, async |engine| engine.tell(&slots, &verb).await)
                .await?;
        let mut failed = 0;
        for (slot, answer) in &answers {
            if let Err(error) = answer {
                failed += 1;
                output.problem(&format!("\u{2717} {}: {error}", world.ideal.address(*slot)));
            }
        }
        let good = answers.len() - failed;
        let what = if wanted.only.is_empty() { "their resources".to_owned() } else { wanted.only.join(", ") };
        if output.is_json() {
            let until = (!wanted.end).then_some(until);
            output.document("pause", json!({"nodes": good, "failed": failed, "until": until}))?;
        } else if wanted.end {
            output.result(&format!("{} keep everything right again", words::counted(good, "node")));
        } else {
            let nodes = words::counted(good, "node");
            output.result(&format!(
                "{nodes} leave {what} alone until {}; `ideal pause --end` ends it",
                words::date(until)
            ));
        }
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    })
}
