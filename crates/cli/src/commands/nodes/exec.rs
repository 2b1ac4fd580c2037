//! `ideal nodes exec`: a program on nodes. It takes no lease: a person's own hand, as `ssh` would be.

use std::io::{Read, Write};

use futures_util::stream::{self, StreamExt};
use ideal_api::LinkError;
use ideal_api::exec::{Bytes, Ended, Exec, Piece, What};
use ideal_core::id::SlotId;
use ideal_engine::Way;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use crate::arguments::{Global, NodesExec};
use crate::crew;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

/// How much of what a program says is kept for a script: the end of it, on each channel.
const KEPT: usize = 1 << 20;
/// A longer line of one of several nodes is shown in parts.
const LINE: usize = 8 << 10;
/// How much of standard input is read at once, and how many such parts wait.
const PART: (usize, usize) = (64 << 10, 4);

/// What came of it on one node; none: nobody reads any more.
type Came = Result<Option<Ended>, LinkError>;

pub(crate) fn run(wanted: &NodesExec, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::some(&world, &wanted.addresses)?;
    if wanted.stdin && slots.len() > 1 {
        let message = format!("standard input can be given to one node, and {} are meant", slots.len());
        let failure = Failure::new("several-nodes", Exit::BadInput, message);
        return Err(failure.next("ideal nodes copy        brings a file to several").into());
    }
    wait_for(async {
        let ways = crew::ways(&world, &slots).await?;
        if let [(slot, way)] = &ways[..]
            && !output.is_json()
        {
            return alone(wanted, &world, *slot, way, None, output).await;
        }
        let names: Vec<String> = slots.iter().map(|slot| world.ideal.address(*slot)).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0);
        let one = async |(name, way): (String, Result<Way, LinkError>)| {
            let mut voice = match output.is_json() {
                true => Voice::Kept { out: Vec::new(), err: Vec::new() },
                false => Voice::Lines { name: format!("{name:width$} | "), out: Vec::new(), err: Vec::new() },
            };
            let came = exec(wanted, &world, &way, None, &mut voice).await;
            voice.end();
            (name, came, voice)
        };
        let asked: Vec<_> = names.into_iter().zip(ways.into_iter().map(|(_, way)| way)).collect();
        let mut running = stream::iter(asked).map(one).buffered(usize::from(wanted.at_once));
        let mut told = Vec::new();
        while let Some((name, came, voice)) = running.next().await {
            if output.is_stream() {
                output.document("exec", for_scripts(&name, &came, &voice))?;
            }
            told.push((name, came, voice));
        }
        if output.is_json() && !output.is_stream() {
            let all = told.iter().map(|(name, came, voice)| for_scripts(name, came, voice));
            output.document("exec", all.collect::<Vec<Json>>())?;
        }
        Ok(sum(wanted, &told, output))
    })
}

/// Beside a replica: on its node and with its environment.
pub(in crate::commands) async fn beside(
    wanted: &NodesExec,
    world: &World,
    slot: SlotId,
    replica: &str,
    output: &Output,
) -> anyhow::Result<Exit> {
    let way = Ok(crew::way(world, slot).await?);
    if !output.is_json() {
        return alone(wanted, world, slot, &way, Some(replica), output).await;
    }
    let mut voice = Voice::Kept { out: Vec::new(), err: Vec::new() };
    let came = exec(wanted, world, &way, Some(replica), &mut voice).await;
    let mut told = for_scripts(&world.ideal.address(slot), &came, &voice);
    told["replica"] = replica.into();
    match output.is_stream() {
        true => output.document("exec", told)?,
        false => output.document("exec", [told])?,
    }
    Ok(sum(wanted, &[(replica.to_owned(), came, voice)], output))
}

/// One node: what it says goes through as it is.
async fn alone(
    wanted: &NodesExec,
    world: &World,
    slot: SlotId,
    way: &Result<Way, LinkError>,
    replica: Option<&str>,
    output: &Output,
) -> anyhow::Result<Exit> {
    let node = world.ideal.address(slot);
    match exec(wanted, world, way, replica, &mut Voice::Through).await {
        Ok(None) => Ok(Exit::Done),
        Ok(Some(ended)) => {
            if let Some(how) = how(wanted, &ended).filter(|_| !matches!(ended, Ended::Exited(_))) {
                output.problem(&format!("\u{2717} {node}: {how}"));
            }
            Ok(exit(&ended))
        }
        Err(error) => Err(crew::out_of_reach(&node, &error)),
    }
}

async fn exec(
    wanted: &NodesExec,
    world: &World,
    way: &Result<Way, LinkError>,
    replica: Option<&str>,
    voice: &mut Voice,
) -> Came {
    let way = way.as_ref().map_err(Clone::clone)?;
    let exec = Exec {
        node: way.node,
        what: What::Run(wanted.command.clone()),
        stdin: wanted.stdin,
        limit: wanted.timeout,
        replica: replica.map(str::to_owned),
    };
    let stdin = wanted.stdin.then(standard_input);
    world.link.exec(&way.agent, &exec, stdin, async |piece| voice.say(&piece)).await
}

