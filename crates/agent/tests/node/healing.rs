//! Services with real processes: killed, hung, dying for ever; and the agent and the keeper killed above them.

use std::time::{Duration, Instant};

use crate::bench::{Bench, kill, until};
use ideal_core::ideal::service::Rung;
use ideal_core::observed::{MachineState, ServiceState};
use ideal_host::ProcessId;
use ideal_host::process;
use serde_json::json;

fn sleeper() -> serde_json::Value {
    json!({"command": ["sleep", "1000"]})
}

/// The processes of a replica.
fn of_service(bench: &Bench, machine: &ideal_core::observed::Machine) -> Vec<u32> {
    let home = bench.home(machine);
    let ours = process::find(|marks| {
        ideal_host::home::is_of(marks, &machine.id, &home) && marks.contains_key("IDEAL_SERVICE")
    });
    ours.iter().map(|process| process.id.pid).collect()
}

#[tokio::test]
async fn a_killed_service_is_back_at_once() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", sleeper())])).await;
    bench.converged(&machine, &hash).await;
    let before = bench.running(&machine).await;
    let killed = Instant::now();
    kill(before.pid.unwrap());
    // Asking the agent would only measure the asking: the new process is looked for itself.
    let pid = loop {
        let found = of_service(&bench, &machine).into_iter().find(|pid| Some(*pid) != before.pid);
        if let Some(pid) = found {
            break pid;
        }
        assert!(killed.elapsed() < Duration::from_secs(5), "it never came back");
    };
    let took = killed.elapsed();
    println!("respawn after kill -9: {took:?}");
    assert!(took < Duration::from_millis(50), "{took:?}");
    let after = bench.running(&machine).await;
    assert_eq!((after.pid, after.restarts), (Some(pid), 1));
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_killed_agent_is_back_and_touches_no_service() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", sleeper())])).await;
    bench.converged(&machine, &hash).await;
    let before = bench.running(&machine).await;
    let agent = bench.agent(&machine).unwrap();
    let killed = Instant::now();
    kill(agent.pid);
    until("the agent is gone", 5, async || (!agent.is_alive()).then_some(())).await;
    let report = until("the agent answers again", 5, async || bench.report(&machine).await).await;
    let took = killed.elapsed();
    println!("agent back after kill -9: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(report.slice.as_deref(), Some(hash.as_str()));
    let after = bench.running(&machine).await;
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
    assert_eq!(of_service(&bench, &machine), [before.pid.unwrap()], "not doubled");
    bench.converged(&machine, &hash).await;
    // One that it did not start itself is missed just as fast.
    let killed = Instant::now();
    kill(before.pid.unwrap());
    while of_service(&bench, &machine).iter().all(|pid| Some(*pid) == before.pid) {
        assert!(killed.elapsed() < Duration::from_secs(5), "it never came back");
    }
    let took = killed.elapsed();
    println!("respawn of an inherited service after kill -9: {took:?}");
    assert!(took < Duration::from_millis(50), "{took:?}");
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_service_that_keeps_dying_is_suspended() {
    let bench = Bench::hasty();
    let machine = bench.machine().await;
    let dying = json!({"command": ["sh", "-c", "echo no luck; exit 3"]});
    bench.apply(&machine, bench.slice(vec![], vec![("pub", dying)])).await;
    bench.service(&machine, "backing off", 10, |seen| seen.state == ServiceState::BackingOff).await;
    bench.service(&machine, "to be moved", 20, |seen| seen.asks == Some(Rung::Move)).await;
    let seen = bench.service(&machine, "suspended", 20, |seen| seen.state == ServiceState::Suspended).await;
    let why = seen.why.unwrap();
    assert!(why.contains("exit status: 3") && why.contains("no luck"), "{why}");
    // Started again ten times, then made anew three times, then three times while another node was asked for.
    assert_eq!((seen.pid, seen.restarts, seen.asks), (None, 17, Some(Rung::Ask)));
    // A new slice deserves its own chance.
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", sleeper())])).await;
    bench.converged(&machine, &hash).await;
    bench.terminate(&machine).await;
}

async fn check_hang(health: serde_json::Value, command: serde_json::Value) {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let mut health = health;
    for (key, value) in [("every", json!("200ms")), ("timeout", json!("200ms")), ("retries", json!(2))] {
        health[key] = value;
    }
    let spec =
        json!({"command": command, "health": health, "ports": {"main": "auto"}, "stop": {"grace": "100ms"}});
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    bench.converged(&machine, &hash).await;
    let before = bench.running(&machine).await;
    let id = ProcessId::of(before.pid.unwrap()).unwrap();
    let stopped = Instant::now();
    id.signal(rustix::process::Signal::STOP).unwrap();
    let after = bench
        .service(&machine, "replaced", 10, |seen| {
            seen.state == ServiceState::Running && seen.pid != before.pid
        })
        .await;
    println!("hang noticed and healed: {:?}", stopped.elapsed());
    assert_eq!(after.restarts, 1);
    assert!(!id.is_alive());
    bench.terminate(&machine).await;
}

const SERVER: &str = "import http.server,sys
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()";

#[tokio::test]
async fn a_hang_is_seen_by_a_command() {
    // Alive is who answers: a stopped shell writes nothing.
    let command = json!(["sh", "-c", "while :; do date +%s%N > beat; sleep 0.05; done"]);
    let check = json!({"command": ["sh", "-c", "a=$(cat beat); sleep 0.15; test \"$a\" != \"$(cat beat)\""]});
    check_hang(check, command).await;
}

#[tokio::test]
async fn a_hang_is_seen_by_http() {
    let check = json!({"http": "http://127.0.0.1:{{ port.main }}/"});
    check_hang(check, json!(["python3", "-c", SERVER, "{{ port.main }}"])).await;
}

#[tokio::test]
async fn a_closed_port_is_seen_by_tcp() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let command = json!([
        "python3",
        "-c",
        "import socket,sys,time,os
s=socket.create_server(('127.0.0.1', int(sys.argv[1])))
while not os.path.exists('close'): time.sleep(0.02)
os.unlink('close'); s.close(); time.sleep(1000)",
        "{{ port.main }}"
    ]);
    let health =
        json!({"tcp": "127.0.0.1:{{ port.main }}", "every": "200ms", "timeout": "200ms", "retries": 2});
    let spec =
        json!({"command": command, "health": health, "ports": {"main": "auto"}, "stop": {"grace": "100ms"}});
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    bench.converged(&machine, &hash).await;
    let before = bench.running(&machine).await;
    std::fs::write(bench.root(&machine).join("close"), "").unwrap();
    bench
        .service(&machine, "replaced", 10, |seen| {
            seen.state == ServiceState::Running && seen.pid != before.pid
        })
        .await;
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_dead_keeper_is_an_impaired_machine() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", sleeper())])).await;
    bench.converged(&machine, &hash).await;
    let service = bench.running(&machine).await.pid.unwrap();
    kill(bench.keeper(&machine).pid);
    let impaired = bench.machine_in(&machine.id, MachineState::Impaired).await;
    assert!(ProcessId::of(service).is_some(), "what ran there still runs");
    bench.terminate(&impaired).await;
    bench.machine_in(&machine.id, MachineState::Terminated).await;
    assert_eq!(bench.local.processes().unwrap(), Vec::<String>::new());
    assert!(ProcessId::of(service).is_none());
}

