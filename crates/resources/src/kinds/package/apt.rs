//! apt and dpkg.

use std::collections::BTreeMap;

use ideal_core::resource::package::{Install, PackageState};

use super::{Entry, Installed, Program, Wanted, argv};
use crate::exec::Outcome;
use crate::eyes::Eyes;
use crate::hands::Hands;

/// What dpkg has installed.
pub(super) const INSTALLED: &str = "/var/lib/dpkg/status";
/// What dpkg has begun.
const UPDATES: &str = "/var/lib/dpkg/updates";
/// The indexes of repositories.
const LISTS: &str = "/var/lib/apt/lists";
/// Where repositories are named.
const SOURCES: [&str; 3] = ["/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/keyrings"];
/// The note that says for which sources the indexes were fetched.
const FETCHED_FOR: &str = "apt sources";
/// How long another program may hold the lock of dpkg, in seconds.
const LOCK: u32 = 600;

/// The installed packages that the status file of dpkg tells of.
pub(super) fn installed(text: &str) -> Installed {
    let mut all = Installed::new();
    let mut provided = Installed::new();
    for paragraph in text.split("\n\n") {
        let (mut name, mut version, mut status, mut architecture, mut provides) = ("", "", "", "", "");
        for line in paragraph.lines() {
            match line.split_once(": ") {
                Some(("Package", value)) => name = value.trim(),
                Some(("Version", value)) => version = value.trim(),
                Some(("Status", value)) => status = value.trim(),
                Some(("Architecture", value)) => architecture = value.trim(),
                Some(("Provides", value)) => provides = value.trim(),
                _ => {}
            }
        }
        let words: Vec<&str> = status.split_whitespace().collect();
        let [want, error, state] = words[..] else { continue };
        if matches!(state, "not-installed" | "config-files") {
            continue;
        }
        // Triggers run with the next transaction; a package that waits for them works.
        let whole = matches!(state, "installed" | "triggers-awaited" | "triggers-pending") && error == "ok";
        let entry =
            Entry { version: version.to_owned(), half: !whole, held: want == "hold", ..Entry::default() };
        all.insert(format!("{name}:{architecture}"), entry.clone());
        all.entry(name.to_owned()).or_insert_with(|| entry.clone());
        for other in provides.split(',').filter_map(|one| one.split_whitespace().next()) {
            provided.entry(other.to_owned()).or_insert_with(|| entry.clone());
        }
    }
    // A package that is only a name for others is there when one of them is.
    for (name, entry) in provided {
        all.entry(name).or_insert(entry);
    }
    all
}

/// The version that `apt-cache policy` would install.
pub(super) fn newest(answer: &str) -> Option<String> {
    let line = answer.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    Some(line.trim().to_owned()).filter(|version| version != "(none)")
}

fn environment(mut program: Program) -> Program {
    let env = [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBIAN_PRIORITY", "critical"),
        // Whether and what to restart is said by `notifies`.
        ("NEEDRESTART_SUSPEND", "1"),
        ("LC_ALL", "C.UTF-8"),
    ];
    program.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    program
}

fn apt_get(words: &[&str], more: impl IntoIterator<Item = String>) -> Program {
    let lock = format!("DPkg::Lock::Timeout={LOCK}");
    // The configuration that is on the node stays, also where a package brings a new one.
    let keep = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"];
    let fixed = [&["apt-get", "-q", "-y", "-o", &lock], &keep[..], words].concat();
    environment(argv(&fixed, more))
}