/// Reads standard input on a thread of its own: such a read cannot be given up, and nothing may wait for it at the end.
fn standard_input() -> mpsc::Receiver<Bytes> {
    let (send, parts) = mpsc::channel(PART.1);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut part = vec![0; PART.0];
        while let Ok(count @ 1..) = stdin.read(&mut part) {
            if send.blocking_send(part[..count].to_vec().into()).is_err() {
                break;
            }
        }
    });
    parts
}

/// Where what a program says goes.
#[derive(Debug)]
enum Voice {
    /// To our own output, as it is.
    Through,
    /// The same in whole lines, each with the name of its node.
    Lines { name: String, out: Vec<u8>, err: Vec<u8> },
    /// It is kept, for a script.
    Kept { out: Vec<u8>, err: Vec<u8> },
}

impl Voice {
    /// False when nobody reads any more.
    fn say(&mut self, piece: &Piece) -> bool {
        let (bytes, is_out) = match piece {
            Piece::Out(bytes) => (bytes, true),
            Piece::Err(bytes) => (bytes, false),
            Piece::Ended(_) => return true,
        };
        match self {
            Voice::Through => write(is_out, bytes),
            Voice::Lines { name, out, err } => {
                let held = if is_out { out } else { err };
                held.extend_from_slice(bytes);
                let whole = match held.iter().rposition(|byte| *byte == b'\n') {
                    Some(at) => at + 1,
                    None if held.len() > LINE => held.len(),
                    None => return true,
                };
                write(is_out, &named(name, &held.drain(..whole).collect::<Vec<u8>>()))
            }
            Voice::Kept { out, err } => {
                let kept = if is_out { out } else { err };
                kept.extend_from_slice(bytes);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
                true
            }
        }
    }
    /// The last line may have had no end.
    fn end(&mut self) {
        if let Voice::Lines { name, out, err } = self {
            for (held, is_out) in [(out, true), (err, false)] {
                if !held.is_empty() {
                    write(is_out, &named(name, &std::mem::take(held)));
                }
            }
        }
    }
}

/// Lines, each with the name of its node before it.
fn named(name: &str, lines: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() + name.len());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(line);
    }
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text
}

fn write(is_out: bool, bytes: &[u8]) -> bool {
    let write = |to: &mut dyn Write| to.write_all(bytes).and_then(|()| to.flush());
    match is_out {
        true => write(&mut std::io::stdout().lock()).is_ok(),
        false => write(&mut std::io::stderr().lock()).is_ok(),
    }
}

/// How a program ended, when not with 0.
fn how(wanted: &NodesExec, ended: &Ended) -> Option<String> {
    Some(match ended {
        Ended::Exited(0) => return None,
        Ended::Exited(code) => format!("it ended with {code}"),
        Ended::Killed(signal) => format!("it was killed by signal {signal}"),
        Ended::TimedOut => {
            let limit = wanted.timeout.map(words::span).unwrap_or_default();
            format!("it was not done within {limit} and was killed")
        }
        Ended::NotStarted { why, .. } => why.clone(),
    })
}

/// The number that stands for it, as of a shell.
fn exit(ended: &Ended) -> Exit {
    match ended {
        Ended::Exited(code) => Exit::Program(*code),
        Ended::Killed(signal) => Exit::Program(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        Ended::TimedOut => Exit::TimedOut,
        Ended::NotStarted { code, .. } => Exit::Program(*code),
    }
}

/// Says which nodes failed, and answers the number at the end.
fn sum(wanted: &NodesExec, told: &[(String, Came, Voice)], output: &Output) -> Exit {
    let why = |came: &Came| match came {
        Ok(ended) => ended.as_ref().and_then(|ended| how(wanted, ended)),
        Err(error) => Some(error.to_string()),
    };
    let failed = told.iter().filter_map(|(name, came, _)| Some((name, why(came)?)));
    let failed: Vec<String> = failed.map(|(name, why)| format!("{name}: {why}")).collect();
    if let [(_, came, _)] = told {
        return match came {
            Ok(ended) => ended.as_ref().map_or(Exit::Done, exit),
            Err(_) => Exit::Unreachable,
        };
    }
    if failed.is_empty() {
        return Exit::Done;
    }
    if !output.is_json() {
        let nodes = words::counted(told.len(), "node");
        output.problem(&format!("\u{2717} failed on {} of {nodes}: {}", failed.len(), failed.join("; ")));
    }
    Exit::Failed
}

fn for_scripts(name: &str, came: &Came, voice: &Voice) -> Json {
    let mut one = json!({"node": name});
    if let Voice::Kept { out, err } = voice {
        one["out"] = String::from_utf8_lossy(out).into();
        one["err"] = String::from_utf8_lossy(err).into();
    }
    match came {
        Ok(Some(ended)) => {
            one["code"] = exit(ended).number().into();
            one["ended"] = json!(ended);
        }
        Ok(None) => {}
        Err(error) => one["error"] = error.to_string().into(),
    }
    one
}
