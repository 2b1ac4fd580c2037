//! The ends of a copy: which of them are here, which on nodes, and the threads that read and write files here.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ideal_api::exec::Bytes;
use ideal_core::address::Address;
use ideal_core::id::SlotId;
use ideal_resources::bundle::{self, Count, Giver, Target};
use ideal_resources::root::Root;
use tokio::sync::mpsc;

use super::meter::Meter;
use crate::crew;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::world::World;

/// How many parts wait between a thread and the wire.
const PARTS: usize = 8;

/// One end of a copy.
#[derive(Debug)]
pub(super) enum End {
    /// A path of this machine.
    Here(String),
    /// A path of nodes.
    There { slots: Vec<SlotId>, path: String },
}

/// What a person wrote: `shop.web[0]:/etc/motd`, or a path of this machine.
pub(super) fn read(world: &World, text: &str) -> anyhow::Result<End> {
    let divided = text.split_once(':').and_then(|(node, path)| Some((node.parse::<Address>().ok()?, path)));
    match divided {
        Some((node, path)) if path.starts_with('/') => {
            let slots = crew::some(world, &[node.to_string()])?;
            Ok(End::There { slots, path: path.to_owned() })
        }
        // What is there is meant, whatever it looks like.
        Some((node, path)) if !Path::new(text).exists() && world.ideal.cloud_at(&node.path).is_some() => {
            let message = format!("a path on a node begins with /, and `{path}` does not");
            let failure = Failure::new("bad-path", Exit::BadInput, message);
            Err(failure.next(format!("write {node}:/{path}; or ./{text} for a file here")).into())
        }
        _ => Ok(End::Here(text.to_owned())),
    }
}

/// A path of this machine from its root, as far as it is there without a link in it.
pub(super) fn absolute(text: &str) -> io::Result<PathBuf> {
    let path = std::path::absolute(text)?;
    for there in path.ancestors() {
        if let Ok(known) = there.canonicalize() {
            return Ok(known.join(path.strip_prefix(there).unwrap_or(Path::new(""))));
        }
    }
    Ok(path)
}

/// Where things go that come from nodes.
pub(super) fn target(text: &str, many: bool) -> io::Result<Target> {
    let at = absolute(text)?.to_string_lossy().into_owned();
    let at = if text.ends_with('/') { format!("{at}/") } else { at };
    Target::open(&Root::open(Path::new("/"))?, &at, &at, many)
}

/// Puts what comes through a channel at a target.
pub(super) fn take(target: &Target, parts: mpsc::Receiver<Bytes>, meter: Meter) -> Result<Count, String> {
    bundle::take(target, Box::new(From { parts, part: Bytes::new(), meter }))
}

/// Gives things of this machine through a channel. The channel is open as long as what is answered lives: so who gave
/// only a part can be told from who gave all.
pub(super) fn give(sources: &[String], to: mpsc::Sender<Bytes>, meter: Meter) -> (Result<Count, String>, To) {
    let mut to = To { to, meter };
    let result = give_all(sources, &mut to).map_err(|error| error.to_string());
    (result, to)
}

fn give_all(sources: &[String], to: &mut To) -> io::Result<Count> {
    let root = Root::open(Path::new("/"))?;
    let mut passed_over = |path: &Path| {
        let line = format!("{} is neither file, directory nor link, and is passed over", path.display());
        crate::output::complain(&line);
    };
    let mut giver = Giver::new(to, &mut passed_over);
    for source in sources {
        let path = absolute(source)?;
        // As a person wrote it, where that is a name: a link is given under its own.
        let name = Path::new(source).file_name().or_else(|| path.file_name());
        let name =
            name.ok_or_else(|| io::Error::other(format!("{source} has no name; name something in it")))?;
        giver.give(&root, &path, Path::new(name))?;
    }
    giver.end()
}

pub(super) fn channel() -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
    mpsc::channel(PARTS)
}

/// A channel, written to.
#[derive(Debug)]
pub(super) struct To {
    to: mpsc::Sender<Bytes>,
    meter: Meter,
}

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the node takes no more");
        self.to.blocking_send(Bytes::copy_from_slice(bytes)).map_err(gone)?;
        self.meter.add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A channel, read from.
#[derive(Debug)]
struct From {
    parts: mpsc::Receiver<Bytes>,
    part: Bytes,
    meter: Meter,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.part.len());
        into[..count].copy_from_slice(&self.part.split_to(count));
        self.meter.add(count);
        Ok(count)
    }
}
