//! Steps that a person asks for and no demand: carried out, and what came of them.

use std::future::Future;
use std::rc::Rc;

use ideal_core::journal::Outcome;
use ideal_core::plan::text::address;
use ideal_core::plan::{Act, Step};
use ideal_engine::Engine;
use ideal_engine::reconcile::why;
use serde_json::{Value as Json, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::output::Output;
use crate::render::progress::Teller;
use crate::render::words;
use crate::world::{World, settings};

/// What came of each step.
pub(crate) struct Done(Vec<(Step, Outcome)>);

/// Carries steps out, as the one engine that gives orders; `what` is written into the history.
pub(crate) async fn carry_out(
    world: &World,
    steps: &[Step],
    what: &str,
    take_over: bool,
    output: &Output,
) -> anyhow::Result<Done> {
    let teller = Rc::new(Teller::new(world.ideal.clone(), output, false));
    let outside = world.outside_to_act(teller.clone())?;
    let opened = Engine::open(outside, world.ideal.clone(), settings(take_over)).await;
    let mut engine = opened.map_err(|why| world.engine_failure(why))?;
    let run = engine.open_run(what).await.map_err(|why| world.engine_failure(why))?;
    let done = undisturbed(engine.carry_out(steps), &teller).await;
    teller.end();
    let good = done.as_ref().is_ok_and(|done| done.iter().all(|(_, outcome)| is_good(outcome)));
    let closed = engine.close_run(&run, if good { "done" } else { "not all done" }).await;
    let released = engine.release().await;
    let done = done.map_err(|why| world.engine_failure(why))?;
    closed.and(released).map_err(|why| world.engine_failure(why))?;
    Ok(Done(done))
}

/// Ctrl-C once waits for the calls under way, for half a snapshot is none; twice ends at once.
async fn undisturbed<T>(work: impl Future<Output = T>, teller: &Teller) -> T {
    let mut work = std::pin::pin!(work);
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return work.await };
    let mut asked = false;
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = interrupt.recv() => {}
        }
        if std::mem::replace(&mut asked, true) {
            teller.end();
            std::process::exit(i32::from(Exit::Stopped.number()));
        }
        teller.note("what was begun comes to its end first; Ctrl-C again stops at once");
    }
}

fn is_good(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Accepted { .. })
}

impl Done {
    /// Says what came of it: so many of a `noun` were `done`.
    pub(crate) fn tell(
        &self,
        world: &World,
        output: &Output,
        noun: &str,
        done: &str,
    ) -> anyhow::Result<Exit> {
        let good = self.0.iter().filter(|(_, outcome)| is_good(outcome)).count();
        let exit = if good == self.0.len() { Exit::Done } else { Exit::Failed };
        if output.is_json() {
            let rows: Vec<Json> = self.0.iter().map(|(step, outcome)| row(world, step, outcome)).collect();
            output.document(&format!("{noun}s"), rows)?;
            return Ok(exit);
        }
        for (step, outcome) in &self.0 {
            let part = address(&world.ideal, &step.part);
            match outcome {
                Outcome::Accepted { .. } => {
                    output.result(&format!("  {part:<22} {}", object(step, outcome).unwrap_or_default()));
                }
                other => output
                    .problem(&format!("\u{2717} {part}: {}", why(other).unwrap_or("its number is used up"))),
            }
        }
        let all = words::counted(self.0.len(), noun);
        match exit {
            Exit::Done => output.result(&format!("{all} {done}")),
            _ => output.problem(&format!("\u{2717} {good} of {all} {done}; the same again tries the rest")),
        }
        Ok(exit)
    }
}

/// What a step made, or ended.
fn object(step: &Step, outcome: &Outcome) -> Option<String> {
    match (&step.act, outcome) {
        (Act::Prune { snapshot, .. }, _) => Some(snapshot.to_string()),
        (_, Outcome::Accepted { made }) => made.clone(),
        _ => None,
    }
}

fn row(world: &World, step: &Step, outcome: &Outcome) -> Json {
    json!({
        "address": address(&world.ideal, &step.part),
        "snapshot": object(step, outcome),
        "done": is_good(outcome),
        "error": why(outcome),
    })
}
