//! Services as containers, on nodes that are folders of this host: what dies comes back, what runs is not touched, and
//! there is one of each.

use std::io::BufRead;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::bed::{BARE, Bed, IMAGE, Ran, until};

/// A program that ends when it is asked to, after these lines.
fn patient(lines: &str) -> String {
    format!("trap 'exit 0' TERM; {lines}; while true; do sleep 0.1; done")
}

/// What is kept running on the nodes of this test, for as long as it lasts.
pub(crate) struct Hosts(Bed);

impl Drop for Hosts {
    fn drop(&mut self) {
        let folder = self.0.folder.clone();
        let below = |marks: &ideal_host::Marks| {
            marks.get("IDEAL_HOME").is_some_and(|home| std::path::Path::new(home).starts_with(&folder))
        };
        ideal_host::process::kill_all(below, 50);
        let _ = std::fs::remove_dir_all(folder.join("p"));
    }
}

impl std::ops::Deref for Hosts {
    type Target = Bed;
    fn deref(&self) -> &Bed {
        &self.0
    }
}

impl Hosts {
    pub(crate) fn start(name: &str) -> Option<Hosts> {
        let bed = Bed::start(name)?;
        bed.import_bare();
        Some(Hosts(bed))
    }
    /// One node, and this service on it.
    pub(crate) fn serve(&self, service: &str) {
        self.serve_as(service, "hunter2");
    }
    /// The same with another secret.
    pub(crate) fn serve_as(&self, service: &str, key: &str) {
        let [shop, _, _] = &self.clouds;
        let service: String = service.lines().map(|line| format!("    {line}\n")).collect();
        self.write(&format!(
            "ideal: 1\nproviders: {{here: local}}\nsecrets: {{key: {{file: key}}}}\nclouds:\n  shop:\n    \
             uuid: {shop}\n    provider: here\n    nodes: 1\nservices:\n  pub:\n    on: shop\n{service}"
        ));
        std::fs::write(self.folder.join("p/key"), key).unwrap();
    }
    pub(crate) fn up(&self, service: &str) {
        self.up_as(service, "hunter2");
    }
    pub(crate) fn up_as(&self, service: &str, key: &str) {
        self.serve_as(service, key);
        self.ideal(&["up", "--yes", "--timeout", "60s"]).ended(0);
    }
    /// Containers of services, running or not.
    pub(crate) fn all(&self) -> Vec<Json> {
        let ids = self.containers("ideal.service");
        let seen = |id: &String| -> Json {
            let text = self.docker(&["inspect", id]).ended(0).out;
            serde_json::from_str::<Vec<Json>>(&text).unwrap().remove(0)
        };
        ids.iter().map(seen).collect()
    }
    /// The only container of `pub[0]`.
    #[track_caller]
    pub(crate) fn one(&self) -> Json {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }
    fn id(&self) -> String {
        self.one()["Id"].as_str().unwrap().to_owned()
    }
    /// What a replica does and why, as `ideal status` has it.
    pub(crate) fn seen(&self) -> Json {
        let out = self.ideal(&["nodes", "show", "shop[0]", "-o", "json"]).ended(0).out;
        serde_json::from_str(&out).unwrap()
    }
    pub(crate) fn says(&self, what: &str) -> bool {
        self.seen().to_string().contains(what)
    }
    fn inside(&self, script: &str) -> Ran {
        self.docker(&["exec", &self.id(), "sh", "-c", script])
    }
    /// Waits until the container runs that was started after `before`; how long that took.
    #[track_caller]
    fn started_after(&self, before: &Json, seconds: u64) -> Duration {
        let begun = Instant::now();
        let back = || {
            self.all().iter().any(|now| {
                now["State"]["Running"] == true && now["State"]["StartedAt"] != before["State"]["StartedAt"]
            })
        };
        assert!(until(seconds, back), "it is not back: {}", self.seen());
        begun.elapsed()
    }
    fn agent(&self) -> Option<ideal_host::ProcessId> {
        let folder = self.folder.clone();
        let ours = ideal_host::process::find(|marks| {
            marks.get("IDEAL_HOME").is_some_and(|home| std::path::Path::new(home).starts_with(&folder))
        });
        let is_run = |pid: u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == b"run")
        };
        ours.iter().find(|process| is_run(process.id.pid)).map(|process| process.id)
    }
    fn kill_agent(&self) {
        assert!(until(10, || self.agent().is_some()), "there is no agent");
        let agent = self.agent().unwrap();
        agent.signal(rustix::process::Signal::KILL).unwrap();
        assert!(until(10, || !agent.is_alive()));
    }
    /// The homes of machines on this host.
    fn homes(&self) -> Vec<std::path::PathBuf> {
        let machines = std::fs::read_dir(self.folder.join("p/.ideal/local/machines"));
        machines.unwrap().flatten().map(|entry| entry.path()).collect()
    }
    fn is_well(&self) -> bool {
        self.ideal(&["status", "--check"]).code == Some(0)
    }
}

