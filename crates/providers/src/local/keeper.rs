//! Machines of `local`: a keeper process each, that lives in the machine's home.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ideal_core::id::MachineId;
use ideal_core::observed::MachineState;
use ideal_core::time::Span;
use ideal_host::durable::{self, Lock};
use ideal_host::home::{KeeperRecord, RuntimeRecord, is_of};
use ideal_host::process::ProcessId;
use ideal_host::{AgentCommand, Home, Identity, cgroup, now, process};
use rustix::process::Signal;

use super::containers;
use crate::ledger::{Glance, Ledger, MachineMeta, Machines, STARTS_WITHIN, Way};
use crate::{ProviderError, crash_point};

/// How long a keeper has to end what runs and itself: more than it gives its processes.
const GRACE: Duration = Duration::from_secs(4);
/// Names the keeper that was stopped, so that one that dies by itself is not taken for it.
const STOPPED: &str = "stopped.json";
/// How many looks for left-over processes: each forking process needs a new one.
const LOOKS: usize = 200;

/// Starts and ends keepers.
#[derive(Debug)]
pub(super) struct Keepers {
    pub run: PathBuf,
    pub agent: AgentCommand,
}

/// The keeper that was stopped with all that ran, when one was.
fn stopped(home: &Home) -> io::Result<Option<ProcessId>> {
    durable::read_json(&home.path().join(STOPPED))
}

fn keeper(home: &Home) -> io::Result<Option<KeeperRecord>> {
    durable::read_json(&home.keeper())
}

