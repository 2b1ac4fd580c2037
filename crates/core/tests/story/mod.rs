//! A story: a script that somebody who does not program can read, played on the model.
//!
//! [`play`] reads the lines; [`world::World`] is what they act on.

mod world;

use std::fmt::Write;

use ideal_core::observed::{MachineState, SnapshotState};
use ideal_core::plan::Hook;
use ideal_core::planner::Consent;
use ideal_core::time::Span;

use world::{Fate, World};

/// Plays a story. The answer is the story with what came of each line below it.
pub(crate) fn play(story: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut world = World::default();
    let mut told = String::new();
    for line in story.lines().map(str::trim_end) {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(told, "{line}");
            continue;
        }
        let _ = writeln!(told, "> {line}");
        let answer = scene(&mut world, line, read).map_err(|why| format!("`{line}`: {why}"))?;
        told.push_str(&answer);
    }
    Ok(told)
}

/// A line as words; a quoted part is one word.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (i, part) in line.split('"').enumerate() {
        if i % 2 == 1 { words.push(part) } else { words.extend(part.split_whitespace()) }
    }
    words
}

fn scene(world: &mut World, line: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let words = words(line);
    match words.as_slice() {
        ["run"] => Ok(world.run()),
        ["plan"] => Ok(world.plan()),
        ["status"] => Ok(world.status()),
        ["backup", "of", at] => world.backup(at),
        ["may", "end", at] => world.may("end", at),
        ["may", verb, at] => world.may(verb, at),
        words => befalls(world, words, read).map(|()| String::new()),
    }
}

/// What people and fate do; it is only seen in what is asked next.
fn befalls(world: &mut World, words: &[&str], read: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    match words {
        ["file", file] => world.file(file, &read(file).ok_or("no such file")?)?,
        ["demand", "nothing"] => world.demand_nothing(),
        ["demand", "the", "end"] => world.demand_the_end(),
        ["demand", state] => world.demand(state.parse().map_err(err)?, None)?,
        ["demand", state, "of", at] => world.demand(state.parse().map_err(err)?, Some(at))?,
        ["advance", span] => world.advance(span.parse::<Span>().map_err(err)?),
        ["ask", "again"] => world.open_run(),
        ["forget", "the", "store"] => world.forget(),
        ["agree"] => world.consent = Consent::to_all(),
        ["agree", "to", "nothing"] => world.consent = Consent::default(),
        ["agree", "to", "all", "but", "adopted", "things"] => {
            world.consent = Consent { adopted: false, ..Consent::to_all() }
        }
        ["agree", "to", "end", kind, id] => {
            world.consent.endings.insert(format!("{kind} {id}"));
        }
        ["agree", "to", "begin", at, "blank"] => world.blank(at)?,
        ["restore", at, "from", snapshot] => world.restore(at, snapshot)?,
        ["lose", "node", at] => world.machine(at, Some(MachineState::Impaired))?,
        ["machine", at, "is", "stopped", "by", "somebody"] => {
            world.machine(at, Some(MachineState::Stopped))?
        }
        ["machine", at, "ended", "by", "somebody"] => world.machine(at, None)?,
        ["machine", at, "is", "copied"] => world.second_machine(at)?,
        ["agent", "of", at, "silent"] => world.silent(at, true)?,
        ["agent", "of", at, "answers"] => world.silent(at, false)?,
        ["busy", at, why] => world.busy(at, Some(why))?,
        ["busy", at, "no", "more"] => world.busy(at, None)?,
        ["hook", hook, "of", at, "refuses", why] => world.hook(hook_of(hook)?, at, Some(why))?,
        ["hook", hook, "of", at, "agrees"] => world.hook(hook_of(hook)?, at, None)?,
        ["node", at, "is", "not", "right", why] => world.not_right(at, Some(why))?,
        ["node", at, "is", "right"] => world.not_right(at, None)?,
        ["snapshots", "of", at, "fail"] => world.snapshots(at, Some(SnapshotState::Error))?,
        ["snapshots", "of", at, "stay", "pending"] => world.snapshots(at, Some(SnapshotState::Pending))?,
        ["snapshots", "of", at, "complete"] => world.snapshots(at, None)?,
        ["snapshot", "of", at, "deleted", "by", "somebody"] => world.delete_snapshots(at)?,
        ["snapshot", id, "deleted", "by", "somebody"] => world.delete_snapshot(id),
        ["volume", "of", at, "deleted", "by", "somebody"] => world.delete_volume(at)?,
        ["volume", "of", at, "attached", "to", machine, "by", "somebody"] => world.steal(at, machine)?,
        ["volume", "of", at, "is", "retired", "by", "somebody"] => world.retire(at)?,
        [thing, "of", at, "not", "listed"] => world.hide(thing, at)?,
        ["everything", "listed", "again"] => world.hidden.clear(),
        ["provider", "cannot", "be", "seen"] => world.blind = Some("timed out".to_owned()),
        ["listing", "lacks", "a", "page"] => world.partial = true,
        ["provider", "can", "be", "seen"] => (world.blind, world.partial) = (None, false),
        ["provider", "does", "not", "enforce", "marks"] => world.traits.enforces_marks = false,
        ["provider", "cannot", "stop", "machines"] => world.traits.can_stop = false,
        ["provider", "makes", "no", "machines"] => world.traits.makes_machines = false,
        ["reads", "settle", "after", span] => world.traits.settle = span.parse().map_err(err)?,
        [verb, "of", at, "fails", why] => world.fate(verb, at, Fate::Fails((*why).to_owned()))?,
        [verb, "of", at, "is", "lost"] => world.fate(verb, at, Fate::Lost)?,
        ["answer", "of", verb, "of", at, "is", "lost"] => world.fate(verb, at, Fate::AnswerLost)?,
        [verb, "of", at, "works"] => world.works(verb, at)?,
        _ => return Err("nobody understands this line".to_owned()),
    }
    Ok(())
}

fn err(error: impl ToString) -> String {
    error.to_string()
}

fn hook_of(word: &str) -> Result<Hook, String> {
    let hooks = [Hook::Launched, Hook::Unmountable, Hook::Haltable];
    hooks.into_iter().find(|hook| hook.word() == word).ok_or_else(|| "no such hook".to_owned())
}
