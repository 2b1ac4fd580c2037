//! What a person does with data by hand: snapshots of what runs, trials, ways back, growth, and what may go.

use std::time::Duration;

use rustix::process::Signal;

use crate::bench::{Bench, file, kill, whole};

/// A writer that stops while a file says so, and backups that say so.
fn backed_up(backup: &str) -> String {
    let writer = r#"n=$(tail -n 1 "$0/numbers" 2>/dev/null); while true; do if [ -e "$1/hold" ]; then touch "$1/held"; else rm -f "$1/held"; n=$((n + 1)); echo "$n" >> "$0/numbers"; fi; sleep 0.02; done"#;
    let plain = file(0);
    let (head, _) = plain.split_once("services:").unwrap();
    let head = head.replace("at: /data}", &format!("at: /data{backup}}}"));
    format!(
        "{head}services:\n  counter:\n    on: shop.db\n    command: [/bin/sh, -c, '{writer}', \"{{{{ mount.data }}}}\", \"{{{{ node.root }}}}\"]\n"
    )
}

const HELD: &str = r#", backup: {every: 1m, keep: 2, before: {run: [/bin/sh, -c, 'touch "$0/hold"; until [ -e "$0/held" ]; do sleep 0.01; done', "{{ node.root }}"]}, after: {run: [/bin/sh, -c, 'rm -f "$0/hold"', "{{ node.root }}"]}}"#;

