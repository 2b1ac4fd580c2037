//! A package of the system, or of a language, that is installed or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Reach;
use super::{Difference, Kind, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A package. All packages that can go together are one transaction of the package manager.
///
/// ```yaml
/// - package: {name: tree}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageSpec {
    /// As its package manager calls it.
    pub name: String,
    /// Which version, exactly as the package manager writes it; with a `*` at its end, all that begin so. Left
    /// alone when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `system`: what the node itself uses. Else one by name: `apt`, `dnf`, `yum`, `apk`; or of a language: `gem`,
    /// `pip`, `npm`.
    #[serde(default)]
    pub manager: Manager,
    /// `present`; `absent`; `latest`: the newest that the repositories have; `held`: present, and never upgraded.
    #[serde(default)]
    pub state: PackageState,
}

/// Who installs packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// What the node itself uses.
    #[default]
    System,
    /// Debian and its kin.
    Apt,
    /// Fedora, Red Hat and their kin.
    Dnf,
    /// The older ones of these.
    Yum,
    /// Alpine.
    Apk,
    /// Ruby.
    Gem,
    /// Python.
    Pip,
    /// Node, for all users of the machine.
    Npm,
}

impl Manager {
    /// Whether it installs for one language only.
    pub fn is_of_a_language(self) -> bool {
        matches!(self, Manager::Gem | Manager::Pip | Manager::Npm)
    }
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Manager::System => "system",
            Manager::Apt => "apt",
            Manager::Dnf => "dnf",
            Manager::Yum => "yum",
            Manager::Apk => "apk",
            Manager::Gem => "gem",
            Manager::Pip => "pip",
            Manager::Npm => "npm",
        }
    }
}

/// What is to be so with a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PackageState {
    /// Installed, in whatever version unless one is said.
    #[default]
    Present,
    /// Not installed. Its configuration is left.
    Absent,
    /// Installed in the newest version that the repositories have.
    Latest,
    /// Installed, and not upgraded by anyone.
    Held,
}

/// What is known of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSeen {
    /// The version that is installed.
    pub installed: Option<String>,
    /// Whether an installation of it was broken off.
    pub half: bool,
    /// Whether it is held.
    pub held: bool,
    /// The newest version that the repositories have; looked up for `latest` only.
    pub newest: Option<String>,
}

/// What is to be done with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageChange {
    /// Whether it is installed, upgraded or removed; else only held.
    pub install: Option<Install>,
    /// Whether it is held afterwards.
    pub hold: bool,
}

/// What the transaction does with one package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// Puts it there, in the version that the spec says or in the newest.
    Put,
    /// Takes it away.
    Remove,
}

/// Whether a version is the one that is wanted.
fn is_version(wanted: &str, version: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == version, |begin| version.starts_with(begin))
}

impl Kind for PackageSpec {
    const NAME: &'static str = "package";
    const NEEDS_MACHINE: bool = true;
    type Seen = PackageSeen;
    type Change = PackageChange;

