//! Files that a command begins for a person: written once, never over another.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ideal_core::id::Name;

use crate::exit::Exit;
use crate::failure::Failure;

/// Writes a new file with its folders. `mode`: its permission bits.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(mode).open(path)?.write_all(content)
    };
    write().map_err(|error| {
        let failure = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there already; it was not touched", path.display());
                Failure::new("file-exists", Exit::Failed, message).next("choose another name, or edit it")
            }
            _ => {
                let message = format!("cannot write {}: {error}", path.display());
                Failure::new("cannot-write", Exit::Failed, message)
            }
        };
        failure.into()
    })
}

/// A name that a person gave.
pub(crate) fn name_of(text: &str) -> anyhow::Result<Name> {
    let bad = |why| Failure::new("bad-name", Exit::BadInput, format!("`{text}` cannot be a name: {why}"));
    Name::new(text).map_err(|why| bad(why).into())
}
