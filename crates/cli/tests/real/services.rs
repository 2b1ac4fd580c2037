//! Services across nodes: where replicas are and why, moves with their mounts, changes of version, deaths of nodes.

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::bench::{Bench, eventually, kill, whole};

/// Three nodes; `pub` runs a program without data, `db` counts on a mount of its own.
fn file(replicas: u32, command: &str) -> String {
    format!(
        r#"ideal: 1
clouds:
  web: {{uuid: 5f0c6f2e-0000-4000-8000-00000000000b, nodes: 3}}
services:
  pub:
    on: web
    replicas: {replicas}  # as many as are needed
    change: {{within: 3s}}
    command: {command}
  db:
    on: web
    replicas: 1
    command:
      - /bin/sh
      - -c
      - 'n=$(tail -n 1 "$0" 2>/dev/null); while true; do n=$((n + 1)); echo "$n" >> "$0"; sleep 0.02; done'
      - "{{{{ mount.home }}}}/numbers"
    env: {{HERE: "{{{{ mount.home }}}}"}}
    mounts: {{home: {{size: 10MiB, at: /home/db}}}}
"#
    )
}

const ONE: &str = "[sleep, '10001']";
const TWO: &str = "[sleep, '10002']";
const BAD: &str = "['false']";

fn launched(replicas: u32) -> Bench {
    let bench = Bench::new(&file(replicas, ONE));
    bench.run(&["up"]).ended(0).says("web is launched");
    bench
}

impl Bench {
    fn replicas(&self, names: &[&str]) -> Vec<Json> {
        let arguments = [&["services", "list", "-o", "json"], names].concat();
        self.run(&arguments).ended(0).data().as_array().unwrap().clone()
    }
    fn replica(&self, name: &str) -> Json {
        self.replicas(&[name]).remove(0)
    }
    fn node_of(&self, name: &str) -> String {
        self.replica(name)["node"].as_str().unwrap_or_default().to_owned()
    }
    /// A node that does not carry a replica.
    fn other(&self, name: &str) -> String {
        let here = self.node_of(name);
        (0..3).map(|index| format!("web[{index}]")).find(|node| *node != here).unwrap()
    }
    /// There is one of each, and every one runs.
    #[track_caller]
    fn one_of_each(&self, replicas: usize) {
        let copies = self.copies();
        assert!(copies.values().all(|starts| starts.len() == 1), "{copies:?}");
        assert_eq!(copies.len(), replicas, "{copies:?}");
        let all = self.replicas(&[]);
        assert!(all.iter().all(|one| one["state"] == "running"), "{all:?}");
    }
}