    fn key(&self) -> String {
        match self.manager.is_of_a_language() {
            true => format!("{}:{}", self.manager.name(), self.name),
            false => self.name.clone(),
        }
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        let scoped = self.manager == Manager::Npm;
        let good = |c: char| c.is_ascii_alphanumeric() || "+-._:".contains(c) || (scoped && "@/".contains(c));
        let first = self.name.chars().next();
        let begins = first.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || (scoped && c == '@'));
        let known = begins && self.name.chars().all(good);
        if !known && !text::has_expression(&self.name) {
            let message = format!("`{}` cannot be the name of a package", text::short(&self.name));
            let help = "one name for each item; a version stands in `version`, several packages in `each`";
            found.push(Diagnostic::error("ideal/bad-package", place.key("name").path(), message).help(help));
        }
        if let Some(version) = &self.version {
            let place = place.key("version");
            let good = |c: char| c.is_ascii_alphanumeric() || "+-._:~^".contains(c);
            let body = version.strip_suffix('*').unwrap_or(version);
            let begins = version.starts_with(|c: char| c.is_ascii_alphanumeric());
            let known = begins && body.chars().all(good);
            if !known && !text::has_expression(version) {
                let message = format!("`{}` cannot be a version", text::short(version));
                let help = "write it as the package manager does; a `*` may stand at its end";
                found.push(Diagnostic::error("ideal/bad-package", place.path(), message).help(help));
            }
            if matches!(self.state, PackageState::Absent | PackageState::Latest) {
                let message = "a version does not go with this state";
                found.push(Diagnostic::error("ideal/bad-package", place.path(), message).at_key());
            }
            if version.ends_with('*') && matches!(self.manager, Manager::Gem | Manager::Npm | Manager::Apk) {
                let message = format!("{} wants an exact version", self.manager.name());
                found.push(Diagnostic::error("ideal/bad-package", place.path(), message));
            }
        }
        let holds = !self.manager.is_of_a_language() && self.manager != Manager::Apk;
        if self.state == PackageState::Held && !holds {
            let message = format!("{} cannot hold a package", self.manager.name());
            let help = "name a `version` instead: it is kept at that one";
            found.push(Diagnostic::error("ideal/bad-package", place.key("state").path(), message).help(help));
        }
    }

    fn reach(&self) -> Reach {
        // A package manager of a language is a package itself, and often needs others.
        if self.manager.is_of_a_language() { Reach::Anything } else { Reach::Packages }
    }

    fn compare(&self, seen: &PackageSeen) -> Verdict<PackageChange> {
        let put = Some(Install::Put);
        let hold = self.state == PackageState::Held;
        if self.state == PackageState::Absent {
            return match seen.installed.is_some() || seen.half {
                true => Wrong::one(
                    Difference::surplus(),
                    PackageChange { install: Some(Install::Remove), hold: false },
                ),
                false => Verdict::Right,
            };
        }
        let Some(installed) = &seen.installed else {
            let before = if seen.half { "half installed" } else { "missing" };
            let after = self.version.as_deref().unwrap_or("present");
            return Wrong::one(Difference::new("", before, after), PackageChange { install: put, hold });
        };
        let mut differences = Vec::new();
        let mut change = PackageChange { install: None, hold };
        if seen.half {
            differences.push(Difference::new("", "half installed", "present"));
            change.install = put;
        }
        if let Some(wanted) = self.version.as_ref().filter(|wanted| !is_version(wanted, installed)) {
            differences.push(Difference::new("version", installed, wanted));
            change.install = put;
        }
        if let (PackageState::Latest, Some(newest)) = (self.state, &seen.newest)
            && newest != installed
        {
            differences.push(Difference::new("version", installed, newest));
            change.install = put;
        }
        if hold && !seen.held {
            differences.push(Difference::new("", "not held", "held"));
        }
        if differences.is_empty() {
            return Verdict::Right;
        }
        Verdict::Wrong(Wrong { differences, texts: None, change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_and_what_is_wanted() {
        let seen = |installed: &str, more: &str| PackageSeen {
            installed: (!installed.is_empty()).then(|| installed.to_owned()),
            half: more == "half",
            held: more == "held",
            newest: Some("2.0".to_owned()),
        };
        let none = "";
        let table = [
            (r#"{"name": "p"}"#, seen(none, ""), "it was missing, wanted present"),
            (r#"{"name": "p"}"#, seen("1.0", ""), ""),
            (r#"{"name": "p"}"#, seen("1.0", "held"), ""),
            (r#"{"name": "p"}"#, seen(none, "half"), "it was half installed, wanted present"),
            (r#"{"name": "p"}"#, seen("1.0", "half"), "it was half installed, wanted present"),
            (r#"{"name": "p", "version": "1.1"}"#, seen("1.0", ""), "version was 1.0, wanted 1.1"),
            (r#"{"name": "p", "version": "1.1"}"#, seen(none, ""), "it was missing, wanted 1.1"),
            (r#"{"name": "p", "version": "1.*"}"#, seen("1.0", ""), ""),
            (r#"{"name": "p", "version": "1.*"}"#, seen("2.0", ""), "version was 2.0, wanted 1.*"),
            (r#"{"name": "p", "state": "latest"}"#, seen("1.0", ""), "version was 1.0, wanted 2.0"),
            (r#"{"name": "p", "state": "latest"}"#, seen("2.0", ""), ""),
            (r#"{"name": "p", "state": "held"}"#, seen("2.0", ""), "it was not held, wanted held"),
            (r#"{"name": "p", "state": "held"}"#, seen("2.0", "held"), ""),
            (r#"{"name": "p", "state": "absent"}"#, seen("2.0", ""), "it was present, wanted absent"),
            (r#"{"name": "p", "state": "absent"}"#, seen(none, ""), ""),
        ];
        for (spec, seen, why) in table {
            let spec: PackageSpec = serde_json::from_str(spec).unwrap();
            let said = match spec.compare(&seen) {
                Verdict::Right => String::new(),
                Verdict::Wrong(wrong) => wrong.why(),
                Verdict::Refused(why) => why,
            };
            assert_eq!(said, why, "{spec:?} {seen:?}");
        }
    }

    #[test]
    fn names_and_versions() {
        let table = [
            (r#"{"name": "libstdc++6"}"#, 0),
            (r#"{"name": "libc6:i386"}"#, 0),
            (r#"{"name": "a b"}"#, 1),
            (r#"{"name": "-y"}"#, 1),
            (r#"{"name": "a=1"}"#, 1),
            (r#"{"name": "@scope/x", "manager": "npm"}"#, 0),
            (r#"{"name": "@scope/x"}"#, 1),
            (r#"{"name": "a", "version": "1:2.3~rc1-4+deb12u1"}"#, 0),
            (r#"{"name": "a", "version": ""}"#, 1),
            (r#"{"name": "a", "version": "1", "state": "latest"}"#, 1),
            (r#"{"name": "a", "version": "1.*", "manager": "gem"}"#, 1),
            (r#"{"name": "a", "state": "held", "manager": "pip"}"#, 1),
        ];
        for (spec, problems) in table {
            let parsed: PackageSpec = serde_json::from_str(spec).unwrap();
            let mut found = Vec::new();
            parsed.validate(&Place::ROOT, &mut found);
            assert_eq!(found.len(), problems, "{spec}: {found:?}");
        }
    }
}
