//! How a value comes in: by standard input, a hidden prompt, or an editor on a file that is only in memory.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ideal_core::id::Name;
use ideal_core::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use uuid::Uuid;

use crate::exit::Exit;
use crate::failure::Failure;

/// Filesystems that never reach a disk but by swapping: tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// A value from a prompt, or all of standard input without the line end at its end.
pub(super) fn asked(name: &Name) -> anyhow::Result<Secret> {
    let input = std::io::stdin();
    let mut text = String::new();
    if input.is_terminal() {
        let mut error = std::io::stderr();
        // A prompt that cannot be seen is no reason to stop.
        _ = write!(error, "value of {name}: ").and_then(|()| error.flush());
        let quiet = Quiet::begin().context("failed to hide what is typed")?;
        let read = input.read_line(&mut text);
        drop(quiet);
        _ = writeln!(error);
        read.context("failed to read the value")?;
    } else {
        let most = ideal_secrets::sources::MOST_BYTES;
        input.take(most + 1).read_to_string(&mut text).context("failed to read the value as text")?;
        if text.len() as u64 > most {
            let message = "a secret has at most 1 MiB";
            return Err(Failure::new("too-large", Exit::BadInput, message.to_owned()).into());
        }
    }
    taken(text)
}

/// The value without its last line end; an empty one is a mistake.
fn taken(mut text: String) -> anyhow::Result<Secret> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        let failure =
            Failure::new("empty", Exit::BadInput, "the value is empty; nothing was changed".to_owned());
        return Err(failure.into());
    }
    Ok(Secret::new(text))
}

/// What is typed is not shown until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> rustix::io::Result<Quiet> {
        let input = std::io::stdin();
        let before = tcgetattr(&input)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Flush, &quiet)?;
        Ok(Quiet(before))
    }
}
impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing more can be done for the terminal.
        _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// A folder in memory that is gone when this is dropped, with all that an editor left in it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Folder> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()).map(PathBuf::from);
        let places = runtime.into_iter().chain([PathBuf::from("/dev/shm")]);
        let Some(place) = places.into_iter().find(|place| is_in_memory(place)) else {
            let message = "there is no folder that is only in memory".to_owned();
            let failure = Failure::new("no-memory-folder", Exit::Failed, message);
            return Err(failure.next("set XDG_RUNTIME_DIR to one, or use: ideal secret set NAME").into());
        };
        let folder = place.join(format!("ideal-{}", Uuid::new_v4().simple()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(Folder(folder))
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        // It is in memory: what cannot be removed now is gone when the machine stops.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_in_memory(place: &Path) -> bool {
    rustix::fs::statfs(place).is_ok_and(|about| IN_MEMORY.contains(&about.f_type))
}

/// A value as a person leaves it in an editor.
pub(super) fn edited(before: Option<&Secret>) -> anyhow::Result<Secret> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // People write `code --wait` there; no shell sees it.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let folder = Folder::make()?;
    let path = folder.0.join("secret");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(before.map_or("", |before| before.reveal()).as_bytes())?;
    drop(file);
    let ended = std::process::Command::new(program).args(words).arg(&path).status();
    let ended = ended.with_context(|| format!("failed to start {program}"))?;
    if !ended.success() {
        let message = format!("{program} ended with a failure; nothing was changed");
        return Err(Failure::new("editor", Exit::Failed, message).into());
    }
    let text = std::fs::read_to_string(&path).context("failed to read the value as text")?;
    taken(text)
}