#[test]
fn a_container_that_dies_is_back() {
    let Some(bed) = Hosts::start("die") else { return };
    let run = patient("echo up; touch /begun");
    bed.up(&format!("image: {BARE}\ncommand: [/bin/sh, -c, \"{run}\"]\nports: {{main: \"auto:80\"}}\n"));
    let first = bed.one();
    let name = first["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
    assert_eq!(first["HostConfig"]["RestartPolicy"]["Name"], "no");
    assert_eq!(first["HostConfig"]["SecurityOpt"][0], "no-new-privileges:true");
    assert_eq!(first["Config"]["Labels"]["ideal.service"], "pub[0]");
    let aliases = first["NetworkSettings"]["Networks"].as_object().unwrap().values().next().unwrap();
    assert!(aliases["Aliases"].to_string().contains("pub-0.pub"), "{aliases}");
    for how in [&["kill"][..], &["stop", "-t", "1"], &["rm", "-f"]] {
        let before = bed.one();
        bed.docker(&[how, &[&name]].concat()).ended(0);
        println!("back after {how:?}: {:?}", bed.started_after(&before, 20));
        let now = bed.one();
        let same = now["Id"] == before["Id"];
        assert_eq!(same, how[0] != "rm", "started again where it is there, made where it is not");
        assert_eq!(now["Name"].as_str(), before["Name"].as_str());
        assert_eq!(now["HostConfig"]["PortBindings"], before["HostConfig"]["PortBindings"]);
    }
    // Started again by another hand while the agent looks: it is left so.
    bed.docker(&["restart", "-t", "1", &name]).ended(0);
    assert!(until(20, || bed.is_well()));
    assert_eq!(bed.all().len(), 1);
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
    assert_eq!((bed.all(), bed.labelled("ideal.data")), (vec![], vec![]));
}

#[test]
fn the_death_of_an_agent_or_an_engine_doubles_nothing() {
    let Some(bed) = Hosts::start("agent") else { return };
    let run = patient("n=0; while [ $n -lt 200 ]; do n=$((n + 1)); echo line $n; sleep 0.02; done");
    bed.up(&format!("image: {BARE}\ncommand: [/bin/sh, -c, \"{run}\"]\n"));
    let before = bed.one();
    for _ in 0..3 {
        bed.kill_agent();
        assert!(until(10, || bed.is_well()));
    }
    // It knows nothing any more, but what the engine tells.
    let home = bed.homes().remove(0);
    bed.kill_agent();
    std::fs::remove_file(home.join("runtime.json")).unwrap();
    bed.kill_agent();
    assert!(until(10, || bed.is_well()));
    let after = bed.one();
    assert_eq!((&after["Id"], &after["State"]["StartedAt"]), (&before["Id"], &before["State"]["StartedAt"]));
    // Each line once, whoever brought it.
    let log = home.join("logs/pub[0].log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    assert!(until(30, || lines().contains("line 200\n")), "{}", lines());
    let numbers: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    assert_eq!(lines().lines().collect::<Vec<_>>(), numbers);

    // An engine that is gone is told, and what runs goes on.
    let pid = ideal_host::ProcessId::of(u32::try_from(after["State"]["Pid"].as_u64().unwrap()).unwrap());
    let pid = pid.unwrap();
    bed.engine_dies();
    assert!(until(10, || bed.says("no engine answers")), "{}", bed.seen());
    assert!(pid.is_alive());
    bed.engine_runs_again();
    assert!(until(30, || bed.is_well()), "{}", bed.seen());
    assert_eq!(bed.one()["Id"], before["Id"]);
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.all(), Vec::<Json>::new());
}

#[test]
fn a_start_that_was_given_up_leaves_nothing() {
    let Some(bed) = Hosts::start("late") else { return };
    let plain = format!("image: {BARE}\ncommand: [/bin/sh, -c, \"{}\"]\n", patient("echo up"));
    bed.up(&plain);
    let one = bed.one();
    let down = |bed: &Hosts| {
        bed.ideal(&["demand", "shop", "unmounted"]).ended(0);
        bed.ideal(&["heal", "--yes", "--timeout", "30s"]).ended(0);
    };
    down(&bed);
    assert_eq!(bed.all(), Vec::<Json>::new());
    // The engine does late what it was told before.
    let labels = one["Config"]["Labels"].as_object().unwrap();
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("--label={name}={}", value.as_str().unwrap())).collect();
    let name = format!("--name={}", one["Name"].as_str().unwrap().trim_start_matches('/'));
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let late = |words: &[&str]| {
        let made =
            bed.docker(&[words, &[&*name, "--network=none"], &labels, &[BARE, "sleep", "600"]].concat());
        // It was there: that is its id. The agent may have been faster than its start.
        assert_eq!(made.out.trim().len(), 64, "{}{}", made.out, made.err);
        let left = || bed.containers("ideal.service");
        assert!(until(20, || left().is_empty()), "it stays: {:?}", left());
    };
    late(&["run", "-d"]);
    late(&["create"]);
    // One that still does what comes before it.
    bed.serve(&format!("{plain}init: [[sleep, \"600\"]]\n"));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "3s"]);
    assert_eq!(bed.containers("ideal.machine").len(), 2, "it, and what comes before it");
    down(&bed);
    assert_eq!(bed.containers("ideal.machine"), Vec::<String>::new());
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
}

