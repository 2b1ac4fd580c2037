//! Healing: how long what died, is unwell or hangs is gone, beside Docker Swarm on the same engine.
//!
//! Containers are timed by the events of the engine, in its own clock, so that both are seen by the same eye.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::measure::{say, time};

const IMAGE: &str = "ideal-bench:bare";
/// How long the one that ends at once is watched.
const LOOP: Duration = Duration::from_secs(20);
/// A program that ends when it is asked to.
const PLAIN: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
/// One that shows that it goes on, until it is told to be unwell; its check takes away what it shows.
const BEATS: &str =
    "trap 'exit 0' TERM; rm -f /bad; while true; do test -e /bad || touch /beat; sleep 0.1; done";
const CHECK: &str = "rm /beat";
const ENDS: &str = "exit 1";
/// What a replica without a container runs: nothing else on this host has these words.
const PROCESS: [&str; 2] = ["sleep", "98761234"];

pub(crate) fn bench() -> anyhow::Result<()> {
    let program = program()?;
    if !program.exists() {
        return say("heal: skipped, `ideal` is not there");
    }
    let times = std::env::var("IDEAL_BENCH_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    // Those with a check take longer.
    let few = (times / 4).max(3);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    say(&format!("heal: the load of this machine at the start is {}", load.trim()))?;
    match Engine::start() {
        Ok(engine) => containers(&engine, &program, times, few)?,
        Err(why) => say(&format!("heal: no containers, neither ours nor of the peer: {why:#}"))?,
    }
    processes(&program, times)?;
    nodes(&program, 5)
}

/// The program, where it is built beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("ideal"))
}

/// All that is done with containers.
fn containers(engine: &Engine, program: &Path, times: usize, few: usize) -> anyhow::Result<()> {
    let ours = ours(engine, program, times, few)?;
    let swarm =
        engine.docker(&["swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1:22377"]);
    let peers = match swarm {
        Ok(_) => [
            ("swarm as shipped", swarm_of(engine, "shipped", &[], times, few)?),
            (
                "swarm with --restart-delay 0s --stop-grace-period 500ms",
                swarm_of(engine, "tuned", &["--restart-delay=0s", "--stop-grace-period=500ms"], times, few)?,
            ),
        ]
        .into(),
        Err(why) => {
            say(&format!("heal: Docker Swarm is missing: {why:#}"))?;
            Vec::new()
        }
    };
    for (at, name) in ["container killed", "unhealthy container", "hung container"].into_iter().enumerate() {
        if peers.is_empty() {
            compare(name, &ours.times[at], None)?;
        }
        for (peer, found) in &peers {
            compare(name, &ours.times[at], Some((peer, &found.times[at])))?;
        }
    }
    let seconds = LOOP.as_secs();
    say(&format!("ends at once, {seconds} s: ours {} starts, and says: {}", ours.starts, ours.said))?;
    for (peer, found) in &peers {
        say(&format!("ends at once, {seconds} s: {peer} {} starts, and says: {}", found.starts, found.said))?;
    }
    Ok(())
}

/// What one of them took: killed, unhealthy, hung; and the one that ends at once.
struct Found {
    times: [Vec<Duration>; 3],
    starts: usize,
    said: String,
}

