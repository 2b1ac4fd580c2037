//! Machines: a home, and a keeper that lives in it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ideal_core::id::{MachineId, SlotId, Token, VolumeId};
use ideal_core::observed::{MachineState, Tags};
use ideal_core::time::Span;
use ideal_host::durable::{self, Lock};
use ideal_host::home::{KeeperRecord, RuntimeRecord, is_of};
use ideal_host::process;
use ideal_host::{Home, Identity, now};
use rustix::process::Signal;

use super::disk::{Disk, End, META, MachineMeta, no_such};
use super::tokens::{Known, parameters};
use super::volumes::Place;
use crate::{Answer, Object, ProviderError, crash_point};

/// How long a machine whose keeper was never seen counts as starting.
const STARTS_WITHIN: Span = Span::secs(10);
/// How long a keeper has to end what runs and itself: more than it gives its processes.
const GRACE: Duration = Duration::from_secs(4);
/// What the kernel takes as the path of a socket.
const SOCKET_LIMIT: usize = 107;
/// How many looks for left-over processes: each forking process needs a new one.
const LOOKS: usize = 200;

fn keeper(home: &Home) -> io::Result<Option<KeeperRecord>> {
    durable::read_json(&home.keeper())
}

impl Disk {
    pub(super) fn machine_state(&self, meta: &MachineMeta) -> io::Result<MachineState> {
        let home = self.home(&meta.id)?;
        match meta.end {
            End::Done(_) => return Ok(MachineState::Terminated),
            // Somebody is at it; when nobody is, it must be ended again before it is replaced.
            End::Begun if Lock::try_take(&ending(&home))?.is_none() => return Ok(MachineState::Terminating),
            End::Begun => return Ok(MachineState::Impaired),
            End::Not => {}
        }
        Ok(match keeper(&home)? {
            Some(keeper) if keeper.is_alive() => MachineState::Running,
            Some(_) => MachineState::Impaired,
            None if now().since(meta.created) < STARTS_WITHIN => MachineState::Pending,
            None => MachineState::Impaired,
        })
    }

    fn show_machine(&self, meta: MachineMeta) -> io::Result<Object> {
        let state = self.machine_state(&meta)?;
        Ok(Object::Machine(meta.show(state)))
    }

    pub(super) fn create_machine(
        &self,
        token: &Token,
        mut tags: Tags,
        image: String,
        size: String,
    ) -> Result<Answer, ProviderError> {
        let wish = parameters("machine", &tags, &format!("image {image} size {size}"));
        let Some(index) = tags.index else {
            return Err(ProviderError::refused("a local machine is made for a slot"));
        };
        let id = MachineId::new(self.id_of('m', token));
        let socket = self.run.join(format!("{id}.sock"));
        if socket.as_os_str().len() > SOCKET_LIMIT {
            return Err(ProviderError::refused(format!(
                "the path {} is too long for a socket",
                socket.display()
            )));
        }
        tags.token = Some(token.clone());
        let _lock = self.lock()?;
        let known = self.use_token(token, &wish)?;
        let home = self.home(&id)?;
        let meta = match (self.machine_meta(&id)?, known) {
            (Some(meta), _) => meta,
            (None, Known::Ended(object)) => return Ok(Answer::Made(*object)),
            (None, Known::Open) => {
                let slot = SlotId { cloud: tags.cloud, index };
                // Every machine is on this host, and reaches the others there.
                let address = std::net::Ipv4Addr::LOCALHOST.to_string();
                let agent = format!("unix:{}", socket.display());
                let (created, retired, end) = (now(), false, End::Not);
                let identity = Identity {
                    slot,
                    generation: tags.generation,
                    machine: id.clone(),
                    address: address.clone(),
                    agent: agent.clone(),
                };
                let tags = Some(tags);
                let meta = MachineMeta { id, tags, image, size, address, agent, created, retired, end };
                self.make_home(&home, &meta, &identity)?;
                meta
            }
        };
        if meta.end == End::Not && keeper(&home)?.is_none() {
            self.start_keeper(&home)?;
        }
        Ok(Answer::Made(self.show_machine(meta)?))
    }

    fn make_home(&self, home: &Home, meta: &MachineMeta, identity: &Identity) -> io::Result<()> {
        let unfinished = Home::new(durable::unfinished(home.path()));
        durable::remove(unfinished.path())?;
        durable::private_dir(unfinished.path())?;
        for folder in [unfinished.root(), unfinished.volumes(), unfinished.attached(), unfinished.logs()] {
            std::fs::create_dir(&folder)?;
        }
        durable::write_json(&unfinished.identity(), identity)?;
        crash_point("local.machine.identity");
        durable::write_json(&unfinished.path().join(META), meta)?;
        crash_point("local.machine.written");
        durable::rename(unfinished.path(), home.path())?;
        crash_point("local.machine.made");
        Ok(())
    }

