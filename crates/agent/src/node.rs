//! The node as its agent knows it: shared by everything that keeps a part of it right. One thread, no locks.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ideal_core::build::Build;
use ideal_core::facts::Facts;
use ideal_core::id::{Name, VolumeId};
use ideal_core::observed::{MountSeen, Problem, Report, ServiceSeen, ServiceState};
use ideal_core::placement::Capacity;
use ideal_core::resource::Heal;
use ideal_core::secret::Secrets;
use ideal_core::slice::Slice;
use ideal_host::{AgentCommand, Home, Identity, Marks, brought, durable, now};
use ideal_resources::Ground;
use ideal_resources::facts::{self, Named, Wish};
use ideal_resources::ground::clean_environment;
use ideal_resources::root::Root;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use crate::log::Log;
use crate::pace::Pace;
use crate::secrets;
use crate::services::{Containers, Storm};
use crate::state::{Held, Mounted, Runtime, State};

/// The node as its agent knows it.
#[derive(Debug)]
pub(crate) struct Node {
    pub home: Home,
    pub identity: Identity,
    pub marks: Marks,
    pub own: AgentCommand,
    /// Which program this is, where it was brought here.
    build: Option<Build>,
    pub log: Log,
    pub pace: Pace,
    state: RefCell<State>,
    runtime: RefCell<Runtime>,
    pub seen: RefCell<Seen>,
    pub hooks: crate::hooks::Running,
    /// Held while a volume is mounted or unmounted.
    pub mounting: tokio::sync::Mutex<()>,
    /// Rises whenever what is wanted may have changed: a slice, a mount, a port, a finished look at resources.
    version: watch::Sender<u64>,
    starts: Cell<u64>,
    unwritten: Notify,
    /// What texts can ask for of what is known of the node.
    facts: RefCell<Value>,
    known: facts::Known,
    /// What the machine has for replicas, where the agent has a machine to itself.
    room: Capacity,
    secrets: RefCell<Secrets>,
    /// Where they outlive this agent, in memory.
    vessel: Option<File>,
    /// The container engine of this host.
    pub containers: Containers,
    /// Whether most replicas fail at once.
    pub storm: RefCell<Storm>,
    /// Replicas that a person wants started again.
    pub again: RefCell<BTreeSet<String>>,
    /// What a person asks of resources.
    pub work: mpsc::UnboundedSender<crate::resources::Asked>,
}

/// What was last seen here; made anew by each agent.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub services: BTreeMap<String, ServiceSeen>,
    /// By replica, the slice under which what runs was last seen to be what is wanted.
    pub fits: BTreeMap<String, String>,
    /// The hash of the slice whose resources were all looked at, and what was not right.
    pub resources: Option<(String, Vec<Problem>)>,
    /// Resources that were made right or given up of late, oldest first.
    pub heals: Vec<Heal>,
    /// Every resource by its label.
    pub labels: BTreeSet<String>,
    /// Resources that are not right and are left so.
    pub left: Vec<Problem>,
    /// What is not right with services beyond what they show.
    pub services_wait: BTreeMap<String, Problem>,
    /// Why names of replicas are not where they are looked for.
    pub names: Option<Problem>,
    /// Volumes of which what runs after a backup runs now.
    pub finishing: BTreeSet<VolumeId>,
    /// What kept a volume busy when its unmount was refused.
    pub busy: BTreeMap<VolumeId, String>,
}

impl Node {
    pub(crate) fn new(
        home: Home,
        identity: Identity,
        own: AgentCommand,
        pace: Pace,
        state: State,
        runtime: Runtime,
        work: mpsc::UnboundedSender<crate::resources::Asked>,
    ) -> Node {
        let vessel = secrets::given();
        let whole = identity.whole;
        let marks = identity.marks(&home);
        let log = Log::new(home.agent_log());
        let containers = Containers::new(&identity, &home);
        Node {
            build: brought::build_of(&own.program),
            home,
            identity,
            marks,
            own,
            log,
            pace,
            state: RefCell::new(state),
            runtime: RefCell::new(runtime),
            seen: RefCell::default(),
            hooks: RefCell::default(),
            mounting: tokio::sync::Mutex::default(),
            version: watch::Sender::new(0),
            starts: Cell::new(0),
            unwritten: Notify::new(),
            facts: RefCell::default(),
            known: facts::Known::default(),
            room: if whole { facts::room() } else { Capacity::default() },
            secrets: RefCell::new(vessel.as_ref().map(secrets::read).unwrap_or_default()),
            vessel,
            containers,
            storm: RefCell::default(),
            again: RefCell::default(),
            work,
        }
    }

