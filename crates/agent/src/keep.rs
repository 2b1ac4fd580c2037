//! The keeper: the process that a machine is. It starts the agent, again and again, and inherits what the agent
//! leaves behind. It has no logic that could fail.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ideal_host::durable::{self, Lock};
use ideal_host::home::{KeeperRecord, is_of};
use ideal_host::process::{self, ProcessId};
use ideal_host::{AgentCommand, Home, Identity, engine};
use ideal_resources::ground::clean_environment;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::AgentError;
use crate::log::Log;

/// An agent that lived at least this long died of something new: it is started again at once.
const LIVED: Duration = Duration::from_secs(30);
/// How long everything on the machine has to end by itself when the machine is ended.
const GRACE: Duration = Duration::from_secs(2);
/// How much of the record of ends is kept: an agent reads it within seconds.
const EXITS_LIMIT: u64 = 64 << 10;

/// What a keeper is told.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    /// The home of the machine.
    pub home: std::path::PathBuf,
    /// How to start the agent.
    pub agent: AgentCommand,
    /// Whether to go on in a session of its own, and let go of who started it. Not as process 1 of a container.
    pub detach: bool,
    /// The longest wait before an agent that dies young is started again. Healing waits for it, so it is short.
    pub longest_wait: Duration,
}

impl KeepOptions {
    /// With the usual wait.
    pub fn new(home: impl Into<std::path::PathBuf>, agent: AgentCommand, detach: bool) -> KeepOptions {
        KeepOptions { home: home.into(), agent, detach, longest_wait: Duration::from_secs(5) }
    }
}

/// The end of a process that the agent did not see itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub process: ProcessId,
    pub how: String,
}

