//! A checkout of a git repository.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Reach, Thing, above};
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;
use crate::time::Span;

/// A checkout of a git repository at one revision. It appears whole: until its first checkout is complete, nothing
/// is at its path.
///
/// ```yaml
/// - command: {run: [git, init, --bare, --initial-branch=main, /srv/site.git], creates: /srv/site.git/HEAD}
/// - git: {repo: /srv/site.git, at: /srv/site, state: absent}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitSpec {
    /// Where it is fetched from: an address or a path on the node.
    pub repo: String,
    /// Absolute path of the checkout.
    pub at: String,
    /// A branch, tag or whole commit. Else what the repository itself calls its head. Of a branch each look asks
    /// the repository where it is; a tag or a commit stays what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whose it is, and who fetches it, with that user's keys. Else the agent's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether changes that somebody made in the checkout are thrown away, and files that git does not know. Else
    /// changes are a reason to stop, and other files are left alone.
    #[serde(default)]
    pub overwrite: bool,
    /// How long a fetch may take. Default 10m.
    #[serde(default = "ten_minutes")]
    pub timeout: Span,
    /// `present`, or `absent`: the checkout is removed, unless it holds changes, files that git does not know, or
    /// commits or a stash that its repository does not have, and `overwrite` is not said.
    #[serde(default)]
    pub state: Presence,
}

fn ten_minutes() -> Span {
    Span::mins(10)
}

/// What is at the path of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitSeen {
    /// Nothing, or an empty directory.
    Absent,
    /// Something that is no checkout.
    Other,
    /// A checkout.
    Checkout {
        /// Where it is fetched from.
        origin: String,
        /// The commit that is checked out; none when it never got so far.
        head: Option<String>,
        /// The commit that the wanted revision means now; none when nothing is wanted, or nobody could say.
        wanted: Option<String>,
        /// Files that somebody changed, some of them; where it is to be gone, also files that git does not know.
        changed: Vec<String>,
        /// Commits that its repository does not have, some of them. Looked for only where it is to be gone.
        only_here: Vec<String>,
        /// Whether a checkout of ours was broken off, so that what is changed was not changed by people.
        broken_off: bool,
    },
}

/// What is to be done to a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitChange {
    /// Make it.
    Clone,
    /// Fetch, and check the wanted commit out.
    Move,
    /// Remove it.
    Remove,
}

impl GitSpec {
    /// Whether the revision is one commit for ever.
    pub fn is_a_commit(&self) -> bool {
        self.revision.as_deref().is_some_and(is_commit)
    }
}

