//! A filesystem that is mounted: the entry in /etc/fstab, the mount itself, and what was in the directory before.
//!
//! What was there is carried over in steps: copied to the filesystem while that is mounted elsewhere, then kept under
//! another name, which is noted before, then covered. A crash between two of them loses nothing: until the copy is
//! complete the original is in its place, and for as long as it is, a copy from before the crash is made anew, for
//! nobody knows what was written since. The entry comes last: a system that starts in between mounts nothing.

use std::time::Duration;

use ideal_core::resource::Presence;
use ideal_core::resource::mount::{self, Carried, MountChange, MountSeen, MountSpec, Mounted};
use ideal_host::crash_point;
use rustix::fs::{FileType, Gid, Mode, Uid};
use serde::{Deserialize, Serialize};

use super::{About, Keep, bits_of};
use crate::exec::Program;
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;
use crate::root::Attributes;

const FSTAB: &str = "/etc/fstab";
/// Neither table is longer than this.
const LONGEST: u64 = 16 << 20;
/// How long a mount may take: a journal is replayed, a server answers.
const LIMIT: Duration = Duration::from_secs(300);
/// How long a copy may take.
const COPYING: Duration = Duration::from_secs(24 * 3600);
/// What a filesystem has of its own when it is empty.
const OWN: &str = "lost+found";

/// The mount at a directory, as the kernel tells it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    device: (u32, u32),
    read_only: bool,
    filesystem: String,
    source: String,
}

/// The topmost mount at a directory.
fn topmost(table: &str, at: &str) -> Option<Line> {
    table.lines().rev().filter_map(read).find(|(of, _)| of == at).map(|(_, line)| line)
}

/// `36 35 98:0 /root /at rw,noatime shared:1 - ext4 /dev/root rw,errors=continue`
fn read(line: &str) -> Option<(String, Line)> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let after: Vec<&str> = after.split(' ').collect();
    let (major, minor) = before.get(2)?.split_once(':')?;
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let line = Line {
        device: (major.parse().ok()?, minor.parse().ok()?),
        read_only: is_read_only(before.get(5)?) || is_read_only(after.get(2)?),
        filesystem: (*after.first()?).to_owned(),
        source: mount::unescaped(after.get(1)?),
    };
    Some((mount::unescaped(before.get(4)?), line))
}

/// Whether what is mounted is what a spec names. What cannot be told apart is taken to be it.
fn is_it(spec: &MountSpec, line: &Line, eyes: &Eyes<'_>) -> bool {
    let named = |prefix: &str, folder: &str| {
        spec.device.strip_prefix(prefix).map(|name| format!("/dev/disk/{folder}/{name}"))
    };
    let path = named("UUID=", "by-uuid").or_else(|| named("LABEL=", "by-label"));
    let by_name = path.is_some();
    let path = path.unwrap_or_else(|| spec.device.clone());
    if !path.starts_with('/') {
        // A server's export, or a filesystem without device.
        return line.source == spec.device || line.filesystem == spec.filesystem && line.source == "none";
    }
    let host = eyes.host_path(&path);
    let Ok(stat) = rustix::fs::stat(&host) else { return by_name && line.filesystem == spec.filesystem };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => {
            (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == line.device
                || line.source == path
        }
        // An image: the kernel names the loop device that stands for it.
        FileType::RegularFile => {
            let name = line.source.rsplit('/').next().unwrap_or_default();
            let of =
                std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).unwrap_or_default();
            host.canonicalize().is_ok_and(|host| host.as_os_str() == of.trim_end())
        }
        // A directory that is shown in another place.
        _ => {
            let there = rustix::fs::stat(eyes.host_path(&spec.at));
            there.is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino))
        }
    }
}

fn note(spec: &MountSpec) -> String {
    format!("mount {}", spec.at)
}

/// What is noted while a directory's content is carried over: to which device, and where the original goes once the
/// copy is whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    device: String,
    original: Option<String>,
}

impl Note {
    /// The one of this mount, if it is of the device that is wanted.
    fn of(spec: &MountSpec, eyes: &Eyes<'_>) -> Option<Note> {
        let ledger = eyes.ledger();
        let text = ledger.notes.get(&note(spec))?;
        serde_json::from_str(text).ok().filter(|note: &Note| note.device == spec.device)
    }
    fn write(&self, spec: &MountSpec, hands: &Hands<'_>) -> Result<(), Trouble> {
        let text = serde_json::to_string(self).map_err(|error| Trouble::failed(error.to_string()))?;
        Ok(hands.note(|ledger| {
            ledger.notes.insert(note(spec), text);
        })?)
    }
}