#[test]
fn what_is_not_well_is_started_again() {
    let Some(bed) = Hosts::start("well") else { return };
    // By our own check, run in the container; the program does not listen when it is asked to end.
    bed.up(&format!(
        "image: {BARE}\ncommand: [/bin/sh, -c, \"touch /well; while true; do sleep 1; done\"]\n\
         health: {{command: [test, -e, /well], every: 500ms, retries: 2}}\n"
    ));
    let before = bed.one();
    bed.inside("rm /well").ended(0);
    let took = bed.started_after(&before, 10);
    println!("unhealthy to started: {took:?}");
    // Two failed looks within a second, and a second more.
    assert!(took < Duration::from_millis(2500), "{took:?}");
    assert!(until(10, || bed.is_well()));
    // One that hangs as a whole.
    let before = bed.one();
    bed.docker(&["pause", &bed.id()]).ended(0);
    bed.started_after(&before, 10);
    // A check that hangs is killed, and nothing of it stays in the container.
    bed.serve(&format!(
        "image: {BARE}\ncommand: [/bin/sh, -c, \"while true; do sleep 1; done\"]\n\
         health: {{command: [sleep, \"777\"], every: 200ms, timeout: 100ms, retries: 1000000}}\n"
    ));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    assert!(until(10, || bed.says("took longer than 100ms")), "{}", bed.seen());
    let hanging = bed.inside("ps").ended(0).out.matches("sleep 777").count();
    assert!(hanging <= 1, "{hanging} checks hang");
}

