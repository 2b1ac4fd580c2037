//! A directory with this mode and owner; or one that is to be gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::attributes;
use super::order::{Thing, above, accounts};
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A directory. The directories above it are made with it.
///
/// ```yaml
/// - directory: {path: /srv/www, mode: "0755"}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectorySpec {
    /// Absolute.
    pub path: String,
    /// Permission bits, in octal text: "0755".
    #[serde(default = "directory_mode")]
    pub mode: String,
    /// Whose it is, by name or number. Left alone when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Which group it belongs to, by name or number. Left alone when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `present`, or `absent`: the directory is removed if it is empty.
    #[serde(default)]
    pub state: Presence,
    /// With `state: absent`: whether it is removed with all that is in it. A filesystem that is mounted in it is
    /// never touched.
    #[serde(default)]
    pub with_content: bool,
}

fn directory_mode() -> String {
    "0755".to_owned()
}

/// What is at the path of a directory.
#[derive(Clone, Debug, PartialEq)]
pub enum DirectorySeen {
    /// Nothing.
    Absent,
    /// Something else.
    Other,
    /// The place of a mount: the volume's own root, with the bits that its content brought.
    Mount,
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Its owner, by name, or number where it has no name.
        owner: String,
        /// Whether the owner is the one that is wanted; true when none is.
        owner_right: bool,
        /// Its group.
        group: String,
        /// Whether the group is the one that is wanted; true when none is.
        group_right: bool,
        /// Whether nothing is in it.
        empty: bool,
    },
}

/// What is to be done to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryChange {
    /// Make it.
    Make,
    /// Set mode, owner and group.
    Adjust,
    /// Remove it, with all in it when the spec says so.
    Remove,
}

impl Kind for DirectorySpec {
    const NAME: &'static str = "directory";
    const NEEDS_MACHINE: bool = false;
    type Seen = DirectorySeen;
    type Change = DirectoryChange;

    fn key(&self) -> String {
        self.path.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        let good = text::path(&self.path, &place.key("path"), "ideal/bad-path", found);
        text::mode(&self.mode, &place.key("mode"), found);
        for (key, account) in [("owner", &self.owner), ("group", &self.group)] {
            if let Some(account) = account {
                text::account(account, &place.key(key), found);
            }
        }
        let gone = self.state == Presence::Absent && self.with_content;
        if good && gone && self.path.matches('/').count() < 2 && !text::has_expression(&self.path) {
            let message = format!("{} with all that is in it is most of a system", self.path);
            let help = "name a directory deeper than the root's own";
            found.push(Diagnostic::error("ideal/too-much", place.key("path").path(), message).help(help));
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.path.clone())]
    }
    fn uses(&self) -> Vec<Thing> {
        above(&self.path).into_iter().chain(accounts(self.owner.as_deref(), self.group.as_deref())).collect()
    }

    fn compare(&self, seen: &DirectorySeen) -> Verdict<DirectoryChange> {
        let absent = self.state == Presence::Absent;
        match seen {
            DirectorySeen::Absent if absent => Verdict::Right,
            DirectorySeen::Absent => Wrong::one(Difference::missing(), DirectoryChange::Make),
            DirectorySeen::Other => {
                Verdict::Refused("something that is no directory is in its place".to_owned())
            }
            DirectorySeen::Mount if absent => Verdict::Refused("a filesystem is mounted there".to_owned()),
            DirectorySeen::Mount => Verdict::Right,
            DirectorySeen::Directory { empty, .. } if absent && !empty && !self.with_content => {
                Verdict::Refused(
                    "it is not empty; `with_content: true` would remove what is in it".to_owned(),
                )
            }
            DirectorySeen::Directory { .. } if absent => {
                Wrong::one(Difference::surplus(), DirectoryChange::Remove)
            }
            DirectorySeen::Directory { mode, owner, owner_right, group, group_right, .. } => {
                let mut differences = Vec::new();
                attributes(
                    &mut differences,
                    (*mode, &self.mode),
                    (owner, *owner_right, self.owner.as_deref()),
                    (group, *group_right, self.group.as_deref()),
                );
                if differences.is_empty() {
                    return Verdict::Right;
                }
                Verdict::Wrong(Wrong { differences, texts: None, change: DirectoryChange::Adjust })
            }
        }
    }
}
