//! An engine sent out with a demand: opened, run to its end, and what came of it.

use std::collections::BTreeSet;
use std::rc::Rc;

use ideal_core::demand::{Ending as ForGood, Scope, State};
use ideal_core::observed::Observed;
use ideal_core::plan::{Cause, Part, Waiting};
use ideal_core::planner::{Consent, How};
use ideal_core::time::Span;
use ideal_engine::{Ending, Engine, EngineError, Request, Settings};
use serde_json::{Value as Json, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::card;
use crate::render::progress::{Tally, Teller};
use crate::render::words;
use crate::scopes;
use crate::world::{World, settings};

/// Of how many mounts it is told at the end that they were restored, and from what.
const RESTORED: usize = 10;

/// What an engine is sent out for.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    /// In words, for history: `up shop.web`.
    pub(crate) what: String,
    /// What is demanded of what; none: what is demanded already.
    pub(crate) demand: Option<(Vec<Scope>, State, ForGood)>,
    /// Demanded as well, each of its own scope.
    pub(crate) again: Vec<(Scope, State)>,
    /// What is wanted of replicas and nodes beside that.
    pub(crate) requests: Vec<Request>,
    /// Only these parts are touched; none: all.
    pub(crate) only: Option<BTreeSet<Part>>,
    /// What a person agreed to.
    pub(crate) consent: Consent,
    pub(crate) timeout: Option<Span>,
    pub(crate) take_over: bool,
    pub(crate) step: bool,
    pub(crate) forever: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Pursued {
    pub(crate) run: String,
    pub(crate) ending: Ending,
    /// Services that are not as the file wants them, each with why.
    pub(crate) notes: Vec<String>,
    pub(crate) observed: Observed,
    pub(crate) tally: Tally,
    pub(crate) took: Span,
}

impl Errand {
    pub(crate) fn new(what: String) -> Errand {
        Errand {
            what,
            demand: None,
            again: Vec::new(),
            requests: Vec::new(),
            only: None,
            consent: Consent::default(),
            timeout: None,
            take_over: false,
            step: false,
            forever: false,
        }
    }

    /// Sends the engine out and waits for it.
    pub(crate) async fn run(&self, world: &World, output: &Output) -> anyhow::Result<Pursued> {
        let teller = Rc::new(Teller::new(world.ideal.clone(), output, self.step));
        let result = self.pursue(world, &teller).await;
        teller.end();
        result
    }

    async fn pursue(&self, world: &World, teller: &Rc<Teller>) -> anyhow::Result<Pursued> {
        let outside = world.outside_to_act(teller.clone())?;
        let clock = outside.clock.clone();
        let began = clock.now();
        let settings = Settings {
            deadline: self.timeout.map(|timeout| began + timeout),
            forever: self.forever,
            only: self.only.clone(),
            ..settings(self.take_over)
        };
        let failure = |error: EngineError| world.engine_failure(error);
        let mut engine = Engine::open(outside, world.ideal.clone(), settings).await.map_err(failure)?;
        engine.consent = self.consent.clone();
        if self.demand.is_none() && !matches!(engine.standing().how, How::Recorded | How::Mirrored) {
            engine.release().await.map_err(failure)?;
            let failure =
                Failure::new("no-demand", Exit::BadInput, "nothing is demanded yet, so nothing is done");
            return Err(failure.next("ideal up        demands that it is launched").into());
        }
        let run = engine.open_run(&self.what).await.map_err(failure)?;
        if self.consent.adopted && engine.adopted() > 0 {
            engine.confirm_adoption().await.map_err(failure)?;
        }
        if let Some((scopes, state, ending)) = &self.demand
            // Who takes over must tell the agents, so it demands anew.
            && (self.take_over || !is_demanded(&engine, scopes, *state, *ending))
        {
            engine.demand(scopes, *state, *ending).await.map_err(failure)?;
        }
        for (scope, state) in &self.again {
            engine.demand(&[*scope], *state, ForGood::No).await.map_err(failure)?;
        }
        engine.request(&self.requests).await.map_err(failure)?;
        let ending = listening(&mut engine, teller).await.map_err(failure)?;
        let notes = engine.seats().notes;
        engine.close_run(&run, word(&ending, &notes)).await.map_err(failure)?;
        engine.release().await.map_err(failure)?;
        Ok(Pursued {
            run,
            ending,
            notes,
            observed: engine.observed().clone(),
            tally: teller.tally(),
            took: clock.now().since(began),
        })
    }
}

/// Records what a person wants, for who comes next to heed it; nothing is pursued.
pub(crate) async fn record(
    world: &World,
    what: &str,
    requests: &[Request],
    take_over: bool,
) -> anyhow::Result<()> {
    let outside = world.outside_to_act(Rc::new(ideal_engine::progress::Silent))?;
    let failure = |error: EngineError| world.engine_failure(error);
    let mut engine =
        Engine::open(outside, world.ideal.clone(), settings(take_over)).await.map_err(failure)?;
    let run = engine.open_run(what).await.map_err(failure)?;
    engine.request(requests).await.map_err(failure)?;
    engine.close_run(&run, "recorded").await.map_err(failure)?;
    engine.release().await.map_err(failure)
}

/// Whether a demand would change nothing: then all that lasts need not be told of a new one.
fn is_demanded(engine: &Engine, scopes: &[Scope], state: State, ending: ForGood) -> bool {
    let known = &engine.view().demands;
    let mut wished = known.clone();
    scopes::demand(&mut wished, scopes, state, ending);
    known.ending == ending && known.iter().eq(wished.iter())
}

/// Pursues until the end; Ctrl-C once stops after the calls under way, twice at once.
async fn listening(engine: &mut Engine, teller: &Rc<Teller>) -> Result<Ending, EngineError> {
    let stop = engine.stop.clone();
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let mut pursuit = Box::pin(engine.pursue());
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return pursuit.await };
    loop {
        tokio::select! {
            ended = &mut pursuit => return ended,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.replace(true) {
            teller.end();
            std::process::exit(i32::from(Exit::Stopped.number()));
        }
        teller.note("stopping after the calls under way; Ctrl-C again stops at once");
    }
}

fn word(ending: &Ending, notes: &[String]) -> &'static str {
    match ending {
        Ending::Met if !notes.is_empty() => "suspended",
        Ending::Met => "met",
        Ending::Suspended(_) => "suspended",
        Ending::Stopped => "stopped",
        Ending::TimedOut(_) => "timed out",
    }
}

