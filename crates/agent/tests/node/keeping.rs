//! Resources, mounts, hooks and orders on a real node.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Instant;

use ideal_api::{LinkError, NodeLink, Reply, Verb};
use ideal_core::demand::{Demands, Scope, State};
use ideal_core::ideal::Hook;
use ideal_core::ideal::document::Argv;
use ideal_core::observed::{Authority, ServiceState};
use ideal_core::time::{Span, Time};
use serde_json::json;

use crate::bench::{Bench, resource, until};

#[tokio::test]
async fn drift_of_a_file_is_healed() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let resources = vec![
        resource(json!({"directory": {"path": "/etc/app", "mode": "0750"}})),
        resource(
            json!({"file": {"path": "/etc/app/conf", "content": "root {{ node.root }}\n", "mode": "0640"}}),
        ),
        resource(json!({"link": {"path": "/etc/link", "to": "app/conf"}})),
    ];
    let hash = bench.apply(&machine, bench.slice(resources, vec![])).await;
    bench.converged(&machine, &hash).await;
    let root = bench.root(&machine);
    let file = root.join("etc/app/conf");
    let right = format!("root {}\n", root.display());
    let is_right = || {
        fs::read_to_string(&file).is_ok_and(|text| text == right)
            && fs::metadata(&file).is_ok_and(|meta| meta.permissions().mode() & 0o7777 == 0o640)
            && fs::metadata(root.join("etc/app"))
                .is_ok_and(|meta| meta.permissions().mode() & 0o7777 == 0o750)
            && fs::read_link(root.join("etc/link")).is_ok_and(|to| to.to_str() == Some("app/conf"))
    };
    assert!(is_right());
    let inode = fs::metadata(&file).unwrap().ino();
    let drifts: [(&str, &dyn Fn()); 5] = [
        ("content of the same length", &|| fs::write(&file, "X".repeat(right.len())).unwrap()),
        ("gone", &|| fs::remove_file(&file).unwrap()),
        ("mode", &|| fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).unwrap()),
        ("all gone", &|| fs::remove_dir_all(root.join("etc")).unwrap()),
        ("a link in its place", &|| {
            fs::remove_file(&file).unwrap();
            symlink("/etc/passwd", &file).unwrap();
        }),
    ];
    for (what, drift) in drifts {
        drift();
        let begun = Instant::now();
        until(what, 5, async || is_right().then_some(())).await;
        println!("drift ({what}) healed within {:?}", begun.elapsed());
    }
    assert_ne!(fs::metadata(&file).unwrap().ino(), inode, "replaced, not written into");
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn no_symlink_leads_out() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let outside = bench.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let root = bench.root(&machine);
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../../outside", root.join("relative")).unwrap();
    symlink(outside.join("target"), root.join("file")).unwrap();
    let file = |path: &str| resource(json!({"file": {"path": path, "content": "x"}}));
    let resources = vec![
        file("/absolute/a"),
        file("/relative/b"),
        file("/../../outside/c"),
        file("/file"),
        file("/good"),
        resource(json!({"directory": {"path": "/absolute/d"}})),
    ];
    bench.apply(&machine, bench.slice(resources, vec![])).await;
    let report = until("it has looked", 5, async || {
        bench.report(&machine).await.filter(|report| !report.problems.is_empty())
    })
    .await;
    assert!(!report.converged);
    let wrong: Vec<&str> = report.problems.iter().map(|problem| problem.what.as_str()).collect();
    let expected = ["file /absolute/a", "file /relative/b", "file /../../outside/c", "directory /absolute/d"];
    assert_eq!(wrong, expected, "and those after them were looked at all the same");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was written outside");
    assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "x", "the link itself was replaced");
    assert!(root.join("good").is_file());
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn commands_run_when_they_are_needed() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let command = |script: &str, rest: serde_json::Value| {
        let mut spec = json!({"run": ["sh", "-c", script]});
        spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        resource(json!({"command": spec}))
    };
    let resources = vec![
        command("echo once >> once", json!({})),
        command("echo made >> made; touch there", json!({"creates": "/there"})),
        command("echo until >> until; touch enough", json!({"unless": ["test", "-e", "enough"]})),
        command("sleep 100", json!({"timeout": "50ms"})),
        command("echo because >&2; exit 4", json!({})),
    ];
    bench.apply(&machine, bench.slice(resources, vec![])).await;
    let report = until("it has looked", 5, async || {
        bench.report(&machine).await.filter(|report| report.problems.len() == 2)
    })
    .await;
    assert!(report.problems[0].why.contains("took longer than 50ms"), "{:?}", report.problems);
    assert!(report.problems[1].why.ends_with("exit status: 4: because"), "{:?}", report.problems);
    let root = bench.root(&machine);
    fs::remove_file(root.join("there")).unwrap();
    until("it is made again", 5, async || root.join("there").exists().then_some(())).await;
    // A new agent remembers what was done once.
    let agent = bench.agent(&machine).unwrap();
    agent.signal(rustix::process::Signal::KILL).unwrap();
    until("another agent has looked", 5, async || {
        let another = bench.agent(&machine).is_some_and(|other| other != agent);
        let report = bench.report(&machine).await?;
        (another && report.problems.len() == 2).then_some(())
    })
    .await;
    let lines = |name: &str| fs::read_to_string(root.join(name)).unwrap().lines().count();
    assert_eq!((lines("once"), lines("made"), lines("until")), (1, 2, 1));
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_busy_volume_is_not_unmounted() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let volume = bench.attached(&machine, 1).await;
    let order = bench.mount_order(&volume.id, 1);
    bench.tell(&machine, Verb::Report).await;
    let wrong = bench.ask(&machine, Verb::Mount(bench.mount_order(&volume.id, 2))).await;
    assert!(matches!(wrong, Err(LinkError::Refused { .. })), "another life: {wrong:?}");
    let mut unknown = order.clone();
    unknown.volume = ideal_core::id::VolumeId::new("v-0");
    let wrong = bench.ask(&machine, Verb::Mount(unknown)).await;
    assert!(matches!(wrong, Err(LinkError::Refused { .. })), "not attached: {wrong:?}");
    let at = bench.root(&machine).join("var/lib/data");
    fs::create_dir_all(at.join("full")).unwrap();
    let wrong = bench.ask(&machine, Verb::Mount(order.clone())).await;
    assert!(matches!(wrong, Err(LinkError::Refused { .. })), "something in the way: {wrong:?}");
    fs::remove_dir(at.join("full")).unwrap();

    bench.tell(&machine, Verb::Mount(order.clone())).await;
    bench.tell(&machine, Verb::Mount(order.clone())).await;
    // A resource below the mount goes into the volume; a service holds a file of it open.
    let file = resource(json!({"file": {"path": "/var/lib/data/conf", "content": "{{ mount.data }}"}}));
    let spec = json!({"command": ["sh", "-c", "exec 3>> \"$0/log\"; echo up >&3; exec sleep 1000", "{{ mount.data }}"]});
    let mut slice = bench.slice(vec![file], vec![("pub", spec)]);
    let hash = bench.apply(&machine, slice.clone()).await;
    let report = bench.converged(&machine, &hash).await;
    assert!(report.mounts[&volume.id].mounted);
    let data = bench.home(&machine).volume(&volume.id);
    assert_eq!(fs::read_to_string(data.join("conf")).unwrap(), at.display().to_string());
    until("the log is open", 5, async || data.join("log").exists().then_some(())).await;

    let unmount = || Verb::Unmount { volume: volume.id.clone() };
    let refused = bench.ask(&machine, unmount()).await;
    let Err(LinkError::Refused { why }) = &refused else { panic!("busy: {refused:?}") };
    assert!(why.contains("sleep") && why.contains("has a file of it open"), "{why}");
    let report = bench.report(&machine).await.unwrap();
    assert!(report.mounts[&volume.id].mounted && report.mounts[&volume.id].busy.is_some());

    slice.quiet = true;
    let hash = bench.apply(&machine, slice).await;
    let report = bench.converged(&machine, &hash).await;
    assert_eq!(report.services["pub[0]"].state, ServiceState::Stopped);
    bench.tell(&machine, unmount()).await;
    bench.tell(&machine, unmount()).await;
    let report = bench.report(&machine).await.unwrap();
    assert!(!report.mounts[&volume.id].mounted && report.mounts[&volume.id].busy.is_none());
    assert!(fs::symlink_metadata(&at).is_err(), "the link is gone");
    assert_eq!(fs::read_to_string(data.join("log")).unwrap(), "up\n");
    bench.terminate(&machine).await;
    let kept = bench.folder.path().join("data/volumes").join(volume.id.as_str()).join("data/log");
    assert_eq!(fs::read_to_string(kept).unwrap(), "up\n", "and went back to the volume");
}

