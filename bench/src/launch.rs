//! Launching: the real engine on the simulated cloud, with its journal on the disk.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ideal_core::demand::{Ending as ForGood, Scope, State};
use ideal_core::time::{Span, Time};
use ideal_engine::outside::{Boundaries, Clock, NoGoods, Outside, Side, Soon};
use ideal_engine::progress::Silent;
use ideal_engine::reconcile::{Ending, Engine, Settings};
use ideal_engine::simulation::SimLink;
use ideal_providers::Provider;
use ideal_providers::sim::{Faults, Sim};
use ideal_store::sqlite::Sqlite;

use crate::cluster;
use crate::measure::{apart, line, report, say};
use crate::peer;

pub(crate) fn bench() -> anyhow::Result<()> {
    let peer = peer::apply(1_000)?;
    let mut rates = Vec::new();
    for (size, target) in [(1_000, None), (10_000, Some(Duration::from_secs(5)))] {
        let ours = apart("launch", size)?;
        let rate = ours.count as f64 / ours.time.as_secs_f64();
        rates.push(rate);
        let peer = peer.as_ref().filter(|_| size == 1_000);
        say(&format!(
            "{}; {} steps, {rate:.0} steps/s",
            line("launch", size, &ours, peer, target),
            ours.count
        ))?;
    }
    if let [small, large] = rates.as_slice() {
        let ratio = 100.0 * large / small;
        let verdict = if ratio >= 80.0 { "reached" } else { "MISSED" };
        say(&format!("launch rate of 10,000 beside 1,000: {ratio:.0} %; target 80 % {verdict}"))?;
    }
    Ok(())
}

/// The simulated cloud's clock, in real time.
#[derive(Debug)]
struct RealTime(Sim);

impl Clock for RealTime {
    fn now(&self) -> Time {
        self.0.now()
    }
    fn sleep_until(&self, at: Time) -> Soon<'_, ()> {
        let span = at.since(self.0.now());
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

/// Launches a cluster of so many parts.
pub(crate) fn one(parts: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(launch(parts))
}

async fn launch(parts: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let ideal = Rc::new(cluster::ideal(&cluster::text(parts, "policy: {concurrency: 512}\n"))?);
    let sim = Sim::new(1, Faults { instant: true, ..Faults::none() });
    let journal = Rc::new(Sqlite::open(folder.path())?);
    let provider: Rc<dyn Provider> = Rc::new(sim.clone());
    let outside = Outside {
        providers: BTreeMap::from([(cluster::here()?, provider)]),
        link: Rc::new(SimLink::new(&sim)),
        goods: Rc::new(NoGoods),
        journal,
        clock: Rc::new(RealTime(sim.clone())),
        boundaries: Rc::new(NoBoundaries),
        progress: Rc::new(Silent),
    };
    let settings = Settings {
        holder: "the bench".to_owned(),
        take_over: false,
        poll: (Span::millis(10), Span::millis(100)),
        deadline: None,
        only: None,
        forever: false,
    };
    let begin = Instant::now();
    let mut engine = Engine::open(outside, ideal, settings).await?;
    let run = engine.open_run("launched").await?;
    engine.demand(&[Scope::Whole], State::Launched, ForGood::No).await?;
    let ending = engine.pursue().await?;
    engine.close_run(&run, "met").await?;
    engine.release().await?;
    let time = begin.elapsed();
    ensure!(ending == Ending::Met, "it ended otherwise: {ending:?}");
    // A machine, a volume, an attachment, a mount and a configuration for each node with its mount.
    let steps = sim.truth(|state| state.calls.shoves + state.calls.orders);
    report(time, usize::try_from(steps)?)
}
