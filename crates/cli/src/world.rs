//! The cluster that an ideal file describes, and everything that an engine touches for it: providers, agents,
//! the store, the clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context;
use ideal_api::client::AgentLink;
use ideal_core::id::Name;
use ideal_core::ideal::{Cloud, Ideal, ProviderSpec};
use ideal_core::observed::Sight;
use ideal_core::time::Span;
use ideal_engine::outside::{Side, Soon};
use ideal_engine::{Boundaries, Clock, EngineError, Glance, Outside, Progress, Settings};
use ideal_host::AgentCommand;
use ideal_providers::Provider;
use ideal_providers::registry::{self, RegistryError, Surroundings};
use ideal_store::sqlite::Sqlite;
use ideal_store::{Entry, Journal, JournalError, Wish};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::goods::{self, ProjectGoods};
use crate::output::Output;
use crate::project::Project;
use crate::render;

/// A cluster and the way to it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ideal: Rc<Ideal>,
    /// Where providers find what they need.
    pub(crate) around: Surroundings,
    /// The folder of the store.
    pub(crate) store: PathBuf,
    pub(crate) link: Rc<AgentLink>,
    /// What nodes are given beside their slices.
    pub(crate) goods: Rc<ProjectGoods>,
    providers: BTreeMap<Name, Rc<dyn Provider>>,
}

impl World {
    /// Reads the ideal file and opens what it names. None: the file is bad, and that was said.
    pub(crate) fn open(global: &Global, output: &Output) -> anyhow::Result<Option<World>> {
        let Some(mut world) = World::read(global, output)? else { return Ok(None) };
        let mut places: BTreeMap<String, &Name> = BTreeMap::new();
        for (name, spec) in &world.ideal.providers {
            let used = world.ideal.clouds.iter().any(|cloud| cloud.provider == *name);
            if used {
                // One place would be listed twice, and each thing in it seen twice.
                if let Some(other) = world.around.place(spec).and_then(|place| places.insert(place, name)) {
                    let what = match spec {
                        ProviderSpec::Ec2(_) => "the same account in the same region",
                        ProviderSpec::Ssh(_) => "lists of machines, of which there is one",
                        _ => "this machine",
                    };
                    let message = format!("`{other}` and `{name}` are both {what}");
                    let failure = Failure::new("local-twice", Exit::BadInput, message);
                    return Err(failure.next(format!("write `provider: {other}` for all of it")).into());
                }
                let provider = registry::open(spec, &world.around).map_err(|why| refused(name, &why))?;
                world.providers.insert(name.clone(), provider);
            }
        }
        Ok(Some(world))
    }

    /// Reads the ideal file and opens nothing.
    pub(crate) fn read(global: &Global, output: &Output) -> anyhow::Result<Option<World>> {
        let project = Project::open(global.file.as_deref())?;
        let loaded = project.load();
        render::diagnostic::draw(&loaded, output, false);
        let Some(resolved) = loaded.resolved else { return Ok(None) };
        let mut ideal = resolved.ideal;
        let folder = project.folder().canonicalize().context("failed to find the folder")?;
        let declared = loaded.document.map(|document| document.secrets).unwrap_or_default();
        let secrets = goods::secrets(&declared, &folder, output);
        ideal.secrets = secrets.revisions;
        let goods = Rc::new(ProjectGoods::new(project.shelf, secrets.values));
        let ideal = Rc::new(ideal);
        let program = std::env::current_exe().context("failed to find this program")?;
        let agent = AgentCommand { program, args: vec!["agent".into()] };
        let mounting = ideal.clouds.iter().filter(|cloud| !cloud.mounts.is_empty());
        let mounting = mounting.map(|cloud| cloud.id).collect();
        let cache = cache_folder();
        let around = Surroundings { project: folder, run: run_folder()?, agent, cache, mounting };
        let store = store_folder(&ideal)?;
        Ok(Some(World { ideal, around, store, link: Rc::default(), goods, providers: BTreeMap::new() }))
    }

    /// A provider by its name in the file.
    pub(crate) fn provider(&self, name: &Name) -> Option<&Rc<dyn Provider>> {
        self.providers.get(name)
    }

