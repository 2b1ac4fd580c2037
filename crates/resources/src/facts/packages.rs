//! Installed packages, read from the package manager's own files where it has some that can be read; else a program
//! is asked, whenever those files changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use ideal_core::resource::package::Manager;

use crate::exec;
use crate::ground::Ground;
use crate::question::Question;

/// What was read before, and from which state of the files.
#[derive(Debug, Default)]
pub(super) struct Known(Option<(Vec<Seal>, BTreeMap<String, String>)>);

/// When a file was written, and how long it is; none when it is missing.
type Seal = Option<(SystemTime, u64)>;

/// How a list of packages can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Dpkg,
    Apk,
    Rpm,
}

/// By which file a system is known to have which list; that one and those after it change when the list does.
const LISTS: [(List, &[&str]); 5] = [
    (List::Apk, &["/lib/apk/db/installed"]),
    (List::Dpkg, &["/var/lib/dpkg/status"]),
    (List::Rpm, &["/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal"]),
    (List::Rpm, &["/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite-wal"]),
    (List::Rpm, &["/var/lib/rpm/Packages"]),
];

/// Every installed package and its version. Of a system that has no list that is known here, none.
pub(super) async fn installed(ground: &dyn Ground, known: &RefCell<Known>) -> BTreeMap<String, String> {
    let path = |file: &str| if ground.is_machine() { ground.host_path(file) } else { file.into() };
    let seal = |path: &PathBuf| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()))
    };
    let found = LISTS.iter().find(|(_, files)| path(files[0]).exists());
    let Some((list, files)) = found else { return BTreeMap::new() };
    let paths: Vec<PathBuf> = files.iter().map(|file| path(file)).collect();
    let seals: Vec<Seal> = paths.iter().map(seal).collect();
    if let Known(Some((at, packages))) = &*known.borrow()
        && *at == seals
    {
        return packages.clone();
    }
    let text = match list {
        List::Rpm => {
            let question = Question::Installed(Manager::Dnf).program();
            exec::run(ground, "fact packages", &question).await.answer
        }
        _ => fs::read(&paths[0]).unwrap_or_default(),
    };
    let text = String::from_utf8_lossy(&text);
    let packages = match list {
        List::Apk => apk(&text),
        List::Dpkg => dpkg(&text),
        List::Rpm => rpm(&text),
    };
    *known.borrow_mut() = Known(Some((seals, packages.clone())));
    packages
}

/// A line for each: name, epoch and version, architecture. An epoch of zero is written by nobody.
fn rpm(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some((name.to_owned(), version.strip_prefix("0:").unwrap_or(version).to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn dpkg(text: &str) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        let installed = field("Status: ").is_some_and(|status| status.ends_with(" installed"));
        if let (true, Some(name), Some(version)) = (installed, field("Package: "), field("Version: ")) {
            packages.insert(name.to_owned(), version.to_owned());
        }
    }
    packages
}

fn apk(text: &str) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(name), Some(version)) = (field("P:"), field("V:")) {
            packages.insert(name.to_owned(), version.to_owned());
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1.0-1\n\nPackage: b\nStatus: deinstall ok config-files\nVersion: 2\n";
        assert_eq!(dpkg(text), BTreeMap::from([("a".to_owned(), "1.0-1".to_owned())]));
        let versions =
            BTreeMap::from([("bash".to_owned(), "5.1-2".to_owned()), ("vim".to_owned(), "2:9-1".to_owned())]);
        assert_eq!(rpm("bash 0:5.1-2 x86_64\nvim 2:9-1 x86_64\nbroken\n"), versions);
        assert_eq!(apk("C:x\nP:musl\nV:1.2\n\n"), BTreeMap::from([("musl".to_owned(), "1.2".to_owned())]));
    }
}
