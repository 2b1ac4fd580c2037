//! Contents of files and templates, kept by what they hash to.
//!
//! A part that comes again is written again; one that leaves a gap is refused. The whole goes live only when it is
//! what its name says, so a broken transfer leaves nothing that could be taken for the content.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ideal_host::durable;
use ideal_resources::Ground;
use ideal_resources::digest::digest;

use crate::node::Node;

/// The largest content that is taken.
const LARGEST: u64 = 1 << 30;

/// Which of these are not here.
pub(crate) fn lacks(node: &Node, hashes: &[String]) -> Vec<String> {
    hashes.iter().filter(|hash| !is_hash(hash) || !node.blob(hash).exists()).cloned().collect()
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Keeps a part; with the last one the whole goes live. The error is the reason of a refusal.
pub(crate) fn store(node: &Node, hash: &str, size: u64, offset: u64, part: &[u8]) -> Result<(), String> {
    if !is_hash(hash) {
        return Err("this is not a hash".to_owned());
    }
    let end = offset.checked_add(part.len() as u64).filter(|end| *end <= size && size <= LARGEST);
    let end = end.ok_or_else(|| format!("a content of {size} bytes cannot have this part"))?;
    let live = node.blob(hash);
    if live.exists() {
        return Ok(());
    }
    let said = |error: io::Error| format!("the content cannot be kept: {error}");
    let unfinished = durable::unfinished(&live);
    if let Some(folder) = live.parent() {
        durable::private_dir(folder).map_err(said)?;
    }
    let file = open(&unfinished).map_err(said)?;
    if file.metadata().map_err(said)?.len() < offset {
        return Err("a part before this one is missing".to_owned());
    }
    file.write_all_at(part, offset).map_err(said)?;
    if end < size {
        return Ok(());
    }
    file.set_len(size).map_err(said)?;
    finish(&file, &unfinished, &live, hash).map_err(said)
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn finish(file: &File, unfinished: &Path, live: &Path, hash: &str) -> io::Result<()> {
    if digest(File::open(unfinished)?)?.to_hex().as_str() != hash {
        fs::remove_file(unfinished)?;
        return Err(io::Error::other("it is not what its hash says; it is to be sent again"));
    }
    file.sync_all()?;
    durable::rename(unfinished, live)
}
