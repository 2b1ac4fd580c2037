//! The filesystem of the node, entered only from its root: no path and no symlink in it can lead out.
//!
//! A mount is a symlink that does lead out, to the volume; a path below a mount is therefore resolved within the
//! volume, by its text, and the symlink itself is never followed.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use ideal_host::crash_point;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

/// A folder that is the root of all paths given to it.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// The folder that a path lies in, opened, and its last name: to look, and to look only.
#[derive(Debug)]
pub struct Sight {
    folder: OwnedFd,
    name: PathBuf,
}

/// The same, to change what is there.
#[derive(Debug)]
pub struct Spot(Sight);

impl std::ops::Deref for Spot {
    type Target = Sight;
    fn deref(&self) -> &Sight {
        &self.0
    }
}

/// Names are checked where they are written; what is left to refuse are paths that name no thing.
fn relative(path: &Path) -> io::Result<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => out.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("`{}` holds `..`", path.display()),
                ));
            }
        }
    }
    Ok(out)
}

/// The folder that a path lies in, and its last name.
fn divided(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let path = relative(path)?;
    let name = path.file_name().ok_or_else(|| io::Error::other("the root itself is not a thing in it"))?;
    Ok((path.parent().unwrap_or(Path::new("")).to_owned(), name.into()))
}

impl Root {
    /// The root at this path of the host.
    pub fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// Its path on the host.
    pub fn path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
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

    /// Where `path` is or would be; none when a folder above it is missing.
    pub fn sight(&self, path: impl AsRef<Path>) -> io::Result<Option<Sight>> {
        let (parent, name) = divided(path.as_ref())?;
        match self.resolve(&parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => Ok(Some(Sight { folder, name })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
    /// Where `path` is or would be, to change it; the folders above it are made.
    pub fn spot(&self, path: impl AsRef<Path>) -> io::Result<Spot> {
        let (parent, name) = divided(path.as_ref())?;
        Ok(Spot(Sight { folder: self.make_folders(&parent)?, name }))
    }
    /// The folder at `path`, opened only to name it; none when there is none.
    pub fn folder(&self, path: impl AsRef<Path>) -> io::Result<Option<OwnedFd>> {
        match self.resolve(&relative(path.as_ref())?, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

    /// The directory at `path` as a root of its own; made when it is missing.
    pub fn made_within(&self, path: impl AsRef<Path>) -> io::Result<Root> {
        Ok(Root(self.make_folders(&relative(path.as_ref())?)?))
    }

    /// What is at `path`, links followed within the root, opened for reading; none when nothing is.
    pub fn open_followed(&self, path: impl AsRef<Path>) -> io::Result<Option<File>> {
        // Not waiting for one who writes, where it is a pipe.
        match self.resolve(&relative(path.as_ref())?, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether anything is at `path`, links followed within the root.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        relative(path.as_ref()).is_ok_and(|path| self.resolve(&path, OFlags::PATH).is_ok())
    }
}

/// Opens what has this name in a folder, unless something is mounted exactly there: the kernel refuses to cross.
fn open_here(folder: &OwnedFd, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH;
        match rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Goes through a thing and all that is in it, the innermost first, and ends with an error where something is
/// mounted. `shown`: what people are told of where that is.
fn walk(
    folder: &OwnedFd,
    name: &Path,
    shown: &Path,
    does: &mut dyn FnMut(&OwnedFd, &Path, AtFlags) -> io::Result<()>,
) -> io::Result<()> {
    let opened = |flags| match open_here(folder, name, flags) {
        Err(Errno::XDEV) => {
            let why = format!("something is mounted at {}; unmount it first", shown.display());
            Err(io::Error::other(why))
        }
        other => Ok(other?),
    };
    let stat = rustix::fs::fstat(opened(OFlags::PATH)?)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return does(folder, name, AtFlags::empty());
    }
    let inner = opened(OFlags::RDONLY | OFlags::DIRECTORY)?;
    for name in names_in(&inner)? {
        let name = PathBuf::from(name);
        walk(&inner, &name, &shown.join(&name), does)?;
    }
    does(folder, name, AtFlags::REMOVEDIR)
}

pub(crate) fn names_in(folder: impl AsFd) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_owned();
        if name != b"." && name != b".." {
            names.push(std::os::unix::ffi::OsStringExt::from_vec(name));
        }
    }
    Ok(names)
}

impl Sight {
    /// Its path on the host, in which no folder is a link.
    pub fn path(&self) -> io::Result<PathBuf> {
        Ok(std::fs::read_link(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))?.join(&self.name))
    }
    /// Whether a filesystem, or another view of one, is mounted exactly there.
    pub fn is_mount(&self) -> io::Result<bool> {
        match open_here(&self.folder, &self.name, OFlags::PATH) {
            Ok(_) | Err(Errno::NOENT) => Ok(false),
            Err(Errno::XDEV) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
    /// What is there itself, a link not followed; none when nothing is.
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
    /// The file there, opened for reading.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?))
    }
    /// The content of a file, up to `limit` and one byte more.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.open()?.take(limit + 1).read_to_end(&mut content)?;
        Ok(content)
    }
    /// What a link points at.
    pub fn read_link(&self) -> io::Result<String> {
        let to = rustix::fs::readlinkat(&self.folder, &self.name, Vec::new())?;
        Ok(to.to_string_lossy().into_owned())
    }
    /// The names in a folder, without `.` and `..`, in no order.
    pub fn names(&self) -> io::Result<Vec<std::ffi::OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        names_in(rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?)
    }
    /// Whether a folder has nothing in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.names()?.is_empty())
    }
}

/// What a new file is to be beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Mode,
    /// Its owner, when it is to be another than ours.
    pub owner: Option<Uid>,
    /// Its group.
    pub group: Option<Gid>,
}