#[tokio::test]
async fn ending_a_machine_leaves_nothing_behind() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    // Children in sessions of their own, deaf to signals, one with an environment without our marks.
    let script = "trap '' TERM HUP; setsid sleep 1001 & (setsid sh -c 'trap \"\" TERM; exec env -i sleep 1002' &) ; \
                  echo ready > ready; while :; do sleep 1; done";
    let hash = bench
        .apply(&machine, bench.slice(vec![], vec![("pub", json!({"command": ["sh", "-c", script]}))]))
        .await;
    bench.converged(&machine, &hash).await;
    let root = bench.root(&machine);
    until("it has its children", 5, async || root.join("ready").exists().then_some(())).await;
    let unmarked = until("the one without marks", 5, async || {
        process::numbers().into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let here = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == root);
            line == b"sleep\x001002\x00" && here
        })
    })
    .await;
    let ended = Instant::now();
    bench.terminate(&machine).await;
    println!("ended, with all that ran: {:?}", ended.elapsed());
    assert_eq!(bench.seen(&machine.id).await.state, MachineState::Terminated);
    assert_eq!(bench.local.processes().unwrap(), Vec::<String>::new());
    assert_eq!(ProcessId::of(unmarked), None, "found as a descendant of the keeper");
}

#[tokio::test]
async fn a_quiet_slice_stops_and_the_next_one_starts() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let mut slice = bench.slice(vec![], vec![("pub", sleeper())]);
    let hash = bench.apply(&machine, slice.clone()).await;
    bench.converged(&machine, &hash).await;
    slice.quiet = true;
    let hash = bench.apply(&machine, slice.clone()).await;
    bench.converged(&machine, &hash).await;
    assert_eq!(of_service(&bench, &machine), Vec::<u32>::new());
    slice.quiet = false;
    let hash = bench.apply(&machine, slice).await;
    bench.converged(&machine, &hash).await;
    // A replica that leaves the slice is stopped.
    let hash = bench.apply(&machine, bench.slice(vec![], vec![])).await;
    let report = bench.converged(&machine, &hash).await;
    assert!(report.services.is_empty());
    assert_eq!(of_service(&bench, &machine), Vec::<u32>::new());
    bench.terminate(&machine).await;
}