/// Where a path is as the kernel says it, which knows no links; none where a folder above it is missing.
fn real(eyes: &Eyes<'_>, at: &str) -> Result<Option<String>, Trouble> {
    let Some(sight) = eyes.sight(at)? else { return Ok(None) };
    Ok(Some(sight.path()?.display().to_string()))
}

impl Keep for MountSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<MountSeen, Trouble> {
        let fstab = eyes.whole_text(FSTAB, LONGEST)?.unwrap_or_default();
        let entry =
            fstab.lines().filter_map(mount::parse).find(|(at, _)| *at == self.at).map(|(_, entry)| entry);
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        let mounted = real(eyes, &self.at)?.and_then(|at| topmost(&table, &at)).map(|line| Mounted {
            device_right: self.state == Presence::Absent || is_it(self, &line, eyes),
            device: line.source.clone(),
            filesystem: line.filesystem.clone(),
            read_only: line.read_only,
        });
        let mut occupied = false;
        if mounted.is_none()
            && let Some(sight) = eyes.sight(&self.at)?
            && let Some(stat) = sight.stat()?
        {
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Err(Trouble::failed("something that is no directory is in its place"));
            }
            occupied = !sight.is_empty()?;
        }
        let carried = match Note::of(self, eyes).map(|note| note.original) {
            // What was noted of another device says nothing of this one; only that something is to be forgotten.
            None if self.state == Presence::Absent && eyes.ledger().notes.contains_key(&note(self)) => {
                Carried::Half
            }
            None => Carried::Nothing,
            Some(Some(original)) if eyes.stat(&original)?.is_some() => Carried::Whole,
            Some(_) => Carried::Half,
        };
        Ok(MountSeen { entry, mounted, occupied, carried })
    }

    async fn apply(
        &self,
        change: &MountChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        if self.state == Presence::Absent {
            if change.entry {
                self.write_entry(hands).await?;
            }
            if change.mount {
                self.must(hands, about, &["umount", "--", &self.at], LIMIT).await?;
            }
            self.forget(hands)?;
            return Ok(None);
        }
        let mut said = None;
        if change.carry {
            said = self.carry(about, hands).await?;
        }
        let options = self.entry().options;
        if change.mount {
            let spot = hands.spot(&self.at)?;
            if spot.stat()?.is_none() {
                spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o755), owner: None, group: None })?;
            }
            let words = ["mount", "-t", &self.filesystem, "-o", &options, "--", &self.device, &self.at];
            self.must(hands, about, &words, LIMIT).await?;
        }
        self.forget(hands)?;
        let before = if change.entry { self.write_entry(hands).await? } else { String::new() };
        if change.remount {
            let options = format!("remount,{options}");
            let remounted = self.must(hands, about, &["mount", "-o", &options, "--", &self.at], LIMIT).await;
            if remounted.is_err() && change.entry {
                // The program reads the entry, so it was written first; options that do not work do not stay.
                put_fstab(hands, &before).await?;
            }
            remounted?;
        }
        Ok(said)
    }
}

async fn put_fstab(hands: &Hands<'_>, text: &str) -> Result<(), Trouble> {
    let attributes =
        Attributes { mode: Mode::from_raw_mode(0o644), owner: Some(Uid::ROOT), group: Some(Gid::ROOT) };
    let spot = hands.spot(FSTAB)?;
    spot.put(&mut text.as_bytes(), attributes, async |_| Ok(())).await?;
    Ok(spot.sync()?)
}

