//! A story: a script that somebody who does not program can read, played on the model.
//!
//! [`play`] reads the lines; [`world::World`] is what they act on.
#![expect(clippy::unit_arg, reason = "a line that says nothing is told as an empty text")]

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
    let quiet = |()| String::new();
    match words(line).as_slice() {
        ["file", file] => world.file(file, &read(file).ok_or("no such file")?).map(quiet),
        ["demand", "nothing"] => Ok(quiet(world.demand_nothing())),
        ["demand", "the", "end"] => Ok(quiet(world.demand_the_end())),
        ["demand", state] => world.demand(state.parse().map_err(err)?, None).map(quiet),
        ["demand", state, "of", at] => world.demand(state.parse().map_err(err)?, Some(at)).map(quiet),
        ["run"] => Ok(world.run()),
        ["plan"] => Ok(world.plan()),
        ["status"] => Ok(world.status()),
        ["advance", span] => Ok(quiet(world.advance(span.parse::<Span>().map_err(err)?))),
        ["ask", "again"] => Ok(quiet(world.open_run())),
        ["forget", "the", "store"] => Ok(quiet(world.forget())),
        ["agree"] => Ok(quiet(world.consent = Consent::to_all())),
        ["agree", "to", "nothing"] => Ok(quiet(world.consent = Consent::default())),
        ["agree", "to", "all", "but", "adopted", "things"] => {
            Ok(quiet(world.consent = Consent { adopted: false, ..Consent::to_all() }))
        }
        ["agree", "to", "end", kind, id] => {
            world.consent.endings.insert(format!("{kind} {id}"));
            Ok(String::new())
        }
        ["agree", "to", "begin", at, "blank"] => world.blank(at).map(quiet),
        ["restore", at, "from", snapshot] => world.restore(at, snapshot).map(quiet),
        ["lose", "node", at] => world.machine(at, Some(MachineState::Impaired)).map(quiet),
        ["machine", at, "is", "stopped", "by", "somebody"] => {
            world.machine(at, Some(MachineState::Stopped)).map(quiet)
        }
        ["machine", at, "ended", "by", "somebody"] => world.machine(at, None).map(quiet),
        ["machine", at, "is", "copied"] => world.second_machine(at).map(quiet),
        ["agent", "of", at, "silent"] => world.silent(at, true).map(quiet),
        ["agent", "of", at, "answers"] => world.silent(at, false).map(quiet),
        ["busy", at, why] => world.busy(at, Some(why)).map(quiet),
        ["busy", at, "no", "more"] => world.busy(at, None).map(quiet),
        ["hook", hook, "of", at, "refuses", why] => world.hook(hook_of(hook)?, at, Some(why)).map(quiet),
        ["hook", hook, "of", at, "agrees"] => world.hook(hook_of(hook)?, at, None).map(quiet),
        ["node", at, "is", "not", "right", why] => world.not_right(at, Some(why)).map(quiet),
        ["node", at, "is", "right"] => world.not_right(at, None).map(quiet),
        ["snapshots", "of", at, "fail"] => world.snapshots(at, Some(SnapshotState::Error)).map(quiet),
        ["snapshots", "of", at, "stay", "pending"] => {
            world.snapshots(at, Some(SnapshotState::Pending)).map(quiet)
        }
        ["snapshots", "of", at, "complete"] => world.snapshots(at, None).map(quiet),
        ["backup", "of", at] => world.backup(at),
        ["snapshot", "of", at, "deleted", "by", "somebody"] => world.delete_snapshots(at).map(quiet),
        ["snapshot", id, "deleted", "by", "somebody"] => Ok(quiet(world.delete_snapshot(id))),
        ["volume", "of", at, "deleted", "by", "somebody"] => world.delete_volume(at).map(quiet),
        ["volume", "of", at, "attached", "to", machine, "by", "somebody"] => {
            world.steal(at, machine).map(quiet)
        }
        ["volume", "of", at, "is", "retired", "by", "somebody"] => world.retire(at).map(quiet),
        [thing, "of", at, "not", "listed"] => world.hide(thing, at).map(quiet),
        ["everything", "listed", "again"] => Ok(quiet(world.hidden.clear())),
        ["provider", "cannot", "be", "seen"] => Ok(quiet(world.blind = Some("timed out".to_owned()))),
        ["listing", "lacks", "a", "page"] => Ok(quiet(world.partial = true)),
        ["provider", "can", "be", "seen"] => Ok(quiet((world.blind, world.partial) = (None, false))),
        ["provider", "does", "not", "enforce", "marks"] => Ok(quiet(world.traits.enforces_marks = false)),
        ["reads", "settle", "after", span] => Ok(quiet(world.traits.settle = span.parse().map_err(err)?)),
        [verb, "of", at, "fails", why] => world.fate(verb, at, Fate::Fails((*why).to_owned())).map(quiet),
        [verb, "of", at, "is", "lost"] => world.fate(verb, at, Fate::Lost).map(quiet),
        ["answer", "of", verb, "of", at, "is", "lost"] => world.fate(verb, at, Fate::AnswerLost).map(quiet),
        [verb, "of", at, "works"] => world.works(verb, at).map(quiet),
        ["may", "end", at] => world.may("end", at),
        ["may", verb, at] => world.may(verb, at),
        _ => Err("nobody understands this line".to_owned()),
    }
}

fn err(error: impl ToString) -> String {
    error.to_string()
}

fn hook_of(word: &str) -> Result<Hook, String> {
    let hooks = [Hook::Launched, Hook::Unmountable, Hook::Haltable];
    hooks.into_iter().find(|hook| hook.word() == word).ok_or_else(|| "no such hook".to_owned())
}
