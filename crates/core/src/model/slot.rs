//! One slot run forward: what each step will have done to the things of a slot, and to what its agent says.

use std::sync::Arc;

use crate::build::Build;
use crate::demand::Demands;
use crate::id::{Life, MachineId, SlotId, SnapshotId, VolumeId};
use crate::model::{self, Refused};
use crate::observed::{
    AgentSeen, AttachmentState, HookSeen, MachineState, MountSeen, Report, RetireMark, SealKind, SlotSeen,
    Tags, Volume, VolumeState,
};
use crate::plan::{Act, Step};
use crate::time::{Bytes, Time};

/// One slot as it will be.
#[derive(Clone, Debug)]
pub struct SlotModel {
    /// Which slot.
    pub slot: SlotId,
    /// Its things, and what its agent says.
    pub seen: SlotSeen,
    /// What new things are tagged with.
    pub demands: Arc<Demands>,
    /// What time it is.
    pub now: Time,
    /// The agent that has to be brought to its machines. None: machines come with theirs.
    pub agent: Option<Build>,
    /// What was ended and is no longer there, until somebody takes note of it.
    pub gone: Vec<String>,
}

impl SlotModel {
    /// A slot as it was seen.
    pub fn new(slot: SlotId, seen: SlotSeen, demands: Arc<Demands>, now: Time) -> SlotModel {
        SlotModel { slot, seen, demands, now, agent: None, gone: Vec::new() }
    }

    /// Does what the step says. `name` says how a thing that it makes is called; the answer is that name.
    pub fn apply(&mut self, step: &Step, name: impl FnOnce() -> String) -> Result<Option<String>, Refused> {
        match &step.act {
            Act::CreateMachine { generation, image, size } => {
                let id = name();
                let tags = self.tags(step, *generation);
                self.seen.machines.push(model::new_machine(MachineId::new(id.as_str()), tags, image, size));
                self.seen.agent = AgentSeen::NotAsked;
                return Ok(Some(id));
            }
            Act::CreateVolume { generation, size, life, from } => {
                let id = name();
                let tags = self.tags(step, *generation);
                let volume = model::new_volume(VolumeId::new(id.as_str()), tags, *size, *life, from.clone());
                self.seen.volumes.push(volume);
                return Ok(Some(id));
            }
            Act::ClaimVolume { volume, generation } => {
                let tags = self.tags(step, *generation);
                let mut volume = model::new_volume(volume.clone(), tags, Bytes(0), 0, None);
                model::settle_volume(&mut volume);
                let id = volume.id.to_string();
                self.seen.volumes.push(volume);
                return Ok(Some(id));
            }
            Act::Seal { volume, life, kind, .. } => {
                return self.snapshot(step, volume, *life, Some(*kind), name).map(Some);
            }
            Act::Backup { volume, life, .. } => {
                return self.snapshot(step, volume, *life, None, name).map(Some);
            }
            Act::Grow { volume, size } => model::grow(self.volume(volume)?, *size)?,
            Act::StartMachine { machine } => {
                for own in self.seen.machines.iter_mut().filter(|own| own.id == *machine) {
                    own.state = MachineState::Running;
                }
            }
            Act::StopMachine { machine } => {
                for own in self.seen.machines.iter_mut().filter(|own| own.id == *machine) {
                    model::stop_machine(own)?;
                }
                self.seen.agent = AgentSeen::NotAsked;
            }
            Act::BringAgent { machine } => self.bring_agent(machine),
            Act::EndMachine { machine, .. } => self.end(machine),
            Act::Mirror { .. } | Act::Rename { .. } => self.write_tags(step),
            Act::DeleteSnapshot { snapshot, .. } | Act::Prune { snapshot, .. } => {
                self.seen.snapshots.retain(|own| own.id != *snapshot);
                self.gone.push(snapshot.to_string());
            }
            Act::Mount { .. } | Act::Unmount { .. } | Act::Apply { .. } | Act::RunHook { .. } => {
                self.on_node(&step.act);
            }
            Act::Attach { .. } | Act::Detach { .. } | Act::Retire { .. } | Act::DeleteVolume { .. } => {
                self.on_volume(&step.act)?;
            }
        }
        Ok(None)
    }

    fn tags(&self, step: &Step, generation: u32) -> Tags {
        Tags {
            cloud: self.slot.cloud,
            index: Some(self.slot.index),
            mount: step.part.mount.clone(),
            generation,
            token: None,
            demand: Some(self.demands.clone()),
            epoch: 0,
        }
    }

    fn end(&mut self, machine: &MachineId) {
        self.seen.machines.retain(|own| own.id != *machine);
        for volume in &mut self.seen.volumes {
            if volume.attachment.as_ref().is_some_and(|at| at.machine == *machine) {
                volume.attachment = None;
            }
        }
        self.seen.agent = AgentSeen::NotAsked;
        self.gone.push(machine.to_string());
    }

    fn snapshot(
        &mut self,
        step: &Step,
        volume: &VolumeId,
        life: Life,
        kind: Option<SealKind>,
        name: impl FnOnce() -> String,
    ) -> Result<String, Refused> {
        let Some(own) = self.seen.volumes.iter().find(|own| own.id == *volume) else {
            return Err(format!("{volume} is not there"));
        };
        let id = name();
        let tags = self.tags(step, own.tags.generation);
        let snapshot = model::new_snapshot(SnapshotId::new(id.as_str()), tags, own, life, kind, self.now);
        self.seen.snapshots.push(snapshot);
        Ok(id)
    }

