//! What a process may use, who it is, and what it finds when it starts. As root: others are refused by name.

use std::path::PathBuf;

use ideal_api::Verb;
use ideal_core::id::Name;
use ideal_core::observed::{Machine, ServiceState};
use ideal_core::secret::{Secret, Secrets};
use serde_json::json;

use crate::bench::{Bench, until};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Control groups of a machine, in every tree.
fn groups(machine: &Machine) -> Vec<PathBuf> {
    let trees = ["memory", "cpu", "pids", "."].map(|tree| PathBuf::from("/sys/fs/cgroup").join(tree));
    let at = trees.iter().map(|tree| tree.join("ideal").join(machine.id.as_str()));
    let entries = at.flat_map(|at| std::fs::read_dir(at).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[tokio::test]
async fn who_uses_too_much_memory_is_killed_and_told_so() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    // The one that is killed is a child: the group is what is limited.
    let greedy = "import time\nx = b'x' * (200 << 20)\ntime.sleep(1000)";
    let spec = json!({"command": ["sh", "-c", "python3 -c \"$0\"; exit $?", greedy], "memory": "32MiB"});
    bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    if !is_root() {
        let told = bench.service(&machine, "refused", 10, |seen| seen.why.is_some()).await.why.unwrap();
        assert!(told.contains("takes root"), "{told}");
        return bench.terminate(&machine).await;
    }
    let seen = bench.service(&machine, "killed", 20, |seen| seen.state == ServiceState::BackingOff).await;
    assert_eq!(seen.why.as_deref(), Some("it was killed for using more than 32MiB"));
    bench.terminate(&machine).await;
    assert_eq!(groups(&machine), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn all_that_a_limited_process_started_ends_with_it() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let machine = bench.machine().await;
    // A child in a session of its own without any mark: only the group knows it.
    let script = "setsid env -i sleep 1003 & while :; do sleep 1; done";
    let spec = json!({"command": ["sh", "-c", script], "pids": 10, "cpus": 0.5});
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    bench.converged(&machine, &hash).await;
    let before = bench.running(&machine).await.pid.unwrap();
    let of = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let child = until("its child", 5, async || {
        ideal_host::process::numbers().into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line == b"sleep\x001003\x00" && of(*pid).contains(machine.id.as_str())
        })
    })
    .await;
    assert!(of(before).contains(machine.id.as_str()));
    // An agent that did not start it knows its group all the same.
    let agent = bench.agent(&machine).unwrap();
    crate::bench::kill(agent.pid);
    until("the agent is gone", 5, async || (!agent.is_alive()).then_some(())).await;
    bench.converged(&machine, &hash).await;
    crate::bench::kill(before);
    let after = bench.service(&machine, "back", 10, |seen| {
        seen.state == ServiceState::Running && seen.pid != Some(before)
    });
    after.await;
    assert!(ideal_host::ProcessId::of(child).is_none(), "it outlived its replica");
    let trees = groups(&machine);
    let names: std::collections::BTreeSet<_> = trees.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names.len(), 1, "one start, one group: {trees:?}");
    bench.terminate(&machine).await;
    assert_eq!(groups(&machine), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_process_finds_its_files_and_its_secrets_in_memory() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let spec = json!({
        "command": ["sh", "-c", "cat ready etc/pub/config etc/pub/key > found; exec sleep 1000"],
        "init": [["sh", "-c", "echo first > ready"]],
        "files": [
            {"path": "/etc/pub/config", "content": "on {{ node.name }}\n"},
            {"path": "/etc/pub/key", "secret": "key"},
        ],
    });
    let mut slice = bench.slice(vec![], vec![("pub", spec)]);
    slice.context = json!({"node": {"name": "shop[0]"}});
    slice.secrets = [Name::new("key").unwrap()].into();
    let secrets = Secrets::from([(Name::new("key").unwrap(), Secret::new("hunter2\n".into()))]);
    let verb = Verb::Apply { slice: Box::new(slice), hash: "slice".into(), secrets };
    bench.tell(&machine, verb).await;
    bench.converged(&machine, "slice").await;
    let root = bench.root(&machine);
    let found = until("it has read them", 5, async || {
        std::fs::read_to_string(root.join("found")).ok().filter(|text| text.ends_with("hunter2\n"))
    });
    assert_eq!(found.await, "first\non shop[0]\nhunter2\n");
    std::fs::remove_file(root.join("found")).unwrap();
    let link = std::fs::read_link(root.join("etc/pub/key")).unwrap();
    assert!(link.starts_with("/run/") || link.starts_with("/dev/shm/"), "{}", link.display());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&link).unwrap().permissions().mode() & 0o777, 0o400);
    let grep = std::process::Command::new("grep").args(["-rlF", "hunter2"]).arg(bench.folder.path()).output();
    assert_eq!(String::from_utf8_lossy(&grep.unwrap().stdout), "", "no disk has it");
    bench.terminate(&machine).await;
    assert!(!link.exists(), "it ends with the machine");
}

#[tokio::test]
async fn a_process_runs_as_its_user() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let machine = bench.machine().await;
    let spec = json!({"command": ["sh", "-c", "id -un; echo $HOME; exec sleep 1000"], "user": "nobody"});
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    bench.converged(&machine, &hash).await;
    let log = bench.home(&machine).service_log("pub[0]");
    let said = until("it has said who it is", 5, async || {
        std::fs::read_to_string(&log).ok().filter(|text| text.lines().count() == 2)
    });
    assert_eq!(said.await, "nobody\n/nonexistent\n");
    // One that is not there is told by name.
    let spec = json!({"command": ["sleep", "1000"], "user": "none-such"});
    bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    let told = |seen: &ideal_core::observed::ServiceSeen| {
        seen.why.as_ref().is_some_and(|why| why.contains("none-such"))
    };
    bench.service(&machine, "told", 10, told).await;
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn most_that_fail_at_once_are_a_storm() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let dying = || json!({"command": ["sh", "-c", "exit 1"]});
    let slice = bench.slice(vec![], vec![("a", dying()), ("b", dying()), ("c", dying())]);
    bench.apply(&machine, slice.clone()).await;
    let problem = until("it is told", 10, async || {
        let report = bench.report(&machine).await?;
        report.problems.into_iter().find(|problem| problem.what == "services")
    });
    let problem = problem.await;
    assert!(problem.why.contains("3 of 3 replicas"), "{}", problem.why);
    let restarts = async || -> u32 {
        bench.report(&machine).await.unwrap().services.values().map(|seen| seen.restarts).sum()
    };
    let before = restarts().await;
    // Nothing goes on meanwhile, where a tenth of this would see dozens.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(restarts().await, before);
    // Another slice is a new beginning.
    let mut slice = slice;
    for replica in &mut slice.replicas {
        replica.spec = serde_json::from_value(json!({"on": "shop", "command": ["sleep", "1000"]})).unwrap();
    }
    let hash = bench.apply(&machine, slice).await;
    let report = bench.converged(&machine, &hash).await;
    assert_eq!(report.problems, vec![]);
    bench.terminate(&machine).await;
}
