//! The judge: at the instant of each effect it compares with the truth and writes down what broke an invariant
//! (the numbers are those of the safety page).

use ideal_core::demand::Ending;
use ideal_core::id::{MachineId, MountId, SnapshotId, VolumeId};
use ideal_core::observed::{MachineState, SnapshotState, Tags, VolumeState};
use ideal_core::time::Span;

use super::state::State;
use crate::{Call, ObjectId};

impl State {
    pub(super) fn violated(&mut self, invariant: &str, what: String) {
        self.event(|| format!("BROKEN  {invariant}: {what}"));
        self.violations.push(format!("{invariant}: {what}"));
    }

    /// I-4: nothing is touched that does not carry the tag of a cloud of ours.
    pub(super) fn judge_ownership(&mut self, call: &Call) {
        let id = match call {
            Call::StopMachine(permit) => ObjectId::Machine(permit.machine().clone()),
            Call::Terminate(permit) => ObjectId::Machine(permit.machine().clone()),
            Call::DeleteVolume(permit) => ObjectId::Volume(permit.volume().clone()),
            Call::Detach(permit) => ObjectId::Volume(permit.volume().clone()),
            Call::Backup { permit, .. } => ObjectId::Volume(permit.volume().clone()),
            Call::Grow { volume, .. } => ObjectId::Volume(volume.clone()),
            Call::NewLife { volume, .. } | Call::Attach { volume, .. } | Call::Retire { volume, .. } => {
                ObjectId::Volume(volume.clone())
            }
            Call::DeleteSnapshot(permit) => ObjectId::Snapshot(permit.snapshot().clone()),
            _ => return,
        };
        if self.tags_of(&id).is_some_and(|tags| tags.cloud.0.is_nil()) {
            self.violated("I-4", format!("{id} is not ours and was touched"));
        }
    }

    /// I-6: a slot has one machine.
    pub(super) fn judge_new_machine(&mut self, tags: &Tags) {
        let Some(slot) = tags.slot() else { return };
        let other = self.of_slot.get(&slot).into_iter().flatten().find_map(|id| {
            match id {
                ObjectId::Machine(id) => self.machines.get(id),
                _ => None,
            }
            .filter(|own| {
                own.machine.tags.slot() == Some(slot)
                    && !matches!(own.machine.state, MachineState::Terminated | MachineState::Terminating)
            })
        });
        if let Some(other) = other.map(|own| own.machine.id.clone()) {
            self.violated("I-6", format!("[{}] gets a second machine beside {other}", slot.index));
        }
    }

    /// I-6, I-1: a mount has one volume, and what it is made of is its newest content.
    pub(super) fn judge_new_volume(&mut self, tags: &Tags, data: u64) {
        let Some(mount) = tags.mount_id() else { return };
        let other = self.of_slot.get(&mount.slot).into_iter().flatten().find_map(|id| {
            match id {
                ObjectId::Volume(id) => self.volumes.get(id),
                _ => None,
            }
            .filter(|own| {
                own.volume.tags.mount_id().as_ref() == Some(&mount)
                    && !matches!(own.volume.state, VolumeState::Deleted | VolumeState::Deleting)
            })
        });
        if let Some(other) = other.map(|own| own.volume.id.clone()) {
            self.violated("I-6", format!("{} gets a second volume beside {other}", mount.name));
        }
        let newest = self.newest.get(&mount).copied().unwrap_or(0);
        if data != newest && !self.harmed.contains(&mount) {
            let what = format!("{} is made of version {data}, its newest is {newest}", mount.name);
            self.violated("I-1", what);
        }
    }

    /// I-3: no live machine is ended under a mounted volume, unless nobody hears it and the policy says that this is
    /// how it is kept from writing.
    pub(super) fn judge_terminate(&mut self, id: &MachineId) {
        let Some(own) = self.machines.get(id) else { return };
        if own.machine.state != MachineState::Running {
            return;
        }
        let unheard = self.fences && !own.agent.heard;
        if unheard {
            self.seen("machine ended unheard");
            return;
        }
        self.judge_idle(id, "ended");
    }

    /// I-3: no machine is stopped while anything is mounted on it. Where the cloud has no conditions, one that woke late may
    /// do that: nothing is taken from anybody, and the machine is started again.
    pub(super) fn judge_stop(&mut self, id: &MachineId) {
        self.seen("machine stopped");
        if self.faults.enforces_marks {
            self.judge_idle(id, "stopped");
        }
    }

    fn judge_idle(&mut self, id: &MachineId, what: &str) {
        let mounted: Vec<VolumeId> =
            self.volumes.keys().filter(|volume| self.is_mounted(volume)).cloned().collect();
        let here = mounted.into_iter().find(|volume| {
            let at = self.volumes.get(volume).and_then(|own| own.volume.attachment.as_ref());
            at.is_some_and(|at| at.machine == *id)
        });
        if let Some(volume) = here {
            self.violated("I-3", format!("{id} is {what} while {volume} is mounted on it"));
        }
    }