#[test]
fn the_check_of_an_image_counts() {
    let Some(bed) = Hosts::start("image") else { return };
    let check = "HEALTHCHECK --interval=300ms --timeout=1s --retries=2 CMD test -e /well";
    bed.derive(BARE, "ideal-test:checked", check);
    let run = patient("sleep 0.4; touch /well");
    bed.serve(&format!("image: ideal-test:checked\ncommand: [/bin/sh, -c, \"{run}\"]\n"));
    bed.ideal(&["up", "--yes", "--timeout", "60s"]).ended(0);
    // Launched means that it is well: it took its time.
    bed.inside("test -e /well").ended(0);
    let before = bed.one();
    assert_eq!(before["State"]["Health"]["Status"], "healthy");
    bed.inside("rm /well").ended(0);
    let took = bed.started_after(&before, 10);
    println!("unhealthy by its image to started: {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(until(10, || bed.is_well()));
    // Ours stands in for it, also under a container that has it.
    let before = bed.id();
    let ours = format!(
        "image: ideal-test:checked\ncommand: [/bin/sh, -c, \"{run}\"]\nhealth: {{command: [test, -n, x]}}\n"
    );
    bed.up(&ours);
    bed.inside("rm /well").ended(0);
    assert!(until(10, || bed.one()["State"]["Health"]["Status"] == "unhealthy"));
    assert!(bed.is_well());
    assert_eq!(bed.id(), before);
    bed.up(&ours.replace("health", "pids: 90\nhealth"));
    assert_eq!(bed.one()["State"].get("Health"), None);
}

#[test]
fn a_container_finds_what_it_is_promised() {
    let Some(bed) = Hosts::start("find") else { return };
    bed.derive(BARE, "ideal-test:user", "USER 1000:1001");
    let run = patient("cat /first /etc/pub/config /etc/pub/key; echo $WHO; id -u; echo x >> /data/kept");
    let service = |extra: &str| {
        format!(
            "image: ideal-test:user\npull: never\ncommand: [/bin/sh, -c, \"{run}\"]\n\
             mounts: {{data: {{size: 1MiB, at: /data}}}}\n\
             init: [[echo, before], [test, -e, /etc/pub/key]]\n\
             env: {{WHO: \"{{{{ node.name }}}}\"}}\nread_only: true\nmemory: 64MiB\ncpus: 0.5\npids: 50\n\
             capabilities: {{drop: [ALL]}}\nnetworks: [front, back]\nfiles:\n\
             \x20 - {{path: /etc/pub/config, content: \"on {{{{ node.name }}}}\\n\"}}\n\
             \x20 - {{path: /etc/pub/key, secret: key}}\n\
             \x20 - {{path: /first, content: \"first\\n\"}}\n{extra}"
        )
    };
    bed.up(&service(""));
    let one = bed.one();
    let host = &one["HostConfig"];
    assert_eq!(
        (&host["Memory"], &host["CpuShares"], &host["PidsLimit"]),
        (&(64 << 20).into(), &512.into(), &50.into())
    );
    assert_eq!(one["NetworkSettings"]["Networks"].as_object().unwrap().len(), 2);
    let said = || bed.ideal(&["logs", "pub[0]"]).out;
    assert!(until(10, || said().contains("1000")), "{}", said());
    assert_eq!(said().trim(), "before\nfirst\non shop[0]\nhunter2shop[0]\n1000");
    bed.inside("echo > /anywhere").ended(1).says("Read-only");
    bed.inside("stat -c '%a %u %g' /etc/pub/key").ended(0).says("400 1000 1001");
    // On no disk: neither here nor at the engine.
    let folders =
        [bed.folder.join("p/.ideal"), bed.folder.join("state"), bed.folder.join("../e/data/containers")];
    // The log is what the program said itself.
    let grep = ["-rlF", "--exclude=*.log", "hunter2"];
    let grep = std::process::Command::new("grep").args(grep).args(folders).output().unwrap();
    assert_eq!(Ran::of(&grep).out, "");
    // Another program is another container.
    let before = bed.id();
    bed.up(&service("stop: {grace: 1s}\n"));
    assert_eq!(bed.id(), before, "how it is stopped may change under it");
    bed.up(&service("").replace("pids: 50", "pids: 60"));
    assert_ne!(bed.id(), before);
    // Its filesystem is the same one, given to its user when it was new.
    assert_eq!(bed.inside("cat /data/kept").ended(0).out, "x\nx\n");
    // One whose init fails does not start.
    bed.serve(&service("").replace("echo, before", "ls, /none-such"));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    assert!(until(10, || bed.says("init command 1 (`ls /none-such`) failed")), "{}", bed.seen());
    bed.up(&service(""));
    assert!(until(60, || bed.ideal(&["away", "--yes"]).code == Some(0)));
    assert_eq!((bed.all(), bed.labelled("ideal.data")), (vec![], vec![]));
    bed.ideal(&["wake", "--yes"]).ended(0);
    assert_eq!(bed.all().len(), 1);
    assert_eq!(bed.inside("cat /data/kept").ended(0).out.lines().count(), 4, "no byte is lost");
    let vaults: Vec<String> =
        bed.homes().iter().filter_map(|home| std::fs::read_to_string(home.join("vault")).ok()).collect();
    assert!(!vaults.is_empty());
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.all(), Vec::<Json>::new());
    assert!(vaults.iter().all(|vault| !std::path::Path::new(vault).exists()), "{vaults:?}");
}

