//! The filesystem of the node, entered only from its root: no path and no symlink in it can lead out.
//!
//! A mount is a symlink that does lead out, to the volume; a path below a mount is therefore resolved within the
//! volume, by its text, and the symlink itself is never followed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// A folder that is the root of all paths given to it.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

/// The folder that a path lies in, opened, and its last name.
#[derive(Debug)]
pub(crate) struct Spot {
    folder: OwnedFd,
    name: PathBuf,
}

/// Names are checked where they are written; what is left to refuse are paths that name no thing.
fn relative(path: &str) -> io::Result<PathBuf> {
    let mut out = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => out.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{path}` holds `..`")));
            }
        }
    }
    Ok(out)
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        loop {
            let flags = flags | OFlags::CLOEXEC;
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                // Something was renamed at the same moment, and the kernel could not tell whether it led out.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Where `path` is or would be. Its folders are made when `make` says so.
    pub(crate) fn spot(&self, path: &str, make: bool) -> io::Result<Spot> {
        let path = relative(path)?;
        let name =
            path.file_name().ok_or_else(|| io::Error::other("the root itself is not a thing in it"))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = if make {
            self.make_folders(parent)?
        } else {
            self.resolve(parent, OFlags::PATH | OFlags::DIRECTORY)?
        };
        Ok(Spot { folder, name: name.into() })
    }

    fn make_folders(&self, path: &Path) -> io::Result<OwnedFd> {
        let wanted = OFlags::PATH | OFlags::DIRECTORY;
        match self.resolve(path, wanted) {
            Ok(folder) => return Ok(folder),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut folder = self.resolve(Path::new(""), wanted)?;
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            folder = match self.resolve(&so_far, wanted) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&folder, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                        Ok(()) => {}
                        Err(Errno::EXIST) => {
                            let why = format!(
                                "/{} is a link that leads to nothing inside the node",
                                so_far.display()
                            );
                            return Err(io::Error::other(why));
                        }
                        Err(error) => return Err(error.into()),
                    }
                    self.resolve(&so_far, wanted)?
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(folder)
    }

    /// Whether anything is at `path`, links followed within the root.
    pub(crate) fn exists(&self, path: &str) -> bool {
        relative(path).is_ok_and(|path| self.resolve(&path, OFlags::PATH).is_ok())
    }
}

impl Spot {
    /// What is there itself, a link not followed; none when nothing is.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
    /// The content of a file, up to `limit` and one byte more.
    pub(crate) fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?);
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content)?;
        Ok(content)
    }
    /// Puts a file there at once and whole. A link in its place is replaced, not followed.
    pub(crate) fn put(&self, content: &[u8], mode: Mode) -> io::Result<()> {
        let temporary = self.temporary();
        let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file =
            File::from(rustix::fs::openat(&self.folder, &temporary, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(content)?;
        rustix::fs::fchmod(&file, mode)?;
        Ok(rustix::fs::renameat(&self.folder, &temporary, &self.folder, &self.name)?)
    }
    /// Sets the bits of what is there, which must not be a link.
    pub(crate) fn set_mode(&self, mode: Mode) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => Ok(rustix::fs::fchmod(&file, mode)?),
            // Not readable even for us: by name then; the name was just seen not to be a link.
            Err(Errno::ACCESS) => Ok(rustix::fs::chmodat(&self.folder, &self.name, mode, AtFlags::empty())?),
            Err(error) => Err(error.into()),
        }
    }
    /// Makes a folder.
    pub(crate) fn make_folder(&self, mode: Mode) -> io::Result<()> {
        rustix::fs::mkdirat(&self.folder, &self.name, mode)?;
        self.set_mode(mode)
    }
    /// Removes a folder that is empty.
    pub(crate) fn remove_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
    }
    /// What a link points at.
    pub(crate) fn read_link(&self) -> io::Result<String> {
        let to = rustix::fs::readlinkat(&self.folder, &self.name, Vec::new())?;
        Ok(to.to_string_lossy().into_owned())
    }
    /// Puts a link there, in place of a file or link.
    pub(crate) fn put_link(&self, to: &str) -> io::Result<()> {
        let temporary = self.temporary();
        let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        rustix::fs::symlinkat(to, &self.folder, &temporary)?;
        Ok(rustix::fs::renameat(&self.folder, &temporary, &self.folder, &self.name)?)
    }
    /// Removes a file or link; nothing there is as good.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    /// Makes a change of names here last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(self.folder.as_fd(), ".", flags, Mode::empty())?;
        Ok(rustix::fs::fsync(folder)?)
    }
    fn temporary(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(&self.name);
        name.push(".ideal-tmp");
        name.into()
    }
}
