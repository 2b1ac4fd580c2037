//! `ideal heal`: what is not as demanded is mended; what ends nothing needs no question.

use ideal_api::{Verb, Work, WorkMode};
use ideal_core::planner::Consent;

use crate::arguments::{self, Global, Heal};
use crate::ask::{self, Losses};
use crate::commands::{plan, up};
use crate::crew;
use crate::errand::Errand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::matrix::Matrix;
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
    let which = &wanted.which;
    if !which.only.is_empty() || !which.tags.is_empty() {
        return resources(wanted, &world, output);
    }
    if !wanted.addresses.is_empty() {
        let failure = Failure::new("bad-flags", Exit::BadInput, "an address goes with --only or --tags");
        return Err(failure.next("ideal heal        mends everything").into());
    }
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

/// Resources that a person names, also those that are left to a person.
fn resources(wanted: &Heal, world: &World, output: &Output) -> anyhow::Result<Exit> {
    let slots = crew::slots(world, &wanted.addresses)?;
    let verb = Verb::Work(Work {
        mode: WorkMode::Converge,
        only: wanted.which.only.clone(),
        tags: wanted.which.tags.clone(),
        secrets: Default::default(),
        plugins: Default::default(),
        beyond: Default::default(),
        recipes: None,
    });
    wait_for(async {
        let take_over = wanted.pursuit.take_over;
        let answers =
            crew::with_engine(world, take_over, async |engine| engine.tell(&slots, &verb).await).await?;
        let told = crew::told(world, &slots, answers);
        let matrix = Matrix::of(&told);
        if output.is_json() {
            output.document("healing", matrix.for_scripts())?;
        } else {
            output.result(&format!("{}{}", matrix.render(true), matrix.summary()));
        }
        Ok(matrix.exit())
    })
}