/// Whether a text is the whole name of a commit.
pub fn is_commit(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

impl Kind for GitSpec {
    const NAME: &'static str = "git";
    const NEEDS_MACHINE: bool = false;
    type Seen = GitSeen;
    type Change = GitChange;

    fn key(&self) -> String {
        self.at.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::path(&self.at, &place.key("at"), "ideal/bad-path", found);
        for (key, one) in [("repo", Some(&self.repo)), ("revision", self.revision.as_ref())] {
            let Some(one) = one else { continue };
            let place = place.key(key);
            text::argument(one, &place, found);
            text::not_a_flag(one, &place, if key == "repo" { "an address" } else { "a revision" }, found);
            let wrong = one.is_empty()
                || one.contains(char::is_whitespace)
                || one.contains("..") && key == "revision";
            if wrong && !text::has_expression(one) {
                let message = format!("`{}` cannot be the `{key}` of a checkout", text::short(one));
                let help = "write an address such as https://example.org/site.git; a branch, a tag or a whole commit";
                found.push(Diagnostic::error("ideal/bad-git", place.path(), message).help(help));
            }
        }
        // `ext::` and its like start a program of the author of the address.
        if self.repo.contains("::") && !text::has_expression(&self.repo) {
            let message = "an address with `::` makes git start a program";
            let place = place.key("repo");
            found.push(
                Diagnostic::error("ideal/bad-git", place.path(), message).help("use https, ssh or a path"),
            );
        }
        if let Some(user) = &self.user {
            text::account(user, &place.key("user"), found);
        }
        if self.timeout.0 == 0 {
            found.push(text::zero(&place.key("timeout"), "a fetch without time can never succeed"));
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.at.clone())]
    }
    fn uses(&self) -> Vec<Thing> {
        let user = self.user.iter().map(|user| Thing::User(user.clone()));
        let repo = self.repo.starts_with('/').then(|| Thing::Path(self.repo.clone()));
        user.chain(repo).chain(above(&self.at)).collect()
    }
    fn reach(&self) -> Reach {
        Reach::Anything
    }

    fn compare(&self, seen: &GitSeen) -> Verdict<GitChange> {
        let absent = self.state == Presence::Absent;
        let (origin, head, wanted, changed, only_here, broken_off) = match seen {
            GitSeen::Absent if absent => return Verdict::Right,
            GitSeen::Absent => return Wrong::one(Difference::missing(), GitChange::Clone),
            GitSeen::Other => {
                return Verdict::Refused("something that is no checkout of git is in its place".to_owned());
            }
            GitSeen::Checkout { origin, head, wanted, changed, only_here, broken_off } => {
                (origin, head, wanted, changed, only_here, *broken_off)
            }
        };
        if !changed.is_empty() && !self.overwrite && !broken_off {
            let files = changed.join(", ");
            return Verdict::Refused(format!(
                "somebody changed {files}; commit or undo that, or say `overwrite: true` to throw it away"
            ));
        }
        if absent {
            if !only_here.is_empty() && !self.overwrite {
                let commits: Vec<&str> = only_here.iter().map(|commit| short(commit)).collect();
                return Verdict::Refused(format!(
                    "commits or a stash are in no branch of its repository: {}; push them, or say `overwrite: true` \
                     to throw them away",
                    commits.join(", ")
                ));
            }
            return Wrong::one(Difference::surplus(), GitChange::Remove);
        }
        let mut differences = Vec::new();
        if *origin != self.repo {
            differences.push(Difference::new("repo", origin, &self.repo));
        }
        match (head, wanted) {
            (Some(head), Some(wanted)) if head == wanted => {}
            (head, wanted) => {
                let before = head.as_deref().map_or("none", short);
                let after = wanted.as_deref().map(short).or(self.revision.as_deref()).unwrap_or("the head");
                differences.push(Difference::new("commit", before, after));
            }
        }
        if broken_off {
            differences.push(Difference::new("checkout", "broken off", "complete"));
        } else if !changed.is_empty() {
            differences.push(Difference::new(
                "files",
                format!("changed: {}", changed.join(", ")),
                "as committed",
            ));
        }
        if differences.is_empty() {
            return Verdict::Right;
        }
        Verdict::Wrong(Wrong { differences, texts: None, change: GitChange::Move })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_what_is_done() {
        let seen = |head: &str, changed: &[&str], broken_off| GitSeen::Checkout {
            origin: "o".into(),
            head: Some(head.into()),
            wanted: Some("b".into()),
            changed: changed.iter().map(|one| (*one).to_owned()).collect(),
            only_here: if head == "local" { vec![head.into()] } else { Vec::new() },
            broken_off,
        };
        let spec = |extra: &str| -> GitSpec {
            serde_json::from_str(&format!(r#"{{"repo": "o", "at": "/srv/x"{extra}}}"#)).unwrap()
        };
        let gone = r#", "state": "absent""#;
        let over = r#", "overwrite": true"#;
        let gone_over = r#", "state": "absent", "overwrite": true"#;
        let refused = "refused";
        let table = [
            ("", GitSeen::Absent, "clone"),
            ("", GitSeen::Other, refused),
            ("", seen("b", &[], false), ""),
            ("", seen("a", &[], false), "move"),
            ("", seen("b", &["f"], false), refused),
            ("", seen("a", &["f"], true), "move"),
            (over, seen("b", &["f"], false), "move"),
            (gone, GitSeen::Absent, ""),
            (gone, GitSeen::Other, refused),
            (gone, seen("b", &[], false), "remove"),
            (gone, seen("b", &["f"], false), refused),
            (gone, seen("local", &[], false), refused),
            (gone, seen("local", &[], true), refused),
            (gone_over, seen("local", &["f"], false), "remove"),
            ("", seen("local", &[], false), "move"),
        ];
        for (extra, seen, done) in table {
            let said = match spec(extra).compare(&seen) {
                Verdict::Right => "",
                Verdict::Refused(_) => refused,
                Verdict::Wrong(wrong) => match wrong.change {
                    GitChange::Clone => "clone",
                    GitChange::Move => "move",
                    GitChange::Remove => "remove",
                },
            };
            assert_eq!(said, done, "{extra} {seen:?}");
        }
    }
}
