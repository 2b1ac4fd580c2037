//! One pass over the resources of a node: each in its turn looked at, compared, and changed if that is the mode.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ideal_core::resource::declaration::Care;
use ideal_core::resource::order::Reach;
use ideal_core::resource::package::PackageSpec;
use ideal_core::resource::{Difference, Resource, Row, Standing, Verdict, Wrong, why};
use ideal_host::crash_point;

use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::keeper::{Budget, Fight};
use crate::kinds::{About, Keep};
use crate::prepare::{Item, Prepared};

/// How many programs of resources run at once: more would only wait for the same disk and processors.
const AT_ONCE: usize = 8;
/// How many lines around a difference are shown.
const AROUND: usize = 2;
/// The longest difference that is kept.
const LONGEST_DIFF: usize = 16 << 10;

/// How a pass goes about it.
pub(crate) struct Pass<'p> {
    pub prepared: &'p Prepared,
    pub eyes: Eyes<'p>,
    /// None: this is a diagnosis, and nothing is changed.
    pub hands: Option<Hands<'p>>,
    /// Whether each item is among those to be looked at.
    pub picked: &'p dyn Fn(usize, &Item) -> bool,
    /// Whether a person asked for this very pass: then what asks is agreed to, and what is suspended tried again.
    pub asked_for: bool,
    /// Whether a person named the very resources that are picked.
    pub named: bool,
    /// Whether all of this was right, or seen to be wrong, before: what differs now is drift.
    pub settled: bool,
    /// Why an item is left alone, if it is.
    pub paused: &'p dyn Fn(&Item) -> Option<String>,
    pub budget: &'p RefCell<Budget>,
    /// Told of each row as it is made.
    pub progress: &'p dyn Fn(usize, &Row),
    /// Set when the pass is to stop before the next resource.
    pub stop: &'p Cell<bool>,
    /// What an earlier round of the same pass found, by place.
    pub before: &'p [Option<Row>],
    /// What was found when each was last looked at.
    pub known: &'p RefCell<BTreeMap<usize, Row>>,
    /// Units, by id, that were stopped for a change and are to run again whatever else holds.
    pub start_again: &'p BTreeSet<String>,
}

/// A change that was begun.
struct Begun<C> {
    wrong: Wrong<C>,
    row: Row,
    /// Who is owed news of it, and was not before.
    owing: Vec<String>,
}

/// What was done before a change.
#[derive(Default)]
struct Ahead {
    /// Who is owed news of it, and was not before.
    told: Vec<String>,
    /// Whether a unit was stopped for it.
    stopped: bool,
}

type Turn<'t> = Pin<Box<dyn Future<Output = Vec<(usize, Row)>> + 't>>;

