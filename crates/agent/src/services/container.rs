//! The container of a replica: made and started at the engine of this host, found again by an agent that did not
//! start it, watched, stopped.
//!
//! Its name is made of the machine and the replica, so the engine itself sees to it that there is one at most. Its
//! labels say what it is, so an agent that knows nothing else recognises it.

pub(crate) mod body;
pub(crate) mod events;
pub(crate) mod image;
pub(crate) mod logs;
pub(crate) mod look;
mod network;
mod owner;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::ideal::service::{Signal, Stop};
use ideal_core::time::Time;
use ideal_host::engine::{HOME, MACHINE, SERVICE};
use ideal_host::{Home, Identity, durable};
use tokio::sync::{Mutex, Notify};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::running::News;
use super::vault;
use super::wanted::Program;
use crate::engine::seen::ContainerSeen;
use crate::engine::{Engine, EngineError, escaped};
use crate::health::Verdict;
use crate::names;
use crate::node::Node;

/// The hash of what a container was made of.
pub(crate) const SPEC: &str = "ideal.spec";
/// How often an engine that is silent is asked again, at first and at last.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long a container that was killed may take to be seen dead before it is killed once more.
const DIES: Duration = Duration::from_secs(10);
/// How long what a container said last may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The engine of this host, and who waits for news of it.
#[derive(Debug)]
pub(crate) struct Containers {
    pub engine: Engine,
    machine: String,
    home: Home,
    /// Held while networks are looked for and made.
    networks: Mutex<()>,
    /// By replica.
    news: RefCell<BTreeMap<String, Rc<Notify>>>,
}

/// Why a container was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The engine is silent: that says nothing of the container.
    Silent(String),
    /// It cannot be started.
    Failed(String),
}

impl From<EngineError> for NotStarted {
    fn from(error: EngineError) -> NotStarted {
        match error {
            EngineError::Absent(why) | EngineError::Silent(why) => NotStarted::Silent(why),
            EngineError::Said(why) => NotStarted::Failed(why),
        }
    }
}

impl Containers {
    pub(crate) fn new(identity: &Identity, home: &Home) -> Containers {
        // One that containers were made at stays the one, whatever the variable says now.
        let known = std::fs::read_to_string(home.engine()).ok().filter(|text| text.starts_with('/'));
        let socket = known.map_or_else(ideal_host::engine::socket, |text| text.trim().into());
        let (machine, home) = (identity.machine.to_string(), home.clone());
        let (networks, news) = (Mutex::default(), RefCell::default());
        Containers { engine: Engine::new(socket), machine, home, networks, news }
    }

    /// Whether there is an engine here, silent or not. The error says what to do.
    pub(crate) fn there(&self) -> Result<(), String> {
        let socket = self.engine.socket();
        if socket.exists() || self.home.engine().exists() {
            return Ok(());
        }
        Err(format!(
            "there is no container engine at {}: start one on this node, or name its socket in DOCKER_HOST \
             before the node is made; a node that is itself a container of provider `docker` has none",
            socket.display()
        ))
    }

    /// Notes, before the first container is made, where they are: who ends the machine has to find them.
    fn note_engine(&self) -> Result<(), String> {
        let (at, socket) = (self.home.engine(), self.engine.socket().display().to_string());
        if std::fs::read_to_string(&at).is_ok_and(|text| text == socket) {
            return Ok(());
        }
        durable::write(&at, socket.as_bytes()).map_err(|error| format!("{}: {error}", at.display()))
    }

    /// What a replica's container is called.
    pub(crate) fn name(&self, replica: &str) -> String {
        container_name(&self.machine, replica)
    }

    pub(crate) fn news(&self, replica: &str) -> Rc<Notify> {
        self.news.borrow_mut().entry(replica.to_owned()).or_default().clone()
    }
    fn tell_all(&self) {
        self.news.borrow().values().for_each(|news| news.notify_one());
    }

    fn is_ours(&self, labels: &BTreeMap<String, String>) -> bool {
        is_of(labels, &self.machine, &self.home)
    }

    async fn look(&self, id_or_name: &str) -> Result<Option<ContainerSeen>, EngineError> {
        let found =
            self.engine.look(&format!("/containers/{}/json", escaped(id_or_name)), "look at it").await?;
        Ok(found.as_ref().and_then(ContainerSeen::read))
    }

    async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let reply = self.engine.delete(&format!("/containers/{id}?force=1&v=1")).await?;
        match reply.code {
            // Gone, or somebody is at it.
            404 | 409 => Ok(()),
            _ => reply.good("remove the container").map(drop),
        }
    }
}

/// What the container of a replica on a machine is called.
pub(crate) fn container_name(machine: &str, replica: &str) -> String {
    format!("ideal-{machine}-{}", replica.replace('[', "-").replace(']', ""))
}

