//! What is remembered of a slot, of its mounts, and of services: nothing of it is the only knowledge of what exists.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Life, MachineId, Name, SlotId, SnapshotId, VolumeId};
use crate::ideal::ServiceSpec;
use crate::plan::Act;
use crate::time::Time;

/// The place of a replica. A hint: what runs or is attached somewhere counts more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seated {
    /// Which node.
    pub node: SlotId,
    /// Which machine of it, or which one it is to have.
    pub generation: Generation,
    /// Whether it was seen there.
    pub up: bool,
    /// A person wants it there, and it was not seen there yet.
    #[serde(default)]
    pub asked: bool,
    /// How often it was given another node because one had given it up.
    #[serde(default)]
    pub moved: u32,
}

/// What is remembered of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceMemory {
    /// The last version of which every replica was well, and how often it was started again on purpose.
    pub good: Option<(ServiceSpec, u32)>,
    /// The version that takes its place, and since when each replica is told to be of it.
    pub next: Option<(String, BTreeMap<u32, Time>)>,
    /// A version that did not become well: it is not tried again.
    pub bad: Option<(String, String)>,
    /// A person, or the policy of the service, said that no further replica is changed.
    pub paused: bool,
    /// How often a person wanted all replicas started again.
    pub restarts: u32,
}

/// What is remembered of a slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotMemory {
    /// The highest generation ever intended.
    pub generation: Generation,
    /// Machines that were made or found, and not yet seen to be gone.
    pub machines: BTreeSet<MachineId>,
    /// By mount.
    pub mounts: BTreeMap<Name, MountMemory>,
}

/// What is remembered of a mount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MountMemory {
    /// The highest generation of volume ever intended.
    pub generation: Generation,
    /// The highest life ever intended: numbers are never used twice.
    pub life: Life,
    /// The life that a restored volume must be of, as far as the journal knows: what was last attached, or what
    /// was sealed when its volume was deleted.
    pub needs: Option<Life>,
    /// A life that was about to begin: whether it did is not known yet.
    pub attaching: Option<Life>,
    /// A deletion that was about to be done: of which life, and whether its data was given up.
    pub deleting: Option<(Life, bool)>,
    /// Volumes that were made or found, and not yet seen to be gone.
    pub volumes: BTreeSet<VolumeId>,
    /// Snapshots that were made or found, and not yet seen to be gone.
    pub snapshots: BTreeSet<SnapshotId>,
    /// The last clean unmount that an agent reported.
    pub clean: Option<(VolumeId, Life)>,
    /// The filesystem that was last seen on a volume of it, by its uuid.
    #[serde(default)]
    pub filesystem: Option<(VolumeId, String)>,
    /// It was mounted: what is on it is not blank.
    pub written: bool,
    /// Its data was given up on purpose: a blank volume may follow.
    pub given_up: bool,
    /// The highest attempt at a seal that was used up.
    pub seal_attempt: u32,
}

impl MountMemory {
    /// Takes over what was remembered under an older name.
    fn inherit(&mut self, old: MountMemory) {
        self.generation = self.generation.max(old.generation);
        self.life = self.life.max(old.life);
        self.needs = self.needs.max(old.needs);
        self.attaching = self.attaching.or(old.attaching);
        self.deleting = self.deleting.or(old.deleting);
        self.volumes.extend(old.volumes);
        self.snapshots.extend(old.snapshots);
        self.clean = self.clean.take().or(old.clean);
        self.filesystem = self.filesystem.take().or(old.filesystem);
        self.given_up |= old.given_up;
        self.written |= old.written;
        self.seal_attempt = self.seal_attempt.max(old.seal_attempt);
    }

    /// The volume that was being deleted is gone: what its seal holds is what is needed now.
    fn settle_deletion(&mut self) {
        if let Some((life, unsealed)) = self.deleting.take() {
            self.needs = Some(life).filter(|_| !unsealed);
            self.given_up = unsealed;
        }
    }
}

impl SlotMemory {
    pub(super) fn mount(&mut self, name: Option<&Name>) -> Option<&mut MountMemory> {
        let name = name?;
        if !self.mounts.contains_key(name) {
            self.mounts.insert(name.clone(), MountMemory::default());
        }
        self.mounts.get_mut(name)
    }