    /// Starts a keeper that outlives this process and its terminal. A second one finds the lock taken and goes.
    fn start_keeper(&self, home: &Home) -> io::Result<()> {
        let identity: Identity = durable::read_json(&home.identity())?
            .ok_or_else(|| io::Error::other("the machine has no identity.json"))?;
        let log = OpenOptions::new().create(true).append(true).open(home.path().join("keeper.log"))?;
        let mut command = Command::new(&self.agent.program);
        command.args(&self.agent.args).arg("keep").arg("--home").arg(home.path());
        command.env_clear();
        for name in ["PATH", "HOME", "LANG"] {
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

    pub(super) fn start_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        match self.machine_state(&meta)? {
            MachineState::Running | MachineState::Pending => Ok(Answer::Accepted),
            state => {
                let state = format!("{state:?}").to_lowercase();
                Err(ProviderError::refused(format!("{id} is {state}, and only a stopped machine is started")))
            }
        }
    }

    pub(super) fn retire_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let mut meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        if !meta.retired {
            meta.retired = true;
            self.write_machine(&meta)?;
            crash_point("local.machine.retired");
        }
        Ok(Answer::Accepted)
    }

    pub(super) fn terminate(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let home;
        {
            let _lock = self.lock()?;
            let mut meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
            if let End::Done(_) = meta.end {
                return Ok(Answer::Accepted);
            }
            if !meta.retired {
                return Err(ProviderError::refused(format!("{id} is not marked to be ended")));
            }
            home = self.home(id)?;
            meta.end = End::Begun;
            self.write_machine(&meta)?;
            crash_point("local.end.begun");
            durable::write(&home.over(), b"")?;
            crash_point("local.end.over");
        }
        // Killing takes a while, and others may go on meanwhile.
        let _ending = Lock::take(&ending(&home))?;
        let _keeper = end_keeper(&home)?;
        crash_point("local.end.keeper");
        let left = process::kill_all(|marks| is_of(marks, id, &home), LOOKS);
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
        // Whatever is left is not known to be ours, and is not killed; but nothing is taken from under it either.
        if let Some(user) = process::user_of(&home.volumes()) {
            let why = format!("a volume of {id} is in use: {user}");
            return Err(ProviderError::Retry { why, after: Some(Span::secs(1)) });
        }
        crash_point("local.end.killed");
        let trash = self.bury_machine(id, &home)?;
        for path in trash {
            durable::remove(&path)?;
        }
        crash_point("local.end.removed");
        Ok(Answer::Accepted)
    }

    /// With nothing left running: its volumes go back, the rest is discarded, and it stays known for a while.
    fn bury_machine(&self, id: &MachineId, home: &Home) -> Result<Vec<std::path::PathBuf>, ProviderError> {
        let _lock = self.lock()?;
        let mut meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        // What is attached lies here; how the other volumes are is not asked.
        for name in attached(home)? {
            let volume = match name.into_string() {
                Ok(name) => self.volume_meta(&VolumeId::new(name))?,
                Err(_) => None,
            };
            if let Some(volume) = volume.filter(|volume| volume.machine.as_ref() == Some(id))
                && matches!(self.place(&volume)?, Place::On(_))
            {
                self.bring_back(volume)?;
            }
        }
        if !attached(home)?.is_empty() {
            // Data that no volume claims is not ours to remove.
            return Err(ProviderError::refused(format!(
                "{} holds data of no volume",
                home.volumes().display()
            )));
        }
        let Object::Machine(machine) = self.show_machine(meta.clone())? else { return Ok(Vec::new()) };
        let machine = ideal_core::observed::Machine { state: MachineState::Terminated, ..machine };
        self.bury(machine.tags.token.as_ref(), Object::Machine(machine.clone()))?;
        meta.end = End::Done(now());
        self.write_machine(&meta)?;
        crash_point("local.end.written");
        if let Some(socket) = meta.agent.strip_prefix("unix:") {
            durable::remove(std::path::Path::new(socket))?;
        }
        let mut trash = Vec::new();
        for path in [home.root(), home.logs(), home.state(), home.runtime()] {
            if path.exists() {
                trash.push(self.discard(&path)?);
            }
        }
        Ok(trash)
    }

    pub(super) fn processes(&self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for name in self.names("machines")? {
            let id = MachineId::new(name);
            let Ok(home) = self.home(&id) else { continue };
            for process in process::find(|marks| is_of(marks, &id, &home)) {
                lines.push(format!("{id}: process {} ({})", process.id.pid, process.name));
            }
        }
        Ok(lines)
    }

    pub(super) fn kill_everything(&self) -> io::Result<usize> {
        let mut left = 0;
        for name in self.names("machines")? {
            let id = MachineId::new(name);
            let Ok(home) = self.home(&id) else { continue };
            if let Some(keeper) = keeper(&home)?.filter(KeeperRecord::is_alive) {
                keeper.process.signal(Signal::KILL)?;
            }
            left += process::kill_all(|marks| is_of(marks, &id, &home), LOOKS).len();
        }
        Ok(left)
    }
}

/// Held by whoever ends a machine.
fn ending(home: &Home) -> std::path::PathBuf {
    home.path().join("ending.lock")
}

/// The names of what lies where volumes are attached.
pub(super) fn attached(home: &Home) -> io::Result<Vec<OsString>> {
    let entries = match std::fs::read_dir(home.volumes()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| Ok(entry?.file_name())).collect()
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