fn ours(engine: &Engine, program: &Path, times: usize, few: usize) -> anyhow::Result<Found> {
    let project = Project::new(program, Some(&engine.socket))?;
    let check = format!(
        "    health: {{command: [/bin/sh, -c, \"{CHECK}\"], every: 500ms, timeout: 2s, retries: 2}}\n"
    );
    let service = |name: &str, replicas: usize, run: &str, more: &str| {
        format!(
            "  {name}:\n    on: shop\n    replicas: {replicas}\n    image: \"{IMAGE}\"\n    \
             command: [/bin/sh, -c, \"{run}\"]\n{more}"
        )
    };
    let names = |name: &str, count: usize| (0..count).map(|n| format!("{name}[{n}]")).collect::<Vec<_>>();
    project.up(1, &service("plain", times, PLAIN, ""))?;
    let killed = engine.trials(&names("plain", times), How::Killed, true)?;
    project.up(1, &service("sick", few, BEATS, &check))?;
    let sick = engine.trials(&names("sick", few), How::Unhealthy, true)?;
    project.up(1, &service("hung", few, BEATS, &check))?;
    let hung = engine.trials(&names("hung", few), How::Hung, true)?;
    project.write(1, &service("ends", 1, ENDS, ""))?;
    let mut up = project.command(&["up", "--yes", "--timeout", "30s"]).spawn()?;
    let starts = engine.starts("ends[0]");
    // It says more than that it is not well as long as it is tried.
    let shown = project.ideal(&["nodes", "show", "shop[0]"])?;
    up.kill()?;
    up.wait()?;
    let shown = text(&shown.stdout);
    let said =
        shown.lines().filter(|line| line.contains("ends")).map(str::trim).collect::<Vec<_>>().join("; ");
    Ok(Found { times: [killed, sick, hung], starts: starts?, said })
}

fn swarm_of(
    engine: &Engine,
    prefix: &str,
    options: &[&str],
    times: usize,
    few: usize,
) -> anyhow::Result<Found> {
    let create = |name: &str, replicas: usize, run: &str, more: &[&str]| {
        let replicas = format!("--replicas={replicas}");
        let words = [
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--network=host",
            "--name",
            name,
            &replicas,
        ];
        engine.docker(&[&words, options, more, &[IMAGE, "/bin/sh", "-c", run]].concat())
    };
    let check = format!("--health-cmd={CHECK}");
    let check = [&*check, "--health-interval=500ms", "--health-timeout=2s", "--health-retries=2"];
    // With its delay one after the other would take all day: they overlap there.
    let in_turn = !options.is_empty();
    let mut found = Vec::new();
    for (what, count, run, more, how) in [
        ("plain", times, PLAIN, &[][..], How::Killed),
        ("sick", few, BEATS, &check, How::Unhealthy),
        ("hung", few, BEATS, &check, How::Hung),
    ] {
        let name = format!("{prefix}-{what}");
        create(&name, count, run, more)?;
        let names: Vec<String> = (1..=count).map(|n| format!("{name}.{n}")).collect();
        found.push(engine.trials(&names, how, in_turn)?);
        engine.docker(&["service", "rm", &name])?;
    }
    let name = format!("{prefix}-ends");
    create(&name, 1, ENDS, &[])?;
    let starts = engine.starts(&format!("{name}.1"))?;
    let said = engine.docker(&["service", "ps", &name, "--format", "{{.CurrentState}}: {{.Error}}"])?;
    let replicas = engine.docker(&[
        "service",
        "ls",
        "--filter",
        &format!("name={name}"),
        "--format",
        "{{.Replicas}}",
    ])?;
    engine.docker(&["service", "rm", &name])?;
    let said =
        format!("{} replicas; {}", replicas.trim(), said.lines().take(2).collect::<Vec<_>>().join("; "));
    let times = found.try_into().map_err(|_| anyhow::anyhow!("not three of them"))?;
    Ok(Found { times, starts, said })
}

/// Processes, which only we keep.
fn processes(program: &Path, times: usize) -> anyhow::Result<()> {
    let project = Project::new(program, None)?;
    project.up(1, &sleeping(times))?;
    let mut known = project.running();
    ensure!(known.len() == times, "{} of {times} processes run", known.len());
    let mut took = Vec::new();
    for victim in known.clone() {
        let begin = Instant::now();
        kill(victim)?;
        let fresh = until(30, || project.running().difference(&known).next().copied());
        took.push(begin.elapsed());
        known.insert(fresh.context("a process that was killed is not back")?);
    }
    compare("process killed", &took, None)
}

