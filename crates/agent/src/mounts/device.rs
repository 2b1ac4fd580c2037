//! Mounts of the device kind: a block device that the provider attached, with a filesystem of its own.
//!
//! A filesystem is made only where the order says that the volume is new *and* the device is provably blank. It is
//! checked before each mount; one that cannot be put right without a question is a refusal. All that may take long
//! is done aside: the agent goes on answering.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ideal_core::id::VolumeId;
use ideal_core::ideal::Filesystem;
use ideal_core::observed::FilesystemSeen;
use ideal_core::slice::MountOrder;
use ideal_core::time::Bytes;
use ideal_host::durable;
use ideal_host::home::Device;
use ideal_host::process::user_of;
use ideal_resources::ground::clean_environment;
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, UnmountFlags};

use super::superblock::{self, Content};
use super::{Kept, table};
use crate::node::Node;
use crate::state::Mounted;

/// Where devices have their names.
const NAMES: &str = "/dev/ideal";
/// A filesystem that is smaller than its device by less than this is not grown: the last part of a device may be
/// too small for anything.
const SLACK: u64 = 8 << 20;
/// The largest block of a device.
const BLOCK: u64 = 4096;
/// How much of what a program says is told.
const SAID: usize = 400;

/// What is on a mounted device.
#[derive(Debug)]
pub(super) struct On {
    pub filesystem: FilesystemSeen,
    /// The size of the device that it was made to fill, as far as it could be.
    pub filled: Option<Bytes>,
    /// Why it could not be.
    pub small: Option<String>,
}

/// Mounts a device, or makes the filesystem of a mounted one fill it. Answers what is on it.
pub(super) async fn mount(node: &Node, order: &MountOrder, at: &str, device: Device) -> Result<On, String> {
    let work = Work {
        order: order.clone(),
        at: at.to_owned(),
        device,
        note: node.home.path().join(format!("formatting-{}", order.volume)),
    };
    let (on, said) = aside(move || work.mount()).await??;
    for line in said {
        node.log.say(line);
    }
    Ok(on)
}

/// Unmounts a device.
pub(super) async fn unmount(volume: &VolumeId, mount: &Mounted, device: Device) -> Result<(), Kept> {
    let (at, volume) = (mount.at.clone(), volume.clone());
    aside(move || take_off(&volume, &at, device)).await.map_err(Kept::Failed)?
}

pub(super) async fn aside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(act).await.map_err(|error| format!("it failed on the way: {error}"))
}

struct Work {
    order: MountOrder,
    at: String,
    device: Device,
    /// There while a filesystem is being made.
    note: PathBuf,
}

impl Work {
    /// Answers what is on the device, and what is worth telling.
    fn mount(&self) -> Result<(On, Vec<String>), String> {
        self.is_the_volume()?;
        let name = self.name().map_err(|error| format!("its device cannot be named: {error}"))?;
        let points = table::points(self.device).map_err(|error| error.to_string())?;
        let (mut said, mut small) = (Vec::new(), None);
        match points.first() {
            Some(point) if *point == self.at => match self.fill(&name)? {
                Some(Ok(grown)) => said.push(grown),
                Some(Err(why)) => small = Some(why),
                None => {}
            },
            Some(point) => return Err(format!("its device is mounted at {point}")),
            None => (said, small) = self.mount_at(&name)?,
        }
        // Read again: it may just have been made, or have grown.
        match superblock::read(&name) {
            Ok((Content::Known(filesystem), size)) => {
                Ok((On { filesystem, filled: Some(Bytes(size)), small }, said))
            }
            Ok((other, _)) => Err(format!("its superblock cannot be read any more: {other:?}")),
            Err(error) => Err(format!("{} cannot be read: {error}", name.display())),
        }
    }

    /// Makes a mounted filesystem fill its device: what was done, or why it could not be. None: it does already.
    fn fill(&self, name: &Path) -> Result<Option<Result<String, String>>, String> {
        let cannot_read = |error: io::Error| format!("{} cannot be read: {error}", name.display());
        let (content, size) = superblock::read(name).map_err(cannot_read)?;
        let Content::Known(known) = content else { return Ok(None) };
        if size.saturating_sub(known.size.0) <= SLACK {
            return Ok(None);
        }
        let grown = match known.kind {
            Filesystem::Ext4 => grow("resize2fs", name),
            Filesystem::Xfs => grow("xfs_growfs", Path::new(&self.at)),
        };
        let grown = grown.map(|()| format!("grew the filesystem of {} to {size} bytes", self.order.volume));
        Ok(Some(grown))
    }

