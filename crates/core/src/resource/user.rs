//! A user of the machine.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Thing, above};
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A user of the machine. What is not said is left as it is, or as the system chooses.
///
/// ```yaml
/// - user: {name: deploy, shell: /bin/bash, groups: [adm]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// The name to log in with.
    pub name: String,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its first group, by name. Else one of its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Groups that it is in beside the first. It is not taken out of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Its home. What is in an old one is moved there, if the old one is a directory of this user's that is no other
    /// account's home too, and nothing is at the new path yet. Else it stays where it is. To another filesystem it is
    /// copied, and the old one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The program that a login starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Whether it belongs to a service: it gets a low number, and no home is made for it.
    #[serde(default)]
    pub system: bool,
    /// The hash of its password, as /etc/shadow has it: `openssl passwd -6` makes one. Best a secret. `*` is a
    /// password that nothing matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `present`, or `absent`: the account is removed; its home stays.
    #[serde(default)]
    pub state: Presence,
}

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSeen {
    /// There is none.
    Absent,
    /// There is one.
    User {
        /// Its number.
        uid: u32,
        /// Its first group, by name, or number where it has no name.
        group: String,
        /// All groups that have it as a member.
        groups: BTreeSet<String>,
        /// Its home.
        home: String,
        /// Whether that is there.
        home_is_there: bool,
        /// What a login starts.
        shell: String,
        /// Whether the hash of its password is the one that is wanted; true when none is.
        password_right: bool,
    },
}

/// What is to be done to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// Add it.
    Add,
    /// Change what differs.
    Modify(UserParts),
    /// Remove the account.
    Remove,
}

/// Which parts of an account differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserParts {
    /// Its number.
    pub uid: bool,
    /// Its first group.
    pub group: bool,
    /// Groups that it is not in yet.
    pub groups: Vec<String>,
    /// The path of its home.
    pub home: bool,
    /// That its home is there.
    pub make_home: bool,
    /// Its shell.
    pub shell: bool,
    /// Its password.
    pub password: bool,
}

impl Kind for UserSpec {
    const NAME: &'static str = "user";
    const NEEDS_MACHINE: bool = true;
    type Seen = UserSeen;
    type Change = UserChange;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::account_name(&self.name, &place.key("name"), found);
        if let Some(group) = &self.group {
            text::account(group, &place.key("group"), found);
        }
        for (i, group) in self.groups.iter().enumerate() {
            text::account_name(group, &place.key("groups").index(i), found);
        }
        for (key, path) in [("home", &self.home), ("shell", &self.shell)] {
            let Some(path) = path else { continue };
            let place = place.key(key);
            if text::path(path, &place, "ideal/bad-path", found) && path.contains([':', ',']) {
                let message = "the files of accounts cannot hold a path with `:` or `,`";
                found.push(Diagnostic::error("ideal/bad-path", place.path(), message));
            }
        }
        if let Some(password) = &self.password
            && !text::has_expression(password)
            && !is_hash(password)
        {
            let message = "this is a password itself, or nothing that a system takes for the hash of one";
            let help = "write what `openssl passwd -6` makes, best as a secret; or `*` for none that matches";
            found.push(
                Diagnostic::error("ideal/clear-password", place.key("password").path(), message).help(help),
            );
        }
        if self.name == "root" && self.state == Presence::Absent {
            let message = "a system without root cannot be mended";
            found.push(Diagnostic::error("ideal/too-much", place.key("state").path(), message));
        }
    }

    fn provides(&self) -> Vec<Thing> {
        let home = self.home.iter().filter(|_| !self.system).map(|home| Thing::Path(home.clone()));
        let mut things = vec![Thing::User(self.name.clone())];
        // Its own group comes and goes with it.
        things.extend(self.group.is_none().then(|| Thing::Group(self.name.clone())));
        things.extend(home);
        things
    }
    fn uses(&self) -> Vec<Thing> {
        let groups = self.group.iter().chain(&self.groups).map(|group| Thing::Group(group.clone()));
        groups.chain(self.home.as_deref().and_then(above)).collect()
    }

    fn compare(&self, seen: &UserSeen) -> Verdict<UserChange> {
        let absent = self.state == Presence::Absent;
        let UserSeen::User { uid, group, groups, home, home_is_there, shell, password_right } = seen else {
            return if absent { Verdict::Right } else { Wrong::one(Difference::missing(), UserChange::Add) };
        };
        if absent {
            return Wrong::one(Difference::surplus(), UserChange::Remove);
        }
        let mut differences = Vec::new();
        let mut parts = UserParts::default();
        if let Some(wanted) = self.uid.filter(|wanted| wanted != uid) {
            differences.push(Difference::new("uid", uid.to_string(), wanted.to_string()));
            parts.uid = true;
        }
        let mut text = |what: &str, before: &str, wanted: Option<&String>| {
            let differs = wanted.filter(|wanted| *wanted != before);
            differences.extend(differs.map(|wanted| Difference::new(what, before, wanted)));
            differs.is_some()
        };
        parts.group = text("group", group, self.group.as_ref());
        parts.home = text("home", home, self.home.as_ref());
        parts.shell = text("shell", shell, self.shell.as_ref());
        parts.groups =
            self.groups.iter().filter(|one| !groups.contains(*one) && *one != group).cloned().collect();
        if !parts.groups.is_empty() {
            let all =
                |groups: Vec<&str>| if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
            let before = all(groups.iter().map(String::as_str).collect());
            differences.push(Difference::new("groups", before, format!("also {}", parts.groups.join(", "))));
        }
        if !home_is_there && !self.system && !parts.home {
            differences.push(Difference::new("home", "missing", "present"));
            parts.make_home = true;
        }
        if !password_right {
            differences.push(Difference::new("password", "another", "as wanted"));
            parts.password = true;
        }
        if differences.is_empty() {
            return Verdict::Right;
        }
        Verdict::Wrong(Wrong { differences, texts: None, change: UserChange::Modify(parts) })
    }
}

