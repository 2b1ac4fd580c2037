//! One run: the engine on the simulated cloud, crashed and frozen where the options say, judged at its end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

use ideal_core::build::Build;
use ideal_core::demand::{Ending as ForGood, Scope, State};
use ideal_core::id::Name;
use ideal_core::ideal::Ideal;
use ideal_core::observed::{Machine, MachineState, Tags};
use ideal_core::plan::text;
use ideal_core::planner::Consent;
use ideal_core::time::{Span, Time};
use ideal_providers::Provider;
use ideal_providers::sim::{Calls, Faults, Sim};
use ideal_store::Journal;
use ideal_store::sqlite::Sqlite;
use tokio::sync::Notify;

use super::plant::{self, Plant};
use super::scenario::{Scenario, Scene, cloud_id, slot};
use crate::glance::Glance;
use crate::outside::{Boundaries, Clock, NoGoods, Outside, Side, Soon};
use crate::progress::Silent;
use crate::reconcile::{Ending, Engine, EngineError, Settings};

/// What befalls the engine at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// It is dropped on the spot; a new one starts on the same journal.
    Crash,
    /// It freezes; another takes over, the demand is flipped and met, then the frozen one wakes.
    Freeze,
    /// It is dropped, and the run ends here: see [`store_lost_at`].
    Stop,
}

/// How a scenario is played.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all chance.
    pub seed: u64,
    /// What goes wrong at the cloud.
    pub faults: Faults,
    /// At which boundary crossings (counted from 1) what befalls the engine.
    pub blows: BTreeMap<u64, Blow>,
    /// A deliberate fault of ours, to see whether it is caught.
    pub plant: Option<Plant>,
    /// How often the person asks again before the run counts as stuck.
    pub tries: u32,
    /// Keep every event as text.
    pub log: bool,
    /// After the last scene, whether an hour of looking on changes nothing is checked.
    pub rest: bool,
}

impl Options {
    /// A perfect cloud.
    pub fn calm(seed: u64) -> Options {
        let blows = BTreeMap::new();
        Options {
            seed,
            faults: Faults::none(),
            blows,
            plant: None,
            tries: MOST_TRIES,
            log: false,
            rest: true,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// What broke an invariant; empty in a good run.
    pub violations: Vec<String>,
    /// How many boundaries were crossed.
    pub boundaries: u64,
    /// The names of all boundaries crossed, with their sides.
    pub names: std::collections::BTreeSet<String>,
    /// Folded over every event.
    pub trace: u64,
    /// Every event as text, when asked for.
    pub log: Vec<String>,
    /// How often each remarkable thing happened.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often what was called.
    pub calls: Calls,
}

/// Plays a scenario.
pub fn run(scenario: &Scenario, options: &Options) -> RunResult {
    #[expect(clippy::expect_used, reason = "a runtime without I/O is only refused when memory is out")]
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(Stage::new(scenario, options).play())
}

/// What is planned at one moment, with the store and without it: the verbs at their parts, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLost {
    /// With the store.
    pub before: Vec<String>,
    /// With an empty store, from tags and agents alone.
    pub after: Vec<String>,
}

/// Plays a scenario on a perfect cloud up to a boundary, ends the engine there, and plans with its store and with
/// an empty one. None: the scenario has no such boundary.
pub fn store_lost_at(scenario: &Scenario, boundary: u64) -> Option<StoreLost> {
    let mut options = Options::calm(1);
    options.blows.insert(boundary, Blow::Stop);
    #[expect(clippy::expect_used, reason = "a runtime without I/O is only refused when memory is out")]
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let stage = Stage::new(scenario, &options);
    runtime.block_on(stage.plan_twice())
}

/// The simulated time as the engine's clock.
#[derive(Debug)]
struct SimClock(Sim);

impl Clock for SimClock {
    fn now(&self) -> Time {
        self.0.now()
    }
    fn sleep_until(&self, at: Time) -> Soon<'_, ()> {
        let span = at.since(self.0.now());
        Box::pin(async move { tokio::time::sleep(span.std()).await })
    }
}

/// Counts crossings, and strikes where the options say.
#[derive(Debug)]
struct Strikes {
    sim: Sim,
    count: Cell<u64>,
    blows: RefCell<BTreeMap<u64, Blow>>,
    struck: Cell<Option<Blow>>,
    notify: Notify,
    names: RefCell<std::collections::BTreeSet<String>>,
}

