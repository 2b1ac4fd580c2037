//! What changes on a node behind our back: noticed, made right within a second, and told with before and after. And
//! who may say that something is left alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bench::{Bench, eventually};

const FILE: &str = r#"ideal: 1
clouds:
  shop:
    uuid: 5f0c6f2e-0000-4000-8000-000000000001
    nodes: 1
    resources:
      - directory: {path: /srv/app, mode: "0750"}
      - file: {path: /srv/app/conf, content: "as wanted\n", mode: "0640"}
      - link: {path: /current, to: srv/app}
      - line: {path: /etc/hosts, line: "10.0.0.1 db", create: true}
      - file: {path: /asked, content: "ask me\n"}
        care: ask
      - file: {path: /reported, content: "tell me\n"}
        care: report
        tags: [quiet]
services:
  pub: {on: shop, command: [sleep, "1000"]}
"#;

/// The longest that a drift may last.
const SECOND: Duration = Duration::from_secs(1);

fn root(bench: &Bench) -> PathBuf {
    let machine = fs::read_dir(bench.local().join("machines")).unwrap().next().unwrap().unwrap();
    machine.path().join("root")
}

fn launched() -> (Bench, PathBuf) {
    let bench = Bench::new(FILE);
    bench.run(&["up", "--yes"]).ended(0);
    let root = root(&bench);
    (bench, root)
}

/// How long it takes until this holds.
fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < 10 * SECOND, "it was never made right: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    begun.elapsed()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o7777)
}

#[test]
fn drift_is_healed_within_a_second_and_told() {
    let (bench, root) = launched();
    let conf = root.join("srv/app/conf");
    let right = || fs::read_to_string(&conf).is_ok_and(|text| text == "as wanted\n") && mode(&conf) == 0o640;
    let mut took = Vec::new();
    let mut heal = |what: &str, harm: &dyn Fn(), holds: &dyn Fn() -> bool| {
        // The agent has done with what was before, for it answers.
        bench.run(&["diagnose"]).ended(0);
        assert!(holds(), "before: {what}");
        harm();
        let lasted = until(what, holds);
        assert!(lasted < SECOND, "{what} took {lasted:?}");
        took.push((what.to_owned(), lasted));
    };
    heal("edited", &|| fs::write(&conf, "by hand").unwrap(), &right);
    heal("deleted", &|| fs::remove_file(&conf).unwrap(), &right);
    heal("chmod", &|| fs::set_permissions(&conf, fs::Permissions::from_mode(0o666)).unwrap(), &right);
    let linked = || {
        fs::remove_file(&conf).unwrap();
        symlink("/dev/null", &conf).unwrap();
    };
    heal("replaced by a link", &linked, &|| right() && !conf.is_symlink());
    heal(
        "replaced by another file",
        &|| {
            fs::write(root.join("other"), "moved here").unwrap();
            fs::rename(root.join("other"), &conf).unwrap();
        },
        &right,
    );
    heal("its folder removed", &|| fs::remove_dir_all(root.join("srv")).unwrap(), &|| {
        right() && mode(&root.join("srv/app")) == 0o750
    });
    let link = root.join("current");
    heal(
        "a link led elsewhere",
        &|| {
            fs::remove_file(&link).unwrap();
            symlink("etc", &link).unwrap();
        },
        &|| fs::read_link(&link).is_ok_and(|to| to == Path::new("srv/app")),
    );
    let hosts = root.join("etc/hosts");
    heal("a line removed", &|| fs::write(&hosts, "127.0.0.1 localhost\n").unwrap(), &|| {
        fs::read_to_string(&hosts).is_ok_and(|text| text.ends_with("10.0.0.1 db\n"))
    });
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "127.0.0.1 localhost\n10.0.0.1 db\n", "the rest is left");
    let pid = || {
        bench.status()["clouds"][0]["services"]["pub[0]"]["pid"]
            .as_u64()
            .map(|pid| u32::try_from(pid).unwrap())
    };
    let before = pid().unwrap();
    ideal_host::ProcessId::of(before).unwrap().signal(rustix::process::Signal::KILL).unwrap();
    let lasted = until("killed", || pid().is_some_and(|now| now != before));
    assert!(lasted < SECOND, "killed took {lasted:?}");

    // Told as it is asked, and by the journal once an engine has looked.
    bench.run(&["heal"]).ended(0);
    let history = bench.run(&["history", "--limit", "200"]).ended(0);
    for told in [
        "content was 7 bytes",
        "it was missing, wanted present",
        "mode was 0666, wanted 0640",
        "it was a link, wanted a file",
    ] {
        assert!(history.out.contains(told), "`{told}` is not told: {}", history.out);
    }
    assert!(
        history.out.contains("link /current of shop[0]: target was etc, wanted srv/app"),
        "{}",
        history.out
    );
}