    /// Answers what is worth telling, and why the filesystem does not fill its device.
    fn mount_at(&self, name: &Path) -> Result<(Vec<String>, Option<String>), String> {
        let mut said = Vec::new();
        let wanted = self.order.filesystem;
        let look = || superblock::read(name);
        let cannot_read = |error: io::Error| format!("{} cannot be read: {error}", name.display());
        let (mut content, size) = look().map_err(cannot_read)?;
        // A device has whole blocks only.
        if let Some(wanted) = self.order.size.filter(|wanted| wanted.0 > size.saturating_add(BLOCK)) {
            return Err(format!("its device has {}, and the volume has {wanted}: it was cut", Bytes(size)));
        }
        let half_made = self.order.blank && self.note.exists() && matches!(content, Content::Foreign(_));
        if self.order.blank && (content == Content::Blank || half_made) {
            // What a crash leaves half made is known to be ours by this note.
            durable::write(&self.note, b"").map_err(|error| error.to_string())?;
            make(wanted, name)?;
            content = look().map_err(cannot_read)?.0;
            said.push(format!("made {} on {}", word(wanted), self.order.volume));
        }
        let known = match content {
            Content::Known(known) => known,
            Content::Blank => {
                return Err("it is blank, and is not known to be new: nothing is made on it".to_owned());
            }
            Content::Foreign(what) => {
                return Err(format!(
                    "it holds {what}, which is not ours to touch: look at {}",
                    name.display()
                ));
            }
        };
        if known.kind != wanted {
            return Err(format!("it holds {}, and {} is wanted", word(known.kind), word(wanted)));
        }
        if let Some(before) = self.order.uuid.as_ref().filter(|before| **before != known.uuid) {
            return Err(format!(
                "the filesystem on it is {}, and {before} was there before: bring that back, or restore a snapshot",
                known.uuid
            ));
        }
        let is_small = size.saturating_sub(known.size.0) > SLACK;
        said.extend(check(&known, name, is_small)?);
        let at = Path::new(&self.at);
        place(at)?;
        let mut small = None;
        // Of ext4 the kernel wants a right that containers do not have to grow it while it is mounted. One that cannot
        // grow is as good as it was, once it was looked at again.
        if is_small && wanted == Filesystem::Ext4 {
            small = grow("resize2fs", name).err();
            if small.is_some() {
                check(&known, name, true)?;
            }
        }
        rustix::mount::mount(name, at, word(wanted), MountFlags::empty(), None)
            .map_err(|error| format!("the kernel does not mount it: {error}"))?;
        durable::remove(&self.note).map_err(|error| error.to_string())?;
        // And xfs grows only while it is mounted.
        if is_small && wanted == Filesystem::Xfs {
            small = grow("xfs_growfs", at).err();
        }
        if is_small && small.is_none() {
            said.push(format!("grew the filesystem of {} to {size} bytes", self.order.volume));
        }
        said.push(format!("{} holds {} {}", self.order.volume, word(wanted), known.uuid));
        Ok((said, small))
    }

    /// Numbers of devices are given away again: behind them must be the file of this volume.
    fn is_the_volume(&self) -> Result<(), String> {
        if super::cloud::device_of(&self.order.volume) == Some(self.device) {
            return Ok(());
        }
        let Device { major, minor } = self.device;
        let at = format!("/sys/dev/block/{major}:{minor}/loop/backing_file");
        let file = fs::read_to_string(at).map_err(|_| "it has no device: attach it again".to_owned())?;
        let id = self.order.volume.as_str();
        let is_it = Path::new(file.trim_end()).components().any(|part| part.as_os_str() == id);
        if is_it { Ok(()) } else { Err("its device belongs to another volume by now".to_owned()) }
    }

    /// The device under its own name here, which is made where it is missing.
    fn name(&self) -> io::Result<PathBuf> {
        let path = Path::new(NAMES).join(self.order.label().as_str());
        let wanted = rustix::fs::makedev(self.device.major, self.device.minor);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.file_type().is_block_device() && meta.rdev() == wanted => return Ok(path),
            Ok(_) => fs::remove_file(&path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(NAMES)?;
            }
            Err(error) => return Err(error),
        }
        rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, wanted)?;
        Ok(path)
    }
}

