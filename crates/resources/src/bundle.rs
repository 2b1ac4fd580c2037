//! Files on their way from one root to another: given as a stream, and taken from it. Nothing is read and nothing is
//! put outside of the root, whatever links lie in it; a file that is taken appears whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header};

use crate::eyes::Trouble;
use crate::root::{Attributes, Root, names_in};
use crate::tarball::{Made, Whole, each, unpack};

/// How much is read and written at once.
const PART: usize = 256 << 10;
/// The bits of a mode that are kept: no file becomes another's to run as by being copied.
const BITS: u32 = 0o777;

/// What was given or taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Files and links.
    pub files: u64,
    /// What is in the files.
    pub bytes: u64,
}

/// Writes things as a stream.
pub struct Giver<'p, W: Write> {
    to: Builder<BufWriter<W>>,
    count: Count,
    passed_over: &'p mut dyn FnMut(&Path),
}

impl<W: Write> std::fmt::Debug for Giver<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Giver").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<'p, W: Write> Giver<'p, W> {
    /// Writes to a stream; `passed_over` is told what is neither file, directory nor link.
    pub fn new(to: W, passed_over: &'p mut dyn FnMut(&Path)) -> Giver<'p, W> {
        Giver { to: Builder::new(BufWriter::with_capacity(PART, to)), count: Count::default(), passed_over }
    }

    /// What is at a path of a root, and all below it, under this name. A link there is followed within the root; links
    /// below it are given as links.
    pub fn give(&mut self, root: &Root, path: &Path, name: &Path) -> io::Result<()> {
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path.display()));
        let file = root.open_followed(path).map_err(at)?.ok_or_else(missing)?;
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(file, &stat, name).map_err(at),
            FileType::Directory => self.folder(&file.into(), &stat, name),
            _ => Err(io::Error::other(format!("{} is neither file nor directory", path.display()))),
        }
    }

    /// The end of the stream.
    pub fn end(self) -> io::Result<Count> {
        self.to.into_inner()?.flush()?;
        Ok(self.count)
    }

    fn file(&mut self, file: File, stat: &Stat, name: &Path) -> io::Result<()> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let mut header = header(EntryType::Regular, stat);
        header.set_size(size);
        // One that grows meanwhile is given as long as it was; one that shrinks is not given.
        let content = Whole::new(BufReader::with_capacity(PART, file), size);
        self.to.append_data(&mut header, name, content)?;
        self.count.files += 1;
        self.count.bytes += size;
        Ok(())
    }

    fn folder(&mut self, folder: &OwnedFd, stat: &Stat, name: &Path) -> io::Result<()> {
        let at = |own: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", own.display()))
        };
        self.to.append_data(&mut header(EntryType::Directory, stat), name, io::empty())?;
        let mut names: Vec<OsString> = names_in(folder)?;
        names.sort();
        for inner in names {
            let shown = name.join(&inner);
            let given = self.inner(folder, &inner, &shown);
            given.map_err(|error| at(&shown, error))?;
        }
        Ok(())
    }

    /// One thing in a folder: by its name, links not followed.
    fn inner(&mut self, folder: &OwnedFd, inner: &OsString, shown: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let stat = rustix::fs::statat(folder, inner, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = rustix::fs::openat(folder, inner, flags, Mode::empty())?;
                // Of what was opened: something else may have come in its place.
                let stat = rustix::fs::fstat(&file)?;
                self.file(file.into(), &stat, shown)
            }
            FileType::Directory => {
                let flags = flags | OFlags::DIRECTORY;
                let folder = rustix::fs::openat(folder.as_fd(), inner, flags, Mode::empty())?;
                self.folder(&folder, &stat, shown)
            }
            FileType::Symlink => {
                let to = rustix::fs::readlinkat(folder, inner, Vec::new())?;
                let to = OsStr::from_bytes(to.as_bytes());
                self.to.append_link(&mut header(EntryType::Symlink, &stat), shown, to)?;
                self.count.files += 1;
                Ok(())
            }
            _ => {
                (self.passed_over)(shown);
                Ok(())
            }
        }
    }
}

fn header(kind: EntryType, stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & BITS);
    header.set_size(0);
    header
}

/// Where what is taken goes.
#[derive(Debug)]
pub struct Target {
    root: Root,
    /// In place of the name that a thing was given with; none: it keeps its name.
    name: Option<OsString>,
    /// The only name that a thing may be given with; none: any.
    only: Option<OsString>,
}

impl Target {
    /// The path `path` of a root, which people know as `shown`: a directory, for things with their own names; with a `/`
    /// at its end it is made; else the name that one thing is to have in a directory that is there. `many`: there are
    /// several things.
    pub fn open(root: &Root, path: &str, shown: &str, many: bool) -> io::Result<Target> {
        if root.folder(path)?.is_some() || path.ends_with('/') {
            return Ok(Target { root: root.made_within(path)?, name: None, only: None });
        }
        let missing = |path: &Path| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no directory {}", path.display()))
        };
        if many {
            return Err(missing(Path::new(shown)));
        }
        let path = Path::new(path);
        let folder = path.parent().unwrap_or(Path::new(""));
        let (Some(name), Some(_)) = (path.file_name(), root.folder(folder)?) else {
            return Err(missing(Path::new(shown).parent().unwrap_or(Path::new("/"))));
        };
        Ok(Target { root: root.made_within(folder)?, name: Some(name.to_owned()), only: None })
    }

    /// Takes what was asked for and nothing else: who gives may give more.
    pub fn only(self, name: &OsStr) -> Target {
        Target { only: Some(name.to_owned()), ..self }
    }
}

/// Puts what comes in a stream at a target.
pub fn take(target: &Target, from: Box<dyn Read>) -> Result<Count, String> {
    let mut count = Count::default();
    let mut later: Vec<(PathBuf, Attributes)> = Vec::new();
    each(Box::new(io::BufReader::with_capacity(PART, from)), 0, |mut found| {
        let first = found.path.iter().next();
        if target.only.as_deref().is_some_and(|only| first != Some(only)) {
            let what = found.path.display().to_string();
            return Err(Trouble::failed(format!(
                "{what} came along, which nobody asked for; nothing more is taken"
            )));
        }
        if let Some(name) = &target.name {
            let mut parts = found.path.iter();
            parts.next();
            found.path = Path::new(name).join(parts.as_path());
        }
        let path = found.path.clone();
        let mode = Mode::from_raw_mode(found.entry.header().mode()? & BITS);
        let attributes = Attributes { mode, owner: None, group: None };
        let before = target.root.spot(&path)?.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        let is_folder = found.entry.header().entry_type().is_dir();
        if is_folder && before.is_some_and(|kind| kind != FileType::Directory) {
            return Err(Trouble::failed(format!("a file is in the place of {}", path.display())));
        }
        let size = found.entry.size();
        match unpack(&target.root, found, attributes, 0)? {
            // A directory that may not be written is made so after what lies in it; one that was there stays as it is.
            Made::Folder if before.is_none() => later.push((path, attributes)),
            Made::Folder => {}
            Made::Other => {
                count.files += 1;
                count.bytes += size;
            }
        }
        Ok(())
    })
    .map_err(said)?;
    for (path, attributes) in later.iter().rev() {
        let set = target.root.spot(path).and_then(|spot| spot.set_attributes(*attributes));
        set.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(count)
}

fn said(trouble: Trouble) -> String {
    match trouble {
        Trouble::Failed { why, .. } | Trouble::NotLookedAt(why) => why,
    }
}
