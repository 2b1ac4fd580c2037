//! The process of a replica: started through the shim, found again by an agent that did not start it, watched,
//! stopped with everything that it left behind.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::ideal::ServiceSpec;
use ideal_core::ideal::service::Signal as Named;
use ideal_core::ideal::service::{Rung, Stop};
use ideal_core::time::Time;
use ideal_host::cgroup::{self, Group, Limits};
use ideal_host::home::is_of;
use ideal_host::now;
use ideal_host::process::{self, Marked, Marks, ProcessId, RUN, SERVICE, START};
use ideal_resources::Ground;
use ideal_resources::accounts::Accounts;
use ideal_resources::exec::{self, RunAs};
use ideal_resources::ground::clean_environment;
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use super::vault::{self, Owner};
use super::wanted::Program;
use crate::keep::exit_of;
use crate::node::Node;

/// How long a command that runs before a process may take.
const INIT: Duration = Duration::from_secs(600);

/// A running replica.
#[derive(Debug)]
pub(crate) struct Running {
    pub id: ProcessId,
    /// The hash of the program that it was started as.
    pub spec: String,
    pub since: Time,
    /// The control group that limits it, when it is limited.
    group: Option<Group>,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Own(Child),
    /// Started by an agent that died: the keeper reaps it, we only see it end.
    Inherited(AsyncFd<OwnedFd>),
}

impl Running {
    /// It ended by itself. Whatever shares its group would be in the way of the next: the port, the lock file.
    pub(crate) fn clear_up(&self, node: &Node) {
        if let Some(group) = self.id.raw() {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        if self.group.as_ref().is_some_and(|group| !group.end()) {
            node.log.say(format_args!("process {}: its control group stays", self.id.pid));
        }
    }

    /// Waits for its end; answers how, where that is known. May be asked again.
    pub(crate) async fn ended(&mut self, node: &Node) -> String {
        let how = self.end(node).await;
        match self.group.as_ref().and_then(Group::out_of_memory) {
            Some(limit) => format!("it was killed for using more than {limit}"),
            None => how,
        }
    }

    async fn end(&mut self, node: &Node) -> String {
        match &mut self.handle {
            Handle::Own(child) => match child.wait().await {
                Ok(status) => format!("it ended with {status}"),
                Err(error) => format!("it cannot be waited for: {error}"),
            },
            Handle::Inherited(fd) => {
                let _ = fd.readable().await;
                exit_of(&node.home, self.id).map_or_else(|| "it ended".to_owned(), |how| format!("it {how}"))
            }
        }
    }
}

/// Starts the program of a replica. Its marks hold what it is started as, so that an agent that knows nothing
/// else recognises it: there is no instant at which it runs and could not be found.
pub(crate) async fn start(node: &Node, program: &Program) -> Result<Running, String> {
    let name = program.replica.address();
    let user = program.user.as_deref().map(user).transpose()?;
    let owner = user.as_ref().map_or_else(own, |(user, _)| Owner { uid: user.uid, gid: user.gid });
    vault::lay_in_root(node, &name, &program.files, owner)?;
    for mount in program.replica.spec.mounts.keys() {
        if let Some(at) = node.replica_mount(&name, mount) {
            vault::hand_over(&at, owner).map_err(|error| format!("{}: {error}", at.display()))?;
        }
    }
    for (i, argv) in program.init.iter().enumerate() {
        let mut run = exec::Program { env: program.env.clone(), ..exec::Program::new(argv.iter(), INIT) };
        run.user = user.as_ref().map(|(user, _)| user.clone());
        let outcome = exec::run(node, &format!("init {name}"), &run).await;
        if !outcome.agreed() {
            return Err(format!("init command {} (`{}`) failed: {}", i + 1, argv.join(" "), outcome.why()));
        }
    }
    let limits = limits(&program.replica.spec);
    let group = match limits.is_empty() {
        true => None,
        false => {
            let label = format!("{}.{}", name.replace('[', "-").replace(']', ""), node.next_start());
            let group = Group::make(node.identity.machine.as_str(), &label, &limits);
            Some(group.map_err(|error| format!("its control group cannot be made: {error}"))?)
        }
    };
    let started = spawn(node, program, &name, user, group.clone());
    if started.is_err() {
        group.map(|group| group.end());
    }
    started
}

/// Why a process cannot be run as its file says on this node; none: it can.
pub(crate) fn refused(spec: &ServiceSpec) -> Option<String> {
    let of = |what: &str, why: String| Some(format!("`{what}` of a process: {why}; or give it an `image`"));
    if let Some(why) = cgroup::lacks(&limits(spec)) {
        return of("memory, cpus, pids", why);
    }
    let own = rustix::process::geteuid();
    if spec.user.is_some() && !own.is_root() {
        return of("user", "only an agent that is root can run it as another user".to_owned());
    }
    None
}

fn limits(spec: &ServiceSpec) -> Limits {
    Limits { memory: spec.memory, cpus: spec.cpus.map(|cpus| cpus.0), pids: spec.pids }
}

/// Who the agent is.
fn own() -> Owner {
    Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

/// A user of this host by name or number, and what its programs find in their environment.
fn user(name: &str) -> Result<(RunAs, BTreeMap<String, String>), String> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let accounts = Accounts::read(&read("/etc/passwd")?, &read("/etc/group")?);
    accounts.run_as(name).ok_or_else(|| {
        format!("there is no user `{name}` on this node: make one with a `user` resource, or name a number")
    })
}

fn spawn(
    node: &Node,
    program: &Program,
    name: &str,
    user: Option<(RunAs, BTreeMap<String, String>)>,
    group: Option<Group>,
) -> Result<Running, String> {
    let said = |error: io::Error| error.to_string();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(node.home.service_log(name))
        .map_err(said)?;
    let mut command = Command::new(&node.own.program);
    command.args(&node.own.args).arg("shim");
    for door in group.iter().flat_map(Group::doors) {
        command.arg(format!("--enter={}", door.display()));
    }
    let (mut words, mut home) = (Vec::new(), BTreeMap::new());
    if let Some((user, environment)) = user {
        words = user.words()?;
        if words.is_empty() {
            command.arg(format!("--as={}:{}", user.uid, user.gid));
        }
        home = environment;
    }
    command.arg("--").args(words).args(program.argv.iter().flatten());
    command.current_dir(node.root()).env_clear().envs(clean_environment()).envs(home);
    // Marks last: what the file says of the environment must not be able to hide a process.
    command.envs(&program.env).envs(&node.marks);
    command.env(SERVICE, name).env(START, format!("{}.{}", program.hash, node.next_start()));
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(said)?).stderr(log);
    let child = command.spawn().map_err(said)?;
    let pid = child.id().ok_or("it ended at once")?;
    let seen = process::stat(pid).ok_or("it ended at once")?;
    let id = ProcessId { pid, start: seen.start };
    Ok(Running { id, spec: program.hash.clone(), since: now(), group, handle: Handle::Own(child) })
}

