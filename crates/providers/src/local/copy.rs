//! Copies of whole folders, and checksums over them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT};

/// Copies a folder to a place where nothing is, and syncs every file and folder of it.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in sorted(from)? {
        let (source, target) = (from.join(&entry), to.join(&entry));
        let meta = fs::symlink_metadata(&source)?;
        let kind = meta.file_type();
        if kind.is_dir() {
            copy(&source, &target)?;
            continue;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            own_as(&target, &meta)?;
        } else if kind.is_file() {
            copy_file(&source, &target, &meta)?;
        } else if kind.is_fifo() {
            rustix::fs::mknodat(CWD, &target, FileType::Fifo, Mode::from_raw_mode(meta.mode() & 0o7777), 0)?;
            own_as(&target, &meta)?;
        } else {
            continue;
        }
        times_as(&target, &meta)?;
    }
    // Last: a folder may forbid writing, and its time changes with every entry.
    let meta = fs::symlink_metadata(from)?;
    own_as(to, &meta)?;
    let folder = File::open(to)?;
    folder.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    times_as(to, &meta)?;
    folder.sync_all()
}

fn copy_file(from: &Path, to: &Path, meta: &fs::Metadata) -> io::Result<()> {
    let source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        // The standard library goes through copy_file_range where the kernel can.
        io::copy(&mut &source, &mut target)?;
    }
    own_as(to, meta)?;
    target.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    target.sync_all()
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(PathBuf::from(entry?.file_name()));
    }
    names.sort_unstable();
    Ok(names)
}

/// Only root may give things away; for others everything is their own already.
fn own_as(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        lchown(path, Some(meta.uid()), Some(meta.gid()))?;
    }
    Ok(())
}

fn times_as(path: &Path, meta: &fs::Metadata) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() },
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A checksum over everything in a folder: relative path, kind, mode, length and content of each entry, in order
/// of the paths.
pub(super) fn checksum(folder: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, folder, Path::new(""))?;
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

fn add(hasher: &mut blake3::Hasher, root: &Path, relative: &Path) -> io::Result<()> {
    let path = root.join(relative);
    let meta = fs::symlink_metadata(&path)?;
    let kind = meta.file_type();
    let letter = match () {
        () if kind.is_dir() => b'd',
        () if kind.is_symlink() => b'l',
        () if kind.is_file() => b'f',
        () if kind.is_fifo() => b'p',
        // Not copied, so not counted.
        () => return Ok(()),
    };
    let name = relative.as_os_str().as_bytes();
    hasher.update(&[letter]);
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    // A link has no mode of its own.
    let mode = if kind.is_symlink() { 0 } else { meta.mode() & 0o7777 };
    hasher.update(&mode.to_le_bytes());
    if kind.is_symlink() {
        let to = fs::read_link(&path)?;
        hasher.update(&(to.as_os_str().len() as u64).to_le_bytes());
        hasher.update(to.as_os_str().as_bytes());
    } else if kind.is_file() {
        hasher.update(&meta.len().to_le_bytes());
        let mut file = File::open(&path)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            };
        }
    } else if kind.is_dir() {
        for name in sorted(&path)? {
            add(hasher, root, &relative.join(name))?;
        }
    }
    Ok(())
}
