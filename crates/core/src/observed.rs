//! What was seen, when, and what could not be seen.
//!
//! Existence, attachment and filesystem are told apart; "could not see" is a value of its own, and never means
//! "is not there".

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::build::Build;
use crate::demand::Demands;
use crate::id::{
    CloudId, Epoch, Generation, Life, MachineId, MountId, Name, SlotId, SnapshotId, Token, VolumeId,
};
use crate::ideal::Filesystem;
use crate::ideal::service::Rung;
use crate::placement::Capacity;
use crate::resource::{Heal, Pause};
use crate::time::{Bytes, Time};

/// Everything that carries our tags at one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// When the answer was made.
    pub at: Time,
    /// False when a page was missing: nothing may be concluded from absence.
    pub complete: bool,
    /// Machines, ended ones too for as long as the provider shows them.
    pub machines: Vec<Machine>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Snapshots.
    pub snapshots: Vec<Snapshot>,
}

/// The tags that every object of ours carries. What lasts longest carries them too, so that all of it can be
/// found again when everything else is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Whose it is. Ownership is this tag, read by id.
    pub cloud: CloudId,
    /// Of which slot; none for a machine of a batch that has not been given one yet.
    pub index: Option<u32>,
    /// Of which mount (volumes and snapshots).
    pub mount: Option<Name>,
    /// Which machine of the slot, or which volume of the mount, this is.
    pub generation: Generation,
    /// The token of its creation.
    pub token: Option<Token>,
    /// The demands as they stood when it was last touched; the highest version anywhere is what is demanded.
    pub demand: Option<Arc<Demands>>,
    /// The highest epoch that touched it.
    pub epoch: Epoch,
}

impl Tags {
    /// Those of a thing that is nobody's: the nil uuid, which no cloud has.
    pub fn nobodys() -> Tags {
        Tags {
            cloud: CloudId(uuid::Uuid::nil()),
            index: None,
            mount: None,
            generation: 0,
            token: None,
            demand: None,
            epoch: 0,
        }
    }
    /// The slot, when it has one.
    pub fn slot(&self) -> Option<SlotId> {
        self.index.map(|index| SlotId { cloud: self.cloud, index })
    }
    /// The mount, when it has one.
    pub fn mount_id(&self) -> Option<MountId> {
        Some(MountId { slot: self.slot()?, name: self.mount.clone()? })
    }
}

/// A machine as its provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The provider's id.
    pub id: MachineId,
    /// Ours.
    pub tags: Tags,
    /// Where it is in its life.
    pub state: MachineState,
    /// Its network address, once it has one.
    pub address: Option<String>,
    /// How its agent is reached, once it is: `unix:/run/…/agent.sock`.
    pub agent: Option<String>,
    /// The image it was made from, as asked.
    pub image: String,
    /// The size it was made with, as asked, in one text (see [`size_text`]).
    pub size: String,
    /// Set by the first of the two acts of its ending; never cleared: a marked machine is not used again.
    pub retired: bool,
}

/// The size of a machine as one text, for comparing and for tags: `2cpu 4GiB`, empty for "the default".
pub fn size_text(size: &crate::ideal::MachineSize) -> String {
    let cpus = size.cpus.map(|cpus| format!("{cpus}cpu"));
    let memory = size.memory.map(|memory| memory.to_string());
    cpus.into_iter().chain(memory).collect::<Vec<_>>().join(" ")
}

/// Where a machine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// Being made.
    Pending,
    /// Running, as far as its provider knows.
    Running,
    /// Dead, with remains that still hold resources: it must be ended before it is replaced.
    Impaired,
    /// On its way to stopped.
    Stopping,
    /// Stopped; can be started.
    Stopped,
    /// On its way out.
    Terminating,
    /// Ended for good.
    Terminated,
}

impl MachineState {
    /// It will never run again.
    pub fn is_over(self) -> bool {
        self == MachineState::Terminated
    }
    /// Nothing runs on it now, and nothing can start by itself.
    pub fn is_fenced(self) -> bool {
        matches!(self, MachineState::Terminated | MachineState::Stopped)
    }
}

/// A volume as its provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The provider's id.
    pub id: VolumeId,
    /// Ours.
    pub tags: Tags,
    /// The life it is in: raised before each attachment.
    pub life: Life,
    /// Whether it exists.
    pub state: VolumeState,
    /// Whether a machine has it.
    pub attachment: Option<Attachment>,
    /// How large it is.
    pub size: Bytes,
    /// The snapshot it was made of.
    pub origin: Option<SnapshotId>,
    /// Set by the first of the two acts of deletion; cleared by a new life.
    pub retired: Option<RetireMark>,
}