#[test]
fn replicas_are_listed_and_explained() {
    let bench = Bench::new(&file(4, ONE));
    bench.run(&["check"]).ended(0).says("3 nodes, 1 mount, 2 services");
    bench.run(&["services", "list"]).ended(0).says("pub[3]   away");
    bench.run(&["up"]).ended(0);
    let all = bench.replicas(&[]);
    assert_eq!(all.len(), 5);
    for one in &all {
        assert_eq!((&one["state"], &one["cloud"]), (&"running".into(), &"web".into()), "{one}");
        assert_eq!(one["version"].as_str().map(str::len), Some(7), "{one}");
        assert_eq!(one["change"], Json::Null, "{one}");
    }
    assert_eq!(bench.replicas(&["pub"]).len(), 4);
    bench.run(&["services", "list", "--where", "service=db", "--limit", "1"]).ended(0).says("db[0]");
    bench.run(&["services", "list", "--where", "nod=x"]).ended(2).says("did you mean `node`");
    bench
        .run(&["services", "list", "pbu"])
        .ended(2)
        .says("there is no service `pbu`")
        .says("did you mean `pub`");
    bench.run(&["services", "show", "pub[4]"]).ended(2).says("pub has 4 replicas");

    let node = bench.node_of("db[0]");
    let shown = bench.run(&["services", "show", "db"]).ended(0).says("db   1/1 well on web");
    shown.says("mount     home   mounted").says(&format!("here      {node}: +100 of")).says("not       web[");
    let shown = bench.run(&["services", "show", "db[0]", "-o", "json"]).ended(0).data();
    let placing = shown["placing"].as_array().unwrap();
    let here: Vec<&Json> = placing.iter().filter(|one| one["here"] == true).collect();
    assert_eq!((placing.len(), here.len()), (3, 1), "{shown}");
    assert_eq!(
        (&here[0]["node"], &here[0]["lines"][0]["name"]),
        (&node.clone().into(), &"room".into()),
        "{shown}"
    );
    assert_eq!(shown["mounts"][0]["address"], "db[0]:home", "{shown}");
    let shown = bench.run(&["services", "show", "pub", "-o", "json"]).ended(0).data();
    assert_eq!((&shown["well"], &shown["change"]), (&4.into(), &Json::Null), "{shown}");
    assert_eq!(shown["replicas"].as_array().map(Vec::len), Some(4));

    bench.run(&["status"]).ended(0).says("pub   4/4 well").says("volumes 1/1 mounted");
    bench.run(&["nodes", "list", "--where", "mounted=1/1"]).ended(0).says(&node);
    bench.run(&["nodes", "show", &node]).ended(0).says("volume    db[0]:home");
    bench.run(&["show", "pub"]).ended(0).says("change.within       3s").says("heal ");

    // Beside a replica: on its node, with its environment and nothing that marks it as the replica's.
    let ran = bench.run(&["services", "exec", "db[0]", "--", "sh", "-c", "echo $HERE; env"]).ended(0);
    assert!(ran.out.lines().next().unwrap().ends_with("replicas/db-0-home"), "{}", ran.out);
    assert!(!ran.out.contains("IDEAL_SERVICE") && ran.out.contains("IDEAL_RUN"), "{}", ran.out);
    bench.run(&["services", "exec", "db[0]", "--", "sh", "-c", "exit 3"]).ended(3);
    // Also where containers were made at an engine that is gone.
    for home in std::fs::read_dir(bench.local().join("machines")).unwrap() {
        std::fs::write(home.unwrap().path().join("engine"), "/nowhere/engine.sock").unwrap();
    }
    bench.run(&["services", "exec", "db[0]", "--", "true"]).ended(0);
    bench.run(&["services", "exec", "db", "--", "true"]).ended(2).says("one replica is meant");
    bench.run(&["services", "logs", "pub[1]"]).ended(0);
    bench.run(&["services", "logs", "web[0]"]).ended(2);
}

#[test]
fn a_replica_moves_with_its_mount() {
    let bench = launched(3);
    let before = bench.counted(5);
    let (from, to) = (bench.node_of("db[0]"), bench.other("db[0]"));
    bench.run(&["services", "move", "db[0]", &to]).ended(0).says(&format!("from {from} with its 1 mount"));
    assert_eq!(bench.node_of("db[0]"), to);
    let after = bench.counted(before.lines().count() + 3);
    assert!(after.starts_with(&before), "every byte came along");
    bench.one_of_each(4);
    bench.run(&["services", "logs", "db[0]"]).ended(0);
    bench.run(&["volumes", "list"]).ended(0).says(&to);
    bench.run(&["services", "move", "db[0]", &to]).ended(0).says("already");
    // It stays there: what a person wanted is seen, and what is well placed is not moved.
    bench.run(&["up"]).ended(0).says("nothing had to be done");
    assert_eq!(bench.node_of("db[0]"), to);

    bench.run(&["services", "move", "dbx[0]", &to]).ended(2).says("did you mean `db`");
    bench.run(&["services", "move", "db[1]", &to]).ended(2).says("db has 1 replica,");
    bench.run(&["services", "move", "db[0]", "web[7]"]).ended(2).says("no node `web[7]`");
    bench.run(&["nodes", "cordon", &from]).ended(0).says("takes no more replicas");
    bench.run(&["services", "move", "db[0]", &from]).ended(2).says("cordoned");
    bench.run(&["history"]).ended(0).says("takes no more replicas").says("services move db[0]");
}

