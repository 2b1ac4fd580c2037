//! Folders that are shown in other views of the filesystem: a container that was given one uses it, whatever this view
//! says, and its files have other paths there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{numbers, stat};

/// One line of `/proc/<pid>/mountinfo`: which part of which filesystem is where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The filesystem, as `major:minor`.
    device: String,
    /// Which folder of the filesystem.
    part: PathBuf,
    /// Where it is shown.
    at: PathBuf,
}

fn read(text: &str) -> Vec<Mount> {
    let one = |line: &str| {
        let mut words = line.split(' ').skip(2);
        let (device, part, at) = (words.next()?, words.next()?, words.next()?);
        Some(Mount { device: device.to_owned(), part: plain(part), at: plain(at) })
    };
    text.lines().filter_map(one).collect()
}

/// A path as it is, where the kernel writes blanks and the like as `\040`.
fn plain(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out.into()
}

/// Which filesystem a folder of this view lies in, and as which part of it.
fn of(folder: &Path, mounts: &[Mount]) -> Option<(String, PathBuf)> {
    // The last of those at the same place is the one that is seen.
    let holds = mounts.iter().filter(|mount| folder.starts_with(&mount.at));
    let mount = holds.max_by_key(|mount| mount.at.components().count())?;
    let rest = folder.strip_prefix(&mount.at).ok()?;
    let part = if rest.as_os_str().is_empty() { mount.part.clone() } else { mount.part.join(rest) };
    Some((mount.device.clone(), part))
}

/// The first process that is shown `folder`, or anything below it, at another place in a view of its own, in words.
/// None where nothing is known of the views of others.
pub fn shown_to(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let view = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = view("self")?;
    let mounts = read(&fs::read_to_string("/proc/self/mountinfo").ok()?);
    let (device, part) = of(&folder, &mounts)?;
    let is_shown = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        let shown =
            |mount: &Mount| mount.device == device && mount.part.starts_with(&part) && mount.at != folder;
        read(&text).iter().any(shown)
    };
    let mut known: BTreeMap<PathBuf, bool> = BTreeMap::from([(own, false)]);
    numbers().into_iter().find_map(|pid| {
        let shown = *known.entry(view(&pid.to_string())?).or_insert_with(|| is_shown(pid));
        let name = shown.then(|| stat(pid).map(|stat| stat.name).unwrap_or_default())?;
        Some(format!("process {pid} ({name}) has it in its container"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_found_in_its_filesystem() {
        let mounts = read(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /srv rw - ext4 b rw\n\
             3 2 0:5 /x /srv/my\\040data rw - tmpfs t rw\n",
        );
        assert_eq!(mounts[2].at, Path::new("/srv/my data"));
        let check = |path: &str| of(Path::new(path), &mounts);
        let cases = [
            ("/var/a", "8:1", "/var/a"),
            ("/srv/a", "8:2", "/a"),
            ("/srv/my data/a", "0:5", "/x/a"),
            ("/srv/my data", "0:5", "/x"),
        ];
        for (path, device, part) in cases {
            assert_eq!(check(path), Some((device.to_owned(), PathBuf::from(part))), "{path}");
        }
    }
}
