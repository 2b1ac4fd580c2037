//! A file with this content, mode and owner; or one that is to be gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Thing, above, accounts};
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::ideal::document::Argv;
use crate::path::Place;

/// A file. Its content is put in place whole: at each moment there is the old one or the new one.
///
/// ```yaml
/// - file:
///     path: /etc/motd
///     content: "You are on {{ node.name }}.\n"
///     mode: "0644"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Absolute.
    pub path: String,
    /// What is in it. Without `content`, `template` and `source` a file that is missing is made empty, and the
    /// content of one that is there is left alone; a link in its place is then left too, and is a mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The name of a template in the recipe's folder `templates`: rendered, it is the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The name of a file in the recipe's folder `files`, copied as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Permission bits, in octal text: "0644".
    #[serde(default = "file_mode")]
    pub mode: String,
    /// Whose it is, by name or number. Left alone when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Which group it belongs to, by name or number. Left alone when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A program that must agree before a new content goes live; `%s` stands for the path of the new file:
    /// `[nginx, -t, -c, "%s"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Argv>,
    /// Whether what a new content replaces is kept beside it, as `.NAME.ideal-old`. It is no more readable than the
    /// new one.
    #[serde(default)]
    pub backup: bool,
    /// `present`, or `absent`: the file is removed.
    #[serde(default)]
    pub state: Presence,
}

fn file_mode() -> String {
    "0644".to_owned()
}

/// What is at the path of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum FileSeen {
    /// Nothing.
    Absent,
    /// A symbolic link.
    Link,
    /// A directory.
    Directory,
    /// A device, socket or pipe.
    Other,
    /// A file.
    File {
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
        /// Its content.
        content: ContentSeen,
    },
}

/// The content of a file, compared with the wanted one.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentSeen {
    /// As wanted, or none is wanted.
    Same,
    /// Another: a word on the old and the new one, and both texts when both are short text.
    Other {
        /// `12 bytes, 3f2a..`
        before: String,
        /// `20 bytes, 88c0..`
        after: String,
        /// Both.
        texts: Option<(String, String)>,
    },
}

/// What is to be done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// Put the whole content there, with mode and owner.
    Put,
    /// Set mode, owner and group only.
    Adjust,
    /// Remove it.
    Remove,
}

impl Kind for FileSpec {
    const NAME: &'static str = "file";
    const NEEDS_MACHINE: bool = false;
    type Seen = FileSeen;
    type Change = FileChange;

    fn key(&self) -> String {
        self.path.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::path(&self.path, &place.key("path"), "ideal/bad-path", found);
        text::mode(&self.mode, &place.key("mode"), found);
        let contents = [
            ("content", self.content.is_some()),
            ("template", self.template.is_some()),
            ("source", self.source.is_some()),
        ];
        text::one_of(&contents, false, place, found);
        for (key, account) in [("owner", &self.owner), ("group", &self.group)] {
            if let Some(account) = account {
                text::account(account, &place.key(key), found);
            }
        }
        if let Some(validate) = &self.validate {
            let place = place.key("validate");
            text::argv(validate, &place, found);
            if !validate.0.iter().any(|word| word.contains("%s")) {
                let message = "the program is not told which file to look at";
                let help = "write `%s` where the path of the new file belongs";
                found.push(Diagnostic::error("ideal/bad-check", place.path(), message).help(help));
            }
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.path.clone())]
    }
    fn uses(&self) -> Vec<Thing> {
        above(&self.path).into_iter().chain(accounts(self.owner.as_deref(), self.group.as_deref())).collect()
    }

    fn compare(&self, seen: &FileSeen) -> Verdict<FileChange> {
        if self.state == Presence::Absent {
            return match seen {
                FileSeen::Absent => Verdict::Right,
                FileSeen::Directory => {
                    Verdict::Refused("a directory is in its place; it is not removed as a file".to_owned())
                }
                _ => Wrong::one(Difference::surplus(), FileChange::Remove),
            };
        }
        match seen {
            FileSeen::Absent => Wrong::one(Difference::missing(), FileChange::Put),
            FileSeen::Link if [&self.content, &self.template, &self.source].iter().all(|one| one.is_none()) => {
                Verdict::Refused(
                    "a link is in its place, and what is to be in the file is not said; declare the path that the \
                     link leads to, or the `content`"
                        .to_owned(),
                )
            }
            FileSeen::Link => Wrong::one(Difference::new("", "a link", "a file"), FileChange::Put),
            FileSeen::Directory => Verdict::Refused("a directory is in its place".to_owned()),
            FileSeen::Other => Verdict::Refused("something that is no file is in its place".to_owned()),
            FileSeen::File { mode, owner, owner_right, group, group_right, content } => {
                let mut differences = Vec::new();
                let mut shown = None;
                let mut change = FileChange::Adjust;
                if let ContentSeen::Other { before, after, texts } = content {
                    differences.push(Difference::new("content", before, after));
                    shown.clone_from(texts);
                    change = FileChange::Put;
                }
                attributes(
                    &mut differences,
                    (*mode, &self.mode),
                    (owner, *owner_right, self.owner.as_deref()),
                    (group, *group_right, self.group.as_deref()),
                );
                if differences.is_empty() {
                    return Verdict::Right;
                }
                Verdict::Wrong(Wrong { differences, texts: shown, change })
            }
        }
    }
}

/// What differs of mode, owner and group. Of the latter two: what is seen, whether it is right, what is wanted.
pub(super) fn attributes(
    differences: &mut Vec<Difference>,
    (mode, wanted): (u32, &str),
    (owner, owner_right, wanted_owner): (&str, bool, Option<&str>),
    (group, group_right, wanted_group): (&str, bool, Option<&str>),
) {
    if text::bits(wanted).is_some_and(|bits| bits != mode) {
        differences.push(Difference::new("mode", format!("{mode:04o}"), format!("{wanted:0>4}")));
    }
    if !owner_right {
        differences.push(Difference::new("owner", owner, wanted_owner.unwrap_or_default()));
    }
    if !group_right {
        differences.push(Difference::new("group", group, wanted_group.unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_by_content_only() {
        let refused = |text: &str| {
            let spec: FileSpec = serde_json::from_str(text).unwrap();
            matches!(spec.compare(&FileSeen::Link), Verdict::Refused(_))
        };
        assert!(refused(r#"{"path": "/f"}"#));
        for wanted in [r#""content": """#, r#""template": "t""#, r#""source": "s""#, r#""state": "absent""#] {
            assert!(!refused(&format!(r#"{{"path": "/f", {wanted}}}"#)), "{wanted}");
        }
    }
}