/// Whether labels are of the machine `machine` with this home. One whose home is no longer where they say was moved, and
/// is still the same; one that still is there is another copy of the same data.
pub(crate) fn is_of(labels: &BTreeMap<String, String>, machine: &str, home: &Home) -> bool {
    let at = labels.get(HOME);
    labels.get(MACHINE).is_some_and(|label| label == machine)
        && at.is_some_and(|at| Path::new(at) == home.path() || !Path::new(at).exists())
}

/// A container that runs, or did when it was last looked at.
#[derive(Debug)]
pub(crate) struct Container {
    pub id: String,
    /// The hash of the program that it was made of.
    pub spec: String,
    pub since: Time,
    pub pid: Option<u32>,
    /// Whether its image has a check of its own, which the engine runs.
    pub checked: bool,
    replica: String,
    /// When the engine says that it started.
    started: Time,
    health: Option<String>,
    silent: bool,
    news: Rc<Notify>,
    log: Option<JoinHandle<()>>,
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.abort();
        }
    }
}

impl Container {
    fn new(node: &Rc<Node>, replica: &str, seen: &ContainerSeen) -> Container {
        let spec = seen.label(SPEC).unwrap_or_default();
        let mut container = Container::known(node, replica, &seen.id, spec, seen.started);
        container.pid = seen.pid;
        container.checked = seen.health.is_some();
        container.started = seen.started;
        container
    }

    /// One that an earlier agent wrote down, not looked at yet.
    pub(crate) fn known(node: &Rc<Node>, replica: &str, id: &str, spec: &str, since: Time) -> Container {
        let mut container = Container {
            id: id.to_owned(),
            spec: spec.to_owned(),
            since,
            pid: None,
            checked: false,
            replica: replica.to_owned(),
            // Whatever the engine says at the first look is taken for what it was.
            started: Time(0),
            health: None,
            silent: false,
            news: node.containers.news(replica),
            log: None,
        };
        container.listen(node);
        container
    }

    /// Brings what it says into its log, from where that ends.
    fn listen(&mut self, node: &Rc<Node>) {
        if self.log.as_ref().is_some_and(|log| !log.is_finished()) {
            return;
        }
        let (node, replica, id) = (node.clone(), self.replica.clone(), self.id.clone());
        self.log = Some(spawn_local(async move { logs::follow(&node, &replica, &id).await }));
    }

    /// Waits until what it said last is in its log.
    pub(crate) async fn hear_out(&mut self) {
        if let Some(mut log) = self.log.take()
            && timeout(LAST_WORDS, &mut log).await.is_err()
        {
            log.abort();
        }
    }

    /// Waits for something to be told of it. May be asked again; nothing is lost in between.
    pub(crate) async fn news(&mut self, node: &Rc<Node>) -> News {
        let mut wait = ASK_AGAIN.0;
        loop {
            match node.containers.look(&self.id).await {
                // An engine that is starting or ending says no to questions that it understands.
                Err(error) => {
                    if !self.silent {
                        self.silent = true;
                        return News::Silent(error.to_string());
                    }
                    tokio::select! {
                        () = self.news.notified() => {}
                        () = sleep(wait) => wait = (wait * 2).min(ASK_AGAIN.1),
                    }
                    continue;
                }
                Ok(None) => return News::Ended("its container was removed".to_owned()),
                Ok(Some(seen)) => {
                    if let Some(news) = self.compare(node, &seen) {
                        return news;
                    }
                }
            }
            self.news.notified().await;
        }
    }

    fn compare(&mut self, node: &Rc<Node>, seen: &ContainerSeen) -> Option<News> {
        // Somebody else is at it: how that goes on will be told.
        if matches!(seen.status.as_str(), "restarting" | "removing") {
            return None;
        }
        if !seen.is_up() {
            return Some(News::Ended(seen.how()));
        }
        let first = self.started == Time(0);
        let again = !first && seen.started != self.started;
        (self.pid, self.started) = (seen.pid, seen.started);
        if again {
            // By another hand: it lives, and that is what counts.
            (self.since, self.health) = (seen.started, None);
            self.listen(node);
        }
        if std::mem::take(&mut self.silent) {
            self.listen(node);
            return Some(News::Answers);
        }
        self.checked = seen.health.is_some();
        if seen.health != self.health {
            self.health.clone_from(&seen.health);
            let said = || match seen.health_says.as_str() {
                "" => "the check of its image failed".to_owned(),
                said => format!("the check of its image failed: {said}"),
            };
            return match seen.health.as_deref() {
                Some("healthy") => Some(News::Check(Verdict::Well)),
                Some("unhealthy") => Some(News::Check(Verdict::Unwell(said()))),
                _ => None,
            };
        }
        None
    }

