//! `ideal doctor`: a few checks, each with what to do when it fails.

mod ec2;
mod ssh;

use std::collections::BTreeSet;
use std::path::Path;

use ideal_core::id::Name;
use ideal_core::ideal::{DockerSpec, ProviderSpec, VolumesOf};
use ideal_core::observed::{AgentSeen, MachineState};
use ideal_core::time::{Span, Time};
use ideal_engine::Glance;
use ideal_providers::docker::{Engine, SOCKET, lacks, loops_work};
use ideal_store::Journal;
use ideal_store::sqlite::Sqlite;
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words::{counted, span};
use crate::world::{World, wait_for};
use ec2::ec2;
use ssh::ssh;

/// 2025-01-01: a clock before it was never set.
const EARLIEST: Time = Time(1_735_689_600_000);

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    good: bool,
    found: String,
    next: Option<String>,
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Check {
        Check { what, good: true, found: found.into(), next: None }
    }
    fn bad(what: &'static str, found: impl Into<String>, next: impl Into<String>) -> Check {
        Check { what, good: false, found: found.into(), next: Some(next.into()) }
    }
}

pub(crate) fn run(global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::read(global, output)? else { return Ok(Exit::BadInput) };
    let mut checks =
        vec![Check::good("file", format!("good, {}", counted(world.ideal.clouds.len(), "cloud")))];
    checks.push(store(&world.store));
    checks.extend(providers(&world));
    checks.push(clock(&world.store));
    checks.push(agents(global, output)?);
    let good = checks.iter().all(|check| check.good);
    if output.is_json() {
        output.document("doctor", &checks)?;
    } else {
        for check in &checks {
            let mark = if check.good { '\u{2713}' } else { '\u{2717}' };
            output.result(&format!("{mark} {:<11} {}", check.what, check.found));
            if let Some(next) = &check.next {
                output.result(&format!("              next: {next}"));
            }
        }
    }
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn store(folder: &Path) -> Check {
    let at = folder.display();
    let verified =
        Sqlite::open_to_read(folder).and_then(|store| store.map(|store| store.verify()).transpose());
    match verified {
        Ok(Some(rows)) => Check::good("store", format!("{rows} records, every checksum right ({at})")),
        Ok(None) => Check::good("store", "none yet"),
        Err(error) => {
            let next =
                format!("move {at} away: the cluster is found again by its tags, only history is lost");
            Check::bad("store", error.to_string(), next)
        }
    }
}

/// Of each provider that the file uses.
fn providers(world: &World) -> Vec<Check> {
    let used = |name: &Name| world.ideal.clouds.iter().any(|cloud| cloud.provider == *name);
    let used = world.ideal.providers.iter().filter(|(name, _)| used(name));
    let of = |(name, spec): (&Name, &ProviderSpec)| match spec {
        ProviderSpec::Ec2(spec) => ec2(spec),
        ProviderSpec::Ssh(spec) => ssh(world, spec),
        ProviderSpec::Sim => vec![Check::bad("provider", "sim is only for tests", "write `local`")],
        _ => world.around.data(spec).map(|data| provider(world, name, spec, &data)).into_iter().collect(),
    };
    used.flat_map(of).collect()
}

fn provider(world: &World, name: &Name, spec: &ProviderSpec, data: &Path) -> Check {
    // The nearest folder that is there must take new things.
    let there = data.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    for folder in [there, &world.around.run] {
        let probe = folder.join(format!(".probe-{}", std::process::id()));
        let wrote = std::fs::write(&probe, "x").and_then(|()| std::fs::remove_file(&probe));
        if let Err(error) = wrote {
            let found = format!("{} cannot be written: {error}", folder.display());
            return Check::bad("provider", found, "see who owns it, and whether the disk is full");
        }
    }
    let run = &world.around.run;
    let written = format!("{} and {} can be written", there.display(), run.display());
    match spec {
        ProviderSpec::Docker(spec) => docker(world, name, spec, &written),
        _ => Check::good("provider", format!("local: {written}")),
    }
}

/// The engine, its images, and what volumes are made of.
fn docker(world: &World, name: &Name, spec: &DockerSpec, written: &str) -> Check {
    let socket = spec.socket.as_deref().unwrap_or(SOCKET);
    let engine = Engine::new(socket);
    let version = match engine.version() {
        Ok(version) => version,
        Err(error) => {
            let next = "start the engine, or name its socket: {docker: {socket: ...}}";
            return Check::bad("provider", format!("docker: {error}"), next);
        }
    };
    let clouds = world.ideal.clouds.iter().filter(|cloud| cloud.provider == *name && cloud.nodes > 0);
    let named = clouds.map(|cloud| Some(cloud.image.as_str()).filter(|image| !image.is_empty()));
    let images: BTreeSet<&str> = named.filter_map(|image| image.or(spec.image.as_deref())).collect();
    for image in images {
        match engine.has_image(image) {
            Ok(true) => match lacks(&engine, image, spec.init) {
                Ok(None) => {}
                Ok(Some(why)) => {
                    let next = "mend the image, or `init:` of the provider";
                    return Check::bad("provider", format!("docker: {why}"), next);
                }
                Err(error) => {
                    return Check::bad("provider", format!("docker: {error}"), "ask the engine's log");
                }
            },
            Ok(false) => {
                let found = format!("docker: the engine has no image `{image}`");
                return Check::bad("provider", found, format!("docker pull {image}"));
            }
            Err(error) => return Check::bad("provider", format!("docker: {error}"), "ask the engine's log"),
        }
    }
    if spec.volumes == VolumesOf::Loop
        && let Err(why) = loops_work()
    {
        let next = "run it as root on a host that has them, or write {docker: {volumes: folder}}";
        return Check::bad("provider", format!("docker: no loop devices: {why}"), next);
    }
    Check::good("provider", format!("docker: engine {version}; {written}"))
}

fn clock(store: &Path) -> Check {
    let now = ideal_host::now();
    if now < EARLIEST {
        return Check::bad("clock", "it was never set", "set it: leases and retirements go by it");
    }
    let newest = Sqlite::open_to_read(store).ok().flatten().and_then(|store| store.history(0, 1).ok());
    let ahead = newest.and_then(|all| all.first().map(|entry| entry.at.since(now))).unwrap_or(Span::ZERO);
    if ahead > Span::secs(5) {
        let found = format!("it is {} behind the newest record of the store", span(ahead));
        return Check::bad("clock", found, "set it: leases and retirements go by it");
    }
    Check::good("clock", "sane")
}

fn agents(global: &Global, output: &Output) -> anyhow::Result<Check> {
    let glance = World::open(global, output).and_then(|world| match world {
        Some(world) => {
            let glance = wait_for(world.glance());
            world.sweep();
            glance.map(Some)
        }
        None => Ok(None),
    });
    Ok(match glance {
        Ok(Some(glance)) => reached(&glance),
        Ok(None) => Check::good("agents", "not asked"),
        Err(error) => Check::bad("agents", format!("{error:#}"), "mend that first"),
    })
}

fn reached(glance: &Glance) -> Check {
    let mut answered = 0;
    let mut silent = Vec::new();
    for (slot, seen) in &glance.observed.slots {
        let address = glance.ideal.address(*slot);
        let dead = seen.machines.iter().any(|machine| machine.state == MachineState::Impaired);
        match &seen.agent {
            AgentSeen::Answered(_) => answered += 1,
            AgentSeen::Silent { why, .. } => silent.push(format!("{address}: {why}")),
            AgentSeen::NotAsked if dead => silent.push(format!("{address}: the machine is dead")),
            AgentSeen::NotAsked => {}
        }
    }
    match silent.is_empty() {
        true => Check::good("agents", format!("{answered} answered, none is silent")),
        false => Check::bad("agents", silent.join("; "), "ideal heal"),
    }
}
