//! Processes as the kernel shows them: known by number *and* start time, found by the marks in their environment.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

mod elsewhere;

pub use elsewhere::shown_to;

/// `<cloud uuid>/<index>/<generation>`: for people and their tools.
pub const NODE: &str = "IDEAL_NODE";
/// The machine's id and home: together they tell machines apart that claim to be the same node.
pub const MACHINE: &str = "IDEAL_MACHINE";
/// See [`MACHINE`].
pub const HOME: &str = "IDEAL_HOME";
/// The replica that a process belongs to: `pub[0]`.
pub const SERVICE: &str = "IDEAL_SERVICE";
/// Which start of the replica.
pub const START: &str = "IDEAL_START";
/// The hook or command that a process belongs to.
pub const RUN: &str = "IDEAL_RUN";

/// One process for as long as the host is up: numbers are used again, a number with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since the host did (field 22 of its `stat`).
    pub start: u64,
}

/// What the kernel says of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its state letter; `Z` and `X` are dead.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it started.
    pub start: u64,
    /// Its short name.
    pub name: String,
}

impl Stat {
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads `/proc/<pid>/stat`; none when there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold spaces and parentheses itself.
    let (head, rest) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        name,
    })
}

impl ProcessId {
    /// The process with this number now, unless it is dead.
    pub fn of(pid: u32) -> Option<ProcessId> {
        let seen = stat(pid)?;
        (!seen.is_dead()).then_some(ProcessId { pid, start: seen.start })
    }
    /// This process.
    pub fn own() -> Option<ProcessId> {
        ProcessId::of(std::process::id())
    }
    /// Whether it lives. One that waits to be reaped does not.
    pub fn is_alive(self) -> bool {
        ProcessId::of(self.pid) == Some(self)
    }
    /// The number as system calls want it.
    pub fn raw(self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
    /// Sends a signal if it still is the same process; gone is as good.
    ///
    /// The signal goes through a descriptor taken before the start time is compared, so that it cannot reach
    /// another process that was given the number meanwhile.
    pub fn signal(self, signal: Signal) -> io::Result<()> {
        let Some(pid) = self.raw() else { return Ok(()) };
        let fd = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !self.is_alive() {
            return Ok(());
        }
        match rustix::process::pidfd_send_signal(&fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The marks of one process.
pub type Marks = BTreeMap<String, String>;

/// The marks in the environment that a process was started with. Empty when it cannot be read.
pub fn marks(pid: u32) -> Marks {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let pair = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        entry.starts_with(b"IDEAL_").then(|| (text(&entry[..at]), text(&entry[at + 1..])))
    };
    environment.split(|byte| *byte == 0).filter_map(pair).collect()
}

/// Every process number there is now.
pub fn numbers() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A living process with marks.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Which.
    pub id: ProcessId,
    /// Its parent's number.
    pub parent: u32,
    /// Its group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// Its short name.
    pub name: String,
    /// Its marks.
    pub marks: Marks,
}

impl Marked {
    /// The value of one mark.
    pub fn mark(&self, name: &str) -> Option<&str> {
        self.marks.get(name).map(String::as_str)
    }
}

/// Every living process whose marks please, never this one.
pub fn find(pleases: impl Fn(&Marks) -> bool) -> Vec<Marked> {
    let own = std::process::id();
    let look = |pid: u32| {
        let marks = marks(pid);
        if pid == own || marks.is_empty() || !pleases(&marks) {
            return None;
        }
        // Read after the marks: if the number changed hands between, its marks are read again by the caller's
        // next round, and the signal goes by number and start time.
        let stat = stat(pid).filter(|stat| !stat.is_dead())?;
        let id = ProcessId { pid, start: stat.start };
        Some(Marked {
            id,
            parent: stat.parent,
            group: stat.group,
            session: stat.session,
            name: stat.name,
            marks,
        })
    };
    numbers().into_iter().filter_map(look).collect()
}

/// Kills every process whose marks please, again and again until a look finds none: a process that forks while
/// it is looked for has a child that carries the same marks. Answers what is left after `rounds` looks.
pub fn kill_all(pleases: impl Fn(&Marks) -> bool, rounds: usize) -> Vec<Marked> {
    for round in 0..rounds {
        let found = find(&pleases);
        if found.is_empty() {
            return found;
        }
        for process in &found {
            let _ = process.id.signal(Signal::KILL);
        }
        if round > 0 {
            // Killed processes need a moment to let go; a look costs more than this does.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
    find(pleases)
}

/// The first process that uses anything below `folder`, in words; never this one. Processes of other users cannot
/// be looked into, and cannot have come in either when the folder is private.
pub fn user_of(folder: &Path) -> Option<String> {
    if let Some(container) = shown_to(folder) {
        return Some(container);
    }
    let folder = folder.canonicalize().ok()?;
    let own = std::process::id();
    numbers().into_iter().filter(|pid| *pid != own).find_map(|pid| {
        let how = how_used(pid, &folder)?;
        let name = stat(pid).map(|stat| stat.name).unwrap_or_default();
        Some(format!("process {pid} ({name}) {how}"))
    })
}

fn how_used(pid: u32, folder: &Path) -> Option<&'static str> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let leads_in = |link: &Path| fs::read_link(link).is_ok_and(|to| to.starts_with(folder));
    for (link, how) in
        [("cwd", "works in it"), ("root", "has its root in it"), ("exe", "is a program from it")]
    {
        if leads_in(&proc.join(link)) {
            return Some(how);
        }
    }
    if let Ok(open) = fs::read_dir(proc.join("fd"))
        && open.flatten().any(|entry| leads_in(&entry.path()))
    {
        return Some("has a file of it open");
    }
    let maps = fs::read_to_string(proc.join("maps")).unwrap_or_default();
    let mut mapped = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    mapped.any(|path| Path::new(path).starts_with(folder)).then_some("has a file of it in memory")
}

/// Tells one start of the host from another: process numbers and start times mean nothing beyond it.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = "7 (a) b (c)) S 1 7 6 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let seen = parse_stat(text).unwrap();
        assert_eq!((seen.state, seen.parent, seen.session, seen.start), ('S', 1, 6, 4242));
        assert_eq!(seen.name, "a) b (c)");
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start: own.start + 1, ..own }.is_alive());
    }
}