    /// Asks it to end, waits as long as it may take, kills it. It is still there afterwards.
    pub(crate) async fn stop(&mut self, node: &Rc<Node>, stop: &Stop, grace: Duration) {
        self.signal(node, signal(stop.signal)).await;
        if timeout(grace, self.ended(node)).await.is_err() {
            node.log
                .say(format_args!("service {}: did not end within {grace:?} and is killed", self.replica));
            loop {
                self.signal(node, "KILL").await;
                if timeout(DIES, self.ended(node)).await.is_ok() {
                    break;
                }
            }
        }
        self.hear_out().await;
    }

    async fn ended(&mut self, node: &Rc<Node>) {
        while !matches!(self.news(node).await, News::Ended(_)) {}
    }

    /// Sends a signal. One that has ended refuses it, and a silent engine is asked by who waits for the end.
    async fn signal(&mut self, node: &Rc<Node>, signal: &str) {
        let path = format!("/containers/{}/kill?signal=SIG{signal}", self.id);
        while let Err(EngineError::Absent(_) | EngineError::Silent(_)) =
            node.containers.engine.post(&path, None).await
        {
            sleep(ASK_AGAIN.1).await;
        }
    }

    /// Takes it away, with what it wrote beside its mounts.
    pub(crate) async fn remove(&mut self, node: &Rc<Node>) {
        loop {
            match node.containers.remove(&self.id).await {
                Ok(()) => return,
                Err(EngineError::Said(why)) => {
                    node.log.say(format_args!("service {}: its container stays: {why}", self.replica));
                    return;
                }
                Err(EngineError::Absent(_) | EngineError::Silent(_)) => sleep(ASK_AGAIN.1).await,
            }
        }
    }
}

/// What a signal is called.
pub(crate) fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Term => "TERM",
        Signal::Int => "INT",
        Signal::Quit => "QUIT",
        Signal::Hup => "HUP",
    }
}

/// The container of a replica that runs what it should, where one does already.
pub(crate) async fn running(node: &Rc<Node>, program: &Program) -> Result<Option<Container>, NotStarted> {
    let replica = program.replica.address();
    let Some(seen) = node.containers.look(&node.containers.name(&replica)).await? else { return Ok(None) };
    let same = node.containers.is_ours(&seen.labels) && seen.label(SPEC) == Some(&program.hash);
    Ok((same && seen.is_up()).then(|| Container::new(node, &replica, &seen)))
}

/// Starts the container of a replica, and makes it when there is none that fits, or when it is to be made `anew`.
/// To be given up at any point: what is half made is found by its name.
pub(crate) async fn start(node: &Rc<Node>, program: &Program, anew: bool) -> Result<Container, NotStarted> {
    let ours = &node.containers;
    let replica = program.replica.address();
    let name = ours.name(&replica);
    ours.note_engine().map_err(NotStarted::Failed)?;
    if let Some(seen) = ours.look(&name).await? {
        if !ours.is_ours(&seen.labels) || seen.label(SERVICE) != Some(&replica) {
            let why = format!(
                "the name {name} belongs to container {}, which is not this machine's: a copy of its data \
                 folder, perhaps; remove one of the two",
                short(&seen.id)
            );
            return Err(NotStarted::Failed(why));
        }
        if !anew && seen.label(SPEC) == Some(&program.hash) {
            if seen.is_up() {
                return Ok(Container::new(node, &replica, &seen));
            }
            match begin(node, program, &seen.id).await {
                Ok(container) => return Ok(container),
                Err(NotStarted::Silent(why)) => return Err(NotStarted::Silent(why)),
                Err(NotStarted::Failed(why)) => {
                    node.log.say(format_args!("service {replica}: {why}; its container is made anew"));
                }
            }
        }
        ours.remove(&seen.id).await?;
    }
    image::bring(node, program).await?;
    let networks = network::bring(node, program).await?;
    let mounts = mounts(node, program, None).map_err(NotStarted::Failed)?;
    let body = body::create(program, &marks(node), &mounts, &networks);
    let made = ours.engine.post(&format!("/containers/create?name={}", escaped(&name)), Some(&body)).await?;
    let made = made.good("make the container")?;
    let id = made.get("Id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let started = async {
        network::join(node, program, &id, &networks).await?;
        begin(node, program, &id).await
    };
    let started = started.await;
    if let Err(NotStarted::Failed(_)) = &started {
        // What could not start is of no use to anybody.
        ours.remove(&id).await?;
    }
    started
}

