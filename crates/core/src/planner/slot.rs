//! One slot: the node and its mounts, each on its own ladder, and what passes between the ladders.

use std::collections::BTreeSet;

use crate::demand::State;
use crate::id::{Name, SlotId, SnapshotId, VolumeId};
use crate::ideal::{Mount, Service};
use crate::journal::SlotMemory;
use crate::observed::{AgentSeen, Machine, Report, SlotSeen, Volume, VolumeState};
use crate::plan::{Act, Cause, Danger, Fact, FactKind, Part, Step, Waiting, Wanted};
use crate::policy::Leftover;
use crate::time::Time;

use super::consent::Prune;
use super::context::{CloudInfo, Context};
use super::{consent, gate};

/// What a decision adds up to.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) steps: Vec<Step>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) notes: Vec<String>,
    /// Parts that were looked at.
    pub(super) parts: usize,
    /// Parts that are as demanded.
    pub(super) right: usize,
    pub(super) wake_at: Option<Time>,
}

impl Out {
    /// Asks to be woken at this instant at the latest.
    pub(super) fn wake(&mut self, at: Time) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// One slot on its ladder.
pub(super) struct Ladder<'a, 'o> {
    pub(super) context: &'o Context<'a>,
    pub(super) id: SlotId,
    /// Its cloud; none: an orphan.
    pub(super) info: Option<&'o CloudInfo<'a>>,
    /// Its service, when it is a replica; `info` is then that of the cloud that the service is on.
    pub(super) service: Option<&'a Service>,
    pub(super) wanted: Wanted,
    /// Set for what the file does not want: what the policy says of it.
    pub(super) leftover: Option<Leftover>,
    pub(super) seen: &'o SlotSeen,
    pub(super) memory: &'o SlotMemory,
    pub(super) out: &'o mut Out,
}

/// What the steps of one kind do to facts.
pub(super) struct Facts<'f> {
    pub(super) needs: &'f [FactKind],
    pub(super) brings: &'f [FactKind],
    pub(super) ends: &'f [FactKind],
}

