//! Acting: one step, from the last look at what it touches to its outcome.
//!
//! Immediately before each effect the lease is checked, what is touched is read by id, and the guard that the
//! planner used is asked again; only its permit opens the provider's destructive calls.

pub(crate) mod together;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ideal_api::{LinkError, Order, Reply, Verb};
use ideal_core::demand::Demands;
use ideal_core::guard::{self, Refusal};
use ideal_core::id::{CloudId, Life, MachineId, Name, SnapshotId, VolumeId};
use ideal_core::ideal::Backup;
use ideal_core::journal::Outcome;
use ideal_core::observed::{
    Authority, Machine, MachineState, Report, RetireMark, Snapshot, SnapshotState, Tags, Volume, VolumeState,
};
use ideal_core::plan::{Act, Step, token};
use ideal_core::slice::{ForNode, MountOrder, Slice};
use ideal_core::time::{Span, Time};
use ideal_providers::{Answer, Call, Object, ObjectId, Provider, ProviderError};
use ideal_store::JournalError;

use crate::goods;
use crate::lease;
use crate::outside::Outside;
use crate::progress::Event;

/// How long a filesystem is held still at most: few programs bear to wait longer for their disk.
const STILL: Span = Span::secs(60);

/// What all steps of a pass share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) outside: Outside,
    pub(crate) authority: RefCell<Authority>,
    pub(crate) demands: RefCell<Arc<Demands>>,
}

/// A step with all that its effect takes, gathered when it was decided.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) step: Step,
    pub(crate) provider: Rc<dyn Provider>,
    /// The machine of the slot, as it was seen.
    pub(crate) machine: Option<Machine>,
    /// The clouds whose machines may have its volumes.
    pub(crate) hosts: Vec<CloudId>,
    /// What its device is called on its machine.
    pub(crate) label: Option<Name>,
    /// For `Apply`.
    pub(crate) slice: Option<Box<Slice>>,
    /// For `Mount`: where and what.
    pub(crate) mount: Option<MountOrder>,
    /// For `Retire` and `DeleteVolume`: snapshots that may cover the volume; for `Prune`: the others of the mount.
    pub(crate) seals: Vec<SnapshotId>,
    /// For `Backup`: what runs before and after.
    pub(crate) backup: Option<Backup>,
}

/// Why a step was not even tried, or how it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Outcome(Outcome),
    /// Somebody else gives the orders: the engine must end.
    Overtaken(JournalError),
}

/// What stops a step on its way.
enum Stop {
    Outcome(Outcome),
    Overtaken(JournalError),
}
impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Stop {
        Stop::Outcome(match error {
            ProviderError::Retry { why, after } => Outcome::Failed { why, after },
            ProviderError::Refused { why } => Outcome::Refused { why },
            ProviderError::TokenTaken => Outcome::UsedUp,
            ProviderError::Unknown { why } => Outcome::Unknown { why },
        })
    }
}
impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Outcome(Outcome::Failed { why: refusal.to_string(), after: None })
    }
}
impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Stop {
        Stop::Outcome(match error {
            LinkError::Unreachable { why } => Outcome::Failed { why, after: None },
            LinkError::Refused { why } => Outcome::Failed { why, after: None },
            LinkError::Unknown { why } => Outcome::Unknown { why },
            LinkError::Stale { holder } => {
                return Stop::Overtaken(JournalError::Held {
                    holder: holder.holder,
                    epoch: holder.epoch,
                    until: holder.until,
                });
            }
        })
    }
}
impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Stop {
        Stop::Overtaken(error)
    }
}

fn gone(what: impl ToString) -> Stop {
    Stop::Outcome(Outcome::Failed { why: format!("{} is not there", what.to_string()), after: None })
}