/// What is left at the engine of a replica that is not to run, when nobody here knows of any: the container that was
/// being started when that was given up, or whose start was never answered. One that runs is to be stopped as others
/// are; anything else is taken away unless it is `wanted` later, also a command that runs before it. Comes back when the
/// engine has said so; until then `tell` is told why that is not known.
pub(crate) async fn left(
    node: &Rc<Node>,
    replica: &str,
    wanted: bool,
    tell: impl Fn(String),
) -> Option<Container> {
    let may_be = node.runtime().services.get(replica).is_some_and(|own| own.image || own.container.is_some());
    if !may_be {
        return None;
    }
    let ours = &node.containers;
    let name = ours.name(replica);
    let ended = async |seen: ContainerSeen| match ours.remove(&seen.id).await {
        // One that has ended writes nothing any more: that it cannot be taken away holds nothing up.
        Err(EngineError::Said(why)) => {
            node.log.say(format_args!("service {replica}: its container stays: {why}"));
            Ok(())
        }
        other => other,
    };
    let find = async || {
        if let Some(init) = ours.look(&init_name(&name)).await?.filter(|seen| ours.is_ours(&seen.labels)) {
            match init.is_up() {
                true => ours.remove(&init.id).await?,
                false => ended(init).await?,
            }
        }
        match ours.look(&name).await?.filter(|seen| ours.is_ours(&seen.labels)) {
            Some(seen) if seen.is_up() => Ok(Some(Container::new(node, replica, &seen))),
            Some(seen) if !wanted => ended(seen).await.map(|()| None),
            Some(_) | None => Ok(None),
        }
    };
    loop {
        let found: Result<_, EngineError> = find().await;
        match found {
            Ok(found) => return found,
            Err(error) => tell(format!("whether anything of it runs is not known: {error}")),
        }
        sleep(ASK_AGAIN.1).await;
    }
}

/// What the container of a command is called that runs before that of a replica.
fn init_name(name: &str) -> String {
    format!("{name}-init")
}

/// Starts a container that was made, with all that it has to find.
async fn begin(node: &Rc<Node>, program: &Program, id: &str) -> Result<Container, NotStarted> {
    let ours = &node.containers;
    let replica = program.replica.address();
    let owner = owner::of(node, program, id).await?;
    let mounts = mounts(node, program, Some(owner)).map_err(NotStarted::Failed)?;
    let networks = match program.init.is_empty() {
        true => Vec::new(),
        false => network::bring(node, program).await?,
    };
    for (i, argv) in program.init.iter().enumerate() {
        let body = body::init(program, argv, &marks(node), &mounts, &networks);
        let done = logs::run_once(node, &replica, &init_name(&ours.name(&replica)), &body).await?;
        if let Some(how) = done {
            let why = format!("init command {} (`{}`) failed: {how}", i + 1, argv.join(" "));
            return Err(NotStarted::Failed(why));
        }
    }
    let reply = ours.engine.post(&format!("/containers/{id}/start"), None).await?;
    reply.good("start the container")?;
    match ours.look(id).await? {
        Some(seen) => Ok(Container::new(node, &replica, &seen)),
        None => Err(NotStarted::Failed("its container was removed while it started".to_owned())),
    }
}

fn marks(node: &Node) -> body::Marks {
    body::Marks {
        cloud: node.identity.slot.cloud.to_string(),
        node: node.identity.node_mark(),
        machine: node.identity.machine.to_string(),
        home: node.home.path().display().to_string(),
    }
}

/// What of the host is shown in a container: its mounts and its files, which are put in place. Those that are to be
/// private are given to `owner`, once that is known.
fn mounts(node: &Node, program: &Program, owner: Option<vault::Owner>) -> Result<Vec<body::Bind>, String> {
    let replica = program.replica.address();
    let mut binds = Vec::new();
    for (name, mount) in &program.replica.spec.mounts {
        let at = node.replica_mount(&replica, name);
        let source = at.ok_or_else(|| format!("its mount {name} is not mounted"))?;
        if let Some(owner) = owner {
            vault::hand_over(&source, owner).map_err(|error| format!("{}: {error}", source.display()))?;
        }
        binds.push(body::Bind { source, target: mount.at.clone(), read_only: false });
    }
    let files = vault::lay(node, &replica, &program.files, owner.unwrap_or_default())?;
    let files = files.into_iter().zip(&program.files);
    binds.extend(files.map(|(source, file)| body::Bind {
        source,
        target: file.path.clone(),
        read_only: true,
    }));
    // On a machine of its own, what it asks for may be on another; on a shared one all are known to the engine.
    if node.identity.whole && binds.iter().all(|bind| bind.target != names::LIST) {
        let said = |error: std::io::Error| format!("its list of names: {error}");
        let source = names::show_containers(node).map_err(said)?;
        binds.push(body::Bind { source, target: names::LIST.to_owned(), read_only: true });
    }
    Ok(binds)
}

/// As much of an id as people are shown.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
