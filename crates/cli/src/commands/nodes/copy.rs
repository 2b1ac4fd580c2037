//! `ideal nodes copy`: files and folders to nodes, or from them. At the far end the agent's own program reads and writes
//! them; a file appears whole or not at all, and nothing outside of a node's root is read or written.

mod ends;
mod meter;

use futures_util::stream::{self, StreamExt};
use ideal_api::LinkError;
use ideal_api::exec::{Ended, Exec, Piece, What};
use ideal_core::id::SlotId;
use ideal_core::time::{Bytes, Span};
use ideal_engine::Way;
use ideal_resources::bundle::{Count, Target};
use serde_json::{Value as Json, json};

use crate::arguments::{Global, NodesCopy};
use crate::crew;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};
use ends::End;
use meter::Meter;

/// How many copies go on at the same time.
const AT_ONCE: usize = 8;
/// How much is kept of what the far end says beside the files.
const KEPT: usize = 16 << 10;

/// One copy, of one node.
#[derive(Debug)]
struct Task {
    slot: SlotId,
    what: Course,
}

/// In which direction.
#[derive(Clone, Debug)]
enum Course {
    /// From a path of the node to a path here, which must be a directory when other things go there too.
    From { path: String, target: String, many: bool },
    /// From paths here to a path of the node.
    To(Vec<String>, String),
}

/// Why a copy came to nothing.
#[derive(Debug)]
enum Broken {
    /// The node could not be reached.
    Away(LinkError),
    /// Anything else.
    Failed(String),
}

pub(crate) fn run(wanted: &NodesCopy, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let tasks = tasks(&world, wanted)?;
    let mut slots: Vec<SlotId> = tasks.iter().map(|task| task.slot).collect();
    slots.sort();
    slots.dedup();
    wait_for(async {
        let ways = crew::ways(&world, &slots).await?;
        let meter = Meter::new(output);
        let one = async |task: Task| {
            let way = ways.iter().find(|(slot, _)| *slot == task.slot).map(|(_, way)| way);
            let came = match way {
                Some(Ok(way)) => copy(&world, way, &task.what, &meter, output).await,
                Some(Err(error)) => Err(Broken::Away(error.clone())),
                None => Err(Broken::Failed("the way to it is not known".to_owned())),
            };
            (world.ideal.address(task.slot), came)
        };
        let told: Vec<_> = stream::iter(tasks).map(one).buffered(AT_ONCE).collect().await;
        meter.end();
        sum(&told, &meter, output)
    })
}

/// What is to be copied, node by node.
fn tasks(world: &World, wanted: &NodesCopy) -> anyhow::Result<Vec<Task>> {
    let refused = |message: &str| {
        Failure::new("bad-ends", Exit::BadInput, message)
            .next("ideal nodes copy SOURCE... shop.web:/tmp/        brings files to nodes")
            .next("ideal nodes copy shop.web[0]:/etc/motd .        fetches them")
    };
    let sources = wanted.sources.iter().map(|source| ends::read(world, source));
    let sources = sources.collect::<anyhow::Result<Vec<End>>>()?;
    let target = ends::read(world, &wanted.target)?;
    let mut tasks = Vec::new();
    match target {
        End::There { slots, path } => {
            if sources.iter().any(|source| matches!(source, End::There { .. })) {
                return Err(refused("nothing is copied from node to node; fetch it first").into());
            }
            for source in &wanted.sources {
                if let Err(error) = std::fs::metadata(source) {
                    let message = format!("{source} cannot be read here: {error}");
                    return Err(Failure::new("no-such-file", Exit::BadInput, message).into());
                }
            }
            let to = Course::To(wanted.sources.clone(), path);
            tasks.extend(slots.into_iter().map(|slot| Task { slot, what: to.clone() }));
        }
        End::Here(target) => {
            for source in sources {
                let End::There { slots, path } = source else {
                    return Err(refused("neither end is on a node").into());
                };
                let several = slots.len() > 1;
                for slot in slots {
                    // Of several nodes each has a folder of its own.
                    let target = match several {
                        true => format!("{target}/{}/", world.ideal.address(slot)),
                        false => target.clone(),
                    };
                    let many = wanted.sources.len() > 1;
                    tasks.push(Task { slot, what: Course::From { path: path.clone(), target, many } });
                }
            }
        }
    }
    Ok(tasks)
}

async fn copy(
    world: &World,
    way: &Way,
    what: &Course,
    meter: &Meter,
    output: &Output,
) -> Result<Count, Broken> {
    match what {
        Course::From { path, target, many } => {
            let target = ends::target(target, *many).map_err(|error| Broken::Failed(error.to_string()))?;
            // The agent names what it gives, and a node may be another's by now.
            let name = std::path::Path::new(path).file_name().unwrap_or_default();
            let target = target.only(name);
            fetch(world, way, path, target, meter, output).await
        }
        Course::To(sources, path) => bring(world, way, sources, path, meter).await,
    }
}

