//! Volumes of `docker`: image files behind loop devices of the host, found again by the file behind them.
//!
//! A device is given to a machine by its numbers, in the record of the attachment in the machine's home; the
//! agent makes a name for it. The record is written last and removed first, so that a device is mounted only while
//! it is known to be the right one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use ideal_core::id::{MachineId, VolumeId};
use ideal_core::time::{Bytes, Span, Time};
use ideal_host::Home;
use ideal_host::durable;
use ideal_host::home::{Attached, Device, Still};
use rustix::fs::{CWD, FileType, Mode};

use super::image;
use crate::ledger::{Place, Volumes};
use crate::{ProviderError, crash_point};

/// How long a device may take to be free after its last user has gone.
const FREE_WITHIN: Duration = Duration::from_secs(2);
/// How often a free device is looked for: others look too.
const LOOKS: usize = 20;

/// Volumes as loop devices.
#[derive(Debug)]
pub(super) struct Loops {
    /// Where files are that are being removed.
    pub trash: PathBuf,
}

impl Volumes for Loops {
    fn place(&self, data: &Path, on: Option<(&MachineId, &Home)>, id: &VolumeId) -> io::Result<Place> {
        if !data.is_file() {
            return Ok(Place::Lost);
        }
        Ok(match on {
            Some((machine, home)) if home.attachment(id).exists() => Place::On(machine.clone()),
            _ => Place::Here,
        })
    }
    fn blank(&self, to: &Path, size: Bytes) -> io::Result<()> {
        image::blank(to, size.0)
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        image::copy(from, to)
    }
    fn fit(&self, at: &Path, size: Bytes) -> io::Result<()> {
        image::fit(at, size.0)?;
        match of(at)? {
            Some(name) => losetup(&["-c", &format!("/dev/{name}")]).map(|_| ()),
            None => Ok(()),
        }
    }
    fn can_be_held(&self) -> bool {
        true
    }
    fn readable(&self, data: &Path, _: Option<&Home>, _: &VolumeId) -> PathBuf {
        data.to_owned()
    }
    fn checksum(&self, at: &Path) -> io::Result<String> {
        image::checksum(at)
    }

    fn attach(&self, data: &Path, home: &Home, attached: Attached) -> Result<(), ProviderError> {
        durable::private_dir(&home.attached())?;
        let device = set_up(data)?;
        crash_point("docker.attach.set_up");
        let attached = Attached { device: Some(device), ..attached };
        Ok(durable::write_json(&home.attachment(&attached.volume), &attached)?)
    }

    fn detach(&self, data: &Path, home: &Home, id: &VolumeId) -> Result<(), ProviderError> {
        let record = home.attachment(id);
        let attached: Option<Attached> = durable::read_json(&record)?;
        // First: from now on no agent mounts it.
        durable::remove(&record)?;
        crash_point("docker.detach.unsaid");
        let why = match freed(data, home, id) {
            Ok(None) => return Ok(()),
            Ok(Some(why)) => why,
            Err(error) => format!("the device of {id} cannot be freed: {error}"),
        };
        if let Some(attached) = attached {
            durable::write_json(&record, &attached)?;
        }
        Err(ProviderError::Retry { why, after: Some(Span::secs(1)) })
    }

    fn with(&self, home: &Home) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(home.attached()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        Ok(names)
    }

    fn again(&self, home: &Home, data: &dyn Fn(&VolumeId) -> io::Result<PathBuf>) -> io::Result<()> {
        for name in self.with(home)? {
            let id = VolumeId::new(name);
            let record = home.attachment(&id);
            if let Some(attached) = durable::read_json::<Attached>(&record)? {
                let device = set_up(&data(&id)?)?;
                durable::write_json(&record, &Attached { device: Some(device), ..attached })?;
            }
        }
        Ok(())
    }

    fn let_go(
        &self,
        home: &Home,
        before: Time,
        data: &dyn Fn(&VolumeId) -> io::Result<PathBuf>,
    ) -> io::Result<()> {
        for name in self.with(home)? {
            let id = VolumeId::new(name);
            let held = durable::read_json::<Still>(&home.held(&id))?;
            if let Some(held) = held.filter(|held| held.at.is_some() && held.until < before) {
                let_go(&data(&id)?, home)?;
                // What is to run afterwards is still the agent's to do.
                durable::write_json(&home.held(&id), &Still { at: None, ..held })?;
            }
        }
        Ok(())
    }

    fn sweep(&self, detached: &[PathBuf]) -> io::Result<()> {
        for (name, file) in all()? {
            if detached.contains(&file) || file.starts_with(&self.trash) {
                losetup(&["-d", &format!("/dev/{name}")])?;
            }
        }
        Ok(())
    }
}

