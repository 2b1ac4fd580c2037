//! `ideal diagnose`: every resource of every node is looked at, and nothing is changed.

use ideal_api::{Verb, Work, WorkMode};

use crate::arguments::{Diagnose, Global};
use crate::crew;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::matrix::Matrix;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &Diagnose, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::slots(&world, &wanted.addresses)?;
    let verb = Verb::Work(Work {
        mode: WorkMode::Diagnose { run_checks: wanted.run_checks },
        only: wanted.which.only.clone(),
        tags: wanted.which.tags.clone(),
        secrets: Default::default(),
        plugins: Default::default(),
        beyond: Default::default(),
        recipes: None,
    });
    wait_for(async {
        let answers = if verb.only_asks() {
            crew::ask(&world, &slots, &verb).await?
        } else {
            // Programs of the author are run: that takes the authority to give orders.
            crew::with_engine(&world, false, async |engine| engine.tell(&slots, &verb).await).await?
        };
        let told = crew::told(&world, &slots, answers);
        let matrix = Matrix::of(&told);
        if output.is_json() {
            output.document("diagnosis", matrix.for_scripts())?;
        } else {
            output.result(&format!("{}{}", matrix.render(wanted.verbose), matrix.summary()));
        }
        world.sweep();
        Ok(match matrix.is_good() {
            true => Exit::Done,
            false if matrix.exit() == Exit::Unreachable => Exit::Unreachable,
            false if wanted.check => Exit::Differs,
            false => Exit::Done,
        })
    })
}
