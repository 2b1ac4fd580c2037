//! The conditions under which something that holds data may be touched, and the permits that prove them.
//!
//! Each guard is a plain function over what was read *by id*, used twice: when a step is decided, and again
//! immediately before its effect. A permit can be made here only; a provider's destructive calls take one, so
//! that no other path can reach them.

use crate::id::{CloudId, Life, MachineId, SnapshotId, VolumeId};
use crate::model;
use crate::observed::{
    AttachmentState, Machine, MachineState, Report, SealKind, Snapshot, SnapshotState, Volume, VolumeState,
};
use crate::time::Time;

/// Why a guard refuses. Its text completes "refused: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Ownership is the cloud tag, read by id.
    #[error("{what} does not carry the tag of this cloud")]
    NotOurs {
        /// What.
        what: String,
    },
    /// A mount is in use.
    #[error("{volume} is mounted on {machine}")]
    Mounted {
        /// The volume.
        volume: VolumeId,
        /// The machine.
        machine: MachineId,
    },
    /// A volume has a machine.
    #[error("{volume} is attached to {machine}")]
    StillAttached {
        /// The volume.
        volume: VolumeId,
        /// The machine.
        machine: MachineId,
    },
    /// The agent must say that nothing is mounted; it did not answer.
    #[error("the agent of {machine} does not answer, so nobody knows what is mounted there")]
    AgentSilent {
        /// The machine.
        machine: MachineId,
    },
    /// Nothing proves that the last write is kept.
    #[error("no completed seal covers life {life} of {volume}")]
    NotSealed {
        /// The volume.
        volume: VolumeId,
        /// Its life.
        life: Life,
    },
    /// The first of the two acts is missing, or is of another life.
    #[error("{volume} is not marked as retired in its present life")]
    NotRetired {
        /// The volume.
        volume: VolumeId,
    },
    /// The grace between the two acts is not over.
    #[error("{volume} is retired until {}", until.0)]
    InGrace {
        /// The volume.
        volume: VolumeId,
        /// Until when.
        until: Time,
    },
    /// Too few newer ones are left.
    #[error("{snapshot} is one of the last: only {newer} newer of its kind hold, and {keep} must stay")]
    OneOfTheLast {
        /// The snapshot.
        snapshot: SnapshotId,
        /// How many newer ones there are.
        newer: usize,
        /// How many must stay.
        keep: u32,
    },
    /// It is not in a state in which this can be done.
    #[error("{what} is {state}")]
    WrongState {
        /// What.
        what: String,
        /// Its state, in words.
        state: String,
    },
}

macro_rules! permit {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($field: $type),* }
        impl $name {
            $($(#[$fdoc])* pub fn $field(&self) -> &$type { &self.$field })*
        }
    )*};
}

permit! {
    /// Proof that a machine may be ended: ours, and nothing mounted on it (or it is dead).
    TerminatePermit {
        /// Which machine.
        machine: MachineId,
        /// Whether it is taken for dead, and was not heard: then nothing on it need be asked.
        unheard: bool,
    }
    /// Proof that a machine may be stopped: ours, and nothing mounted on it.
    StopPermit {
        /// Which machine.
        machine: MachineId,
    }
    /// Proof that a volume may be taken from its machine: not mounted there, by the agent's word.
    DetachPermit {
        /// Which volume.
        volume: VolumeId,
        /// From which machine.
        machine: MachineId,
        /// In which life.
        life: Life,
    }
    /// Proof that a snapshot of this volume now is a seal: read by id as detached.
    SealPermit {
        /// Which volume.
        volume: VolumeId,
        /// In which life.
        life: Life,
    }
    /// Proof that the second act of a deletion may follow: retired in its present life, grace over, and sealed
    /// or given up a day ago.
    DeletePermit {
        /// Which volume.
        volume: VolumeId,
        /// In which life; the provider deletes only if it and the mark still match.
        life: Life,
    }
    /// Proof that a snapshot of this volume now is a backup: ours, there, and in this life.
    BackupPermit {
        /// Which volume.
        volume: VolumeId,
        /// In which life.
        life: Life,
    }
    /// Proof that a snapshot may be deleted: a person typed the name of the cluster that ends, or enough newer ones
    /// hold what is needed.
    PrunePermit {
        /// Which snapshot.
        snapshot: SnapshotId,
    }
}