/// Nodes, with all that runs on them. No peer has more than one on a host.
pub(crate) fn nodes(program: &Path, times: usize) -> anyhow::Result<()> {
    say(
        "node killed: Docker Swarm has one node on a host, so no peer is measured; the provider `local` tells at \
         once that a machine is dead, where one that is only silent would be waited for (`silent`, 5 s)",
    )?;
    let project = Project::new(program, None)?;
    project.up(3, &sleeping(1))?;
    let mut watching = project.command(&["heal", "--watch", "--yes"]).spawn()?;
    let measured = (0..times).map(|_| project.lose_a_node()).collect::<anyhow::Result<Vec<_>>>();
    watching.kill()?;
    watching.wait()?;
    compare("node killed", &measured?, None)
}

fn sleeping(replicas: usize) -> String {
    let [name, word] = PROCESS;
    format!("  pub:\n    on: shop\n    replicas: {replicas}\n    command: [{name}, \"{word}\"]\n")
}

/// One line of comparison of medians.
fn compare(name: &str, ours: &[Duration], peer: Option<(&str, &Vec<Duration>)>) -> anyhow::Result<()> {
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        (times[times.len() / 2], times[times.len() - 1])
    };
    let (middle, most) = median(ours);
    let mut line = format!("{name} {}: ours median {}, most {}", ours.len(), time(middle), time(most));
    match peer {
        Some((peer, times)) => {
            let (other, worst) = median(times);
            let ratio = other.as_secs_f64() / middle.as_secs_f64().max(1e-9);
            line += &format!(", {peer} median {}, most {}, ratio {ratio:.1}", time(other), time(worst));
        }
        None => line += ", peer not measured",
    }
    say(&line)
}

