//! Snapshots of filesystems in use: held still while they are copied, and never for longer, whoever dies meanwhile.

use crate::bed::{Bed, until};
use crate::cluster::{EXT4, file};

impl Bed {
    /// What the counter had written when a snapshot was taken.
    fn numbers_of(&self, snapshot: &str) -> usize {
        let image = self.data().join("snapshots").join(snapshot).join("data");
        let copy = self.folder.join("copy");
        std::fs::copy(image, &copy).unwrap();
        let check = std::process::Command::new("fsck.ext4").args(["-f", "-n"]).arg(&copy).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        let dump = format!("dump numbers {}", self.folder.join("numbers").display());
        let dumped = std::process::Command::new("debugfs").args(["-R", &dump]).arg(&copy).output().unwrap();
        assert!(dumped.status.success());
        let text = std::fs::read_to_string(self.folder.join("numbers")).unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
        numbers.len()
    }
    fn newest(&self) -> String {
        let list = self.ideal(&["snapshots", "list", "--limit", "1", "-o", "json"]).ended(0).out;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        list["data"][0]["snapshot"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_filesystem_in_use_is_copied_as_it_is_at_one_instant() {
    let Some(bed) = Bed::start("backup") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let mut seen = bed.numbers_rise_above(10);
    for _ in 0..5 {
        bed.ideal(&["volumes", "snapshot"]).ended(0).says("1 snapshot taken");
        let held = bed.numbers_of(&bed.newest());
        assert!(held >= seen, "{held} numbers are in the snapshot, {seen} were written before");
        seen = bed.numbers_rise_above(held);
    }
    bed.ideal(&["volumes", "verify", "--all"]).ended(0).says("5 snapshots would bring back");
    bed.ideal(&["volumes", "list"]).ended(0).says("ext4");
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
}

#[test]
fn who_dies_while_a_filesystem_is_held_still_leaves_it_free() {
    let Some(bed) = Bed::start("still") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let mut seen = bed.numbers_rise_above(5);
    let dies_holding = || {
        let mut command = bed.command(&["volumes", "snapshot"]);
        let died = command.env("IDEAL_CRASH_AT", "docker.snapshot.copied#1").output().unwrap();
        assert!(died.status.code().is_none(), "{died:?}");
    };
    // What waits for its disk cannot be killed; the agent, which would let it go on, can. The next looks do it.
    dies_holding();
    bed.docker(&["kill", &bed.container()]);
    bed.ideal(&["up", "--yes", "--timeout", "3m"]).ended(0);
    seen = bed.numbers_rise_above(seen);
    // Only the engine dies: what is put away meanwhile is let go first.
    dies_holding();
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
    bed.ideal(&["wake", "--yes"]).ended(0);
    assert!(until(20, || bed.numbers() > seen));
}

#[test]
fn an_order_whose_giver_has_died_holds_nothing_still() {
    let Some(bed) = Bed::start("orphan") else { return };
    let before = "before: {run: [/bin/sh, -c, 'touch /root/before; sleep 2']}";
    let mount = format!("{{size: 64MiB, at: /var/lib/data, backup: {{every: 1h, {before}}}}}");
    bed.write(&file(&bed, 0, &mount));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    let mut dying = bed.command(&["volumes", "snapshot"]).spawn().unwrap();
    let began = || bed.docker(&["exec", &bed.container(), "test", "-e", "/root/before"]).code == Some(0);
    assert!(until(20, began), "what runs first");
    dying.kill().unwrap();
    dying.wait().unwrap();
    // What was to be held is put away instead, while what runs first goes on.
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!((bed.left(), bed.metas("snapshots").len()), (Vec::new(), 1));
    bed.ideal(&["wake", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
}

#[test]
fn a_mounted_filesystem_grows() {
    let Some(bed) = Bed::start("grow") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    let before = bed.room();
    bed.ideal(&["volumes", "grow", "shop.db[0]:data", "256MiB", "--yes"]).ended(0).says("has 256MiB");
    assert!(before < 64 << 10 && bed.room() > 200 << 10, "{before} and {} KiB", bed.room());
    bed.numbers_rise_above(seen);
    bed.ideal(&["up", "--yes"]).ended(0).says("nothing had to be done");
    // What no filesystem of its kind can fill is told, and what is there works on.
    let seen = bed.numbers_rise_above(seen);
    let told = bed.ideal(&["volumes", "grow", "shop.db[0]:data", "512TiB", "--yes"]);
    assert_ne!(told.code, Some(0), "{told:?}");
    bed.numbers_rise_above(seen);
}