#[test]
fn a_new_version_comes_one_at_a_time() {
    let bench = launched(3);
    bench.write(&file(3, TWO));
    bench.run(&["services", "show", "pub"]).ended(0).says("not begun").says("(old)");
    // Looked at while it goes on: never is more than one down.
    let up = bench.start(&["up"]);
    let mut looks = Vec::new();
    eventually("the new version", || {
        let all = bench.replicas(&["pub"]);
        looks.push(all.iter().filter(|one| one["state"] == "running").count());
        let log = bench.run(&["history", "--limit", "200"]).ended(0).out;
        log.matches("throughout").count() == 3
    });
    Bench::end(up).ended(0).says("web is launched");
    assert!(looks.iter().all(|running| *running >= 2), "{looks:?}");
    let log = bench.run(&["history", "--limit", "200"]).ended(0).out;
    let told: Vec<&str> = log.lines().filter(|line| line.contains("changes  pub")).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, count) in told.iter().zip(1..) {
        assert!(line.ends_with(&format!(": {count} of its replicas")), "{line}");
    }
    bench.one_of_each(4);

    // The same by a person's word, with the same program.
    let version = bench.replica("pub[0]")["version"].clone();
    bench.run(&["services", "restart", "pub"]).ended(0).says("pub is started again: 3 replicas well");
    assert_eq!(bench.replica("pub[0]")["version"], format!("{}+1", version.as_str().unwrap()).as_str());
    bench.one_of_each(4);
}

#[test]
fn one_replica_is_started_again() {
    let bench = launched(3);
    let starts = || -> Vec<_> { (0..3).map(|i| bench.copies().remove(&format!("pub[{i}]"))).collect() };
    let before = starts();
    bench.run(&["services", "restart", "pub[1]"]).ended(0).says("pub[1] is started again on");
    let after = starts();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_ne!(after[1], before[1]);
    bench.one_of_each(4);
    bench.run(&["services", "restart", "pub[7]"]).ended(2).says("has 3 replicas");
    // With its data, which goes on.
    bench.counted(20);
    bench.run(&["services", "restart", "db[0]"]).ended(0);
    let lines = bench.counted(20).lines().count();
    bench.counted(lines + 20);
    // What a person was asked about has all of its chances again.
    bench.write(&file(3, BAD));
    bench.run(&["up", "--timeout", "3s"]);
    bench.run(&["services", "restart", "pub[0]", "--timeout", "2s"]).ended(7).says("is not well within 2.0s");
}

#[test]
fn a_bad_version_goes_back_and_a_change_is_paused() {
    let bench = launched(3);
    let good = bench.replica("pub[0]")["version"].clone();
    bench.run(&["services", "pause", "pub"]).ended(2).says("does not change now");
    bench.run(&["services", "resume", "pub"]).ended(2).says("no change of pub");
    bench.write(&file(3, BAD));
    let up = bench.run(&["up"]).ended(6).says("does not become well").says("ideal services show pub");
    assert!(!up.out.contains("is launched"), "{}", up.out);
    assert!(bench.replicas(&["pub"]).iter().all(|one| one["version"] == good && one["change"] == "old"));
    bench.run(&["services", "show", "pub"]).ended(0).says("given up: pub[");
    bench.run(&["status", "--check"]).ended(3).says("pub   3/3 well   given up");
    bench.run(&["heal"]).ended(6);
    let told = bench.run(&["services", "resume", "pub", "-o", "json"]).ended(6).data();
    assert_eq!(told["status"], "suspended", "{told}");
    bench.one_of_each(4);

    // Another one is tried; but not while a person holds it.
    bench.write(&file(3, TWO));
    bench.run(&["services", "pause", "pub"]).ended(0).says("0 of 3");
    bench.run(&["up"]).ended(6).says("a person paused it");
    bench.run(&["services", "list", "pub"]).ended(0).says(" old");
    bench.run(&["services", "restart", "pub"]).ended(2).says("is paused");
    bench.run(&["services", "resume", "pub"]).ended(0).says("3 replicas well");
    assert!(bench.replicas(&["pub"]).iter().all(|one| one["version"] != good));
    bench.run(&["status", "--check"]).ended(0);
}