    /// Outermost clouds, in the order of the file.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Cloud> {
        self.ideal.clouds.iter().map(AsRef::as_ref).filter(|cloud| cloud.path.0.len() == 1)
    }

    /// How people call the cluster: by its outermost clouds.
    pub(crate) fn name(&self) -> String {
        let names: Vec<String> = self.roots().map(|cloud| cloud.path.to_string()).collect();
        names.join(" ")
    }

    /// The journal for reading; an empty one when there is no store.
    pub(crate) fn journal_to_read(&self) -> anyhow::Result<Sqlite> {
        let journal = Sqlite::open_to_read(&self.store).map_err(|why| self.journal_failure(why))?;
        match journal {
            Some(journal) => Ok(journal),
            None => Ok(Sqlite::in_memory("none")?),
        }
    }

    /// Everything an engine needs, its journal open for reading.
    pub(crate) fn outside_to_look(&self) -> anyhow::Result<Outside> {
        let journal = Rc::new(self.journal_to_read()?);
        Ok(self.outside(journal, Rc::new(ideal_engine::progress::Silent)))
    }

    /// Everything an engine needs, its journal open for writing.
    pub(crate) fn outside_to_act(&self, progress: Rc<dyn Progress>) -> anyhow::Result<Outside> {
        let journal = Sqlite::open(&self.store).map_err(|why| self.journal_failure(why))?;
        Ok(self.outside(Rc::new(Alone(journal)), progress))
    }

    fn outside(&self, journal: Rc<dyn Journal>, progress: Rc<dyn Progress>) -> Outside {
        Outside {
            providers: self.providers.clone(),
            link: self.link.clone(),
            goods: self.goods.clone(),
            journal,
            clock: Rc::new(RealClock),
            boundaries: Rc::new(CrashPoints),
            progress,
        }
    }

    /// Looks at everything without touching it. A provider that cannot be seen ends the command.
    pub(crate) async fn glance(&self) -> anyhow::Result<Glance> {
        let glance = Glance::take(&self.outside_to_look()?, self.ideal.clone()).await;
        let glance = glance.map_err(|why| self.engine_failure(why))?;
        for (name, sight) in &glance.observed.sight {
            if let Sight::Blind { why } = sight {
                let message = format!("the provider `{name}` cannot be seen: {why}");
                let failure = Failure::new("cannot-see", Exit::Unreachable, message);
                return Err(failure.next("nothing was changed; ideal doctor looks closer").into());
            }
        }
        Ok(glance)
    }

    /// Why an engine could not work, with what to do.
    pub(crate) fn engine_failure(&self, error: EngineError) -> anyhow::Error {
        let EngineError::Journal(error) = error;
        self.journal_failure(error)
    }

    fn journal_failure(&self, error: JournalError) -> anyhow::Error {
        match &error {
            JournalError::Held { until, .. } => {
                let left = until.since(ideal_host::now());
                let message = format!("{error} for {} more", render::words::span(left));
                Failure::new("held", Exit::Held, message)
                    .next("wait for it; or, when it is gone for good, the same with --take-over")
                    .into()
            }
            JournalError::Busy => {
                let message = match self.last_holder() {
                    Some(holder) => format!("another `ideal` of {holder} works on this cluster now"),
                    None => error.to_string(),
                };
                Failure::new("held", Exit::Held, message).next("wait until it is done, or stop it").into()
            }
            JournalError::Lost { .. } => Failure::new("held", Exit::Held, error.to_string())
                .next("ideal status        shows how things are")
                .next("the same with --take-over takes the cluster back")
                .into(),
            JournalError::Damaged { .. } => {
                let message = format!("{error} ({})", self.store.display());
                Failure::new("store-damaged", Exit::Failed, message)
                    .next("ideal doctor        looks closer")
                    .next(
                        "move that folder away: the cluster is found again by its tags, only history is lost",
                    )
                    .into()
            }
            _ => anyhow::Error::new(error).context(format!("store {}", self.store.display())),
        }
    }

    fn last_holder(&self) -> Option<String> {
        use ideal_core::journal::Record;
        let journal = Sqlite::open_to_read(&self.store).ok()??;
        let entries = journal.history(0, 1000).ok()?;
        entries.into_iter().rev().find_map(|entry| match entry.record {
            Record::LeaseTaken { holder, .. } => Some(holder),
            _ => None,
        })
    }

    /// Removes folders that hold nothing, so that looking leaves no trace.
    pub(crate) fn sweep(&self) {
        // Nothing rests on it.
        _ = registry::sweep(self.ideal.providers.values(), &self.around, false);
    }

    /// Removes what is left of a cluster that is no more: its store, and the memory of machines that were ended.
    pub(crate) fn bury(&self) -> anyhow::Result<()> {
        registry::sweep(self.ideal.providers.values(), &self.around, true)
            .context("failed to remove the empty data folder")?;
        match std::fs::remove_dir_all(&self.store) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", self.store.display()))
            }
            _ => Ok(()),
        }
    }
}

fn refused(name: &Name, why: &RegistryError) -> anyhow::Error {
    let message = format!("provider `{name}`: {why}");
    match why {
        RegistryError::OnlyForTests => {
            let failure = Failure::new("only-for-tests", Exit::BadInput, message);
            failure.next(format!("write `{name}: local` under `providers:`")).into()
        }
        RegistryError::Unreachable { .. } => Failure::new("cannot-see", Exit::Unreachable, message)
            .next("ideal doctor        looks closer")
            .into(),
    }
}

