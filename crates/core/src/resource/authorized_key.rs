//! A key that may log in as a user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Thing;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A public key that may log in as a user, by ssh. Other keys in the user's file stay.
///
/// ```yaml
/// - user: {name: deploy}
/// - authorized_key:
///     user: deploy
///     key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk ann@desk
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKeySpec {
    /// Who may log in.
    pub user: String,
    /// The line of a `.pub` file. What restricts it may stand before it: `restrict,command="backup" ssh-ed25519 ...`.
    pub key: String,
    /// `present`, or `absent`: every line with this key is removed.
    #[serde(default)]
    pub state: Presence,
}

/// What is known of a user's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizedKeySeen {
    /// There is no such user.
    NoUser,
    /// The user's home is not there.
    NoHome(String),
    /// There is a user.
    Keys {
        /// The file's text; none when it is missing.
        text: Option<String>,
        /// Whether the folder and the file are the user's own and nobody else may write or read them; true for what
        /// is missing.
        safe: bool,
    },
}

/// The whole new text of the file, which becomes the user's own with its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKeyChange {
    /// It.
    pub text: String,
}

/// What a line of a file of keys says: what stands before the key, its type, the key.
fn parse(line: &str) -> Option<(&str, &str, &str)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    // What restricts a key may have blanks within quotes.
    let mut quoted = false;
    let mut from = 0;
    for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
        match c {
            '"' if !line[..at].ends_with('\\') => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let word = &line[from..at];
                if is_type(word) {
                    let body = line[at..].split_whitespace().next()?;
                    return Some((line[..from].trim_end(), word, body));
                }
                if from > 0 {
                    return None;
                }
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    None
}

fn is_type(word: &str) -> bool {
    let known = ["ssh-ed25519", "ssh-rsa", "ssh-dss"].contains(&word);
    known || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-ssh-") || word.starts_with("sk-ecdsa-")
}