#[tokio::test]
async fn a_service_without_marks_ends_with_its_machine_even_when_the_keeper_is_dead() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let spec = json!({"command": ["env", "-i", "sleep", "1000"]});
    let hash = bench.apply(&machine, bench.slice(vec![], vec![("pub", spec)])).await;
    bench.converged(&machine, &hash).await;
    let pid = bench.running(&machine).await.pid.unwrap();
    let service = ProcessId::of(pid).unwrap();
    until("its environment is bare", 5, async || process::marks(pid).is_empty().then_some(())).await;
    // A new agent knows it by number and start time alone.
    let agent = bench.agent(&machine).unwrap();
    kill(agent.pid);
    until("the agent is gone", 5, async || (!agent.is_alive()).then_some(())).await;
    assert_eq!(bench.converged(&machine, &hash).await.services["pub[0]"].pid, Some(pid));
    kill(bench.keeper(&machine).pid);
    let impaired = bench.machine_in(&machine.id, MachineState::Impaired).await;
    assert!(service.is_alive());
    bench.terminate(&impaired).await;
    assert!(!service.is_alive());
}

#[tokio::test]
async fn a_new_program_waits_for_its_resources() {
    let bench = Bench::new();
    let machine = bench.machine().await;
    let hash = bench.apply(&machine, bench.slice(vec![], vec![])).await;
    bench.converged(&machine, &hash).await;
    // It would die at once without the file that the command before it makes.
    let slow = crate::bench::resource(json!({"command": {"run": ["sh", "-c", "sleep 0.3; echo x > conf"]}}));
    let spec = json!({"command": ["sh", "-c", "cat conf && exec sleep 1000"]});
    let hash = bench.apply(&machine, bench.slice(vec![slow], vec![("pub", spec)])).await;
    let report = bench.converged(&machine, &hash).await;
    assert_eq!(report.services["pub[0]"].restarts, 0);
    bench.terminate(&machine).await;
}
