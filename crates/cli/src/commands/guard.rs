//! `ideal guard`: heals labelled containers of this host, without any ideal file.

use std::path::PathBuf;

use ideal_agent::{Beat, GuardOptions, Told, guard};
use ideal_host::now;

use crate::arguments::{Format, Guard};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;

pub(crate) fn run(wanted: &Guard, output: &Output) -> anyhow::Result<Exit> {
    let heartbeat = wanted.heartbeat.clone().unwrap_or_else(usual);
    if wanted.status {
        return status(wanted, heartbeat, output);
    }
    let socket = wanted.engine.as_ref().map(|socket| {
        let text = socket.to_string_lossy();
        PathBuf::from(text.strip_prefix("unix://").unwrap_or(&text))
    });
    let options = GuardOptions { socket, heartbeat, grace: wanted.grace };
    // What goes on and on is one line for each thing, whatever JSON was asked for.
    let mut lines = output.clone();
    if output.is_json() {
        lines.format = Format::Jsonl;
    }
    guard(options, |told| say(told, &lines))?;
    Ok(Exit::Done)
}

fn say(told: &Told, output: &Output) {
    if output.is_json() {
        // A reader that went away does not end the healing.
        _ = output.document("guard", told);
        return;
    }
    let who = told.container.as_deref().unwrap_or("guard");
    output.result(&format!("{} {:<8} {who}   {}", words::clock(told.at), told.did, told.why));
}

/// Where the heartbeat is unless it is said: in memory, as it means nothing in another start of the host.
fn usual() -> PathBuf {
    let run = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    run.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("ideal/guard.json")
}

fn status(wanted: &Guard, heartbeat: PathBuf, output: &Output) -> anyhow::Result<Exit> {
    let beat = Beat::read(&heartbeat)?;
    let late = match &beat {
        Some(beat) => beat.is_late(wanted.older_than, now()),
        None => Some(format!("no guard ever wrote {}", heartbeat.display())),
    };
    if let Some(why) = late {
        return Err(Failure::new("guard-is-silent", Exit::Differs, why)
            .next("ideal guard        begins to guard; let the system start it: see docs/services.md")
            .next("with --heartbeat PATH another one is looked at")
            .into());
    }
    let watched = beat.map_or(0, |beat| beat.watched);
    if output.is_json() {
        output.document("guard-status", serde_json::json!({"alive": true, "beat": beat}))?;
    } else {
        output.result(&format!("the guard lives and watches {watched} containers"));
    }
    Ok(Exit::Done)
}
