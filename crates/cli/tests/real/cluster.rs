//! Whole lives of real clusters on this machine, through the real binary: what it does, says, and answers.

use std::time::Duration;

use rustix::process::Signal;

use crate::bench::{Bench, eventually, file, kill, whole};

#[test]
fn a_whole_life() {
    let bench = Bench::new(&file(1));
    bench.run(&["plan"]).ended(0).says("nothing to do");
    assert!(!bench.folder.join("p/.ideal").exists(), "a plan leaves nothing behind");
    bench.run(&["plan", "--to", "launched", "--check"]).ended(3).says("nothing of it was ever known");
    bench.run(&["up"]).ended(0).says("shop is launched: 3 of 3 parts seen as wanted");
    let again = bench.run(&["up", "-o", "json"]).ended(0).data();
    assert_eq!((&again["status"], &again["steps"]), (&"met".into(), &0.into()), "{again}");
    bench.run(&["plan", "--check"]).ended(0).says("nothing to do");
    bench.run(&["status", "--check"]).ended(0).says("launched");
    let status = bench.status();
    assert_eq!(status["state"], "launched", "{status}");
    assert_eq!(status["clouds"][0]["mounted"], 1, "{status}");
    assert_eq!(status["clouds"][0]["services"]["counter[0]"]["state"], "running", "{status}");
    bench.counted(5);

    bench.run(&["away"]).ended(2).says("--yes");
    let plan = bench.run(&["plan", "--to", "away", "-o", "json"]).ended(0).data();
    let verbs: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["verb"].as_str()).collect();
    assert!(verbs.contains(&"seal") && verbs.contains(&"delete-volume"), "{verbs:?}");
    assert_eq!(plan["waiting"].as_array().map(Vec::len), Some(0), "{}", plan["waiting"]);
    let away = bench.run(&["away", "--yes", "-o", "json"]).ended(0).data();
    assert_eq!(away["more"]["kept"][0]["seal"], "clean", "{away}");
    assert_eq!((bench.processes(), bench.numbers().len(), bench.machines().len()), (0, 0, 0));
    let sealed = bench.sealed();
    assert_eq!(sealed.len(), 1);
    whole(&sealed[0]);
    assert_eq!(bench.status()["state"], "away");
    bench.run(&["status", "--check"]).ended(0).says("kept");

    bench.run(&["wake"]).ended(0).says("wakes from");
    let woken = bench.counted(sealed[0].lines().count() + 3);
    assert!(woken.starts_with(&sealed[0]), "every byte that was put away is there");
    bench.run(&["history"]).ended(0).says("wake").says("away");
    bench.run(&["logs", "shop.db[0]"]).ended(0).says("mounted");
    bench.run(&["logs", "counter[0]"]).ended(0);
    bench.run(&["logs", "r-1"]).ended(0).says("create machine");
    bench.run(&["doctor"]).ended(0).says("every checksum right");

    bench.run(&["destroy", "--snapshots", "--yes"]).ended(2).says("--yes --name shop");
    bench.run(&["destroy", "--snapshots", "--yes", "--name", "shp"]).ended(2).says("not `shp`");
    bench.run(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0).says("no more");
    assert_eq!(bench.processes(), 0);
    assert!(!bench.folder.join("p/.ideal").exists(), "nothing is left");
    assert_eq!(std::fs::read_dir(bench.folder.join("state/ideal")).unwrap().count(), 0, "no store is left");
}

#[test]
fn nodes_are_stopped_and_kept() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    bench.counted(5);
    let ids = || bench.machines().iter().map(|own| own["id"].clone()).collect::<Vec<_>>();
    let machines = ids();
    bench.run(&["away", "--keep-nodes"]).ended(0).says("stop machine").says("shop is halted");
    assert_eq!((bench.processes(), ids()), (0, machines.clone()));
    let (sealed, numbers) = (bench.sealed(), bench.numbers());
    assert_eq!((sealed.len(), numbers.len()), (1, 1), "volumes stay beside their seals");
    assert_eq!(bench.status()["state"], "halted");
    bench.run(&["away", "--keep-nodes"]).ended(0).says("is halted");
    bench.run(&["heal"]).ended(0);
    assert_eq!(bench.processes(), 0, "what is halted stays so");

    bench.run(&["wake"]).ended(0).says("start machine");
    let woken = bench.counted(sealed[0].lines().count() + 3);
    assert!(woken.starts_with(&sealed[0]), "every byte is there");
    assert_eq!(ids(), machines, "they are the same");

    // What is stopped is not ended unasked; and a node that dies later was not stopped: it is replaced, as any other.
    bench.run(&["away", "shop.web", "--keep-nodes"]).ended(0);
    assert_eq!(bench.status()["demanded"], "launched, shop.web halted");
    bench.run(&["away"]).ended(2).says("--yes");
    bench.run(&["up", "shop.web"]).ended(0);
    assert_eq!(ids(), machines);
    for keeper in bench.keepers() {
        kill(keeper, Signal::KILL);
    }
    eventually("all are dead", || bench.run(&["plan"]).out.matches("is dead").count() == 2);
    bench.run(&["up", "--yes"]).ended(0);
    assert!(ids().iter().all(|id| !machines.contains(id)), "{machines:?}");
    bench.run(&["away", "--yes"]).ended(0);
    assert_eq!((bench.processes(), bench.machines().len()), (0, 0));
}