/// Whether `snapshot` holds everything that was ever written to `volume`: it is the completed seal of this
/// volume's present life, or the volume was made of it and has never been attached since.
pub fn covers(snapshot: &Snapshot, volume: &Volume) -> bool {
    snapshot.state == SnapshotState::Completed
        && snapshot.seal.is_some()
        && snapshot.life == volume.life
        && (snapshot.volume == volume.id || volume.origin.as_ref() == Some(&snapshot.id))
}

fn owned(cloud: CloudId, tagged: CloudId, what: impl ToString) -> Result<(), Refusal> {
    if cloud == tagged { Ok(()) } else { Err(Refusal::NotOurs { what: what.to_string() }) }
}

/// May this machine be ended? `agent` is what its agent said just now; a dead machine needs none.
pub fn terminate(
    cloud: CloudId,
    machine: &Machine,
    agent: Option<&Report>,
) -> Result<TerminatePermit, Refusal> {
    owned(cloud, machine.tags.cloud, &machine.id)?;
    let permit = TerminatePermit { machine: machine.id.clone(), unheard: false };
    match machine.state {
        MachineState::Running | MachineState::Stopping => nothing_mounted(machine, agent).map(|()| permit),
        // Pending machines have mounted nothing; dead, stopped and ending ones cannot write any more.
        _ => Ok(permit),
    }
}

fn nothing_mounted(machine: &Machine, agent: Option<&Report>) -> Result<(), Refusal> {
    let Some(report) = agent else {
        return Err(Refusal::AgentSilent { machine: machine.id.clone() });
    };
    match report.mounts.iter().find(|(_, seen)| seen.mounted) {
        Some((volume, _)) => Err(Refusal::Mounted { volume: volume.clone(), machine: machine.id.clone() }),
        None => Ok(()),
    }
}

/// May this machine be stopped? `agent` is what its agent said just now. One that is marked to be ended is not, for it would
/// never be started again; nor one of which its own tags do not say that it is to be halted.
pub fn stop(cloud: CloudId, machine: &Machine, agent: Option<&Report>) -> Result<StopPermit, Refusal> {
    owned(cloud, machine.tags.cloud, &machine.id)?;
    let wrong = |state: &str| Refusal::WrongState { what: machine.id.to_string(), state: state.to_owned() };
    match machine.state {
        _ if machine.retired => Err(wrong("marked to be ended")),
        _ if !model::is_to_be_stopped(machine) => Err(wrong("not demanded to be halted, by its tags")),
        MachineState::Running => {
            nothing_mounted(machine, agent)?;
            Ok(StopPermit { machine: machine.id.clone() })
        }
        state => Err(wrong(&format!("{state:?}").to_lowercase())),
    }
}

/// May this machine be ended although it may run? A person or the policy takes it for dead; `agent` is what its agent
/// said just now, and one that speaks is not dead.
pub fn terminate_unheard(
    cloud: CloudId,
    machine: &Machine,
    agent: Option<&Report>,
) -> Result<TerminatePermit, Refusal> {
    owned(cloud, machine.tags.cloud, &machine.id)?;
    match agent {
        None => Ok(TerminatePermit { machine: machine.id.clone(), unheard: true }),
        Some(_) => Err(Refusal::WrongState {
            what: machine.id.to_string(),
            state: "alive: its agent answers again".to_owned(),
        }),
    }
}

