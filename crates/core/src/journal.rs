//! What was intended, what came of it, and what follows from that: the records of the journal and the view
//! that they fold to.
//!
//! The journal is never the only knowledge of what exists: everything here can be lost, and the next run finds
//! it again in tags (see [`crate::planner`]). It makes recovery quick and history readable.

mod memory;
mod pairs;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::demand::Demands;
use crate::id::{CloudId, Generation, Life, MachineId, SlotId, SnapshotId, VolumeId};
use crate::plan::{Act, Part};
use crate::resource::Heal;
use crate::time::{Span, Time};

pub use memory::{MountMemory, Seated, ServiceMemory, SlotMemory};

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A run began.
    RunOpened {
        /// `r-12`.
        run: String,
        /// What was asked, in words.
        what: String,
        /// Who asked.
        by: String,
    },
    /// A run ended.
    RunClosed {
        /// Which.
        run: String,
        /// How, in words.
        outcome: String,
    },
    /// An engine took the lease.
    LeaseTaken {
        /// Who.
        holder: String,
        /// From whom, when somebody still held it.
        from: Option<String>,
    },
    /// These clouds are in the file: what carries their tags is this cluster's, also when one leaves the file.
    Clouds {
        /// Which.
        clouds: Vec<CloudId>,
    },
    /// These things are about to be let go: nobody's from now on.
    LetGo {
        /// Of which slot.
        part: Part,
        /// Which objects.
        objects: Vec<String>,
    },
    /// The demands changed.
    Demanded {
        /// To this.
        demands: Demands,
    },
    /// A step is about to be done. Written before its effect.
    Intent {
        /// At which part.
        part: Part,
        /// What, with all that is sent.
        act: Act,
        /// Why.
        reason: String,
    },
    /// What came of it. Written after its effect.
    Outcome {
        /// At which part.
        part: Part,
        /// What was done.
        act: Act,
        /// How it ended.
        outcome: Outcome,
    },
    /// The engine that intended a step ended before its outcome was written: nobody knows what came of it.
    Doubted {
        /// At which part.
        part: Part,
        /// What was intended.
        verb: String,
    },
    /// An object that the journal did not know was found and is ours by its tag.
    Adopted {
        /// Of which part.
        part: Part,
        /// Which object.
        object: String,
        /// Machine, volume or snapshot.
        kind: ObjectKind,
        /// Its generation, as tagged.
        generation: Generation,
        /// Its life, as tagged (volumes and snapshots).
        life: Life,
    },
    /// A person agreed that adopted things may be ended.
    AdoptionConfirmed,
    /// An object that the journal knew is believed gone.
    Gone {
        /// Of which part.
        part: Part,
        /// Which object.
        object: String,
    },
    /// A part waits for a person.
    Suspended {
        /// Which part.
        part: Part,
        /// Why.
        why: String,
    },
    /// An agent told that it made a resource right, or gave it up.
    Healed {
        /// Of which node.
        part: Part,
        /// By which machine of the slot.
        generation: Generation,
        /// What.
        heal: Heal,
    },
    /// Replicas were given a place, or lost theirs.
    Seated {
        /// Each with its place now.
        #[serde(with = "pairs")]
        seats: BTreeMap<SlotId, Option<Seated>>,
    },
    /// How far the change of a service to another version is.
    Changing {
        /// Which service.
        service: CloudId,
        /// What is remembered of it from now on.
        memory: Box<ServiceMemory>,
    },
    /// A person said that a node takes no more replicas, or does again.
    Cordoned {
        /// Which node.
        slot: SlotId,
        /// Whether it takes none.
        on: bool,
    },
    /// A person said that a machine is dead, although nobody can see that it is.
    ConfirmedDead {
        /// Which.
        machine: MachineId,
    },
    /// The agent told which filesystem is on a volume.
    FilesystemSeen {
        /// Which mount.
        part: Part,
        /// On which volume.
        volume: VolumeId,
        /// Its uuid.
        uuid: String,
    },
    /// The agent reported a clean unmount.
    UnmountSeen {
        /// Which mount.
        part: Part,
        /// Of which volume.
        volume: VolumeId,
        /// In which life.
        life: Life,
    },
}

