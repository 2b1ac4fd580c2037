//! How many requests EC2 is sent: by us, and by a program that asks boto3 for one thing after the other. Both speak to
//! moto's server, an EC2 that others wrote, through the layer of the provider's tests, which counts them. Nothing is said
//! of time: a server on this machine answers as fast as it can.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ideal_api::{Asking, LinkError, NodeLink, Order};
use ideal_core::demand::{Ending as ForGood, Scope, State};
use ideal_core::id::Name;
use ideal_core::ideal::Ec2Spec;
use ideal_core::time::{Span, Time};
use ideal_engine::outside::{Boundaries, Clock, NoGoods, Outside, Side, Soon};
use ideal_engine::progress::Silent;
use ideal_engine::reconcile::{Ending, Engine, Settings};
use ideal_providers::ec2::{Rate, Rates};
use ideal_providers::{Ec2, Provider};
use ideal_store::sqlite::Sqlite;

use crate::bed::until;
use crate::cluster;
use crate::layer::Layer;
use crate::measure::say;

/// Machines, volumes and snapshots of the refresh.
const LARGE: [(&str, usize); 3] =
    [("DescribeInstances", 1_000), ("DescribeVolumes", 2_000), ("DescribeSnapshots", 10_000)];
/// Nodes of the launch, each with a volume.
const NODES: usize = 100;
/// So long nothing happens.
const IDLE: u64 = 30;

/// In a process of its own, with credentials in its environment.
pub(crate) fn bench() -> anyhow::Result<()> {
    let environment = environment()?;
    if !environment.join("bin/moto_server").exists() {
        bail!("{} is missing: `make setup` installs it", environment.join("bin/moto_server").display());
    }
    let ran = Command::new(std::env::current_exe()?)
        .args(["one", "calls", "1"])
        .env_remove("AWS_PROFILE")
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        .status()?;
    ensure!(ran.success(), "the measurement failed");
    Ok(())
}

