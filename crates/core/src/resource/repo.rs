//! A repository of packages, with the key that its packages are signed with.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Thing;
use super::package::Manager;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A repository of packages. Its index is fetched when it was changed, before packages are installed.
///
/// ```yaml
/// - repo:
///     name: tools
///     uris: [https://packages.example.org/debian]
///     suites: [stable]
///     components: [main]
///     key: |
///       -----BEGIN PGP PUBLIC KEY BLOCK-----
///       mDMEZxQ8LhYJKwYBBAHaRw8BAQdAqk1yF0bqJ9e0nVwzv0bqv5l8h1l1h8p0y2Vw
///       -----END PGP PUBLIC KEY BLOCK-----
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepoSpec {
    /// What its files are called.
    pub name: String,
    /// Where it is: `https://packages.example.org/debian`; of several, any one will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// Which suites of it, for apt: `bookworm`; a path that ends with `/` for a repository without suites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<String>,
    /// Which components of it, for apt: `main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The public key that it is signed with: armored text, from `-----BEGIN PGP PUBLIC KEY BLOCK-----` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name of a file in the recipe's folder `files` that is this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_source: Option<String>,
    /// Whose repository it is: `system`, what the node itself uses, or `apt`, `dnf`, `yum`.
    #[serde(default)]
    pub manager: Manager,
    /// Whether packages are taken that nobody signed. Only for a repository that nobody else can write or
    /// impersonate, such as a folder of the node.
    #[serde(default)]
    pub unsigned: bool,
    /// `present`, or `absent`: its files are removed; packages that came from it stay.
    #[serde(default)]
    pub state: Presence,
}

/// Which family of package managers a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// apt: Debian and its kin.
    Apt,
    /// dnf and yum: Fedora, Red Hat and their kin.
    Rpm,
}

/// The files of a repository: of each path, the content.
pub type RepoFiles = BTreeMap<String, Vec<u8>>;

/// What there is of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSeen {
    /// What the node has.
    pub family: Family,
    /// The key as it is wanted, wherever it was said.
    pub key: Option<Vec<u8>>,
    /// Of the files that a repository of this name may have, those that are there.
    pub files: RepoFiles,
}

/// What is to be done with the files of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepoChange {
    /// Put there, in this order: the key comes before what names it.
    pub put: Vec<(String, Vec<u8>)>,
    /// Removed, in this order.
    pub remove: Vec<String>,
}

const ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

impl RepoSpec {
    /// Every file that a repository of this name may have: what names the key first, then the keys.
    pub fn paths(&self, family: Family) -> Vec<String> {
        let name = &self.name;
        match family {
            Family::Apt => vec![
                format!("/etc/apt/sources.list.d/{name}.sources"),
                format!("/etc/apt/keyrings/{name}.asc"),
                format!("/etc/apt/keyrings/{name}.gpg"),
            ],
            Family::Rpm => vec![format!("/etc/yum.repos.d/{name}.repo"), format!("/etc/pki/rpm-gpg/{name}")],
        }
    }

    /// Its files as they are wanted, in the order in which they are put.
    fn wanted(&self, family: Family, key: Option<&[u8]>) -> Vec<(String, Vec<u8>)> {
        let paths = self.paths(family);
        let mut files = Vec::new();
        let key_path = key.map(|key| {
            let path = match family {
                Family::Apt if !key.trim_ascii_start().starts_with(ARMOR) => &paths[2],
                Family::Apt | Family::Rpm => &paths[1],
            };
            let mut key = key.to_vec();
            if key.trim_ascii_start().starts_with(ARMOR) && !key.ends_with(b"\n") {
                key.push(b'\n');
            }
            files.push((path.clone(), key));
            path
        });
        let text = match family {
            Family::Apt => self.sources(key_path),
            Family::Rpm => self.repo_file(key_path),
        };
        files.push((paths[0].clone(), text.into_bytes()));
        files
    }

    fn sources(&self, key: Option<&String>) -> String {
        let mut text =
            format!("Types: deb\nURIs: {}\nSuites: {}\n", self.uris.join(" "), self.suites.join(" "));
        if !self.components.is_empty() {
            text.push_str(&format!("Components: {}\n", self.components.join(" ")));
        }
        if let Some(key) = key {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        if self.unsigned {
            text.push_str("Trusted: yes\n");
        }
        text
    }

    fn repo_file(&self, key: Option<&String>) -> String {
        let check = u8::from(!self.unsigned);
        // A list of several goes on in lines that are set in.
        let uris = self.uris.join("\n    ");
        let mut text = format!("[{0}]\nname={0}\nbaseurl={uris}\nenabled=1\ngpgcheck={check}\n", self.name);
        if let Some(key) = key {
            text.push_str(&format!("gpgkey=file://{key}\n"));
        }
        text
    }
}

impl Kind for RepoSpec {
    const NAME: &'static str = "repo";
    const NEEDS_MACHINE: bool = true;
    type Seen = RepoSeen;
    type Change = RepoChange;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::file_name(&self.name, "._-", &place.key("name"), found);
        if self.manager.is_of_a_language() || self.manager == Manager::Apk {
            let message = format!("repositories of {} are not kept by this kind", self.manager.name());
            found.push(Diagnostic::error("ideal/bad-repo", place.key("manager").path(), message));
        }
        let keys = [("key", self.key.is_some()), ("key_source", self.key_source.is_some())];
        text::one_of(&keys, false, place, found);
        if self.state == Presence::Absent {
            return;
        }
        if self.uris.is_empty() {
            let message = "`uris` is missing: a repository is somewhere";
            found.push(Diagnostic::error("ideal/missing-key", place.path(), message).at_key());
        }
        for (key, words) in [("uris", &self.uris), ("suites", &self.suites), ("components", &self.components)]
        {
            for (i, word) in words.iter().enumerate() {
                let list = place.key(key);
                let place = list.index(i);
                let uri = key != "uris" || word.contains(":/");
                if !text::has_expression(word)
                    && (word.is_empty() || word.contains(char::is_whitespace) || !uri)
                {
                    let message = format!("`{}` does not belong in `{key}`", text::short(word));
                    let help = match key {
                        "uris" => "write an address with its scheme: https://packages.example.org/debian",
                        _ => "write single words",
                    };
                    found.push(Diagnostic::error("ideal/bad-repo", place.path(), message).help(help));
                }
                text::argument(word, &place, found);
            }
        }
        if let Some(key) = &self.key
            && !text::has_expression(key)
            && !key.trim_start().as_bytes().starts_with(ARMOR)
        {
            let message = "this is no armored public key";
            let help =
                "it begins with -----BEGIN PGP PUBLIC KEY BLOCK-----; one in binary form is a `key_source`";
            found.push(Diagnostic::error("ideal/bad-repo", place.key("key").path(), message).help(help));
        }
    }