/// What kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A machine.
    Machine,
    /// A volume.
    Volume,
    /// A snapshot.
    Snapshot,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Taken; the effect will be seen.
    Accepted {
        /// The object that it made, when it made one.
        made: Option<String>,
    },
    /// The token answered with something that is over: its number is used up.
    UsedUp,
    /// Nothing happened; it is tried again.
    Failed {
        /// Why.
        why: String,
        /// Not before this long.
        after: Option<Span>,
    },
    /// Nothing happened, and trying again is likely to end the same: it counts twice.
    Refused {
        /// Why.
        why: String,
    },
    /// Nobody knows whether it happened.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What the records fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// What is demanded, as recorded here.
    pub demands: Demands,
    /// By slot.
    #[serde(with = "pairs")]
    pub slots: BTreeMap<SlotId, SlotMemory>,
    /// Steps that failed or are in doubt.
    #[serde(with = "pairs")]
    pub troubles: BTreeMap<(Part, String), Trouble>,
    /// Intents without an outcome.
    #[serde(with = "pairs")]
    pub open: BTreeMap<(Part, String), Time>,
    /// Every cloud that was ever in the file of this cluster.
    pub clouds: BTreeSet<CloudId>,
    /// Objects known by adoption only.
    pub adopted: BTreeSet<String>,
    /// How many runs there were.
    pub runs: u64,
    /// The newest heal of each node that was recorded: of which machine, and its number.
    #[serde(default, with = "pairs")]
    pub heals: BTreeMap<SlotId, (Generation, u64)>,
    /// Where replicas are.
    #[serde(default, with = "pairs")]
    pub seats: BTreeMap<SlotId, Seated>,
    /// By the identity of the service.
    #[serde(default, with = "pairs")]
    pub services: BTreeMap<CloudId, ServiceMemory>,
    /// Nodes that take no more replicas.
    #[serde(default)]
    pub cordoned: BTreeSet<SlotId>,
    /// Machines of which a person said that they are dead.
    #[serde(default)]
    pub dead: BTreeSet<MachineId>,
}

/// A step that failed or is in doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// How often in a row.
    pub attempts: u32,
    /// When it last failed.
    pub at: Time,
    /// Not tried again before.
    pub not_before: Time,
    /// Why, the last time.
    pub why: String,
    /// It is not known whether it happened.
    pub in_doubt: bool,
}

/// The first pause after a failure. A provider that hiccups is asked again soon.
const FIRST_PAUSE: Span = Span::secs(1);
/// The longest pause: a person who mended something does not wait longer than this.
const LONGEST_PAUSE: Span = Span::secs(60);

impl View {
    /// Folds one record in.
    pub fn take(&mut self, at: Time, record: &Record) {
        match record {
            Record::RunOpened { .. } => {
                self.runs += 1;
                // A person who asks again wants it tried again: budgets start anew, doubts stay.
                for trouble in self.troubles.values_mut() {
                    trouble.attempts = 0;
                    trouble.not_before = Time(0);
                }
                self.troubles.retain(|_, trouble| trouble.in_doubt);
            }
            Record::RunClosed { .. } | Record::LeaseTaken { .. } | Record::Suspended { .. } => {}
            Record::Clouds { clouds } => self.clouds.extend(clouds),
            Record::LetGo { part, objects } => objects.iter().for_each(|object| self.forget(part, object)),
            Record::Demanded { demands } => self.demands = demands.clone(),
            Record::Intent { part, act, .. } => {
                self.open.insert((part.clone(), act.verb().to_owned()), at);
                self.slot_mut(part).intend(part.mount.as_ref(), act);
            }
            Record::Outcome { part, act, outcome } => {
                self.open.remove(&(part.clone(), act.verb().to_owned()));
                self.learn(at, part, act, outcome);
            }
            Record::Adopted { part, object, kind, generation, life } => {
                self.adopted.insert(object.clone());
                self.know(part, object, *kind, *generation, *life);
            }
            Record::Doubted { part, verb } => self.doubt(at, part, verb),
            Record::AdoptionConfirmed => self.adopted.clear(),
            Record::Gone { part, object } => self.forget(part, object),
            Record::Healed { part, generation, heal } => {
                self.heals.insert(part.slot, (*generation, heal.number));
            }
            Record::Seated { seats } => {
                for (replica, seat) in seats {
                    match seat {
                        Some(seat) => self.seats.insert(*replica, *seat),
                        None => self.seats.remove(replica),
                    };
                }
            }
            Record::Changing { service, memory } => {
                self.services.insert(*service, (**memory).clone());
            }
            Record::Cordoned { slot, on: true } => _ = self.cordoned.insert(*slot),
            Record::Cordoned { slot, on: false } => _ = self.cordoned.remove(slot),
            Record::ConfirmedDead { machine } => _ = self.dead.insert(machine.clone()),
            Record::FilesystemSeen { part, volume, uuid } => {
                if let Some(mount) = self.mount(part) {
                    mount.filesystem = Some((volume.clone(), uuid.clone()));
                    mount.written = true;
                }
            }
            Record::UnmountSeen { part, volume, life } => {
                if let Some(mount) = self.mount(part) {
                    mount.clean = Some((volume.clone(), *life));
                    mount.written = true;
                }
            }
        }
    }

