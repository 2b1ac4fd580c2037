//! The loop. One pass takes no input but what it looks up itself: observe, catch up, decide, record, act. The
//! next pass is the retry.

mod calm;
mod task;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use ideal_core::demand::{Demands, Ending as ForGood, Scope, State};
use ideal_core::ideal::Ideal;
use ideal_core::journal::{Outcome, Record, View};
use ideal_core::observed::Observed;
use ideal_core::plan::{Act, Part, Plan, Step, Waiting};
use ideal_core::planner::{
    Consent, Decision, How, Input, Patience, Seats, Standing, decide, forecast, grown, seats, standing,
};
use ideal_core::recover;
use ideal_core::time::{Span, Time};
use ideal_store::JournalError;

use self::calm::Calm;
use crate::act::{Common, Ended, Task};
use crate::flight::Flight;
use crate::lease;
use crate::observe::{self, Memory};
use crate::outside::{Outside, Side};
use crate::progress::{Event, Go};

/// A store is folded into a checkpoint after this many records.
const CHECKPOINT_EVERY: usize = 1000;

/// How often nothing must be seen, as far apart as the provider needs to settle, before it is believed by a journal
/// that knows nothing either.
const LOOKS_AT_NOTHING: u32 = 3;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who it works for, in words: `anna@laptop`.
    pub holder: String,
    /// Take the lease even though another holds it.
    pub take_over: bool,
    /// The shortest and the longest pause between looks while something is waited for.
    pub poll: (Span, Span),
    /// End with what is met or stuck by then.
    pub deadline: Option<Time>,
    /// Keep going when all is met (`heal --watch`).
    pub forever: bool,
    /// Only these parts are touched and waited for; none: all.
    pub only: Option<BTreeSet<Part>>,
}

/// How a pursuit ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// What is demanded was seen.
    Met,
    /// Nothing more happens until a person acts.
    Suspended(Vec<Waiting>),
    /// A person said stop.
    Stopped,
    /// The deadline passed; what was set going goes on.
    TimedOut(Vec<Waiting>),
}

/// Why an engine cannot work.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal, or the lease in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The engine of one cluster.
#[derive(Debug)]
pub struct Engine {
    common: Rc<Common>,
    /// What the file says.
    file: Rc<Ideal>,
    /// The same, with as many nodes as its replicas need.
    ideal: Rc<Ideal>,
    settings: Settings,
    /// What a person agreed to.
    pub consent: Consent,
    view: View,
    memory: Memory,
    patience: Patience,
    observed: Observed,
    /// Where replicas are to be, as last decided.
    seats: Arc<Seats>,
    unsaved: usize,
    /// Set from outside to end after the calls under way (Ctrl-C).
    pub stop: Rc<std::cell::Cell<bool>>,
}

impl Engine {
    /// Looks, takes the lease, and looks into whatever an earlier engine left in doubt.
    pub async fn open(outside: Outside, ideal: Rc<Ideal>, settings: Settings) -> Result<Engine, EngineError> {
        let view = outside.journal.load()?;
        let mut memory = Memory::default();
        let observed = observe::observe(&outside, &ideal, &view, &mut memory, None).await;
        let known = standing(&view, &observed).demands.epoch;
        let authority = lease::take(&outside, &observed, known, &settings.holder, settings.take_over)?;
        let (_, other) = lease::seen(&observed, outside.journal.name(), outside.clock.now());
        let from = other.map(|other| other.holder);
        let taken = Record::LeaseTaken { holder: settings.holder.clone(), from };
        let common = Common {
            outside,
            authority: RefCell::new(authority),
            demands: RefCell::new(Arc::new(Demands::none())),
        };
        let mut engine = Engine {
            common: Rc::new(common),
            file: ideal.clone(),
            ideal,
            settings,
            consent: Consent::default(),
            view,
            memory,
            patience: Patience::default(),
            observed,
            seats: Arc::default(),
            unsaved: 0,
            stop: Rc::default(),
        };
        let services = engine.ideal.services.iter().filter(|service| !service.mounts.is_empty());
        let services = services.map(|service| service.id);
        let clouds = engine.ideal.clouds.iter().map(|cloud| cloud.id).chain(services);
        let clouds: Vec<_> = clouds.filter(|cloud| !engine.view.clouds.contains(cloud)).collect();
        let new = (!clouds.is_empty()).then_some(Record::Clouds { clouds });
        engine.record(&std::iter::once(taken).chain(new).collect::<Vec<_>>()).await?;
        engine.catch_up().await?;
        engine.doubt().await?;
        let standing = engine.standing();
        if standing.how == How::Mirrored {
            let demands = standing.demands.clone();
            engine.record(&[Record::Demanded { demands }]).await?;
        }
        engine.demands_changed();
        Ok(engine)
    }

