//! The secrets of the slice in force, in memory only: of this process, and of a file without a name that the keeper
//! holds for as long as the machine lives. So an agent that is started again has them, and no disk ever does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use ideal_core::secret::Secrets;
use rustix::fs::MemfdFlags;

/// The name of that file, for people who look at what a process holds open.
const NAME: &str = "ideal-secrets";

/// A new one, for the keeper; given to each agent as its standard input.
pub(crate) fn vessel() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(NAME, MemfdFlags::CLOEXEC)?))
}

/// The one that this agent was given, if it was.
pub(crate) fn given() -> Option<File> {
    let at = "/proc/self/fd/0";
    let leads = std::fs::read_link(at).ok()?;
    if !leads.to_string_lossy().starts_with(&format!("/memfd:{NAME}")) {
        return None;
    }
    OpenOptions::new().read(true).write(true).open(at).ok()
}

/// What is in it.
pub(crate) fn read(vessel: &File) -> Secrets {
    let length = vessel.metadata().map_or(0, |meta| meta.len());
    let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
    match vessel.read_exact_at(&mut text, 0) {
        Ok(()) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Secrets::new(),
    }
}

/// Puts these into it, in place of all others.
pub(crate) fn write(vessel: &File, secrets: &Secrets) -> io::Result<()> {
    let text = serde_json::to_vec(secrets)?;
    // Emptied first: half of the new beside half of the old would be read as neither.
    vessel.set_len(0)?;
    vessel.write_all_at(&text, 0)
}
