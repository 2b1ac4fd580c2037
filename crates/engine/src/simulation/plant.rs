//! Deliberate faults of ours, planted at the edges, to see that the simulation catches each.
//!
//! A guard is only as good as what it is told. Each plant takes the truth away from one guard (and lets the
//! others stand), just as if the guard were missing; nothing of it is in the production code.

use std::rc::Rc;

use ideal_api::{Asking, LinkError, NodeLink, Order, Reply, Verb};
use ideal_core::demand::Ending;
use ideal_core::guard;
use ideal_core::id::{Epoch, MachineId, SnapshotId, Token};
use ideal_core::journal::{Record, View};
use ideal_core::observed::{Listing, Machine, MachineState, ServiceState, Snapshot, SnapshotState, Volume};
use ideal_core::slice::{Replica, Slice};
use ideal_core::time::{Span, Time};
use ideal_providers::sim::{AgentAnswer, AgentOrder, AgentVerb, Sim, SimReplica};
use ideal_providers::{Answer, Answering, Call, Character, Object, ObjectId, Provider, Told, Verdict};
use ideal_store::{Entry, Journal, JournalError, Wish};

/// A deliberate fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Creations carry no lasting token: each try is a new wish.
    NoToken,
    /// A listing with a missing page is taken for whole, and what it lacks for gone.
    TrustPartialLists,
    /// Absence is believed at once.
    BelieveAbsence,
    /// A pending snapshot is taken for complete.
    PendingIsComplete,
    /// Any snapshot of a detached volume is taken for a seal of its present life.
    AnySnapshotSeals,
    /// The agent's word on what is mounted is not asked for.
    IgnoreMounts,
    /// The lease is not checked.
    NoFencing,
    /// A dead machine is taken for ended.
    DeadIsEnded,
    /// Ownership is not read: every volume is taken for ours.
    AllIsOurs,
    /// A volume is deleted in one act.
    OneAct,
    /// The life of a volume is not raised when it is attached.
    NoNewLife,
    /// A machine that is not seen is taken for one that never was: its generation begins anew.
    ForgetGenerations,
    /// What agents say of replicas is not heard: where they are is taken from the journal.
    DeafToReplicas,
    /// Every replica is taken for well, and of the version that is wanted.
    AllIsWell,
    /// An agent is not heard that has something mounted: who ends what is silent ends it.
    DeafToWhoWrites,
    /// Of the snapshots of a mount the newest is deleted in the place of the oldest.
    NewestIsPruned,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 16] = [
        Plant::NoToken,
        Plant::TrustPartialLists,
        Plant::BelieveAbsence,
        Plant::PendingIsComplete,
        Plant::AnySnapshotSeals,
        Plant::IgnoreMounts,
        Plant::NoFencing,
        Plant::DeadIsEnded,
        Plant::AllIsOurs,
        Plant::OneAct,
        Plant::NoNewLife,
        Plant::ForgetGenerations,
        Plant::NewestIsPruned,
        Plant::DeafToReplicas,
        Plant::AllIsWell,
        Plant::DeafToWhoWrites,
    ];
}

/// The edges of the engine, with the plant in them if there is one.
pub(super) fn at_the_edges(
    plant: Option<Plant>,
    provider: Rc<dyn Provider>,
    sim: &Sim,
    journal: Rc<dyn Journal>,
) -> (Rc<dyn Provider>, Rc<dyn NodeLink>, Rc<dyn Journal>) {
    let link = Rc::new(SimLink { sim: sim.clone(), plant });
    match plant {
        None => (provider, link, journal),
        Some(plant) => {
            let provider =
                BadProvider { inner: provider, plant, sim: sim.clone(), tries: std::cell::Cell::new(0) };
            (Rc::new(provider), link, Rc::new(BadJournal { inner: journal, plant }))
        }
    }
}

