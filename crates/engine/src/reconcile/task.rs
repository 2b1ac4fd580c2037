//! What a step takes for its effect, gathered from what is wanted and seen.

use ideal_core::id::SlotId;
use ideal_core::plan::{Act, Step};
use ideal_core::planner::slice_of;
use ideal_core::slice::MountOrder;

use super::Engine;
use crate::act::Task;
use crate::observe::provider_of;

/// Where the mounts of replicas lie on a node.
const REPLICAS: &str = "/var/lib/ideal/replicas";

impl Engine {
    pub(crate) fn task(&self, step: &Step) -> Option<Task> {
        let slot = step.part.slot;
        let seen = self.observed.slots.get(&slot);
        let (_, provider) = provider_of(&self.common.outside, &self.ideal, slot, seen)?;
        let alive = seen.into_iter().flat_map(|seen| &seen.machines);
        let machine = alive
            .filter(|machine| !machine.state.is_over())
            .max_by_key(|machine| (machine.tags.generation, &machine.id))
            .or_else(|| self.lender(step))
            .cloned();
        let service = self.ideal.service(slot.cloud);
        let hosts = service.map_or_else(|| vec![slot.cloud], |service| service.clouds.clone());
        let replica = service.map(|service| service.address(slot.index));
        let mount = step.part.mount.as_ref();
        let label = mount.map(|name| ideal_core::slice::label(replica.as_deref(), name));
        let slice = match &step.act {
            Act::Apply { quiet, .. } => self.slice(slot, *quiet),
            _ => None,
        };
        let seals = match &step.act {
            Act::Retire { life, .. } | Act::DeleteVolume { life, .. } => {
                let snapshots = seen.into_iter().flat_map(|seen| &seen.snapshots);
                let own = snapshots.filter(|snapshot| snapshot.life == *life && snapshot.seal.is_some());
                own.map(|snapshot| snapshot.id.clone()).collect()
            }
            Act::Prune { snapshot, .. } => {
                let others = seen.into_iter().flat_map(|seen| &seen.snapshots);
                let same = others.filter(|other| other.tags.mount == step.part.mount);
                same.map(|other| other.id.clone()).filter(|other| other != snapshot).collect()
            }
            _ => Vec::new(),
        };
        let (mount, backup) = (self.mount_order(step), self.backup_of(step));
        Some(Task { step: step.clone(), provider, machine, hosts, label, slice, mount, seals, backup })
    }

    /// The machine that has the volume of a step, where the slot has none of its own.
    fn lender(&self, step: &Step) -> Option<&ideal_core::observed::Machine> {
        let volume = match &step.act {
            Act::Attach { machine, .. } => return self.observed.machine(machine).map(|(_, machine)| machine),
            Act::Mount { volume, .. }
            | Act::Unmount { volume }
            | Act::Grow { volume, .. }
            | Act::Backup { volume, .. } => volume,
            Act::Rename { volumes, .. } => volumes.first()?,
            _ => return None,
        };
        let own = self.observed.slots.get(&step.part.slot)?.volumes.iter().find(|own| own.id == *volume)?;
        self.observed.machine(&own.attachment.as_ref()?.machine).map(|(_, machine)| machine)
    }

    fn slice(&self, slot: SlotId, quiet: bool) -> Option<Box<ideal_core::slice::Slice>> {
        let known = slice_of(&self.ideal, &self.observed, &self.seats, slot, quiet);
        // A node whose cloud left the file is told to be quiet and nothing else.
        let orphan = || ideal_core::slice::Slice {
            slot,
            name: self.ideal.address(slot),
            quiet: true,
            recipes: Vec::new(),
            plugins: Default::default(),
            secrets: Default::default(),
            resources: Vec::new(),
            replicas: Vec::new(),
            names: Default::default(),
            hooks: Default::default(),
            context: Default::default(),
        };
        Some(Box::new(known.unwrap_or_else(orphan)))
    }

    fn backup_of(&self, step: &Step) -> Option<ideal_core::ideal::Backup> {
        self.ideal.mount(step.part.slot, step.part.mount.as_ref()?)?.backup.clone()
    }

    fn mount_order(&self, step: &Step) -> Option<MountOrder> {
        let (volume, life, blank) = match &step.act {
            Act::Mount { volume, life, blank } => (volume, *life, *blank),
            // What is mounted under its old name is mounted again, which only tells the agent the new one.
            Act::Rename { volumes, .. } => {
                let node = self.lender(step).and_then(|machine| machine.tags.slot());
                let report = self.observed.slots.get(&node.unwrap_or(step.part.slot))?.agent.report()?;
                let mounted = |volume: &&ideal_core::id::VolumeId| {
                    report.mounts.get(*volume).is_some_and(|mount| mount.mounted)
                };
                let volume = volumes.iter().find(mounted)?;
                (volume, report.mounts.get(volume)?.life, false)
            }
            _ => return None,
        };
        let name = step.part.mount.as_ref()?;
        let mount = self.ideal.mount(step.part.slot, name)?;
        let service = self.ideal.service(step.part.slot.cloud);
        let replica = service.map(|service| service.address(step.part.slot.index));
        // Two replicas on one node may want their mounts at the same path: each has a place of its own.
        let at = match &replica {
            Some(replica) => format!("{REPLICAS}/{}", ideal_core::slice::label(Some(replica), name)),
            None => mount.at.clone(),
        };
        let seen = self.observed.slots.get(&step.part.slot);
        let own = seen.and_then(|seen| seen.volumes.iter().find(|own| own.id == *volume));
        let memory = self.view.slot(step.part.slot).and_then(|known| known.mounts.get(name));
        let known = memory.and_then(|memory| memory.filesystem.as_ref()).filter(|(id, _)| id == volume);
        Some(MountOrder {
            size: own.map(|own| own.size),
            uuid: known.map(|(_, uuid)| uuid.clone()),
            name: name.clone(),
            replica,
            volume: volume.clone(),
            life,
            at,
            filesystem: mount.filesystem,
            blank,
        })
    }
}
