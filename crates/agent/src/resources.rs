//! Resources: each is compared with what is there, changed when it differs, and looked at again ever after.
//!
//! In order, and one that fails does not stop those after it: they may have nothing to do with each other, and
//! what does depend on it fails with a reason of its own.

mod command;
mod directory;
mod file;
mod link;

use std::collections::BTreeMap;
use std::rc::Rc;

use ideal_core::ideal::Resource;
use ideal_core::observed::Problem;
use rustix::fs::{Mode, Stat};

use crate::node::Node;
use crate::render::{RenderProblem, render};

/// What a look at one resource came to.
pub(crate) enum Look {
    /// It is right.
    Right,
    /// It was not, for this reason, and is now.
    Changed(String),
    /// It is not right, for this reason.
    Wrong(String),
    /// Something has no value yet.
    Waiting(String),
}

impl From<RenderProblem> for Look {
    fn from(problem: RenderProblem) -> Look {
        match problem {
            RenderProblem::Unknown { .. } => Look::Waiting(problem.to_string()),
            RenderProblem::Refused { why } => Look::Wrong(why),
        }
    }
}
impl From<std::io::Error> for Look {
    fn from(error: std::io::Error) -> Look {
        Look::Wrong(error.to_string())
    }
}

/// What was found right, by resource, so that looking again costs one system call.
pub(crate) type Known = BTreeMap<String, (blake3::Hash, Seal)>;

/// All that changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal([i128; 8]);

impl Seal {
    pub(crate) fn of(stat: &Stat) -> Seal {
        // The types of the fields differ by architecture, and this holds them all.
        Seal([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size.into(),
            stat.st_mode.into(),
            stat.st_mtime.into(),
            stat.st_ctime.into(),
            stat.st_mtime_nsec.into(),
            stat.st_ctime_nsec.into(),
        ])
    }
}

/// What looks at resources remember between them.
#[derive(Default)]
pub(crate) struct Memory {
    pub known: Known,
    pub commands: command::Memory,
}

/// Keeps the resources of the slice in force right, for as long as the agent lives.
pub(crate) async fn keep(node: Rc<Node>) {
    let mut memory = Memory::default();
    let mut versions = node.versions();
    let mut reported: Vec<Problem> = Vec::new();
    loop {
        versions.mark_unchanged();
        let held = node.slice().map(|held| held.clone());
        if let Some(held) = held.filter(|held| !held.slice.quiet) {
            let mut problems = Vec::new();
            for resource in &held.slice.resources {
                let label = resource.label();
                // Rendered anew each time: a mount or port may have come since.
                let context = node.context(&held.slice, None);
                let look = tokio::select! {
                    look = look(&node, resource, &context, &mut memory) => look,
                    // A node that is to be quiet waits for no command: it is killed, and run again later.
                    () = quiet(&node) => break,
                };
                let (why, waiting) = match look {
                    Look::Right => continue,
                    Look::Changed(how) => {
                        node.log.say(format_args!("{label}: {how}"));
                        continue;
                    }
                    Look::Wrong(why) => (why, false),
                    Look::Waiting(why) => (why, true),
                };
                problems.push(Problem { what: label, why, waiting });
                // A newer slice has come: what follows may no longer be wanted.
                if node.slice().is_none_or(|now| now.hash != held.hash) {
                    break;
                }
            }
            if node.slice().is_some_and(|now| now.hash == held.hash) {
                for problem in problems.iter().filter(|problem| !reported.contains(problem)) {
                    node.log.say(format_args!("{}: {}", problem.what, problem.why));
                }
                reported.clone_from(&problems);
                let first = node.seen.borrow().resources.as_ref().is_none_or(|(hash, _)| *hash != held.hash);
                node.seen.borrow_mut().resources = Some((held.hash.clone(), problems));
                if first {
                    // Services start after the first whole look.
                    node.touch();
                    versions.mark_unchanged();
                }
            } else {
                continue;
            }
        }
        tokio::select! {
            _ = versions.changed() => {}
            () = tokio::time::sleep(node.pace.drift) => {}
        }
    }
}

/// Waits until the slice in force says that the node is to be quiet.
async fn quiet(node: &Node) {
    let mut versions = node.versions();
    while !node.slice().is_some_and(|held| held.slice.quiet) {
        if versions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn look(
    node: &Rc<Node>,
    resource: &Resource,
    context: &serde_json::Value,
    memory: &mut Memory,
) -> Look {
    let look = match resource {
        Resource::File(spec) => file::look(node, spec, context, &mut memory.known),
        Resource::Directory(spec) => directory::look(node, spec, context),
        Resource::Link(spec) => link::look(node, spec, context),
        Resource::Command(spec) => return command::look(node, spec, context, &mut memory.commands).await,
    };
    look.unwrap_or_else(|look| look)
}

/// A path of a resource, rendered; it must be absolute.
pub(crate) fn path(text: &str, context: &serde_json::Value) -> Result<String, Look> {
    let path = render(text, context)?;
    if path.starts_with('/') { Ok(path) } else { Err(Look::Wrong(format!("`{path}` is not absolute"))) }
}

/// Permission bits from octal text.
pub(crate) fn mode(text: &str) -> Result<Mode, Look> {
    match u32::from_str_radix(text, 8) {
        Ok(bits) if bits <= 0o7777 => Ok(Mode::from_raw_mode(bits)),
        _ => Err(Look::Wrong(format!("`{text}` is not a mode in octal"))),
    }
}

/// The permission bits of what is there.
pub(crate) fn mode_of(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}
