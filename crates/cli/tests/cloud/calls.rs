//! How many requests a launch takes, and how many a time in which nothing happens.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ideal_api::{Asking, LinkError, NodeLink, Order};
use ideal_core::demand::{Ending as ForGood, Scope, State};
use ideal_core::id::Name;
use ideal_core::ideal::Ideal;
use ideal_core::time::{Span, Time};
use ideal_engine::outside::{Boundaries, Clock, NoGoods, Outside, Side, Soon};
use ideal_engine::progress::Silent;
use ideal_engine::reconcile::{Ending, Engine, Settings};
use ideal_file::{Sources, load};
use ideal_store::sqlite::Sqlite;

use crate::bed::Bed;

/// A clock that goes as this machine's does until it is let run: then each wait is over at once, and long.
#[derive(Debug, Default)]
struct TestClock {
    ahead: Cell<Span>,
    /// Until when it runs, and who is told to stop then.
    runs: RefCell<Option<(Time, Rc<Cell<bool>>)>>,
}

impl TestClock {
    fn stops(&self, at: Time, engine: &Engine) {
        *self.runs.borrow_mut() = Some((at, engine.stop.clone()));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        ideal_host::now() + self.ahead.get()
    }
    fn sleep_until(&self, at: Time) -> Soon<'_, ()> {
        let span = at.since(self.now());
        if let Some((until, stop)) = &*self.runs.borrow() {
            self.ahead.set(Span(self.ahead.get().0 + span.0));
            stop.set(stop.get() || self.now() >= *until);
            return Box::pin(tokio::task::yield_now());
        }
        Box::pin(async move { tokio::time::sleep(span.std()).await })
    }
}

#[derive(Debug)]
struct NoBoundaries;

impl Boundaries for NoBoundaries {
    fn cross(&self, _: &str, _: Side) -> Option<Soon<'_, ()>> {
        None
    }
}

/// No machine has an agent here.
#[derive(Debug)]
struct NoAgents;

impl NodeLink for NoAgents {
    fn ask<'a>(&'a self, _: &'a str, _: &'a Order) -> Asking<'a> {
        Box::pin(async { Err(LinkError::Unreachable { why: "there is none".to_owned() }) })
    }
}

/// Two clouds with a hundred nodes between them, each with a volume.
fn ideal() -> Ideal {
    let cloud = |name: &str, number: u32, nodes: u32| {
        format!(
            "  {name}: {{uuid: 0d6a1f0e-5b3e-4c55-9a0f-6f6f2c1f7a0{number}, provider: aws, nodes: {nodes}, \
             mounts: {{data: {{size: 1GiB, at: /data}}}}}}\n"
        )
    };
    let text = format!(
        "ideal: 1\nproviders: {{aws: {{ec2: {{region: eu-west-1}}}}}}\nclouds:\n{}{}",
        cloud("web", 1, 60),
        cloud("data", 2, 40)
    );
    let loaded = load(&Sources::one("ideal.yaml", text));
    assert!(loaded.is_good(), "{:?}", loaded.diagnostics);
    loaded.resolved.unwrap().ideal
}

async fn engine(bed: &Bed, folder: &std::path::Path, clock: &Rc<TestClock>, forever: bool) -> Engine {
    let provider = Rc::new(bed.provider(bed.spec()));
    let outside = Outside {
        providers: BTreeMap::from([(Name::new("aws").unwrap(), provider as _)]),
        link: Rc::new(NoAgents),
        goods: Rc::new(NoGoods),
        journal: Rc::new(Sqlite::open(folder).unwrap()),
        clock: clock.clone(),
        boundaries: Rc::new(NoBoundaries),
        progress: Rc::new(Silent),
    };
    let settings = Settings {
        holder: "the test".to_owned(),
        take_over: true,
        poll: (Span::millis(15), Span::secs(1)),
        deadline: None,
        forever,
        only: None,
    };
    Engine::open(outside, Rc::new(ideal()), settings).await.unwrap()
}

fn looks(counted: &BTreeMap<String, u32>) -> u32 {
    counted.iter().filter(|(action, _)| action.starts_with("Describe")).map(|(_, count)| count).sum()
}

/// One request for the machines of each cloud, two for each volume, few for the lives of all, and few looks; then twenty minutes in which nothing happens,
/// and the end of a machine in it.
#[tokio::test]
async fn a_launch_and_quiet_minutes_are_counted() {
    let Some(bed) = Bed::without_images("calls::a_launch_and_quiet_minutes_are_counted") else { return };
    let (folder, clock) = (tempfile::tempdir().unwrap(), Rc::new(TestClock::default()));
    let mut own = engine(&bed, folder.path(), &clock, false).await;
    own.demand(&[Scope::Whole], State::Attached, ForGood::No).await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(own.pursue().await.unwrap(), Ending::Met);
    let counted = bed.layer.counted();
    println!("launch: {} looks, {:?}, {counted:?}", looks(&counted), begun.elapsed());
    let changes: BTreeMap<&str, u32> = counted
        .iter()
        .filter(|(action, _)| !action.starts_with("Describe"))
        .map(|(action, count)| (action.as_str(), *count))
        .collect();
    let (tags, others): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|(action, _)| *action == "CreateTags");
    assert_eq!(others, [("AttachVolume", 100), ("CreateVolume", 100), ("RunInstances", 2)]);
    // Lives are written together. How many at a time, and how many looks there are, depends on how fast this machine is.
    assert!(tags.iter().all(|(_, count)| *count <= 50), "{tags:?}");
    assert!(looks(&counted) <= 200, "{counted:?}");
    assert_eq!(own.observed().slots.len(), 100);
    assert!(own.observed().slots.values().all(|seen| seen.machines.len() == 1 && seen.volumes.len() == 1));
    assert!(own.observed().unslotted.is_empty());
    own.release().await.unwrap();
    drop(own);

    let mut own = engine(&bed, folder.path(), &clock, true).await;
    bed.layer.counted();
    let begun = clock.now();
    clock.stops(begun + Span::mins(20), &own);
    assert_eq!(own.pursue().await.unwrap(), Ending::Stopped);
    let counted = bed.layer.counted();
    println!("twenty minutes: {} looks, {counted:?}", looks(&counted));
    assert_eq!(looks(&counted), counted.values().sum::<u32>(), "nothing is done: {counted:?}");
    // Beside the look that it begins with.
    assert!(looks(&counted) - 3 <= 2 * 20, "{counted:?}");

    let slot = own.observed().slots.iter().next().unwrap();
    let (slot, machine) = (*slot.0, slot.1.machines[0].id.clone());
    bed.somebody("ec2", &format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={machine}"));
    own.stop.set(false);
    let begun = clock.now();
    clock.stops(begun + Span::mins(3), &own);
    assert_eq!(own.pursue().await.unwrap(), Ending::Stopped);
    let counted = bed.layer.counted();
    println!("healed: {counted:?}");
    assert_eq!(counted["RunInstances"], 1);
    let seen = &own.observed().slots[&slot];
    let another = seen.machines.iter().find(|one| !one.state.is_over()).unwrap();
    assert!(another.id != machine && another.tags.generation == 2, "{seen:?}");
    assert_eq!(bed.layer.wrong(), Vec::<String>::new());
}