    fn provides(&self) -> Vec<Thing> {
        let families = [Family::Apt, Family::Rpm];
        families.iter().flat_map(|family| self.paths(*family)).map(Thing::Path).collect()
    }

    fn compare(&self, seen: &RepoSeen) -> Verdict<RepoChange> {
        let paths = self.paths(seen.family);
        if self.state == Presence::Absent {
            let remove: Vec<String> =
                paths.into_iter().filter(|path| seen.files.contains_key(path)).collect();
            return match remove.is_empty() {
                true => Verdict::Right,
                false => Wrong::one(Difference::surplus(), RepoChange { put: Vec::new(), remove }),
            };
        }
        if seen.family == Family::Apt && self.suites.is_empty() {
            return Verdict::Refused("apt wants to know which `suites` of the repository".to_owned());
        }
        let wanted = self.wanted(seen.family, seen.key.as_deref());
        let mut differences = Vec::new();
        let mut change = RepoChange::default();
        for path in &paths {
            let there = seen.files.get(path);
            match wanted.iter().find(|(one, _)| one == path) {
                Some((_, content)) if there == Some(content) => {}
                Some(_) => {
                    let before = if there.is_some() { "another" } else { "missing" };
                    differences.push(Difference::new(path, before, "as wanted"));
                }
                None if there.is_some() => {
                    differences.push(Difference::new(path, "present", "absent"));
                    change.remove.push(path.clone());
                }
                None => {}
            }
        }
        change.put =
            wanted.into_iter().filter(|(path, content)| seen.files.get(path) != Some(content)).collect();
        if differences.is_empty() {
            return Verdict::Right;
        }
        Verdict::Wrong(Wrong { differences, texts: None, change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(state: Presence) -> RepoSpec {
        RepoSpec {
            name: "tools".into(),
            uris: vec!["https://a.example/d".into()],
            suites: vec!["stable".into()],
            components: vec!["main".into()],
            state,
            ..RepoSpec::default()
        }
    }

    fn change(verdict: Verdict<RepoChange>) -> RepoChange {
        match verdict {
            Verdict::Wrong(wrong) => wrong.change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn from_nothing_to_right_to_gone() {
        let key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nx".to_vec();
        for (family, sources, key_path) in [
            (
                Family::Apt,
                "Types: deb\nURIs: https://a.example/d\nSuites: stable\nComponents: main\nSigned-By: KEY\n",
                "/etc/apt/keyrings/tools.asc",
            ),
            (
                Family::Rpm,
                "[tools]\nname=tools\nbaseurl=https://a.example/d\nenabled=1\ngpgcheck=1\ngpgkey=file://KEY\n",
                "/etc/pki/rpm-gpg/tools",
            ),
        ] {
            let mut seen = RepoSeen { family, key: Some(key.clone()), files: BTreeMap::new() };
            let put = change(spec(Presence::Present).compare(&seen)).put;
            assert_eq!(put[0].0, key_path, "the key comes first");
            assert_eq!(String::from_utf8_lossy(&put[1].1), sources.replace("KEY", key_path));
            seen.files.extend(put);
            assert_eq!(spec(Presence::Present).compare(&seen), Verdict::Right);
            // Another key: the files differ, and only the key is put again.
            seen.files.insert(key_path.to_owned(), b"other".to_vec());
            assert_eq!(change(spec(Presence::Present).compare(&seen)).put.len(), 1);
            let gone = change(spec(Presence::Absent).compare(&seen)).remove;
            assert_eq!(gone.len(), 2);
            assert_ne!(gone[0], key_path, "what names the key goes before it");
        }
    }

    #[test]
    fn a_key_in_another_form_takes_the_place_of_the_old_one() {
        let mut files = RepoFiles::new();
        files.insert("/etc/apt/keyrings/tools.asc".into(), b"old".to_vec());
        let seen = RepoSeen { family: Family::Apt, key: Some(vec![0x99, 1, 2]), files };
        let change = change(spec(Presence::Present).compare(&seen));
        assert_eq!(change.remove, ["/etc/apt/keyrings/tools.asc"]);
        assert_eq!(change.put[0].0, "/etc/apt/keyrings/tools.gpg");
    }
}