#[tokio::test]
async fn what_is_not_known_is_waited_for() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let file =
        resource(json!({"file": {"path": "/conf", "content": "{{ clouds['shop.db'].nodes[0].address }}"}}));
    let mut slice = bench.slice(vec![file], vec![("pub", json!({"command": ["sleep", "{{ vars.long }}"]}))]);
    bench.apply(&machine, slice.clone()).await;
    let report = until("both wait", 5, async || {
        bench.report(&machine).await.filter(|report| report.problems.len() == 2)
    })
    .await;
    assert!(report.problems.iter().all(|problem| problem.waiting) && !report.converged);
    slice.context =
        json!({"vars": {"long": "1000"}, "clouds": {"shop.db": {"nodes": [{"address": "10.0.0.1"}]}}});
    let hash = bench.apply(&machine, slice).await;
    bench.converged(&machine, &hash).await;
    assert_eq!(fs::read_to_string(bench.root(&machine).join("conf")).unwrap(), "10.0.0.1");
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_hook_runs_once_for_each_key() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let mut slice = bench.slice(vec![], vec![]);
    let script = |script: &str| Argv(vec!["sh".into(), "-c".into(), script.into()]);
    slice.hooks.launched = Some(Hook { run: script("echo ran >> ran; echo all well"), timeout: None });
    slice.hooks.unmountable =
        Some(Hook { run: script("echo users are on; sleep 100"), timeout: Some(Span::millis(100)) });
    let hash = bench.apply(&machine, slice).await;
    bench.converged(&machine, &hash).await;
    let hook = |hook: &str, key: &str| Verb::RunHook { hook: hook.to_owned(), key: key.to_owned() };
    let first = bench.tell(&machine, hook("launched", "r-1")).await;
    let Reply::Hook(seen) = &first else { panic!("{first:?}") };
    assert!(seen.agreed && seen.output == "all well\n", "{seen:?}");
    assert_eq!(bench.tell(&machine, hook("launched", "r-1")).await, first);
    bench.tell(&machine, hook("launched", "r-2")).await;
    let ran = fs::read_to_string(bench.root(&machine).join("ran")).unwrap();
    assert_eq!(ran.lines().count(), 2);
    let Reply::Hook(seen) = bench.tell(&machine, hook("unmountable", "r-3")).await else { panic!() };
    assert!(!seen.agreed && seen.output == "users are on\n", "{seen:?}");
    let Reply::Hook(seen) = bench.tell(&machine, hook("haltable", "r-4")).await else { panic!() };
    assert!(seen.agreed, "no hook is agreement");
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn orders_are_for_one_node_and_from_one_holder() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let mut demand = Demands::none();
    demand.demand(Scope::Whole, State::Launched, 1, |_| true);
    bench.tell(&machine, Verb::Note { demand: demand.clone() }).await;
    let address = machine.agent.clone().unwrap();
    let ask = async |change: &dyn Fn(&mut ideal_api::Order)| {
        let mut order = bench.order(Verb::Note { demand: Demands::none() });
        change(&mut order);
        bench.link.ask(&address, &order).await
    };
    let refused = ask(&|order| order.node.generation = 2).await;
    assert!(matches!(refused, Err(LinkError::Refused { .. })), "{refused:?}");
    let other = |epoch, until| Authority {
        epoch,
        holder: "ben@desk".into(),
        store: "other".into(),
        until: Time(until),
        forced: false,
    };
    let stale = ask(&|order| order.authority = other(9, u64::MAX)).await;
    let Err(LinkError::Stale { holder }) = &stale else { panic!("{stale:?}") };
    assert_eq!(holder.holder, "anna@laptop");
    let stale = ask(&|order| order.authority.epoch = 0).await;
    assert!(matches!(stale, Err(LinkError::Stale { .. })), "{stale:?}");
    // The lease ends, and another may.
    ask(&|order| order.authority.until = Time(0)).await.unwrap();
    ask(&|order| order.authority = other(2, 0)).await.unwrap();
    let report = bench.report(&machine).await.unwrap();
    assert_eq!(report.authority.unwrap().holder, "ben@desk");
    assert_eq!(report.demand.as_deref(), Some(&demand), "an older demand does not undo a later one");
    let silent = bench.link.ask("unix:/nowhere/agent.sock", &bench.order(Verb::Report)).await;
    assert!(matches!(silent, Err(LinkError::Unreachable { .. })), "{silent:?}");
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn people_can_read_logs() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let spec = json!({"command": ["sh", "-c", "for i in 1 2 3; do echo line $i; done; exec sleep 1000"]});
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    bench.converged(&machine, &hash).await;
    let address = machine.agent.clone().unwrap();
    let text = until("three lines", 5, async || {
        let text = bench.link.logs(&address, "pub[0]", 2).await.ok()?;
        text.contains("3").then_some(text)
    })
    .await;
    assert_eq!(text, "line 2\nline 3\n");
    for bad in ["pub[1]", "..%2Fagent", "pub"] {
        let refused = bench.link.logs(&address, bad, 2).await;
        assert!(matches!(refused, Err(LinkError::Refused { .. })), "{bad}: {refused:?}");
    }
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_taken_port_is_chosen_again() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let spec =
        json!({"command": ["sleep", "1000"], "ports": {"main": "auto"}, "env": {"PORT": "{{ port.main }}"}});
    let mut slice = bench.slice(vec![], vec![("pub", spec)]);
    let hash = bench.apply(&machine, slice.clone()).await;
    let port =
        |report: &ideal_core::observed::Report| *report.services["pub[0]"].ports.values().next().unwrap();
    let first = port(&bench.converged(&machine, &hash).await);
    slice.quiet = true;
    let hash = bench.apply(&machine, slice.clone()).await;
    bench.converged(&machine, &hash).await;
    slice.quiet = false;
    let hash = bench.apply(&machine, slice.clone()).await;
    let report = bench.converged(&machine, &hash).await;
    assert_eq!(port(&report), first, "kept");
    slice.quiet = true;
    let hash = bench.apply(&machine, slice.clone()).await;
    bench.converged(&machine, &hash).await;
    let _taken = std::net::TcpListener::bind(("127.0.0.1", first)).unwrap();
    slice.quiet = false;
    let hash = bench.apply(&machine, slice).await;
    let report = bench.converged(&machine, &hash).await;
    assert_ne!(port(&report), first);
    let pid = report.services["pub[0]"].pid.unwrap();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let wanted = format!("PORT={}", port(&report));
    assert!(environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()));
    bench.terminate(&machine).await;
}

