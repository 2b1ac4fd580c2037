//! Units of our own: where neither systemd nor a script keeps one, its program is started detached and found again
//! by a mark in its environment.

use std::process::{Command, Stdio};
use std::time::Duration;

use ideal_core::resource::unit::{Boot, Shove, UnitSeen, UnitSpec};
use ideal_host::crash_point;
use ideal_host::process::{self, Marked, ProcessId};
use rustix::fs::Mode;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::About;
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::root::Attributes;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How often is looked whether it did.
const LOOKS: Duration = Duration::from_millis(20);
/// The mark: the unit's name.
const UNIT: &str = "IDEAL_UNIT";
/// The mark: which text of its command it was started from.
const TEXT: &str = "IDEAL_UNIT_TEXT";

/// What is noted of a running unit, so that a look need not search.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    process: ProcessId,
    text: String,
}

fn note_at(spec: &UnitSpec) -> String {
    format!("/run/ideal/units/{}", spec.name)
}

fn text(spec: &UnitSpec) -> String {
    let words = spec.command.iter().flat_map(|command| &command.0);
    let text = serde_json::to_vec(&words.collect::<Vec<_>>()).unwrap_or_default();
    blake3::hash(&text).to_hex()[..16].to_owned()
}

/// The process of the unit: as noted, else by its mark, for a crash may have come before the note.
fn running(spec: &UnitSpec, eyes: &Eyes<'_>) -> Option<Note> {
    let noted = eyes.text(&note_at(spec), 4096).ok().flatten();
    let noted: Option<Note> = noted.and_then(|text| serde_json::from_str(&text).ok());
    if let Some(note) = noted.filter(|note| note.process.is_alive()) {
        return Some(note);
    }
    let found = process::find(|marks| marks.get(UNIT) == Some(&spec.name));
    let pids: Vec<u32> = found.iter().map(|one| one.id.pid).collect();
    let first = |one: &&Marked| !pids.contains(&one.parent);
    let process = found.iter().find(first)?;
    let text = process.mark(TEXT).unwrap_or_default().to_owned();
    Some(Note { process: process.id, text })
}

pub(super) fn look(
    spec: &UnitSpec,
    about: About<'_>,
    eyes: &Eyes<'_>,
    seen: UnitSeen,
) -> Result<UnitSeen, Trouble> {
    let note = running(spec, eyes);
    eyes.watch_process(about.id, note.as_ref().map(|note| note.process.pid));
    let stale = note.as_ref().is_some_and(|note| note.text != text(spec));
    Ok(UnitSeen { running: note.is_some(), boot: Boot::Fixed, stale, ..seen })
}

async fn start(spec: &UnitSpec, hands: &Hands<'_>) -> Result<(), Trouble> {
    let Some((program, args)) = spec.command.as_ref().and_then(|command| command.0.split_first()) else {
        return Err(Trouble::failed("there is no program"));
    };
    // A session of its own: what ends this process, or its terminal, does not end the unit.
    let mut command = Command::new("setsid");
    command.arg(program).args(args).current_dir(hands.host_path("/"));
    command.env_clear().envs(hands.environment()).env(UNIT, &spec.name).env(TEXT, text(spec));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Not the leader of a group: `setsid` then becomes the program itself and keeps its number.
    let mut child =
        command.spawn().map_err(|error| Trouble::failed(format!("cannot start setsid: {error}")))?;
    crash_point("unit-started");
    // Whether the program could be started at all shows at once: `setsid` ends with 126 or 127.
    let until = Instant::now() + Duration::from_millis(300);
    let process = ProcessId::of(child.id());
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(Trouble::failed(format!("{program} ended at once with {status}")));
        }
        let became = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        let stayed = !became.starts_with(b"setsid\0");
        if stayed && Instant::now() >= until {
            break;
        }
        if !stayed && Instant::now() >= until + GRACE {
            return Err(Trouble::failed(format!("{program} could not be started")));
        }
        sleep(LOOKS).await;
    }
    let Some(process) = process else { return Err(Trouble::failed(format!("{program} ended at once"))) };
    let note = serde_json::to_vec(&Note { process, text: text(spec) }).map_err(std::io::Error::other)?;
    let attributes = Attributes { mode: Mode::from_raw_mode(0o644), owner: None, group: None };
    hands.spot(&note_at(spec))?.put(&mut note.as_slice(), attributes, async |_| Ok(())).await?;
    Ok(())
}

/// Ends the process, and all of its group when it does not listen.
async fn stop(spec: &UnitSpec, hands: &Hands<'_>) -> Result<(), Trouble> {
    if let Some(note) = running(spec, hands) {
        note.process.signal(Signal::TERM)?;
        let until = Instant::now() + GRACE;
        while note.process.is_alive() && Instant::now() < until {
            sleep(LOOKS).await;
        }
    }
    // What it left behind, and itself if it did not listen.
    let left = process::kill_all(|marks| marks.get(UNIT) == Some(&spec.name), 50);
    if !left.is_empty() {
        return Err(Trouble::failed(format!("{} of its processes cannot be ended", left.len())));
    }
    crash_point("unit-stopped");
    Ok(hands.spot(&note_at(spec))?.remove()?)
}

pub(super) async fn shove(
    spec: &UnitSpec,
    shove: Shove,
    _: About<'_>,
    hands: &Hands<'_>,
) -> Result<String, Trouble> {
    match shove {
        Shove::Start => start(spec, hands).await?,
        Shove::Stop => stop(spec, hands).await?,
        Shove::Restart => {
            stop(spec, hands).await?;
            start(spec, hands).await?;
        }
        Shove::Reload => {
            if let Some(note) = running(spec, hands) {
                note.process.signal(Signal::HUP)?;
            }
        }
    }
    Ok(String::new())
}