impl Pass<'_> {
    /// Every row, by place; none for what was not picked or not come to.
    pub(crate) async fn run(&self) -> Vec<Option<Row>> {
        let count = self.prepared.items.len();
        let mut rows: Vec<Option<Row>> = vec![None; count];
        let mut waits: Vec<usize> = vec![0; count];
        let mut waiters: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (i, wait) in waits.iter_mut().enumerate() {
            for other in self.prepared.graph.needs[i].iter().chain(&self.prepared.graph.follows[i]) {
                *wait += 1;
                waiters[*other].push(i);
            }
        }
        let mut ready: BTreeSet<usize> = (0..count).filter(|i| waits[*i] == 0).collect();
        let mut turns: FuturesUnordered<Turn<'_>> = FuturesUnordered::new();
        let mut packages: Vec<(usize, &PackageSpec)> = Vec::new();
        let done = |i: usize, ready: &mut BTreeSet<usize>, waits: &mut Vec<usize>| {
            for waiter in &waiters[i] {
                waits[*waiter] -= 1;
                if waits[*waiter] == 0 {
                    ready.insert(*waiter);
                }
            }
        };
        loop {
            while let Some(i) = ready.pop_first() {
                let item = &self.prepared.items[i];
                if self.stop.get() || !(self.picked)(i, item) {
                    done(i, &mut ready, &mut waits);
                    continue;
                }
                if let Some(row) = self.said(i, &rows) {
                    rows[i] = Some(self.told(i, row));
                    done(i, &mut ready, &mut waits);
                    continue;
                }
                let Some(resource) = item.resource() else { continue };
                if resource.reach() == Reach::Own && is_quick(resource) {
                    let row = self.turn(i, resource).await;
                    rows[i] = Some(self.told(i, row));
                    done(i, &mut ready, &mut waits);
                    continue;
                }
                if let Resource::Package(spec) = resource
                    && resource.reach() == Reach::Packages
                {
                    packages.push((i, &**spec));
                    continue;
                }
                if turns.len() >= AT_ONCE {
                    ready.insert(i);
                    break;
                }
                turns.push(self.slow(i, resource));
            }
            // All packages that nothing holds up any more are one transaction.
            if !packages.is_empty() {
                turns.push(Box::pin(self.several(std::mem::take(&mut packages))));
            }
            match turns.next().await {
                Some(made) => {
                    for (i, row) in made {
                        rows[i] = Some(self.told(i, row));
                        done(i, &mut ready, &mut waits);
                    }
                }
                None if ready.is_empty() => return rows,
                None => {}
            }
        }
    }

    /// The turn of something that runs programs.
    fn slow<'t>(&'t self, i: usize, resource: &'t Resource) -> Turn<'t> {
        Box::pin(async move { vec![(i, self.turn(i, resource).await)] })
    }

    /// One turn for several of a kind: each is looked at, and what is wrong is changed together.
    async fn several<K: Keep>(&self, specs: Vec<(usize, &K)>) -> Vec<(usize, Row)> {
        let started = Instant::now();
        let mut rows = Vec::new();
        let mut wrongs = Vec::new();
        for (i, spec) in specs {
            match self.start(i, spec).await {
                Ok(begun) => wrongs.push((i, spec, begun)),
                Err(row) => rows.push((i, *row)),
            }
        }
        let Some(hands) = &self.hands else { return rows };
        let about = |i: usize| self.about(i);
        let together: Vec<(&K, &K::Change, About<'_>)> =
            wrongs.iter().map(|(i, spec, begun)| (*spec, &begun.wrong.change, about(*i))).collect();
        let changed = if together.is_empty() { Vec::new() } else { K::apply_all(&together, hands).await };
        for ((i, spec, begun), changed) in wrongs.iter().zip(changed) {
            let mut row = self.settled(*i, *spec, about(*i), hands, begun, changed).await;
            row.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            rows.push((*i, row));
        }
        rows
    }

    /// The one way out for a row: no secret leaves with it.
    fn told(&self, i: usize, row: Row) -> Row {
        let row = self.veiled(&self.prepared.items[i], row);
        (self.progress)(i, &row);
        row
    }

    fn row(&self, i: usize, standing: Standing, why: Option<String>) -> Row {
        let item = &self.prepared.items[i];
        Row {
            label: item.label.clone(),
            recipe: item.recipe.clone(),
            standing,
            why,
            differences: Vec::new(),
            diff: None,
            output: None,
            micros: 0,
            unseen: false,
        }
    }

    /// What can be said without a look.
    fn said(&self, i: usize, rows: &[Option<Row>]) -> Option<Row> {
        let item = &self.prepared.items[i];
        if let Err((standing, why)) = &item.wanted {
            return Some(self.row(i, *standing, Some(why.clone())));
        }
        // A diagnosis tells of each thing how it is; only a change must wait. And what we stopped must run again.
        if self.hands.is_none() || self.start_again.contains(&item.id) {
            return None;
        }
        let known = self.known.borrow();
        let was_right = known.get(&i).is_some_and(|row| row.standing.is_good());
        let bad = self.prepared.graph.needs[i].iter().find_map(|need| {
            let earlier = || self.before.get(*need).and_then(Option::as_ref).or_else(|| known.get(need));
            let row = rows[*need].as_ref().or_else(earlier)?;
            let fine = row.standing.is_good() || row.standing == Standing::NotLookedAt;
            // That nobody could look at it just now does not make wrong what was right with it.
            (!(fine || row.unseen && was_right)).then_some(row)
        });
        let bad = bad?;
        let why = format!("it needs {}, which is {}", bad.label, bad.standing.word());
        Some(self.row(i, Standing::Blocked, Some(why)))
    }

    async fn turn(&self, i: usize, resource: &Resource) -> Row {
        let started = Instant::now();
        // Said anew by the look.
        self.eyes.cache.processes.borrow_mut().remove(&self.prepared.items[i].id);
        let mut row = crate::kinds::each!(resource, spec => self.one(i, &**spec).await);
        row.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        row
    }

    fn about(&self, i: usize) -> About<'_> {
        let item = &self.prepared.items[i];
        let notified = self.eyes.ledger().owed.contains_key(&item.id);
        About { label: &item.label, id: &item.id, secret: item.secret, notified }
    }

    async fn one<K: Keep>(&self, i: usize, spec: &K) -> Row {
        let begun = match self.start(i, spec).await {
            Ok(begun) => begun,
            Err(row) => return *row,
        };
        let Some(hands) = &self.hands else { return begun.row };
        let about = self.about(i);
        let changed = spec.apply(&begun.wrong.change, about, hands).await;
        self.settled(i, spec, about, hands, &begun, changed).await
    }

    /// How it differs, when it does and is to be changed now; what comes before the change is done. Else its row.
    async fn start<K: Keep>(&self, i: usize, spec: &K) -> Result<Begun<K::Change>, Box<Row>> {
        let item = &self.prepared.items[i];
        // To look may be a whole program, which is not run again and again for what failed a moment ago.
        let slow = item.resource().is_some_and(|resource| !is_quick(resource));
        if slow && self.hands.is_some() && !self.asked_for {
            let waits = self.budget.borrow().waits(&item.id, Instant::now());
            if let Some(why) = waits {
                return Err(Box::new(self.row(i, Standing::Failed, Some(why))));
            }
        }
        let mut wrong = match self.found(i, spec, self.about(i)).await {
            Ok(wrong) => wrong,
            Err(row) => {
                self.looked(item, &row).map_err(|error| {
                    Box::new(Row {
                        standing: Standing::Failed,
                        why: Some(error.to_string()),
                        ..(*row).clone()
                    })
                })?;
                return Err(row);
            }
        };
        let mut row = self.row(i, Standing::Wrong, Some(wrong.why()));
        self.show(item, &wrong, &mut row);
        let Some(hands) = &self.hands else { return Err(Box::new(row)) };
        if let Some((standing, why)) = self.left_alone(item, &wrong) {
            return Err(Box::new(Row { standing, why: Some(why), ..row }));
        }
        let owing = match self.ahead(i, hands).await {
            Ok(ahead) => ahead,
            Err(trouble) => return Err(Box::new(self.troubled(row, trouble))),
        };
        if owing.stopped {
            // What ended may have written what it kept in memory: the change is to what is there now.
            wrong = self.found(i, spec, self.about(i)).await?;
        }
        Ok(Begun { wrong, row, owing: owing.told })
    }

    /// What follows from a look after which there is nothing to be done.
    fn looked(&self, item: &Item, row: &Row) -> std::io::Result<()> {
        let Some(hands) = &self.hands else { return Ok(()) };
        match row.standing {
            Standing::Right => {
                self.budget.borrow_mut().right(&item.id);
                hands.note(|ledger| {
                    ledger.owed.remove(&item.id);
                    ledger.stopped.remove(&item.id);
                })
            }
            Standing::Failed => {
                let (quick, why) =
                    (item.resource().is_some_and(is_quick), row.why.clone().unwrap_or_default());
                self.budget.borrow_mut().failed(&item.id, Instant::now(), &why, quick);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How it differs; or the row, when there is nothing to be done.
    async fn found<K: Keep>(
        &self,
        i: usize,
        spec: &K,
        about: About<'_>,
    ) -> Result<Wrong<K::Change>, Box<Row>> {
        let row = |standing, why| Err(Box::new(self.row(i, standing, why)));
        match spec.look(about, &self.eyes).await {
            Ok(seen) => match spec.compare(&seen) {
                Verdict::Right => row(Standing::Right, None),
                Verdict::Refused(why) => row(Standing::Failed, Some(why)),
                Verdict::Wrong(wrong) => Ok(wrong),
            },
            Err(trouble) => {
                let row = self.troubled(self.row(i, Standing::Failed, None), trouble);
                Err(Box::new(Row { unseen: true, ..row }))
            }
        }
    }

    fn troubled(&self, row: Row, trouble: Trouble) -> Row {
        match trouble {
            Trouble::Failed { why, output } => {
                Row { standing: Standing::Failed, why: Some(why), output, ..row }
            }
            Trouble::NotLookedAt(why) => Row { standing: Standing::NotLookedAt, why: Some(why), ..row },
        }
    }

    fn show<C>(&self, item: &Item, wrong: &Wrong<C>, row: &mut Row) {
        row.differences.clone_from(&wrong.differences);
        if item.secret {
            // Neither sizes nor hashes: a short secret could be found by trying.
            for difference in &mut row.differences {
                if !matches!(difference.what.as_str(), "" | "mode" | "owner" | "group") {
                    *difference = Difference::new(&difference.what, "another", "as wanted");
                }
            }
            row.why = Some(why(&row.differences));
            row.diff = wrong.texts.is_some().then(|| "it holds a secret, so it is not shown".to_owned());
        } else if let Some((old, new)) = &wrong.texts {
            let mut diff =
                similar::TextDiff::from_lines(old, new).unified_diff().context_radius(AROUND).to_string();
            if diff.len() > LONGEST_DIFF {
                diff.truncate(diff.floor_char_boundary(LONGEST_DIFF));
                diff.push_str("\n... and more\n");
            }
            row.diff = Some(diff);
        }
    }

    /// Why it is left as it is, though it is wrong.
    fn left_alone<C>(&self, item: &Item, wrong: &Wrong<C>) -> Option<(Standing, String)> {
        if self.start_again.contains(&item.id) {
            return None;
        }
        let differs = || match item.secret {
            true => "it is not as wanted".to_owned(),
            false => wrong.why(),
        };
        if let Some(why) = (self.paused)(item) {
            return Some((Standing::Paused, format!("{}; {why}", differs())));
        }
        match item.care {
            Care::Report if !self.named => {
                return Some((Standing::Wrong, format!("{}; it is only reported", differs())));
            }
            Care::Ask if !self.asked_for && self.settled => {
                let why = format!("{}; `ideal heal --only '{}'` makes it right", differs(), item.label);
                return Some((Standing::Asks, why));
            }
            _ => {}
        }
        match self.budget.borrow_mut().spend(&item.id, Instant::now(), self.asked_for) {
            Fight::On => None,
            Fight::Wait(why) => Some((Standing::Failed, why)),
            Fight::Over(times, within) => {
                let why = format!(
                    "{}; it was made right {times} times within {within:?} and did not stay so: \
                     something else wants it otherwise",
                    differs()
                );
                Some((Standing::Suspended, why))
            }
        }
    }

    /// What comes before the change itself: what it will owe is written down, and units that must not run are
    /// stopped.
    async fn ahead(&self, i: usize, hands: &Hands<'_>) -> Result<Ahead, Trouble> {
        let item = &self.prepared.items[i];
        let mut ahead = Ahead::default();
        if !item.notifies.is_empty() {
            let id = |target: &usize| self.prepared.items[*target].id.clone();
            let owed =
                |target: &String| self.eyes.ledger().owed.get(target).is_some_and(|by| by.contains(&item.id));
            ahead.told = item.notifies.iter().map(id).filter(|target| !owed(target)).collect();
            let new = ahead.told.clone();
            hands.note(|ledger| {
                for target in new {
                    ledger.owed.entry(target).or_default().insert(item.id.clone());
                }
            })?;
            crash_point("owed-noted");
        }
        for other in &self.prepared.items {
            if !other.while_stopped.contains(&i) {
                continue;
            }
            if let Some(Resource::Unit(unit)) = other.resource() {
                let about =
                    About { label: &other.label, id: &other.id, secret: other.secret, notified: false };
                if !crate::kinds::unit::runs(unit, about, hands).await? {
                    continue;
                }
                // Noted first: whatever happens, it is started again.
                hands.note(|ledger| {
                    ledger.stopped.insert(other.id.clone());
                })?;
                crate::kinds::unit::stop_for_a_change(unit, about, hands).await?;
                ahead.stopped = true;
                crash_point("unit-stopped-for-a-change");
            }
        }
        Ok(ahead)
    }

    /// Looks again after a change, and says what came of it.
    async fn settled<K: Keep>(
        &self,
        i: usize,
        spec: &K,
        about: About<'_>,
        hands: &Hands<'_>,
        begun: &Begun<K::Change>,
        changed: Result<Option<String>, Trouble>,
    ) -> Row {
        let row = begun.row.clone();
        let item = &self.prepared.items[i];
        let quick = item.resource().is_some_and(is_quick);
        let output = match changed {
            Ok(output) => output,
            Err(trouble) => {
                let row = self.troubled(row, trouble);
                let why = row.why.clone().unwrap_or_default();
                self.budget.borrow_mut().failed(&item.id, Instant::now(), &why, quick);
                return match self.withdrawn(i, spec, about, hands, begun).await {
                    Ok(()) => row,
                    Err(error) => Row { why: Some(format!("{why}; and {error}")), ..row },
                };
            }
        };
        crash_point("changed");
        let paid = hands.note(|ledger| {
            ledger.owed.remove(&item.id);
            ledger.stopped.remove(&item.id);
        });
        if let Err(error) = paid {
            return Row { standing: Standing::Failed, why: Some(error.to_string()), ..row };
        }
        let about = About { notified: false, ..about };
        if K::LOOK_AGAIN {
            let still = match self.found(i, spec, about).await {
                Ok(_) if item.secret => Some("it was changed, and is still not as wanted".to_owned()),
                Ok(wrong) => Some(format!("it was changed, and still: {}", why(&wrong.differences))),
                Err(again) if again.standing == Standing::Right => None,
                Err(again) => again.why,
            };
            if let Some(still) = still {
                self.budget.borrow_mut().undone(&item.id, Instant::now(), &still, quick);
                return Row { standing: Standing::Failed, why: Some(still), output, ..row };
            }
        }
        self.budget.borrow_mut().healed(&item.id, Instant::now());
        Row { standing: Standing::Healed, output, ..row }
    }

    /// Takes back what is owed for a change that failed, when it changed nothing.
    async fn withdrawn<K: Keep>(
        &self,
        i: usize,
        spec: &K,
        about: About<'_>,
        hands: &Hands<'_>,
        begun: &Begun<K::Change>,
    ) -> std::io::Result<()> {
        if begun.owing.is_empty() {
            return Ok(());
        }
        let same = match self.found(i, spec, about).await {
            Ok(now) => now.differences == begun.wrong.differences,
            Err(_) => false,
        };
        if !same {
            return Ok(());
        }
        let id = &self.prepared.items[i].id;
        hands.note(|ledger| {
            for target in &begun.owing {
                if let Some(by) = ledger.owed.get_mut(target) {
                    by.remove(id);
                }
            }
            ledger.owed.retain(|_, by| !by.is_empty());
        })
    }

    /// The row without any secret in it. Of what holds one, nothing that a program said is shown.
    fn veiled(&self, item: &Item, mut row: Row) -> Row {
        if item.secret && row.output.is_some() {
            row.output = Some("it was given a secret, so what it said is not shown".to_owned());
        }
        let veil = |text: &mut String| *text = self.prepared.veiled(text);
        veil(&mut row.label);
        row.why.as_mut().map(veil);
        row.diff.as_mut().map(veil);
        row.output.as_mut().map(veil);
        for difference in &mut row.differences {
            veil(&mut difference.what);
            veil(&mut difference.before);
            veil(&mut difference.after);
        }
        row
    }
}

/// Whether a look and a change are a few system calls and never wait.
pub(crate) fn is_quick(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::File(_)
            | Resource::Directory(_)
            | Resource::Link(_)
            | Resource::Line(_)
            | Resource::Repo(_)
            | Resource::AuthorizedKey(_)
            | Resource::Cron(_)
    )
}