/// Takes up what an earlier agent left running. Called once, before anything is started.
pub(crate) fn adopt(node: &Node) {
    cgroup::sweep(node.identity.machine.as_str(), false);
    let ours = process::find(|marks| {
        is_of(marks, &node.identity.machine, &node.home) && marks.contains_key(SERVICE)
    });
    let mut names: Vec<&str> = ours.iter().filter_map(|process| process.mark(SERVICE)).collect();
    names.sort_unstable();
    names.dedup();
    node.change_runtime(|runtime| {
        for (name, started) in &mut runtime.services {
            let Some(process) = started.process.filter(|process| !process.is_alive()) else { continue };
            let how = exit_of(&node.home, process).unwrap_or_else(|| "ended".to_owned());
            node.log.say(format_args!("service {name}: it {how} while there was no agent"));
            started.process = None;
            let heal = heal_of(node, name);
            if super::ladder::fell(started, &heal, &node.pace, now()) == super::ladder::Next::Ask {
                let slice = node.slice().map(|held| held.meant().to_owned()).unwrap_or_default();
                started.suspended = Some((slice, format!("it {how} while there was no agent")));
            }
        }
        for name in names {
            let started = runtime.services.entry(name.to_owned()).or_default();
            if started.process.is_some() {
                continue;
            }
            // Started by an agent that died before it could write the number down.
            let Some(main) = main_of(&ours, name) else { continue };
            let spec =
                main.mark(START).and_then(|start| start.split_once('.')).map(|(spec, _)| spec.to_owned());
            started.process = Some(main.id);
            started.spec = spec.unwrap_or_default();
            started.since = now();
        }
    });
    for (name, started) in node.runtime().services.iter() {
        if let Some(process) = started.process {
            node.log.say(format_args!("service {name}: process {} still runs", process.pid));
        }
    }
}

