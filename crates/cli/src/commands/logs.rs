//! `ideal logs`: of a replica, asked of the agent of the node where it is; of a node's agent; of a run, from the journal.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use ideal_core::address::Address;
use ideal_core::id::SlotId;
use ideal_core::ideal::ProviderSpec;
use ideal_core::observed::{Machine, MachineState};
use ideal_engine::Glance;
use ideal_host::{Home, brought};
use ideal_store::Journal;

use crate::arguments::{Global, Logs};
use crate::commands::history;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::replicas;
use crate::scopes;
use crate::world::{World, wait_for};

/// How often `--follow` looks for more.
const EVERY: Duration = Duration::from_millis(300);

pub(crate) fn run(wanted: &Logs, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let is_run = wanted.target.strip_prefix("r-").is_some_and(|rest| rest.parse::<u64>().is_ok());
    if is_run {
        return of_run(wanted, global, output);
    }
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let address = scopes::address(&wanted.target)?;
    wait_for(async {
        let glance = world.glance().await?;
        if let (Some(cloud), Some(index)) = (world.ideal.cloud_at(&address.path), address.index) {
            let slot = SlotId { cloud: cloud.id, index };
            return of_node(wanted, &world, &glance, slot, output).await;
        }
        of_replica(wanted, &world, &glance, &address, output).await
    })
}

/// Of a replica, whatever else has its name.
pub(crate) fn of_one(wanted: &Logs, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let address = scopes::address(&wanted.target)?;
    wait_for(async {
        let glance = world.glance().await?;
        of_replica(wanted, &world, &glance, &address, output).await
    })
}

fn of_run(wanted: &Logs, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::read(global, output)? else { return Ok(Exit::BadInput) };
    let entries = world.journal_to_read()?.history(0, u64::from(u32::MAX))?;
    let lines = history::of_run(&world.ideal, &entries, &wanted.target);
    if lines.is_empty() {
        let message = format!("there is no run `{}`", wanted.target);
        return Err(Failure::new("no-such-part", Exit::BadInput, message)
            .next("ideal history        lists them")
            .into());
    }
    match output.is_json() {
        true => output.document("run", history::run_for_scripts(&lines))?,
        false => output.result(&lines.join("\n")),
    }
    Ok(Exit::Done)
}

fn no_such(wanted: &Logs, why: &str) -> anyhow::Error {
    let message = format!("there is no log of `{}`: {why}", wanted.target);
    Failure::new("no-such-part", Exit::BadInput, message).next("ideal status        shows what runs").into()
}

/// The newest machine of a slot.
fn machine(glance: &Glance, slot: SlotId) -> Option<&Machine> {
    let seen = glance.observed.slots.get(&slot)?;
    seen.machines.iter().max_by_key(|machine| machine.tags.generation)
}

async fn of_node(
    wanted: &Logs,
    world: &World,
    glance: &Glance,
    slot: SlotId,
    output: &Output,
) -> anyhow::Result<Exit> {
    let Some(machine) = machine(glance, slot) else { return Err(no_such(wanted, "it has no machine")) };
    let spec = world.ideal.cloud(slot.cloud).and_then(|cloud| world.ideal.providers.get(&cloud.provider));
    if let Some(ProviderSpec::Ssh(_) | ProviderSpec::Ec2(_)) = spec {
        let (target, lines, log) = (&wanted.target, wanted.lines, Home::new(brought::HOME).agent_log());
        let message = format!("the log of the agent of `{target}` lies on its machine");
        let next = format!("ideal nodes exec {target} -- tail -n {lines} {}", log.display());
        return Err(Failure::new("no-such-part", Exit::BadInput, message).next(next).into());
    }
    let Some(data) = spec.and_then(|spec| world.around.data(spec)) else {
        return Err(no_such(wanted, "its machine is not on this host"));
    };
    let home = data.join("machines").join(machine.id.as_str());
    let file = Home::new(home).agent_log();
    let text = std::fs::read_to_string(&file).map_err(|error| no_such(wanted, &error.to_string()))?;
    let lines: Vec<&str> = text.lines().collect();
    say(&lines[lines.len().saturating_sub(wanted.lines)..].join("\n"), output);
    if wanted.follow {
        follow(file, text.len() as u64, output).await?;
    }
    Ok(Exit::Done)
}

fn say(text: &str, output: &Output) {
    if !text.is_empty() {
        output.result(text);
    }
}

async fn follow(file: PathBuf, mut at: u64, output: &Output) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(EVERY).await;
        let mut open = std::fs::File::open(&file)?;
        let length = open.metadata()?.len();
        // It was cut: its older half lies elsewhere now.
        at = if length < at { 0 } else { at };
        open.seek(SeekFrom::Start(at))?;
        let mut text = Vec::new();
        at += open.read_to_end(&mut text)? as u64;
        say(&String::from_utf8_lossy(&text), output);
    }
}

async fn of_replica(
    wanted: &Logs,
    world: &World,
    glance: &Glance,
    address: &Address,
    output: &Output,
) -> anyhow::Result<Exit> {
    let known = world.ideal.services.iter().any(|service| address.path.0 == [service.name.clone()]);
    if !known || address.index.is_none() {
        let why = "a replica is meant, like hello[0], or a node, like shop.web[0]";
        return Err(no_such(wanted, why));
    }
    let view = replicas::one(glance, &wanted.target)?;
    let name = view.address();
    let agent = view.seen().and_then(|(slot, _)| machine(glance, slot)?.agent.clone());
    let Some(agent) = agent else {
        let silent = glance.observed.slots.values().any(|seen| {
            seen.agent.report().is_none()
                && seen.machines.iter().any(|machine| machine.state == MachineState::Running)
        });
        let why = if silent { "no agent that answers carries it" } else { "no node carries it now" };
        return Err(no_such(wanted, why));
    };
    let mut shown = world.link.logs(&agent, &name, wanted.lines).await?;
    say(&shown, output);
    if !wanted.follow {
        return Ok(Exit::Done);
    }
    loop {
        tokio::time::sleep(EVERY).await;
        let now = world.link.logs(&agent, &name, wanted.lines.max(1000)).await?;
        say(added(&shown, &now), output);
        shown = now;
    }
}

/// What came after the last lines that were shown.
fn added<'a>(shown: &str, now: &'a str) -> &'a str {
    let tail: Vec<&str> = shown.lines().rev().take(20).collect();
    let tail: String = tail.into_iter().rev().map(|line| format!("{line}\n")).collect();
    match now.rfind(&tail) {
        Some(at) => &now[at + tail.len()..],
        None => now,
    }
}