/// May an agent be brought to this machine? To one that is marked to be ended too: nobody else says what is mounted there.
pub fn bring_agent(cloud: CloudId, machine: &Machine) -> Result<(), Refusal> {
    owned(cloud, machine.tags.cloud, &machine.id)?;
    match machine.state {
        MachineState::Running => Ok(()),
        state => {
            let state = format!("{state:?}").to_lowercase();
            Err(Refusal::WrongState { what: machine.id.to_string(), state })
        }
    }
}

/// May this volume be taken from this machine? `agent` is what the machine's agent said just now.
pub fn detach(
    cloud: CloudId,
    volume: &Volume,
    machine: &Machine,
    agent: Option<&Report>,
) -> Result<DetachPermit, Refusal> {
    owned(cloud, volume.tags.cloud, &volume.id)?;
    match &volume.attachment {
        Some(at) if at.machine == machine.id && at.state != AttachmentState::Detaching => {}
        _ => {
            let state = format!("not attached to {}", machine.id);
            return Err(Refusal::WrongState { what: volume.id.to_string(), state });
        }
    }
    let permit = DetachPermit { volume: volume.id.clone(), machine: machine.id.clone(), life: volume.life };
    if machine.state.is_fenced() {
        return Ok(permit);
    }
    let Some(report) = agent else {
        return Err(Refusal::AgentSilent { machine: machine.id.clone() });
    };
    match report.mounts.get(&volume.id) {
        Some(seen) if seen.mounted => {
            Err(Refusal::Mounted { volume: volume.id.clone(), machine: machine.id.clone() })
        }
        _ => Ok(permit),
    }
}

/// Would a snapshot of this volume, taken now, be a seal?
pub fn seal(cloud: CloudId, volume: &Volume) -> Result<SealPermit, Refusal> {
    owned(cloud, volume.tags.cloud, &volume.id)?;
    if let Some(at) = &volume.attachment {
        return Err(Refusal::StillAttached { volume: volume.id.clone(), machine: at.machine.clone() });
    }
    match volume.state {
        VolumeState::Ready => Ok(SealPermit { volume: volume.id.clone(), life: volume.life }),
        other => Err(Refusal::WrongState {
            what: volume.id.to_string(),
            state: format!("{other:?}").to_lowercase(),
        }),
    }
}

/// May this volume be attached? `hosts` are the clouds whose machines may have it: its own, or those that its
/// service is on.
pub fn attach(cloud: CloudId, volume: &Volume, hosts: &[CloudId], machine: &Machine) -> Result<(), Refusal> {
    owned(cloud, volume.tags.cloud, &volume.id)?;
    if !hosts.contains(&machine.tags.cloud) {
        return Err(Refusal::NotOurs { what: machine.id.to_string() });
    }
    if let Some(at) = &volume.attachment {
        return Err(Refusal::StillAttached { volume: volume.id.clone(), machine: at.machine.clone() });
    }
    match (volume.state, machine.state) {
        (VolumeState::Ready, MachineState::Running) if machine.retired => {
            Err(Refusal::WrongState { what: machine.id.to_string(), state: "marked to be ended".to_owned() })
        }
        (VolumeState::Ready, MachineState::Running) => Ok(()),
        (VolumeState::Ready, other) => Err(Refusal::WrongState {
            what: machine.id.to_string(),
            state: format!("{other:?}").to_lowercase(),
        }),
        (other, _) => Err(Refusal::WrongState {
            what: volume.id.to_string(),
            state: format!("{other:?}").to_lowercase(),
        }),
    }
}

