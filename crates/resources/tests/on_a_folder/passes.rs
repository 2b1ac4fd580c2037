//! What waits for what in a pass, who is told, and what must not be seen.

use std::fs;
use std::path::Path;

use ideal_core::recipe::Use;
use ideal_core::resource::{Row, Standing};
use serde_json::{Value, json};

use crate::bench::{ALL, CONVERGE, DIAGNOSE, pass, whole};

fn standings(rows: &[Row]) -> Vec<(&str, Standing)> {
    rows.iter().map(|row| (row.label.as_str(), row.standing)).collect()
}

fn lines(at: &Path, name: &str) -> usize {
    fs::read_to_string(at.join("root").join(name)).map_or(0, |text| text.lines().count())
}

fn shell(name: &str, text: &str) -> Value {
    json!({"command": {"shell": text, "notified": true}, "name": name})
}

#[test]
fn a_failure_blocks_what_needs_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let rows = pass(
        folder.path(),
        &[
            json!({"command": {"run": ["false"]}, "name": "broken"}),
            json!({"file": {"path": "/after", "content": "x"}, "after": ["broken"]}),
            json!({"file": {"path": "/beside", "content": "x"}}),
            json!({"file": {"path": "/later", "content": "x"}, "after": ["file /after"]}),
        ],
        CONVERGE,
        ALL,
    );
    let expected = [
        ("broken", Standing::Failed),
        ("file /after", Standing::Blocked),
        ("file /beside", Standing::Healed),
        ("file /later", Standing::Blocked),
    ];
    assert_eq!(standings(&rows), expected);
}

#[test]
fn who_waits_for_a_value_holds_up_who_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = [
        json!({"file": {"path": "/address", "content": "{{ clouds['db'].nodes[0].address }}"}}),
        json!({"file": {"path": "/app", "content": "x"}, "after": ["file /address"]}),
    ];
    let unknown = json!({"clouds": {"db": {"nodes": [{"address": null}]}}});
    let rows = whole(folder.path(), &[], &list, &unknown, CONVERGE, ALL);
    assert_eq!(standings(&rows), [("file /address", Standing::Waiting), ("file /app", Standing::Blocked)]);
    let known = json!({"clouds": {"db": {"nodes": [{"address": "10.0.0.1"}]}}});
    let rows = whole(folder.path(), &[], &list, &known, CONVERGE, ALL);
    assert!(rows.iter().all(|row| row.standing == Standing::Healed), "{rows:#?}");
}

#[test]
fn a_change_that_failed_tells_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let list = |content: &str, check: &str| {
        [
            json!({"file": {"path": "/conf", "content": content, "validate": [check, "%s"]}, "notifies": ["tell"]}),
            shell("tell", "echo told >> told"),
        ]
    };
    pass(folder.path(), &list("one", "true"), CONVERGE, ALL);
    assert_eq!(lines(folder.path(), "told"), 1);
    let rows = pass(folder.path(), &list("two", "false"), CONVERGE, ALL);
    assert_eq!(rows[0].standing, Standing::Failed);
    assert!(rows[0].why.as_ref().unwrap().contains("the old one stays"), "{rows:#?}");
    assert_eq!(lines(folder.path(), "told"), 1, "nothing was changed, so nobody is told");
    pass(folder.path(), &list("two", "true"), CONVERGE, ALL);
    assert_eq!(lines(folder.path(), "told"), 2);
}

#[test]
fn who_is_told_is_told_though_written_before() {
    let folder = tempfile::tempdir().unwrap();
    let list = [
        shell("tell", "echo told >> told"),
        json!({"file": {"path": "/conf", "content": "x"}, "notifies": ["tell"]}),
    ];
    let rows = pass(folder.path(), &list, CONVERGE, ALL);
    assert!(rows.iter().all(|row| row.standing == Standing::Healed), "{rows:#?}");
    assert_eq!(lines(folder.path(), "told"), 1);
    pass(folder.path(), &list, CONVERGE, ALL);
    assert_eq!(lines(folder.path(), "told"), 1, "once");
}

#[test]
fn who_is_told_still_waits_for_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let list = [
        json!({"command": {"shell": "echo half >> half; false"}, "name": "fetch", "notifies": ["migrate"]}),
        json!({"command": {"shell": "echo ran >> ran", "notified": true}, "name": "migrate", "after": ["fetch"]}),
    ];
    let rows = pass(folder.path(), &list, CONVERGE, ALL);
    assert_eq!(standings(&rows), [("fetch", Standing::Failed), ("migrate", Standing::Blocked)]);
    assert_eq!(lines(folder.path(), "ran"), 0);
}