impl Strikes {
    fn new(sim: &Sim, blows: &BTreeMap<u64, Blow>) -> Strikes {
        Strikes {
            sim: sim.clone(),
            count: Cell::default(),
            blows: RefCell::new(blows.clone()),
            struck: Cell::default(),
            notify: Notify::default(),
            names: RefCell::default(),
        }
    }

    fn broken(&self) -> bool {
        self.sim.truth(|state| !state.violations.is_empty())
    }
}

impl Boundaries for Strikes {
    fn cross(&self, verb: &str, side: Side) -> Option<Soon<'_, ()>> {
        // Looking changes nothing: dying there is dying at the boundary before.
        if matches!(verb, "describe" | "read" | "report") {
            return None;
        }
        // What is broken once need not be watched to its end.
        if self.broken() {
            self.notify.notify_one();
            return Some(Box::pin(std::future::pending()));
        }
        let count = self.count.get() + 1;
        self.count.set(count);
        {
            let mut names = self.names.borrow_mut();
            let name = format!("{verb}.{}", side.word());
            if !names.contains(&name) {
                names.insert(name);
            }
        }
        let blow = self.blows.borrow_mut().remove(&count)?;
        self.struck.set(Some(blow));
        self.notify.notify_one();
        match blow {
            Blow::Crash | Blow::Stop => Some(Box::pin(std::future::pending())),
            // The frozen engine is not polled until it wakes; then it goes on from here.
            Blow::Freeze => Some(Box::pin(tokio::task::yield_now())),
        }
    }
}

pub(super) struct Stage<'a> {
    scenario: &'a Scenario,
    options: &'a Options,
    sim: Sim,
    store: RefCell<Rc<dyn Journal>>,
    stores: Cell<u32>,
    strikes: Rc<Strikes>,
    ideal: RefCell<Rc<Ideal>>,
    last_state: Cell<State>,
}

type Playing<'a> = Pin<Box<dyn Future<Output = Result<Ending, EngineError>> + 'a>>;

