//! `ideal history`: what happened, from the journal.

use std::collections::BTreeMap;

use ideal_core::id::SlotId;
use ideal_core::ideal::Ideal;
use ideal_core::journal::{Outcome, Record, Seated};
use ideal_core::plan::text::{address, is_quiet, words};
use ideal_core::slice::version;
use ideal_engine::reconcile::why;
use ideal_store::{Entry, Journal};
use serde_json::json;

use crate::arguments::{self, Global};
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words as say;
use crate::scopes;
use crate::world::World;

/// How many records are read for each line that is wanted: most are intents and book-keeping.
const RECORDS_PER_LINE: u64 = 8;

pub(crate) fn run(wanted: &arguments::History, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::read(global, output)? else { return Ok(Exit::BadInput) };
    let journal = world.journal_to_read()?;
    let limit = if wanted.verbose { wanted.limit } else { wanted.limit.saturating_mul(RECORDS_PER_LINE) };
    let entries = journal.history(0, limit)?;
    if output.is_json() {
        let skip = entries.len().saturating_sub(usize::try_from(wanted.limit)?);
        if !output.is_stream() {
            output.document("history", &entries[skip..])?;
            return Ok(Exit::Done);
        }
        for entry in &entries[skip..] {
            output.document("record", entry)?;
        }
        return Ok(Exit::Done);
    }
    let lines: Vec<String> =
        entries.iter().filter_map(|entry| line(&world.ideal, entry, wanted.verbose)).collect();
    let skip = lines.len().saturating_sub(usize::try_from(wanted.limit)?);
    for line in &lines[skip..] {
        output.result(line);
    }
    if lines.is_empty() {
        output.note("there is no history yet");
    }
    Ok(Exit::Done)
}

/// One record as a line; none: it is shown with `-v` only.
pub(crate) fn line(ideal: &Ideal, entry: &Entry, verbose: bool) -> Option<String> {
    let text = match &entry.record {
        Record::RunOpened { run, what, by } => format!("{run}  {what}   by {by}"),
        Record::RunClosed { run, outcome } => format!("{run}  {outcome}"),
        Record::LeaseTaken { holder, from } if verbose => match from {
            Some(from) => format!("      lease taken by {holder} from {from}"),
            None => format!("      lease taken by {holder}"),
        },
        Record::LeaseTaken { .. } => return None,
        Record::Demanded { demands } => format!("      demanded: {}", scopes::words(ideal, demands)),
        Record::Intent { part, act, reason } if verbose => {
            format!("      begins {} {} because {reason}", words(act), address(ideal, part))
        }
        Record::Intent { .. } => return None,
        Record::Outcome { act, outcome, .. } if !verbose && is_quiet(act) && why(outcome).is_none() => {
            return None;
        }
        Record::Outcome { part, act, outcome } => {
            let what = format!("{} {}", words(act), address(ideal, part));
            match (why(outcome), outcome) {
                (Some(why), _) => format!("      fail  {what}: {}", say::line(why, 200)),
                (None, Outcome::Accepted { made: Some(made) }) => format!("      done  {what} -> {made}"),
                (None, _) => format!("      done  {what}"),
            }
        }
        Record::Adopted { part, object, .. } => {
            format!("      adopted {object} as {}", address(ideal, part))
        }
        Record::AdoptionConfirmed => "      agreed that adopted things may be ended".to_owned(),
        Record::Doubted { part, verb } => format!("     doubt  {verb} of {}", address(ideal, part)),
        Record::Clouds { clouds } => format!("    clouds  {} of the file", clouds.len()),
        Record::LetGo { part, objects } => {
            format!("    let go  {} of {}", objects.join(", "), address(ideal, part))
        }
        Record::Gone { part, object } => format!("      gone  {object} of {}", address(ideal, part)),
        Record::Suspended { part, why } => {
            format!("      waits {}: {}", address(ideal, part), say::line(why, 200))
        }
        Record::Healed { part, heal, .. } => {
            let (word, label) = (heal.standing.word(), say::line(&heal.label, 80));
            format!("{word:>10}  {label} of {}: {}", address(ideal, part), say::line(&heal.why, 200))
        }
        Record::Seated { seats } => format!("    placed  {}", places(ideal, seats, verbose)?),
        Record::Changing { service, memory } => {
            let name =
                ideal.service(*service).map_or_else(|| service.to_string(), |own| own.name.to_string());
            match (&memory.bad, &memory.next, &memory.good) {
                (Some((version, why)), _, _) => {
                    format!("      back  {name} from version {version}: {}", say::line(why, 200))
                }
                (None, Some((version, told)), _) => {
                    let paused = if memory.paused { ", paused" } else { "" };
                    format!("   changes  {name} to version {version}: {} of its replicas{paused}", told.len())
                }
                (None, None, Some((spec, again))) => {
                    format!("      well  {name} is of version {} throughout", version(spec, *again))
                }
                (None, None, None) => return None,
            }
        }
        Record::Cordoned { slot, on } => {
            let what = if *on { "takes no more replicas" } else { "takes replicas again" };
            format!("      node  {} {what}", ideal.address(*slot))
        }
        Record::ConfirmedDead { machine } => format!("      dead  {machine}, as a person said"),
        Record::UnmountSeen { .. } | Record::FilesystemSeen { .. } if !verbose => return None,
        Record::FilesystemSeen { part, volume, uuid } => {
            format!("      seen  {} {volume} holds the filesystem {uuid}", address(ideal, part))
        }
        Record::UnmountSeen { part, volume, life } => {
            format!("      seen  {} unmounted ({volume}, life {life})", address(ideal, part))
        }
    };
    Some(format!("{}  {text}", say::date(entry.at)))
}

/// Replicas that got another place; none: nothing but what was seen of them.
fn places(ideal: &Ideal, seats: &BTreeMap<SlotId, Option<Seated>>, verbose: bool) -> Option<String> {
    const SHOWN: usize = 12;
    let moved = seats.iter().filter(|(_, seat)| verbose || seat.is_none_or(|seat| !seat.up));
    let all: Vec<String> = moved
        .map(|(replica, seat)| match seat {
            Some(seat) => format!("{} on {}", ideal.address(*replica), ideal.address(seat.node)),
            None => format!("{} nowhere", ideal.address(*replica)),
        })
        .collect();
    let more = all.len().saturating_sub(SHOWN);
    let mut text = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    (!all.is_empty()).then_some(text)
}

/// The lines of one run.
pub(crate) fn of_run(ideal: &Ideal, entries: &[Entry], wanted: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for entry in entries {
        match &entry.record {
            Record::RunOpened { run, .. } => inside = run == wanted,
            Record::RunClosed { run, .. } if inside && run == wanted => {
                lines.extend(line(ideal, entry, true));
                inside = false;
            }
            _ => {}
        }
        if inside {
            lines.extend(line(ideal, entry, true));
        }
    }
    lines
}

/// A run for scripts.
pub(crate) fn run_for_scripts(lines: &[String]) -> serde_json::Value {
    json!({"lines": lines})
}