impl AuthorizedKeySpec {
    /// The text with this key's line as wanted, once.
    pub fn edit(&self, text: &str) -> String {
        let Some((_, _, body)) = parse(&self.key) else { return text.to_owned() };
        let is_it = |line: &str| parse(line).is_some_and(|(_, _, other)| other == body);
        let mut put = self.state == Presence::Present;
        let mut lines: Vec<&str> = Vec::new();
        for line in text.lines() {
            if !is_it(line) {
                lines.push(line);
            } else if std::mem::take(&mut put) {
                // A comment is nobody's concern; what stands before the key says what it may do.
                lines.push(if self.is_as_wanted(line) { line } else { self.key.trim() });
            }
        }
        if put {
            lines.push(self.key.trim());
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn is_as_wanted(&self, line: &str) -> bool {
        parse(line) == parse(&self.key)
    }
}

impl Kind for AuthorizedKeySpec {
    const NAME: &'static str = "authorized_key";
    const NEEDS_MACHINE: bool = true;
    type Seen = AuthorizedKeySeen;
    type Change = AuthorizedKeyChange;

    fn key(&self) -> String {
        let end = match parse(&self.key) {
            Some((_, _, body)) => body.get(body.len().saturating_sub(12)..).unwrap_or(body),
            None => self.key.as_str(),
        };
        format!("{} {end}", self.user)
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::account_name(&self.user, &place.key("user"), found);
        let place = place.key("key");
        text::argument(&self.key, &place, found);
        if text::has_expression(&self.key) {
            return;
        }
        let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        let good = parse(&self.key).is_some_and(|(_, _, body)| body.len() >= 40 && body.chars().all(base64));
        if !good || self.key.trim().contains('\n') {
            let message = if self.key.contains("PRIVATE KEY") {
                "this is a private key; it belongs on no node and in no file of this kind"
            } else {
                "this is no public key for ssh"
            };
            let help = "write the one line of the .pub file: ssh-ed25519 AAAA... name";
            found.push(Diagnostic::error("ideal/bad-key", place.path(), message).help(help));
        }
    }

    /// Where homes are unless somebody said otherwise; a key in another home is looked at, but not watched.
    fn provides(&self) -> Vec<Thing> {
        let home = if self.user == "root" { "/root".to_owned() } else { format!("/home/{}", self.user) };
        vec![Thing::Path(format!("{home}/.ssh/authorized_keys"))]
    }
    fn uses(&self) -> Vec<Thing> {
        vec![Thing::User(self.user.clone())]
    }

    fn compare(&self, seen: &AuthorizedKeySeen) -> Verdict<AuthorizedKeyChange> {
        let absent = self.state == Presence::Absent;
        let (text, safe) = match seen {
            AuthorizedKeySeen::NoUser | AuthorizedKeySeen::NoHome(_) if absent => return Verdict::Right,
            AuthorizedKeySeen::NoUser => return Verdict::Refused("there is no such user".to_owned()),
            AuthorizedKeySeen::NoHome(home) => {
                return Verdict::Refused(format!("the user's home {home} is not there"));
            }
            AuthorizedKeySeen::Keys { text, safe } => (text.as_deref(), *safe),
        };
        if parse(&self.key).is_none() {
            return Verdict::Refused("`key` is no public key for ssh".to_owned());
        }
        let before = text.unwrap_or_default();
        let after = self.edit(before);
        let mut differences = Vec::new();
        if after != before {
            let word = |text: &str| match text.lines().any(|line| self.is_as_wanted(line)) {
                true => "there",
                false => "not there",
            };
            let (was, wanted) = (word(before), word(&after));
            let was = if was == wanted { "there otherwise" } else { was };
            differences.push(Difference::new("key", was, wanted));
        }
        if !safe && !absent {
            differences.push(Difference::new("access", "open to others", "the user's own"));
        }
        if differences.is_empty() {
            return Verdict::Right;
        }
        Verdict::Wrong(Wrong { differences, texts: None, change: AuthorizedKeyChange { text: after } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPSvqzUq0Nlk7XIyKZ0u9MFE5ZWiJN0rxPSF5p9gUYk ann@desk";
    const B: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC0000000000000000000000000000000000000000 bob";

    #[test]
    fn one_line_for_each_key() {
        let renamed = A.replace("ann@desk", "ann");
        let bound = format!("restrict,command=\"tar x\" {A}");
        let here = |key: &str, state| AuthorizedKeySpec { user: "u".into(), key: key.into(), state };
        let table = [
            (here(A, Presence::Present), String::new(), format!("{A}\n")),
            (here(A, Presence::Present), format!("# mine\n{B}"), format!("# mine\n{B}\n{A}\n")),
            (here(A, Presence::Present), format!("{renamed}\n"), format!("{renamed}\n")),
            (here(A, Presence::Present), format!("{A}\n{B}\n{renamed}\n"), format!("{A}\n{B}\n")),
            (here(&bound, Presence::Present), format!("{A}\n"), format!("{bound}\n")),
            (here(A, Presence::Present), format!("{bound}\n"), format!("{A}\n")),
            (here(A, Presence::Absent), format!("{bound}\n{B}\n{A}\n"), format!("{B}\n")),
        ];
        for (spec, before, after) in table {
            assert_eq!(spec.edit(&before), after, "{spec:?}");
            assert_eq!(spec.edit(&after), after, "a second time: {spec:?}");
        }
    }

    #[test]
    fn what_is_no_key() {
        let bound = format!("command=\"a b\" {A}");
        let table = [
            (A, 0),
            (B, 0),
            (&bound, 0),
            ("", 1),
            ("ssh-rsa", 1),
            ("ssh-rsa x", 1),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", 1),
        ];
        for (key, problems) in table {
            let spec = AuthorizedKeySpec { user: "u".into(), key: key.into(), state: Presence::Present };
            let mut found = Vec::new();
            spec.validate(&Place::ROOT, &mut found);
            assert_eq!(found.len(), problems, "{key}: {found:?}");
        }
    }
}