/// A look that takes long must not keep a file from being mended.
#[tokio::test]
async fn what_is_slow_holds_up_nothing_that_is_quick() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let slow = "test -e looked && { touch slow; sleep 100; }; touch looked";
    let resources = vec![
        resource(json!({"file": {"path": "/conf", "content": "right"}})),
        resource(json!({"command": {"run": ["true"], "unless": ["sh", "-c", slow]}})),
    ];
    let hash = bench.apply(&machine, bench.slice(resources, vec![])).await;
    bench.converged(&machine, &hash).await;
    let root = bench.root(&machine);
    until("the slow look goes on", 10, async || root.join("slow").exists().then_some(())).await;
    for wrong in ["one", "another"] {
        fs::write(root.join("conf"), wrong).unwrap();
        let right = || fs::read_to_string(root.join("conf")).is_ok_and(|text| text == "right");
        until("it is mended", 1, async || right().then_some(())).await;
    }
    // Nor does it hold up what is newly wanted, or the end.
    let mut slice = bench.slice(vec![resource(json!({"file": {"path": "/conf", "content": "new"}}))], vec![]);
    slice.quiet = true;
    let hash = bench.apply(&machine, slice).await;
    bench.converged(&machine, &hash).await;
    bench.terminate(&machine).await;
}
