//! Installed packages, read from the package manager's own files where it has some that can be read.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use ideal_core::facts::Os;

use crate::ground::Ground;

/// What was read before, and from which state of the file.
#[derive(Debug, Default)]
pub(super) struct Known(Option<(SystemTime, u64, BTreeMap<String, String>)>);

/// Every installed package and its version. Of systems whose list only a program can read, none.
pub(super) fn installed(
    ground: &dyn Ground,
    os: &Os,
    known: &std::cell::RefCell<Known>,
) -> BTreeMap<String, String> {
    let file = match os.family.as_str() {
        "alpine" => "/lib/apk/db/installed",
        _ => "/var/lib/dpkg/status",
    };
    let path = if ground.is_machine() { ground.host_path(file) } else { file.into() };
    let Ok(meta) = fs::metadata(&path) else { return BTreeMap::new() };
    let changed = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    if let Known(Some((at, size, packages))) = &*known.borrow()
        && (*at, *size) == (changed, meta.len())
    {
        return packages.clone();
    }
    let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let packages = if os.family == "alpine" { apk(&text) } else { dpkg(&text) };
    *known.borrow_mut() = Known(Some((changed, meta.len(), packages.clone())));
    packages
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
        assert_eq!(apk("C:x\nP:musl\nV:1.2\n\n"), BTreeMap::from([("musl".to_owned(), "1.2".to_owned())]));
    }
}