impl<'a> Ladder<'a, '_> {
    /// Decides for the slot: first that everything knows what is demanded, then the way up or down.
    pub(super) fn decide(&mut self) {
        let parts = 1 + self.mount_names().len();
        self.out.parts += parts;
        if self.machine_unseen() || self.mirror() {
            return;
        }
        let (steps, waiting) = (self.out.steps.len(), self.out.waiting.len());
        self.climb();
        let offered = self.out.steps[steps..].iter().map(|step| &step.part);
        let touched: BTreeSet<&Part> =
            offered.chain(self.out.waiting[waiting..].iter().map(|waiting| &waiting.part)).collect();
        self.out.right += parts.saturating_sub(touched.len());
    }

    fn climb(&mut self) {
        if let Err(cause) = self.leave_to_go() {
            return self.wait(&self.node(), cause);
        }
        if self.wanted.state.is_up() { self.rise() } else { self.descend(self.wanted.state) }
    }

    /// What the file no longer wants runs on until a person agreed, unless the policy says otherwise or its end
    /// is what is demanded.
    pub(super) fn leave_to_go(&self) -> Result<(), Cause> {
        if self.leftover != Some(Leftover::Ask) || self.demanded() == Some(State::Away) {
            return Ok(());
        }
        let machine = self.machine().map(|machine| format!("machine {}", machine.id));
        // What is retired was agreed to already; it only waits for its grace.
        let kept = self.seen.volumes.iter().filter(|volume| volume.retired.is_none());
        let volumes =
            kept.flat_map(|volume| [format!("volume {}", volume.id), format!("data of {}", volume.id)]);
        let mut refused = Ok(());
        for key in machine.into_iter().chain(volumes) {
            match consent::ask_first(self.context, &key) {
                Ok(()) => return Ok(()),
                Err(cause) => refused = refused.and(Err(cause)),
            }
        }
        refused
    }

    /// What is demanded of it, also when the file does not want it any more.
    fn demanded(&self) -> Option<State> {
        let demands = self.context.input.demands;
        match self.service {
            Some(service) => demands.of_cloud(service.cloud),
            None => demands.of(self.id),
        }
    }

    /// The provider could not be seen: nothing is concluded, nothing is done.
    pub(super) fn blind(&mut self, why: &str) {
        self.out.parts += 1;
        self.wait(&Part::node(self.id), Cause::Sight { why: why.to_owned() });
    }

    /// The node as a part.
    pub(super) fn node(&self) -> Part {
        Part::node(self.id)
    }

    /// The mounts that the file wants here.
    pub(super) fn wanted_mounts(&self) -> &'a [Mount] {
        match (self.service, self.info) {
            (Some(service), _) => &service.mounts,
            (None, Some(info)) => &info.cloud.mounts,
            (None, None) => &[],
        }
    }

    /// Every mount that is wanted or has a volume here. Old names of wanted mounts are not counted again.
    pub(super) fn mount_names(&self) -> Vec<Name> {
        let wanted = self.wanted_mounts();
        let mut names: Vec<Name> = wanted.iter().map(|mount| mount.name.clone()).collect();
        for volume in &self.seen.volumes {
            let Some(name) = &volume.tags.mount else { continue };
            let known = names.contains(name) || wanted.iter().any(|mount| mount.was.as_ref() == Some(name));
            if !known && volume.state != VolumeState::Deleted {
                names.push(name.clone());
            }
        }
        // When everything ends, so do the snapshots of mounts that the file does not know any more.
        if self.context.input.demands.ending == crate::demand::Ending::Everything
            || self.context.input.consent.prune == Prune::Everything
        {
            let tags = self.seen.snapshots.iter().filter_map(|snapshot| snapshot.tags.mount.as_ref());
            for name in tags {
                let known =
                    names.contains(name) || wanted.iter().any(|mount| mount.was.as_ref() == Some(name));
                if !known {
                    names.push(name.clone());
                }
            }
        }
        names
    }

    /// The machine of the slot: the newest that is not over.
    pub(super) fn machine(&self) -> Option<&Machine> {
        let alive = self.seen.machines.iter().filter(|machine| !machine.state.is_over());
        alive.max_by_key(|machine| (machine.tags.generation, &machine.id))
    }

    /// What the agent of that machine said.
    pub(super) fn report(&self) -> Option<&Report> {
        let machine = self.machine()?;
        self.seen.agent.report().filter(|report| report.generation == machine.tags.generation)
    }

    /// Why there is no report.
    pub(super) fn silence(&self) -> Cause {
        let why = match &self.seen.agent {
            AgentSeen::Silent { why, .. } => why.clone(),
            AgentSeen::NotAsked => "it was not asked yet".to_owned(),
            AgentSeen::Answered(_) => "an agent of an older machine answered".to_owned(),
        };
        Cause::Agent { why }
    }

    /// Offers a step, unless something holds it back. Whether it was offered or not, the part is accounted for.
    pub(super) fn step(&mut self, part: &Part, act: Act, reason: String, facts: Facts<'_>, danger: Danger) {
        if danger > Danger::EndsDeadMachine && self.info.is_some_and(|info| info.cloud.protect) {
            let cause = Cause::Protected;
            self.out.waiting.push(Waiting { part: part.clone(), cause, overdue: false });
            return;
        }
        if let Err((cause, wake)) = gate::may(self.context, part, &act) {
            if matches!(act, Act::Backup { .. } | Act::Prune { .. }) {
                return self.put_off(part, &cause, wake);
            }
            self.out.waiting.push(Waiting { part: part.clone(), cause, overdue: false });
            if let Some(at) = wake {
                self.out.wake(at);
            }
            return;
        }
        // What the policy puts away by itself was agreed to in the file.
        let danger = match self.leftover {
            Some(Leftover::Away | Leftover::Prune)
                if !self.is_adopted(&act) && self.context.input.consent.prune == Prune::Nothing =>
            {
                danger.min(Danger::EndsDeadMachine)
            }
            _ => danger,
        };
        let node = self.node();
        let fact = |kind: &FactKind| match kind {
            FactKind::Running
            | FactKind::Heard
            | FactKind::Stopped
            | FactKind::NoMachine
            | FactKind::Mirrored
            | FactKind::Quiet
            | FactKind::Configured
            | FactKind::Launched
            | FactKind::Unmountable
            | FactKind::Haltable => Fact::of(*kind, &node),
            _ => Fact::of(*kind, part),
        };
        self.out.steps.push(Step {
            part: part.clone(),
            act,
            reason,
            needs: facts.needs.iter().map(fact).collect(),
            brings: facts.brings.iter().map(fact).collect(),
            ends: facts.ends.iter().map(fact).collect(),
            danger,
        });
    }

    /// Upkeep that cannot be done now is told; nothing waits for it.
    pub(super) fn put_off(&mut self, part: &Part, cause: &Cause, wake: Option<Time>) {
        self.note(part, &format!(": {cause}"));
        if let Some(at) = wake {
            self.out.wake(at);
        }
    }

    /// Whether a step ends something that is known by its tags only: no policy agrees to that.
    fn is_adopted(&self, act: &Act) -> bool {
        let adopted = &self.context.input.view.adopted;
        match act {
            Act::EndMachine { machine, .. } => adopted.contains(machine.as_str()),
            Act::Retire { volume, .. } | Act::DeleteVolume { volume, .. } => {
                adopted.contains(volume.as_str())
            }
            _ => false,
        }
    }

    /// Tells something of a part: its address, and this.
    pub(super) fn note(&mut self, part: &Part, what: &str) {
        let address = crate::plan::text::address(self.context.input.ideal, part);
        self.out.notes.push(format!("{address}{what}"));
    }

    /// Says that a part waits.
    pub(super) fn wait(&mut self, part: &Part, cause: Cause) {
        self.out.waiting.push(Waiting { part: part.clone(), cause, overdue: false });
    }

    /// Whether the absence of an object that the journal knows is believed by now.
    pub(super) fn is_gone(&self, object: &str) -> bool {
        let since = self.context.input.observed.missing.get(object);
        since.is_some_and(|since| self.context.input.now >= *since + self.context.settle(self.id))
    }

    /// A machine that the journal knows is not seen and not believed gone: the slot holds still.
    fn machine_unseen(&mut self) -> bool {
        let seen = |id: &crate::id::MachineId| self.seen.machines.iter().any(|machine| machine.id == *id);
        let unseen = self.memory.machines.iter().find(|id| !seen(id) && !self.is_gone(id.as_str()));
        match unseen.map(ToString::to_string) {
            Some(object) => {
                self.wait(&self.node(), Cause::NotSeen { object });
                true
            }
            None => false,
        }
    }

    /// What lasts must know what is demanded before anything else is done: who loses the store then still knows.
    pub(super) fn mirror(&mut self) -> bool {
        let demands = self.context.input.demands;
        let behind = |tags: &crate::observed::Tags| {
            tags.demand.as_ref().is_none_or(|known| known.version() < demands.version())
        };
        let machines: Vec<_> = self
            .seen
            .machines
            .iter()
            .filter(|machine| !machine.state.is_over() && behind(&machine.tags))
            .map(|machine| machine.id.clone())
            .collect();
        let volumes: Vec<VolumeId> = self
            .seen
            .volumes
            .iter()
            .filter(|volume| {
                !matches!(volume.state, VolumeState::Deleting | VolumeState::Deleted) && behind(&volume.tags)
            })
            .map(|volume| volume.id.clone())
            .collect();
        let snapshots: Vec<SnapshotId> = self
            .seen
            .snapshots
            .iter()
            .filter(|snapshot| behind(&snapshot.tags))
            .map(|snapshot| snapshot.id.clone())
            .collect();
        // An agent that does not answer is told later; it holds nothing up.
        let agent = self.report().is_some_and(|report| {
            report.demand.as_ref().is_none_or(|known| known.version() < demands.version())
        });
        if machines.is_empty() && volumes.is_empty() && snapshots.is_empty() && !agent {
            return false;
        }
        let act = Act::Mirror { machines, volumes, snapshots, agent };
        let facts = Facts { needs: &[], brings: &[FactKind::Mirrored], ends: &[] };
        let reason = "what is demanded is written on everything that lasts".to_owned();
        self.step(&self.node(), act, reason, facts, Danger::None);
        true
    }

    /// The volumes of a mount, under its present or older name, that are not gone.
    pub(super) fn volumes_of(&self, name: &Name, was: Option<&Name>) -> Vec<&Volume> {
        let mut volumes: Vec<&Volume> = self
            .seen
            .volumes
            .iter()
            .filter(|volume| {
                volume.tags.mount.as_ref().is_some_and(|tag| tag == name || Some(tag) == was)
                    && volume.state != VolumeState::Deleted
            })
            .collect();
        let machine = self.machine().map(|machine| &machine.id);
        let attached_here =
            |volume: &Volume| volume.attachment.as_ref().is_some_and(|at| Some(&at.machine) == machine);
        volumes.sort_by_key(|volume| {
            std::cmp::Reverse((volume.life, attached_here(volume), volume.tags.generation, volume.id.clone()))
        });
        volumes
    }
}