/// What is done about a replica that is not well, when the slice still says so.
fn heal_of(node: &Node, name: &str) -> Vec<Rung> {
    let Some(held) = node.slice() else { return Vec::new() };
    let replica = held.slice.replicas.iter().find(|replica| replica.address() == name);
    replica.map(|replica| replica.spec.heal.clone()).unwrap_or_default()
}

/// Kills hooks, checks and commands that an earlier agent was waiting for: nobody hears their answer any more, and
/// they will be run again. What such a program left running on purpose has no leader of its group that lives.
pub(crate) fn end_unheard(node: &Node) {
    let ours =
        process::find(|marks| is_of(marks, &node.identity.machine, &node.home) && marks.contains_key(RUN));
    for unheard in ours.iter().filter(|one| one.id.pid == one.group && one.id.pid != one.session) {
        node.log.say(format_args!("{}: an earlier agent's is killed", unheard.mark(RUN).unwrap_or_default()));
        send(unheard.id, Signal::KILL);
    }
}

/// The first of a replica's processes: of the newest start, the one whose parent is not of it.
pub(crate) fn main_of<'a>(ours: &'a [Marked], name: &str) -> Option<&'a Marked> {
    let all: Vec<&Marked> = ours.iter().filter(|process| process.mark(SERVICE) == Some(name)).collect();
    let newest = all.iter().max_by_key(|process| process.id.start)?.mark(START);
    let of_it: Vec<&Marked> = all.into_iter().filter(|process| process.mark(START) == newest).collect();
    let is_first = |process: &&Marked| !of_it.iter().any(|other| other.id.pid == process.parent);
    of_it.iter().copied().filter(is_first).min_by_key(|process| process.id)
}

/// Watches what [`adopt`] found; none when it has ended since.
pub(crate) fn inherited(node: &Node, name: &str) -> Option<Running> {
    let (id, spec, since) = {
        let runtime = node.runtime();
        let started = runtime.services.get(name)?;
        (started.process?, started.spec.clone(), started.since)
    };
    let fd = pidfd_open(id.raw()?, PidfdFlags::NONBLOCK).ok()?;
    // After the descriptor is taken, so that the number cannot have passed to another unseen.
    if !id.is_alive() {
        return None;
    }
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types whose descriptor may change: an OwnedFd's does not"
    )]
    let fd = AsyncFd::with_interest(fd, Interest::READABLE).ok()?;
    Some(Running { id, spec, since, group: Group::of(id), handle: Handle::Inherited(fd) })
}

/// Asks a replica to end, waits as long as it may take, kills what is left of it.
pub(crate) async fn stop(node: &Rc<Node>, name: &str, running: &mut Running, stop: &Stop, grace: Duration) {
    let signal = match stop.signal {
        Named::Term => Signal::TERM,
        Named::Int => Signal::INT,
        Named::Quit => Signal::QUIT,
        Named::Hup => Signal::HUP,
    };
    send(running.id, signal);
    if tokio::time::timeout(grace, running.ended(node)).await.is_err() {
        node.log.say(format_args!("service {name}: did not end within {grace:?} and is killed"));
        send(running.id, Signal::KILL);
        running.ended(node).await;
    }
    running.clear_up(node);
    clear(node, name, None).await;
}

/// To the group of the process, which is its own since the shim; to the process alone before that.
fn send(id: ProcessId, signal: Signal) {
    let group =
        id.raw().filter(|_| id.is_alive()).map(|pid| rustix::process::kill_process_group(pid, signal));
    if !matches!(group, Some(Ok(()))) {
        let _ = id.signal(signal);
    }
}

/// Kills every process of a replica but those of the start `but`.
pub(crate) async fn clear(node: &Rc<Node>, name: &str, but: Option<ProcessId>) {
    let (machine, home, name) = (node.identity.machine.clone(), node.home.clone(), name.to_owned());
    let look = move || {
        let kept = but.and_then(|id| process::marks(id.pid).get(START).cloned());
        let is_left = |marks: &Marks| {
            is_of(marks, &machine, &home)
                && marks.get(SERVICE) == Some(&name)
                && (but.is_none() || (kept.is_some() && marks.get(START) != kept.as_ref()))
        };
        process::kill_all(is_left, 50)
    };
    // Looking through all processes takes a while: not on the thread that answers and restarts.
    match tokio::task::spawn_blocking(look).await {
        Ok(left) if left.is_empty() => {}
        Ok(left) => node.log.say(format_args!("{} processes cannot be killed", left.len())),
        Err(error) => node.log.say(format_args!("left-over processes were not looked for: {error}")),
    }
}