/// The snapshots of a kind, newest first.
fn snapshots(bench: &Bench, kind: &str) -> Vec<String> {
    let wanted = format!("kind={kind}");
    let list = bench.run(&["snapshots", "list", "--where", &wanted, "-o", "json"]).ended(0).data();
    list.as_array().unwrap().iter().map(|row| row["snapshot"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_backup_is_taken_tried_and_gone_back_to() {
    let bench = Bench::new(&backed_up(HELD));
    bench.run(&["up"]).ended(0);
    bench.counted(5);
    bench.run(&["volumes", "list"]).ended(0).says("shop.db[0]:data").says("mounted");
    bench.run(&["volumes", "verify"]).ended(2).says("no whole snapshot there yet");
    bench.run(&["volumes", "snapshot", "shop.db[0]:data"]).ended(0).says("1 snapshot taken");
    let first = snapshots(&bench, "backup");
    assert_eq!(first.len(), 1);
    // What the hooks stopped goes on, and the copy is of an instant: whole lines, in order.
    let copied = bench.sealed();
    whole(&copied[0]);
    let lines = copied[0].lines().count();
    assert!(lines >= 5);
    let later = bench.counted(lines + 5);
    bench.run(&["volumes", "verify"]).ended(0).says("read back and the same");
    bench.run(&["volumes", "show", "shop.db[0]:data"]).ended(0).says("backup, life 1").says("every 1m");
    // A backup proves nothing: what is put away is sealed all the same.
    bench
        .run(&["volumes", "restore", "shop.db[0]:data", "--from", "s-nothing", "--yes"])
        .ended(2)
        .says(&format!("--from {}", first[0]));
    let restored = bench.run(&["volumes", "restore", "shop.db[0]:data", "--from", &first[0], "--yes"]);
    restored.ended(0).says("is sealed, and can be restored as well");
    let back = bench.counted(lines + 2);
    assert!(back.starts_with(&copied[0]));
    let seals = snapshots(&bench, "seal");
    assert_eq!(seals.len(), 1, "what was there before is kept");
    // And forwards again.
    bench.run(&["volumes", "restore", "shop.db[0]:data", "--from", &seals[0], "--yes"]).ended(0);
    let forth = bench.counted(later.lines().count());
    assert!(forth.starts_with(&later), "every number from before is there");
    bench.run(&["volumes", "verify", "--all"]).ended(0).says("3 snapshots would bring back");
    // One that was changed behind our back is found out.
    let path = bench.local().join("snapshots").join(&first[0]).join("data/numbers");
    std::fs::write(&path, "another\n").unwrap();
    bench.run(&["volumes", "verify", "--snapshot", &first[0]]).ended(1).says("would not bring back");
    let machines = bench.machines();
    let refused = bench.run(&["volumes", "restore", "shop.db[0]:data", "--from", &first[0], "--yes"]);
    refused.ended(1).says("is damaged").says("nothing was changed");
    assert_eq!(bench.machines(), machines);
    assert!(!bench.local().join("snapshots").join(&first[0]).join("trial").exists());
}

#[test]
fn backups_come_by_themselves_and_old_ones_go() {
    let bench = Bench::new(&backed_up(HELD));
    bench.run(&["up"]).ended(0);
    let first = {
        bench.run(&["volumes", "snapshot"]).ended(0);
        snapshots(&bench, "backup")
    };
    // The newest is younger than a minute: none is due.
    bench.run(&["up", "-o", "json"]).ended(0).says("\"steps\": 0");
    bench.run(&["volumes", "snapshot"]).ended(0);
    let watching = bench.start(&["heal", "--watch"]);
    let begun = std::time::Instant::now();
    // A third is taken, and the first of them goes.
    let replaced = |now: &[String]| now.len() == 2 && !now.contains(&first[0]);
    while !replaced(&snapshots(&bench, "backup")) {
        assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", snapshots(&bench, "backup"));
        std::thread::sleep(Duration::from_millis(200));
    }
    kill(watching.id(), Signal::INT);
    Bench::end(watching).ended(130);
    bench
        .run(&["history", "-v", "--limit", "200"])
        .ended(0)
        .says("done  backup")
        .says("delete snapshot")
        .says(&first[0]);
    bench.run(&["volumes", "verify", "--all"]).ended(0).says("2 snapshots");
}

#[test]
fn a_backup_whose_hook_refuses_is_not_taken() {
    let refusing = r#", backup: {every: 1m, before: {run: [/bin/sh, -c, 'echo not now; exit 1']}, after: {run: [/bin/sh, -c, 'touch "$0/after"', "{{ mount.data }}"]}}"#;
    let bench = Bench::new(&backed_up(refusing));
    bench.run(&["up"]).ended(0);
    bench.run(&["volumes", "snapshot"]).ended(1).says("backup before").says("not now");
    assert!(bench.metas("snapshots").is_empty());
    let volume = bench.numbers();
    let after = volume[0].parent().unwrap().join("after");
    crate::bench::eventually("what was to run afterwards", || after.exists());
    // When one is due by itself and fails, the cluster is as launched as it was.
    let begun = std::time::Instant::now();
    while !bench.run(&["plan"]).ended(0).out.contains("backup") {
        assert!(begun.elapsed() < Duration::from_secs(100), "no backup is ever due");
        std::thread::sleep(Duration::from_millis(200));
    }
    bench.run(&["up"]).ended(0).says("is launched").says("not now");
    bench.run(&["status"]).ended(0).says("`backup` failed and is tried again");
    assert!(bench.metas("snapshots").is_empty());
}

#[test]
fn only_what_newer_ones_hold_is_pruned() {
    let bench = Bench::new(&file(0));
    for _ in 0..3 {
        bench.run(&["up", "--yes"]).ended(0);
        bench.run(&["away", "--yes"]).ended(0);
    }
    let all = snapshots(&bench, "seal");
    assert_eq!(all.len(), 3);
    bench.run(&["snapshots", "prune"]).ended(0).says("nothing is pruned");
    bench.run(&["snapshots", "prune", "--seals", "1"]).ended(2).says("--yes");
    bench.run(&["snapshots", "prune", "--seals", "1", "--dry-run"]).ended(0).says(&all[1]).says(&all[2]);
    assert_eq!(snapshots(&bench, "seal").len(), 3);
    bench.run(&["snapshots", "prune", "--seals", "0", "--yes"]).ended(0).says("2 snapshots deleted");
    assert_eq!(snapshots(&bench, "seal"), all[..1], "the last seal stays, whatever is asked");
    bench.run(&["wake"]).ended(0);
    bench.counted(1);
}

#[test]
fn what_left_the_file_is_pruned_when_a_person_says_so() {
    let bench = Bench::new(&file(2));
    bench.run(&["up"]).ended(0);
    bench.run(&["volumes", "snapshot"]).ended(0);
    bench.run(&["prune"]).ended(0).says("nothing is pruned");
    // The cloud with the data leaves the file, and a node of the other.
    let text = file(1);
    let (head, tail) = text.split_once("      db:\n").unwrap();
    let (_, web) = tail.split_once("      web:\n").unwrap();
    let (web, _) = web.split_once("services:").unwrap();
    bench.write(&format!("{head}      web:\n{web}"));
    bench.run(&["prune", "--dry-run"]).ended(0).says("DATA IS DESTROYED");
    assert_eq!(bench.machines().len(), 3);
    bench.run(&["prune", "--yes"]).ended(2).says("--yes --name shop");
    bench.run(&["prune", "--yes", "--name", "shop"]).ended(0).says("retired");
    assert_eq!(bench.machines().len(), 1);
    assert_eq!(bench.metas("volumes").len(), 1, "a night's sleep, to change one's mind");
    bench.counted(1);
    // Until then it is told, and nobody seals what was given up.
    bench.run(&["prune", "--dry-run"]).ended(0).says("goes after").says("nothing more is pruned until then");
    bench.run(&["up"]).ended(0);
    bench.run(&["status", "--check"]).ended(0).says("was given up and is retired");
    assert_eq!(bench.metas("snapshots").len(), 1, "the backup of before, and no seal");
}

#[test]
fn snapshots_of_what_left_the_file_go_when_the_name_is_typed() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    bench.run(&["away", "--yes"]).ended(0);
    let text = file(1);
    let (head, tail) = text.split_once("      db:\n").unwrap();
    let (_, web) = tail.split_once("      web:\n").unwrap();
    let (web, _) = web.split_once("services:").unwrap();
    bench.write(&format!("{head}      web:\n{web}"));
    bench.run(&["prune"]).ended(0).says("nothing is pruned");
    assert_eq!(bench.metas("snapshots").len(), 1);
    bench.run(&["prune", "--snapshots", "--yes"]).ended(2).says("SNAPSHOTS ARE DESTROYED: 1");
    bench.run(&["prune", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    assert!(bench.metas("snapshots").is_empty());
}

#[test]
fn a_volume_grows_in_the_file_and_in_fact() {
    let bench = Bench::new(&file(0));
    bench.run(&["up"]).ended(0);
    let before = bench.counted(3);
    bench.run(&["volumes", "grow", "shop.db[0]:data", "32MiB", "--yes"]).ended(2).says("ever made smaller");
    bench.run(&["volumes", "grow", "shop.db[0]:files", "128MiB", "--yes"]).ended(2).says("no mount");
    bench.run(&["volumes", "grow", "shop.db[7]:data", "128MiB", "--yes"]).ended(2).says("no mount");
    bench.run(&["volumes", "grow", "shop.db[0]:data", "128MiB", "--yes"]).ended(0).says("has 128MiB");
    let text = std::fs::read_to_string(bench.folder.join("p/ideal.yaml")).unwrap();
    assert_eq!(text, file(0).replace("64MiB", "128MiB"), "nothing else was changed");
    assert_eq!(bench.metas("volumes")[0]["size"], "128MiB");
    assert!(bench.counted(before.lines().count() + 1).starts_with(&before));
    // One that is written as an expression is the person's to change.
    bench.write(
        &file(0)
            .replace("64MiB", "\"{{ vars.room }}\"")
            .replace("ideal: 1", "ideal: 1\nvars: {room: 128MiB}"),
    );
    bench.run(&["volumes", "grow", "shop.db[0]:data", "256MiB", "--yes"]).ended(2).says("by hand");
}

#[test]
fn a_node_is_drained_taken_back_and_replaced() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    let before = bench.counted(5);
    bench.run(&["nodes", "drain", "shop.db[0]"]).ended(0).says("drained");
    let status = bench.status();
    assert_eq!(status["clouds"][0]["mounted"], 0, "{status}");
    assert_eq!(bench.machines().len(), 2, "the machine stays");
    bench.run(&["up", "shop.web"]).ended(0);
    bench.run(&["nodes", "return", "shop.db[0]"]).ended(0).says("back at work");
    bench.counted(before.lines().count() + 2);
    let old = bench.machines();
    bench.run(&["nodes", "replace", "shop.db[0]"]).ended(2).says("--yes");
    bench.run(&["nodes", "replace", "shop.db[0]", "--yes"]).ended(0).says("their volumes brought along");
    let new = bench.machines();
    assert_eq!(old.iter().filter(|one| new.iter().any(|other| other["id"] == one["id"])).count(), 1);
    assert!(bench.counted(before.lines().count() + 4).starts_with(&before));
    assert!(bench.metas("snapshots").is_empty(), "the volume came along, and was not copied");
    bench.run(&["away", "shop.web", "--yes"]).ended(0);
    bench.run(&["nodes", "replace", "shop.web[0]", "--yes"]).ended(2).says("no machine that runs");
}