#[test]
fn what_a_drained_node_carries_goes_elsewhere() {
    let bench = launched(4);
    let before = bench.counted(5);
    let node = bench.node_of("db[0]");
    bench.run(&["nodes", "drain", &node]).ended(0).says("drained");
    assert!(bench.replicas(&[]).iter().all(|one| one["node"] != node.as_str()));
    bench.one_of_each(5);
    assert!(bench.counted(before.lines().count() + 3).starts_with(&before));
    let listed = bench.run(&["nodes", "list", &node, "-o", "jsonl"]).ended(0).data();
    assert_eq!((&listed["mounts"], &listed["services"]), (&0.into(), &0.into()), "{listed}");

    // Cordoned and drained; who returns takes replicas again.
    bench.run(&["nodes", "cordon", &node]).ended(0).says("nothing runs there");
    bench.run(&["nodes", "list", "--where", "cordoned=yes"]).ended(0).says(&node);
    bench.run(&["nodes", "return", &node]).ended(0).says("back at work");
    bench.run(&["nodes", "list", "--where", "cordoned=yes"]).ended(0).says("no such node");
    bench.run(&["nodes", "uncordon", &node]).ended(0).says("already");

    // What is on a cordoned node stays; what has no other place waits, and is told why.
    bench.run(&["nodes", "cordon", "web"]).ended(0).says("the 5 replicas there stay");
    bench.write(&file(5, ONE));
    bench.run(&["up", "--timeout", "1s"]).says("pub[4]").says("cordoned");
    bench.run(&["status"]).ended(0).says("pub   4/5 well   1 unplaced: cordoned");
    assert_eq!(bench.replica("pub[4]")["state"], "unplaced");
    bench.run(&["nodes", "uncordon", "web"]).ended(0).says("take replicas again");
    bench.one_of_each(6);
}

#[test]
fn who_returns_is_given_replicas_on_request() {
    let bench = launched(4);
    let on = |node: &str| bench.replicas(&["pub"]).iter().filter(|one| one["node"] == node).count();
    bench.run(&["services", "rebalance"]).ended(0).says("nothing is worth a move");
    let other = bench.other("db[0]");
    bench.run(&["nodes", "drain", &other]).ended(0);
    bench.run(&["nodes", "return", &other]).ended(0);
    assert_eq!(on(&other), 0, "by itself nothing moves for better points");
    bench.run(&["services", "rebalance", "--dry-run"]).ended(0).says("would move").says(&other);
    assert_eq!(on(&other), 0);
    bench.run(&["services", "rebalance"]).ended(0).says("moved, all well");
    bench.one_of_each(5);
    let all: Vec<usize> = (0..3).map(|index| on(&format!("web[{index}]"))).collect();
    assert!(all.iter().all(|count| (1..=2).contains(count)), "{all:?}");
    bench.run(&["services", "rebalance"]).ended(0).says("nothing is worth a move");
}

#[test]
fn a_dead_node_loses_nothing_while_somebody_watches() {
    let bench = launched(4);
    let before = bench.counted(5);
    let watching = bench.start(&["heal", "--watch"]);
    let node = bench.node_of("db[0]");
    kill(bench.keeper(), Signal::KILL);
    eventually("its replicas are elsewhere", || {
        let all = bench.replicas(&[]);
        all.iter().all(|one| one["state"] == "running") && bench.node_of("db[0]") != node
    });
    assert!(bench.counted(before.lines().count() + 3).starts_with(&before), "its data came along");
    eventually("the node is back", || {
        bench.run(&["nodes", "list", "--where", "state=launched"]).ended(0).out.matches("answers").count()
            == 3
    });
    kill(watching.id(), Signal::INT);
    Bench::end(watching).ended(130);
    bench.one_of_each(5);
    bench.run(&["status", "--check"]).ended(0);
    bench.run(&["nodes", "confirm-dead", &node, "--yes"]).ended(2).says("lives").says("nodes drain");
}