    fn write_tags(&mut self, step: &Step) {
        let machines = self.seen.machines.iter_mut().map(|machine| &mut machine.tags);
        let volumes = self.seen.volumes.iter_mut().map(|volume| &mut volume.tags);
        let snapshots = self.seen.snapshots.iter_mut().map(|snapshot| &mut snapshot.tags);
        for tags in machines.chain(volumes).chain(snapshots) {
            match &step.act {
                Act::Rename { from, .. } if tags.mount.as_ref() == Some(from) => {
                    tags.mount.clone_from(&step.part.mount);
                }
                Act::Mirror { .. } => tags.demand = Some(self.demands.clone()),
                _ => {}
            }
        }
        if let (Act::Mirror { .. }, AgentSeen::Answered(report)) = (&step.act, &mut self.seen.agent) {
            report.demand = Some(self.demands.clone());
        }
    }

    fn on_node(&mut self, act: &Act) {
        let AgentSeen::Answered(report) = &mut self.seen.agent else { return };
        match act {
            Act::Mount { volume, life, .. } => {
                let size = self.seen.volumes.iter().find(|own| own.id == *volume).map(|own| own.size);
                report.mounts.insert(volume.clone(), mounted(*life, self.now, size));
            }
            Act::Unmount { volume } => {
                if let Some(seen) = report.mounts.get_mut(volume) {
                    seen.mounted = false;
                }
            }
            Act::Apply { hash, .. } => {
                report.slice = Some(hash.clone());
                report.converged = true;
            }
            Act::RunHook { key, .. } => {
                let seen = HookSeen { agreed: true, output: String::new(), at: self.now };
                report.hooks.insert(key.clone(), seen);
            }
            _ => {}
        }
    }

    fn on_volume(&mut self, act: &Act) -> Result<(), Refused> {
        let now = self.now;
        match act {
            Act::Attach { volume, life, machine } => {
                let machine = self.seen.machines.iter().find(|own| own.id == *machine).cloned();
                let machine = machine.ok_or("the machine is not there")?;
                let volume = self.volume(volume)?;
                model::new_life(volume, *life)?;
                model::attach(volume, *life, &machine)
            }
            Act::Detach { volume, machine, life } => model::detach(self.volume(volume)?, machine, *life),
            Act::Retire { volume, life, until, .. } => {
                model::retire(self.volume(volume)?, RetireMark { life: *life, at: now, until: *until })
            }
            Act::DeleteVolume { volume, life, .. } => model::delete(self.volume(volume)?, *life, now),
            _ => Ok(()),
        }
    }

    fn volume(&mut self, id: &VolumeId) -> Result<&mut Volume, Refused> {
        let volume = self.seen.volumes.iter_mut().find(|own| own.id == *id);
        volume.ok_or_else(|| format!("{id} is not there"))
    }

    /// Lets what is under way come to its end. False when nothing was.
    pub fn settle(&mut self) -> bool {
        let mut settled = self.settle_things();
        let machine = self.seen.machines.iter().filter(|machine| machine.state == MachineState::Running);
        let Some(machine) = machine.max_by_key(|machine| machine.tags.generation) else { return settled };
        let generation = machine.tags.generation;
        match &mut self.seen.agent {
            AgentSeen::Answered(report) if report.generation == generation => {
                settled |= !report.converged;
                report.converged = true;
            }
            // It has to be brought first.
            _ if self.agent.is_some() => {}
            _ => {
                let id = machine.id.clone();
                self.answer(&id, generation);
                settled = true;
            }
        }
        settled
    }

    /// The agent of a machine answers. Until it does, what is attached must be taken to be mounted.
    fn answer(&mut self, machine: &MachineId, generation: u32) {
        let silent = matches!(self.seen.agent, AgentSeen::Silent { .. });
        let held =
            self.seen.volumes.iter().filter(|volume| {
                silent && volume.attachment.as_ref().is_some_and(|at| at.machine == *machine)
            });
        let now = self.now;
        let mounts = held.map(|volume| (volume.id.clone(), mounted(volume.life, now, Some(volume.size))));
        let report = Report {
            generation,
            build: self.agent,
            demand: Some(self.demands.clone()),
            mounts: mounts.collect(),
            ..Report::default()
        };
        self.seen.agent = AgentSeen::Answered(Box::new(report));
    }

    fn bring_agent(&mut self, machine: &MachineId) {
        let own = self.seen.machines.iter().find(|own| own.id == *machine);
        let Some(generation) = own.map(|own| own.tags.generation) else { return };
        match &mut self.seen.agent {
            AgentSeen::Answered(report) if report.generation == generation => report.build = self.agent,
            _ => self.answer(machine, generation),
        }
    }

    fn settle_things(&mut self) -> bool {
        let mut settled = false;
        for machine in &mut self.seen.machines {
            let before = machine.state;
            model::settle_machine(machine);
            settled |= machine.state != before;
        }
        let stage = |volume: &Volume| (volume.state, volume.attachment.as_ref().map(|at| at.state));
        for volume in &mut self.seen.volumes {
            let before = stage(volume);
            model::settle_volume(volume);
            settled |= stage(volume) != before;
        }
        let (volumes, gone) = (&mut self.seen.volumes, &mut self.gone);
        volumes.retain(|volume| {
            let over = volume.state == VolumeState::Deleted;
            if over {
                gone.push(volume.id.to_string());
            }
            !over
        });
        for snapshot in &mut self.seen.snapshots {
            let before = snapshot.state;
            model::settle_snapshot(snapshot);
            settled |= snapshot.state != before;
        }
        debug_assert!(self.seen.volumes.iter().all(|volume| {
            volume.attachment.as_ref().is_none_or(|at| at.state == AttachmentState::Attached)
        }));
        settled
    }
}

fn mounted(life: Life, since: Time, filled: Option<Bytes>) -> MountSeen {
    MountSeen { life, mounted: true, since: Some(since), filled, ..MountSeen::default() }
}
