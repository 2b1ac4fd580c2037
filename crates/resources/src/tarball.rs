//! Streams of files, as `tar` writes them. Every path in one is resolved within a directory, so that neither `..` nor
//! a link of the stream's own leads out; each file is put whole.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FileType, Mode};
use tar::EntryType;

use crate::eyes::Trouble;
use crate::root::{Attributes, Root};

/// Where a path of the archive goes; none when nothing of it is left. A path that climbs is refused.
pub(crate) fn place(path: &Path, strip: usize) -> Result<Option<PathBuf>, Trouble> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => {
                let why = format!("the archive names {}, which lies outside of it", path.display());
                return Err(Trouble::failed(why));
            }
        }
    }
    Ok((parts.len() > strip).then(|| parts[strip..].iter().collect()))
}

/// One entry of an archive.
pub(crate) struct Found<'e, R: Read> {
    pub(crate) entry: tar::Entry<'e, R>,
    pub(crate) path: PathBuf,
}

/// How long what stands before one entry may be: its name, its extended attributes. All of it is held in memory.
pub(crate) const LONGEST_HEADER: u64 = 4 << 20;

/// A stream of which only so much may be read now.
pub(crate) struct Bounded {
    stream: Box<dyn Read>,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(into.len());
        if most == 0 && !into.is_empty() {
            let why = format!("what stands before an entry of it is longer than {LONGEST_HEADER} bytes");
            return Err(io::Error::other(why));
        }
        let count = self.stream.read(&mut into[..most])?;
        self.left.set(self.left.get() - count as u64);
        Ok(count)
    }
}

/// Goes through an archive. Special files and paths that climb are refused.
pub(crate) fn each(
    stream: Box<dyn Read>,
    strip: usize,
    mut does: impl FnMut(Found<'_, Bounded>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let left = Rc::new(Cell::new(LONGEST_HEADER));
    let mut archive = tar::Archive::new(Bounded { stream, left: left.clone() });
    let mut entries = archive.entries()?;
    while let Some(entry) = {
        left.set(LONGEST_HEADER);
        entries.next()
    } {
        let mut entry = entry?;
        left.set(u64::MAX);
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        let known = matches!(
            kind,
            EntryType::Regular
                | EntryType::Continuous
                | EntryType::Directory
                | EntryType::Symlink
                | EntryType::Link
        );
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            continue;
        }
        if !known {
            let why =
                format!("the archive holds {}, which is neither file, directory nor link", path.display());
            return Err(Trouble::failed(why));
        }
        match place(&path, strip)? {
            Some(path) => does(Found { entry, path })?,
            None => _ = io::copy(&mut entry, &mut io::sink())?,
        }
    }
    Ok(())
}

/// What came of one entry.
pub(crate) enum Made {
    Folder,
    Other,
}

/// Puts one entry in its place, in place of whatever file or link is there.
pub(crate) fn unpack(
    root: &Root,
    found: Found<'_, Bounded>,
    attributes: Attributes,
    strip: usize,
) -> Result<Made, Trouble> {
    let Found { mut entry, path } = found;
    let at = path.to_string_lossy().into_owned();
    let spot = root.spot(&path)?;
    let kind = spot.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode));
    let to = entry.link_name()?.map(std::borrow::Cow::into_owned);
    match (entry.header().entry_type(), to) {
        (EntryType::Directory, _) => {
            match kind {
                Some(FileType::Directory) => {}
                None => spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o700), ..attributes })?,
                // A link to a directory would lead elsewhere than the archive says.
                Some(_) => {
                    spot.remove()?;
                    spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o700), ..attributes })?;
                }
            }
            return Ok(Made::Folder);
        }
        _ if kind == Some(FileType::Directory) => {
            return Err(Trouble::failed(format!("a directory is in the place of {at}")));
        }
        (EntryType::Symlink, Some(to)) => spot.put_link(&to)?,
        (EntryType::Link, Some(to)) => {
            // Another name of a file that came before: a copy is as good, and cannot tie two files of the node.
            let from =
                place(&to, strip)?.ok_or_else(|| Trouble::failed(format!("{at} links to nothing here")))?;
            let from = root.sight(&from)?;
            let from = from.ok_or_else(|| Trouble::failed(format!("{at} links to nothing here")))?;
            spot.put_now(&mut from.open()?, attributes)?;
        }
        _ => {
            let size = entry.size();
            spot.put_now(&mut Whole::new(&mut entry, size), attributes)?;
        }
    }
    Ok(Made::Other)
}

/// So many bytes and no fewer: a stream that ends before is broken off, and what it holds is no whole file.
pub(crate) struct Whole<R> {
    stream: R,
    left: u64,
}

impl<R: Read> Whole<R> {
    pub(crate) fn new(stream: R, size: u64) -> Whole<R> {
        Whole { stream, left: size }
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.stream.read(&mut into[..most])?;
        if count == 0 {
            let why = format!("{} bytes are missing at its end", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_climbs() {
        let at = |path: &str, strip| {
            place(Path::new(path), strip).map(|place| place.map(|path| path.display().to_string()))
        };
        assert_eq!(at("./a/b", 0), Ok(Some("a/b".into())));
        assert_eq!(at("a/b", 1), Ok(Some("b".into())));
        assert_eq!(at("a", 1), Ok(None));
        assert!(at("../a", 0).is_err() && at("/etc/x", 0).is_err() && at("a/../../b", 1).is_err());
    }

    #[test]
    fn what_is_cut_off_is_not_whole() {
        let read = |size| {
            let mut text = String::new();
            Whole::new(&b"abc"[..], size).read_to_string(&mut text).map(|_| text)
        };
        assert_eq!((read(2).unwrap(), read(3).unwrap()), ("ab".into(), "abc".into()));
        assert_eq!(read(4).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
