//! What holds for the whole repository and no compiler looks at: sizes, words, links, and who may depend on whom.
//!
//! Each test names all that is wrong at once, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A code file is split before it is longer; tests and fixtures may be.
const MOST_LINES: usize = 600;

/// Who may depend on whom. Tests may use more, see [`MAY_TEST_WITH`].
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("file", &["core"]),
    ("store", &["core"]),
    ("host", &["core"]),
    ("api", &["core"]),
    ("ssh", &["core", "host"]),
    ("providers", &["core", "host", "ssh"]),
    ("engine", &["core", "store", "providers", "api"]),
    ("resources", &["core", "file", "host"]),
    ("agent", &["core", "file", "host", "api", "resources"]),
    ("secrets", &["core", "host"]),
    (
        "cli",
        &["core", "file", "store", "host", "api", "providers", "engine", "agent", "resources", "secrets"],
    ),
    ("bench", &["core", "file", "store", "host", "api", "providers", "engine", "agent"]),
];

/// What tests alone may use beyond that.
const MAY_TEST_WITH: &[(&str, &[&str])] =
    &[("core", &["file"]), ("agent", &["providers"]), ("providers", &["providers"])];

/// All that the pure crates need from others. Nothing that reads a clock, a file or the network.
const PURE: &[(&str, &[&str])] = &[
    (
        "core",
        &[
            "blake3",
            "regex-lite",
            "schemars",
            "serde",
            "serde_json",
            "strsim",
            "thiserror",
            "uuid",
            "zeroize",
        ],
    ),
    ("file", &["granit-parser", "minijinja", "schemars", "serde", "serde_json"]),
];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or_else(|why| panic!("{}: {why}", root.display()))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Every file of the repository that ends like this, from its root.
fn files(ends: &[&str]) -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut wanted = vec![root.clone()];
    while let Some(folder) = wanted.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // A worktree keeps its `.git` in a file.
            if ["target", ".git", ".ideal", "node_modules"].contains(&&*name) {
                continue;
            }
            let kind = entry.file_type().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            if kind.is_dir() {
                wanted.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                let path = path.strip_prefix(&root).map(Path::to_owned).unwrap_or(path);
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file ends in {ends:?}: this test looks in the wrong place");
    found
}

fn none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

/// The lines before the tests of a file.
fn code_of(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for path in files(&[".rs"]).into_iter().filter(|path| !is_test(path)) {
        let lines = code_of(&read(&path)).lines().count();
        if lines > MOST_LINES {
            wrong.push(format!(
                "{path}: {lines} lines; split it by noun or by pass, at {MOST_LINES} at the latest"
            ));
        }
    }
    none(&wrong, "files are short");
}

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<String> =
        files(&[".rs"]).into_iter().filter(|path| !read(path).starts_with("//! ")).collect();
    none(&wrong, "the first line of a file is `//!` and says what it is for");
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not find itself.
    let forbidden =
        [["db", "g!("], ["to", "do!("], ["unimple", "mented!("], ["#[ign", "ore"]].map(|two| two.concat());
    let notes = [["TO", "DO"], ["FIX", "ME"]].map(|two| two.concat());
    let mut wrong = Vec::new();
    for path in files(&[".rs", ".md", ".toml", ".sh", "Makefile"]) {
        for (i, line) in read(&path).lines().enumerate() {
            let at = format!("{path}:{}: {}", i + 1, line.trim());
            if path.ends_with(".rs") && forbidden.iter().any(|word| line.contains(word)) {
                wrong.push(at.clone());
            }
            let without_number = |note: &String| {
                let mut after = line.match_indices(note.as_str()).map(|(from, _)| &line[from + note.len()..]);
                after.any(|rest| !rest.starts_with("(#"))
            };
            if notes.iter().any(without_number) {
                wrong.push(at);
            }
        }
    }
    none(&wrong, "no debugging, no gap, no test that is passed over, no note without a number like (#12)");
}