trait Steps {
    async fn must(
        &self,
        hands: &Hands<'_>,
        about: About<'_>,
        argv: &[&str],
        limit: Duration,
    ) -> Result<(), Trouble>;
    async fn write_entry(&self, hands: &Hands<'_>) -> Result<String, Trouble>;
    fn forget(&self, hands: &Hands<'_>) -> Result<(), Trouble>;
    async fn carry(&self, about: About<'_>, hands: &Hands<'_>) -> Result<Option<String>, Trouble>;
    async fn copy(&self, elsewhere: &str, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble>;
}

impl Steps for MountSpec {
    async fn must(
        &self,
        hands: &Hands<'_>,
        about: About<'_>,
        argv: &[&str],
        limit: Duration,
    ) -> Result<(), Trouble> {
        let outcome = hands.run(about.label, &Program::new(argv.iter().copied(), limit)).await;
        crash_point("mount-program");
        if outcome.agreed() { Ok(()) } else { Err(Trouble::program(&outcome)) }
    }

    /// Writes the entry, or removes it; the text of before.
    async fn write_entry(&self, hands: &Hands<'_>) -> Result<String, Trouble> {
        let before = hands.whole_text(FSTAB, LONGEST)?.unwrap_or_default();
        put_fstab(hands, &self.edit(&before)).await?;
        Ok(before)
    }

    /// A copy is over, or given up: the next one begins anew.
    fn forget(&self, hands: &Hands<'_>) -> Result<(), Trouble> {
        Ok(hands.note(|ledger| {
            ledger.notes.remove(&note(self));
        })?)
    }

    /// Brings what is in the directory to the filesystem, and keeps the original under another name.
    async fn carry(&self, about: About<'_>, hands: &Hands<'_>) -> Result<Option<String>, Trouble> {
        let Some(sight) = hands.sight(&self.at)? else { return Ok(None) };
        let Some(stat) = sight.stat()? else { return Ok(None) };
        let elsewhere = format!("/run/ideal/carry-{}", &blake3::hash(self.at.as_bytes()).to_hex()[..16]);
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        let spot = hands.spot(&elsewhere)?;
        if real(hands, &elsewhere)?.is_some_and(|at| topmost(&table, &at).is_some()) {
            // A crash left it mounted there.
            self.must(hands, about, &["umount", "--", &elsewhere], LIMIT).await?;
        }
        let within = format!("{}/", sight.path()?.display());
        if let Some((other, _)) = table.lines().filter_map(read).find(|(at, _)| at.starts_with(&within)) {
            return Err(Trouble::failed(format!("{other} is mounted in the directory; unmount that first")));
        }
        if spot.stat()?.is_none() {
            spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o700), owner: None, group: None })?;
        }
        let options = self.entry().options;
        let words = ["mount", "-t", &self.filesystem, "-o", &options, "--", &self.device, &elsewhere];
        self.must(hands, about, &words, LIMIT).await?;
        let done = self.copy(&elsewhere, about, hands).await;
        self.must(hands, about, &["umount", "--", &elsewhere], LIMIT).await?;
        spot.remove_folder()?;
        done?;
        let free = |number: usize| match number {
            0 => format!("{}.ideal-old", self.at),
            number => format!("{}.ideal-old.{number}", self.at),
        };
        let kept = (0..1000).map(free).find(|path| hands.stat(path).is_ok_and(|stat| stat.is_none()));
        let kept =
            kept.ok_or_else(|| Trouble::failed("there are a thousand old copies beside it already"))?;
        // Before it goes there: who finds it there knows that the copy is whole.
        Note { device: self.device.clone(), original: Some(kept.clone()) }.write(self, hands)?;
        crash_point("mount-copied");
        hands.rename(&self.at, &kept)?;
        crash_point("mount-original-kept");
        hands.spot(&self.at)?.make_folder(Attributes {
            mode: Mode::from_raw_mode(bits_of(&stat)),
            owner: Some(Uid::from_raw(stat.st_uid)),
            group: Some(Gid::from_raw(stat.st_gid)),
        })?;
        Ok(Some(format!("what was in {} was copied; the original is kept as {kept}", self.at)))
    }

    async fn copy(&self, elsewhere: &str, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble> {
        let begun = Note::of(self, hands).is_some();
        let sight = hands
            .sight(elsewhere)?
            .ok_or_else(|| Trouble::failed("the filesystem is not where it was put"))?;
        let there: Vec<_> = sight.names()?.into_iter().filter(|name| name != OWN).collect();
        if !there.is_empty() && !begun {
            return Err(Trouble::failed(format!(
                "both {} and {} hold data; empty one of them, or move {} away",
                self.at, self.device, self.at
            )));
        }
        Note { device: self.device.clone(), original: None }.write(self, hands)?;
        // It was empty before, so what is there is of a copy that was broken off.
        for name in there {
            let spot = hands.spot(&format!("{elsewhere}/{}", name.to_string_lossy()))?;
            match spot.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Some(FileType::Directory) => spot.remove_tree()?,
                _ => spot.remove()?,
            }
        }
        crash_point("mount-copying");
        let from = format!("{}/.", hands.host_path(&self.at).display());
        let to = format!("{}/", hands.host_path(elsewhere).display());
        self.must(hands, about, &["cp", "-a", "-x", "--", &from, &to], COPYING).await?;
        self.must(hands, about, &["sync", "-f", &to], LIMIT).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table() {
        let table = "36 35 98:0 /mnt1 /srv/a\\040b rw,noatime shared:1 - ext3 /dev/root rw,errors=continue\n\
                     37 35 0:44 / /srv/a\\040b ro,relatime - tmpfs none rw,size=4k\nbroken\n";
        let top = topmost(table, "/srv/a b").unwrap();
        assert_eq!((top.device, top.read_only, &*top.filesystem), ((0, 44), true, "tmpfs"));
        assert_eq!(topmost(table, "/srv"), None);
        let first = read(table.lines().next().unwrap()).unwrap().1;
        assert_eq!((first.device, first.read_only, &*first.source), ((98, 0), false, "/dev/root"));
    }
}