#[test]
fn what_is_left_to_a_person_is_left() {
    let (bench, root) = launched();
    let (asked, reported) = (root.join("asked"), root.join("reported"));
    assert_eq!(fs::read_to_string(&asked).unwrap(), "ask me\n", "at first it is made, for it was ordered");
    assert!(!reported.exists(), "not even at first");
    bench
        .run(&["status"])
        .ended(0)
        .says("file /reported: it was missing, wanted present; it is only reported");
    bench.run(&["diagnose", "--check", "--tags", "quiet"]).ended(3).says("it was missing");
    fs::write(&asked, "by hand").unwrap();
    eventually("it is seen", || bench.run(&["status"]).out.contains("ideal heal --only 'file /asked'"));
    assert_eq!(fs::read_to_string(&asked).unwrap(), "by hand");
    bench.run(&["status", "--check"]).ended(0);
    bench.run(&["heal", "--only", "file /nowhere"]).ended(5).says("there is no resource");
    bench.run(&["heal", "--only", "file /asked"]).ended(0).says("healed");
    assert_eq!(fs::read_to_string(&asked).unwrap(), "ask me\n");
    bench.run(&["heal", "--only", "file /reported"]).ended(0).says("healed");
    assert_eq!(fs::read_to_string(&reported).unwrap(), "tell me\n");
}

#[test]
fn a_pause_is_seen_and_ends_by_itself() {
    let (bench, root) = launched();
    let conf = root.join("srv/app/conf");
    bench.run(&["pause", "shop[0]", "--for", "2s"]).ended(2).says("--why");
    bench
        .run(&[
            "pause",
            "shop[0]",
            "--only",
            "file /srv/app/conf",
            "--for",
            "3s",
            "--why",
            "trying a setting",
        ])
        .ended(0);
    let begun = Instant::now();
    fs::write(&conf, "on trial").unwrap();
    bench.run(&["status"]).says("trying a setting");
    // Others are kept right meanwhile.
    fs::remove_file(root.join("current")).unwrap();
    until("the link", || root.join("current").is_symlink());
    assert!(begun.elapsed() > 3 * SECOND || fs::read_to_string(&conf).unwrap() == "on trial");
    until("after the pause", || fs::read_to_string(&conf).is_ok_and(|text| text == "as wanted\n"));
    assert!(begun.elapsed() >= 2 * SECOND, "it was left alone: {:?}", begun.elapsed());
    bench.run(&["pause", "--for", "1h", "--why", "all of it"]).ended(0);
    bench.run(&["pause", "--end"]).ended(0).says("right again");
    assert!(!bench.run(&["status"]).out.contains("all of it"));
}

#[test]
fn a_fight_is_given_up_with_a_reason() {
    let (bench, root) = launched();
    let conf = root.join("srv/app/conf");
    let is_right = || fs::read_to_string(&conf).is_ok_and(|text| text == "as wanted\n");
    let given_up = || bench.run(&["status"]).out.contains("something else wants it otherwise");
    let mut times = 0;
    loop {
        fs::write(&conf, "mine").unwrap();
        until("made right or given up", || is_right() || given_up());
        if !is_right() {
            break;
        }
        times += 1;
        assert!(times <= 10, "it is made right again and again");
    }
    // A write may be seen in two steps, and be made right twice.
    assert!(times >= 4, "it was given up after {times} times");
    assert_eq!(fs::read_to_string(&conf).unwrap(), "mine");
    // A person who says so has it made right, and the fight may begin anew.
    bench.run(&["heal", "--only", "file /srv/app/conf"]).ended(0);
    assert_eq!(fs::read_to_string(&conf).unwrap(), "as wanted\n");
}

#[test]
fn pushed_is_at_hand_and_not_in_force() {
    let (bench, root) = launched();
    bench.write(&FILE.replace("as wanted", "another"));
    bench.run(&["push"]).ended(0).says("1 of 1 node");
    assert_eq!(fs::read_to_string(root.join("srv/app/conf")).unwrap(), "as wanted\n");
    bench.run(&["up", "--yes"]).ended(0);
    eventually("it is in force", || fs::read_to_string(root.join("srv/app/conf")).unwrap() == "another\n");
}

#[test]
fn a_machine_converges_from_the_same_file() {
    let bench = Bench::new("");
    let made = bench.folder.join("made");
    let text = |content: &str| {
        format!(
            "ideal: 1\nclouds:\n  lab:\n    uuid: 5f0c6f2e-0000-4000-8000-00000000000a\n    nodes: 2\n    resources:\n      - file: {{path: {}/f, content: \"{content} {{{{ node.name }}}}\"}}\n",
            made.display()
        )
    };
    bench.write(&text("one"));
    let home = bench.folder.join("home").display().to_string();
    let converge = |more: &[&str]| bench.run(&[&["converge", "--home", &home], more].concat());
    converge(&[]).ended(2).says("--as");
    converge(&["--as", "lab[7]"]).ended(2).says("there is no node");
    converge(&["--as", "lab[1]", "--dry-run"]).ended(3).says("it was missing");
    assert!(!made.exists());
    converge(&[]).ended(0).says("1 healed");
    assert_eq!(fs::read_to_string(made.join("f")).unwrap(), "one lab[1]");
    converge(&["-o", "json"]).ended(0);
    // The cloud has another name now; its uuid is the same, and so is the machine.
    bench.write(&text("two").replace("lab:", "laboratory:"));
    converge(&["--dry-run"]).ended(3).says("-one lab[1]").says("+two laboratory[1]");
    converge(&[]).ended(0);
    assert_eq!(fs::read_to_string(made.join("f")).unwrap(), "two laboratory[1]");
    converge(&["--dry-run"]).ended(0).says("1 right");
}
