//! What holds for every set of resources: made right they are right, made right twice nothing happens, broken off
//! anywhere and begun anew it ends the same, and at each moment a file is the old or the new.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ideal_core::resource::{Declaration, Standing};
use ideal_resources::Mode;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bench::{ALL, CONVERGE, DIAGNOSE, pass};

/// Everything below a folder: of each path its mode, and its content or where it leads.
fn tree(at: &Path) -> BTreeMap<String, String> {
    fn add(at: &Path, below: &Path, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mode = meta.permissions().mode() & 0o7777;
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                add(&path, below, all);
                format!("{mode:04o} folder")
            } else {
                format!("{mode:04o} {}", String::from_utf8_lossy(&fs::read(&path).unwrap()))
            };
            all.insert(path.strip_prefix(below).unwrap().display().to_string(), what);
        }
    }
    let mut all = BTreeMap::new();
    add(at, at, &mut all);
    all
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "d"])
}
fn mode() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["0600", "0644", "0755", "0700"])
}

/// One resource; those of different kinds have different places, so that any set of them can be right at once.
fn resource() -> impl Strategy<Value = Value> {
    prop_oneof![
        (name(), name(), mode(), "[a-z\n]{0,40}").prop_map(|(folder, file, mode, text)| {
            json!({"file": {"path": format!("/files/{folder}/{file}"), "content": format!("{text}{{{{ vars.n }}}}"), "mode": mode}})
        }),
        (name(), name()).prop_map(|(folder, file)| json!({"file": {"path": format!("/files/{folder}/{file}"), "state": "absent"}})),
        (name(), mode()).prop_map(|(folder, mode)| json!({"directory": {"path": format!("/folders/{folder}"), "mode": mode}})),
        (name(), name()).prop_map(|(link, to)| json!({"link": {"path": format!("/links/{link}"), "to": format!("../files/{to}")}})),
        (name(), name(), "[a-z ]{1,12}").prop_map(|(file, key, text)| {
            json!({"line": {"path": format!("/lines/{file}"), "line": format!("{key}={text}"), "matching": format!("^{key}="), "create": true}})
        }),
        (name(), "[a-z]{1,9}\n[a-z]{0,9}").prop_map(|(file, text)| {
            json!({"line": {"path": format!("/blocks/{file}"), "block": text, "create": true}})
        }),
        name().prop_map(|made| json!({"command": {"run": ["touch", format!("made-{made}")], "creates": format!("/made-{made}")}})),
        name().prop_map(|once| json!({"command": {"shell": format!("echo {once} >> once-{once}")}})),
    ]
}

/// A set that wants no thing in two ways: of those that do, the first is taken.
fn resources() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(resource(), 1..14).prop_map(|all| {
        let mut seen = std::collections::BTreeSet::new();
        let own = |value: &Value| {
            let declaration: Declaration = serde_json::from_value(value.clone()).unwrap();
            seen.insert(declaration.resource().unwrap().label())
        };
        all.into_iter().filter(own).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_right_they_are_right_and_stay_so(resources in resources()) {
        let folder = tempfile::tempdir().unwrap();
        let rows = pass(folder.path(), &resources, CONVERGE, ALL);
        prop_assert!(rows.iter().all(|row| row.standing.is_good()), "{rows:#?}");
        let made = tree(&folder.path().join("root"));
        let seen = pass(folder.path(), &resources, DIAGNOSE, ALL);
        prop_assert!(seen.iter().all(|row| row.standing == Standing::Right), "{seen:#?}");
        let again = pass(folder.path(), &resources, CONVERGE, ALL);
        prop_assert!(again.iter().all(|row| row.standing == Standing::Right), "{again:#?}");
        prop_assert_eq!(made, tree(&folder.path().join("root")));
    }

    #[test]
    fn a_diagnosis_changes_nothing(before in resources(), after in resources()) {
        let folder = tempfile::tempdir().unwrap();
        pass(folder.path(), &before, CONVERGE, ALL);
        let was = tree(folder.path());
        pass(folder.path(), &after, Mode::Diagnose { run_checks: false }, ALL);
        prop_assert_eq!(was, tree(folder.path()));
    }

    #[test]
    fn broken_off_and_begun_anew_it_ends_the_same(before in resources(), after in resources(), rows in 0usize..14) {
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for at in [whole.path(), broken.path()] {
            pass(at, &before, CONVERGE, ALL);
        }
        pass(whole.path(), &after, CONVERGE, ALL);
        pass(broken.path(), &after, CONVERGE, rows);
        pass(broken.path(), &after, CONVERGE, ALL);
        prop_assert_eq!(tree(&whole.path().join("root")), tree(&broken.path().join("root")));
    }
}

/// What a secret replaces may have been one too.
#[test]
fn what_is_kept_is_no_more_readable_than_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str, mode: &str| {
        [json!({"file": {"path": "/key", "content": text, "mode": mode, "backup": true}})]
    };
    for (text, mode, kept) in
        [("one", "0644", None), ("two", "0600", Some("0600 one")), ("three", "0644", Some("0600 two"))]
    {
        let rows = pass(folder.path(), &file(text, mode), CONVERGE, ALL);
        assert!(rows.iter().all(|row| row.standing.is_good()), "{rows:#?}");
        let tree = tree(&folder.path().join("root"));
        assert_eq!(tree.get(".key.ideal-old").map(String::as_str), kept, "{tree:#?}");
        assert_eq!(tree["key"], format!("{mode} {text}"));
    }
}