/// Whether a volume exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeState {
    /// Being made.
    Creating,
    /// It exists.
    Ready,
    /// On its way out.
    Deleting,
    /// Gone for good (as a read by id may say).
    Deleted,
    /// Its provider says that something is wrong with it.
    Error,
}

/// A machine that has a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which machine.
    pub machine: MachineId,
    /// How far it is.
    pub state: AttachmentState,
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentState {
    /// On its way in.
    Attaching,
    /// There.
    Attached,
    /// On its way out.
    Detaching,
}

/// The first of the two acts of deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireMark {
    /// In which life it was retired: a mark of another life means nothing.
    pub life: Life,
    /// When.
    pub at: Time,
    /// Not before this instant may it be deleted.
    pub until: Time,
}

/// A snapshot as its provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The provider's id.
    pub id: SnapshotId,
    /// Ours.
    pub tags: Tags,
    /// The volume it was taken of.
    pub volume: VolumeId,
    /// The life of that volume when it was taken.
    pub life: Life,
    /// What it proves; none: a backup of a running volume, never used unasked.
    pub seal: Option<SealKind>,
    /// How far it is.
    pub state: SnapshotState,
    /// The size of the volume it was taken of.
    pub size: Bytes,
    /// Of its content, where the provider can tell.
    pub checksum: Option<String>,
    /// When it was taken.
    pub at: Time,
}

/// What a seal rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealKind {
    /// The agent reported the unmount.
    Clean,
    /// The node died: the last write is in it, but the filesystem was not closed.
    Dirty,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Being taken.
    Pending,
    /// Whole: completed, and at 100 %.
    Completed,
    /// It failed and is worth nothing.
    Error,
}

/// What a node's agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When the agent made it.
    pub at: Time,
    /// Which machine of the slot it runs on.
    pub generation: Generation,
    /// Which program it is, where it was brought to its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Who may give orders, as the agent last heard.
    pub authority: Option<Authority>,
    /// The demands as last told.
    pub demand: Option<Arc<Demands>>,
    /// The hash of the slice in force; none: it has none yet.
    pub slice: Option<String>,
    /// Whether everything of the slice in force is right.
    pub converged: bool,
    /// What is not right, each with its reason.
    pub problems: Vec<Problem>,
    /// Mounts, by the volume under them.
    pub mounts: BTreeMap<VolumeId, MountSeen>,
    /// Replicas, by address: `pub[0]`.
    pub services: BTreeMap<String, ServiceSeen>,
    /// The last answer of each hook, by its run key.
    pub hooks: BTreeMap<String, HookSeen>,
    /// Resources that were made right or given up of late, oldest first.
    #[serde(default)]
    pub heals: Vec<Heal>,
    /// Whether secrets that the slice names are not at hand: then it is to be given again, with them.
    #[serde(default)]
    pub lacks_secrets: bool,
    /// What is left alone for a time.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// What the machine has for replicas, where the agent has a machine to itself.
    #[serde(default)]
    pub room: Capacity,
    /// What is not right and is left so, because the ideal or a person says so. It keeps nothing from being launched.
    #[serde(default)]
    pub left: Vec<Problem>,
}

/// Who may give orders: the holder of the lease, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Orders of a lower epoch are refused.
    pub epoch: Epoch,
    /// In words: `anna@laptop`.
    pub holder: String,
    /// The store of the holder: an engine on the same store may take over at once.
    pub store: String,
    /// After this instant anybody may take over.
    pub until: Time,
    /// A person said to take over from whoever held it: obeyed before that instant too.
    #[serde(default)]
    pub forced: bool,
}

/// Something of a node that is not right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What: `file /etc/motd`, `service pub[0]`.
    pub what: String,
    /// Why, in one line.
    pub why: String,
    /// Whether it is only waited for (an unknown address), not failed.
    pub waiting: bool,
}

/// A mount as the agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSeen {
    /// In which life it was mounted.
    pub life: Life,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Since when: only while it is mounted, and for who knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What keeps it busy, when an unmount was refused.
    pub busy: Option<String>,
    /// How large its device was when the filesystem was last made to fill it; none where the volume is a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<Bytes>,
    /// Why the filesystem does not fill its device while it is mounted: it does at its next mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small: Option<String>,
    /// The filesystem on it, as its own superblock says; none where the volume is a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FilesystemSeen>,
}

/// A filesystem as its superblock says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemSeen {
    /// Of which kind.
    pub kind: Filesystem,
    /// Its own uuid, which it keeps for as long as it is.
    pub uuid: String,
    /// How large it is.
    pub size: Bytes,
}