#[test]
fn what_a_node_carries_that_a_person_calls_dead_goes_elsewhere() {
    let bench = launched(3);
    let from = bench.node_of("db[0]");
    let counted = bench.counted(10).lines().count();
    let machine = bench.run(&["nodes", "show", &from, "-o", "json"]).ended(0).data()["machine"].clone();
    let socket = bench.folder.join(format!("run/ideal/{}.sock", machine.as_str().unwrap()));
    // It goes on where nobody hears it, so nobody else may write before it is ended.
    std::fs::rename(&socket, socket.with_extension("aside")).unwrap();
    bench.run(&["heal", "--timeout", "8s"]).ended(7).says("db[0]:home").says("confirm-dead");
    assert!(bench.counted(counted).lines().count() > counted, "it runs where it was");
    bench
        .run(&["nodes", "confirm-dead", &from, "--yes"])
        .ended(0)
        .says("Carried by it: db[0]")
        .says("counts as dead");
    assert_ne!(bench.node_of("db[0]"), from);
    let lines = bench.counted(counted).lines().count();
    bench.counted(lines + 10);
    bench.one_of_each(4);
    let alive = bench.machines();
    assert!(alive.len() == 3 && alive.iter().all(|own| own["id"] != machine), "{alive:?}");
}

#[test]
fn the_file_is_scaled_in_place() {
    let bench = launched(2);
    let path = bench.folder.join("p/ideal.yaml");
    let before = std::fs::read_to_string(&path).unwrap();
    let told = bench.run(&["services", "scale", "pub", "5"]).ended(0).says("ideal up applies it");
    told.says("-     replicas: 2  # as many").says("+     replicas: 5  # as many");
    let after = std::fs::read_to_string(&path).unwrap();
    assert_eq!(after, before.replace("replicas: 2  #", "replicas: 5  #"));
    assert_eq!(bench.copies().len(), 3, "nothing is applied yet");
    bench.run(&["up"]).ended(0);
    bench.one_of_each(6);
    bench.run(&["services", "scale", "pub", "1", "--up"]).ended(0).says("pub has 1 replica");
    bench.one_of_each(2);
    bench.run(&["services", "scale", "pub", "200000"]).ended(2).says("too-many").says("nothing was written");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before.replace("replicas: 2  #", "replicas: 1  #"));
    bench.run(&["services", "scale", "pub", "1"]).ended(0).says("already");
}

#[test]
fn mounts_of_replicas_are_mounts() {
    let bench = launched(2);
    bench.counted(5);
    bench.run(&["volumes", "snapshot", "db[0]:home"]).ended(0).says("1 snapshot taken");
    let backup = bench.metas("snapshots")[0]["id"].as_str().unwrap().to_owned();
    bench.run(&["volumes", "list", "db"]).ended(0).says("db[0]:home").says(&backup);
    bench.run(&["volumes", "show", "db[0]:home"]).ended(0).says("10MiB at /home/db");
    bench.run(&["volumes", "show", "db[1]:home"]).ended(2).says("no mount `db[1]:home`");
    bench.run(&["volumes", "verify", "db[0]"]).ended(0).says("the same");
    bench.run(&["snapshots", "prune", "--dry-run"]).ended(0).says("nothing is pruned");
    bench.run(&["prune", "--dry-run"]).ended(0).says("the file wants all that there is");

    let now = bench.counted(60).lines().count();
    bench.run(&["volumes", "restore", "db[0]:home", "--from", &backup, "--yes"]).ended(0).says("is what");
    let after = bench.counted(1);
    assert!(after.lines().count() < now, "it went back");
    bench.one_of_each(3);
    bench.run(&["volumes", "grow", "db[0]:home", "20MiB", "--yes"]).ended(0).says("db[0]:home has 20MiB");
    bench.run(&["volumes", "list", "db"]).ended(0).says("20MiB");

    // The machine that has the volume ends as well, and it all comes back.
    let before = bench.counted(5);
    bench.run(&["away", "--yes"]).ended(0).says("web is away");
    assert_eq!((bench.processes(), bench.machines().len()), (0, 0));
    bench.run(&["wake"]).ended(0);
    assert!(bench.counted(before.lines().count() + 3).starts_with(&before));

    // Another machine in the place of the one that has it.
    let before = bench.counted(5);
    let node = bench.node_of("db[0]");
    bench.run(&["nodes", "replace", &node, "--yes"]).ended(0).says("1 node replaced");
    assert!(bench.counted(before.lines().count() + 3).starts_with(&before));
    bench.one_of_each(3);
    whole(&bench.counted(before.lines().count() + 6));

    // A replica that the file does not want any more: its data goes only when a person says so.
    let text = std::fs::read_to_string(bench.folder.join("p/ideal.yaml")).unwrap();
    bench.write(&text.replace("replicas: 1\n", "replicas: 0\n"));
    bench.run(&["up"]).ended(2).says("1 volume ends, sealed");
    bench.run(&["prune", "--yes", "--name", "web"]).ended(0).says("retired  db[0]:home");
    assert!(!bench.copies().contains_key("db[0]"));
    bench.write(&text);
    bench.run(&["up"]).ended(0);
    assert!(bench.counted(before.lines().count() + 9).starts_with(&before), "it was only marked");
}

