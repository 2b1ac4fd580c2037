//! `ideal heal`: what is not as demanded is mended; what ends nothing needs no question.

use ideal_core::planner::Consent;

use crate::arguments::{self, Global, Heal};
use crate::ask::{self, Losses};
use crate::commands::{plan, up};
use crate::errand::Errand;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &Heal, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    if wanted.dry_run {
        let plan = arguments::Plan {
            addresses: Vec::new(),
            to: None,
            out: None,
            dot: false,
            check: false,
            verbose: false,
        };
        return plan::run(&plan, global, output);
    }
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let pursuit = &wanted.pursuit;
    wait_for(async {
        let mut consent = Consent::default();
        if pursuit.yes {
            let glance = world.glance().await?;
            let plan = glance.plan(&glance.standing.demands, &consent);
            let losses = Losses::of(&glance, &glance.standing.demands, &plan);
            if !ask::agree(&losses, &world.name(), &up::agreed(pursuit), output)? {
                return Ok(Exit::Failed);
            }
            consent = losses.consent(consent);
        }
        let errand = Errand {
            consent,
            timeout: pursuit.timeout,
            take_over: pursuit.take_over,
            step: pursuit.step,
            forever: wanted.watch,
            ..Errand::new("heal".to_owned())
        };
        if wanted.watch {
            output.note("looking and mending until Ctrl-C");
        }
        let pursued = errand.run(&world, output).await?;
        let (right, parts) = (pursued.tally.right, pursued.tally.parts);
        let did = match pursued.tally.done {
            0 => "nothing had to be mended".to_owned(),
            n => format!("{} taken", words::counted(n, "step")),
        };
        let met = format!("{did}: {right} of {parts} parts seen as wanted, {}", words::span(pursued.took));
        pursued.tell(&world, output, "ideal heal", &met)
    })
}