    /// A step of this slot, or of a mount of it, is about to be done.
    pub fn intend(&mut self, mount: Option<&Name>, act: &Act) {
        match act {
            Act::CreateMachine { generation, .. } => {
                self.generation = self.generation.max(*generation);
            }
            Act::CreateVolume { generation, .. } | Act::ClaimVolume { generation, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.generation = mount.generation.max(*generation);
                    mount.given_up = false;
                    mount.written = !matches!(act, Act::CreateVolume { from: None, .. });
                }
            }
            // Whether an order to mount what is new was heard is seen by what it has left: who dies before it is sent may
            // send it again.
            Act::Mount { blank: false, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.written = true;
                }
            }
            Act::Attach { life, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.life = mount.life.max(*life);
                    mount.attaching = Some(*life);
                    mount.deleting = None;
                }
            }
            Act::DeleteVolume { life, unsealed, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.deleting = Some((*life, *unsealed));
                }
            }
            _ => {}
        }
    }

    /// A step was taken; it may have made something.
    pub fn accept(&mut self, mount: Option<&Name>, act: &Act, made: Option<&str>) {
        match act {
            Act::CreateMachine { .. } => {
                if let Some(id) = made {
                    self.machines.insert(MachineId::new(id));
                }
            }
            Act::CreateVolume { .. } | Act::ClaimVolume { .. } => {
                if let (Some(mount), Some(id)) = (self.mount(mount), made) {
                    mount.volumes.insert(VolumeId::new(id));
                }
            }
            Act::Mount { .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.written = true;
                }
            }
            Act::Seal { .. } | Act::Backup { .. } => {
                if let (Some(mount), Some(id)) = (self.mount(mount), made) {
                    mount.snapshots.insert(SnapshotId::new(id));
                }
            }
            Act::Attach { life, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.attaching = None;
                    mount.needs = Some(*life);
                }
            }
            Act::DeleteVolume { .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.settle_deletion();
                }
            }
            // What newer ones hold is not given up.
            Act::Prune { snapshot, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.snapshots.remove(snapshot);
                }
            }
            Act::DeleteSnapshot { snapshot, .. } => {
                if let Some(mount) = self.mount(mount) {
                    mount.snapshots.remove(snapshot);
                    if mount.snapshots.is_empty() {
                        mount.needs = None;
                        mount.given_up = true;
                    }
                }
            }
            Act::Rename { from, .. } => {
                let Some(old) = self.mounts.remove(from) else { return };
                if let Some(mount) = self.mount(mount) {
                    mount.inherit(old);
                }
            }
            Act::Unmount { volume } => {
                if let Some(mount) = self.mount(mount) {
                    let life = mount.needs.unwrap_or(mount.life);
                    mount.clean = Some((volume.clone(), life));
                }
            }
            _ => {}
        }
    }

    /// An object of this slot is believed gone.
    pub fn forget(&mut self, object: &str) {
        self.machines.retain(|id| id.as_str() != object);
        for mount in self.mounts.values_mut() {
            if mount.volumes.iter().any(|id| id.as_str() == object) {
                mount.settle_deletion();
            }
            mount.volumes.retain(|id| id.as_str() != object);
            mount.snapshots.retain(|id| id.as_str() != object);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Bytes;

    /// What is remembered of a mount whose first volume was made, and is to be mounted for the first time.
    fn first_mount() -> (SlotMemory, Name, Act) {
        let (mut slot, name) = (SlotMemory::default(), Name::new("data").unwrap());
        let made = Act::CreateVolume { generation: 1, size: Bytes(1), life: 0, from: None };
        slot.intend(Some(&name), &made);
        slot.accept(Some(&name), &made, Some("v1"));
        let mount = Act::Mount { volume: VolumeId::new("v1"), life: 2, blank: true };
        slot.intend(Some(&name), &mount);
        (slot, name, mount)
    }

    #[test]
    fn who_dies_before_a_new_volume_is_mounted_may_mount_it_again() {
        let (slot, name, _) = first_mount();
        assert!(!slot.mounts[&name].written);
    }

    #[test]
    fn what_was_mounted_is_not_new_any_more() {
        let (mut slot, name, mount) = first_mount();
        slot.accept(Some(&name), &mount, None);
        assert!(slot.mounts[&name].written);
        let (mut slot, name, _) = first_mount();
        slot.intend(Some(&name), &Act::Mount { volume: VolumeId::new("v1"), life: 3, blank: false });
        assert!(slot.mounts[&name].written);
    }
}