    pub(crate) fn state(&self) -> std::cell::Ref<'_, State> {
        self.state.borrow()
    }
    /// Changes what is remembered. In force only once it is on disk.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut next = self.state.borrow().clone();
        change(&mut next);
        if *self.state.borrow() == next {
            return Ok(());
        }
        durable::write_json(&self.home.state(), &next)?;
        *self.state.borrow_mut() = next;
        Ok(())
    }
    /// Keeps the secrets that a slice names, and no others. Of one that was not given the old value stays: who gave
    /// the order may not have the key to it.
    pub(crate) fn keep_secrets(&self, slice: &Slice, given: &Secrets) {
        let known = self.secrets.borrow().clone();
        let value = |name: &Name| given.get(name).or_else(|| known.get(name)).cloned();
        let new: Secrets =
            slice.secrets.iter().filter_map(|name| Some((name.clone(), value(name)?))).collect();
        if known == new {
            return;
        }
        if let Some(Err(error)) = self.vessel.as_ref().map(|vessel| secrets::write(vessel, &new)) {
            self.log.say(format_args!("secrets are lost when the agent ends: {error}"));
        }
        *self.secrets.borrow_mut() = new;
    }
    /// All that is known of this node now.
    pub(crate) async fn gather(&self, wish: Wish) -> Facts {
        let mounts = self.state().mounts.values().filter(|mount| mount.mounted).cloned().collect::<Vec<_>>();
        let volume = |mount: Mounted| Named { name: mount.name.to_string(), kind: "volume", path: mount.at };
        let assets = mounts.into_iter().map(volume).collect();
        let provider = BTreeMap::from([
            ("machine".to_owned(), json!(self.identity.machine)),
            ("generation".to_owned(), json!(self.identity.generation)),
            ("address".to_owned(), json!(self.identity.address)),
        ]);
        facts::gather(self, &self.known, &Wish { assets, provider, ..wish }).await
    }
    /// Looks at the facts again, where texts of the slice may ask for them.
    pub(crate) async fn refresh_facts(&self, slice: &Slice) {
        let texts = (&slice.resources, &slice.replicas, &slice.hooks);
        let mentions = || serde_json::to_string(&texts).is_ok_and(|text| text.contains("facts"));
        if !slice.recipes.is_empty() || mentions() {
            self.gather_facts().await;
        }
    }
    /// Looks at all facts that texts can ask for.
    pub(crate) async fn gather_facts(&self) {
        let facts = self.gather(Wish { custom: true, ..Wish::default() }).await.for_texts();
        *self.facts.borrow_mut() = facts;
    }
    /// Whether every secret that a slice names is at hand.
    fn has_secrets(&self, slice: &Slice) -> bool {
        slice.secrets.iter().all(|name| self.secrets.borrow().contains_key(name))
    }
    pub(crate) fn runtime(&self) -> std::cell::Ref<'_, Runtime> {
        self.runtime.borrow()
    }
    /// Changes what is known to run. It is written down a moment later: a service that died is started again
    /// first, for writing may wait for the disk. What an agent that dies in between did not write down, the next
    /// one finds by the marks.
    pub(crate) fn change_runtime(&self, change: impl FnOnce(&mut Runtime)) {
        change(&mut self.runtime.borrow_mut());
        self.unwritten.notify_one();
    }
    /// Writes down what runs, whenever that has changed.
    pub(crate) async fn keep_runtime_written(&self) {
        loop {
            self.unwritten.notified().await;
            self.write_runtime();
        }
    }
    /// Losing it costs a look through the processes, so failing to write is only said.
    pub(crate) fn write_runtime(&self) {
        if let Err(error) = durable::write_json_volatile(&self.home.runtime(), &*self.runtime.borrow()) {
            self.log.say(format_args!("what runs is not recorded: {error}"));
        }
    }
    /// Tells everybody to look again.
    pub(crate) fn touch(&self) {
        self.version.send_modify(|version| *version += 1);
    }
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
    /// A word that no other start of a replica here has.
    pub(crate) fn next_start(&self) -> String {
        self.starts.set(self.starts.get() + 1);
        format!("{:x}-{:x}-{:x}", now().0, std::process::id(), self.starts.get())
    }

    /// The slice in force.
    pub(crate) fn slice(&self) -> Option<std::cell::Ref<'_, Arc<Held>>> {
        std::cell::Ref::filter_map(self.state.borrow(), |state| state.slice.as_ref()).ok()
    }
    /// The values of expressions: for a replica, its own ports stand over those of others.
    pub(crate) fn context(&self, slice: &Slice, replica: Option<&str>) -> Value {
        let state = self.state.borrow();
        let mut context = match &slice.context {
            Value::Object(context) => context.clone(),
            _ => serde_json::Map::new(),
        };
        let root = self.root();
        let node = context.entry("node").or_insert_with(|| json!({}));
        if let Value::Object(node) = node {
            node.insert("root".to_owned(), json!(root.display().to_string()));
            // As the engine knows it, when it says so: on some providers the agent listens elsewhere.
            node.entry("address").or_insert_with(|| json!(self.identity.address));
        }
        let place = |at: &str| json!(self.host_path(at));
        // Its own stand over those of the node that have the same name.
        let mut mounted: Vec<_> = state.mounts.values().filter(|mount| mount.mounted).collect();
        mounted.retain(|mount| mount.replica.is_none() || mount.replica.as_deref() == replica);
        mounted.sort_by_key(|mount| mount.replica.is_some());
        let mounts = mounted.into_iter().map(|mount| (mount.name.to_string(), place(&mount.at))).collect();
        context.insert("mount".to_owned(), Value::Object(mounts));
        let own = replica.and_then(|replica| state.ports.get(replica));
        let ports = state.ports.values().chain(own).flatten();
        let ports = ports.map(|(name, port)| (name.to_string(), json!(port))).collect();
        context.insert("port".to_owned(), Value::Object(ports));
        context.insert("facts".to_owned(), self.facts.borrow().clone());
        let secrets = self.secrets.borrow();
        let secrets = secrets.iter().filter(|(name, _)| slice.secrets.contains(*name));
        let secrets = secrets.map(|(name, secret)| (name.to_string(), json!(secret.reveal()))).collect();
        context.insert("secret".to_owned(), Value::Object(secrets));
        let mut context = Value::Object(context);
        secrets::serve(&mut context);
        context
    }

    /// Where the volume of a replica's mount lies on this host; none while it is not mounted.
    pub(crate) fn replica_mount(&self, replica: &str, name: &Name) -> Option<PathBuf> {
        let state = self.state.borrow();
        let (volume, mount) = state.mounts.iter().find(|(_, mount)| {
            mount.mounted && mount.replica.as_deref() == Some(replica) && mount.name == *name
        })?;
        Some(match mount.device {
            Some(_) => PathBuf::from(&mount.at),
            None => self.home.volume(volume),
        })
    }

    /// Whether it is a machine of its own to which this agent was brought: then nobody writes down here what it is given.
    pub(crate) fn is_of_a_cloud(&self) -> bool {
        self.identity.whole && self.build.is_some()
    }

    /// How things are.
    pub(crate) fn report(&self) -> Report {
        let (state, seen) = (self.state.borrow(), self.seen.borrow());
        let problems = |(_, problems): &(String, Vec<Problem>)| problems.clone();
        let mut problems = seen.resources.as_ref().map(problems).unwrap_or_default();
        problems.extend(seen.services_wait.values().cloned());
        let mount = |(volume, mount): (&VolumeId, &Mounted)| {
            let busy = seen.busy.get(volume).cloned();
            (
                volume.clone(),
                MountSeen {
                    life: mount.life,
                    mounted: mount.mounted,
                    since: mount.since.filter(|_| mount.mounted),
                    busy,
                    filled: mount.filled,
                    small: mount.small.clone().filter(|_| mount.mounted),
                    filesystem: mount.filesystem.clone(),
                },
            )
        };
        Report {
            at: now(),
            generation: self.identity.generation,
            build: self.build,
            authority: state.authority.clone(),
            demand: state.demand.clone(),
            slice: state.slice.as_ref().map(|held| held.hash.clone()),
            lacks_secrets: state.slice.as_ref().is_some_and(|held| !self.has_secrets(&held.slice)),
            converged: state.slice.as_ref().is_some_and(|held| converged(held, &seen)),
            problems,
            room: self.room,
            mounts: state.mounts.iter().map(mount).collect(),
            services: seen.services.clone(),
            hooks: state.hooks.clone(),
            heals: seen.heals.clone(),
            left: seen
                .left
                .iter()
                .cloned()
                .chain(seen.names.clone())
                .chain(crate::mounts::full(self))
                .collect(),
            pauses: state.pauses.iter().filter(|pause| now() < pause.until).cloned().collect(),
        }
    }
}