/// Machines that differ from the file are replaced one after another, and what they carry goes ahead of it.
#[test]
fn other_machines_take_the_place_of_all() {
    let bench = launched(3);
    let before = bench.counted(5);
    let old: Vec<Json> = bench.machines().iter().map(|own| own["id"].clone()).collect();
    bench.write(&file(3, ONE).replace("nodes: 3", "nodes: 3, size: {cpus: 1}"));
    bench.run(&["up", "--yes"]).ended(0).says("web is launched");
    let new = bench.machines();
    assert!(new.len() == 3 && new.iter().all(|own| !old.contains(&own["id"])), "{new:?}");
    assert!(bench.counted(before.lines().count() + 3).starts_with(&before));
    bench.one_of_each(4);
}

/// A service that left the file is pruned under the identity that is left of it.
#[test]
fn a_service_that_left_is_planned_once() {
    let bench = launched(1);
    bench.counted(3);
    let text = std::fs::read_to_string(bench.folder.join("p/ideal.yaml")).unwrap();
    let without = text.split("  db:\n").next().unwrap();
    bench.write(without);
    let plan = bench.run(&["plan", "-o", "json"]).ended(0).data();
    let verbs: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|one| one["verb"].as_str()).collect();
    assert_eq!(verbs.iter().filter(|verb| **verb == "unmount").count(), 1, "{verbs:?}");
    assert!(verbs.contains(&"seal"), "{verbs:?}");
    bench.run(&["up", "--yes"]).ended(0);
    assert_eq!(bench.sealed().len(), 1);
    bench.write(&text);
    bench.run(&["wake"]).ended(0);
    bench.one_of_each(2);
}

#[test]
fn a_node_by_which_a_cloud_has_grown_is_a_node() {
    let text = |replicas| {
        format!(
            "ideal: 1\nclouds:\n  web: {{uuid: 5f0c6f2e-0000-4000-8000-00000000000b, nodes: 1..3}}\nservices:\n  \
             pub: {{on: web, replicas: {replicas}, command: [sleep, '10001'], place: {{most_per_node: 1}}}}\n"
        )
    };
    let bench = Bench::new(&text(2));
    bench.run(&["up", "--yes"]).ended(0);
    bench.one_of_each(2);
    assert_eq!(bench.node_of("pub[1]"), "web[1]");
    bench.run(&["nodes", "exec", "web", "--", "echo", "here"]).ended(0).says("web[1]");
    bench.run(&["nodes", "show", "web[2]"]).ended(2).says("no node `web[2]`");
    bench.run(&["prune", "--yes"]).ended(0);
    bench.one_of_each(2);
    bench.run(&["nodes", "cordon", "web[1]"]).ended(0);
    bench.write(&text(3));
    bench.run(&["up", "--yes"]).ended(0);
    bench.one_of_each(3);
    assert_eq!((bench.node_of("pub[1]"), bench.node_of("pub[2]")), ("web[1]".into(), "web[2]".into()));
    bench.run(&["nodes", "uncordon", "web[1]"]).ended(0);
    bench.run(&["destroy", "--snapshots", "--yes", "--name", "web"]).ended(0);
}
