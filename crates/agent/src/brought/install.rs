//! Puts this build in force. Each part can be done again: who died in the middle begins anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ideal_api::client::AgentLink;
use ideal_api::{NodeLink, Order, Reply, Verb};
use ideal_core::build::Build;
use ideal_core::observed::Authority;
use ideal_core::slice::ForNode;
use ideal_core::time::Time;
use ideal_host::brought::{self, HOME, PROGRAMS, SOCKET, Wanted};
use ideal_host::durable;
use ideal_host::{Home, Identity, crash_point};
use rustix::process::Signal;

use super::{Alone, start};

/// How long an agent may take from its start to its first answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// How long the keeper may take to start an agent that has just ended, before it is helped.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn install(wanted: &Wanted) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let build = brought::build_of(&own).ok_or("this program was not brought here")?;
    let _alone = Alone::take()?;
    let home = Home::new(HOME);
    let identity = become_node(&home, wanted)?;
    let own = build.to_string();
    let renews = in_force().filter(|before| *before != own);
    if let Some(before) = &renews {
        // First what one goes back to: who dies from here on goes back, or has gone on. Where one died before us, what is
        // in force has perhaps never answered: unless it does now, what was written then is still what one goes back to.
        let answers = || asked(&identity).flatten().is_some_and(|has| has.to_string() == *before);
        if previous().is_none() || answers() {
            write_previous(before)?;
        }
    }
    if in_force().as_ref() != Some(&own) {
        put_in_force(&own)?;
    }
    let before = previous().filter(|before| *before != own);
    let came = start::start(&home).and_then(|()| answers(&identity, &home, build, renews.is_some()));
    match (came, before) {
        (Ok(()), before) => {
            durable::remove(&previous_file()).map_err(|error| format!("{PROGRAMS}: {error}"))?;
            crash_point("install-settled");
            forget_others(&own, before.as_deref());
            Ok(())
        }
        (Err(why), None) => Err(why),
        (Err(why), Some(before)) => {
            put_in_force(&before)?;
            start::start(&home)?;
            end_agents(&home)?;
            let back = until(|| Ok(asked(&identity).is_some()))?;
            let now = if back { "the one before it is back" } else { "the one before it is not back" };
            Err(format!("{why}; {now}"))
        }
    }
}

/// Says which build is gone back to, for as long as it is not known whether the new one does.
fn previous_file() -> PathBuf {
    Path::new(PROGRAMS).join("previous")
}

fn previous() -> Option<String> {
    let text = fs::read_to_string(previous_file()).ok()?;
    let build = text.parse::<Build>().ok()?;
    brought::program(build).is_file().then(|| build.to_string())
}

fn write_previous(build: &str) -> Result<(), String> {
    durable::write(&previous_file(), build.as_bytes()).map_err(|error| format!("{PROGRAMS}: {error}"))?;
    crash_point("install-previous");
    Ok(())
}

/// Writes down who this machine is, unless it is somebody else's.
fn become_node(home: &Home, wanted: &Wanted) -> Result<Identity, String> {
    let written = |error: io::Error| format!("{HOME}: {error}");
    let identity = Identity {
        slot: wanted.slot,
        generation: wanted.generation,
        machine: wanted.machine.clone(),
        address: wanted.address.clone(),
        agent: format!("unix:{SOCKET}"),
        whole: true,
    };
    let known: Option<Identity> = durable::read_json(&home.identity()).map_err(written)?;
    let same = |known: &Identity| {
        (known.slot, known.generation, &known.machine)
            == (identity.slot, identity.generation, &identity.machine)
    };
    match &known {
        Some(known) if !same(known) => {
            return Err(format!(
                "this machine is node {} already: take it out of that cluster first, or, when that is no more, run \
                 `{} agent leave` there as root",
                known.node_mark(),
                brought::current().display()
            ));
        }
        Some(_) => {}
        // Something may be mounted here that only this state knows of.
        None if home.state().exists() => {
            let why =
                "there is what an agent was told, and not who it was: look what is mounted here, then move";
            return Err(format!("{why} {HOME} away"));
        }
        None => {}
    }
    durable::private_dir(home.path()).map_err(written)?;
    crash_point("install-home");
    if start::keeper(home)?.is_none() {
        // It was told to go, with all of the machine; now it is told to come.
        durable::remove(&home.over()).map_err(written)?;
        crash_point("install-not-over");
    }
    if known.as_ref() == Some(&identity) {
        return Ok(identity);
    }
    durable::write_json(&home.identity(), &identity).map_err(written)?;
    crash_point("install-identity");
    Ok(identity)
}