    fn doubt(&mut self, at: Time, part: &Part, verb: &str) {
        let key = (part.clone(), verb.to_owned());
        self.open.remove(&key);
        if verb == "attach"
            && let Some(mount) = self.mount(part)
        {
            mount.needs = mount.needs.max(mount.attaching.take());
        }
        let trouble = self.troubles.entry(key).or_default();
        trouble.in_doubt = true;
        trouble.at = at;
        trouble.why = "the engine ended in the middle of it".to_owned();
    }

    /// What is remembered of a slot.
    pub fn slot(&self, slot: SlotId) -> Option<&SlotMemory> {
        self.slots.get(&slot)
    }

    /// The trouble of a verb at a part, if any.
    pub fn trouble(&self, part: &Part, verb: &str) -> Option<&Trouble> {
        // The map is nearly always empty; the key is only built when it is not.
        if self.troubles.is_empty() {
            return None;
        }
        self.troubles.get(&(part.clone(), verb.to_owned()))
    }

    fn slot_mut(&mut self, part: &Part) -> &mut SlotMemory {
        self.slots.entry(part.slot).or_default()
    }

    fn mount(&mut self, part: &Part) -> Option<&mut MountMemory> {
        self.slot_mut(part).mount(part.mount.as_ref())
    }

    fn learn(&mut self, at: Time, part: &Part, act: &Act, outcome: &Outcome) {
        let key = (part.clone(), act.verb().to_owned());
        if !matches!(outcome, Outcome::Accepted { .. }) {
            self.undone(part, act, matches!(outcome, Outcome::Unknown { .. }));
        }
        let (why, after, in_doubt, weight) = match outcome {
            Outcome::Accepted { made } => {
                self.troubles.remove(&key);
                return self.slot_mut(part).accept(part.mount.as_ref(), act, made.as_deref());
            }
            Outcome::UsedUp => {
                self.troubles.remove(&key);
                return self.used_up(part, act);
            }
            Outcome::Failed { why, after } => (why, *after, false, 1),
            Outcome::Refused { why } => (why, None, false, 2),
            Outcome::Unknown { why } => (why, None, true, 1),
        };
        let trouble = self.troubles.entry(key).or_default();
        trouble.attempts += weight;
        trouble.at = at;
        trouble.why.clone_from(why);
        trouble.in_doubt = in_doubt;
        let doubled = FIRST_PAUSE.0 << (trouble.attempts - 1).min(10);
        let pause = Span(doubled.min(LONGEST_PAUSE.0)).max(after.unwrap_or_default());
        // Half of the pause is spread by the part's own number, so that a thousand parts that failed together
        // do not come back together; no randomness is needed for that.
        let spread = (u64::from(part.slot.index) * 7919 + u64::from(trouble.attempts) * 104_729) % 1000;
        trouble.not_before = at + Span(pause.0 / 2 + pause.0 / 2 * spread / 1000);
    }

    /// A step that did not happen, or may not have.
    fn undone(&mut self, part: &Part, act: &Act, in_doubt: bool) {
        if !matches!(act, Act::Attach { .. } | Act::DeleteVolume { .. }) {
            return;
        }
        let Some(mount) = self.mount(part) else { return };
        match act {
            // It may have been attached, and so written to: nothing older will do from now on.
            Act::Attach { .. } if in_doubt => mount.needs = mount.needs.max(mount.attaching.take()),
            Act::Attach { .. } => mount.attaching = None,
            Act::DeleteVolume { .. } if !in_doubt => mount.deleting = None,
            // In doubt: should the volume turn out to be gone, this is how.
            _ => {}
        }
    }

    /// A number that was used before proves that something of the part was known once: what holds data must
    /// not begin blank then.
    fn used_up(&mut self, part: &Part, act: &Act) {
        match (act, self.mount(part)) {
            (Act::Seal { attempt, .. }, Some(mount)) => {
                mount.seal_attempt = mount.seal_attempt.max(*attempt + 1);
            }
            (Act::CreateVolume { life, .. }, Some(mount)) => mount.needs = mount.needs.max(Some(*life)),
            _ => {}
        }
    }

    fn know(&mut self, part: &Part, object: &str, kind: ObjectKind, generation: Generation, life: Life) {
        if kind == ObjectKind::Machine {
            let slot = self.slot_mut(part);
            slot.generation = slot.generation.max(generation);
            slot.machines.insert(MachineId::new(object));
            return;
        }
        let Some(mount) = self.mount(part) else { return };
        mount.generation = mount.generation.max(generation);
        mount.life = mount.life.max(life);
        mount.needs = mount.needs.max(Some(life));
        mount.written |= life > 0;
        match kind {
            ObjectKind::Volume => mount.volumes.insert(VolumeId::new(object)),
            _ => mount.snapshots.insert(SnapshotId::new(object)),
        };
    }

    fn forget(&mut self, part: &Part, object: &str) {
        self.adopted.remove(object);
        self.dead.retain(|machine| machine.as_str() != object);
        self.slot_mut(part).forget(object);
    }
}