/// The Python environment that `make setup` makes: boto3 is in it beside moto.
fn environment() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("this program is nowhere")?;
    Ok(target.join("moto"))
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn serve(environment: &Path) -> anyhow::Result<(Server, SocketAddr)> {
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = Command::new(environment.join("bin/moto_server"))
        .args(["-H", "127.0.0.1", "-p", &at.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Server(server);
    until(60, || TcpStream::connect(at).ok()).context("moto does not answer")?;
    Ok((server, at))
}

/// All of it.
pub(crate) fn one() -> anyhow::Result<()> {
    let environment = environment()?;
    let (_server, at) = serve(&environment)?;
    let layer = Layer::start(at, &environment);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(launch(&layer, &environment))?;
    // From here on things are listed that nobody made.
    for (action, count) in LARGE {
        layer.lists(action, count);
    }
    let listing = runtime.block_on(provider(&layer).describe())?;
    ensure!(listing.complete, "a page is missing");
    let ours = all(&layer);
    let counts = LARGE.map(|(_, count)| count.to_string());
    peer(&layer, &environment, "refresh", &counts.each_ref().map(String::as_str))?;
    line("calls-refresh", LARGE.iter().map(|(_, count)| count).sum(), f64::from(ours), f64::from(all(&layer)))
}

/// How many requests came since the last time that this was asked.
fn all(layer: &Layer) -> u32 {
    layer.counted().values().sum()
}

fn line(name: &str, size: usize, ours: f64, peer: f64) -> anyhow::Result<()> {
    say(&format!("{name} {size}: ours {ours}, boto3 one by one {peer}, ratio {:.1}", peer / ours))
}

fn peer(layer: &Layer, environment: &Path, what: &str, counts: &[&str]) -> anyhow::Result<()> {
    let ran = Command::new(environment.join("bin/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/calls.py"))
        .args([&layer.endpoint(), what])
        .args(counts)
        .output()?;
    ensure!(ran.status.success(), "boto3: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

fn provider(layer: &Layer) -> Ec2 {
    let any = Rate { burst: 100_000.0, each_second: 100_000.0 };
    let spec = Ec2Spec {
        region: Some("eu-west-1".to_owned()),
        endpoint: Some(layer.endpoint()),
        image: Some("ami-785db401".to_owned()),
        ..Ec2Spec::default()
    };
    Ec2::new(spec, Rates { look: any, change: any, launch: any })
}

/// A launch, and minutes in which nothing happens.
async fn launch(layer: &Layer, environment: &Path) -> anyhow::Result<()> {
    let (folder, clock) = (tempfile::tempdir()?, Rc::new(Fast::default()));
    let mut engine = engine(layer, folder.path(), &clock, false).await?;
    engine.demand(&[Scope::Whole], State::Attached, ForGood::No).await?;
    let ending = engine.pursue().await?;
    ensure!(ending == Ending::Met, "it ended otherwise: {ending:?}");
    engine.release().await?;
    drop(engine);
    let ours = all(layer);
    peer(layer, environment, "launch", &[&NODES.to_string()])?;
    line("calls-launch", NODES, f64::from(ours), f64::from(all(layer)))?;

    let mut engine = self::engine(layer, folder.path(), &clock, true).await?;
    layer.counted();
    *clock.stops.borrow_mut() = Some((clock.now() + Span::mins(IDLE), engine.stop.clone()));
    let ending = engine.pursue().await?;
    ensure!(ending == Ending::Stopped, "it ended otherwise: {ending:?}");
    let ours = f64::from(all(layer)) / IDLE as f64;
    // Who asks for one thing after the other, once a minute, asks for each machine and each volume.
    line("calls-idle-minute", NODES, ours, 2.0 * NODES as f64)
}

/// A clock that goes as this machine's does until it is told when to stop: then each wait is over at once.
#[derive(Debug, Default)]
struct Fast {
    ahead: Cell<Span>,
    stops: RefCell<Option<(Time, Rc<Cell<bool>>)>>,
}

impl Clock for Fast {
    fn now(&self) -> Time {
        ideal_host::now() + self.ahead.get()
    }
    fn sleep_until(&self, at: Time) -> Soon<'_, ()> {
        let span = at.since(self.now());
        if let Some((until, stop)) = &*self.stops.borrow() {
            self.ahead.set(Span(self.ahead.get().0 + span.0));
            stop.set(stop.get() || self.now() >= *until);
            return Box::pin(tokio::task::yield_now());
        }
        Box::pin(async move { tokio::time::sleep(Duration::from_millis(span.0)).await })
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

async fn engine(layer: &Layer, folder: &Path, clock: &Rc<Fast>, forever: bool) -> anyhow::Result<Engine> {
    let text = format!(
        "ideal: 1\nproviders: {{aws: {{ec2: {{region: eu-west-1}}}}}}\nclouds:\n  shop:\n    \
         uuid: 5f0c6f2e-0000-4000-8000-00000000000b\n    provider: aws\n    nodes: {NODES}\n    \
         mounts:\n      data: {{size: 1GiB, at: /data}}\n"
    );
    let aws = Name::new("aws").context("`aws` is no name")?;
    let outside = Outside {
        providers: BTreeMap::from([(aws, Rc::new(provider(layer)) as Rc<dyn Provider>)]),
        link: Rc::new(NoAgents),
        goods: Rc::new(NoGoods),
        journal: Rc::new(Sqlite::open(folder)?),
        clock: clock.clone(),
        boundaries: Rc::new(NoBoundaries),
        progress: Rc::new(Silent),
    };
    let settings = Settings {
        holder: "the bench".to_owned(),
        take_over: true,
        poll: (Span::millis(15), Span::secs(1)),
        deadline: None,
        only: None,
        forever,
    };
    Ok(Engine::open(outside, Rc::new(cluster::ideal(&text)?), settings).await?)
}
