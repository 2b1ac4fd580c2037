//! One check at work: makes things, waits for them, and says what was expected.

use ideal_core::demand::{Demands, Scope, State};
use ideal_core::guard;
use ideal_core::id::{CloudId, Epoch, Life, MachineId, Name, SnapshotId, Token, VolumeId};
use ideal_core::observed::{
    Machine, MachineState, Report, RetireMark, SealKind, Snapshot, SnapshotState, Tags, Volume, VolumeState,
};
use ideal_core::time::Bytes;

use super::{Broken, Checked, World};
use crate::{Answer, Call, Object, ObjectId, Provider, ProviderError};

/// Looks that a slow provider gets before a condition counts as never coming.
pub(super) const LOOKS: usize = 2_000;

pub(super) fn broken<T>(why: impl Into<String>) -> Checked<T> {
    Err(Broken(why.into()))
}

pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken(why())) }
}

/// One check at work.
pub(super) struct Check<'a> {
    provider: &'a dyn Provider,
    world: &'a dyn World,
    pub(super) cloud: CloudId,
}

impl<'a> Check<'a> {
    pub(super) fn new(provider: &'a dyn Provider, world: &'a dyn World) -> Check<'a> {
        Check { provider, world, cloud: world.cloud() }
    }

    pub(super) fn token(&self, word: &str) -> Token {
        Token::new(format!("{}-{word}", self.cloud))
    }
    pub(super) fn tags(&self, mount: Option<&str>) -> Checked<Tags> {
        let mount = mount.map(Name::new).transpose().map_err(|error| Broken(error.to_string()))?;
        Ok(Tags {
            cloud: self.cloud,
            index: Some(0),
            mount,
            generation: 1,
            token: None,
            demand: None,
            epoch: 1,
        })
    }
    /// With the token of what is made: who asks writes it there.
    pub(super) fn tags_of(&self, word: &str, mount: Option<&str>) -> Checked<Tags> {
        Ok(Tags { token: Some(self.token(word)), ..self.tags(mount)? })
    }
    pub(super) async fn issue(&self, call: &Call) -> Checked<Answer> {
        for _ in 0..LOOKS {
            match self.provider.issue(call).await {
                Ok(answer) => return Ok(answer),
                Err(ProviderError::Retry { .. }) => self.world.pass().await,
                Err(error) => return broken(format!("{call:?} failed: {error}")),
            }
        }
        broken(format!("{call:?} was put off for ever"))
    }
    /// The call must be refused for good.
    pub(super) async fn refused(&self, why: &str, call: &Call) -> Checked {
        for _ in 0..LOOKS {
            match self.provider.issue(call).await {
                Err(ProviderError::Refused { .. }) => return Ok(()),
                Err(ProviderError::Retry { .. }) => self.world.pass().await,
                other => return broken(format!("{why}: {call:?} was not refused but answered {other:?}")),
            }
        }
        broken(format!("{why}: {call:?} was put off for ever"))
    }
    pub(super) async fn made(&self, call: &Call) -> Checked<Object> {
        match self.issue(call).await? {
            Answer::Made(object) => Ok(object),
            Answer::Accepted => broken(format!("{call:?} did not say what it made")),
        }
    }
    pub(super) async fn read(&self, id: &ObjectId) -> Checked<Option<Object>> {
        self.provider.read(id).await.map_err(|error| Broken(format!("reading {id} failed: {error}")))
    }
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        id: &ObjectId,
        look: impl Fn(Option<Object>) -> Option<T>,
    ) -> Checked<T> {
        for _ in 0..LOOKS {
            if let Some(found) = look(self.read(id).await?) {
                return Ok(found);
            }
            self.world.pass().await;
        }
        broken(format!("{id} was never {what}"))
    }

    pub(super) async fn machine(&self, word: &str) -> Checked<Machine> {
        let object = self.made(&self.machine_call(word, "")?).await?;
        let Object::Machine(machine) = object else { return broken("a machine was asked for") };
        self.machine_in(&machine.id, MachineState::Running).await
    }
    pub(super) fn machine_call(&self, word: &str, image: &str) -> Checked<Call> {
        let (token, tags) = (self.token(word), self.tags_of(word, None)?);
        Ok(Call::CreateMachine { token, tags, image: image.to_owned(), size: String::new() })
    }
    pub(super) async fn machine_in(&self, id: &MachineId, state: MachineState) -> Checked<Machine> {
        let of = ObjectId::Machine(id.clone());
        self.wait(&format!("{state:?}"), &of, |object| match object {
            Some(Object::Machine(machine)) if machine.state == state => Some(machine),
            _ => None,
        })
        .await
    }
    /// The machine with a demand of everything written on it.
    pub(super) async fn demand(&self, machine: &Machine, state: State, epoch: Epoch) -> Checked<Machine> {
        let mut demand = Demands::none();
        demand.demand(Scope::Whole, state, epoch, |_| true);
        let id = ObjectId::Machine(machine.id.clone());
        self.issue(&Call::Mirror { objects: vec![id.clone()], demand: demand.clone(), epoch }).await?;
        self.wait("written on", &id, |object| match object {
            Some(Object::Machine(machine)) if machine.tags.demand.as_deref() == Some(&demand) => {
                Some(machine)
            }
            _ => None,
        })
        .await
    }
    pub(super) async fn terminate(&self, machine: &Machine) -> Checked {
        let permit = guard::terminate(self.cloud, machine, Some(&Report::default()));
        let permit = permit.map_err(|refusal| Broken(refusal.to_string()))?;
        self.issue(&Call::RetireMachine(permit.clone())).await?;
        self.issue(&Call::Terminate(permit)).await?;
        let id = ObjectId::Machine(machine.id.clone());
        self.wait("ended", &id, |object| match object {
            None => Some(()),
            Some(Object::Machine(machine)) if machine.state.is_over() => Some(()),
            _ => None,
        })
        .await
    }

    pub(super) async fn volume(&self, word: &str, life: Life, from: Option<SnapshotId>) -> Checked<Volume> {
        let object = self.made(&self.volume_call(word, life, from)?).await?;
        let Object::Volume(volume) = object else { return broken("a volume was asked for") };
        self.volume_when(&volume.id, "ready", |volume| volume.state == VolumeState::Ready).await
    }
    pub(super) fn volume_call(&self, word: &str, life: Life, from: Option<SnapshotId>) -> Checked<Call> {
        let (token, tags) = (self.token(word), self.tags_of(word, Some("data"))?);
        Ok(Call::CreateVolume { token, tags, size: Bytes(1 << 20), life, from })
    }
    pub(super) async fn volume_when(
        &self,
        id: &VolumeId,
        what: &str,
        is: impl Fn(&Volume) -> bool,
    ) -> Checked<Volume> {
        self.wait(what, &ObjectId::Volume(id.clone()), |object| match object {
            Some(Object::Volume(volume)) if is(&volume) => Some(volume),
            _ => None,
        })
        .await
    }
    pub(super) async fn present(&self, id: &VolumeId) -> Checked<Volume> {
        self.volume_when(id, "there", |_| true).await
    }
    pub(super) fn attach_call(&self, volume: &VolumeId, life: Life, machine: &MachineId) -> Checked<Call> {
        let mount = Name::new("data").map_err(|error| Broken(error.to_string()))?;
        Ok(Call::Attach { volume: volume.clone(), life, machine: machine.clone(), mount })
    }
    pub(super) async fn attach(&self, volume: &VolumeId, life: Life, machine: &MachineId) -> Checked<Volume> {
        self.issue(&Call::NewLife { volume: volume.clone(), life }).await?;
        self.issue(&self.attach_call(volume, life, machine)?).await?;
        let attached = ideal_core::observed::AttachmentState::Attached;
        self.volume_when(volume, "attached", |volume| {
            volume.attachment.as_ref().is_some_and(|at| at.machine == *machine && at.state == attached)
        })
        .await
    }
    pub(super) async fn detach(&self, volume: &Volume, machine: &Machine) -> Checked<Volume> {
        let permit = guard::detach(self.cloud, volume, machine, Some(&Report::default()));
        let permit = permit.map_err(|refusal| Broken(refusal.to_string()))?;
        self.issue(&Call::Detach(permit)).await?;
        self.volume_when(&volume.id, "detached", |volume| volume.attachment.is_none()).await
    }
    pub(super) fn seal_call(&self, word: &str, volume: &Volume) -> Checked<Call> {
        let permit = guard::seal(self.cloud, volume).map_err(|refusal| Broken(refusal.to_string()))?;
        let (token, tags) = (self.token(word), self.tags_of(word, Some("data"))?);
        Ok(Call::Seal { permit, token, tags, kind: SealKind::Clean })
    }
    pub(super) async fn seal(&self, word: &str, volume: &Volume) -> Checked<Snapshot> {
        let object = self.made(&self.seal_call(word, volume)?).await?;
        let Object::Snapshot(snapshot) = object else { return broken("a snapshot was asked for") };
        self.completed(&snapshot.id).await
    }
    async fn completed(&self, id: &SnapshotId) -> Checked<Snapshot> {
        self.wait("completed", &ObjectId::Snapshot(id.clone()), |object| match object {
            Some(Object::Snapshot(snapshot)) if snapshot.state == SnapshotState::Completed => Some(snapshot),
            _ => None,
        })
        .await
    }
    pub(super) fn backup_call(&self, word: &str, volume: &Volume) -> Checked<Call> {
        let permit = guard::backup(self.cloud, volume, volume.life);
        let permit = permit.map_err(|refusal| Broken(refusal.to_string()))?;
        let (token, tags) = (self.token(word), self.tags_of(word, Some("data"))?);
        Ok(Call::Backup { permit, token, tags })
    }
    pub(super) async fn backup(&self, word: &str, volume: &Volume) -> Checked<Snapshot> {
        let object = self.made(&self.backup_call(word, volume)?).await?;
        let Object::Snapshot(snapshot) = object else { return broken("a snapshot was asked for") };
        self.completed(&snapshot.id).await
    }
    pub(super) fn mark(&self, life: Life) -> RetireMark {
        let now = self.world.now();
        RetireMark { life, at: now, until: now }
    }
    pub(super) async fn retire(&self, volume: &Volume) -> Checked<Volume> {
        let mark = self.mark(volume.life);
        self.issue(&Call::Retire { volume: volume.id.clone(), mark }).await?;
        self.volume_when(&volume.id, "retired", |volume| volume.retired == Some(mark)).await
    }
    /// The permit that a guard would give if the volume were as `volume` says, whether it is or not.
    pub(super) fn delete_call(&self, volume: &Volume) -> Checked<Call> {
        let permit = guard::delete(self.cloud, volume, &[], true, self.world.now());
        permit.map(Call::DeleteVolume).map_err(|refusal| Broken(refusal.to_string()))
    }
}