/// The folder of the build in force.
fn in_force() -> Option<String> {
    let link = fs::read_link(Path::new(PROGRAMS).join("current")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn put_in_force(folder: &str) -> Result<(), String> {
    let swap = || -> io::Result<()> {
        let (link, unfinished) =
            (Path::new(PROGRAMS).join("current"), Path::new(PROGRAMS).join("current.tmp"));
        durable::remove(&unfinished)?;
        std::os::unix::fs::symlink(folder, &unfinished)?;
        crash_point("install-linked");
        durable::rename(&unfinished, &link)?;
        crash_point("install-in-force");
        Ok(())
    };
    swap().map_err(|error| format!("{PROGRAMS}: {error}"))
}

/// Waits until the agent of this build answers, and ends another, or one that hangs.
fn answers(identity: &Identity, home: &Home, build: Build, renews: bool) -> Result<(), String> {
    let begun = Instant::now();
    if renews {
        end_agents(home)?;
    }
    let mut helped = renews;
    while begun.elapsed() < ANSWERS_WITHIN {
        match asked(identity) {
            Some(Some(has)) if has == build => {
                crash_point("install-answered");
                return Ok(());
            }
            // The one before it, which was told to end, or which somebody else started meanwhile.
            Some(_) if !helped => {
                end_agents(home)?;
                helped = true;
            }
            None if !helped && begun.elapsed() > PATIENCE => {
                end_agents(home)?;
                helped = true;
            }
            _ => {}
        }
        std::thread::sleep(LOOK);
    }
    let log = fs::read_to_string(home.agent_log()).unwrap_or_default();
    let last = log.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
    Err(format!("the agent did not answer within {} s{last}", ANSWERS_WITHIN.as_secs()))
}

/// Ends the agent; its keeper starts the one in force. What it runs goes on.
fn end_agents(home: &Home) -> Result<(), String> {
    let Some(keeper) = start::keeper(home)? else { return Ok(()) };
    for agent in start::agents(keeper) {
        // Without asking: one that hangs hears nothing, and each is built to be killed.
        agent.signal(Signal::KILL).map_err(|error| format!("the agent cannot be ended: {error}"))?;
        crash_point("install-agent-ended");
    }
    Ok(())
}

/// What the agent answers: none when nobody does, else of which build it is.
fn asked(identity: &Identity) -> Option<Option<Build>> {
    let order = Order {
        node: ForNode { slot: identity.slot, generation: identity.generation },
        authority: Authority {
            epoch: 0,
            holder: String::new(),
            store: String::new(),
            until: Time(0),
            forced: false,
        },
        verb: Verb::Report,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let link = AgentLink::default();
    match runtime.block_on(link.ask(&identity.agent, &order)) {
        Ok(Reply::Report(report)) => Some(report.build),
        _ => None,
    }
}

/// Looks until something holds, for as long as an agent may take. Answers whether it does.
pub(super) fn until(mut holds: impl FnMut() -> Result<bool, String>) -> Result<bool, String> {
    let begun = Instant::now();
    loop {
        if holds()? {
            return Ok(true);
        }
        if begun.elapsed() > ANSWERS_WITHIN {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

/// Removes builds that nobody goes back to: all but this one and the one before it.
fn forget_others(own: &str, before: Option<&str>) {
    let entries = fs::read_dir(PROGRAMS).into_iter().flatten().flatten();
    let others = entries.map(|entry| entry.path()).filter(|path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.parse::<Build>().is_ok() && name != own && Some(name) != before
    });
    for other in others {
        // What stays takes room only.
        _ = durable::remove(&other);
        crash_point("install-forgotten");
    }
}