    /// I-3: nothing is detached while it is mounted on a live machine.
    pub(super) fn judge_detach(&mut self, id: &VolumeId, machine: &MachineId) {
        self.violated("I-3", format!("{id} is taken from {machine} while it is mounted there"));
    }

    /// I-3: a seal of the present life is taken of a volume that is not mounted. (One that claims an earlier life
    /// covers nothing, so it can do no harm.)
    pub(super) fn judge_seal(&mut self, id: &VolumeId, life: ideal_core::id::Life) {
        let present = self.volumes.get(id).is_some_and(|own| own.volume.life == life);
        if present && self.is_mounted(id) {
            self.violated("I-3", format!("{id} is sealed while it is mounted"));
        }
    }

    /// I-1, I-2: a volume is deleted only when a completed snapshot holds all of it, and in two acts.
    pub(super) fn judge_delete(&mut self, id: &VolumeId) {
        let Some(own) = self.volumes.get(id) else { return };
        let (data, volume) = (own.data, own.volume.clone());
        let held = self
            .snapshots
            .values()
            .any(|own| own.snapshot.state == SnapshotState::Completed && own.data == data);
        let slept_over = volume.retired.is_some_and(|mark| self.now.since(mark.at) >= Span::hours(24));
        if data != 0 && !held && !slept_over {
            self.violated("I-1", format!("{id} is deleted and nothing holds its version {data}"));
        }
        if volume.retired.is_none_or(|mark| mark.life != volume.life) {
            self.violated("I-2", format!("{id} is deleted in one act"));
        }
    }

    /// I-5: the newest seal and the newest backup of a mount are not deleted, unless all of it ends.
    pub(super) fn judge_prune(&mut self, id: &SnapshotId) {
        let Some(own) = self.snapshots.get(id) else { return };
        let ends =
            own.snapshot.tags.demand.as_ref().is_some_and(|demand| demand.ending == Ending::Everything);
        let whole = own.snapshot.state == SnapshotState::Completed;
        let Some(mount) = own.snapshot.tags.mount_id().filter(|_| whole && !ends) else { return };
        let (data, is_seal) = (own.data, own.snapshot.seal.is_some());
        let newer = self.snapshots.values().any(|own| {
            own.snapshot.id != *id
                && own.snapshot.tags.mount_id().as_ref() == Some(&mount)
                && own.snapshot.state == SnapshotState::Completed
                && own.snapshot.seal.is_some() == is_seal
                && own.data >= data
        });
        if !newer {
            self.violated("I-5", format!("{id} is deleted, the newest of its kind of {}", mount.name));
        }
    }

    /// A mount was mounted: what is on it must be its newest content, no seal may claim to hold this life already,
    /// and the volume is not on its way out.
    pub(super) fn judge_mounted(&mut self, mount: &MountId, id: &VolumeId, data: u64) {
        if let Some(volume) = self.volumes.get(id).map(|own| own.volume.clone()) {
            let sealed = self
                .snapshots
                .values()
                .any(|own| own.snapshot.volume == *id && own.snapshot.life == volume.life);
            if sealed || volume.retired.is_some() {
                self.violated(
                    "I-2",
                    format!("{id} is mounted in life {}, which is sealed or retired", volume.life),
                );
            }
        }
        let newest = self.newest.get(mount).copied().unwrap_or(0);
        if data != newest && !self.harmed.contains(mount) {
            let what = format!("{} is mounted with version {data}, its newest is {newest}", mount.name);
            self.violated("I-1", what);
        }
    }

    /// At rest: everything that was ever written is on a volume or in a completed snapshot.
    pub fn judge_rest(&mut self) {
        let newest: Vec<(MountId, u64)> = self.newest.iter().map(|(id, data)| (id.clone(), *data)).collect();
        for (mount, data) in newest {
            if self.harmed.contains(&mount) {
                continue;
            }
            let on_volume = self.volumes.values().any(|own| {
                own.volume.tags.mount_id().as_ref() == Some(&mount)
                    && own.volume.state == VolumeState::Ready
                    && own.data == data
            });
            let in_snapshot = self.snapshots.values().any(|own| {
                own.snapshot.tags.mount_id().as_ref() == Some(&mount)
                    && own.snapshot.state == SnapshotState::Completed
                    && own.data == data
            });
            if !on_volume && !in_snapshot {
                self.violated(
                    "I-1",
                    format!("[{}]:{} lost its version {data}", mount.slot.index, mount.name),
                );
            }
        }
    }
}
