//! Machines: a home each, and what the provider makes run in it.

use std::path::PathBuf;

use ideal_core::id::{MachineId, SlotId, Token, VolumeId};
use ideal_core::model;
use ideal_core::observed::{Machine, MachineState, Tags};
use ideal_core::time::{Span, Time};
use ideal_host::durable::{self, Lock};
use ideal_host::{Home, Identity, now};

use super::records::{End, Ledger, META, MachineMeta, no_such};
use super::tokens::{Known, parameters};
use super::{Glance, Place};
use crate::{Answer, Object, ProviderError};

/// How long a machine that was never seen to run counts as starting.
pub(crate) const STARTS_WITHIN: Span = Span::secs(10);
/// What the kernel takes as the path of a socket.
const SOCKET_LIMIT: usize = 107;

impl Ledger {
    /// A machine as it is shown.
    pub(super) fn seen_machine(&self, meta: MachineMeta, glance: &Glance) -> Result<Machine, ProviderError> {
        let home = self.home(&meta.id)?;
        let state = match meta.end {
            End::Done(_) => MachineState::Terminated,
            // Somebody is at it; when nobody is, it must be ended again before it is replaced.
            End::Begun if Lock::try_take(&ending(&home))?.is_none() => MachineState::Terminating,
            End::Begun => MachineState::Impaired,
            End::Not if ending(&home).exists() && Lock::try_take(&ending(&home))?.is_none() => {
                MachineState::Stopping
            }
            End::Not => self.machines.state(&home, &meta, glance)?,
        };
        let address = glance.0.get(&meta.id).and_then(|seen| seen.address.clone());
        let mut machine = meta.show(state);
        machine.address = address.or(machine.address).filter(|address| !address.is_empty());
        Ok(machine)
    }