/// Whether loop devices can be had on this host by whoever runs this; an error is why not.
pub fn loops_work() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other("only root sets them up"));
    }
    losetup(&["-f"]).map(|_| ())
}

/// Every loop device in use: its name and the file behind it.
fn all() -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if !name.starts_with("loop") {
            continue;
        }
        match fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")) {
            Ok(file) => found.push((name, PathBuf::from(file.trim_end_matches('\n')))),
            // Not in use, or just freed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn of(data: &Path) -> io::Result<Option<String>> {
    Ok(all()?.into_iter().find(|(_, file)| file == data).map(|(name, _)| name))
}

fn numbers(name: &str) -> io::Result<Device> {
    let text = fs::read_to_string(format!("/sys/block/{name}/dev"))?;
    let numbers = text.trim().split_once(':');
    let numbers = numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let (major, minor) =
        numbers.ok_or_else(|| io::Error::other(format!("the numbers of {name} cannot be read: {text}")))?;
    Ok(Device { major, minor })
}

/// The device of a file: the one that it has, or a free one.
fn set_up(data: &Path) -> io::Result<Device> {
    let mut said = String::new();
    for _ in 0..LOOKS {
        if let Some(name) = of(data)? {
            return numbers(&name);
        }
        let free = losetup(&["-f"])?;
        let minor = free.strip_prefix("/dev/loop").and_then(|minor| minor.parse().ok());
        let Some(minor) = minor else {
            return Err(io::Error::other(format!("there is no free loop device: {free}")));
        };
        // Where nobody makes names for new devices.
        if !Path::new(&free).exists() {
            let device = rustix::fs::makedev(7, minor);
            rustix::fs::mknodat(CWD, &*free, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device)?;
        }
        // Somebody else may have been faster.
        match losetup(&[&free, &data.to_string_lossy()]) {
            Ok(_) if of(data)?.is_some() => {}
            Ok(_) => {
                // It could never be found again.
                losetup(&["-d", &free])?;
                let why = "the kernel knows the file by another name; is its folder mounted over?";
                return Err(io::Error::other(format!("{}: {why}", data.display())));
            }
            Err(error) => said = error.to_string(),
        }
    }
    Err(io::Error::other(format!("no loop device could be set up for {}: {said}", data.display())))
}

/// Frees the device of a volume; else why it is not free.
fn freed(data: &Path, home: &Home, id: &VolumeId) -> io::Result<Option<String>> {
    if let Some(process) = mounted_by(data)? {
        return Ok(Some(format!("{id} is still mounted: process {process} sees it")));
    }
    // A filesystem that was held still when its machine died is mounted nowhere and lives on in the kernel.
    let done = free(data)? || (home.held(id).exists() && let_go(data, home)? && free(data)?);
    if done {
        durable::remove(&home.held(id))?;
    }
    Ok((!done).then(|| format!("the device of {id} is still open")))
}

/// Lets a filesystem go on that is held still: mounted once more, here, it can be told so. False: it has no device.
fn let_go(data: &Path, home: &Home) -> io::Result<bool> {
    let Some(name) = of(data)? else { return Ok(false) };
    let at = home.still().join("mounted");
    fs::create_dir_all(&at)?;
    let (device, place) = (format!("/dev/{name}"), at.display().to_string());
    run("mount", &[&device, &place])?;
    let thawed = run("fsfreeze", &["-u", &place]);
    run("umount", &[&place])?;
    fs::remove_dir(&at)?;
    match thawed {
        // It was not held, or not any more.
        Err(error) if !error.to_string().contains("Invalid argument") => Err(error),
        _ => Ok(true),
    }
}

/// Frees the device of a file. False: it is still open somewhere.
fn free(data: &Path) -> io::Result<bool> {
    let begun = Instant::now();
    while let Some(name) = of(data)? {
        if begun.elapsed() > FREE_WITHIN {
            return Ok(false);
        }
        losetup(&["-d", &format!("/dev/{name}")])?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// A process that sees the device of a file mounted, in whichever mount namespace.
fn mounted_by(data: &Path) -> io::Result<Option<u32>> {
    let Some(name) = of(data)? else { return Ok(None) };
    let Device { major, minor } = numbers(&name)?;
    let wanted = format!("{major}:{minor}");
    let mut looked = std::collections::BTreeSet::new();
    for pid in ideal_host::process::numbers() {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/mnt")).map(|meta| meta.ino());
        if !namespace.is_ok_and(|namespace| looked.insert(namespace)) {
            continue;
        }
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        if mounts.lines().any(|line| line.split(' ').nth(2) == Some(&wanted)) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

fn losetup(arguments: &[&str]) -> io::Result<String> {
    run("losetup", arguments)
}

fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), text(&output.stderr))))
}
