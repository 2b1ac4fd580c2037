//! What a part waits for: every silence has a name.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FactKind, Hook};
use crate::id::{MachineId, SlotId, VolumeId};
use crate::time::Time;

/// What is waited for. Every silence has one of these names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Something that was set going is under way.
    Under {
        /// What, in words: "machine m-3 is starting".
        what: String,
    },
    /// A step of the same slot comes first.
    Fact {
        /// Which fact is missing.
        fact: FactKind,
    },
    /// The provider could not be seen whole.
    Sight {
        /// Why.
        why: String,
    },
    /// The journal knows an object that is not seen; absence is not believed yet.
    NotSeen {
        /// Which object.
        object: String,
    },
    /// A call came to an unknown end; it is looked into before anything else.
    InDoubt {
        /// Which verb.
        verb: String,
        /// Until when absence is not believed.
        until: Time,
    },
    /// A step failed and is tried again later.
    BackOff {
        /// Which verb.
        verb: String,
        /// When.
        until: Time,
        /// Why it failed.
        why: String,
    },
    /// The agent does not answer.
    Agent {
        /// Why.
        why: String,
    },
    /// The node is not right yet.
    Converging {
        /// What is not, each with its reason.
        problems: Vec<String>,
    },
    /// No node can carry the replica.
    Unplaced {
        /// Which constraint keeps it from them.
        why: String,
    },
    /// Another slot goes first.
    Turn {
        /// Which.
        slot: SlotId,
    },
    /// Person: a step was tried as often as the policy allows.
    Spent {
        /// Which verb.
        verb: String,
        /// Why it failed the last time.
        why: String,
    },
    /// Person: a step ends something and nobody agreed to it.
    Consent {
        /// Which verb.
        verb: String,
        /// What it ends, in words.
        what: String,
    },
    /// Person: a hook refused.
    Hook {
        /// Which.
        hook: Hook,
        /// What it said.
        output: String,
    },
    /// Something uses the mount.
    Busy {
        /// What.
        by: String,
    },
    /// Person: the file protects it.
    Protected,
    /// Person: what the mount should be made of is nowhere to be seen.
    LostData {
        /// What is missing.
        why: String,
        /// What could be used instead, newest first.
        candidates: Vec<String>,
    },
    /// Person: something of an unknown name lies beside a new mount.
    Unclaimed {
        /// The names found.
        names: Vec<String>,
    },
    /// Person: its volume is attached to something that is not its node.
    AttachedElsewhere {
        /// Which volume.
        volume: VolumeId,
        /// To what.
        machine: MachineId,
    },
    /// Person: the provider says that something is wrong with it.
    Broken {
        /// What.
        what: String,
    },
}

impl Cause {
    /// Whether nothing will happen until a person acts.
    pub fn needs_person(&self) -> bool {
        matches!(
            self,
            Cause::Spent { .. }
                | Cause::Consent { .. }
                | Cause::Hook { .. }
                | Cause::Protected
                | Cause::LostData { .. }
                | Cause::Unclaimed { .. }
                | Cause::AttachedElsewhere { .. }
                | Cause::Broken { .. }
        )
    }
    /// Its stable name, for patience and for `ideal explain`.
    pub fn slug(&self) -> &'static str {
        match self {
            Cause::Under { .. } => "under-way",
            Cause::Fact { .. } => "earlier-step",
            Cause::Sight { .. } => "cannot-see",
            Cause::NotSeen { .. } => "not-seen",
            Cause::InDoubt { .. } => "in-doubt",
            Cause::BackOff { .. } => "back-off",
            Cause::Agent { .. } => "agent-silent",
            Cause::Converging { .. } => "converging",
            Cause::Unplaced { .. } => "unplaced",
            Cause::Turn { .. } => "turn",
            Cause::Spent { .. } => "attempts-spent",
            Cause::Consent { .. } => "consent",
            Cause::Hook { .. } => "hook-refused",
            Cause::Busy { .. } => "busy",
            Cause::Protected => "protected",
            Cause::LostData { .. } => "lost-data",
            Cause::Unclaimed { .. } => "unclaimed",
            Cause::AttachedElsewhere { .. } => "attached-elsewhere",
            Cause::Broken { .. } => "broken",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Under { what } => write!(f, "{what}"),
            Cause::Fact { fact } => write!(f, "waits until it is {}", fact.words()),
            Cause::Sight { why } => write!(f, "could not see the provider: {why}"),
            Cause::NotSeen { object } => write!(f, "{object} is known but not seen; not seen is not gone"),
            Cause::InDoubt { verb, .. } => write!(f, "not known whether `{verb}` happened; looking"),
            Cause::BackOff { verb, why, .. } => write!(f, "`{verb}` failed and is tried again: {why}"),
            Cause::Agent { why } => write!(f, "the agent does not answer: {why}"),
            Cause::Converging { problems } if problems.is_empty() => {
                f.write_str("the node is being made right")
            }
            Cause::Converging { problems } => write!(f, "not right yet: {}", problems.join("; ")),
            Cause::Unplaced { why } => write!(f, "no node can carry it: {why}"),
            Cause::Turn { slot } => write!(f, "one at a time: [{}] goes first", slot.index),
            Cause::Spent { verb, why } => write!(f, "`{verb}` failed too often: {why}"),
            Cause::Consent { what, .. } => write!(f, "nobody agreed to this yet: {what}"),
            Cause::Hook { hook, output } => write!(f, "the `{}` hook refused: {output}", hook.word()),
            Cause::Busy { by } => write!(f, "in use by {by}"),
            Cause::Protected => f.write_str("the file says `protect: true`"),
            Cause::LostData { why, candidates } if candidates.is_empty() => write!(f, "{why}"),
            Cause::LostData { why, candidates } => write!(f, "{why}; there is {}", candidates.join(", ")),
            Cause::Unclaimed { names } => write!(
                f,
                "{} lies beside this new mount: is it the same under an older name? write `was:`",
                names.join(", ")
            ),
            Cause::AttachedElsewhere { volume, machine } => {
                write!(f, "{volume} is attached to {machine}, which is not its node; it is never taken away")
            }
            Cause::Broken { what } => write!(f, "{what}"),
        }
    }
}
