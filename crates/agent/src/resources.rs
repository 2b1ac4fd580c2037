//! Keeps the resources of the slice in force right, for as long as the agent lives; and does what a person asks of
//! them in between.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use ideal_api::{LinkError, Work, WorkMode};
use ideal_core::observed::Problem;
use ideal_core::resource::{Row, Standing};
use ideal_host::now;
use ideal_resources::keeper::Picked;
use ideal_resources::prepare::{Item, Prepared};
use ideal_resources::watch::Watch;
use ideal_resources::{Ground, Keeper, Mode, Pick, Wanted};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::node::Node;
use crate::state::Held;

/// What a person asked of the resources, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Asked {
    Work { work: Box<Work>, reply: oneshot::Sender<Result<Vec<Row>, LinkError>> },
    Query { label: String, question: String, reply: oneshot::Sender<Result<Value, LinkError>> },
}

/// What the next pass is about.
enum Turn {
    /// Everything.
    All,
    /// These, by place.
    Some(BTreeSet<usize>),
}

impl Turn {
    fn places(&self, prepared: &Prepared) -> BTreeSet<usize> {
        match self {
            Turn::All => (0..prepared.items.len()).collect(),
            Turn::Some(places) => places.clone(),
        }
    }
}

/// A pass over what runs programs, beside which what is quick goes on being kept right.
struct Lane {
    pass: Pin<Box<dyn Future<Output = ()>>>,
    stop: Rc<Cell<bool>>,
}

/// Keeps resources right for ever.
pub(crate) async fn keep(node: Rc<Node>, mut asked: mpsc::UnboundedReceiver<Asked>) {
    let keeper = loop {
        match Keeper::new(node.clone()) {
            Ok(keeper) => break Rc::new(keeper),
            Err(error) => {
                // Not guessed at: what was done once would be done twice.
                node.log.say(format_args!("resources: what was done before cannot be read: {error}"));
                tokio::time::sleep(node.pace.sweep).await;
            }
        }
    };
    let mut keeping = Keeping {
        node,
        keeper,
        watch: Watch::none(),
        watched: None,
        moved: false,
        reported: Vec::new(),
        lane: None,
        late: BTreeSet::new(),
    };
    let mut versions = keeping.node.versions();
    let mut turn = Turn::All;
    let mut swept = Instant::now();
    loop {
        versions.mark_unchanged();
        match keeping.node.slice().map(|held| held.clone()).filter(|held| !held.slice.quiet) {
            Some(held) => {
                if matches!(turn, Turn::All) {
                    swept = Instant::now();
                    keeping.node.refresh_facts(&held.slice).await;
                }
                // What changed between the look and the watch is found by another look.
                if !keeping.turn(&held, turn).await || keeping.rewatch() {
                    turn = Turn::All;
                    continue;
                }
            }
            // A node that is to be quiet waits for no program: it is killed, and run again later.
            None => (keeping.lane, swept) = (None, Instant::now()),
        }
        let pace = keeping.node.pace;
        let again = if keeping.restless().is_empty() { pace.sweep } else { pace.drift };
        let mut until = (swept + pace.sweep).min(Instant::now() + again);
        if let Some(next) = keeping.keeper.try_again_at() {
            until = until.min(Instant::from_std(next).max(Instant::now() + BREATH));
        }
        let busy = keeping.lane.is_some();
        turn = tokio::select! {
            _ = versions.changed() => Turn::All,
            noticed = keeping.watch.noticed() => {
                keeping.moved |= noticed.all;
                if noticed.all { Turn::All } else { Turn::Some(noticed.places) }
            }
            () = tokio::time::sleep_until(until) => {
                if swept.elapsed() >= pace.sweep { Turn::All } else { Turn::Some(keeping.restless()) }
            }
            () = ended(&mut keeping.lane), if busy => {
                keeping.lane = None;
                if let Some(held) = keeping.node.slice().map(|held| held.clone()) {
                    keeping.report(&held);
                }
                Turn::Some(std::mem::take(&mut keeping.late))
            }
            // One at a time: what a person asks for may be what the lane is at.
            Some(asked) = asked.recv(), if !busy => {
                // Who asked may have hung up, which is no matter.
                match asked {
                    // Nobody waits for it any more: it is not done behind anybody's back.
                    Asked::Work { reply, .. } if reply.is_closed() => {}
                    Asked::Work { work, reply } => {
                        let _ = reply.send(keeping.asked(*work).await);
                    }
                    Asked::Query { label, question, reply } => {
                        let _ = reply.send(keeping.queried(&label, &question).await);
                    }
                }
                Turn::Some(BTreeSet::new())
            }
        };
    }
}