#[test]
fn too_much_memory_is_the_reason() {
    let Some(bed) = Hosts::start("oom") else { return };
    bed.serve(&format!("image: {BARE}\nmemory: 16MiB\ncommand: [/bin/sh, -c, \"tail /dev/zero\"]\n"));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    assert!(until(20, || bed.says("killed for using more than 16MiB")), "{}", bed.seen());
    assert_eq!(bed.all().len(), 1);
    // An image that is not there is told by name.
    bed.serve("image: ideal-test:none\npull: never\n");
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    assert!(until(20, || bed.says("has no image `ideal-test:none`")), "{}", bed.seen());
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.all(), Vec::<Json>::new());
}

#[test]
fn a_person_runs_programs_in_it() {
    let Some(bed) = Hosts::start("within") else { return };
    bed.derive(BARE, "ideal-test:user", "USER 1000:1001");
    let run = patient("true");
    bed.up(&format!("image: ideal-test:user\ncommand: [/bin/sh, -c, \"{run}\"]\nenv: {{WHO: me}}\n"));
    let exec = |words: &[&str]| bed.ideal(&[&["services", "exec"], words].concat());
    let ran = exec(&["pub[0]", "--", "sh", "-c", "echo $WHO; id -u; echo aside >&2; exit 3"]).ended(3);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("me\n1000\n", "aside\n"));
    exec(&["pub[0]", "--", "no-such-program"]).ended(127).says("no-such-program");
    let mut given = bed.command(&["services", "exec", "pub[0]", "--stdin", "--", "wc", "-c"]);
    let mut given = given.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut given.stdin.take().unwrap(), &vec![b'x'; 300_000]).unwrap();
    let given = Ran::of(&given.wait_with_output().unwrap()).ended(0);
    assert_eq!(given.out.trim(), "300000", "all of it is read, to its end");
    // What is not waited for any more is killed, with what it started.
    let script = "sleep 777 & sleep 777";
    exec(&["pub[0]", "--timeout", "1s", "--", "sh", "-c", script]).ended(7).says("was killed");
    let mut left = bed.command(&["services", "exec", "pub[0]", "--", "sh", "-c", script]).spawn().unwrap();
    let sleeping = || bed.inside("ps").out.matches("sleep 777").count();
    assert!(until(10, || sleeping() == 2), "{}", sleeping());
    left.kill().unwrap();
    left.wait().unwrap();
    assert!(until(10, || sleeping() == 0), "{}", sleeping());
    // One replica is started again; it is another container.
    let before = bed.id();
    bed.ideal(&["services", "restart", "pub[0]"])
        .ended(0)
        .says("pub[0] is started again on shop[0], and well");
    assert_ne!(bed.id(), before);
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
}

#[test]
fn what_it_says_is_followed() {
    let Some(bed) = Hosts::start("logs") else { return };
    let run = patient("n=0; while true; do n=$((n + 1)); echo line $n; echo aside $n >&2; sleep 0.1; done");
    bed.up(&format!("image: {BARE}\ncommand: [/bin/sh, -c, \"{run}\"]\n"));
    let mut command = bed.command(&["logs", "pub[0]", "--follow"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(following.stdout.take().unwrap()).lines();
    let said: Vec<String> = lines.map_while(Result::ok).take(30).collect();
    following.kill().unwrap();
    following.wait().unwrap();
    let numbers = |word: &str| -> Vec<u32> {
        said.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
    };
    for word in ["line", "aside"] {
        let numbers = numbers(word);
        assert!(numbers.len() > 10 && numbers.windows(2).all(|two| two[1] == two[0] + 1), "{said:?}");
    }
}

#[test]
fn a_node_without_an_engine_says_so() {
    let Some(bed) = Bed::start("none") else { return };
    let [shop, _, _] = &bed.clouds;
    let socket = &bed.socket;
    bed.write(&format!(
        "ideal: 1\nproviders: {{box: {{docker: {{image: \"{IMAGE}\", socket: \"{socket}\"}}}}}}\nclouds:\n  \
         shop: {{uuid: {shop}, provider: box, nodes: 1}}\nservices:\n  pub: {{on: shop, image: \"{IMAGE}\"}}\n"
    ));
    let _ = bed.ideal(&["up", "--yes", "--timeout", "5s"]);
    let told = || bed.ideal(&["nodes", "show", "shop[0]"]).out;
    assert!(
        until(20, || told().contains("there is no container engine at /var/run/docker.sock")),
        "{}",
        told()
    );
    bed.ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
}
