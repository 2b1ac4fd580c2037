//! A cluster's whole life in containers, with real filesystems on real block devices.

use std::process::Command;

use crate::bed::{Bed, IMAGE, until};

/// One node with a volume that a counter appends to, and some web nodes.
pub(crate) fn file(bed: &Bed, web: u32, mount: &str) -> String {
    let socket = &bed.socket;
    let [shop, db, others] = &bed.clouds;
    format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{IMAGE}", socket: "{socket}"}}}}}}
clouds:
  shop:
    uuid: {shop}
    clouds:
      db:
        uuid: {db}
        nodes: 1
        mounts: {{data: {mount}}}
        resources:
          - file: {{path: /etc/motd, content: "of a machine"}}
      web:
        uuid: {others}
        nodes: {web}
        size: {{cpus: 1, memory: 128MiB}}
services:
  counter:
    on: shop.db
    command:
      - /bin/sh
      - -c
      - 'n=$(tail -n 1 "$0" 2>/dev/null); while true; do n=$((n + 1)); echo "$n" >> "$0"; sleep 0.02; done'
      - "{{{{ mount.data }}}}/numbers"
"#
    )
}

/// The usual mount.
pub(crate) const EXT4: &str = "{size: 64MiB, at: /var/lib/data}";

impl Bed {
    /// What the counter has written: every number once, in order.
    #[track_caller]
    pub(crate) fn numbers(&self) -> usize {
        let text = self.within("cat /var/lib/data/numbers").ended(0).out;
        let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "a number is lost or twice there");
        numbers.len()
    }
    #[track_caller]
    pub(crate) fn numbers_rise_above(&self, before: usize) -> usize {
        assert!(until(20, || self.numbers() > before), "the counter does not go on");
        self.numbers()
    }
}

#[test]
fn a_whole_life_in_containers() {
    let Some(bed) = Bed::start("life") else { return };
    // Somebody's own, of which nothing may be touched.
    bed.docker(&["network", "create", "another"]).ended(0);
    bed.docker(&["run", "-d", "--name", "another", "--network", "another", IMAGE, "sleep", "3600"]).ended(0);
    let own = bed.folder.join("another.img");
    std::fs::File::create(&own).unwrap().set_len(1 << 20).unwrap();
    assert!(Command::new("losetup").arg("-f").arg(&own).status().unwrap().success());

    bed.write(&file(&bed, 2, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0).says("launched");
    bed.ideal(&["up", "--yes"]).ended(0).says("launched");
    bed.ideal(&["doctor"]).ended(0).says("docker: engine");
    bed.ideal(&["logs", "shop.db[0]"]).ended(0).says("made ext4");
    let mounted = bed.within("mount").ended(0).out;
    assert!(mounted.contains("/dev/ideal/data on /var/lib/data type ext4"), "{mounted}");
    assert_eq!(bed.within("cat /etc/motd").ended(0).out, "of a machine");
    let mut seen = bed.numbers_rise_above(20);

    // Only who has a mount may mount, and nobody is privileged; a size is a limit.
    let inspected = |container: &str| {
        let text = bed.docker(&["inspect", container]).ended(0).out;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[0]["HostConfig"].clone()
    };
    let db = inspected(&bed.container());
    assert_eq!((&db["Privileged"], &db["Memory"]), (&false.into(), &0.into()));
    assert_eq!(db["CapAdd"].as_array().map(Vec::len), Some(2), "{}", db["CapAdd"]);
    let webs = bed.containers(&format!("ideal.cloud={}", bed.clouds[2]));
    assert_eq!(webs.len(), 2);
    for web in webs.iter().map(|web| inspected(web)) {
        assert_eq!((&web["Memory"], &web["NanoCpus"]), (&(128 << 20).into(), &1_000_000_000.into()));
        assert!(web["CapAdd"].is_null() && web["DeviceCgroupRules"].is_null(), "{web}");
    }

    // Killed: it is started again, and what it had is mounted again.
    bed.docker(&["kill", &bed.container()]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0).says("start machine");
    seen = bed.numbers_rise_above(seen);
    // Taken away: its volume returns on the replacement.
    let before = bed.container();
    bed.docker(&["rm", "-f", &before]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0).says("create machine");
    assert_ne!(before, bed.container());
    seen = bed.numbers_rise_above(seen);

    // Put away, and awake.
    bed.ideal(&["away", "--yes"]).ended(0).says("away");
    assert_eq!(bed.left().len(), 1, "away leaves only what is kept, and what is another's: {:?}", bed.left());
    let seals = bed.metas("snapshots");
    assert_eq!(seals.len(), 1);
    let sum = seals[0]["checksum"].as_str().unwrap().to_owned();
    bed.ideal(&["wake", "--yes"]).ended(0).says("restore volume");
    seen = bed.numbers_rise_above(seen);
    bed.ideal(&["away", "--yes"]).ended(0);
    let again: Vec<String> =
        bed.metas("snapshots").iter().map(|seal| seal["checksum"].as_str().unwrap().to_owned()).collect();
    assert!(again.contains(&sum), "the first seal is what it was: {again:?}");
    assert!(seen > 20);

    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    let own_left: Vec<(String, String)> = bed.loops();
    assert_eq!(own_left.len(), 1, "{own_left:?}");
    assert_eq!(own_left[0].1, own.display().to_string());
    assert_eq!(bed.left().len(), 1, "only the loop device of somebody: {:?}", bed.left());
    assert!(!bed.data().exists());
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.Running}}", "another"]).ended(0).out.trim(), "true");
    bed.docker(&["network", "inspect", "another"]).ended(0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/var/lib/data"), "{mounts}");
}

#[test]
fn an_engine_that_stops_is_told_and_takes_nothing_along() {
    let Some(bed) = Bed::start("engine") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    bed.engine_stops();
    let told = bed.ideal(&["status"]).says("no engine answers");
    assert_ne!(told.code, Some(0));
    let told = bed.ideal(&["up", "--yes"]).says("nothing was changed");
    assert_ne!(told.code, Some(0));
    assert_eq!((bed.loops().len(), bed.metas("volumes").len()), (1, 1));
    bed.engine_runs_again();
    bed.ideal(&["up", "--yes"]).ended(0).says("start machine");
    bed.numbers_rise_above(seen);
}
