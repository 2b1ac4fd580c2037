//! What is said of a resource after a look at it.

use serde::{Deserialize, Serialize};

use super::Difference;
use crate::time::Time;

/// How a resource stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was as wanted.
    Right,
    /// It was not, and is now.
    Healed,
    /// It is not, and nothing was done: this was only a look, or `care: report`.
    Wrong,
    /// It is not, and is left until a person says so.
    Asks,
    /// It is not, and could not be made so.
    Failed,
    /// It was not touched, since something that it needs is not right.
    Blocked,
    /// Something that it names has no value yet.
    Waiting,
    /// Nobody looked: that would have run a program of yours.
    NotLookedAt,
    /// It does not apply to this node.
    NotHere,
    /// A person said that it is left alone for a time.
    Paused,
    /// It was made right again and again and did not stay so: somebody else wants it otherwise.
    Suspended,
}

impl Standing {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Right => "right",
            Standing::Healed => "healed",
            Standing::Wrong => "wrong",
            Standing::Asks => "asks",
            Standing::Failed => "failed",
            Standing::Blocked => "blocked",
            Standing::Waiting => "waiting",
            Standing::NotLookedAt => "not looked at",
            Standing::NotHere => "not here",
            Standing::Paused => "paused",
            Standing::Suspended => "suspended",
        }
    }
    /// Whether things are as wanted.
    pub fn is_good(self) -> bool {
        matches!(self, Standing::Right | Standing::Healed | Standing::NotHere)
    }
}

/// One resource of one node: a line of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Row {
    /// What people call it: `file /etc/motd`.
    pub label: String,
    /// The recipe that it came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// Why it is not right, or was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What differed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// The difference of texts, line by line, where it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The end of what its program said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How long it took, in microseconds.
    #[serde(default)]
    pub micros: u64,
    /// Whether nobody could look at it, so that it may well be right.
    #[serde(skip)]
    pub unseen: bool,
}

/// A promise to leave something alone for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// These resources only, by label; all of the node when empty.
    pub only: Vec<String>,
    /// It ends by itself at this instant.
    pub until: Time,
    /// Why.
    pub why: String,
    /// Who said so: `anna@laptop`.
    pub who: String,
}

impl Pause {
    /// Whether it holds for a resource at an instant.
    pub fn holds(&self, label: &str, now: Time) -> bool {
        now < self.until && (self.only.is_empty() || self.only.iter().any(|one| one == label))
    }
}

/// Something that was made right, as the node remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heal {
    /// Counts the heals of a node; never used twice.
    pub number: u64,
    /// When.
    pub at: Time,
    /// What.
    pub label: String,
    /// How it stands since: healed, failed or suspended.
    pub standing: Standing,
    /// Why.
    pub why: String,
    /// What differed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}
