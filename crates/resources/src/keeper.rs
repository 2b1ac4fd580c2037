//! What is remembered between passes, and the passes themselves.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ideal_core::recipe::Use;
use ideal_core::resource::{Declaration, Heal, Resource, Row, Standing};
use ideal_core::time::Time;
use serde_json::Value;

use crate::eyes::{Cache, Eyes, Trouble};
use crate::ground::Ground;
use crate::hands::Hands;
use crate::ledger::Ledger;
use crate::pass::Pass;
use crate::prepare::{Contents, Item, Prepared, prepare};

/// How often a thing may be made right within [`WINDOW`] before a person is asked: who edits a file by hand a few
/// times is no fight, a program that writes it again each second is.
const TIMES: usize = 10;
/// See [`TIMES`].
const WINDOW: Duration = Duration::from_secs(300);
/// The wait after the first failure; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The same for what costs some system calls: a folder that is just being removed is gone a moment later.
const FIRST_QUICK_WAIT: Duration = Duration::from_millis(50);
/// The longest wait: what was mended elsewhere is found within it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How many heals are remembered.
const HEALS: usize = 200;

/// What is wanted of a node.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// Tells one text of it from another.
    pub hash: &'w str,
    /// The recipes that it uses, in order.
    pub recipes: &'w [Use],
    /// Its own resources.
    pub resources: &'w [Declaration],
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To know how things are. Nothing is changed; foreign programs are asked only when that is allowed.
    Diagnose {
        /// Whether programs of the author may be asked.
        run_checks: bool,
    },
    /// To make things right.
    Converge {
        /// Whether a person asked for this very pass.
        asked_for: bool,
    },
}

/// Which resources a pass is about.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// These labels only, when there are any.
    pub only: BTreeSet<String>,
    /// Those with one of these tags only, when there are any.
    pub tags: BTreeSet<String>,
}

impl Pick {
    /// Whether this one is meant.
    pub fn takes(&self, item: &Item) -> bool {
        let named = self.only.is_empty() || self.only.contains(&item.label);
        let tagged = self.tags.is_empty() || item.tags.iter().any(|tag| self.tags.contains(tag));
        named && tagged
    }
}

/// What is spent on one resource.
#[derive(Debug, Default)]
struct Spent {
    heals: VecDeque<Instant>,
    /// Not tried again before this instant; how long the wait was, and why it failed.
    failed: Option<(Instant, Duration, String)>,
    /// It was given up: only a person, or another text of the ideal, begins anew.
    over: bool,
}

/// Whether a thing may be made right once more.
pub(crate) enum Fight {
    On,
    /// It failed a moment ago.
    Wait(String),
    /// So often, within this time.
    Over(usize, Duration),
}

/// How often things were made right of late.
#[derive(Debug, Default)]
pub(crate) struct Budget(BTreeMap<String, Spent>);

impl Budget {
    pub(crate) fn spend(&mut self, label: &str, now: Instant, asked_for: bool) -> Fight {
        if asked_for {
            self.0.remove(label);
        }
        let Some(spent) = self.0.get_mut(label) else { return Fight::On };
        while spent.heals.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            spent.heals.pop_front();
        }
        spent.over |= spent.heals.len() >= TIMES;
        if spent.over {
            return Fight::Over(TIMES, WINDOW);
        }
        self.waits(label, now).map_or(Fight::On, Fight::Wait)
    }
    /// Why it failed, while it is too early to try again.
    pub(crate) fn waits(&self, label: &str, now: Instant) -> Option<String> {
        let (again, _, why) = self.0.get(label)?.failed.as_ref()?;
        (now < *again).then(|| why.clone())
    }
    pub(crate) fn healed(&mut self, label: &str, now: Instant) {
        let spent = self.0.entry(label.to_owned()).or_default();
        spent.heals.push_back(now);
        spent.failed = None;
    }
    pub(crate) fn failed(&mut self, label: &str, now: Instant, why: &str, quick: bool) {
        let spent = self.0.entry(label.to_owned()).or_default();
        let first = if quick { FIRST_QUICK_WAIT } else { FIRST_WAIT };
        let wait = spent.failed.as_ref().map_or(first, |(_, wait, _)| (*wait * 2).min(LONGEST_WAIT));
        spent.failed = Some((now + wait, wait, why.to_owned()));
    }
    /// It was made right, and was wrong again before one could look: as much a fight as any other.
    pub(crate) fn undone(&mut self, label: &str, now: Instant, why: &str, quick: bool) {
        self.0.entry(label.to_owned()).or_default().heals.push_back(now);
        self.failed(label, now, why, quick);
    }
    /// It is right: whatever failed is mended.
    pub(crate) fn right(&mut self, id: &str) {
        if let Some(spent) = self.0.get_mut(id) {
            spent.failed = None;
        }
    }
    /// The first instant from now on at which something is to be tried again.
    fn next(&self, now: Instant) -> Option<Instant> {
        self.0.values().filter_map(|spent| Some(spent.failed.as_ref()?.0)).filter(|at| *at >= now).min()
    }
}