async fn fetch(
    world: &World,
    way: &Way,
    path: &str,
    target: Target,
    meter: &Meter,
    output: &Output,
) -> Result<Count, Broken> {
    let (send, parts) = ends::channel();
    let meter = meter.clone();
    let taking = tokio::task::spawn_blocking(move || ends::take(&target, parts, meter));
    let exec =
        Exec { node: way.node, what: What::Give(path.to_owned()), stdin: false, limit: None, replica: None };
    let mut said = Vec::new();
    let listen = async |piece| match piece {
        Piece::Out(part) => send.send(part).await.is_ok(),
        Piece::Err(part) => keep(&mut said, &part),
        Piece::Ended(_) => true,
    };
    let came = world.link.exec(&way.agent, &exec, None, listen).await;
    drop(send);
    let taken = taking.await.map_err(|error| Broken::Failed(error.to_string()))?;
    match came.map_err(Broken::Away)? {
        Some(ended) => judged(&ended, &said)?,
        None => return Err(Broken::Failed(taken.err().unwrap_or_default())),
    }
    for line in text(&said).lines() {
        output.note(&format!("  i  {line}"));
    }
    taken.map_err(Broken::Failed)
}

async fn bring(
    world: &World,
    way: &Way,
    sources: &[String],
    path: &str,
    meter: &Meter,
) -> Result<Count, Broken> {
    let (send, parts) = ends::channel();
    let (many, sources, meter) = (sources.len() > 1, sources.to_vec(), meter.clone());
    let mut giving = tokio::task::spawn_blocking(move || ends::give(&sources, send, meter));
    let exec = Exec {
        node: way.node,
        what: What::Take { path: path.to_owned(), many },
        stdin: true,
        limit: None,
        replica: None,
    };
    let (mut said, mut counted) = (Vec::new(), Vec::new());
    let listen = async |piece| match piece {
        Piece::Out(part) => keep(&mut counted, &part),
        Piece::Err(part) => keep(&mut said, &part),
        Piece::Ended(_) => true,
    };
    let came = {
        let mut running = std::pin::pin!(world.link.exec(&way.agent, &exec, Some(parts), listen));
        tokio::select! {
            // It ended before all was given.
            came = &mut running => came,
            given = &mut giving => match given.map_err(|error| Broken::Failed(error.to_string()))? {
                // Not closed, but given up: the far end must not take the part for the whole.
                (Err(why), _open) => return Err(Broken::Failed(format!("here: {why}"))),
                (Ok(_), open) => {
                    drop(open);
                    running.await
                }
            },
        }
    };
    match came.map_err(Broken::Away)? {
        Some(ended) => judged(&ended, &said)?,
        None => return Err(Broken::Failed("it broke off".to_owned())),
    }
    serde_json::from_slice(&counted)
        .map_err(|error| Broken::Failed(format!("it does not say what it took: {error}")))
}

fn keep(kept: &mut Vec<u8>, part: &[u8]) -> bool {
    let room = KEPT.saturating_sub(kept.len());
    kept.extend_from_slice(&part[..part.len().min(room)]);
    true
}

fn text(said: &[u8]) -> String {
    String::from_utf8_lossy(said).replace("\u{2717} ", "").trim().to_owned()
}

/// Whether the far end did all that it was to do.
fn judged(ended: &Ended, said: &[u8]) -> Result<(), Broken> {
    match (ended, text(said)) {
        (Ended::Exited(0), _) => Ok(()),
        (Ended::NotStarted { why, .. }, _) => Err(Broken::Failed(why.clone())),
        (_, said) if said.is_empty() => Err(Broken::Failed(format!("its end there failed: {ended:?}"))),
        (_, said) => Err(Broken::Failed(said)),
    }
}

/// Says what came of it.
fn sum(told: &[(String, Result<Count, Broken>)], meter: &Meter, output: &Output) -> anyhow::Result<Exit> {
    let why = |broken: &Broken| match broken {
        Broken::Away(error) => error.to_string(),
        Broken::Failed(why) => why.clone(),
    };
    let good = || told.iter().filter_map(|(_, came)| came.as_ref().ok());
    let (files, bytes) = good().fold((0, 0), |(files, bytes), one| (files + one.files, bytes + one.bytes));
    if output.is_json() {
        let one = |(node, came): &(String, Result<Count, Broken>)| match came {
            Ok(count) => json!({"node": node, "files": count.files, "bytes": count.bytes}),
            Err(broken) => json!({"node": node, "error": why(broken)}),
        };
        let nodes: Vec<Json> = told.iter().map(one).collect();
        output.document("copy", json!({"files": files, "bytes": bytes, "nodes": nodes}))?;
    } else {
        for (node, came) in told {
            if let Err(broken) = came {
                output.problem(&format!("\u{2717} {node}: {}", why(broken)));
            }
        }
        let mut nodes: Vec<&str> =
            told.iter().filter(|(_, came)| came.is_ok()).map(|(node, _)| node.as_str()).collect();
        nodes.dedup();
        if !nodes.is_empty() {
            let took = words::span(Span(u64::try_from(meter.took().as_millis()).unwrap_or(u64::MAX)));
            let count = words::counted(usize::try_from(files).unwrap_or(usize::MAX), "file");
            let size = words::bytes(Bytes(bytes));
            output.note(&format!("copied {count}, {size}, {took}: {}", nodes.join(", ")));
        }
    }
    let broken = || told.iter().filter_map(|(_, came)| came.as_ref().err());
    Ok(match broken().next() {
        None => Exit::Done,
        Some(_) if broken().all(|one| matches!(one, Broken::Away(LinkError::Unreachable { .. }))) => {
            Exit::Unreachable
        }
        Some(_) => Exit::Failed,
    })
}