    /// What is demanded, and how that is known.
    pub fn standing(&self) -> Standing {
        standing(&self.view, &self.observed)
    }
    /// What was seen at the last look.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }
    /// What is remembered.
    pub fn view(&self) -> &View {
        &self.view
    }
    pub(crate) fn common(&self) -> Rc<Common> {
        self.common.clone()
    }
    pub(crate) fn ideal(&self) -> &Ideal {
        &self.ideal
    }
    /// The epoch of this engine.
    pub fn epoch(&self) -> u64 {
        self.common.authority.borrow().epoch
    }
    /// How many objects are known by adoption only.
    pub fn adopted(&self) -> usize {
        self.view.adopted.len()
    }

    /// Demands a state; recorded before anything follows from it.
    pub async fn demand(
        &mut self,
        scopes: &[Scope],
        state: State,
        ending: ForGood,
    ) -> Result<(), EngineError> {
        let mut demands = self.view.demands.clone();
        let epoch = self.epoch();
        for scope in scopes {
            demands.demand(*scope, state, epoch, |other| within(other, *scope));
        }
        demands.ending = ending;
        self.record(&[Record::Demanded { demands }]).await?;
        self.demands_changed();
        Ok(())
    }

    /// Records that a person agreed that adopted things may be ended.
    pub async fn confirm_adoption(&mut self) -> Result<(), EngineError> {
        self.record(&[Record::AdoptionConfirmed]).await
    }

    /// Opens a run: budgets start anew.
    pub async fn open_run(&mut self, what: &str) -> Result<String, EngineError> {
        self.patience.renew();
        let run = format!("r-{}", self.view.runs + 1);
        let by = self.settings.holder.clone();
        let record = Record::RunOpened { run: run.clone(), what: what.to_owned(), by };
        self.record(&[record]).await?;
        Ok(run)
    }

    /// Closes a run.
    pub async fn close_run(&mut self, run: &str, outcome: &str) -> Result<(), EngineError> {
        let record = Record::RunClosed { run: run.to_owned(), outcome: outcome.to_owned() };
        self.record(&[record]).await?;
        if self.unsaved >= CHECKPOINT_EVERY {
            self.common.outside.journal.checkpoint(&self.view)?;
            self.unsaved = 0;
        }
        Ok(())
    }

    /// Looks again, at everything.
    pub async fn look(&mut self) -> Result<(), EngineError> {
        self.memory.at_rest.clear();
        self.look_where_needed().await
    }

    /// Looks again, but leaves those alone for a while where nothing is to be done.
    async fn look_where_needed(&mut self) -> Result<(), EngineError> {
        let authority = self.common.authority.borrow().clone();
        let outside = &self.common.outside;
        self.observed =
            observe::observe(outside, &self.ideal, &self.view, &mut self.memory, Some(&authority)).await;
        self.catch_up().await?;
        self.grow();
        Ok(())
    }

    /// Gives elastic clouds as many nodes as their replicas need now.
    fn grow(&mut self) {
        self.ideal = self.file.clone();
        let demands = self.common.demands.borrow().clone();
        let traits = self.common.outside.traits();
        let more = grown(&self.input(&demands, &traits));
        if let Some(more) = more {
            self.ideal = Rc::new(more);
        }
    }

    /// The plan for what is demanded, as things were at the last look.
    pub fn plan(&self) -> Plan {
        let demands = self.common.demands.borrow().clone();
        let traits = self.common.outside.traits();
        forecast(&self.input(&demands, &traits))
    }

    /// Where every replica is to be, as things were at the last look.
    pub fn seats(&self) -> Seats {
        let demands = self.common.demands.borrow().clone();
        let traits = self.common.outside.traits();
        seats(&self.input(&demands, &traits))
    }

    /// What would be done now.
    pub fn decide(&self) -> Decision {
        let demands = self.common.demands.borrow().clone();
        let traits = self.common.outside.traits();
        let mut decision = decide(&self.input(&demands, &traits));
        if let Some(only) = &self.settings.only {
            // What is demanded is written on everything that lasts, whatever else is done.
            let is_mirror = |step: &Step| matches!(step.act, Act::Mirror { .. });
            decision.steps.retain(|step| is_mirror(step) || only.contains(&step.part));
            decision.waiting.retain(|waiting| only.contains(&waiting.part));
        }
        decision
    }

