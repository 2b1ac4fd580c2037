//! `ideal guard` on a plain engine: no ideal file, containers that somebody else made.

use std::io::BufRead;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::bed::{BARE, Bed, until};

/// A guard that runs. It is ended with this.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bed {
    fn guard(&self) -> Guard {
        let log = std::fs::File::create(self.folder.join("guard.jsonl")).unwrap();
        Guard(
            self.command(&["guard", "-o", "json", "--grace", "1s"]).stdout(Stdio::from(log)).spawn().unwrap(),
        )
    }
    /// What the guard did to a container, oldest first.
    fn did(&self, name: &str) -> Vec<String> {
        let log = std::fs::File::open(self.folder.join("guard.jsonl")).unwrap();
        let lines = std::io::BufReader::new(log).lines().map_while(Result::ok);
        let told = lines.map(|line| serde_json::from_str::<Json>(&line).unwrap()["data"].clone());
        let of = told.filter(|told| told["container"].as_str().unwrap_or("guard") == name);
        of.map(|told| told["did"].as_str().unwrap().to_owned()).collect()
    }
    fn run_with(&self, name: &str, words: &[&str], script: &str) {
        let words = [&["run", "-d", "--name", name][..], words, &["ideal-test:checked", "sh", "-c", script]];
        self.docker(&words.concat()).ended(0);
    }
    fn state(&self, name: &str, what: &str) -> String {
        self.docker(&["inspect", "-f", &format!("{{{{.State.{what}}}}}"), name]).out.trim().to_owned()
    }
}

const LIVES: &str = "touch /well; trap 'exit 0' TERM; while true; do sleep 0.1; done";

#[test]
fn a_plain_host_is_guarded() {
    let Some(bed) = Bed::start("guard") else { return };
    bed.import_bare();
    let check = "HEALTHCHECK --interval=300ms --timeout=1s --retries=2 CMD test -e /well";
    bed.derive(BARE, "ideal-test:checked", check);
    bed.ideal(&["guard", "--status"]).ended(3).says("no guard ever wrote");
    for (name, heal) in [("again", "restart"), ("end", "stop"), ("leave", "none")] {
        bed.run_with(name, &["--label", &format!("ideal.heal={heal}")], LIVES);
    }
    bed.run_with("other", &[], LIVES);
    let guard = bed.guard();
    assert!(until(10, || bed.ideal(&["guard", "--status"]).code == Some(0)));
    bed.ideal(&["guard", "--status"]).ended(0).says("watches 3 containers");

    // Unhealthy: started again, stopped, or left; and nobody else's is touched.
    for name in ["again", "end", "leave", "other"] {
        bed.docker(&["exec", name, "rm", "/well"]).ended(0);
    }
    let begun = Instant::now();
    let first = bed.state("again", "StartedAt");
    assert!(until(20, || bed.state("again", "StartedAt") != first
        && bed.state("again", "Health.Status") == "healthy"));
    println!("unhealthy to healthy: {:?}", begun.elapsed());
    assert!(until(10, || bed.state("end", "Status") == "exited"));
    assert!(until(10, || bed.did("leave") == ["watch"]), "told, once: {:?}", bed.did("leave"));
    assert_eq!(
        (bed.state("leave", "Status"), bed.state("other", "Status")),
        ("running".into(), "running".into())
    );
    assert_eq!((bed.did("again"), bed.did("end")), (vec!["restart".to_owned()], vec!["stop".to_owned()]));

    // Ended with a failure: started again. Stopped by a person: left.
    let first = bed.state("again", "StartedAt");
    bed.docker(&["kill", "again"]).ended(0);
    assert!(
        until(20, || bed.state("again", "Status") == "running" && bed.state("again", "StartedAt") != first)
    );
    bed.run_with(
        "stopped",
        &["--label", "ideal.heal=restart"],
        "touch /well; trap 'exit 7' TERM; while true; do sleep 0.1; done",
    );
    bed.docker(&["stop", "stopped"]).ended(0);
    assert_eq!(bed.state("stopped", "ExitCode"), "7");

    // One that its engine starts again is left to it.
    bed.run_with("engine", &["--label", "ideal.heal=restart", "--restart", "always"], "exit 1");
    assert!(until(10, || bed.docker(&["inspect", "-f", "{{.RestartCount}}", "engine"]).out.trim() != "0"));

    // One that fails on and on is started ever later.
    bed.run_with("failing", &["--label", "ideal.heal=restart"], "exit 1");
    assert!(until(20, || bed.did("failing").len() == 3), "{:?}", bed.did("failing"));
    bed.docker(&["rm", "-f", "failing"]).ended(0);
    assert_eq!((bed.did("stopped"), bed.did("engine")), (Vec::<String>::new(), Vec::<String>::new()));

    // A guard without an engine, and one that is dead, are noticed.
    bed.engine_stops();
    let late = || bed.ideal(&["guard", "--status", "--older-than", "6s"]).code == Some(3);
    assert!(until(20, late));
    assert!(until(10, || bed.did("guard").contains(&"silent".to_owned())));
    bed.engine_runs_again();
    assert!(until(20, || !late()));
    drop(guard);
    assert!(until(20, late));
}

#[test]
fn a_storm_is_waited_out() {
    let Some(bed) = Bed::start("storm") else { return };
    bed.import_bare();
    bed.docker(&["tag", BARE, "ideal-test:checked"]).ended(0);
    let _guard = bed.guard();
    assert!(until(10, || bed.ideal(&["guard", "--status"]).code == Some(0)));
    for name in ["one", "two", "three"] {
        bed.run_with(name, &["--label", "ideal.heal=restart"], "exit 1");
    }
    assert!(until(20, || bed.did("guard").contains(&"hold".to_owned())), "{:?}", bed.did("guard"));
    let starts = || ["one", "two", "three"].map(|name| bed.did(name).len());
    let before = starts();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(starts(), before);
    assert_eq!(bed.did("guard").iter().filter(|did| *did == "hold").count(), 1, "told once");
}