/// Waits until there is something.
fn until<T>(seconds: u64, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let seen = look();
        if seen.is_some() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn kill(pid: u32) -> anyhow::Result<()> {
    ensure!(Command::new("kill").args(["-9", &pid.to_string()]).status()?.success(), "{pid} was not there");
    Ok(())
}

fn home_of(pid: u32) -> Option<String> {
    ideal_host::process::marks(pid).get("IDEAL_HOME").cloned()
}

/// What is done to a replica.
#[derive(Clone, Copy)]
enum How {
    Killed,
    Unhealthy,
    Hung,
}

/// Something that happened on the engine.
struct Event {
    /// Nanoseconds.
    at: u64,
    what: String,
    container: String,
    replica: String,
    code: String,
}

/// A container engine of its own, which ends with this.
struct Engine {
    process: Child,
    events: Option<Child>,
    folder: tempfile::TempDir,
    socket: String,
}

impl Engine {
    fn start() -> anyhow::Result<Engine> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/testbed");
        // Short: the path of a socket has at most 108 characters.
        let folder = tempfile::Builder::new().prefix("ideal-heal").tempdir()?;
        let socket = format!("{}/e/engine.sock", folder.path().display());
        let process = Command::new(scripts.join("engine.sh"))
            .arg(folder.path().join("e"))
            .stdin(Stdio::piped())
            .spawn()?;
        let mut engine = Engine { process, events: None, folder, socket };
        until(60, || engine.docker(&["info"]).ok())
            .context("the engine did not start: is this root, with dockerd?")?;
        let made = Command::new(scripts.join("small.sh")).arg(engine.folder.path()).output()?;
        engine.docker(&["import", text(&made.stdout).trim(), IMAGE])?;
        let format = "{{.TimeNano}}|{{.Action}}|{{.Actor.ID}}|{{index .Actor.Attributes \"ideal.service\"}}|\
                      {{index .Actor.Attributes \"com.docker.swarm.task.name\"}}|\
                      {{index .Actor.Attributes \"exitCode\"}}";
        let host = format!("unix://{}", engine.socket);
        let events = Command::new("docker")
            .args(["-H", &host, "events", "--filter=type=container", "--format", format])
            .stdin(Stdio::null())
            .stdout(File::create(engine.folder.path().join("events"))?)
            .spawn()?;
        engine.events = Some(events);
        Ok(engine)
    }
    fn docker(&self, words: &[&str]) -> anyhow::Result<String> {
        let output =
            Command::new("docker").args(["-H", &format!("unix://{}", self.socket)]).args(words).output()?;
        if !output.status.success() {
            bail!("docker {} failed: {}", words.join(" "), text(&output.stderr).trim());
        }
        Ok(text(&output.stdout))
    }
    fn events(&self, replica: &str) -> Vec<Event> {
        let all = fs::read_to_string(self.folder.path().join("events")).unwrap_or_default();
        let event = |line: &str| {
            let [at, what, container, ours, task, code] =
                line.split('|').collect::<Vec<_>>().try_into().ok()?;
            // A task is named after its service, its number and itself.
            let task = task.rsplit_once('.').map_or("", |(slot, _)| slot);
            let of = if ours.is_empty() { task } else { ours };
            (of == replica).then(|| Event {
                at: at.parse().unwrap_or(0),
                what: what.to_owned(),
                container: container.to_owned(),
                replica: of.to_owned(),
                code: code.to_owned(),
            })
        };
        // A line that is being written has no end yet.
        all.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| event(line.trim_end()))
            .collect()
    }
    /// Does it to each of these once, when it is well; how long each was gone.
    fn trials(&self, replicas: &[String], how: How, in_turn: bool) -> anyhow::Result<Vec<Duration>> {
        let mut hurt = Vec::new();
        for replica in replicas {
            let events = until(60, || {
                let events = self.events(replica);
                let last = events.iter().rposition(|event| event.what == "start")?;
                let well = matches!(how, How::Killed)
                    || events[last..].iter().any(|event| event.what == "exec_die" && event.code == "0");
                well.then_some(events)
            });
            let events = events.with_context(|| format!("{replica} is never well"))?;
            let last = events.last().context("nothing happened")?;
            let container = &events.iter().rfind(|event| event.what == "start").unwrap_or(last).container;
            match how {
                How::Killed => self.docker(&["kill", container])?,
                How::Unhealthy => self.docker(&["exec", container, "touch", "/bad"])?,
                How::Hung => self.docker(&["kill", "--signal=STOP", container])?,
            };
            let since = last.at;
            if in_turn {
                self.back(replica, since, how)?;
            }
            hurt.push((replica, since));
        }
        hurt.into_iter().map(|(replica, since)| self.back(replica, since, how)).collect()
    }
    /// Waits until a replica that was hurt is back; how long it was gone.
    fn back(&self, replica: &str, since: u64, how: How) -> anyhow::Result<Duration> {
        let look = || {
            let mut events = self.events(replica).into_iter().filter(|event| event.at > since);
            let gone = events.find(|event| match how {
                How::Killed => event.what == "kill" || event.what == "die",
                How::Unhealthy => event.what == "exec_die" && event.code != "0",
                How::Hung => event.what == "kill",
            })?;
            let started = events.find(|event| event.what == "start")?;
            let back = match how {
                How::Killed => started,
                // Another one, or the same one again: it is its check that tells.
                How::Unhealthy | How::Hung => events.find(|event| {
                    event.what == "exec_die" && event.code == "0" && event.container == started.container
                })?,
            };
            Some(Duration::from_nanos(back.at - gone.at))
        };
        until(60, look).with_context(|| {
            let seen: Vec<String> =
                self.events(replica).into_iter().map(|e| e.replica + " " + &e.what).collect();
            format!("{replica} is not back: {}", seen[seen.len().saturating_sub(12)..].join(", "))
        })
    }
    /// How often one was started, from its first start on.
    fn starts(&self, replica: &str) -> anyhow::Result<usize> {
        let all = || -> Vec<u64> {
            self.events(replica).iter().filter(|event| event.what == "start").map(|event| event.at).collect()
        };
        let first =
            until(60, || all().first().copied()).with_context(|| format!("{replica} never starts"))?;
        // This is the span that is asked about, not a wait for an answer.
        std::thread::sleep(LOOP);
        let last = first + u64::try_from(LOOP.as_nanos())?;
        Ok(all().into_iter().filter(|at| *at <= last).count())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.docker(&["swarm", "leave", "--force"]);
        for container in self.docker(&["ps", "-aq"]).unwrap_or_default().lines() {
            let _ = self.docker(&["rm", "-f", "-v", container]);
        }
        for network in
            self.docker(&["network", "ls", "-q", "--filter=driver=bridge"]).unwrap_or_default().lines()
        {
            let _ = self.docker(&["network", "rm", network]);
        }
        if let Some(events) = &mut self.events {
            let _ = events.kill();
            let _ = events.wait();
        }
        // It ends when its input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A cluster on this host, which ends with this.
struct Project {
    folder: tempfile::TempDir,
    program: PathBuf,
    engine: Option<String>,
}

impl Project {
    fn new(program: &Path, engine: Option<&str>) -> anyhow::Result<Project> {
        let folder = tempfile::Builder::new().prefix("ideal-heal").tempdir()?;
        fs::DirBuilder::new().mode(0o700).create(folder.path().join("run"))?;
        Ok(Project { folder, program: program.to_owned(), engine: engine.map(str::to_owned) })
    }
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        if let Some(socket) = &self.engine {
            command.env("DOCKER_HOST", format!("unix://{socket}"));
        }
        for name in ["IDEAL_FILE", "IDEAL_OUTPUT", "IDEAL_CRASH_AT", "IDEAL_CRASH_TRACE", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }
    fn ideal(&self, words: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?)
    }
    fn write(&self, nodes: usize, services: &str) -> anyhow::Result<()> {
        let cloud = "5f0c6f2e-0000-4000-8000-0000000be0a1";
        let head = "ideal: 1\nproviders: {here: local}\nclouds:\n";
        let shop = format!("  shop: {{uuid: {cloud}, provider: here, nodes: {nodes}}}\n");
        fs::write(self.folder.path().join("ideal.yaml"), format!("{head}{shop}services:\n{services}"))?;
        Ok(())
    }
    fn up(&self, nodes: usize, services: &str) -> anyhow::Result<()> {
        self.write(nodes, services)?;
        let up = self.ideal(&["up", "--yes", "--timeout", "90s"])?;
        ensure!(up.status.success(), "`ideal up` failed: {}{}", text(&up.stdout), text(&up.stderr));
        Ok(())
    }
    /// Processes of the service.
    fn running(&self) -> BTreeSet<u32> {
        let words = format!("{}\0{}\0", PROCESS[0], PROCESS[1]);
        let is = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == words.as_bytes())
                && home_of(*pid).is_some_and(|home| Path::new(&home).starts_with(self.folder.path()))
        };
        ideal_host::process::numbers().into_iter().filter(is).collect()
    }
    /// Kills the node that carries the replica; how long until it runs on another one.
    fn lose_a_node(&self) -> anyhow::Result<Duration> {
        let well = || self.ideal(&["status", "--check"]).is_ok_and(|output| output.status.success());
        until(120, || well().then_some(())).context("the cluster is not well")?;
        let dead =
            self.running().into_iter().find_map(home_of).context("no process says where it is at home")?;
        let begin = Instant::now();
        ideal_host::process::kill_all(|marks| marks.get("IDEAL_HOME") == Some(&dead), 50);
        let elsewhere =
            || self.running().into_iter().filter_map(home_of).any(|home| home != dead).then_some(());
        ensure!(elsewhere().is_none(), "the replica is elsewhere before its node can be missed");
        until(120, elsewhere).context("the replica of a dead node is nowhere")?;
        Ok(begin.elapsed())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.ideal(&[
            "destroy",
            "--snapshots",
            "--take-over",
            "--yes",
            "--timeout",
            "60s",
            "--name",
            "shop",
        ]);
        let folder = self.folder.path();
        let below = |marks: &ideal_host::Marks| {
            marks.get("IDEAL_HOME").is_some_and(|home| Path::new(home).starts_with(folder))
        };
        ideal_host::process::kill_all(below, 50);
    }
}