/// The end of the lane.
async fn ended(lane: &mut Option<Lane>) {
    match lane {
        Some(lane) => lane.pass.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Processes by the id of their resource.
type Processes = BTreeMap<String, BTreeSet<u32>>;

struct Keeping {
    node: Rc<Node>,
    keeper: Rc<Keeper>,
    watch: Watch,
    /// The resources that were last looked at, and the processes that were watched with them.
    watched: Option<(Rc<Prepared>, Option<Processes>)>,
    /// Whether paths moved, so that all is to be watched anew.
    moved: bool,
    reported: Vec<Problem>,
    /// What runs programs now.
    lane: Option<Lane>,
    /// What is to be looked at when the lane is free.
    late: BTreeSet<usize>,
}

impl Keeping {
    fn prepared(&mut self, held: &Held) -> Rc<Prepared> {
        let context = self.node.context(&held.slice, None);
        let slice = &held.slice;
        let wanted = Wanted { hash: held.meant(), recipes: &slice.recipes, resources: &slice.resources };
        self.keeper.prepare(wanted, &context)
    }

    /// One turn. False when it was broken off, for something else is wanted by now.
    async fn turn(&mut self, held: &Held, turn: Turn) -> bool {
        let prepared = self.prepared(held);
        let known = self.watched.as_ref().is_some_and(|(before, _)| Rc::ptr_eq(before, &prepared));
        if known && self.keeper.is_settled() {
            let told = self.node.seen.borrow().resources.as_ref().map(|(hash, _)| hash.clone());
            if told.is_some_and(|hash| hash != held.hash) {
                // Other names and nothing else: what was seen of resources holds, also where there are none.
                self.report(held);
            }
            let (quick, slow): (BTreeSet<usize>, BTreeSet<usize>) =
                turn.places(&prepared).into_iter().partition(|place| prepared.items[*place].is_quick());
            if !quick.is_empty() && !self.pass(held, &prepared, quick).await {
                return false;
            }
            self.late.extend(slow);
            if self.lane.is_none() && !self.late.is_empty() {
                let places = std::mem::take(&mut self.late);
                self.lane = Some(self.lane(held, &prepared, places));
            }
            return true;
        }
        // Something new goes in its order, all of it; what the lane is at was wanted before.
        if let Some(mut lane) = self.lane.take() {
            lane.stop.set(true);
            tokio::select! {
                () = lane.pass.as_mut() => {}
                () = quiet(&self.node) => return false,
            }
        }
        self.late.clear();
        let whole = self.pass(held, &prepared, Turn::All.places(&prepared)).await;
        if whole && !known {
            self.watched = Some((prepared, None));
        }
        whole
    }

    /// A pass over these. False when it was broken off, for something else is wanted by now.
    async fn pass(&mut self, held: &Held, prepared: &Prepared, places: BTreeSet<usize>) -> bool {
        let stop = Cell::new(false);
        tokio::select! {
            () = pass(&self.node, &self.keeper, held.meant(), prepared, &places, &stop) => {}
            // A node that is to be quiet waits for no program: it is killed, and run again later.
            () = quiet(&self.node) => return false,
        }
        if self.node.slice().is_none_or(|now| now.meant() != held.meant()) {
            return false;
        }
        self.report(held);
        true
    }

    /// The same aside.
    fn lane(&self, held: &Held, prepared: &Rc<Prepared>, places: BTreeSet<usize>) -> Lane {
        let stop = Rc::new(Cell::new(false));
        let (node, keeper, prepared) = (self.node.clone(), self.keeper.clone(), prepared.clone());
        let (hash, own) = (held.meant().to_owned(), stop.clone());
        let pass = async move { pass(&node, &keeper, &hash, &prepared, &places, &own).await };
        Lane { pass: Box::pin(pass), stop }
    }

    /// What the program of a plugin says.
    async fn queried(&mut self, label: &str, question: &str) -> Result<Value, LinkError> {
        let held = self.node.slice().map(|held| held.clone());
        let held =
            held.ok_or_else(|| LinkError::Refused { why: "nothing is wanted of this node yet".to_owned() })?;
        let prepared = self.prepared(&held);
        self.keeper.query(&prepared, label, question).await.map_err(|why| LinkError::Refused { why })
    }

    /// What a person asked for.
    async fn asked(&mut self, work: Work) -> Result<Vec<Row>, LinkError> {
        let refused = |why: &str| LinkError::Refused { why: why.to_owned() };
        let held = self.node.slice().map(|held| held.clone());
        let held = held.ok_or_else(|| refused("nothing is wanted of this node yet; run `ideal up`"))?;
        let mode = match work.mode {
            WorkMode::Diagnose { run_checks } => Mode::Diagnose { run_checks },
            WorkMode::Converge if held.slice.quiet => {
                return Err(refused("this node is to be quiet: it is being put away"));
            }
            WorkMode::Converge => Mode::Converge { asked_for: true },
        };
        let prepared = match &work.recipes {
            None => self.prepared(&held),
            Some(recipes) => {
                self.node.gather_facts().await;
                ideal_resources::plugins::install(&*self.node, &work.plugins)
                    .map_err(|error| refused(&format!("a plugin is not here: {error}")))?;
                let mut context = self.node.context(&held.slice, None);
                for (name, value) in &work.beyond {
                    context[name] = value.clone();
                }
                let secrets =
                    work.secrets.iter().map(|(name, secret)| (name.to_string(), json!(secret.reveal())));
                context["secret"] = Value::Object(secrets.collect());
                crate::secrets::serve(&mut context);
                Rc::new(self.keeper.prepare_once(recipes, &[], &context))
            }
        };
        let pick = Pick { only: work.only.into_iter().collect(), tags: work.tags.into_iter().collect() };
        let unknown: Vec<&String> = pick
            .only
            .iter()
            .filter(|label| !prepared.items.iter().any(|item| item.label == **label))
            .collect();
        if let Some(label) = unknown.first() {
            return Err(refused(&format!("there is no resource `{label}` on {}", held.slice.name)));
        }
        let node = self.node.clone();
        let picked = |_: usize, item: &Item| pick.takes(item);
        let paused = |item: &Item| paused(&node, item);
        let progress = |_: usize, row: &Row| {
            if row.standing == Standing::Healed {
                node.log.say(format_args!(
                    "{}: {} (asked for)",
                    row.label,
                    row.why.as_deref().unwrap_or("changed")
                ));
            }
        };
        let stop = Cell::new(false);
        let named = !pick.only.is_empty();
        let picked = Picked { picked: &picked, named, paused: &paused, progress: &progress, stop: &stop };
        let rows = tokio::select! {
            rows = self.keeper.pass(&prepared, mode, picked) => rows,
            () = quiet(&self.node) => return Err(refused("this node is to be quiet: it is being put away")),
        };
        // A part of what is wanted says nothing of the whole before that was looked at.
        let looked = self.node.seen.borrow().resources.as_ref().is_some_and(|(hash, _)| *hash == held.hash);
        if work.recipes.is_none() && looked && mode == (Mode::Converge { asked_for: true }) {
            self.report(&held);
        }
        Ok(rows)
    }

    /// Into the report: what is not right, and what was made so.
    fn report(&mut self, held: &Held) {
        let node = &self.node;
        let problem = |row: &Row| Problem {
            what: row.label.clone(),
            why: row.why.clone().unwrap_or_else(|| row.standing.word().to_owned()),
            waiting: row.standing == Standing::Waiting,
        };
        let rows = self.keeper.rows();
        let left = |row: &&Row| matches!(row.standing, Standing::Wrong | Standing::Asks | Standing::Paused);
        let bad = |row: &&Row| !row.standing.is_good() && !left(row);
        let problems: Vec<Problem> = rows.iter().filter(bad).map(problem).collect();
        let left: Vec<Problem> = rows.iter().filter(left).map(problem).collect();
        for problem in problems.iter().filter(|problem| !self.reported.contains(problem)) {
            node.log.say(format_args!("{}: {}", problem.what, problem.why));
        }
        self.reported.clone_from(&problems);
        let first = node.seen.borrow().resources.as_ref().is_none_or(|(hash, _)| *hash != held.hash);
        let mut seen = node.seen.borrow_mut();
        seen.heals = self.keeper.heals(REPORTED);
        seen.resources = Some((held.hash.clone(), problems));
        seen.left = left;
        seen.labels = rows.iter().map(|row| row.label.clone()).collect();
        drop(seen);
        if first {
            // Services start after the first whole look.
            node.touch();
        }
    }

    /// Watches anew when what is to be watched changed. True: it did.
    fn rewatch(&mut self) -> bool {
        let Some((prepared, before)) = &mut self.watched else { return false };
        let processes = self.keeper.processes();
        if before.as_ref() == Some(&processes) && !self.moved {
            return false;
        }
        self.watch = Watch::new(&*self.node as &dyn Ground, prepared, &processes);
        *before = Some(processes);
        self.moved = false;
        true
    }

    /// What is not right and may become so.
    fn restless(&self) -> BTreeSet<usize> {
        let again =
            |standing: Standing| matches!(standing, Standing::Failed | Standing::Blocked | Standing::Paused);
        let standings = self.keeper.standings();
        let bad = standings.into_iter().filter(|(_, standing)| again(*standing)).map(|(place, _)| place);
        bad.chain(self.watch.unwatched().iter().copied()).collect()
    }
}

/// The shortest pause between two passes that nothing but time asks for.
const BREATH: std::time::Duration = std::time::Duration::from_millis(10);
/// How many heals a report shows.
const REPORTED: usize = 50;

/// One pass that keeps right, and says in the log what it did.
async fn pass(
    node: &Node,
    keeper: &Keeper,
    hash: &str,
    prepared: &Prepared,
    places: &BTreeSet<usize>,
    stop: &Cell<bool>,
) {
    let picked = |i: usize, _: &Item| places.contains(&i);
    let paused = |item: &Item| paused(node, item);
    let progress = |_: usize, row: &Row| {
        if row.standing == Standing::Healed {
            node.log.say(format_args!("{}: {}", row.label, row.why.as_deref().unwrap_or("changed")));
        }
        // A newer slice has come: what follows may no longer be wanted.
        stop.set(stop.get() || node.slice().is_none_or(|now| now.meant() != hash));
    };
    let picked = Picked { picked: &picked, named: false, paused: &paused, progress: &progress, stop };
    keeper.pass(prepared, Mode::Converge { asked_for: false }, picked).await;
}

/// Why an item is left alone, if it is.
fn paused(node: &Node, item: &Item) -> Option<String> {
    let now = now();
    let state = node.state();
    let pause = state.pauses.iter().find(|pause| pause.holds(&item.label, now))?;
    let until = i64::try_from(pause.until.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let until = until.map(|at| format!(" until {at:.0}")).unwrap_or_default();
    Some(format!("{} left it alone{until}: {}", pause.who, pause.why))
}

/// Waits until the slice in force says that the node is to be quiet.
async fn quiet(node: &Node) {
    let mut versions = node.versions();
    while !node.slice().is_some_and(|held| held.slice.quiet) {
        if versions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