/// What puts and removes these packages in one transaction, and holds those that are to be held.
pub(super) fn programs(all: &[Wanted<'_>]) -> Vec<Program> {
    let mut programs = Vec::new();
    let moved: Vec<&Wanted<'_>> = all.iter().filter(|one| one.change.install.is_some()).collect();
    if !moved.is_empty() {
        let mut words = vec!["install"];
        if moved.iter().any(|one| one.spec.version.is_some()) {
            words.push("--allow-downgrades");
        }
        words.push("--");
        let word = |one: &&Wanted<'_>| match (one.is(Install::Remove), &one.spec.version) {
            (true, _) => format!("{}-", one.spec.name),
            (false, Some(version)) => format!("{}={version}", one.spec.name),
            (false, None) => one.spec.name.clone(),
        };
        programs.push(apt_get(&words, moved.iter().map(word)));
    }
    let held: Vec<String> =
        all.iter().filter(|one| one.change.hold).map(|one| one.spec.name.clone()).collect();
    if !held.is_empty() {
        programs.push(environment(argv(&["apt-mark", "hold"], held)));
    }
    programs
}

/// The packages of a transaction that are held, and whose own declarations say that they are changed nevertheless.
fn in_the_way(all: &[Wanted<'_>], installed: &Installed) -> Vec<String> {
    let meant = |one: &&Wanted<'_>| {
        let said = one.spec.version.is_some() || one.spec.state == PackageState::Held;
        one.is(Install::Remove) || one.is(Install::Put) && said
    };
    let held = |one: &&Wanted<'_>| installed.get(&one.spec.name).is_some_and(|entry| entry.held);
    all.iter().filter(meant).filter(held).map(|one| one.spec.name.clone()).collect()
}

/// Lets go of those that are held and are to be changed, and says which: apt could only be told to change whatever is
/// held, also what nobody named.
pub(super) async fn release(hands: &Hands<'_>, label: &str, all: &[Wanted<'_>]) -> Vec<String> {
    let text = hands.text(INSTALLED, 256 << 20).ok().flatten().unwrap_or_default();
    let held = in_the_way(all, &installed(&text));
    if !held.is_empty() {
        // What cannot be let go of is refused by the transaction, which says why.
        hands.run(label, &environment(argv(&["apt-mark", "unhold"], held.iter().cloned()))).await;
    }
    held
}

/// Holds again what was let go of for a transaction that failed.
pub(super) async fn hold_again(hands: &Hands<'_>, label: &str, held: Vec<String>) {
    if !held.is_empty() {
        hands.run(label, &environment(argv(&["apt-mark", "hold"], held))).await;
    }
}

/// Brings to an end what was broken off, by whomever. What cannot be brought to one is left: the transaction that
/// follows may be what takes it away.
pub(super) async fn repair(hands: &Hands<'_>, label: &str) {
    let begun = hands.sight(UPDATES).ok().flatten().is_some_and(|sight| !sight.is_empty().unwrap_or(true));
    let text = hands.text(INSTALLED, 256 << 20).ok().flatten().unwrap_or_default();
    if !begun && !installed(&text).values().any(|entry| entry.half) {
        return;
    }
    let configure = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"];
    if !hands.run(label, &environment(argv(&configure, []))).await.agreed() {
        let _ = hands.run(label, &apt_get(&["install", "--fix-broken"], [])).await;
    }
}

/// What the node's sources look like: when it is another than when the index was fetched, the index is too old.
fn sources(eyes: &Eyes<'_>) -> String {
    let mut seals = BTreeMap::new();
    for path in SOURCES {
        let Ok(Some(sight)) = eyes.sight(path) else { continue };
        let mut paths = vec![path.to_owned()];
        paths.extend(
            sight.names().unwrap_or_default().iter().map(|name| format!("{path}/{}", name.display())),
        );
        for path in paths {
            if let Ok(Some(stat)) = eyes.stat(&path) {
                seals.insert(path, (stat.st_size, stat.st_mtime, stat.st_mtime_nsec));
            }
        }
    }
    blake3::hash(format!("{seals:?}").as_bytes()).to_hex().to_string()
}

/// Notes that the index must be fetched.
pub(super) fn index_is_old(hands: &Hands<'_>) -> std::io::Result<()> {
    hands.note(|ledger| {
        ledger.notes.insert(FETCHED_FOR.to_owned(), String::new());
    })
}

