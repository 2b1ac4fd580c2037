//! Faults on a cluster that runs: each is done many times, how long it takes to be well again is told, and after each
//! one there is exactly one of every replica, nothing that belongs to nobody, and every write that was acknowledged.
//!
//! No peer has more than one node on a host, nor data that moves, so none is measured here; see `heal`.

mod field;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::bed::{program, until};
use crate::measure::{say, time};
use field::{CONTAINERS, DATA, Field, PROCESSES};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ContainerKilled,
    ProcessKilled,
    Unhealthy,
    Hung,
    OutOfMemory,
    AgentKilled,
    EngineKilled,
    DiskFull,
    CutOff,
    NodeKilled,
}

const ALL: [Fault; 10] = [
    Fault::ContainerKilled,
    Fault::ProcessKilled,
    Fault::Unhealthy,
    Fault::Hung,
    Fault::OutOfMemory,
    Fault::AgentKilled,
    Fault::EngineKilled,
    Fault::DiskFull,
    Fault::CutOff,
    Fault::NodeKilled,
];

/// What was timed, and how long it took.
type Took = Vec<(&'static str, Duration)>;

/// How many faults a replica bears before it would be waited with: then all begin anew.
const FRESH: usize = 3;

/// After so many deaths of the node that has the data, who watches begins anew: a volume that moves on and on within
/// minutes is left for a person, which is a brake and not what is measured here.
const BRAKE: usize = 8;

/// `only`: those whose names hold one of these words; none: all.
pub(crate) fn bench(only: &[&str]) -> anyhow::Result<()> {
    let program = program()?;
    if !program.exists() {
        return say("faults: skipped, `ideal` is not there");
    }
    let times = std::env::var("IDEAL_BENCH_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    say(&format!("faults: the load of this machine at the start is {}", load.trim()))?;
    let mut field = Field::new(&program)?;
    let runs = (0..times).map(|_| Ok(("docker run", field.docker_run()?)));
    tell(&runs.collect::<anyhow::Result<Took>>()?, times)?;
    let is_meant = |fault: &Fault| {
        let name = format!("{fault:?}").to_lowercase();
        only.is_empty() || only.iter().any(|word| name.contains(word))
    };
    let mut done = 0;
    for fault in ALL.into_iter().filter(is_meant) {
        let mut took = Took::new();
        for round in 0..times {
            let what = || format!("{fault:?}, round {round}");
            if matches!(fault, Fault::CutOff | Fault::NodeKilled) {
                field.watch(round % BRAKE == 0)?;
            } else if round % FRESH == 0 {
                field.renew()?;
            }
            field.well().with_context(what)?;
            took.extend(suffer(&mut field, fault, round).with_context(what)?);
            field.well().with_context(what)?;
            done += 1;
        }
        tell(&took, times)?;
    }
    say(&format!(
        "faults: {done} of them; one of every replica after each, {} acknowledged writes and none lost",
        field.acknowledged()?
    ))
}

/// One line for everything that was timed.
fn tell(took: &Took, times: usize) -> anyhow::Result<()> {
    let mut names: Vec<&str> = Vec::new();
    took.iter().for_each(|(name, _)| {
        if !names.contains(name) {
            names.push(name)
        }
    });
    for name in names {
        let mut all: Vec<Duration> = took.iter().filter(|own| own.0 == name).map(|own| own.1).collect();
        all.sort();
        let (middle, most) = (all[all.len() / 2], all[all.len() - 1]);
        let seen = if all.len() == times { String::new() } else { format!(" (seen {} times)", all.len()) };
        say(&format!(
            "{name} {times}: ours median {}, most {}{seen}, peer not measured",
            time(middle),
            time(most)
        ))?;
    }
    Ok(())
}

/// Does it once.
fn suffer(field: &mut Field, fault: Fault, round: usize) -> anyhow::Result<Took> {
    let container = CONTAINERS[round % CONTAINERS.len()];
    let process = PROCESSES[round % PROCESSES.len()];
    Ok(match fault {
        Fault::ContainerKilled => {
            vec![("container killed: started", field.container(container, &["kill"], "die", false)?)]
        }
        Fault::Unhealthy => {
            let words = ["exec", "touch", "/bad"];
            vec![(
                "container unhealthy: first failed check to well",
                field.container(container, &words, "exec_die", true)?,
            )]
        }
        Fault::Hung => {
            vec![(
                "container hung: stopped to well",
                field.container(container, &["kill", "--signal=STOP"], "kill", true)?,
            )]
        }
        Fault::OutOfMemory => {
            let words = ["exec", "touch", "/eat"];
            vec![("container out of memory: started", field.container(container, &words, "die", false)?)]
        }
        Fault::ProcessKilled => vec![("process killed: started", field.process_killed(process)?)],
        Fault::AgentKilled => {
            let before = field.copies()?;
            let begin = Instant::now();
            field.agent_killed(round)?;
            field.well()?;
            let took = begin.elapsed();
            ensure!(field.copies()? == before, "what ran was touched: {before:?}, now {:?}", field.copies()?);
            vec![("agent killed: it answers, nothing was touched", took)]
        }
        Fault::EngineKilled => {
            field.engine.dies()?;
            field.engine.runs()?;
            let begin = Instant::now();
            field.well()?;
            vec![("engine killed: its return to all well", begin.elapsed())]
        }
        Fault::DiskFull => disk_full(field, container, process)?,
        Fault::CutOff => cut_off(field, process)?,
        Fault::NodeKilled => node_killed(field)?,
    })
}

/// What dies while the disk of the nodes is full is back, and all is well when there is room again.
fn disk_full(field: &mut Field, container: &str, process: &str) -> anyhow::Result<Took> {
    field.fill()?;
    let started = field.process_killed(process)?;
    let container = field.container(container, &["kill"], "die", false)?;
    field.empty()?;
    let begin = Instant::now();
    field.well()?;
    Ok(vec![
        ("process killed on a full disk: started", started),
        ("container killed on a full disk: started", container),
        ("full disk: room again to all well", begin.elapsed()),
    ])
}

/// A node is not heard: what has no data starts elsewhere. When it is back there is one of each.
fn cut_off(field: &mut Field, process: &str) -> anyhow::Result<Took> {
    let home = field.home_of(process)?;
    let has_data = field.home_of(DATA)? == home;
    let begin = Instant::now();
    let cut = field.cut(&home)?;
    until(60, || field.lives_elsewhere(process, &home).then_some(()))
        .context("what was on a node that is silent is nowhere else")?;
    let elsewhere = begin.elapsed();
    ensure!(
        !has_data || !field.lives_elsewhere(DATA, &home),
        "two may write: the node that has the data may still be alive"
    );
    cut.heal()?;
    let begin = Instant::now();
    field.well()?;
    Ok(vec![
        ("node cut off: stateless elsewhere", elsewhere),
        ("node back: one of each, all well", begin.elapsed()),
    ])
}

/// A node dies with all that it carries, of which one has data.
fn node_killed(field: &mut Field) -> anyhow::Result<Took> {
    let home = field.home_of(DATA)?;
    let lost: Vec<&str> =
        PROCESSES.into_iter().filter(|name| field.home_of(name).is_ok_and(|own| own == home)).collect();
    let begin = Instant::now();
    field.node_killed(&home)?;
    let mut took = Took::new();
    for name in &lost {
        until(60, || field.lives_elsewhere(name, &home).then_some(()))
            .with_context(|| format!("{name} is nowhere"))?;
    }
    if !lost.is_empty() {
        took.push(("node killed: stateless elsewhere", begin.elapsed()));
    }
    until(60, || field.lives_elsewhere(DATA, &home).then_some(())).context("the data is nowhere")?;
    took.push(("node killed: with its volume elsewhere", begin.elapsed()));
    field.well()?;
    took.push(("node killed: all well", begin.elapsed()));
    Ok(took)
}