/// A node that is a folder, with volumes beside it; or a whole machine.
impl Ground for Node {
    /// Within its root, or within the volume of the mount that the path lies below.
    fn below(&self, path: &str) -> io::Result<(Root, String)> {
        crate::state::below(&self.state.borrow(), &self.home, &self.root(), path)
    }
    fn root(&self) -> PathBuf {
        if self.identity.whole { PathBuf::from("/") } else { self.home.root() }
    }
    fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = clean_environment();
        environment.extend(self.marks.clone());
        environment
    }
    fn memory(&self) -> PathBuf {
        self.home.resources()
    }
    fn is_mount(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.state.borrow().mounts.values().any(|mount| mount.mounted && mount.at == path)
    }
    fn is_machine(&self) -> bool {
        self.identity.whole
    }
}

/// Whether everything of the slice in force is right.
fn converged(held: &Held, seen: &Seen) -> bool {
    let services = |wanted: ServiceState| {
        held.slice.replicas.iter().all(|replica| {
            seen.services.get(&replica.address()).is_some_and(|service| {
                // One that runs still as what it was before is on its way.
                let is_so = service.version.as_ref().is_none_or(|own| *own == replica.version());
                service.state == wanted && is_so
            })
        })
    };
    if held.slice.quiet {
        return services(ServiceState::Stopped)
            && seen.services.values().all(|one| one.state == ServiceState::Stopped);
    }
    let looked =
        seen.resources.as_ref().is_some_and(|(hash, problems)| *hash == held.hash && problems.is_empty());
    // What still runs as it was before this slice is about to be stopped.
    let fits = |address: &String| seen.fits.get(address) == Some(&held.hash);
    looked
        && held.slice.replicas.iter().all(|replica| fits(&replica.address()))
        && seen.services_wait.is_empty()
        && services(ServiceState::Running)
        && seen.services.len() == held.slice.replicas.len()
}
