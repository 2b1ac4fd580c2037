//! What others do to the simulated cloud, and what a test may look at or put there.

use ideal_core::id::{MachineId, SlotId, SnapshotId, VolumeId};
use ideal_core::model;
use ideal_core::observed::{AttachmentState, MachineState, Tags, VolumeState};
use ideal_core::time::Span;

use super::{SimVolume, State, Unsettled};

impl State {
    /// Machines die and are ended by others, as chance has it.
    pub(super) fn others_act(&mut self) {
        if self.chance(self.faults.machine_dies) {
            self.kill_one(MachineState::Impaired);
        }
        if self.chance(self.faults.machine_ended) {
            self.kill_one(MachineState::Terminated);
        }
        if self.chance(self.faults.cut) {
            let span = self.random.span(Span::secs(1), Span::secs(60));
            let running = self.running();
            let pick = self.random.below(running.len().max(1) as u64);
            if let Some((_, id)) = running.get(usize::try_from(pick).unwrap_or(0)) {
                self.cut(id, span);
            }
        }
    }

    fn kill_one(&mut self, state: MachineState) {
        let running: Vec<MachineId> = self
            .machines
            .values()
            .filter(|own| own.machine.state == MachineState::Running)
            .map(|own| own.machine.id.clone())
            .collect();
        let pick = self.random.below(running.len().max(1) as u64);
        if let Some(id) = running.get(usize::try_from(pick).unwrap_or(0)).cloned() {
            self.kill(&id, state);
        }
    }

    /// A machine is dead (or ended by somebody else) from now on.
    pub fn kill(&mut self, id: &MachineId, state: MachineState) {
        self.seen(if state.is_over() { "machine ended by others" } else { "machine died" });
        self.unsettled = Unsettled::All;
        self.event(|| format!("others  {id} becomes {state:?}"));
        let now = self.now;
        if let Some(own) = self.machines.get_mut(id) {
            own.machine.state = state;
            own.due = now;
            own.agent.down = true;
            own.agent.report.mounts.clear();
        }
        self.advance(now);
    }

    /// Nobody reaches the agent of a machine for a while; all goes on there.
    pub fn cut(&mut self, id: &MachineId, span: Span) {
        let until = self.now + span;
        self.event(|| format!("others  {id} is cut off for {span}"));
        if let Some(own) = self.machines.get_mut(id) {
            own.agent.cut_until = own.agent.cut_until.max(until);
        }
    }

    /// Every machine that is not over, by slot.
    pub fn running(&self) -> Vec<(SlotId, MachineId)> {
        let alive = self.machines.values().filter(|own| own.machine.state == MachineState::Running);
        alive.filter_map(|own| Some((own.machine.tags.slot()?, own.machine.id.clone()))).collect()
    }

    /// Somebody else deletes a snapshot. What it alone held is lost by their hand, not ours.
    pub fn others_delete_snapshot(&mut self, id: &SnapshotId) {
        if let Some(own) = self.snapshots.remove(id)
            && let Some(mount) = own.snapshot.tags.mount_id()
        {
            self.harmed.insert(mount);
        }
        self.event(|| format!("others  delete {id}"));
    }

    /// A volume that nobody owns: for `from: {volume: …}`, and for tests that it is never touched.
    pub fn foreign_volume(&mut self, id: &str, tags: Tags, data: u64) {
        let id = VolumeId::new(id);
        let mut volume = model::new_volume(id.clone(), tags, ideal_core::time::Bytes(1 << 30), 0, None);
        volume.state = VolumeState::Ready;
        self.volumes.insert(id, SimVolume { volume, due: self.now, data });
    }

    /// Sets the version of what is on a volume, as a program on its node would: for the contract suite.
    pub fn set_content(&mut self, id: &VolumeId, version: u64) {
        if let Some(own) = self.volumes.get_mut(id) {
            own.data = version;
        }
    }

    /// The version of what is on a volume.
    pub fn content(&self, id: &VolumeId) -> Option<u64> {
        self.volumes.get(id).map(|own| own.data)
    }

    /// Takes the retire mark off a volume, as a new life would: for planted faults.
    pub fn unmark(&mut self, id: &VolumeId) {
        if let Some(own) = self.volumes.get_mut(id) {
            own.volume.retired = None;
        }
    }

    /// Whether an attached volume is mounted by the agent of its machine.
    pub(in crate::sim) fn is_mounted(&self, id: &VolumeId) -> bool {
        let attached = self.volumes.get(id).and_then(|own| own.volume.attachment.as_ref());
        let machine = attached
            .filter(|at| at.state == AttachmentState::Attached)
            .and_then(|at| self.machines.get(&at.machine));
        machine.is_some_and(|own| {
            own.machine.state == MachineState::Running
                && own.agent.report.mounts.get(id).is_some_and(|mount| mount.mounted)
        })
    }
}