/// The shortest and the longest pause between looks while something is waited for: a look at this machine costs
/// milliseconds.
const POLL: (Span, Span) = (Span::millis(15), Span::secs(1));

/// How an engine works that runs until its demand is met.
pub(crate) fn settings(take_over: bool) -> Settings {
    Settings { holder: holder(), take_over, poll: POLL, deadline: None, forever: false, only: None }
}

/// Who works here, for leases and history.
fn holder() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::geteuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}

/// Runs a future on this thread.
pub(crate) fn wait_for<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(future)
}

/// Where the store of this cluster is: of whichever outermost cloud has one, else where the first will have it.
fn store_folder(ideal: &Ideal) -> anyhow::Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = state.or_else(home).context("neither XDG_STATE_HOME nor HOME is set")?.join("ideal");
    let roots = ideal.clouds.iter().filter(|cloud| cloud.path.0.len() == 1);
    let folders: Vec<PathBuf> = roots.map(|cloud| state.join(cloud.id.to_string())).collect();
    let known = folders.iter().find(|folder| Sqlite::file(folder).exists());
    let no_cloud = || Failure::new("no-cloud", Exit::BadInput, "the file has no cloud");
    Ok(known.or(folders.first()).cloned().ok_or_else(no_cloud)?)
}

/// Where things are kept that can be made again.
fn cache_folder() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    given.or_else(home).map(|cache| cache.join("ideal"))
}

/// A short folder that only we can enter, for sockets.
fn run_folder() -> anyhow::Result<PathBuf> {
    let own = rustix::process::geteuid().as_raw();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
    let folder = match given {
        Some(path) => path.join("ideal"),
        None => PathBuf::from(format!("/tmp/ideal-{own}")),
    };
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("failed to make {}", folder.display()));
        }
        _ => {}
    }
    let meta = std::fs::symlink_metadata(&folder)?;
    if !meta.is_dir() || meta.uid() != own || meta.permissions().mode() & 0o077 != 0 {
        let message = format!("{} is not a folder that only you can enter", folder.display());
        return Err(Failure::new("run-folder", Exit::Denied, message)
            .next("remove it, or set XDG_RUNTIME_DIR to a folder of yours")
            .into());
    }
    Ok(folder)
}

/// A journal whose folder is locked by this process: whoever held its lease is dead, so it is taken at once.
/// Engines with a store of their own are known by the agents, and that is not changed by this.
#[derive(Debug)]
struct Alone(Sqlite);

impl Journal for Alone {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn load(&self) -> Result<ideal_core::journal::View, JournalError> {
        self.0.load()
    }
    fn append(
        &self,
        epoch: u64,
        at: ideal_core::time::Time,
        records: &[ideal_core::journal::Record],
    ) -> Result<(), JournalError> {
        self.0.append(epoch, at, records)
    }
    fn check(&self, epoch: u64) -> Result<(), JournalError> {
        self.0.check(epoch)
    }
    fn take(&self, wish: &Wish) -> Result<u64, JournalError> {
        self.0.take(&Wish { force: true, ..wish.clone() })
    }
    fn renew(&self, epoch: u64, until: ideal_core::time::Time) -> Result<(), JournalError> {
        self.0.renew(epoch, until)
    }
    fn release(&self, epoch: u64) -> Result<(), JournalError> {
        self.0.release(epoch)
    }
    fn checkpoint(&self, view: &ideal_core::journal::View) -> Result<(), JournalError> {
        self.0.checkpoint(view)
    }
    fn history(&self, after: u64, limit: u64) -> Result<Vec<Entry>, JournalError> {
        self.0.history(after, limit)
    }
}

/// The clock of this machine.
#[derive(Debug)]
struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> ideal_core::time::Time {
        ideal_host::now()
    }
    fn sleep_until(&self, at: ideal_core::time::Time) -> Soon<'_, ()> {
        let span = at.since(ideal_host::now());
        Box::pin(async move { tokio::time::sleep(span.std()).await })
    }
}

/// The points around effects: in builds with assertions a test can make the program die at one.
#[derive(Debug)]
struct CrashPoints;

impl Boundaries for CrashPoints {
    fn cross(&self, verb: &str, side: Side) -> Option<Soon<'_, ()>> {
        // Looking changes nothing: dying there is dying at the point before.
        if cfg!(debug_assertions) && !matches!(verb, "describe" | "read" | "report") {
            ideal_providers::crash_point(&format!("engine.{verb}.{}", side.word()));
        }
        None
    }
}