#[test]
fn two_uses_of_a_recipe_are_told_apart() {
    let used = |at: &str| -> Use {
        serde_json::from_value(json!({
            "recipe": "app",
            "options": {"at": at},
            "resources": [
                {"file": {"path": "{{ option.at }}/conf", "content": "x"}, "notifies": ["service"]},
                shell("service", "echo told >> {{ option.at | replace('/', '') }}.told"),
            ],
        }))
        .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let recipes = [used("/a"), used("/b")];
    let once = || whole(folder.path(), &recipes, &[], &json!({}), CONVERGE, ALL);
    once();
    assert_eq!((lines(folder.path(), "a.told"), lines(folder.path(), "b.told")), (1, 1));
    fs::write(folder.path().join("root/b/conf"), "drift").unwrap();
    once();
    assert_eq!((lines(folder.path(), "a.told"), lines(folder.path(), "b.told")), (1, 2));
}

#[test]
fn two_that_are_alike_are_one_with_what_is_said_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let list = [
        json!({"file": {"path": "/conf", "content": "x"}, "notifies": ["one"]}),
        json!({"file": {"path": "/conf", "content": "x"}, "notifies": ["other"]}),
        shell("one", "echo told >> one"),
        shell("other", "echo told >> other"),
    ];
    pass(folder.path(), &list, CONVERGE, ALL);
    assert_eq!((lines(folder.path(), "one"), lines(folder.path(), "other")), (1, 1));
}

#[test]
fn the_same_words_elsewhere_are_another_command() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("root/a")).unwrap();
    fs::create_dir_all(folder.path().join("root/b")).unwrap();
    let touch = |at: &str| json!({"command": {"run": ["sh", "-c", "echo x >> done"], "at": at}});
    let list = [touch("/a"), touch("/b")];
    pass(folder.path(), &list, CONVERGE, ALL);
    pass(folder.path(), &list, CONVERGE, ALL);
    assert_eq!((lines(folder.path(), "a/done"), lines(folder.path(), "b/done")), (1, 1));
}

#[test]
fn who_wait_for_each_other_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let pair = |one: &str, other: &str| {
        [
            json!({"file": {"path": format!("/{one}"), "content": "x"}, "after": [format!("file /{other}")]}),
            json!({"file": {"path": format!("/{other}"), "content": "x"}, "after": [format!("file /{one}")]}),
        ]
    };
    let list = [pair("a", "b"), pair("c", "d")].concat();
    let rows = pass(folder.path(), &list, CONVERGE, ALL);
    assert_eq!(rows.len(), 4, "both circles are found");
    assert!(rows.iter().all(|row| row.why.as_ref().unwrap().contains("wait for each other")), "{rows:#?}");
}

#[test]
fn a_secret_is_seen_nowhere_but_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let context = json!({"secret": {"db": "hunter2hunter2", "pem": "BEGIN first-line\nsecond-line-of-it\n"}});
    let list = |tail: &str| {
        vec![
            json!({"line": {"path": "/env", "line": format!("PASSWORD={{{{ secret.db }}}}{tail}"), "create": true}}),
            json!({"file": {"path": "/loud", "content": format!("{{{{ secret.db | upper }}}}{tail}"), "mode": "0600"}}),
            json!({"file": {"path": "/checked", "content": format!("{{{{ secret.db }}}}{tail}"), "validate": ["sh", "-c", "cat %s >&2; exit 1", "%s"]}}),
            json!({"command": {"shell": format!("cat >&2; echo {tail}; exit 3"), "stdin": "{{ secret.pem }}"}}),
            json!({"command": {"run": ["echo", "{{ secret.db }}"]}}),
        ]
    };
    let mut said = String::new();
    for (mode, tail) in [(DIAGNOSE, ""), (CONVERGE, ""), (CONVERGE, "!"), (DIAGNOSE, "?")] {
        let rows = whole(folder.path(), &[], &list(tail), &context, mode, ALL);
        assert_eq!(rows[4].standing, Standing::Failed, "an argument can be seen by everybody");
        said.push_str(&serde_json::to_string(&rows).unwrap());
    }
    for entry in fs::read_dir(folder.path().join("memory")).unwrap() {
        said.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
    }
    for secret in ["hunter2", "HUNTER2", "second-line-of-it"] {
        assert!(!said.contains(secret), "{secret} is in: {said}");
    }
    assert!(fs::read_to_string(folder.path().join("root/env")).unwrap().contains("PASSWORD=hunter2hunter2"));
    assert!(fs::read_to_string(folder.path().join("root/loud")).unwrap().contains("HUNTER2HUNTER2"));
    assert!(!folder.path().join("root/checked").exists());
}