impl Spot {
    /// Puts a file there at once and whole: after a crash there is the old or the new. A link in its place is
    /// replaced, not followed. `agrees` may refuse the new file, whose path it is given, before it goes live.
    pub async fn put(
        &self,
        content: &mut dyn Read,
        attributes: Attributes,
        agrees: impl AsyncFnOnce(&Path) -> Result<(), String>,
    ) -> io::Result<()> {
        let temporary = self.temporary();
        let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file =
            File::from(rustix::fs::openat(&self.folder, &temporary, flags, Mode::from_raw_mode(0o600))?);
        let made = self.fill(&mut file, content, attributes, &temporary, agrees).await;
        if made.is_err() {
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        made
    }

    async fn fill(
        &self,
        file: &mut File,
        content: &mut dyn Read,
        attributes: Attributes,
        temporary: &Path,
        agrees: impl AsyncFnOnce(&Path) -> Result<(), String>,
    ) -> io::Result<()> {
        crash_point("file-begun");
        io::copy(content, file)?;
        if attributes.owner.is_some() || attributes.group.is_some() {
            rustix::fs::fchown(&*file, attributes.owner, attributes.group)?;
        }
        // After the owner: a change of owner takes special bits away.
        rustix::fs::fchmod(&*file, attributes.mode)?;
        file.sync_data()?;
        crash_point("file-written");
        let folder = std::fs::read_link(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))?;
        agrees(&folder.join(temporary)).await.map_err(io::Error::other)?;
        rustix::fs::renameat(&self.folder, temporary, &self.folder, &self.name)?;
        crash_point("file-live");
        Ok(())
    }