#[test]
fn more_nodes_and_fewer() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    bench.write(&file(3));
    bench.run(&["status", "--check"]).ended(3);
    bench.run(&["up"]).ended(0);
    assert_eq!(bench.machines().len(), 4);
    bench.write(&file(1));
    bench.run(&["up"]).ended(2).says("2 machines end").says("--yes");
    bench.run(&["heal"]).ended(6).says("[consent]").says("nobody agreed");
    assert_eq!(bench.machines().len(), 4);
    bench.run(&["up", "--yes"]).ended(0);
    assert_eq!(bench.machines().len(), 2);
    // One cloud away, the rest stays.
    bench.run(&["away", "shop.web", "--yes"]).ended(0);
    assert_eq!(bench.machines().len(), 1);
    assert_eq!(bench.status()["demanded"], "launched, shop.web away");
    bench.run(&["up", "shop.web"]).ended(0);
    assert_eq!(bench.machines().len(), 2);
    bench.run(&["up", "shop.wbe"]).ended(2).says("did you mean `shop.web`");
}

#[test]
fn what_is_left_after_the_end_is_said() {
    let bench = Bench::new(&file(0));
    bench.run(&["up"]).ended(0);
    bench.counted(3);
    bench.run(&["away", "--yes"]).ended(0);
    let id = bench.metas("snapshots")[0]["id"].as_str().unwrap().to_owned();
    // It does not tell any more of which mount it is, so nothing decides about it.
    let path = bench.local().join("snapshots").join(&id).join("meta.json");
    let meta = std::fs::read(&path).unwrap();
    let mut other: serde_json::Value = serde_json::from_slice(&meta).unwrap();
    other["tags"]["mount"] = serde_json::Value::Null;
    std::fs::write(&path, other.to_string()).unwrap();
    let destroy = ["destroy", "--snapshots", "--yes", "--name", "shop"];
    let ran = bench.run(&destroy).ended(0).says("left     shop.db[0]").says(&format!("snapshot {id}"));
    assert!(!ran.says("the provider's own tools").out.contains("nothing of it is left"));
    assert_eq!(bench.metas("snapshots").len(), 1);
    let told =
        bench.run(&["destroy", "--snapshots", "--yes", "--name", "shop", "-o", "json"]).ended(0).data();
    assert_eq!(told["more"]["left"][0]["id"], id.as_str(), "{told}");
    std::fs::write(&path, meta).unwrap();
    bench.run(&destroy).ended(0).says("nothing of it is left");
    assert!(!bench.folder.join("p/.ideal").exists());
}

#[test]
fn names_change_and_things_stay() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    let (machines, volumes) = (bench.metas("machines"), bench.metas("volumes"));
    let ids = |metas: &[serde_json::Value]| metas.iter().map(|own| own["id"].clone()).collect::<Vec<_>>();
    let renamed = file(1)
        .replace("      db:", "      store:")
        .replace("on: shop.db", "on: shop.store")
        .replace("{data: {size: 64MiB,", "{files: {was: data, size: 64MiB,")
        .replace("mount.data", "mount.files");
    bench.write(&renamed);
    bench.run(&["up"]).ended(0).says("shop is launched");
    assert_eq!(ids(&bench.metas("machines")), ids(&machines));
    assert_eq!(ids(&bench.metas("volumes")), ids(&volumes));
    assert_eq!(bench.metas("volumes")[0]["tags"]["mount"], "files");
    bench.counted(5);
}