impl Pursued {
    /// What waits at the end.
    pub(crate) fn waiting(&self) -> &[Waiting] {
        match &self.ending {
            Ending::Suspended(waiting) | Ending::TimedOut(waiting) => waiting,
            Ending::Met | Ending::Stopped => &[],
        }
    }

    /// The number at the end.
    pub(crate) fn exit(&self) -> Exit {
        let blind = |waiting: &Waiting| matches!(waiting.cause, Cause::Sight { .. });
        match &self.ending {
            // Nothing is left to do, and a person is needed for the rest.
            Ending::Met if !self.notes.is_empty() => Exit::Suspended,
            Ending::Met => Exit::Done,
            Ending::Suspended(waiting) | Ending::TimedOut(waiting)
                if !waiting.is_empty() && waiting.iter().all(blind) =>
            {
                Exit::Unreachable
            }
            Ending::Suspended(_) => Exit::Suspended,
            Ending::TimedOut(_) => Exit::TimedOut,
            Ending::Stopped => Exit::Stopped,
        }
    }

    /// Says how it ended: `met` when what was demanded was seen. `again`: the command that goes on.
    pub(crate) fn tell(
        &self,
        world: &World,
        output: &Output,
        again: &str,
        met: &str,
    ) -> anyhow::Result<Exit> {
        self.tell_with(world, output, again, met, Json::Null)
    }

    /// The same, with more for scripts.
    pub(crate) fn tell_with(
        &self,
        world: &World,
        output: &Output,
        again: &str,
        met: &str,
        more: Json,
    ) -> anyhow::Result<Exit> {
        let exit = self.exit();
        if output.is_json() {
            let one = |(mount, snapshot, why): &(String, String, String)| json!({"mount": mount, "snapshot": snapshot, "why": why});
            let restored: Vec<Json> = self.tally.restored.iter().map(one).collect();
            let data = json!({
                "kind": "result", "status": word(&self.ending, &self.notes), "exit": exit.number(), "run": self.run,
                "took_ms": self.took.0, "right": self.tally.right, "parts": self.tally.parts,
                "steps": self.tally.done, "failed": self.tally.failed,
                "restored": restored, "waiting": card::for_scripts(&world.ideal, self.waiting()), "notes": self.notes,
                "more": more,
            });
            match output.is_stream() {
                true => output.result(&data.to_string()),
                false => output.document("run", data)?,
            }
            return Ok(exit);
        }
        for (mount, snapshot, why) in self.tally.restored.iter().take(RESTORED) {
            output.note(&format!("{mount} is restored from {snapshot}: {why}"));
        }
        if let Some(more @ 1..) = self.tally.restored.len().checked_sub(RESTORED) {
            output.note(&format!("{more} more are restored: ideal history"));
        }
        match &self.ending {
            Ending::Met if self.notes.is_empty() => output.result(met),
            Ending::Met => output.problem(&format!(
                "\u{2717} run {} leaves {} for a person   [exit {}]",
                self.run,
                words::counted(self.notes.len(), "service"),
                exit.number()
            )),
            Ending::Stopped => output.problem(&format!("stopped; `{again}` goes on")),
            Ending::TimedOut(waiting) => {
                output.problem(&format!(
                    "\u{2717} the time is over; `{again}` goes on   [exit {}]",
                    exit.number()
                ));
                output.problem(&card::cards(&world.ideal, waiting));
            }
            Ending::Suspended(waiting) => {
                let persons = |waiting: &&Waiting| waiting.cause.needs_person() || waiting.overdue;
                let count = waiting.iter().filter(persons).count();
                output.problem(&format!(
                    "\u{2717} run {} is suspended: {} wait{} for a person   [exit {}]",
                    self.run,
                    words::counted(count, "part"),
                    if count == 1 { "s" } else { "" },
                    exit.number()
                ));
                output.problem(&card::cards(&world.ideal, waiting));
                output.problem(&format!(
                    "  {} of {} parts are as wanted; what was done stays done. `{again}` goes on from here",
                    self.tally.right, self.tally.parts
                ));
            }
        }
        for note in &self.notes {
            let service = note.split(' ').next().unwrap_or_default();
            output.problem(&format!("  i  {note}"));
            output.problem(&format!("      next: ideal services show {service}        tells more"));
        }
        Ok(exit)
    }
}