impl Machines for Keepers {
    fn way(&self, id: &MachineId, _: &str) -> Result<Way, ProviderError> {
        let agent = format!("unix:{}", self.run.join(format!("{id}.sock")).display());
        // Every machine is on this host, and reaches the others there.
        let address = std::net::Ipv4Addr::LOCALHOST.to_string();
        Ok(Way { address, within: agent.clone(), agent, whole: false })
    }
    fn glance(&self) -> Result<Glance, ProviderError> {
        Ok(Glance::default())
    }
    fn state(&self, home: &Home, meta: &MachineMeta, _: &Glance) -> io::Result<MachineState> {
        Ok(match keeper(home)? {
            Some(keeper) if keeper.is_alive() => MachineState::Running,
            // It was stopped, and not another one that came after it.
            Some(keeper) if stopped(home)? == Some(keeper.process) => MachineState::Stopped,
            Some(_) => MachineState::Impaired,
            None if now().since(meta.created) < STARTS_WITHIN => MachineState::Pending,
            None => MachineState::Impaired,
        })
    }
    fn begin(&self, home: &Home, _: &MachineMeta) -> Result<(), ProviderError> {
        if keeper(home)?.is_none() {
            self.start(home)?;
        }
        Ok(())
    }
    fn resume(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError> {
        // A stop that was broken off may have left something running.
        drop(self.end(home, meta)?);
        durable::remove(&home.over())?;
        self.start(home)?;
        let begun = Instant::now();
        while keeper(home)?.map(|keeper| keeper.process) == stopped(home)? {
            if begun.elapsed() > GRACE {
                return Err(ProviderError::retry(format!("the keeper of {} does not come up", meta.id)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
    fn stop(&self, home: &Home, meta: &MachineMeta) -> Result<(), ProviderError> {
        // First, so that whoever looks from now on finds a machine that was stopped, and not one that died.
        if let Some(keeper) = keeper(home)? {
            durable::write_json(&home.path().join(STOPPED), &keeper.process)?;
            crash_point("local.stop.written");
        }
        self.end(home, meta).map(drop)
    }
    fn end(&self, home: &Home, meta: &MachineMeta) -> Result<Option<Lock>, ProviderError> {
        let id = &meta.id;
        durable::write(&home.over(), b"")?;
        crash_point("local.end.over");
        let keeper = end_keeper(home)?;
        crash_point("local.end.keeper");
        let left = process::kill_all(|marks| is_of(marks, id, home), LOOKS);
        if let Some(process) = left.first() {
            let why = format!("process {} ({}) of {id} cannot be killed", process.id.pid, process.name);
            return Err(ProviderError::Retry { why, after: Some(Span::secs(1)) });
        }
        // A service without marks, whose keeper died before it could be told to end it.
        let runtime =
            durable::read_json::<RuntimeRecord>(&home.runtime()).unwrap_or_default().unwrap_or_default();
        for _ in 0..LOOKS {
            let members = runtime.processes();
            if members.is_empty() {
                break;
            }
            for process in members {
                process.signal(Signal::KILL)?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        cgroup::sweep(id.as_str(), true);
        containers::end(home, id)?;
        crash_point("local.end.containers");
        // Whatever is left is not known to be ours, and is not killed; but nothing is taken from under it either.
        if let Some(user) = process::user_of(&home.volumes()) {
            let why = format!("a volume of {id} is in use: {user}");
            return Err(ProviderError::Retry { why, after: Some(Span::secs(1)) });
        }
        Ok(Some(keeper))
    }
    fn forget(&self, meta: &MachineMeta) -> io::Result<()> {
        match meta.agent.strip_prefix("unix:") {
            Some(socket) => durable::remove(std::path::Path::new(socket)),
            None => Ok(()),
        }
    }
    fn sweep(&self, _: &[MachineMeta]) -> Result<(), ProviderError> {
        Ok(())
    }
}

impl Keepers {
    /// Starts a keeper that outlives this process and its terminal. A second one finds the lock taken and goes.
    fn start(&self, home: &Home) -> io::Result<()> {
        let identity: Identity = durable::read_json(&home.identity())?
            .ok_or_else(|| io::Error::other("the machine has no identity.json"))?;
        let log = OpenOptions::new().create(true).append(true).open(home.path().join("keeper.log"))?;
        let mut command = Command::new(&self.agent.program);
        command.args(&self.agent.args).arg("keep").arg("--home").arg(home.path());
        command.env_clear();
        for name in ["PATH", "HOME", "LANG", ideal_host::engine::VARIABLE] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(identity.marks(home)).current_dir(home.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Out of reach of the terminal at once; what it starts then makes a session of its own.
        command.process_group(0);
        let mut starter = command.spawn()?;
        crash_point("local.machine.started");
        let status = starter.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("the keeper did not start: {status}")))
        }
    }
}

/// Every process of every machine, in words.
pub(super) fn processes(ledger: &Ledger) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for name in ledger.names("machines")? {
        let id = MachineId::new(name);
        let Ok(home) = ledger.home(&id) else { continue };
        for process in process::find(|marks| is_of(marks, &id, &home)) {
            lines.push(format!("{id}: process {} ({})", process.id.pid, process.name));
        }
    }
    Ok(lines)
}

/// Kills every process of every machine. Answers how many could not be killed.
pub(super) fn kill_everything(ledger: &Ledger) -> io::Result<usize> {
    let mut left = 0;
    for name in ledger.names("machines")? {
        let id = MachineId::new(name);
        let Ok(home) = ledger.home(&id) else { continue };
        if let Some(keeper) = keeper(&home)?.filter(KeeperRecord::is_alive) {
            keeper.process.signal(Signal::KILL)?;
        }
        left += process::kill_all(|marks| is_of(marks, &id, &home), LOOKS).len();
    }
    Ok(left)
}

/// Ends the keeper, and answers its lock: while it is held none can start.
fn end_keeper(home: &Home) -> Result<Lock, ProviderError> {
    let begun = Instant::now();
    let (mut asked, mut killed) = (None, false);
    loop {
        if let Some(lock) = Lock::try_take(&home.keeper_lock())? {
            return Ok(lock);
        }
        let waited = begun.elapsed();
        // It may have the lock and not yet be written down.
        if let Some(keeper) = keeper(home)?.filter(KeeperRecord::is_alive) {
            if waited > GRACE {
                keeper.process.signal(Signal::KILL)?;
                killed = true;
            } else if asked != Some(keeper.process) {
                keeper.process.signal(Signal::TERM)?;
                asked = Some(keeper.process);
            }
        }
        // Who was killed is waited for once more; who is not written down cannot be told to go.
        if waited > if killed { 2 * GRACE } else { GRACE } {
            let why = format!("{} is held, and its holder does not go", home.keeper_lock().display());
            return Err(ProviderError::Retry { why, after: Some(Span::secs(1)) });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