/// Keeps the resources of one node: what they are, what was found, what was done.
#[derive(Debug)]
pub struct Keeper {
    ground: Rc<dyn Ground>,
    cache: Cache,
    ledger: RefCell<Ledger>,
    budget: RefCell<Budget>,
    prepared: RefCell<Option<(String, Value, Rc<Prepared>)>>,
    rows: RefCell<BTreeMap<usize, Row>>,
    heals: RefCell<VecDeque<Heal>>,
}

impl Keeper {
    /// On this ground, with what was remembered there.
    pub fn new(ground: Rc<dyn Ground>) -> io::Result<Keeper> {
        let ledger = Ledger::read(&ground.memory())?;
        let heals = crate::ledger::read_heals(&ground.memory())?;
        Ok(Keeper {
            ground,
            cache: Cache::default(),
            ledger: RefCell::new(ledger),
            budget: RefCell::default(),
            prepared: RefCell::default(),
            rows: RefCell::default(),
            heals: RefCell::new(heals),
        })
    }

    /// What is wanted, rendered for this node; anew only when text or values changed.
    pub fn prepare(&self, wanted: Wanted<'_>, context: &Value) -> Rc<Prepared> {
        if let Some((hash, values, prepared)) = &*self.prepared.borrow()
            && *hash == wanted.hash
            && values == context
        {
            return prepared.clone();
        }
        let contents: &dyn Contents = &OnDisk(self.ground.clone());
        let prepared = Rc::new(prepare(wanted.recipes, wanted.resources, context, contents));
        if self.prepared.borrow().as_ref().is_none_or(|(hash, ..)| *hash != wanted.hash) {
            // What was fought over may be meant otherwise now.
            self.budget.borrow_mut().0.clear();
        }
        self.rows.borrow_mut().clear();
        *self.prepared.borrow_mut() = Some((wanted.hash.to_owned(), context.clone(), prepared.clone()));
        prepared
    }

    /// One pass. The rows of what was looked at, in order. Two may go on at once when they pick different resources,
    /// so that what is quick need not wait for what is slow.
    pub async fn pass(&self, prepared: &Prepared, mode: Mode, picked: Picked<'_>) -> Vec<Row> {
        self.cache.pass.set(self.cache.pass.get() + 1);
        self.cache.moment.set(self.cache.moment.get() + 1);
        let own = self.is_own(prepared);
        let mut rows = self.once(prepared, mode, &picked, &[], &BTreeSet::new()).await;
        // Who was told of a change after its own turn, or in a life before this one, has another; and what was
        // stopped for a change is started again.
        let (owed, stopped) = {
            let ledger = self.ledger.borrow();
            (ledger.owed.keys().cloned().collect::<BTreeSet<_>>(), ledger.stopped.clone())
        };
        let late = |_: usize, item: &Item| owed.contains(&item.id) || stopped.contains(&item.id);
        let converging = matches!(mode, Mode::Converge { .. });
        if converging && !(picked.stop.get() || owed.is_empty() && stopped.is_empty()) {
            let second = Picked { picked: &late, ..picked };
            let again = self.once(prepared, mode, &second, &rows, &stopped).await;
            for (row, new) in rows.iter_mut().zip(again) {
                if new.as_ref().is_some_and(|new| new.standing != Standing::Right) || row.is_none() {
                    *row = new;
                }
            }
        }
        if converging && own {
            let looked = rows.iter().enumerate().filter_map(|(i, row)| Some((i, row.clone()?)));
            self.rows.borrow_mut().extend(looked);
        }
        let whole = rows.iter().all(Option::is_some) && !picked.stop.get();
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        if converging && own {
            self.drifted(&rows, whole);
            if whole {
                self.forget_strangers(prepared);
            }
        }
        rows
    }