/// Whether a text may stand in the second column of /etc/shadow and is no password in clear.
fn is_hash(text: &str) -> bool {
    let body = text.trim_start_matches('!');
    let crypted = body.starts_with('$')
        && body.matches('$').count() >= 3
        && body.chars().all(|c| c.is_ascii_graphic() && c != ':');
    crypted || text == "*" || text == "!" || text == "!*"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> UserSeen {
        UserSeen::User {
            uid: 1000,
            group: "a".into(),
            groups: BTreeSet::from(["adm".to_owned()]),
            home: "/home/a".into(),
            home_is_there: true,
            shell: "/bin/sh".into(),
            password_right: true,
        }
    }

    #[test]
    fn what_differs() {
        let table = [
            (r#"{"name": "a"}"#, ""),
            (r#"{"name": "a", "uid": 1000, "group": "a", "groups": ["adm", "a"], "home": "/home/a"}"#, ""),
            (r#"{"name": "a", "uid": 7}"#, "uid was 1000, wanted 7"),
            (r#"{"name": "a", "shell": "/bin/bash"}"#, "shell was /bin/sh, wanted /bin/bash"),
            (r#"{"name": "a", "groups": ["adm", "www"]}"#, "groups was adm, wanted also www"),
            (r#"{"name": "a", "state": "absent"}"#, "it was present, wanted absent"),
        ];
        for (text, why) in table {
            let spec: UserSpec = serde_json::from_str(text).unwrap();
            let said = match spec.compare(&seen()) {
                Verdict::Right => String::new(),
                Verdict::Wrong(wrong) => wrong.why(),
                Verdict::Refused(why) => why,
            };
            assert_eq!(said, why, "{text}");
        }
    }

    #[test]
    fn a_password_in_clear_is_refused() {
        for (text, good) in [
            ("hunter2", false),
            ("", false),
            ("*", true),
            ("!", true),
            ("$6$salt$abc/.", true),
            ("$6$s:$x", false),
        ] {
            assert_eq!(is_hash(text), good, "{text}");
        }
    }
}
