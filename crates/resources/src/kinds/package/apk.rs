//! apk, the package manager of Alpine.

use ideal_core::resource::package::{Install, PackageState};

use super::{Entry, Installed, Program, Wanted, argv};

/// What apk has installed.
pub(super) const INSTALLED: &str = "/lib/apk/db/installed";

/// The packages that this file tells of: one paragraph for each, a letter for each field.
pub(super) fn installed(text: &str) -> Installed {
    let mut all = Installed::new();
    for paragraph in text.split("\n\n") {
        let field = |letter: &str| paragraph.lines().find_map(|line| line.strip_prefix(letter));
        if let (Some(name), Some(version)) = (field("P:"), field("V:")) {
            // `f:` tells what of it is broken.
            let half = field("f:").is_some_and(|what| what.contains('f'));
            all.insert(name.to_owned(), Entry { version: version.to_owned(), half, ..Entry::default() });
        }
    }
    all
}

/// The newest that `apk policy` lists: versions stand at two blanks, oldest first, their repositories below them.
pub(super) fn newest(answer: &str) -> Option<String> {
    let mut versions = answer.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    versions.rfind(|version| !version.starts_with(' ')).map(str::to_owned)
}

/// What puts and removes these packages.
pub(super) fn programs(all: &[Wanted<'_>]) -> Vec<Program> {
    let mut programs = Vec::new();
    let put: Vec<&Wanted<'_>> = all.iter().filter(|one| one.is(Install::Put)).collect();
    let removed: Vec<String> =
        all.iter().filter(|one| one.is(Install::Remove)).map(|one| one.spec.name.clone()).collect();
    let word = |one: &&Wanted<'_>| match &one.spec.version {
        Some(version) => format!("{}={version}", one.spec.name),
        None => one.spec.name.clone(),
    };
    let (latest, plain): (Vec<_>, Vec<_>) =
        put.into_iter().partition(|one| one.spec.state == PackageState::Latest);
    for (words, packages) in [
        (&["apk", "add", "--update-cache"][..], plain),
        (&["apk", "add", "--update-cache", "--upgrade"], latest),
    ] {
        if !packages.is_empty() {
            programs.push(argv(words, packages.iter().map(word)));
        }
    }
    if !removed.is_empty() {
        programs.push(argv(&["apk", "del"], removed));
    }
    programs
}

#[cfg(test)]
mod tests {
    use ideal_core::resource::package::{PackageChange, PackageSpec};

    use super::*;

    #[test]
    fn its_list_and_its_words() {
        let all = installed("C:Q1\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nP:zlib\nV:1.3-r0\nf:f\n");
        assert_eq!(all["musl"].version, "1.2.4-r2");
        assert!(all["zlib"].half && !all["musl"].half);
        let policy =
            "zlib policy:\n  1.2-r0:\n    lib/apk/db/installed\n  1.3-r0:\n    https://a.example/main\n";
        assert_eq!(newest(policy), Some("1.3-r0".into()));
        let spec: PackageSpec = serde_json::from_str(r#"{"name": "a", "version": "1-r0"}"#).unwrap();
        let change = PackageChange { install: Some(Install::Put), hold: false };
        let programs = programs(&[Wanted { spec: &spec, change: &change }]);
        assert_eq!(programs[0].argv, ["apk", "add", "--update-cache", "a=1-r0"]);
    }
}
