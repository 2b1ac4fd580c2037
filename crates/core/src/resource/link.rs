//! A symbolic link that points there; or one that is to be gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Thing, above};
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A symbolic link. A file in its place is replaced, a directory never.
///
/// ```yaml
/// - link: {path: /srv/current, to: releases/1.4}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Absolute.
    pub path: String,
    /// What it points at.
    #[serde(default)]
    pub to: String,
    /// `present`, or `absent`: the link is removed. What is no link is left alone.
    #[serde(default)]
    pub state: Presence,
}

/// What is at the path of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkSeen {
    /// Nothing.
    Absent,
    /// A link that points there.
    Link(String),
    /// A file.
    File,
    /// Something else.
    Other,
}

/// What is to be done to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// Put it there.
    Put,
    /// Remove it.
    Remove,
}

impl Kind for LinkSpec {
    const NAME: &'static str = "link";
    const NEEDS_MACHINE: bool = false;
    type Seen = LinkSeen;
    type Change = LinkChange;

    fn key(&self) -> String {
        self.path.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::path(&self.path, &place.key("path"), "ideal/bad-path", found);
        let to = place.key("to");
        text::argument(&self.to, &to, found);
        if self.to.is_empty() && self.state == Presence::Present {
            found.push(Diagnostic::error("ideal/bad-path", to.path(), "the link points at nothing"));
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.path.clone())]
    }
    fn uses(&self) -> Vec<Thing> {
        above(&self.path).into_iter().collect()
    }

    fn compare(&self, seen: &LinkSeen) -> Verdict<LinkChange> {
        match (self.state, seen) {
            (Presence::Absent, LinkSeen::Absent) => Verdict::Right,
            (Presence::Absent, LinkSeen::Link(_)) => Wrong::one(Difference::surplus(), LinkChange::Remove),
            (Presence::Absent, _) => Verdict::Refused("something that is no link is in its place".to_owned()),
            (Presence::Present, LinkSeen::Absent) => Wrong::one(Difference::missing(), LinkChange::Put),
            (Presence::Present, LinkSeen::Link(to)) if *to == self.to => Verdict::Right,
            (Presence::Present, LinkSeen::Link(to)) => {
                Wrong::one(Difference::new("target", to, &self.to), LinkChange::Put)
            }
            (Presence::Present, LinkSeen::File) => {
                Wrong::one(Difference::new("", "a file", "a link"), LinkChange::Put)
            }
            (Presence::Present, LinkSeen::Other) => {
                Verdict::Refused("something that is neither link nor file is in its place".to_owned())
            }
        }
    }
}