/// Of a person who wants it: long enough for the worst chance faults.
pub(super) const MOST_TRIES: u32 = 60;

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario, options: &'a Options) -> Stage<'a> {
        let sim = Sim::new(options.seed, options.faults.clone());
        if options.log {
            sim.truth(|state| state.log = Some(Vec::new()));
        }
        let strikes = Strikes::new(&sim, &options.blows);
        if options.plant == Some(Plant::AllIsOurs) {
            // Something of somebody else lies about.
            sim.truth(|state| {
                state.foreign_volume("v-foreign", foreign_tags(), 7);
                state.shows_foreign = true;
            });
        }
        Stage {
            scenario,
            options,
            sim,
            store: RefCell::new(new_store(0)),
            stores: Cell::new(1),
            strikes: Rc::new(strikes),
            ideal: RefCell::default(),
            last_state: Cell::new(State::Away),
        }
    }

    async fn play(self) -> RunResult {
        let mut met = true;
        for scene in &self.scenario.scenes {
            self.sim.truth(|state| state.event(|| format!("scene   {}", scene.title())));
            // No scene takes a day of simulated time unless something runs in circles.
            let limit = Span::hours(24).std();
            met &= tokio::time::timeout(limit, self.scene(scene)).await.unwrap_or(false);
            if !met {
                break;
            }
        }
        // A state that was reached is kept: nothing changes any more once the faults are over.
        if met && self.options.rest {
            self.rest().await;
        }
        self.sim.truth(|state| {
            if !met {
                state.violations.push("I-9: what was demanded was not reached".to_owned());
            }
            state.judge_rest();
            RunResult {
                violations: state.violations.clone(),
                boundaries: self.strikes.count.get(),
                names: self.strikes.names.borrow().clone(),
                trace: state.trace,
                log: state.log.clone().unwrap_or_default(),
                sometimes: state.sometimes.clone(),
                calls: state.calls,
            }
        })
    }

    async fn plan_twice(&self) -> Option<StoreLost> {
        for scene in &self.scenario.scenes {
            if !self.scene(scene).await {
                break;
            }
        }
        if self.strikes.struck.get() != Some(Blow::Stop) {
            return None;
        }
        let kept = self.store.borrow().clone();
        Some(StoreLost { before: self.plan(kept).await, after: self.plan(new_store(99)).await })
    }

    async fn plan(&self, journal: Rc<dyn Journal>) -> Vec<String> {
        let ideal = self.ideal.borrow().clone();
        let Ok(glance) = Glance::take(&self.outside(journal), ideal).await else {
            return vec!["the store cannot be read".to_owned()];
        };
        let plan = glance.plan(&glance.standing.demands, &Consent::to_all());
        let shown = plan.steps.iter().filter(|planned| !text::is_quiet(&planned.step.act));
        let steps = shown.map(|planned| {
            format!("{} {}", planned.step.act.verb(), text::address(&glance.ideal, &planned.step.part))
        });
        let stuck = plan.waiting.iter().filter(|waiting| waiting.cause.needs_person());
        let mut lines: Vec<String> =
            steps.chain(stuck.map(|waiting| text::waiting_line(&glance.ideal, waiting))).collect();
        // A moment passes between the two looks, so rounds may differ; what is done may not.
        lines.sort();
        lines
    }

    /// Plays one scene until it is reached. False when it is not, however often it is asked for.
    async fn scene(&self, scene: &Scene) -> bool {
        match scene {
            Scene::File(ideal) => {
                self.sim.truth(|state| state.fences = ideal.policy.fence_after.is_some());
                *self.ideal.borrow_mut() = Rc::new((**ideal).clone());
            }
            Scene::LoseStore => {
                let number = self.stores.get();
                self.stores.set(number + 1);
                *self.store.borrow_mut() = new_store(number);
            }
            Scene::Kill(n, index) => self.kill(*n, *index, MachineState::Impaired),
            Scene::EndedByOthers(n, index) => self.kill(*n, *index, MachineState::Terminated),
            Scene::Cut(n, index, span) => self.sim.truth(|state| {
                let victim = state.running().into_iter().find(|(own, _)| *own == slot(*n, *index));
                if let Some((_, machine)) = victim {
                    state.cut(&machine, *span);
                }
            }),
            Scene::Demand(state) => {
                self.last_state.set(*state);
                return self.insist(Some((Scope::Whole, *state))).await && self.is_so(*state);
            }
            Scene::DemandSlot(n, index, state) => {
                return self.insist(Some((Scope::Slot(slot(*n, *index)), *state))).await;
            }
            Scene::Program(build) => self.sim.truth(|state| {
                (state.program, state.faults.brings) = (Build(*build), true);
            }),
            Scene::Heal => return self.insist(None).await,
            Scene::Pass(span) => tokio::time::sleep(span.std()).await,
        }
        true
    }

    fn kill(&self, n: usize, index: u32, to: MachineState) {
        self.sim.truth(|state| {
            let victim = state.running().into_iter().find(|(own, _)| *own == slot(n, index));
            if let Some((_, machine)) = victim {
                state.kill(&machine, to);
            }
        });
    }

    /// Asks until it is met, as a person would: again after a crash, again when it was suspended.
    async fn insist(&self, demand: Option<(Scope, State)>) -> bool {
        let mut demand_recorded = false;
        for _ in 0..self.options.tries {
            // What is broken once need not be watched to its end.
            if self.sim.truth(|state| !state.violations.is_empty()) {
                return false;
            }
            let ended = self.attempt(demand.filter(|_| !demand_recorded), false).await;
            self.tell(&ended);
            match ended {
                Attempt::Ended(Ok(Ending::Met)) => return true,
                Attempt::Ended(Ok(_)) => {
                    demand_recorded = true;
                    tokio::time::sleep(Span::secs(60).std()).await;
                }
                Attempt::Ended(Err(_)) => tokio::time::sleep(Span::secs(31).std()).await,
                Attempt::Crashed => {}
                Attempt::Stopped => return false,
                Attempt::Frozen(zombie) => self.haunt(zombie).await,
            }
        }
        false
    }

    fn tell(&self, ended: &Attempt<'_>) {
        let text = match ended {
            Attempt::Ended(Ok(Ending::Suspended(waiting))) => {
                let each = waiting.iter().map(|wait| {
                    let mount = wait.part.mount.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
                    format!("[{}]{mount} {}", wait.part.slot.index, wait.cause)
                });
                format!("suspended: {}", each.collect::<Vec<_>>().join("; "))
            }
            Attempt::Ended(Ok(ending)) => format!("{ending:?}").to_lowercase(),
            Attempt::Ended(Err(error)) => format!("the engine ended: {error}"),
            Attempt::Crashed | Attempt::Stopped | Attempt::Frozen(_) => return,
        };
        self.sim.truth(|state| state.event(|| format!("person  {text}")));
    }

    async fn attempt<'s>(&'s self, demand: Option<(Scope, State)>, force: bool) -> Attempt<'s> {
        let mut engine: Playing<'s> = Box::pin(self.pursue(demand, force));
        let struck = {
            let mut notified = pin!(self.strikes.notify.notified());
            tokio::select! {
                biased;
                () = &mut notified => None,
                ended = &mut engine => Some(ended),
            }
        };
        if self.strikes.struck.get() == Some(Blow::Stop) {
            return Attempt::Stopped;
        }
        match (struck, self.strikes.struck.take()) {
            (Some(ended), _) => Attempt::Ended(ended),
            (None, Some(Blow::Freeze)) => Attempt::Frozen(engine),
            (None, _) => {
                self.sim.truth(|state| state.event(|| "CRASH".to_owned()));
                Attempt::Crashed
            }
        }
    }

    /// The frozen engine wakes after another took over, flipped the demand and met it.
    async fn haunt(&self, zombie: Playing<'_>) {
        self.sim.truth(|state| state.event(|| "FREEZE; another engine takes over".to_owned()));
        let flipped = if self.last_state.get().is_up() { State::Away } else { State::Launched };
        for _ in 0..self.options.tries {
            match self.attempt(Some((Scope::Whole, flipped)), true).await {
                Attempt::Ended(Ok(Ending::Met)) => break,
                _ => tokio::time::sleep(Span::secs(31).std()).await,
            }
        }
        let before = self.sim.truth(|state| state.calls);
        self.sim.truth(|state| state.event(|| "the frozen engine wakes".to_owned()));
        let limit = tokio::time::sleep(Span::mins(30).std());
        tokio::select! {
            biased;
            _ = zombie => {}
            () = limit => {}
        }
        self.sim.truth(|state| {
            let made = state.calls.shoves - before.shoves;
            if made > 1 {
                state.violations.push(format!("I-13: {made} calls were made after the lease was lost"));
            }
        });
        // What the frozen one was asked for is demanded again.
        let state = self.last_state.get();
        for _ in 0..self.options.tries {
            if let Attempt::Ended(Ok(Ending::Met)) = self.attempt(Some((Scope::Whole, state)), false).await {
                return;
            }
            tokio::time::sleep(Span::secs(31).std()).await;
        }
    }

    async fn pursue(&self, demand: Option<(Scope, State)>, force: bool) -> Result<Ending, EngineError> {
        let journal = self.store.borrow().clone();
        let ideal = self.ideal.borrow().clone();
        let settings = Settings {
            holder: "the simulation".to_owned(),
            take_over: force || self.holder_is_dead(),
            poll: (Span::millis(200), Span::secs(5)),
            deadline: None,
            forever: false,
            only: None,
        };
        let mut engine = Engine::open(self.outside(journal), ideal, settings).await?;
        engine.consent = Consent::to_all();
        let run = engine.open_run("a scene").await?;
        if let Some((scope, state)) = demand {
            engine.demand(&[scope], state, ForGood::No).await?;
        }
        let ending = engine.pursue().await?;
        engine.close_run(&run, "ended").await?;
        engine.release().await?;
        Ok(ending)
    }

    /// On one machine a lock tells at once that the engine before is dead; the simulation has one engine at a
    /// time unless one is frozen, and then the other is told to take over.
    fn holder_is_dead(&self) -> bool {
        true
    }

    fn outside(&self, journal: Rc<dyn Journal>) -> Outside {
        let provider: Rc<dyn Provider> = Rc::new(self.sim.clone());
        let (provider, link, journal) = plant::at_the_edges(self.options.plant, provider, &self.sim, journal);
        let mut providers = BTreeMap::new();
        if let Ok(name) = Name::new("sim") {
            providers.insert(name, provider);
        }
        Outside {
            providers,
            link,
            goods: Rc::new(NoGoods),
            journal,
            clock: Rc::new(SimClock(self.sim.clone())),
            boundaries: self.strikes.clone(),
            progress: Rc::new(Silent),
        }
    }

    /// Whether the truth is what was demanded of everything.
    fn is_so(&self, state: State) -> bool {
        let ideal = self.ideal.borrow().clone();
        let quiet = self.options.faults.until.is_some_and(|until| self.sim.now() >= until);
        let calm = self.options.faults.until.is_none();
        self.sim.truth(|truth| {
            let mut wrong = Vec::new();
            for (n, cloud) in ideal.clouds.iter().enumerate() {
                for index in 0..cloud.nodes {
                    let seen = truth.slot(slot(n, index));
                    let running =
                        seen.machines.iter().filter(|own| own.state == MachineState::Running).count();
                    let alive = seen.machines.iter().filter(|own| !own.state.is_over()).count();
                    let good = match state {
                        State::Away => alive == 0 && seen.volumes.iter().all(|own| own.retired.is_some()),
                        State::Halted => {
                            let stopped = |own: &Machine| own.state == MachineState::Stopped;
                            seen.machines.iter().all(|own| own.state.is_over() || stopped(own))
                                && seen.volumes.iter().all(|own| own.attachment.is_none())
                                && (!calm || alive == 1)
                        }
                        // A machine may die again at once while faults go on.
                        state if state.is_up() && (calm || quiet) => {
                            let kept = seen.volumes.iter().filter(|own| own.retired.is_none()).count();
                            let newest = state < State::Mounted || truth.has_newest_agent(slot(n, index));
                            running == 1 && alive == 1 && kept == cloud.mounts.len() && newest
                        }
                        _ => true,
                    };
                    if !good {
                        wrong.push(format!("{}[{index}] is not {state}", cloud.path));
                    }
                }
            }
            for service in &ideal.services {
                for index in 0..service.replicas {
                    let copies = truth.copies(&service.address(index));
                    let own = truth.slot(service.slot(index)).volumes;
                    let kept = own.iter().filter(|own| own.retired.is_none()).count();
                    let good = match state {
                        State::Away => copies == 0 && kept == 0,
                        State::Launched if calm || quiet => copies == 1 && kept == service.mounts.len(),
                        _ => true,
                    };
                    if !good {
                        let address = service.address(index);
                        wrong.push(format!("{address} has {copies} copies and {kept} volumes: not {state}"));
                    }
                }
            }
            truth.violations.extend(wrong.into_iter().map(|what| format!("I-9: {what}")));
        });
        debug_assert_eq!(cloud_id(0), slot(0, 0).cloud);
        true
    }

    /// When the faults are over and all is met, an hour of looking on changes nothing.
    async fn rest(&self) {
        self.strikes.blows.borrow_mut().clear();
        if let Some(until) = self.options.faults.until {
            tokio::time::sleep(until.since(self.sim.now()).std() + Span::secs(60).std()).await;
        }
        // Where the cloud enforces no marks, sealed volumes are deleted after a grace; that is still to come.
        if !self.options.faults.enforces_marks && self.insist(None).await {
            tokio::time::sleep(Span::mins(11).std()).await;
        }
        if !self.insist(None).await {
            self.sim.truth(|state| state.violations.push("I-9: it does not settle".to_owned()));
            return;
        }
        let before = self.sim.truth(|state| state.calls);
        for _ in 0..3 {
            tokio::time::sleep(Span::mins(20).std()).await;
            let _ = self.attempt(None, false).await;
        }
        let after = self.sim.truth(|state| state.calls);
        if (after.shoves, after.orders) != (before.shoves, before.orders) {
            let what = format!(
                "{} calls and {} orders at rest",
                after.shoves - before.shoves,
                after.orders - before.orders
            );
            self.sim.truth(|state| state.violations.push(format!("I-9: {what}")));
        }
    }
}

enum Attempt<'s> {
    Ended(Result<Ending, EngineError>),
    Crashed,
    Stopped,
    Frozen(Playing<'s>),
}

/// Like those of a mount of ours in all but whose it is.
fn foreign_tags() -> Tags {
    Tags { index: Some(0), mount: Name::new("data").ok(), generation: 1, ..Tags::nobodys() }
}

fn new_store(number: u32) -> Rc<dyn Journal> {
    #[expect(clippy::expect_used, reason = "a database in memory is only refused when memory is out")]
    Rc::new(Sqlite::in_memory(&format!("store {number}")).expect("a store in memory"))
}