#[test]
fn a_dead_node_is_replaced_and_its_data_stays() {
    let bench = Bench::new(&file(1));
    bench.run(&["heal"]).ended(2).says("nothing is demanded");
    bench.run(&["up"]).ended(0);
    let before = bench.counted(5);
    kill(bench.keeper(), Signal::KILL);
    bench.run(&["status", "--check"]).ended(3);
    bench.run(&["doctor"]).ended(1).says("dead");
    bench.run(&["heal", "--dry-run"]).ended(0).says("is dead");
    bench.run(&["heal"]).ended(0).says("seen as wanted");
    bench.run(&["status", "--check"]).ended(0);
    assert!(bench.counted(before.lines().count() + 3).starts_with(&before));
    assert_eq!((bench.machines().len(), bench.metas("volumes").len()), (2, 1));
}

#[test]
fn many_deaths_at_once_are_asked_about() {
    let bench = Bench::new(&file(2));
    bench.run(&["up"]).ended(0);
    let before = bench.counted(3);
    for keeper in bench.keepers() {
        kill(keeper, Signal::KILL);
    }
    eventually("all are dead", || bench.run(&["plan"]).out.matches("is dead").count() == 3);
    bench.run(&["up"]).ended(2).says("3 dead machines");
    bench.run(&["heal"]).ended(6).says("more than 20 %");
    bench.run(&["up", "--yes"]).ended(0).says("shop is launched");
    assert!(bench.counted(before.lines().count() + 1).starts_with(&before));
}

#[test]
fn a_lost_store_loses_nothing() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    bench.counted(3);
    std::fs::remove_dir_all(bench.folder.join("state")).unwrap();
    bench.run(&["plan", "--check"]).ended(0).says("the store did not have it").says("nothing to do");
    // The lease was given back at the agents too: nobody has to wait until it is over.
    bench.run(&["up"]).ended(0).says("nothing had to be done");
    // One that gave orders and was killed did not give its lease back: the agents know it, until it is over or
    // taken over.
    bench.write(&file(1).replace("services:\n", "services:\n  ill: {on: shop.web, command: [/bin/sleep, '100'], health: {command: [/bin/false], every: 100ms}}\n"));
    let ordering = bench.start(&["up", "--take-over"]);
    eventually("orders", || !bench.status()["clouds"][1]["services"]["ill[0]"].is_null());
    kill(ordering.id(), Signal::KILL);
    Bench::end(ordering);
    std::fs::remove_dir_all(bench.folder.join("state")).unwrap();
    bench.write(&file(1));
    bench.run(&["up"]).ended(8).says("--take-over");
    bench.run(&["up", "--take-over"]).ended(0).says("shop is launched");
    bench.run(&["away"]).ended(2).says("known by tags only");
    bench.run(&["away", "--yes"]).ended(0);
    whole(&bench.sealed()[0]);
    std::fs::remove_dir_all(bench.folder.join("state")).unwrap();
    bench.run(&["plan", "--check"]).ended(0).says("nothing to do");
    bench.run(&["wake"]).ended(0);
    assert!(bench.counted(1).starts_with(&bench.sealed()[0]));
}

#[test]
fn away_after_a_lost_store() {
    let bench = Bench::new(&file(2));
    bench.run(&["up"]).ended(0);
    bench.counted(3);
    std::fs::remove_dir_all(bench.folder.join("state")).unwrap();
    bench.run(&["away"]).ended(2).says("4 things known by tags only");
    assert_eq!(bench.machines().len(), 3);
    bench.run(&["away", "--yes", "--take-over"]).ended(0).says("Nothing of it runs");
    assert_eq!((bench.processes(), bench.machines().len()), (0, 0));
    whole(&bench.sealed()[0]);
    bench.run(&["wake"]).ended(0);
    assert!(bench.counted(1).starts_with(&bench.sealed()[0]));
}

#[test]
fn data_that_need_not_be_kept_ends_by_name_also_after_a_lost_store() {
    let text = file(0).replace("at: /data}", "at: /data, keep: delete}");
    let bench = Bench::new(&text);
    bench.run(&["up"]).ended(0);
    bench.counted(3);
    std::fs::remove_dir_all(bench.folder.join("state")).unwrap();
    bench.run(&["away", "--yes"]).ended(2).says("THE DATA OF shop.db[0]:data").says("2 things known by tags");
    bench.run(&["away", "--yes", "--name", "shop", "--take-over"]).ended(0).says("retired");
    assert_eq!((bench.machines().len(), bench.metas("snapshots").len()), (0, 0));
    assert!(!bench.metas("volumes")[0]["retired"].is_null());
    bench.run(&["up"]).ended(0);
    bench.run(&["destroy", "--yes"]).ended(2).says("--name shop");
    bench.run(&["destroy", "--yes", "--name", "shop"]).ended(0).says("retired");
}