    /// The same without waiting for the disk: whoever puts many flushes once. After a loss of power a file may be
    /// empty, so what it was for must be noted after that.
    pub fn put_now(&self, content: &mut dyn Read, attributes: Attributes) -> io::Result<()> {
        let temporary = self.temporary();
        let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file =
            File::from(rustix::fs::openat(&self.folder, &temporary, flags, Mode::from_raw_mode(0o600))?);
        let mut fill = || {
            io::copy(content, &mut file)?;
            if attributes.owner.is_some() || attributes.group.is_some() {
                rustix::fs::fchown(&file, attributes.owner, attributes.group)?;
            }
            rustix::fs::fchmod(&file, attributes.mode)?;
            Ok(rustix::fs::renameat(&self.folder, &temporary, &self.folder, &self.name)?)
        };
        let filled: io::Result<()> = fill();
        if filled.is_err() {
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        crash_point("file-put");
        filled
    }
    /// Gives what is here the name of another place, which holds nothing or an empty directory.
    pub fn rename(&self, to: &Spot) -> io::Result<()> {
        rustix::fs::renameat(&self.folder, &self.name, &to.folder, &to.name)?;
        self.sync()?;
        to.sync()
    }

    /// Keeps a copy of the file there under another name beside it, in place of what was kept before: whose the new
    /// one is to be, and with those of its bits that the new one has too.
    pub async fn keep_old(&self, new: Attributes) -> io::Result<()> {
        let mut name = std::ffi::OsString::from(".");
        name.push(&self.name);
        name.push(".ideal-old");
        let mut old = self.open()?;
        let bits = Mode::from_raw_mode(rustix::fs::fstat(&old)?.st_mode & 0o7777);
        let kept = Spot(Sight { folder: self.folder.try_clone()?, name: name.into() });
        kept.put(&mut old, Attributes { mode: new.mode & bits, ..new }, async |_| Ok(())).await
    }
    /// Sets the bits of what is there, which must not be a link.
    pub fn set_mode(&self, mode: Mode) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => Ok(rustix::fs::fchmod(&file, mode)?),
            // Not readable even for us: by name then; the name was just seen not to be a link.
            Err(Errno::ACCESS) => Ok(rustix::fs::chmodat(&self.folder, &self.name, mode, AtFlags::empty())?),
            Err(error) => Err(error.into()),
        }
    }
    /// Sets owner and group of what is there itself, and then its bits.
    pub fn set_attributes(&self, attributes: Attributes) -> io::Result<()> {
        if attributes.owner.is_some() || attributes.group.is_some() {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&self.folder, &self.name, attributes.owner, attributes.group, flags)?;
        }
        self.set_mode(attributes.mode)
    }
    /// Makes a folder.
    pub fn make_folder(&self, attributes: Attributes) -> io::Result<()> {
        rustix::fs::mkdirat(&self.folder, &self.name, Mode::from_raw_mode(0o700))?;
        crash_point("folder-made");
        self.set_attributes(attributes)
    }
    /// Removes a folder that is empty.
    pub fn remove_folder(&self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
    }
    /// Removes a folder with all that is in it; nothing there is as good. All of it is looked through first: where a
    /// filesystem is mounted at it or in it, be it another view of the same one, nothing is removed and that is the
    /// error.
    pub fn remove_tree(&self) -> io::Result<()> {
        if self.stat()?.is_none() {
            return Ok(());
        }
        walk(&self.folder, &self.name, &self.name, &mut |_, _, _| Ok(()))?;
        walk(&self.folder, &self.name, &self.name, &mut |folder, name, flags| match rustix::fs::unlinkat(
            folder, name, flags,
        ) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
    /// Puts a link there, in place of a file or link.
    pub fn put_link(&self, to: impl AsRef<Path>) -> io::Result<()> {
        let temporary = self.temporary();
        let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        rustix::fs::symlinkat(to.as_ref(), &self.folder, &temporary)?;
        crash_point("link-begun");
        rustix::fs::renameat(&self.folder, &temporary, &self.folder, &self.name)?;
        crash_point("link-live");
        Ok(())
    }
    /// Removes a file or link; nothing there is as good.
    pub fn remove(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    /// Makes a change of names here last.
    pub fn sync(&self) -> io::Result<()> {
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