/// Is the machine, until it is ended.
pub fn keep(options: &KeepOptions) -> Result<(), AgentError> {
    if options.detach {
        return detach(options);
    }
    let home = Home::new(&options.home);
    // Fails only for a leader, which process 1 and a detached keeper's other cases already are.
    let _ = rustix::process::setsid();
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let Some(_lock) = take_lock(&home.keeper_lock()).map_err(AgentError::io("locking the machine's home"))?
    else {
        return Ok(());
    };
    // Looked at with the lock held: who ends a machine writes this first and then waits for the lock.
    if home.over().exists() {
        return Ok(());
    }
    let process =
        ProcessId::own().ok_or_else(|| AgentError::Damaged("this process is not in /proc".into()))?;
    let record = KeeperRecord { process, boot: process::boot_id() };
    durable::write_json(&home.keeper(), &record).map_err(AgentError::io("writing keeper.json"))?;
    let identity: Identity = durable::read_json(&home.identity())
        .map_err(AgentError::io("reading identity.json"))?
        .ok_or_else(|| AgentError::Damaged("there is no identity.json".into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AgentError::io("starting the keeper"))?;
    let (agent, longest_wait) = (options.agent.clone(), options.longest_wait);
    // Without it agents are only given their secrets anew each time.
    let secrets = crate::secrets::vessel().ok();
    runtime.block_on(Keeper { home, identity, agent, longest_wait, secrets }.run())
}

/// Starts the true keeper in a session of its own and leaves: it then belongs to nobody, so that no terminal
/// reaches it and nobody has to reap it.
fn detach(options: &KeepOptions) -> Result<(), AgentError> {
    let mut command = Command::new(&options.agent.program);
    command.args(&options.agent.args).arg("keep").arg("--foreground").arg("--home").arg(&options.home);
    command.arg("--agent").arg(&options.agent.program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(AgentError::io("starting the keeper"))?;
    Ok(())
}

/// The lock may be held for an instant by somebody who only looks.
fn take_lock(path: &Path) -> io::Result<Option<Lock>> {
    let begun = Instant::now();
    loop {
        match Lock::try_take(path)? {
            Some(lock) => return Ok(Some(lock)),
            None if begun.elapsed() > Duration::from_secs(1) => return Ok(None),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

struct Keeper {
    home: Home,
    identity: Identity,
    agent: AgentCommand,
    longest_wait: Duration,
    /// What agents remember in memory only, from one to the next.
    secrets: Option<std::fs::File>,
}

impl Keeper {
    async fn run(self) -> Result<(), AgentError> {
        let log = Log::new(self.home.agent_log());
        let hear = |kind| signal(kind).map_err(AgentError::io("listening for signals"));
        let mut ends = hear(SignalKind::child())?;
        let mut term = hear(SignalKind::terminate())?;
        let mut int = hear(SignalKind::interrupt())?;
        let mut wait = Duration::ZERO;
        loop {
            let started = Instant::now();
            let agent = match self.start() {
                Ok(pid) => Some(pid),
                Err(error) => {
                    log.say(format_args!("keeper: the agent cannot be started: {error}"));
                    None
                }
            };
            while agent.is_some() {
                tokio::select! {
                    _ = ends.recv() => if self.reap(agent, &log) { break },
                    _ = term.recv() => return self.end(agent, &log).await,
                    _ = int.recv() => return self.end(agent, &log).await,
                }
            }
            if started.elapsed() >= LIVED {
                wait = Duration::ZERO;
            }
            let until = tokio::time::Instant::now() + wait;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => break,
                    _ = ends.recv() => { self.reap(None, &log); }
                    _ = term.recv() => return self.end(None, &log).await,
                    _ = int.recv() => return self.end(None, &log).await,
                }
            }
            wait = (wait * 2).clamp(Duration::from_millis(250), self.longest_wait);
        }
    }

    fn start(&self) -> io::Result<Pid> {
        let mut command = Command::new(&self.agent.program);
        command.args(&self.agent.args).arg("run").arg("--home").arg(self.home.path());
        command.env_clear().envs(clean_environment()).envs(self.identity.marks(&self.home));
        // Where the container engine is: the agent's to know, and of nothing that it starts.
        command.envs(std::env::var_os(engine::VARIABLE).map(|socket| (engine::VARIABLE, socket)));
        let vessel = self.secrets.as_ref().and_then(|vessel| vessel.try_clone().ok());
        command
            .stdin(vessel.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.process_group(0);
        let child = command.spawn()?;
        // The handle is let go: every child is reaped in one place, also those never started here.
        i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("no such number"))
    }

    /// Reaps all that has ended. Answers whether the agent has.
    fn reap(&self, agent: Option<Pid>, log: &Log) -> bool {
        let mut agent_ended = false;
        let mut ended = Vec::new();
        for pid in own_children() {
            // Before it is reaped, for afterwards nobody knows when it started.
            let Some(stat) = process::stat(pid).filter(|stat| stat.state == 'Z') else { continue };
            let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
            let Ok(Some((_, status))) = rustix::process::waitpid(Some(raw), WaitOptions::NOHANG) else {
                continue;
            };
            if Some(raw) == agent {
                log.say(format_args!("keeper: the agent {}", in_words(status)));
                agent_ended = true;
            }
            ended.push(Exit { process: ProcessId { pid, start: stat.start }, how: in_words(status) });
        }
        if !ended.is_empty()
            && let Err(error) = record(&self.home.exits(), &ended)
        {
            log.say(format_args!("keeper: the ends of {} processes are not recorded: {error}", ended.len()));
        }
        agent_ended
    }

    /// Ends the machine: asks everything, waits a little, kills what is left.
    async fn end(&self, agent: Option<Pid>, log: &Log) -> Result<(), AgentError> {
        log.say("keeper: the machine is ended");
        let _ = fs::write(self.home.over(), b"");
        // The agent first and without asking: it would start again what ends. It is built to be killed.
        if let Some(agent) = agent {
            let _ = rustix::process::kill_process(agent, Signal::KILL);
        }
        let asked = Instant::now();
        let mut told = BTreeSet::new();
        loop {
            let late = asked.elapsed() > GRACE;
            let left = self.remains();
            for process in &left {
                if late {
                    let _ = process.signal(Signal::KILL);
                } else if told.insert(*process) {
                    let _ = process.signal(Signal::TERM);
                }
            }
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
            if left.is_empty() && own_children().is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything that runs here: what descends from this process, which as subreaper is every process of the
    /// machine whatever its environment says, and what carries the marks.
    fn remains(&self) -> BTreeSet<ProcessId> {
        let parents: Vec<(u32, process::Stat)> =
            process::numbers().into_iter().filter_map(|pid| Some((pid, process::stat(pid)?))).collect();
        let mut ours = BTreeSet::from([std::process::id()]);
        loop {
            let before = ours.len();
            ours.extend(
                parents
                    .iter()
                    .filter(|(_, stat)| ours.contains(&stat.parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if ours.len() == before {
                break;
            }
        }
        ours.remove(&std::process::id());
        let marked = process::find(|marks| is_of(marks, &self.identity.machine, &self.home));
        ours.into_iter().filter_map(ProcessId::of).chain(marked.iter().map(|process| process.id)).collect()
    }
}

fn own_children() -> Vec<u32> {
    let own = std::process::id();
    match fs::read_to_string(format!("/proc/{own}/task/{own}/children")) {
        Ok(text) => text.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
        // A kernel built without that file.
        Err(_) => {
            let is_child = |pid: &u32| process::stat(*pid).is_some_and(|stat| stat.parent == own);
            process::numbers().into_iter().filter(is_child).collect()
        }
    }
}

fn in_words(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        _ => "ended".to_owned(),
    }
}

fn record(path: &Path, ends: &[Exit]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > EXITS_LIMIT) {
        fs::rename(path, crate::log::older(path))?;
    }
    let mut text = String::new();
    for end in ends {
        text.push_str(&serde_json::to_string(end)?);
        text.push('\n');
    }
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// How a process ended that the keeper reaped; none when it has not.
pub(crate) fn exit_of(home: &Home, process: ProcessId) -> Option<String> {
    let path = home.exits();
    let recent = fs::read_to_string(&path).unwrap_or_default();
    let before = fs::read_to_string(crate::log::older(&path)).unwrap_or_default();
    let mut lines = recent.lines().rev().chain(before.lines().rev());
    lines.find_map(|line| {
        let exit: Exit = serde_json::from_str(line).ok()?;
        (exit.process == process).then_some(exit.how)
    })
}