#[test]
fn lost_data_goes_on_where_the_file_says_so() {
    let bench = Bench::new(&file(0).replace("at: /data}", "at: /data, lost: newest}"));
    bench.run(&["up"]).ended(0);
    bench.counted(3);
    bench.run(&["away", "--yes"]).ended(0);
    let (first, older) = (bench.sealed()[0].clone(), bench.metas("snapshots")[0]["id"].clone());
    bench.run(&["wake"]).ended(0);
    bench.counted(first.lines().count() + 3);
    bench.run(&["away", "--yes"]).ended(0);
    let newest = bench.metas("snapshots").into_iter().find(|own| own["id"] != older).unwrap();
    std::fs::remove_dir_all(bench.local().join("snapshots").join(newest["id"].as_str().unwrap())).unwrap();
    let told = format!("shop.db[0]:data is restored from {}", older.as_str().unwrap());
    bench.run(&["wake"]).ended(0).says(&told).says("is the newest that is whole");
    assert!(bench.counted(first.lines().count() + 3).starts_with(&first), "from there on");
}

#[test]
fn lost_data_is_never_replaced_silently() {
    let bench = Bench::new(&file(0));
    bench.run(&["up"]).ended(0);
    bench.counted(3);
    bench.run(&["away", "--yes"]).ended(0);
    let first = bench.sealed()[0].clone();
    bench.run(&["wake"]).ended(0);
    bench.counted(first.lines().count() + 3);
    bench.run(&["away", "--yes"]).ended(0);
    let (older, newest) = {
        let mut all = bench.metas("snapshots");
        all.sort_by_key(|own| own["life"].as_u64());
        let id = |own: &serde_json::Value| own["id"].as_str().unwrap_or_default().to_owned();
        (id(&all[0]), id(&all[1]))
    };
    let kept = bench.local().join("snapshots").join(&newest);
    let aside = bench.folder.join("aside");
    std::fs::rename(&kept, &aside).unwrap();
    let restore = format!("shop.db[0]:data={older}");
    bench.run(&["wake"]).ended(6).says("[lost-data]").says(&restore).says("--blank shop.db[0]:data");
    assert_eq!(bench.metas("volumes").len(), 0);
    // What is brought back is used; an older one only when it is named.
    std::fs::rename(&aside, &kept).unwrap();
    bench.run(&["wake"]).ended(0);
    let text = bench.counted(first.lines().count() + 4);
    bench.run(&["away", "--yes"]).ended(0);
    assert!(bench.sealed().last().is_some_and(|sealed| sealed.starts_with(&text)));
    for own in bench.metas("snapshots").iter().filter(|own| own["id"] != older.as_str()) {
        let id = own["id"].as_str().unwrap_or_default();
        std::fs::remove_dir_all(bench.local().join("snapshots").join(id)).unwrap();
    }
    bench.run(&["wake"]).ended(6);
    bench.run(&["up", "--restore", "shop.db[0]:data"]).ended(2);
    bench.run(&["up", "--restore", &restore]).ended(0);
    assert!(bench.counted(1).starts_with(&first));
}

#[test]
fn a_saved_plan_is_that_plan_or_none() {
    let bench = Bench::new(&file(1));
    bench.run(&["plan", "--out", "p.json"]).ended(0).says("ideal up --plan p.json");
    bench.run(&["up", "--plan", "p.json"]).ended(0);
    bench.run(&["up", "--plan", "p.json"]).ended(8).says("stale");
    bench.write(&file(0));
    bench.run(&["plan", "--out", "p.json"]).ended(0);
    bench.run(&["up", "--plan", "p.json"]).ended(2).says("1 machine ends").says("--yes");
    assert_eq!(bench.machines().len(), 2, "a file is nobody's agreement");
    bench.run(&["up", "--plan", "p.json", "--yes"]).ended(0);
    assert_eq!(bench.machines().len(), 1, "what the plan ends was agreed to");
    // As it stands, of one node, and of both: none is stale as long as nothing changes.
    bench.write(&file(1));
    bench.run(&["up"]).ended(0);
    bench.run(&["plan", "--out", "p.json"]).ended(0);
    bench.run(&["up", "--plan", "p.json"]).ended(0).says("shop is launched");
    bench.run(&["plan", "shop.web", "--to", "away", "--out", "p.json"]).ended(0);
    bench.run(&["up", "--plan", "p.json", "--yes"]).ended(0).says("launched, shop.web away");
    assert_eq!(bench.machines().len(), 1);
    bench.run(&["plan", "shop.web", "--out", "p.json"]).ended(0);
    bench.run(&["up", "--plan", "p.json"]).ended(0).says("launched, shop.web away");
    bench.run(&["plan", "shop.db", "--out", "p.json"]).ended(0);
    bench.run(&["demand", "shop.web", "launched"]).ended(0);
    bench.run(&["up", "--plan", "p.json"]).ended(8).says("stale");
    bench.run(&["plan", "--to", "away", "--out", "p.json"]).ended(0);
    bench.run(&["up", "--plan", "p.json"]).ended(2).says("--yes");
    assert_eq!(bench.machines().len(), 1);
    bench.run(&["up", "--plan", "p.json", "--yes"]).ended(0).says("shop is away");
    assert_eq!(bench.machines().len(), 0);
    bench.run(&["up", "--plan", "ideal.yaml"]).ended(2).says("not a saved plan");
}