/// What is kept right on a node has a pure half and one with effects, by the same name.
#[test]
fn resources_have_two_halves() {
    let pure = read("crates/core/src/resource/list.rs");
    let list = pure.split("\nkinds! {").nth(1).and_then(|rest| rest.split("\n}").next());
    let list = list.unwrap_or_else(|| panic!("crates/core/src/resource/list.rs has no list of kinds"));
    let variants = list.lines().map(str::trim).filter(|line| line.starts_with(char::is_uppercase));
    let kinds: BTreeSet<String> =
        variants.filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect();
    let folder = "crates/resources/src/kinds/";
    // Those of users and groups share a file.
    let halves: BTreeSet<String> = files(&[".rs"])
        .iter()
        .filter_map(|path| Some(path.strip_prefix(folder)?.strip_suffix(".rs")?.to_owned()))
        .filter(|name| !name.contains('/') && name != "accounts")
        .collect();
    assert_eq!(kinds, halves, "the kinds of `Resource`, and the files in {folder}");
}

/// Text without its blocks of code.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The anchor of a heading, as pages of repositories make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let root = root();
    let mut wrong = Vec::new();
    for path in files(&[".md"]) {
        let text = read(&path);
        let folder = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        for link in
            prose(&text).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned))
        {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { PathBuf::from(&path) } else { folder.join(file) };
            if !root.join(&target).exists() {
                wrong.push(format!("{path}: {link}"));
            } else if !heading.is_empty() {
                let text = read(&target);
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings.any(|line| anchor(line.trim_start_matches('#')) == heading) {
                    wrong.push(format!("{path}: {link}: there is no such heading"));
                }
            }
        }
    }
    none(&wrong, "a link leads to a file that is there");
}

/// `ARCHITECTURE.md` says of each invariant which test holds it, and those tests exist.
#[test]
fn invariants_are_held_by_tests_that_exist() {
    let text = read("ARCHITECTURE.md");
    let section = text.split("\n## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.unwrap_or_else(|| panic!("ARCHITECTURE.md has no section on invariants"));
    let mut functions = BTreeSet::new();
    for path in files(&[".rs"]) {
        for line in read(&path).lines() {
            let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
            if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
                functions.insert(name.to_owned());
            }
        }
    }
    let mut wrong = Vec::new();
    for invariant in section.split("\n- **").skip(1) {
        let name = invariant.split("**").next().unwrap_or_default();
        // Lines are broken anywhere.
        let invariant = invariant.split_whitespace().collect::<Vec<_>>().join(" ");
        let Some((_, held)) = invariant.split_once("Held by ") else {
            wrong.push(format!("`{name}` names no test"));
            continue;
        };
        for test in held.split('`').skip(1).step_by(2) {
            let found = match test.strip_suffix('*') {
                Some(start) => functions.iter().any(|function| function.starts_with(start)),
                None => functions.contains(test),
            };
            if !found {
                wrong.push(format!("`{name}` is held by `{test}`, which is nowhere"));
            }
        }
    }
    none(&wrong, "each invariant of ARCHITECTURE.md is held by tests that exist");
}