/// Where it is mounted: an empty folder, so that nothing is hidden.
fn place(at: &Path) -> Result<(), String> {
    let said = |error: io::Error| format!("its folder cannot be made: {error}");
    match fs::symlink_metadata(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(at).map_err(said)
        }
        Err(error) => Err(said(error)),
        Ok(meta) if meta.is_dir() => match fs::read_dir(at).map_err(said)?.next() {
            None => Ok(()),
            Some(_) => Err("a folder that is not empty is in the way".to_owned()),
        },
        Ok(_) => Err("something else is in the way".to_owned()),
    }
}

fn word(filesystem: Filesystem) -> &'static str {
    match filesystem {
        Filesystem::Ext4 => "ext4",
        Filesystem::Xfs => "xfs",
    }
}

/// Makes a filesystem. Neither program is told to overwrite: what they know, they refuse as well.
fn make(filesystem: Filesystem, device: &Path) -> Result<(), String> {
    let program = format!("mkfs.{}", word(filesystem));
    let ran = run(&program, &["-q"], device)?;
    if ran.code == 0 { Ok(()) } else { Err(format!("{program} failed: {}", ran.said)) }
}

/// Checks a filesystem, and puts right what needs no question; `wholly`: also one that says it is clean. Answers what
/// is worth telling.
fn check(known: &FilesystemSeen, device: &Path, wholly: bool) -> Result<Option<String>, String> {
    let person = |program: &str, said: &str| {
        let by_hand = format!("`{program} {}` on the node, by hand", device.display());
        format!("its filesystem needs a person: {said}; run {by_hand}, or restore a snapshot")
    };
    match known.kind {
        Filesystem::Ext4 => {
            let ran = run("fsck.ext4", if wholly { &["-p", "-f"] } else { &["-p"] }, device)?;
            match ran.code {
                0 => Ok(None),
                // Put right without a question.
                1..=3 => Ok(Some(ran.said)),
                _ => Err(person("fsck.ext4", &ran.said)),
            }
        }
        Filesystem::Xfs => {
            let ran = run("xfs_repair", &["-n"], device)?;
            // A log that was not written out is replayed by the kernel; the check looks past it and finds nothing
            // but what the log would mend.
            let has_log = ran.said.contains("valuable metadata changes in a log");
            if ran.code == 0 || has_log { Ok(None) } else { Err(person("xfs_repair", &ran.said)) }
        }
    }
}

/// Makes a filesystem as large as its device.
fn grow(program: &str, on: &Path) -> Result<(), String> {
    let ran = run(program, &[], on)?;
    if ran.code == 0 { Ok(()) } else { Err(format!("{program} failed: {}", ran.said)) }
}

fn take_off(volume: &VolumeId, at: &str, device: Device) -> Result<(), Kept> {
    let failed = |error: io::Error| Kept::Failed(error.to_string());
    if !table::points(device).map_err(failed)?.iter().any(|point| point == at) {
        return Ok(());
    }
    // All that was written is on the device when this returns.
    match rustix::mount::unmount(at, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::BUSY) => {
            let nobody = || format!("something that is no process uses {volume}: another mount below {at}?");
            Err(Kept::Busy(user_of(Path::new(at)).unwrap_or_else(nobody)))
        }
        Err(error) => Err(failed(error.into())),
    }
}

pub(super) struct Ran {
    pub code: i32,
    pub said: String,
}

pub(super) fn run(program: &str, arguments: &[&str], device: &Path) -> Result<Ran, String> {
    let mut command = Command::new(program);
    command.args(arguments).arg(device).env_clear().envs(clean_environment());
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "there is no {program} on this node: use an image that has it (e2fsprogs, xfsprogs, util-linux)"
            )
        }
        _ => format!("{program} cannot be run: {error}"),
    })?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut said = lines.join("; ");
    if let Some((cut, _)) = said.char_indices().nth(SAID) {
        said.truncate(cut);
        said.push_str(" ...");
    }
    // One that was killed by a signal did not do its work.
    Ok(Ran { code: output.status.code().unwrap_or(128), said })
}