/// The way to simulated agents.
#[derive(Debug)]
pub struct SimLink {
    sim: Sim,
    plant: Option<Plant>,
}

impl SimLink {
    /// The way to the agents of this cloud.
    pub fn new(sim: &Sim) -> SimLink {
        SimLink { sim: sim.clone(), plant: None }
    }

    async fn carry(&self, address: &str, order: &Order) -> Result<Reply, LinkError> {
        let verb = match &order.verb {
            Verb::Report => AgentVerb::Report,
            Verb::Note { demand } => AgentVerb::Note(demand.clone()),
            Verb::Apply { hash, slice, .. } => AgentVerb::Apply(hash.clone(), replicas(slice)),
            Verb::Mount(order) => AgentVerb::Mount(order.volume.clone(), order.life, order.replica.clone()),
            Verb::Unmount { volume } => AgentVerb::Unmount(volume.clone()),
            Verb::Freeze { volume, .. } => AgentVerb::Freeze(volume.clone()),
            Verb::Thaw { volume } => AgentVerb::Thaw(volume.clone()),
            Verb::RunHook { hook, key } => AgentVerb::Hook(hook.clone(), key.clone()),
            other => return Err(LinkError::Refused { why: format!("a simulated agent knows no {other:?}") }),
        };
        let given = (order.authority.epoch > 0).then(|| order.authority.clone());
        let authority = given.filter(|_| self.plant != Some(Plant::NoFencing));
        let order = AgentOrder { generation: order.node.generation, authority, verb };
        match self.sim.agent(&MachineId::new(address), &order).await {
            AgentAnswer::Report(mut report) => {
                if self.plant == Some(Plant::IgnoreMounts) {
                    report.mounts.values_mut().for_each(|seen| seen.mounted = false);
                }
                match self.plant {
                    Some(Plant::DeafToWhoWrites) if report.mounts.values().any(|seen| seen.mounted) => {
                        return Err(LinkError::Unreachable { why: "no answer".to_owned() });
                    }
                    Some(Plant::DeafToReplicas) => report.services.clear(),
                    Some(Plant::AllIsWell) => report.services.values_mut().for_each(|seen| {
                        (seen.state, seen.version) = (ServiceState::Running, None);
                    }),
                    _ => {}
                }
                Ok(Reply::Report(report))
            }
            AgentAnswer::Accepted => Ok(Reply::Accepted),
            AgentAnswer::Hook(seen) => Ok(Reply::Hook(seen)),
            AgentAnswer::Unreachable(why) => Err(LinkError::Unreachable { why }),
            AgentAnswer::Refused(why) => Err(LinkError::Refused { why }),
            AgentAnswer::Stale(holder) => Err(LinkError::Stale { holder }),
            AgentAnswer::Lost => Err(LinkError::Unknown { why: "the answer was lost".to_owned() }),
        }
    }
}

/// The replicas of a slice, as a simulated agent knows them. One whose program is called so never becomes well.
fn replicas(slice: &Slice) -> Vec<SimReplica> {
    let broken = |replica: &Replica| {
        replica.spec.command.as_ref().is_some_and(|argv| argv.0.iter().any(|word| word == "broken"))
    };
    let all = slice.replicas.iter().filter(|_| !slice.quiet);
    all.map(|replica| SimReplica {
        address: replica.address(),
        version: replica.version(),
        mounts: replica.spec.mounts.len(),
        broken: broken(replica),
    })
    .collect()
}

impl NodeLink for SimLink {
    fn ask<'a>(&'a self, address: &'a str, order: &'a Order) -> Asking<'a> {
        Box::pin(self.carry(address, order))
    }
}

#[derive(Debug)]
struct BadProvider {
    inner: Rc<dyn Provider>,
    plant: Plant,
    sim: Sim,
    tries: std::cell::Cell<u32>,
}

