//! dnf, yum and rpm.

use ideal_core::resource::package::{Install, Manager, PackageState};

use super::{Entry, Installed, Program, Wanted, argv};

/// The packages that `rpm -qa` tells of, in our format: name, epoch and version, architecture.
pub(super) fn installed(answer: &[u8]) -> Installed {
    let mut all = Installed::new();
    for line in String::from_utf8_lossy(answer).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, version, architecture] = words[..] else { continue };
        // An epoch of zero is nobody's concern, and nobody writes it.
        let version = version.strip_prefix("0:").unwrap_or(version).to_owned();
        let entry = Entry { version, ..Entry::default() };
        all.insert(format!("{name}.{architecture}"), entry.clone());
        all.insert(name.to_owned(), entry);
    }
    all
}

/// The one line that `dnf repoquery` answers.
pub(super) fn newest(answer: &str) -> Option<String> {
    let line = answer.lines().rfind(|line| !line.trim().is_empty())?.trim();
    Some(line.strip_prefix("0:").unwrap_or(line).to_owned())
}

/// The newest that `yum info` lists, as the last: with its epoch, as versions are compared.
pub(super) fn newest_of_yum(answer: &str) -> Option<String> {
    let tells = |paragraph: &&str| paragraph.lines().any(|line| line.starts_with("Version"));
    let last = answer.split("\n\n").filter(tells).last()?;
    let field = |name: &str| {
        let line = last.lines().rfind(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let epoch = field("Epoch").filter(|epoch| epoch != "0").map(|epoch| format!("{epoch}:"));
    Some(format!("{}{}-{}", epoch.unwrap_or_default(), field("Version")?, field("Release")?))
}

/// What puts these packages, and then what removes others: dnf does not do both at once.
pub(super) fn programs(manager: Manager, all: &[Wanted<'_>]) -> Vec<Program> {
    let mut programs = Vec::new();
    let put: Vec<&Wanted<'_>> = all.iter().filter(|one| one.is(Install::Put)).collect();
    let (latest, plain): (Vec<&Wanted<'_>>, Vec<&Wanted<'_>>) =
        put.into_iter().partition(|one| one.spec.state == PackageState::Latest);
    let (exact, any): (Vec<&Wanted<'_>>, Vec<&Wanted<'_>>) =
        plain.into_iter().partition(|one| one.spec.version.is_some());
    let removed: Vec<&Wanted<'_>> = all.iter().filter(|one| one.is(Install::Remove)).collect();
    let word = |one: &&Wanted<'_>| match &one.spec.version {
        Some(version) => format!("{}-{version}", one.spec.name),
        None => one.spec.name.clone(),
    };
    let manager = manager.name();
    let mut push = |verb: &str, packages: &[&Wanted<'_>]| {
        if !packages.is_empty() {
            programs.push(argv(&[manager, "-y", "-q", verb], packages.iter().map(word)));
        }
    };
    // `install` goes up to a version and never down to one; whichever has nothing to do agrees.
    push("install", &[&exact[..], &any[..], &latest[..]].concat());
    push("upgrade", &latest);
    push("downgrade", &exact);
    push("remove", &removed);
    programs
}

#[cfg(test)]
mod tests {
    use ideal_core::resource::package::{PackageChange, PackageSpec};

    use super::*;

    #[test]
    fn its_list_and_its_words() {
        let all = installed(b"bash 0:5.1-2 x86_64\nvim 2:9.0-1 x86_64\nbroken\n");
        assert_eq!(all["bash"].version, "5.1-2");
        assert_eq!(all["vim"].version, "2:9.0-1");
        assert_eq!(all["vim.x86_64"].version, "2:9.0-1");
        assert_eq!(newest("0:5.2-1\n"), Some("5.2-1".into()));
        assert_eq!(newest_of_yum("Version : 5.2\nRelease : 1\n"), Some("5.2-1".into()));
        let two = "Name : a\nEpoch : 1\nVersion : 1\nRelease : 1\n\nAvailable Packages\nName : a\nEpoch : 2\nVersion : 9.0\n\
                   Release : 1\n";
        assert_eq!(newest_of_yum(two), Some("2:9.0-1".into()));
        let spec: PackageSpec = serde_json::from_str(r#"{"name": "a", "version": "1.0-1"}"#).unwrap();
        let gone: PackageSpec = serde_json::from_str(r#"{"name": "b", "state": "absent"}"#).unwrap();
        let put = PackageChange { install: Some(Install::Put), hold: false };
        let remove = PackageChange { install: Some(Install::Remove), hold: false };
        let both = [Wanted { spec: &spec, change: &put }, Wanted { spec: &gone, change: &remove }];
        let lines: Vec<String> =
            programs(Manager::Dnf, &both).iter().map(|program| program.argv.join(" ")).collect();
        assert_eq!(lines, ["dnf -y -q install a-1.0-1", "dnf -y -q downgrade a-1.0-1", "dnf -y -q remove b"]);
    }
}
