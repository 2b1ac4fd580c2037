//! What is kept right on one node: the kinds of resources, what each means, and when one is right.
//!
//! A kind has two halves. The pure one is a file here: the spec as people write it, its checks, and
//! `compare(spec, seen)`, which says what differs in words and what is to change. The half with effects, how one
//! looks and how one changes, is a file of the same name in the crate `resources`.
//!
//! Reading order: [`Kind`] and [`Verdict`], `list` (the kinds, and how a list of resources is written), one kind such as
//! [`file`], then [`order`] (what waits for what) and [`outcome`] (what is said of it afterwards).
//!
//! Text fields may hold expressions; they are rendered on the node. `compare` sees rendered specs only.

pub mod archive;
pub mod authorized_key;
mod claims;
pub mod command;
pub mod cron;
pub mod declaration;
pub mod directory;
pub mod file;
pub mod git;
pub mod group;
pub mod line;
pub mod link;
mod list;
pub mod mount;
pub mod order;
pub mod outcome;
pub mod package;
pub mod plugin;
pub mod references;
pub mod repo;
mod text;
pub mod unit;
pub mod user;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::path::Place;

pub(crate) use claims::Claims;
pub use declaration::Care;
pub use list::{Declaration, Resource};
pub use order::{Reach, Thing};
pub use outcome::{Heal, Pause, Row, Standing};

/// What every kind of resource is.
pub trait Kind {
    /// As the ideal file names it: `file`.
    const NAME: &'static str;
    /// Whether it needs a whole machine: such a kind is refused where nodes are folders of this one.
    const NEEDS_MACHINE: bool;
    /// What a look at the thing finds.
    type Seen;
    /// What is to be done to it.
    type Change;

    /// What tells one thing of this kind from another: a path, a name.
    fn key(&self) -> String;
    /// What is wrong with the spec itself, all of it. `place` is that of the spec.
    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>);
    /// What of it others may need.
    fn provides(&self) -> Vec<Thing> {
        Vec::new()
    }
    /// What it cannot be right without, where somebody provides it.
    fn uses(&self) -> Vec<Thing> {
        Vec::new()
    }
    /// How far its effects reach.
    fn reach(&self) -> Reach {
        Reach::Own
    }
    /// Whether what is seen is what is wanted.
    fn compare(&self, seen: &Self::Seen) -> Verdict<Self::Change>;
}

/// What a comparison comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<C> {
    /// It is as wanted.
    Right,
    /// It is not, and this would make it so.
    Wrong(Wrong<C>),
    /// It is not, and nothing that is safe would make it so: why, in one line.
    Refused(String),
}

/// How a thing differs from what is wanted, and what makes it right.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong<C> {
    /// Every difference.
    pub differences: Vec<Difference>,
    /// The old and the new text, when both are text that may be shown.
    pub texts: Option<(String, String)>,
    /// What is to be done.
    pub change: C,
}

impl<C> Wrong<C> {
    /// One difference.
    pub fn one(difference: Difference, change: C) -> Verdict<C> {
        Verdict::Wrong(Wrong { differences: vec![difference], texts: None, change })
    }
    /// In one line: `mode was 0600, wanted 0644; owner was root, wanted www`.
    pub fn why(&self) -> String {
        why(&self.differences)
    }
}

/// Differences in one line.
pub fn why(differences: &[Difference]) -> String {
    let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// One thing that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Difference {
    /// What of the thing: `mode`, `content`; empty for the thing as a whole.
    pub what: String,
    /// As it is: `0600`, `missing`.
    pub before: String,
    /// As it is wanted.
    pub after: String,
}

impl Difference {
    /// `what` is `before` and wanted as `after`.
    pub fn new(what: &str, before: impl Into<String>, after: impl Into<String>) -> Difference {
        Difference { what: what.to_owned(), before: before.into(), after: after.into() }
    }
    /// The thing as a whole is not there.
    pub fn missing() -> Difference {
        Difference::new("", "missing", "present")
    }
    /// The thing as a whole is there and should not be.
    pub fn surplus() -> Difference {
        Difference::new("", "present", "absent")
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.what.is_empty() { "it" } else { &self.what };
        write!(f, "{what} was {}, wanted {}", self.before, self.after)
    }
}

/// Whether a thing is to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is to be there.
    #[default]
    Present,
    /// It is to be gone.
    Absent,
}

impl Resource {
    /// What people call it, and what `after`, `before` and `notifies` name: `file /etc/motd`.
    pub fn label(&self) -> String {
        format!("{} {}", self.kind(), self.key())
    }
}
