//! Healing: how long what died, is unwell or hangs is gone, beside Docker Swarm on the same engine.
//!
//! Containers are timed by the events of the engine, in its own clock, so that both are seen by the same eye.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::bed::{
    BEATS, CHECK, Engine, How, IMAGE, LOOP, PLAIN, PROCESS, Project, kill, program, text, until,
};
use crate::measure::{say, time};

const ENDS: &str = "exit 1";

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