fn cargo(arguments: &[&str]) -> Value {
    let ran = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
    let ran = ran.unwrap_or_else(|why| panic!("cargo: {why}"));
    assert!(ran.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|why| panic!("cargo {arguments:?}: {why}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn row<'t>(table: &'t [(&str, &'t [&'t str])], name: &str) -> Option<&'t [&'t str]> {
    table.iter().find(|(own, _)| *own == name).map(|(_, row)| *row)
}

#[test]
fn dependencies_point_one_way() {
    let metadata = cargo(&["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]);
    let mut wrong = Vec::new();
    for package in list(&metadata["packages"]) {
        let name = text(package, "name").trim_start_matches("ideal-").to_owned();
        let Some(allowed) = row(MAY_USE, &name) else {
            wrong.push(format!(
                "crate `{name}` is not in the table: say what it may use, here and in ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let for_tests = text(dependency, "kind") == "dev";
            let full = text(dependency, "name");
            if let Some(ours) = full.strip_prefix("ideal-") {
                let tests_may = row(MAY_TEST_WITH, &name).unwrap_or_default().contains(&ours);
                if !(allowed.contains(&ours) || for_tests && tests_may) {
                    wrong.push(format!("{name} uses {ours}"));
                }
            } else if !for_tests && row(PURE, &name).is_some_and(|pure| !pure.contains(&full)) {
                wrong.push(format!("{name} is pure and uses {full}"));
            }
        }
    }
    none(&wrong, "dependencies point one way");
}

/// A crate's own `clippy.toml` replaces that of the root: what it does not repeat is lost.
#[test]
fn purity_is_enforced() {
    let rules = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let shared = rules(&read("clippy.toml"));
    let mut wrong = Vec::new();
    for krate in ["core", "file"] {
        let own = read(format!("crates/{krate}/clippy.toml"));
        let kept = rules(&own);
        wrong.extend(
            shared
                .iter()
                .filter(|rule| !kept.contains(rule))
                .map(|rule| format!("{krate}/clippy.toml lacks {rule}")),
        );
        for word in
            ["SystemTime::now", "Instant::now", "std::env::var", "std::fs::read", "HashMap", "TcpStream"]
        {
            if !own.contains(word) {
                wrong.push(format!("{krate}/clippy.toml does not forbid {word}"));
            }
        }
    }
    for manifest in files(&["Cargo.toml"]).into_iter().filter(|path| path != "Cargo.toml") {
        if !read(&manifest).contains("[lints]\nworkspace = true") {
            wrong.push(format!("{manifest} does not take the lints of the workspace"));
        }
    }
    none(&wrong, "purity is enforced by lints");
}

/// The texts of a list in `deny.toml`.
fn denied(name: &str) -> Vec<String> {
    let whole = read("deny.toml");
    let body = whole.split(&format!("\n{name} = [")).nth(1).and_then(|rest| rest.split("\n]").next());
    let body = body.map(|body| body.split("]\n").next().unwrap_or(body));
    let body = body.unwrap_or_else(|| panic!("deny.toml has no list `{name}`"));
    let lines = body.lines().filter(|line| !line.trim_start().starts_with('#'));
    let quoted = |line: &str| -> Vec<String> {
        // Of a table only the crate is meant.
        let line = line.split(", reason").next().unwrap_or(line);
        line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    lines.flat_map(quoted).collect()
}

#[test]
fn dependencies_are_as_deny_toml_says() {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let arguments =
        ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", &platform];
    let metadata = cargo(&arguments);
    let (licences, skipped, banned) = (denied("allow"), denied("skip"), denied("deny"));
    let registries = denied("allow-registry");
    let used: BTreeSet<&str> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| text(node, "id")).collect();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let packages = list(&metadata["packages"]).iter().filter(|package| used.contains(text(package, "id")));
    for package in packages.filter(|package| !package["source"].is_null()) {
        let (name, version, source) =
            (text(package, "name"), text(package, "version"), text(package, "source"));
        if banned.iter().any(|ban| ban == name) {
            wrong.push(format!("{name} is banned"));
        }
        if !registries.iter().any(|known| source == format!("registry+{known}")) {
            wrong.push(format!("{name} {version} comes from {source}"));
        }
        let licence = text(package, "license");
        if !Licence(licence).is_allowed(&licences) {
            wrong.push(format!("{name} {version} has the licence `{licence}`"));
        }
        let skip = format!("{name}@{version}");
        let older = |own: &String| skip == *own || skip.starts_with(&format!("{own}."));
        if !skipped.iter().any(older) {
            versions.entry(name).or_default().push(version);
        }
    }
    let twice = versions.iter().filter(|(_, versions)| versions.len() > 1);
    wrong.extend(twice.map(|(name, versions)| format!("{name} is there as {}", versions.join(" and as "))));
    none(&wrong, "dependencies are as deny.toml says");
}

/// An expression of licences: `(MIT OR Apache-2.0) AND Unicode-3.0`.
struct Licence<'t>(&'t str);

impl Licence<'_> {
    fn is_allowed(&self, allowed: &[String]) -> bool {
        let spaced = self.0.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut words: Vec<&str> = spaced.split_whitespace().collect();
        words.reverse();
        let verdict = either(&mut words, allowed);
        verdict && words.is_empty()
    }
}

fn either(words: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut verdict = both(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        verdict |= both(words, allowed);
    }
    verdict
}

fn both(words: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut verdict = one(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        verdict &= one(words, allowed);
    }
    verdict
}

fn one(words: &mut Vec<&str>, allowed: &[String]) -> bool {
    let word = words.pop().unwrap_or_default();
    if word == "(" {
        let verdict = either(words, allowed);
        return words.pop() == Some(")") && verdict;
    }
    if words.last() == Some(&"WITH") {
        // A licence with an exception is another one, and none of those is on the list.
        words.pop();
        words.pop();
        return false;
    }
    allowed.iter().any(|licence| licence == word)
}

#[test]
fn licences_are_read() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for good in
        ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND Unicode-3.0", "X WITH y OR MIT"]
    {
        assert!(Licence(good).is_allowed(&allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT)", "MIT WITH y"] {
        assert!(!Licence(bad).is_allowed(&allowed), "{bad}");
    }
}
