//! What the agent says of itself: dated lines in a bounded file. Never values of variables or environments.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How large a log may grow before it is kept as `.1` and begun anew.
pub(crate) const LIMIT: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Log(PathBuf);

impl Log {
    pub(crate) fn new(path: PathBuf) -> Log {
        Log(path)
    }
    /// Writes one line. A log that cannot be written must not stop the healing, so nothing is answered.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        let line = format!("{:.3} {text}\n", jiff::Timestamp::now());
        let _ = rotate(&self.0);
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Where the older half of a log is.
pub(crate) fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Keeps a log within its bound. Its writer holds it open for appending, so it is copied and cut, not moved;
/// what is written between the two is lost, which a log may.
pub(crate) fn rotate(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > LIMIT => {}
        _ => return Ok(()),
    }
    fs::copy(path, older(path))?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// The last `limit` bytes of a file as text.
pub(crate) fn tail(path: &Path, limit: u64) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut text = Vec::new();
    file.take(limit).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last lines of a log and of its older half.
pub(crate) fn last_lines(path: &Path, lines: usize) -> io::Result<String> {
    let mut text = tail(path, LIMIT * 2)?;
    if text.lines().count() < lines
        && let Ok(before) = tail(&older(path), LIMIT * 2)
    {
        text.insert_str(0, &before);
    }
    let all: Vec<&str> = text.lines().collect();
    let mut kept = all[all.len().saturating_sub(lines)..].join("\n");
    if !kept.is_empty() {
        kept.push('\n');
    }
    Ok(kept)
}