/// The folder in which a child of this test makes things right, and dies.
const CHILD: &str = "IDEAL_TEST_FOLDER";

fn story() -> (Vec<Value>, Vec<Value>) {
    let file = |text: &str| json!({"file": {"path": "/etc/app/conf", "content": text, "mode": "0640"}, "notifies": ["told"]});
    let rest = |line: &str, to: &str| {
        vec![
            json!({"directory": {"path": "/etc/app", "mode": "0750"}}),
            json!({"line": {"path": "/etc/hosts", "line": line, "matching": "^10", "create": true}}),
            json!({"link": {"path": "/current", "to": to}}),
            json!({"command": {"run": ["sh", "-c", "cat etc/app/conf > told"], "notified": true}, "name": "told"}),
        ]
    };
    let old = [vec![file("old")], rest("10.0.0.1 db", "one")].concat();
    let new = [vec![file("new")], rest("10.0.0.2 db", "two")].concat();
    (old, new)
}

/// Not a test of its own: what dies in the next one.
#[test]
fn dies_if_asked() {
    let Some(at) = std::env::var_os(CHILD) else { return };
    pass(Path::new(&at), &story().1, CONVERGE, ALL);
}

/// Dead at each point at which the power could fail: each file is the old or the new, and who was to be told is told.
#[test]
fn dead_at_every_point() {
    let (old, new) = story();
    let child = |at: &Path, crash: Option<&str>, trace: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "properties::dies_if_asked"]).env(CHILD, at).env("IDEAL_CRASH_TRACE", trace);
        crash.into_iter().for_each(|crash| {
            command.env("IDEAL_CRASH_AT", crash);
        });
        command.output().unwrap().status.success()
    };
    let made = |new: Option<&[Value]>| {
        let folder = tempfile::tempdir().unwrap();
        pass(folder.path(), &old, CONVERGE, ALL);
        if let Some(new) = new {
            pass(folder.path(), new, CONVERGE, ALL);
        }
        folder
    };
    let before = tree(&made(None).path().join("root"));
    let after = tree(&made(Some(&new)).path().join("root"));
    let first = made(None);
    let trace = first.path().join("trace");
    assert!(child(first.path(), None, &trace), "without a crash it succeeds");
    let points = fs::read_to_string(&trace).unwrap();
    let points: Vec<&str> = points.lines().collect();
    assert!(points.len() >= 12, "{points:?}");
    for point in points {
        let folder = made(None);
        assert!(!child(folder.path(), Some(point), &folder.path().join("trace")), "{point} was not reached");
        for (path, what) in tree(&folder.path().join("root")) {
            // What is not live yet has a name of its own.
            let is_either = before.get(&path) == Some(&what) || after.get(&path) == Some(&what);
            assert!(is_either || path.contains(".ideal-"), "{point}: {path} is {what}");
        }
        let rows = pass(folder.path(), &new, CONVERGE, ALL);
        assert!(rows.iter().all(|row| row.standing.is_good()), "{point}: {rows:#?}");
        let ended: BTreeMap<String, String> = tree(&folder.path().join("root"));
        assert_eq!(ended, after, "{point}");
    }
}
