//! Processors, memory, disks and filesystems, as the kernel shows them.

use std::collections::BTreeMap;
use std::fs;

use ideal_core::facts::{Disk, Memory, Mounted};

/// How many processors this machine has.
pub(super) fn cpus() -> u32 {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    counted(&online).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u32))
}

/// How many numbers a list of ranges has: `0-3,8`.
fn counted(ranges: &str) -> Option<u32> {
    let mut count = 0;
    for range in ranges.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        count += to.parse::<u32>().ok()?.checked_sub(from.parse().ok()?)? + 1;
    }
    Some(count)
}

/// The machine's memory.
pub(super) fn memory() -> Memory {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    };
    Memory { total: bytes("MemTotal"), available: bytes("MemAvailable"), swap: bytes("SwapTotal") }
}

/// Disks that are none of the kernel's own making.
pub(super) fn disks() -> BTreeMap<String, Disk> {
    let mut disks = BTreeMap::new();
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["loop", "ram", "zram", "dm-", "md", "sr", "fd"].iter().any(|own| name.starts_with(own)) {
            continue;
        }
        let read = |what: &str| fs::read_to_string(entry.path().join(what)).unwrap_or_default();
        let sectors: u64 = read("size").trim().parse().unwrap_or_default();
        disks.insert(name, Disk { size: sectors * 512, rotates: read("queue/rotational").trim() == "1" });
    }
    disks
}

/// Filesystems that hold data: on a device, or of the network.
pub(super) fn mounts() -> BTreeMap<String, Mounted> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut mounts = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ').map(unescaped);
        let (Some(device), Some(at), Some(filesystem)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let is_data =
            device.starts_with("/dev/") || device.contains(":/") || filesystem == "overlay" && at == "/";
        if !is_data || fs::metadata(&at).is_ok_and(|meta| !meta.is_dir()) {
            continue;
        }
        let Ok(stat) = rustix::fs::statvfs(at.as_str()) else { continue };
        let (size, free) = (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize);
        mounts.insert(at, Mounted { device, filesystem, size, free });
    }
    mounts
}

/// A word of the table of mounts: blanks are written as octal there.
fn unescaped(word: &str) -> String {
    word.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted() {
        assert_eq!(counted("0-3,8\n"), Some(5));
        assert_eq!(counted("0\n"), Some(1));
        assert_eq!(counted("3-1"), None);
        assert_eq!(counted(""), None);
    }

    #[test]
    fn this_machine_has_something() {
        assert!(cpus() > 0);
        assert!(memory().total > memory().available);
    }
}