/// A replica as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSeen {
    /// What it is doing.
    pub state: ServiceState,
    /// Its process, when it runs.
    pub pid: Option<u32>,
    /// Its container, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The version that it was started as: see [`ServiceSpec::version`](crate::ideal::ServiceSpec::version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What its node could not do for it: place it elsewhere, or ask a person. None while the node still heals it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Rung>,
    /// Since when it is in this state.
    pub since: Time,
    /// How often it was started again.
    pub restarts: u32,
    /// The ports it was given.
    pub ports: BTreeMap<Name, u16>,
    /// Why it is not well, in one line.
    pub why: Option<String>,
}

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Started, not yet known to be well.
    Starting,
    /// Running, and well as far as its check tells.
    Running,
    /// Running, and its check fails.
    Unhealthy,
    /// Down, waiting to be started again.
    BackingOff,
    /// Its budget of restarts is spent: a person is asked.
    Suspended,
    /// Stopped, as wanted.
    Stopped,
}

/// What a hook answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSeen {
    /// It exited with 0.
    pub agreed: bool,
    /// Its last lines.
    pub output: String,
    /// When.
    pub at: Time,
}

/// What an engine could learn of one agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AgentSeen {
    /// There was no machine to ask.
    #[default]
    NotAsked,
    /// It did not answer.
    Silent {
        /// Since when.
        since: Time,
        /// Why, in one line.
        why: String,
    },
    /// It answered.
    Answered(Box<Report>),
}

impl AgentSeen {
    /// The report, when there is one.
    pub fn report(&self) -> Option<&Report> {
        match self {
            AgentSeen::Answered(report) => Some(report),
            _ => None,
        }
    }
}

/// How well a provider could be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Everything was listed.
    Whole,
    /// Something was not: nothing may be made or ended on the strength of absence.
    Blind {
        /// Why, in one line.
        why: String,
    },
}

/// Everything seen of one slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotSeen {
    /// Which provider has its things.
    pub provider: Option<Name>,
    /// Machines of any generation.
    pub machines: Vec<Machine>,
    /// Volumes of any mount.
    pub volumes: Vec<Volume>,
    /// Snapshots of any mount.
    pub snapshots: Vec<Snapshot>,
    /// What the agent of the newest machine said.
    pub agent: AgentSeen,
    /// Whether who looks has heard an agent of that machine before.
    pub heard: bool,
}

/// Everything seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// When.
    pub at: Time,
    /// How well each provider could be seen.
    pub sight: BTreeMap<Name, Sight>,
    /// By slot.
    pub slots: BTreeMap<SlotId, SlotSeen>,
    /// Machines of our clouds that were not given a slot yet.
    pub unslotted: Vec<Machine>,
    /// Clouds of other files whose things lie at the same provider: not ours to touch.
    pub strangers: std::collections::BTreeSet<CloudId>,
    /// Objects that the journal knows, that were not listed and that a read by id does not find: since when.
    pub missing: BTreeMap<String, Time>,
}

impl Observed {
    /// Adds what one provider listed.
    pub fn add(&mut self, provider: &Name, listing: Listing) {
        let sight = match listing.complete {
            true => Sight::Whole,
            false => Sight::Blind { why: "a page of the listing is missing".to_owned() },
        };
        self.sight.insert(provider.clone(), sight);
        for machine in listing.machines {
            match machine.tags.slot() {
                Some(slot) => self.slot(slot, provider).machines.push(machine),
                None => self.unslotted.push(machine),
            }
        }
        for volume in listing.volumes {
            if let Some(slot) = volume.tags.slot() {
                self.slot(slot, provider).volumes.push(volume);
            }
        }
        for snapshot in listing.snapshots {
            if let Some(slot) = snapshot.tags.slot() {
                self.slot(slot, provider).snapshots.push(snapshot);
            }
        }
    }

    /// Drops what belongs to other clusters; which clouds those are is kept, to be told.
    pub fn keep_only(&mut self, ours: impl Fn(CloudId) -> bool) {
        let strangers = self.slots.keys().map(|slot| slot.cloud).filter(|cloud| !ours(*cloud));
        self.strangers = strangers.collect();
        self.slots.retain(|slot, _| ours(slot.cloud));
        self.unslotted.retain(|machine| ours(machine.tags.cloud));
    }

    /// A machine that is not over, and the node whose it is.
    pub fn machine(&self, id: &MachineId) -> Option<(SlotId, &Machine)> {
        let all =
            self.slots.iter().flat_map(|(slot, seen)| seen.machines.iter().map(|machine| (*slot, machine)));
        all.into_iter().find(|(_, machine)| machine.id == *id && !machine.state.is_over())
    }

    fn slot(&mut self, slot: SlotId, provider: &Name) -> &mut SlotSeen {
        let seen = self.slots.entry(slot).or_default();
        if seen.provider.is_none() {
            seen.provider = Some(provider.clone());
        }
        seen
    }
}