    /// What is owed to nobody that is still wanted is owed no more.
    fn forget_strangers(&self, prepared: &Prepared) {
        let ids: BTreeSet<&str> = prepared.items.iter().map(|item| item.id.as_str()).collect();
        // Should it fail, the next whole pass does it.
        let _ = Ledger::change(&self.ledger, &self.ground.memory(), |ledger| {
            ledger.owed.retain(|id, _| ids.contains(id.as_str()));
            ledger.stopped.retain(|id| ids.contains(id.as_str()));
        });
    }

    async fn once(
        &self,
        prepared: &Prepared,
        mode: Mode,
        picked: &Picked<'_>,
        before: &[Option<Row>],
        start_again: &BTreeSet<String>,
    ) -> Vec<Option<Row>> {
        let nothing = RefCell::default();
        let converging = matches!(mode, Mode::Converge { .. });
        let eyes = Eyes {
            ground: &*self.ground,
            cache: &self.cache,
            ledger: &self.ledger,
            ask_foreign: converging || mode == (Mode::Diagnose { run_checks: true }),
        };
        let pass = Pass {
            prepared,
            eyes,
            hands: converging.then(|| Hands::new(eyes)),
            picked: picked.picked,
            asked_for: mode == (Mode::Converge { asked_for: true }),
            named: picked.named,
            settled: self.is_settled(),
            paused: picked.paused,
            budget: &self.budget,
            progress: picked.progress,
            stop: picked.stop,
            before,
            known: if self.is_own(prepared) { &self.rows } else { &nothing },
            start_again,
        };
        pass.run().await
    }

    /// Remembers drift. What the first whole pass makes right is no drift: it is what was asked for.
    fn drifted(&self, rows: &[Row], whole: bool) {
        if self.is_settled() {
            self.remember(rows);
        } else if whole {
            let hash = self.prepared.borrow().as_ref().map(|(hash, ..)| hash.clone());
            // Losing it would only show what was asked for as if it were drift.
            let _ = Ledger::change(&self.ledger, &self.ground.memory(), |ledger| ledger.settled = hash);
        }
    }

    /// Whether this is what is wanted for good.
    fn is_own(&self, prepared: &Prepared) -> bool {
        self.prepared.borrow().as_ref().is_some_and(|(.., own)| std::ptr::eq(&**own, prepared))
    }

    /// Whether all of what is wanted was looked at before.
    pub fn is_settled(&self) -> bool {
        let prepared = self.prepared.borrow();
        let hash = prepared.as_ref().map(|(hash, ..)| hash);
        hash.is_some() && self.ledger.borrow().settled.as_ref() == hash
    }

    /// Remembers what was made right, and what was given up.
    fn remember(&self, rows: &[Row]) {
        let mut heals = self.heals.borrow_mut();
        let told = |row: &&Row| match row.standing {
            Standing::Healed => true,
            Standing::Failed | Standing::Suspended => {
                let before = heals.iter().rev().find(|heal| heal.label == row.label);
                before.is_none_or(|heal| heal.standing != row.standing || Some(&heal.why) != row.why.as_ref())
            }
            _ => false,
        };
        let first = heals.back().map_or(0, |heal| heal.number) + 1;
        let told: Vec<&Row> = rows.iter().filter(told).collect();
        let heal = |(number, row): (u64, &&Row)| Heal {
            number,
            at: now(),
            label: row.label.clone(),
            standing: row.standing,
            why: row.why.clone().unwrap_or_default(),
            differences: row.differences.clone(),
        };
        let new: Vec<Heal> = (first..).zip(&told).map(heal).collect();
        if new.is_empty() {
            return;
        }
        heals.extend(new.iter().cloned());
        let surplus = heals.len().saturating_sub(HEALS);
        heals.drain(..surplus);
        // A history that cannot be written must not stop the healing.
        let _ = crate::ledger::append_heals(&self.ground.memory(), &new);
    }