#[test]
fn every_number_at_the_end() {
    let bench = Bench::new(&file(1));
    // 2: nothing was touched.
    bench.run(&["up", "--too"]).ended(2);
    bench.run(&["up", "--to", "away"]).ended(2).says("ideal away");
    bench.run(&["up", "shop.db[0]:data"]).ended(2).says("is a mount");
    bench.run(&["up", "--step"]).ended(2);
    // 7: a node that never gets well.
    let ill = file(1).replace("services:\n", "services:\n  ill: {on: shop.web, command: [/bin/sleep, '100'], health: {command: [/bin/false], every: 100ms}}\n");
    bench.write(&ill);
    bench.run(&["up", "--timeout", "1s"]).ended(7).says("goes on").says("[converging]");
    bench.write(&file(1));
    bench.run(&["up"]).ended(0);
    // 8 and 130: somebody works on it, and is stopped.
    let watching = bench.start(&["heal", "--watch"]);
    // Looked at, not tried: a try could keep the watcher out.
    eventually("the watcher holds it", || bench.run(&["history"]).out.contains("heal"));
    bench.run(&["up"]).ended(8).says("works on this cluster now");
    bench.run(&["status"]).ended(0);
    kill(watching.id(), Signal::INT);
    Bench::end(watching).ended(130).says("`ideal heal` goes on");
    // 6: a person is needed.
    bench.write(&file(0));
    let suspended = bench.run(&["heal", "-o", "jsonl"]).ended(6);
    let last: serde_json::Value = serde_json::from_str(suspended.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["kind"], &last["exit"]), (&"result".into(), &6.into()), "{last}");
    // 5: the provider cannot be read.
    let machine = bench.local().join("machines").join(bench.machines()[0]["id"].as_str().unwrap());
    let meta = std::fs::read(machine.join("meta.json")).unwrap();
    std::fs::write(machine.join("meta.json"), "nonsense").unwrap();
    bench.run(&["status"]).ended(5).says("cannot be seen");
    bench.run(&["away", "--yes"]).ended(5);
    std::fs::write(machine.join("meta.json"), meta).unwrap();
    // 1: a seed of the simulation breaks nothing; a provider for tests is refused.
    bench.run(&["sim", "--seed", "7"]).ended(0).says("no invariant was broken");
    bench.write(&file(1).replace("here: local", "here: sim"));
    bench.run(&["up"]).ended(2).says("only for tests");
}

#[test]
fn released_things_keep_running() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    let count = bench.counted(3).lines().count();
    bench.run(&["release"]).ended(2).says("--yes");
    bench.run(&["release", "--yes"]).ended(0).says("3 things released").says("history stays");
    bench.counted(count + 5);
    assert_eq!(bench.status()["state"], "away", "nothing of it is ours");
}

#[test]
fn a_watcher_mends_by_itself() {
    let bench = Bench::new(&file(1));
    bench.run(&["up"]).ended(0);
    let before = bench.counted(3);
    let watching = bench.start(&["heal", "--watch"]);
    std::thread::sleep(Duration::from_millis(200));
    let dead = bench.keeper();
    kill(dead, Signal::KILL);
    eventually("another machine", || {
        !bench.numbers().is_empty()
            && bench.counted(1).len() > before.len()
            && bench.run(&["status", "--check"]).code == Some(0)
            && bench.keeper() != dead
    });
    kill(watching.id(), Signal::INT);
    Bench::end(watching).ended(130);
    assert!(bench.counted(1).starts_with(&before));
}