/// May the second act of a deletion follow? `seals` are snapshots read by id; `unsealed` says that the data was
/// given up on purpose (`keep: delete`, prune), in which case the grace alone protects it.
pub fn delete(
    cloud: CloudId,
    volume: &Volume,
    seals: &[Snapshot],
    unsealed: bool,
    now: Time,
) -> Result<DeletePermit, Refusal> {
    seal(cloud, volume)?;
    let mark = match volume.retired {
        Some(mark) if mark.life == volume.life => mark,
        _ => return Err(Refusal::NotRetired { volume: volume.id.clone() }),
    };
    if !unsealed && !seals.iter().any(|snapshot| covers(snapshot, volume)) {
        return Err(Refusal::NotSealed { volume: volume.id.clone(), life: volume.life });
    }
    if now < mark.until {
        return Err(Refusal::InGrace { volume: volume.id.clone(), until: mark.until });
    }
    Ok(DeletePermit { volume: volume.id.clone(), life: volume.life })
}

/// Would a snapshot of this volume, taken now, be a backup of this life? It may be in use.
pub fn backup(cloud: CloudId, volume: &Volume, life: Life) -> Result<BackupPermit, Refusal> {
    owned(cloud, volume.tags.cloud, &volume.id)?;
    let wrong = |state: String| Refusal::WrongState { what: volume.id.to_string(), state };
    match volume.state {
        VolumeState::Ready if volume.life == life => Ok(BackupPermit { volume: volume.id.clone(), life }),
        VolumeState::Ready => Err(wrong(format!("in life {}, not in {life}", volume.life))),
        other => Err(wrong(format!("{other:?}").to_lowercase())),
    }
}

/// May this volume be made larger? It may be in use.
pub fn grow(cloud: CloudId, volume: &Volume) -> Result<(), Refusal> {
    backup(cloud, volume, volume.life).map(|_| ())
}

/// Whether `newer` can stand in for `old`: whole, of the same mount, of its kind, and later. A clean seal is outdone by
/// clean seals of later lives only, a dirty one by any seal of a later life, a backup by backups that were taken later.
pub fn outdone(old: &Snapshot, newer: &Snapshot) -> bool {
    let same = newer.id != old.id
        && newer.state == SnapshotState::Completed
        && newer.tags.mount_id().is_some()
        && newer.tags.mount_id() == old.tags.mount_id();
    same && match (old.seal, newer.seal) {
        (Some(SealKind::Clean), Some(SealKind::Clean)) => newer.life > old.life,
        (Some(SealKind::Dirty), Some(_)) => newer.life > old.life,
        (None, None) => (newer.life, newer.at) > (old.life, old.at),
        _ => false,
    }
}

/// May this old snapshot be deleted? `others` were read by id just now; so many of them must outdo it, and one at the
/// least, whatever anybody wants.
pub fn prune_old(
    cloud: CloudId,
    snapshot: &Snapshot,
    others: &[Snapshot],
    keep: u32,
) -> Result<PrunePermit, Refusal> {
    owned(cloud, snapshot.tags.cloud, &snapshot.id)?;
    if snapshot.state == SnapshotState::Pending {
        return Err(Refusal::WrongState { what: snapshot.id.to_string(), state: "being taken".to_owned() });
    }
    let newer = others.iter().filter(|other| other.tags.cloud == cloud && outdone(snapshot, other)).count();
    let keep = keep.max(1);
    if newer < keep as usize {
        return Err(Refusal::OneOfTheLast { snapshot: snapshot.id.clone(), newer, keep });
    }
    Ok(PrunePermit { snapshot: snapshot.id.clone() })
}

/// May this snapshot be deleted? Only when the whole cluster ends, snapshots included, as a person typed; or when a
/// person typed that this one may go, which nothing in the file wants.
pub fn prune(
    cloud: CloudId,
    snapshot: &Snapshot,
    ending: crate::demand::Ending,
    given_up: bool,
) -> Result<PrunePermit, Refusal> {
    owned(cloud, snapshot.tags.cloud, &snapshot.id)?;
    match ending {
        _ if given_up => Ok(PrunePermit { snapshot: snapshot.id.clone() }),
        crate::demand::Ending::Everything => Ok(PrunePermit { snapshot: snapshot.id.clone() }),
        _ => Err(Refusal::WrongState { what: snapshot.id.to_string(), state: "kept".to_owned() }),
    }
}