impl BadProvider {
    fn spoil_listing(&self, listing: &mut Listing) {
        if self.plant == Plant::TrustPartialLists {
            listing.complete = true;
        }
        let mut machines = std::mem::take(&mut listing.machines);
        let mut volumes = std::mem::take(&mut listing.volumes);
        for snapshot in &mut listing.snapshots {
            self.spoil_snapshot(snapshot, volumes.iter().find(|own| own.id == snapshot.volume));
        }
        if self.plant == Plant::OneAct {
            let detached = volumes.iter_mut().filter(|volume| volume.attachment.is_none());
            detached.for_each(|volume| volume.retired = Some(mark(volume.life)));
        }
        if self.plant == Plant::ForgetGenerations {
            machines.retain(|machine| machine.state == MachineState::Running);
        }
        if self.plant == Plant::DeadIsEnded {
            for machine in machines.iter_mut().filter(|own| own.state == MachineState::Impaired) {
                machine.state = MachineState::Terminated;
            }
        }
        if self.plant == Plant::AllIsOurs {
            for volume in volumes.iter_mut().filter(|own| own.tags.cloud.0.is_nil()) {
                volume.tags.cloud = super::scenario::cloud_id(0);
                volume.tags.index = Some(0);
            }
        }
        if self.plant == Plant::OneAct {
            for volume in &mut volumes {
                volume.retired = Some(mark(volume.life));
            }
        }
        listing.machines = machines;
        listing.volumes = volumes;
    }

    fn spoil_snapshot(&self, snapshot: &mut Snapshot, volume: Option<&Volume>) {
        if self.plant == Plant::PendingIsComplete && snapshot.state == SnapshotState::Pending {
            snapshot.state = SnapshotState::Completed;
        }
        if let (Plant::AnySnapshotSeals, Some(volume)) = (self.plant, volume)
            && volume.attachment.is_none()
        {
            snapshot.life = volume.life;
        }
    }

    async fn spoil(&self, object: Option<Object>) -> Result<Option<Object>, ideal_providers::ProviderError> {
        Ok(match object {
            Some(Object::Snapshot(mut snapshot)) => {
                let volume = self.inner.read(&ObjectId::Volume(snapshot.volume.clone())).await?;
                let volume = match &volume {
                    Some(Object::Volume(volume)) => Some(volume),
                    _ => None,
                };
                self.spoil_snapshot(&mut snapshot, volume);
                Some(Object::Snapshot(snapshot))
            }
            Some(Object::Volume(mut volume)) => {
                match self.plant {
                    Plant::AllIsOurs => volume.tags.cloud = super::scenario::cloud_id(0),
                    Plant::OneAct => volume.retired = Some(mark(volume.life)),
                    _ => {}
                }
                Some(Object::Volume(volume))
            }
            other => other,
        })
    }

    fn unmark(&self, volume: &ideal_core::id::VolumeId) {
        self.sim.truth(|state| state.unmark(volume));
    }

    async fn list(&self) -> Result<Listing, ideal_providers::ProviderError> {
        let mut listing = self.inner.describe().await?;
        self.spoil_listing(&mut listing);
        Ok(listing)
    }

    async fn read_one(&self, id: &ObjectId) -> Result<Option<Object>, ideal_providers::ProviderError> {
        let object = self.inner.read(id).await?;
        if self.plant == Plant::TrustPartialLists {
            return Ok(None);
        }
        self.spoil(object).await
    }