    fn input<'a>(
        &'a self,
        demands: &'a Demands,
        providers: &'a std::collections::BTreeMap<ideal_core::id::Name, ideal_core::planner::ProviderTraits>,
    ) -> Input<'a> {
        Input {
            ideal: &self.ideal,
            demands,
            observed: &self.observed,
            view: &self.view,
            consent: &self.consent,
            patience: &self.patience,
            providers,
            now: self.common.outside.clock.now(),
        }
    }

    fn demands_changed(&mut self) {
        *self.common.demands.borrow_mut() = Arc::new(self.view.demands.clone());
    }

    /// Appends records and folds them in.
    pub(crate) async fn record(&mut self, records: &[Record]) -> Result<(), EngineError> {
        if records.is_empty() {
            return Ok(());
        }
        let outside = &self.common.outside;
        let at = outside.clock.now();
        let epoch = self.epoch();
        outside.cross("journal", Side::Before).await;
        outside.journal.append(epoch, at, records)?;
        outside.cross("journal", Side::After).await;
        for record in records {
            self.view.take(at, record);
        }
        self.unsaved += records.len();
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), EngineError> {
        let traits = self.common.outside.traits();
        let ideal = self.ideal.clone();
        let settle = |part: &ideal_core::plan::Part| {
            let provider = ideal.cloud(part.slot.cloud).map(|cloud| &cloud.provider);
            let known = provider.and_then(|name| traits.get(name));
            known
                .or_else(|| traits.values().max_by_key(|traits| traits.settle))
                .copied()
                .unwrap_or_default()
                .settle
        };
        let now = self.common.outside.clock.now();
        let records = recover::catch_up(&self.view, &self.observed, settle, now);
        self.record(&records).await
    }

    /// Whatever an earlier engine had begun and not finished is in doubt now.
    async fn doubt(&mut self) -> Result<(), EngineError> {
        let records = recover::doubts(&self.view);
        self.record(&records).await
    }

    /// Pursues what is demanded until it is seen, or nothing more can be done.
    pub async fn pursue(&mut self) -> Result<Ending, EngineError> {
        let common = self.common.clone();
        let mut flight = Flight::new(&common, self.ideal.policy.concurrency as usize);
        let mut pause = self.settings.poll.0;
        let mut told = Vec::new();
        let mut looks = 1;
        let mut calm = Calm::default();
        self.memory.at_rest.clear();
        loop {
            self.look_where_needed().await?;
            let mut decision = self.decide();
            if calm.is_disturbed(self, &decision) {
                self.look().await?;
                decision = self.decide();
            }
            let pace = calm.note(self, &decision, flight.is_empty());
            self.seats = decision.seats.clone();
            // Also when there is nothing else to do: that all is well is remembered.
            self.record(&decision.seats.records).await?;
            self.patience.note(&decision.waiting, common.outside.clock.now());
            common.outside.progress.tell(&Event::Decided {
                right: decision.right,
                parts: decision.parts,
                waiting: decision.waiting.clone(),
            });
            if decision.is_met() && looks < LOOKS_AT_NOTHING && self.sees_nothing() {
                looks += 1;
                self.memory.at_rest.clear();
                let settle = common.outside.traits().values().map(|traits| traits.settle).max();
                common
                    .outside
                    .clock
                    .sleep_until(common.outside.clock.now() + settle.unwrap_or_default())
                    .await;
                continue;
            }
            if flight.is_empty()
                && let Some(ending) = self.ending(&decision)
            {
                if let Ending::Suspended(waiting) = &ending {
                    self.note_suspended(waiting, &mut told).await?;
                }
                if !self.settings.forever || matches!(ending, Ending::Stopped | Ending::TimedOut(_)) {
                    return Ok(ending);
                }
            }
            let stopping = self.stop.get();
            let tasks = if stopping { Vec::new() } else { self.prepare(&decision) };
            if !tasks.is_empty() {
                pause = self.settings.poll.0;
            }
            let intents: Vec<Record> = tasks.iter().map(|task| intent(&task.step)).collect();
            self.record(&intents).await?;
            flight.add(tasks);
            if flight.is_empty() {
                self.wait(&decision, pause.max(pace)).await;
                // What takes its time where looks have a price is looked at less and less often.
                let longest = self.settings.poll.1.max(Span(pace.0 * 8));
                pause = Span((pause.max(pace).0 * 2).min(longest.0));
            } else {
                self.collect(&mut flight, decision.parts, pace).await?;
                if flight.is_empty() {
                    let clock = &common.outside.clock;
                    clock.sleep_until(self.observed.at + pace).await;
                }
            }
        }
    }

    /// Nothing is seen, and the journal knows of nothing that could be missed: after a lost store, only further
    /// looks can tell an empty cluster from an empty answer.
    fn sees_nothing(&self) -> bool {
        self.view.slots.is_empty() && self.observed.slots.is_empty()
    }

    fn ending(&self, decision: &Decision) -> Option<Ending> {
        if self.stop.get() {
            return Some(Ending::Stopped);
        }
        if decision.is_met() {
            return Some(Ending::Met);
        }
        if decision.is_stuck() {
            return Some(Ending::Suspended(decision.waiting.clone()));
        }
        let now = self.common.outside.clock.now();
        let late = self.settings.deadline.is_some_and(|deadline| now >= deadline);
        late.then(|| Ending::TimedOut(decision.waiting.clone()))
    }

    /// Records each part that waits for a person, once.
    async fn note_suspended(
        &mut self,
        waiting: &[Waiting],
        told: &mut Vec<Waiting>,
    ) -> Result<(), EngineError> {
        let new: Vec<&Waiting> = waiting.iter().filter(|waiting| !told.contains(waiting)).collect();
        let records: Vec<Record> = new
            .iter()
            .map(|waiting| Record::Suspended { part: waiting.part.clone(), why: waiting.cause.to_string() })
            .collect();
        self.record(&records).await?;
        *told = waiting.to_vec();
        Ok(())
    }

    /// Steps with all that their effects take. Those whose provider is not configured are left out.
    fn prepare(&self, decision: &Decision) -> Vec<Task> {
        let mut tasks = Vec::with_capacity(decision.steps.len());
        for step in &decision.steps {
            if self.common.outside.progress.may(step) == Go::Stop {
                self.stop.set(true);
                return tasks;
            }
            tasks.extend(self.task(step));
        }
        tasks
    }

    /// Takes in outcomes as they come, in groups, until it is time to look again.
    async fn collect(
        &mut self,
        flight: &mut Flight<'_>,
        parts: usize,
        pace: Span,
    ) -> Result<(), EngineError> {
        let clock = self.common.outside.clock.clone();
        // Many parts are looked at less often: a pass costs time in proportion to them.
        let pace = pace.max(Span(20 + parts as u64 / 5));
        let look_again = clock.now() + pace;
        loop {
            let group = flight.group(&*clock).await;
            let mut records = Vec::with_capacity(group.len());
            for (step, ended, took) in group {
                let outcome = match ended {
                    Ended::Outcome(outcome) => outcome,
                    Ended::Overtaken(error) => return Err(error.into()),
                };
                records.push(Record::Outcome {
                    part: step.part.clone(),
                    act: step.act.clone(),
                    outcome: outcome.clone(),
                });
                if matches!(outcome, Outcome::Accepted { .. }) {
                    self.patience.accepted(&step.part, &step.act, clock.now());
                }
                self.common.outside.progress.tell(&Event::Ended { step, outcome, took });
            }
            self.record(&records).await?;
            if flight.is_empty() || clock.now() >= look_again || self.stop.get() && flight.only_waiting() {
                return Ok(());
            }
        }
    }

    async fn wait(&self, decision: &Decision, pause: Span) {
        let clock = &self.common.outside.clock;
        let mut until = clock.now() + pause;
        if let Some(wake) = decision.wake_at {
            until = until.min(wake.max(clock.now() + Span::millis(1)));
        }
        clock.sleep_until(until).await;
    }
}

/// Whether one scope lies in another.
pub(crate) fn within(inner: Scope, outer: Scope) -> bool {
    match (inner, outer) {
        (_, Scope::Whole) => true,
        (Scope::Slot(slot), Scope::Cloud(cloud)) => slot.cloud == cloud,
        (inner, outer) => inner == outer,
    }
}

pub(crate) fn intent(step: &Step) -> Record {
    Record::Intent { part: step.part.clone(), act: step.act.clone(), reason: step.reason.clone() }
}

/// What a provider or agent said that made a step fail, for people.
pub fn why(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Failed { why, .. } | Outcome::Refused { why } | Outcome::Unknown { why } => Some(why),
        Outcome::Accepted { .. } | Outcome::UsedUp => None,
    }
}