/// Takes one step.
pub(crate) async fn act(common: &Common, task: &Task) -> Ended {
    let doing = Doing { common, task };
    match doing.run().await {
        Ok(outcome) => Ended::Outcome(outcome),
        Err(Stop::Outcome(outcome)) => Ended::Outcome(outcome),
        Err(Stop::Overtaken(error)) => Ended::Overtaken(error),
    }
}

struct Doing<'a> {
    common: &'a Common,
    task: &'a Task,
}

impl Doing<'_> {
    async fn run(&self) -> Result<Outcome, Stop> {
        let step = &self.task.step;
        match &step.act {
            Act::CreateMachine { .. } => match self.creation() {
                Some(call) => self.make(&call).await,
                None => Err(gone("the machine that is asked for")),
            },
            Act::StartMachine { machine } => self.accept(&Call::StartMachine(machine.clone())).await,
            Act::StopMachine { machine } => {
                let fresh = self.machine(machine).await?;
                let report = self.ask_about(&fresh).await?;
                let permit = guard::stop(step.part.slot.cloud, &fresh, report.as_deref())?;
                self.accept(&Call::StopMachine(permit)).await
            }
            Act::BringAgent { machine } => {
                let fresh = self.machine(machine).await?;
                guard::bring_agent(step.part.slot.cloud, &fresh)?;
                lease::hold(&self.common.outside, &self.common.authority)?;
                let progress = &self.common.outside.progress;
                let told = |came| progress.tell(&Event::Came { step: step.clone(), came });
                let brought = self.task.provider.bring_agent(&fresh, &told);
                self.common.outside.effect("bring-agent", brought).await?;
                if let Some(address) = &fresh.agent {
                    self.common.outside.link.forget(address);
                }
                Ok(Outcome::Accepted { made: None })
            }
            Act::EndMachine { machine, unheard } => {
                let may = if *unheard { guard::terminate_unheard } else { guard::terminate };
                let fresh = self.machine(machine).await?;
                let report = self.ask_about(&fresh).await?;
                let permit = may(step.part.slot.cloud, &fresh, report.as_deref())?;
                // Marked first: an engine that took over meanwhile does not use a marked machine, so nothing can
                // be mounted on it between the last look and the end.
                self.call(&Call::RetireMachine(permit)).await?;
                let marked = self.machine(machine).await?;
                let report = self.ask_about(&marked).await?;
                let permit = may(step.part.slot.cloud, &marked, report.as_deref())?;
                self.accept(&Call::Terminate(permit)).await
            }
            Act::CreateVolume { generation, size, life, from } => {
                let token = token(&step.part, "volume", *generation);
                let tags = self.tags(*generation, Some(token.clone()));
                let (size, life, from) = (*size, *life, from.clone());
                self.make(&Call::CreateVolume { token, tags, size, life, from }).await
            }
            Act::ClaimVolume { volume, generation } => {
                let tags = self.tags(*generation, None);
                self.accept(&Call::ClaimVolume { volume: volume.clone(), tags }).await?;
                Ok(Outcome::Accepted { made: Some(volume.to_string()) })
            }
            Act::Seal { volume, kind, attempt, life } => {
                let fresh = self.volume(volume).await?;
                let permit = guard::seal(step.part.slot.cloud, &fresh)?;
                if permit.life() != life {
                    return Err(changed(volume));
                }
                let token = token(&step.part, &format!("seal/{volume}/{life}"), *attempt);
                let machine = self.task.machine.as_ref().map_or(0, |machine| machine.tags.generation);
                let tags = self.tags(fresh.tags.generation.max(machine), Some(token.clone()));
                self.make(&Call::Seal { permit, token, tags, kind: *kind }).await
            }
            Act::Mirror { .. } => Ok(Outcome::Accepted { made: None }),
            Act::Rename { volumes, snapshots, .. } => {
                let volumes = volumes.iter().cloned().map(ObjectId::Volume);
                let objects = volumes.chain(snapshots.iter().cloned().map(ObjectId::Snapshot)).collect();
                let Some(mount) = step.part.mount.clone() else { return Err(gone("the mount")) };
                // The agent first: the tags say that this is done, so they come last.
                if let Some(order) = &self.task.mount {
                    self.order(Verb::Mount(order.clone())).await?;
                }
                self.accept(&Call::Rename { objects, mount }).await
            }
            Act::DeleteSnapshot { snapshot, given_up } => {
                let fresh = self.snapshot(snapshot).await?;
                let ending = self.common.demands.borrow().ending;
                let permit = guard::prune(step.part.slot.cloud, &fresh, ending, *given_up)?;
                self.accept(&Call::DeleteSnapshot(permit)).await
            }
            Act::Prune { snapshot, keep } => {
                let others = self.seals().await?;
                let fresh = self.snapshot(snapshot).await?;
                let permit = guard::prune_old(step.part.slot.cloud, &fresh, &others, *keep)?;
                self.accept(&Call::DeleteSnapshot(permit)).await
            }
            Act::Backup { volume, life, at } => self.back_up(volume, *life, *at).await,
            Act::Attach { .. }
            | Act::Detach { .. }
            | Act::Grow { .. }
            | Act::Retire { .. }
            | Act::DeleteVolume { .. } => self.on_volume().await,
            Act::Mount { .. } | Act::Unmount { .. } | Act::Apply { .. } | Act::RunHook { .. } => {
                self.on_node().await
            }
        }
    }

    /// A snapshot of a volume that may be in use. Where it is mounted its filesystem is held still meanwhile; should
    /// this end in between, the agent lets it go on by itself.
    async fn back_up(&self, volume: &VolumeId, life: Life, at: Time) -> Result<Outcome, Stop> {
        let fresh = self.volume(volume).await?;
        let permit = guard::backup(self.task.step.part.slot.cloud, &fresh, life)?;
        let holds = self.task.machine.as_ref().is_some_and(|machine| {
            machine.state == MachineState::Running
                && fresh.attachment.as_ref().is_some_and(|at| at.machine == machine.id)
        });
        if let Some(at) = fresh.attachment.as_ref().filter(|_| !holds) {
            let why =
                format!("{volume} is with {}, which does not run: nobody can hold it still", at.machine);
            return Ok(Outcome::Failed { why, after: None });
        }
        if holds {
            let hooks = self.task.backup.clone();
            let (before, after) = hooks.map_or((None, None), |hooks| (hooks.before, hooks.after));
            let freeze = Verb::Freeze { volume: volume.clone(), at_most: STILL, before, after };
            if let Err(stop) = self.order(freeze).await {
                // It may have been heard all the same.
                self.thaw(volume).await?;
                return Err(stop);
            }
        }
        let token = token(&self.task.step.part, &format!("backup/{volume}/{life}/{}", at.0), 0);
        let machine = self.task.machine.as_ref().map_or(0, |machine| machine.tags.generation);
        let tags = self.tags(fresh.tags.generation.max(machine), Some(token.clone()));
        let taken = self.make(&Call::Backup { permit, token, tags }).await;
        if holds {
            self.thaw(volume).await?;
        }
        taken
    }

    /// Lets a filesystem go on, whatever came of its snapshot. When this does not arrive, its time ends it.
    async fn thaw(&self, volume: &VolumeId) -> Result<(), Stop> {
        match self.order(Verb::Thaw { volume: volume.clone() }).await {
            Err(Stop::Overtaken(error)) => Err(Stop::Overtaken(error)),
            Err(Stop::Outcome(Outcome::Failed { why, .. } | Outcome::Unknown { why })) => {
                self.common.outside.progress.tell(&Event::Noted(format!("{volume}: {why}")));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Acts on a volume that exists: each read by id and guarded anew.
    async fn on_volume(&self) -> Result<Outcome, Stop> {
        let cloud = self.task.step.part.slot.cloud;
        match &self.task.step.act {
            Act::Attach { volume, life, machine } => {
                let fresh = self.volume(volume).await?;
                guard::attach(cloud, &fresh, &self.task.hosts, &self.machine(machine).await?)?;
                let Some(mount) = self.task.label.clone() else { return Err(gone("the mount")) };
                let (volume, life, machine) = (volume.clone(), *life, machine.clone());
                // The life is written first: should we end between the two, a life is skipped, never shared.
                self.call(&Call::NewLife { volume: volume.clone(), life }).await?;
                self.accept(&Call::Attach { volume, life, machine, mount }).await
            }
            Act::Grow { volume, size } => {
                let fresh = self.volume(volume).await?;
                guard::grow(cloud, &fresh)?;
                self.accept(&Call::Grow { volume: volume.clone(), size: *size }).await
            }
            Act::Detach { volume, machine, life } => {
                let fresh = self.volume(volume).await?;
                if fresh.life != *life {
                    return Err(changed(volume));
                }
                let machine = self.machine(machine).await?;
                let report = self.ask_about(&machine).await?;
                let permit = guard::detach(cloud, &fresh, &machine, report.as_deref())?;
                self.accept(&Call::Detach(permit)).await
            }
            Act::Retire { volume, life, until, unsealed } => {
                let fresh = self.volume(volume).await?;
                guard::seal(cloud, &fresh)?;
                if fresh.life != *life {
                    return Err(changed(volume));
                }
                if !unsealed && !self.seals().await?.iter().any(|seal| guard::covers(seal, &fresh)) {
                    return Err(Refusal::NotSealed { volume: volume.clone(), life: *life }.into());
                }
                let at = self.common.outside.clock.now();
                let mark = RetireMark { life: *life, at, until: (*until).max(at) };
                self.accept(&Call::Retire { volume: volume.clone(), mark }).await
            }
            Act::DeleteVolume { volume, unsealed, .. } => {
                let seals = self.seals().await?;
                let fresh = self.volume(volume).await?;
                let now = self.common.outside.clock.now();
                let permit = guard::delete(cloud, &fresh, &seals, *unsealed, now)?;
                self.accept(&Call::DeleteVolume(permit)).await
            }
            _ => Ok(Outcome::Accepted { made: None }),
        }
    }

    /// Orders to the node's agent.
    async fn on_node(&self) -> Result<Outcome, Stop> {
        let verb = match &self.task.step.act {
            Act::Mount { .. } => match &self.task.mount {
                Some(order) => Verb::Mount(order.clone()),
                None => return Err(gone("the mount")),
            },
            Act::Unmount { volume } => Verb::Unmount { volume: volume.clone() },
            Act::Apply { hash, .. } => match &self.task.slice {
                Some(slice) => {
                    // First what it names: a slice in force must find its templates and files.
                    self.bring(slice).await?;
                    let secrets = self.common.outside.goods.secrets(&slice.secrets);
                    Verb::Apply { slice: slice.clone(), hash: hash.clone(), secrets }
                }
                None => return Err(gone("the slice")),
            },
            Act::RunHook { hook, key } => Verb::RunHook { hook: hook.word().to_owned(), key: key.clone() },
            _ => return Ok(Outcome::Accepted { made: None }),
        };
        self.order(verb).await.map(|_| Outcome::Accepted { made: None })
    }

    /// Brings the contents that a slice names and the node lacks.
    async fn bring(&self, slice: &Slice) -> Result<(), Stop> {
        let hashes = goods::contents_of(slice);
        if hashes.is_empty() {
            return Ok(());
        }
        let Reply::Lacks(lacks) = self.order(Verb::Lacks { hashes }).await? else { return Ok(()) };
        for hash in lacks {
            let content = goods::content(&self.common.outside, &hash)
                .map_err(|why| Stop::Outcome(Outcome::Refused { why }))?;
            for part in goods::parts(&hash, &content) {
                self.order(part).await?;
            }
        }
        Ok(())
    }

    fn tags(&self, generation: u32, token: Option<ideal_core::id::Token>) -> Tags {
        let part = &self.task.step.part;
        Tags {
            cloud: part.slot.cloud,
            index: Some(part.slot.index),
            mount: part.mount.clone(),
            generation,
            token,
            demand: Some(self.common.demands.borrow().clone()),
            epoch: self.common.authority.borrow().epoch,
        }
    }

    /// One shove between its two boundaries, made only while the lease is ours.
    async fn call(&self, call: &Call) -> Result<Answer, Stop> {
        let outside = &self.common.outside;
        lease::hold(outside, &self.common.authority)?;
        let verb = verb_of(call);
        Ok(outside.effect(verb, self.task.provider.issue(call)).await?)
    }

    async fn accept(&self, call: &Call) -> Result<Outcome, Stop> {
        self.call(call).await.map(|_| Outcome::Accepted { made: None })
    }

    async fn make(&self, call: &Call) -> Result<Outcome, Stop> {
        self.call(call).await.map(made)
    }

    /// What is asked for when a machine is to be made.
    fn creation(&self) -> Option<Call> {
        let Act::CreateMachine { generation, image, size } = &self.task.step.act else { return None };
        let token = token(&self.task.step.part, "machine", *generation);
        let tags = self.tags(*generation, Some(token.clone()));
        Some(Call::CreateMachine { token, tags, image: image.clone(), size: size.clone() })
    }

    async fn order(&self, verb: Verb) -> Result<Reply, Stop> {
        let Some(machine) = &self.task.machine else { return Err(gone("the machine")) };
        self.order_to(machine, verb).await
    }

    async fn order_to(&self, machine: &Machine, verb: Verb) -> Result<Reply, Stop> {
        let Some(address) = &machine.agent else { return Err(gone("the agent's address")) };
        let outside = &self.common.outside;
        let authority = lease::hold(outside, &self.common.authority)?;
        let generation = machine.tags.generation;
        let name = name_of(&verb);
        // What is ordered for a replica is ordered of the node that carries it.
        let slot = machine.tags.slot().unwrap_or(self.task.step.part.slot);
        let order = Order { node: ForNode { slot, generation }, authority, verb };
        Ok(outside.effect(name, outside.link.ask(address, &order)).await?)
    }

    /// What the agent of a machine says just now; none for a machine that cannot have one.
    async fn ask_about(&self, machine: &Machine) -> Result<Option<Box<Report>>, Stop> {
        if machine.state != MachineState::Running {
            return Ok(None);
        }
        match self.order_to(machine, Verb::Report).await {
            Ok(Reply::Report(report)) => Ok(Some(report)),
            Ok(_) | Err(Stop::Outcome(_)) => Ok(None),
            Err(overtaken) => Err(overtaken),
        }
    }

    async fn read(&self, id: ObjectId) -> Result<Option<Object>, Stop> {
        let provider = &self.task.provider;
        Ok(self.common.outside.effect("read", provider.read(&id)).await?)
    }
    /// What was touched by an engine of a higher epoch is not ours to act on: one that works on another store
    /// took over, which our own store cannot tell.
    fn not_overtaken(&self, tags: &Tags) -> Result<(), Stop> {
        let mine = self.common.authority.borrow().epoch;
        if tags.epoch <= mine {
            return Ok(());
        }
        let holder = "an engine on another store".to_owned();
        Err(Stop::Overtaken(JournalError::Lost { mine, holder, epoch: tags.epoch }))
    }
    async fn machine(&self, id: &MachineId) -> Result<Machine, Stop> {
        match self.read(ObjectId::Machine(id.clone())).await? {
            Some(Object::Machine(machine)) => self.not_overtaken(&machine.tags).map(|()| machine),
            _ => Err(gone(id)),
        }
    }
    async fn volume(&self, id: &VolumeId) -> Result<Volume, Stop> {
        match self.read(ObjectId::Volume(id.clone())).await? {
            Some(Object::Volume(volume)) => self.not_overtaken(&volume.tags).map(|()| volume),
            _ => Err(gone(id)),
        }
    }
    async fn snapshot(&self, id: &SnapshotId) -> Result<Snapshot, Stop> {
        match self.read(ObjectId::Snapshot(id.clone())).await? {
            Some(Object::Snapshot(snapshot)) => self.not_overtaken(&snapshot.tags).map(|()| snapshot),
            _ => Err(gone(id)),
        }
    }
    async fn seals(&self) -> Result<Vec<Snapshot>, Stop> {
        let mut seals = Vec::new();
        for id in &self.task.seals {
            // One that is gone meanwhile covers nothing; the guard decides with what is left.
            if let Some(Object::Snapshot(snapshot)) = self.read(ObjectId::Snapshot(id.clone())).await? {
                seals.push(snapshot);
            }
        }
        Ok(seals)
    }
}

/// A creation: what it answers may be over already, when its token was used before.
fn made(answer: Answer) -> Outcome {
    let made = |id: &dyn ToString| Outcome::Accepted { made: Some(id.to_string()) };
    match answer {
        Answer::Accepted => Outcome::Accepted { made: None },
        Answer::Made(Object::Machine(machine)) => match machine.state {
            MachineState::Terminated | MachineState::Terminating => Outcome::UsedUp,
            _ => made(&machine.id),
        },
        Answer::Made(Object::Volume(volume)) => match volume.state {
            VolumeState::Deleted | VolumeState::Deleting | VolumeState::Error => Outcome::UsedUp,
            _ => made(&volume.id),
        },
        Answer::Made(Object::Snapshot(snapshot)) => match snapshot.state {
            SnapshotState::Error => Outcome::UsedUp,
            _ => made(&snapshot.id),
        },
    }
}

fn changed(volume: &VolumeId) -> Stop {
    let why = format!("{volume} is in another life by now");
    Stop::Outcome(Outcome::Failed { why, after: None })
}

/// The boundary of a call: named by what it does.
fn verb_of(call: &Call) -> &'static str {
    match call {
        Call::CreateMachine { .. } => "create-machine",
        Call::StartMachine(_) => "start-machine",
        Call::StopMachine(_) => "stop-machine",
        Call::RetireMachine(_) => "retire-machine",
        Call::Terminate(_) => "end-machine",
        Call::CreateVolume { from: None, .. } => "create-volume",
        Call::CreateVolume { .. } => "restore-volume",
        Call::ClaimVolume { .. } => "claim-volume",
        Call::NewLife { .. } => "new-life",
        Call::Attach { .. } => "attach",
        Call::Detach(_) => "detach",
        Call::Seal { .. } => "seal",
        Call::Backup { .. } => "backup",
        Call::Grow { .. } => "grow",
        Call::Retire { .. } => "retire",
        Call::DeleteVolume(_) => "delete-volume",
        Call::DeleteSnapshot(_) => "delete-snapshot",
        Call::Mirror { .. } => "mirror",
        Call::Rename { .. } => "rename",
        Call::Disown { .. } => "disown",
    }
}

pub(crate) fn name_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Report => "report",
        Verb::Note { .. } => "note",
        Verb::Apply { .. } => "configure",
        Verb::Mount(_) => "mount",
        Verb::Unmount { .. } => "unmount",
        Verb::Freeze { .. } => "freeze",
        Verb::Thaw { .. } => "thaw",
        Verb::RunHook { .. } => "hook",
        Verb::Lacks { .. } => "lacks",
        Verb::Store { .. } => "store",
        Verb::Push { .. } => "push",
        Verb::Restart { .. } => "restart",
        Verb::Work(_) => "work",
        Verb::Query { .. } => "query",
        Verb::Pause(_) => "pause",
        Verb::Resume => "resume",
        Verb::Facts { .. } => "facts",
    }
}