    async fn shove(&self, call: &Call) -> Result<Answer, ideal_providers::ProviderError> {
        let mut call = call.clone();
        match (&mut call, self.plant) {
            (Call::CreateMachine { token, .. } | Call::CreateVolume { token, .. }, Plant::NoToken) => {
                self.tries.set(self.tries.get() + 1);
                *token = Token::new(format!("{token}/try {}/{self:p}", self.tries.get()));
            }
            (Call::NewLife { volume, .. }, Plant::NoNewLife) => {
                self.unmark(volume);
                return Ok(Answer::Accepted);
            }
            (Call::DeleteSnapshot(permit), Plant::NewestIsPruned) => {
                let snapshots = self.inner.describe().await?.snapshots;
                let meant = snapshots.iter().find(|own| own.id == *permit.snapshot());
                let alike = snapshots.iter().filter(|own| {
                    own.state == SnapshotState::Completed
                        && meant.is_some_and(|meant| own.tags.mount_id() == meant.tags.mount_id())
                });
                let newest = alike.max_by_key(|own| (own.life, own.at));
                let wrong = newest.map(|own| guard::prune(own.tags.cloud, own, Ending::Everything, true));
                if let Some(Ok(wrong)) = wrong {
                    *permit = wrong;
                }
            }
            (Call::Retire { .. }, Plant::OneAct) => return Ok(Answer::Accepted),
            (Call::Attach { volume, life, .. }, Plant::NoNewLife) => {
                if let Ok(Some(Object::Volume(volume))) =
                    self.inner.read(&ObjectId::Volume(volume.clone())).await
                {
                    *life = volume.life;
                }
            }
            _ => {}
        }
        self.inner.issue(&call).await
    }
}

fn mark(life: u32) -> ideal_core::observed::RetireMark {
    ideal_core::observed::RetireMark { life, at: Time(0), until: Time(0) }
}

impl Provider for BadProvider {
    fn character(&self) -> Character {
        let mut character = self.inner.character();
        // Waiting until absence can be believed hides a missing token.
        if matches!(self.plant, Plant::BelieveAbsence | Plant::TrustPartialLists | Plant::NoToken) {
            character.settle = Span::ZERO;
        }
        character
    }
    fn describe(&self) -> Answering<'_, Listing> {
        Box::pin(self.list())
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        Box::pin(self.read_one(id))
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        Box::pin(self.shove(call))
    }
    fn bring_agent<'a>(&'a self, machine: &'a Machine, told: Told<'a>) -> Answering<'a, ()> {
        self.inner.bring_agent(machine, told)
    }
    fn verify<'a>(&'a self, id: &'a SnapshotId) -> Answering<'a, Verdict> {
        self.inner.verify(id)
    }
}

#[derive(Debug)]
struct BadJournal {
    inner: Rc<dyn Journal>,
    plant: Plant,
}

impl BadJournal {
    fn unfenced(&self) -> bool {
        self.plant == Plant::NoFencing
    }
}

impl Journal for BadJournal {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn load(&self) -> Result<View, JournalError> {
        let mut view = self.inner.load()?;
        if self.plant == Plant::ForgetGenerations {
            view.slots.clear();
        }
        Ok(view)
    }
    fn append(&self, epoch: Epoch, at: Time, records: &[Record]) -> Result<(), JournalError> {
        match self.inner.append(epoch, at, records) {
            Err(JournalError::Lost { .. }) if self.unfenced() => Ok(()),
            other => other,
        }
    }
    fn check(&self, epoch: Epoch) -> Result<(), JournalError> {
        match self.inner.check(epoch) {
            Err(JournalError::Lost { .. }) if self.unfenced() => Ok(()),
            other => other,
        }
    }
    fn take(&self, wish: &Wish) -> Result<Epoch, JournalError> {
        self.inner.take(wish)
    }
    fn renew(&self, epoch: Epoch, until: Time) -> Result<(), JournalError> {
        match self.inner.renew(epoch, until) {
            Err(JournalError::Lost { .. }) if self.unfenced() => Ok(()),
            other => other,
        }
    }
    fn release(&self, epoch: Epoch) -> Result<(), JournalError> {
        self.inner.release(epoch)
    }
    fn checkpoint(&self, view: &View) -> Result<(), JournalError> {
        self.inner.checkpoint(view)
    }
    fn history(&self, after: u64, limit: u64) -> Result<Vec<Entry>, JournalError> {
        self.inner.history(after, limit)
    }
}
