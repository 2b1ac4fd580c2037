//! What each shove does to the things it touches: the one description of a provider's meaning.
//!
//! The forecast of a plan runs on it, and the simulated provider is it, with latency and faults around. Each
//! function checks the provider's own conditions (not ours: those are guards) and changes one object.

use crate::demand::State;
use crate::id::{Life, MachineId, SnapshotId, VolumeId};
use crate::observed::{
    Attachment, AttachmentState, Machine, MachineState, RetireMark, SealKind, Snapshot, SnapshotState, Tags,
    Volume, VolumeState,
};
use crate::time::{Bytes, Time};

mod slot;

pub use slot::SlotModel;

/// Why a provider refuses, in one line.
pub type Refused = String;

/// A machine as it is when its creation was just accepted.
pub fn new_machine(id: MachineId, tags: Tags, image: &str, size: &str) -> Machine {
    Machine {
        address: None,
        agent: None,
        id,
        tags,
        state: MachineState::Pending,
        image: image.to_owned(),
        size: size.to_owned(),
        retired: false,
    }
}

/// A volume as it is when its creation was just accepted.
pub fn new_volume(id: VolumeId, tags: Tags, size: Bytes, life: Life, origin: Option<SnapshotId>) -> Volume {
    Volume { id, tags, life, state: VolumeState::Creating, attachment: None, size, origin, retired: None }
}

/// A snapshot as it is when its creation was just accepted.
///
/// `life` is what its maker claims: should the volume be in another life by now, the snapshot covers nothing.
pub fn new_snapshot(
    id: SnapshotId,
    tags: Tags,
    volume: &Volume,
    life: Life,
    kind: Option<SealKind>,
    at: Time,
) -> Snapshot {
    Snapshot {
        id,
        tags,
        volume: volume.id.clone(),
        life,
        seal: kind,
        state: SnapshotState::Pending,
        size: volume.size,
        checksum: None,
        at,
    }
}

fn free(volume: &Volume) -> Result<(), Refused> {
    match (&volume.attachment, volume.state) {
        (Some(at), _) => Err(format!("{} is attached to {}", volume.id, at.machine)),
        (None, VolumeState::Ready) => Ok(()),
        (None, state) => Err(format!("{} is {state:?}", volume.id)),
    }
}

/// Raises the life of a detached volume and clears its mark.
pub fn new_life(volume: &mut Volume, life: Life) -> Result<(), Refused> {
    free(volume)?;
    if life <= volume.life {
        return Err(format!("{} is in life {} already", volume.id, volume.life));
    }
    volume.life = life;
    volume.retired = None;
    Ok(())
}

/// Makes a volume larger.
pub fn grow(volume: &mut Volume, size: Bytes) -> Result<(), Refused> {
    match volume.state {
        VolumeState::Ready if size < volume.size => Err(format!("{} is larger than {size}", volume.id)),
        VolumeState::Ready => {
            volume.size = size;
            Ok(())
        }
        state => Err(format!("{} is {state:?}", volume.id)),
    }
}

/// Begins to attach a volume.
pub fn attach(volume: &mut Volume, life: Life, machine: &Machine) -> Result<(), Refused> {
    free(volume)?;
    if volume.retired.is_some() {
        return Err(format!("{} is marked as retired", volume.id));
    }
    if volume.life != life {
        return Err(format!("{} is in life {}, not {life}", volume.id, volume.life));
    }
    if machine.state != MachineState::Running || machine.retired {
        return Err(format!("{} is not running, or marked to be ended", machine.id));
    }
    volume.attachment = Some(Attachment { machine: machine.id.clone(), state: AttachmentState::Attaching });
    Ok(())
}

/// Begins to take a volume from a machine.
pub fn detach(volume: &mut Volume, machine: &MachineId, life: Life) -> Result<(), Refused> {
    match &mut volume.attachment {
        Some(at) if at.machine == *machine && volume.life == life => {
            at.state = AttachmentState::Detaching;
            Ok(())
        }
        _ => Err(format!("{} is not attached to {machine} in life {life}", volume.id)),
    }
}

/// Whether its own tags say that a machine is to be stopped. Demands are written on things before anything is done about
/// them: what another demand has taken over since is not stopped by whoever comes late.
pub fn is_to_be_stopped(machine: &Machine) -> bool {
    let demand = machine.tags.demand.as_ref().zip(machine.tags.slot());
    demand.and_then(|(demand, slot)| demand.of(slot)) == Some(State::Halted)
}

/// Begins to stop a machine that runs. Again is as good as once.
pub fn stop_machine(machine: &mut Machine) -> Result<(), Refused> {
    match machine.state {
        MachineState::Stopping | MachineState::Stopped => Ok(()),
        MachineState::Running if !is_to_be_stopped(machine) => {
            Err(format!("{} is not demanded to be halted, by its tags", machine.id))
        }
        MachineState::Running if !machine.retired => {
            machine.state = MachineState::Stopping;
            Ok(())
        }
        state => {
            let state = if machine.retired { "marked to be ended".to_owned() } else { format!("{state:?}") };
            Err(format!("{} is {}, and only what runs is stopped", machine.id, state.to_lowercase()))
        }
    }
}

/// The first act of a machine's ending.
pub fn retire_machine(machine: &mut Machine) {
    machine.retired = true;
}

/// The second act of a machine's ending.
pub fn end_machine(machine: &mut Machine) -> Result<(), Refused> {
    match (machine.state, machine.retired) {
        (MachineState::Terminated | MachineState::Terminating, _) => Ok(()),
        (_, true) => {
            machine.state = MachineState::Terminating;
            Ok(())
        }
        (_, false) => Err(format!("{} is not marked to be ended", machine.id)),
    }
}

/// The first act of a deletion.
pub fn retire(volume: &mut Volume, mark: RetireMark) -> Result<(), Refused> {
    free(volume)?;
    if mark.life != volume.life {
        return Err(format!("{} is in life {}, not {}", volume.id, volume.life, mark.life));
    }
    volume.retired = Some(mark);
    Ok(())
}

/// The second act of a deletion.
pub fn delete(volume: &mut Volume, life: Life, now: Time) -> Result<(), Refused> {
    free(volume)?;
    match volume.retired {
        Some(mark) if mark.life == life && volume.life == life && now >= mark.until => {
            volume.state = VolumeState::Deleting;
            Ok(())
        }
        _ => Err(format!("{} carries no mark that allows its deletion now", volume.id)),
    }
}

/// Lets what is under way at a machine come to its end.
pub fn settle_machine(machine: &mut Machine) {
    machine.state = match machine.state {
        MachineState::Pending => MachineState::Running,
        MachineState::Stopping => MachineState::Stopped,
        MachineState::Terminating => MachineState::Terminated,
        other => other,
    };
}

/// Lets what is under way at a volume come to its end. A deleted volume stays as `Deleted`.
pub fn settle_volume(volume: &mut Volume) {
    volume.state = match volume.state {
        VolumeState::Creating => VolumeState::Ready,
        VolumeState::Deleting => VolumeState::Deleted,
        other => other,
    };
    match &mut volume.attachment {
        Some(at) if at.state == AttachmentState::Attaching => at.state = AttachmentState::Attached,
        Some(at) if at.state == AttachmentState::Detaching => volume.attachment = None,
        _ => {}
    }
}

/// Lets what is under way at a snapshot come to its end.
pub fn settle_snapshot(snapshot: &mut Snapshot) {
    if snapshot.state == SnapshotState::Pending {
        snapshot.state = SnapshotState::Completed;
    }
}