/// Fetches the indexes when there are none or the sources are others than they were fetched for; once in a pass
/// also `anyway`. Whether it did.
pub(super) async fn fetch_index(hands: &Hands<'_>, label: &str, anyway: bool) -> Result<bool, Outcome> {
    let now = sources(hands);
    let there = hands.sight(LISTS).ok().flatten().is_some_and(|sight| {
        sight.names().is_ok_and(|names| names.iter().any(|name| name.to_string_lossy().contains("Packages")))
    });
    // Where nothing was ever noted, the index is as good as the image that brought it.
    let fits = hands.ledger().notes.get(FETCHED_FOR).is_none_or(|noted| *noted == now);
    let pass = hands.cache().pass.get();
    let again = hands.cache().said.borrow().packages.fetched == Some(pass);
    if there && fits && (!anyway || again) {
        return Ok(false);
    }
    let outcome = hands.run(label, &apt_get(&["update"], [])).await;
    if !outcome.agreed() {
        return Err(outcome);
    }
    hands.cache().said.borrow_mut().packages.fetched = Some(pass);
    // Losing this note costs one more fetch.
    let _ = hands.note(|ledger| {
        ledger.notes.insert(FETCHED_FOR.to_owned(), now);
    });
    Ok(true)
}

#[cfg(test)]
mod tests {
    use ideal_core::resource::package::{PackageChange, PackageSpec};

    use super::*;

    #[test]
    fn the_status_file_is_read() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.0-2\nDepends: x\n\n\
                    Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 2\n\n\
                    Package: c\nStatus: hold ok installed\nArchitecture: all\nVersion: 3\nProvides: editor, x (= 1)\n\n\
                    Package: d\nStatus: install ok half-configured\nArchitecture: all\nVersion: 4\n\n\
                    Package: e\nStatus: install reinstreq installed\nArchitecture: all\nVersion: 5\n";
        let all = installed(text);
        assert_eq!(all["a"], Entry { version: "1:1.0-2".into(), ..Entry::default() });
        assert_eq!(all["a:amd64"], all["a"]);
        assert!(!all.contains_key("b"));
        assert!(all["c"].held && all["editor"].held && all["x"].held);
        assert!(all["d"].half && all["e"].half);
    }

    #[test]
    fn one_transaction_for_all() {
        let spec = |text: &str| -> PackageSpec { serde_json::from_str(text).unwrap() };
        let specs = [
            spec(r#"{"name": "g++"}"#),
            spec(r#"{"name": "b", "version": "1.*"}"#),
            spec(r#"{"name": "c", "state": "absent"}"#),
            spec(r#"{"name": "d", "state": "held"}"#),
        ];
        let put = PackageChange { install: Some(Install::Put), hold: false };
        let remove = PackageChange { install: Some(Install::Remove), hold: false };
        let hold = PackageChange { install: None, hold: true };
        let changes = [put, put, remove, hold];
        let all: Vec<Wanted<'_>> =
            specs.iter().zip(&changes).map(|(spec, change)| Wanted { spec, change }).collect();
        let programs = programs(&all);
        let tail: Vec<&str> =
            programs[0].argv.iter().skip_while(|word| *word != "install").map(String::as_str).collect();
        assert_eq!(tail, ["install", "--allow-downgrades", "--", "g++", "b=1.*", "c-"]);
        // Only those are let go of that are to be changed and were named with a version, as held or as absent.
        let held = |name: &str| (name.to_owned(), Entry { held: true, ..Entry::default() });
        let installed = Installed::from(["g++", "b", "c", "d", "other"].map(held));
        assert_eq!(in_the_way(&all, &installed), ["b", "c"]);
        assert!(in_the_way(&all, &Installed::new()).is_empty());
        assert_eq!(programs[1].argv, ["apt-mark", "hold", "d"]);
        assert_eq!(programs[0].env["DEBIAN_FRONTEND"], "noninteractive");
    }

    #[test]
    fn the_newest_is_the_candidate() {
        assert_eq!(newest("a:\n  Installed: 1\n  Candidate: 2-1\n"), Some("2-1".into()));
        assert_eq!(newest("a:\n  Candidate: (none)\n"), None);
    }
}