    /// Recipes and resources that are not what is wanted for good, rendered for this node.
    pub fn prepare_once(&self, recipes: &[Use], resources: &[Declaration], context: &Value) -> Prepared {
        prepare(recipes, resources, context, &OnDisk(self.ground.clone()))
    }

    /// Asks the program of a plugin about the thing that this resource declares. The error says why there is no
    /// answer.
    pub async fn query(&self, prepared: &Prepared, label: &str, text: &str) -> Result<Value, String> {
        let item = prepared.items.iter().find(|item| item.label == label);
        let spec = match item.map(|item| &item.wanted) {
            Some(Ok(Resource::Plugin(spec))) => spec,
            Some(Ok(_)) => return Err(format!("`{label}` is no plugin, and answers nothing")),
            Some(Err((standing, why))) => return Err(format!("`{label}` is {}: {why}", standing.word())),
            None => return Err(format!("there is no resource `{label}` here")),
        };
        let eyes =
            Eyes { ground: &*self.ground, cache: &self.cache, ledger: &self.ledger, ask_foreign: true };
        match crate::kinds::plugin::query(spec, label, &eyes, text).await {
            Ok(answer) => Ok(answer),
            Err(Trouble::Failed { why, .. } | Trouble::NotLookedAt(why)) => Err(why),
        }
    }

    /// How each resource stood when it was last looked at to keep it right, by place.
    pub fn standings(&self) -> BTreeMap<usize, Standing> {
        self.rows.borrow().iter().map(|(place, row)| (*place, row.standing)).collect()
    }
    /// The last row of every resource that was looked at to keep it right.
    pub fn rows(&self) -> Vec<Row> {
        self.rows.borrow().values().cloned().collect()
    }
    /// What was made right or given up last, oldest first.
    pub fn heals(&self, most: usize) -> Vec<Heal> {
        let heals = self.heals.borrow();
        heals.iter().skip(heals.len().saturating_sub(most)).cloned().collect()
    }
    /// Processes whose end is worth a new look, by the label of the resource.
    pub fn processes(&self) -> BTreeMap<String, BTreeSet<u32>> {
        self.cache.processes.borrow().clone()
    }
    /// When the first of what failed is to be tried again.
    pub fn try_again_at(&self) -> Option<Instant> {
        self.budget.borrow().next(Instant::now())
    }
    /// Whether somebody is still to be told of a change.
    pub fn owes(&self) -> bool {
        !self.ledger.borrow().owed.is_empty()
    }
}

/// Which resources a pass is about, who is left alone, and who hears of it.
#[derive(Clone, Copy)]
pub struct Picked<'p> {
    /// Whether each is meant.
    pub picked: &'p dyn Fn(usize, &Item) -> bool,
    /// Whether a person named the very resources that are meant.
    pub named: bool,
    /// Why one is left alone, if it is.
    pub paused: &'p dyn Fn(&Item) -> Option<String>,
    /// Told of each row as it is made.
    pub progress: &'p dyn Fn(usize, &Row),
    /// Set when the pass is to stop before the next resource.
    pub stop: &'p Cell<bool>,
}

impl std::fmt::Debug for Picked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picked").field("stop", self.stop).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct OnDisk(Rc<dyn Ground>);

impl Contents for OnDisk {
    fn text(&self, hash: &str) -> io::Result<String> {
        std::fs::read_to_string(self.0.blob(hash))
    }
}

fn now() -> Time {
    ideal_host::now()
}