    fn show_machine(&self, meta: MachineMeta) -> Result<Machine, ProviderError> {
        self.seen_machine(meta, &self.machines.glance()?)
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
            return Err(ProviderError::refused("a machine of this host is made for a slot"));
        };
        let id = MachineId::new(self.id_of('m', token));
        tags.token = Some(token.clone());
        let _lock = self.lock()?;
        let known = self.use_token(token, &wish)?;
        let home = self.home(&id)?;
        let meta = match (self.machine_meta(&id)?, known) {
            (Some(meta), _) => meta,
            (None, Known::Ended(object)) => return Ok(Answer::Made(*object)),
            (None, Known::Open) => {
                let way = self.machines.way(&id, &image)?;
                if let Some(socket) = way.agent.strip_prefix("unix:").filter(|path| path.len() > SOCKET_LIMIT)
                {
                    return Err(ProviderError::refused(format!(
                        "the path {socket} is too long for a socket"
                    )));
                }
                let identity = Identity {
                    slot: SlotId { cloud: tags.cloud, index },
                    generation: tags.generation,
                    machine: id.clone(),
                    address: way.address.clone(),
                    agent: way.within,
                    whole: way.whole,
                };
                let meta = MachineMeta {
                    id,
                    tags: Some(tags),
                    image,
                    size,
                    address: way.address,
                    agent: way.agent,
                    created: now(),
                    retired: false,
                    end: End::Not,
                };
                self.make_home(&home, &meta, &identity)?;
                meta
            }
        };
        if meta.end == End::Not {
            self.machines.begin(&home, &meta)?;
        }
        Ok(Answer::Made(Object::Machine(self.show_machine(meta)?)))
    }

    fn make_home(&self, home: &Home, meta: &MachineMeta, identity: &Identity) -> std::io::Result<()> {
        let unfinished = Home::new(durable::unfinished(home.path()));
        durable::remove(unfinished.path())?;
        durable::private_dir(unfinished.path())?;
        for folder in [unfinished.root(), unfinished.volumes(), unfinished.attached(), unfinished.logs()] {
            std::fs::create_dir(&folder)?;
        }
        durable::write_json(&unfinished.identity(), identity)?;
        self.point("machine.identity");
        durable::write_json(&unfinished.path().join(META), meta)?;
        self.point("machine.written");
        durable::rename(unfinished.path(), home.path())?;
        self.point("machine.made");
        Ok(())
    }

    pub(super) fn start_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        match self.show_machine(meta.clone())?.state {
            MachineState::Running | MachineState::Pending => Ok(Answer::Accepted),
            MachineState::Stopping => Err(ProviderError::retry(format!("{id} is stopping"))),
            MachineState::Stopped if !meta.retired => {
                let home = self.home(id)?;
                self.volumes.again(&home, &|volume| Ok(self.volume(volume)?.join("data")))?;
                self.machines.resume(&home, &meta)?;
                self.point("machine.resumed");
                Ok(Answer::Accepted)
            }
            state => {
                let state = format!("{state:?}").to_lowercase();
                Err(ProviderError::refused(format!("{id} is {state}, and only a stopped machine is started")))
            }
        }
    }

    /// Ends what runs on a machine, which stays: its folders, and what is attached to it.
    pub(super) fn stop_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        let home = self.home(id)?;
        // Ending what runs takes a while, and others may go on meanwhile. Whoever waited for it looks anew.
        let _ending = Lock::take(&ending(&home))?;
        let meta = {
            let _lock = self.lock()?;
            let meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
            let state = match meta.end {
                End::Not => self.machines.state(&home, &meta, &self.machines.glance()?)?,
                _ => MachineState::Terminating,
            };
            if state == MachineState::Stopped {
                return Ok(Answer::Accepted);
            }
            model::stop_machine(&mut meta.clone().show(state)).map_err(ProviderError::refused)?;
            meta
        };
        self.let_go(&home, Time(u64::MAX))?;
        self.machines.stop(&home, &meta)?;
        self.point("machine.stopped");
        Ok(Answer::Accepted)
    }

    pub(super) fn retire_machine(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let _lock = self.lock()?;
        let mut meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        if !meta.retired {
            meta.retired = true;
            self.write_machine(&meta)?;
            self.point("machine.retired");
        }
        Ok(Answer::Accepted)
    }

    pub(super) fn terminate(&self, id: &MachineId) -> Result<Answer, ProviderError> {
        let (home, meta);
        {
            let _lock = self.lock()?;
            let mut found = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
            if let End::Done(_) = found.end {
                return Ok(Answer::Accepted);
            }
            if !found.retired {
                return Err(ProviderError::refused(format!("{id} is not marked to be ended")));
            }
            home = self.home(id)?;
            found.end = End::Begun;
            self.write_machine(&found)?;
            meta = found;
            self.point("end.begun");
            durable::write(&home.over(), b"")?;
            self.point("end.over");
        }
        // Killing takes a while, and others may go on meanwhile.
        let _ending = Lock::take(&ending(&home))?;
        // A process that waits for a disk that is held still cannot be ended.
        self.let_go(&home, Time(u64::MAX))?;
        let _kept_from_starting = self.machines.end(&home, &meta)?;
        self.point("end.killed");
        let trash = self.bury_machine(id, &home)?;
        for path in trash {
            durable::remove(&path)?;
        }
        self.point("end.removed");
        Ok(Answer::Accepted)
    }

    /// With nothing left running: its volumes go back, the rest is discarded, and it stays known for a while.
    fn bury_machine(&self, id: &MachineId, home: &Home) -> Result<Vec<PathBuf>, ProviderError> {
        let _lock = self.lock()?;
        let mut meta = self.machine_meta(id)?.ok_or_else(|| no_such(id))?;
        // What is attached is with the machine; how the other volumes are is not asked.
        for name in self.volumes.with(home)? {
            let volume = self.volume_meta(&VolumeId::new(name))?;
            if let Some(volume) = volume.filter(|volume| volume.machine.as_ref() == Some(id))
                && matches!(self.place(&volume)?, Place::On(_))
            {
                self.bring_back(volume)?;
            }
        }
        if !self.volumes.with(home)?.is_empty() {
            // Data that no volume claims is not ours to remove.
            return Err(ProviderError::refused(format!(
                "{} holds data of no volume",
                home.volumes().display()
            )));
        }
        let machine = self.show_machine(meta.clone())?;
        let machine = Machine { state: MachineState::Terminated, ..machine };
        self.bury(machine.tags.token.as_ref(), Object::Machine(machine.clone()))?;
        meta.end = End::Done(now());
        self.write_machine(&meta)?;
        self.point("end.written");
        self.machines.forget(&meta)?;
        let mut trash = Vec::new();
        for path in [home.root(), home.logs(), home.state(), home.runtime()] {
            if path.exists() {
                trash.push(self.discard(&path)?);
            }
        }
        Ok(trash)
    }
}

/// Held by whoever ends a machine.
fn ending(home: &Home) -> PathBuf {
    home.path().join("ending.lock")
}
