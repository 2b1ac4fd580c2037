//! Control groups of the kernel, of either version: limits for the processes of one replica, and a sure way to know all
//! of them. The agent makes them; the provider of its machine removes what is left with the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ideal_core::time::Bytes;
use rustix::fs::Access;
use rustix::process::Signal;

use crate::process::ProcessId;

/// Where the kernel shows them.
const ROOT: &str = "/sys/fs/cgroup";
/// Below which all of ours are.
const OURS: &str = "ideal";
/// How many looks at a group whose processes are killed: each that forks meanwhile needs another.
const LOOKS: usize = 200;

/// What can be limited. Each is a folder of its own in the first version.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// What a group may use. None: as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of memory, swap included.
    pub memory: Option<Bytes>,
    /// Thousandths of a processor: a share when all are busy.
    pub cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

impl Limits {
    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
    fn asks(&self, controller: &str) -> bool {
        match controller {
            "memory" => self.memory.is_some(),
            "cpu" => self.cpus.is_some(),
            _ => self.pids.is_some(),
        }
    }
}

/// Which kind of control groups this host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One tree for each controller.
    Split,
    /// One tree.
    Whole,
}

fn kind() -> Kind {
    if Path::new(ROOT).join("cgroup.controllers").exists() { Kind::Whole } else { Kind::Split }
}

/// The roots of the trees that a limit needs, each with its controller.
fn trees(limits: &Limits) -> Vec<(&'static str, PathBuf)> {
    let root = Path::new(ROOT);
    let wanted = CONTROLLERS.into_iter().filter(|controller| limits.asks(controller));
    match kind() {
        Kind::Split => wanted.map(|controller| (controller, root.join(controller))).collect(),
        Kind::Whole => wanted.map(|controller| (controller, root.to_owned())).collect(),
    }
}

/// Why these limits cannot be set here; none: they can.
pub fn lacks(limits: &Limits) -> Option<String> {
    let refused = |(controller, tree): &(&str, PathBuf)| {
        let there = match kind() {
            Kind::Split => tree.exists(),
            Kind::Whole => fs::read_to_string(tree.join("cgroup.controllers"))
                .is_ok_and(|text| text.split_whitespace().any(|word| word == *controller)),
        };
        if !there {
            return Some(format!("the kernel has no control group for {controller} at {}", tree.display()));
        }
        let writable = rustix::fs::access(tree, Access::WRITE_OK).is_ok();
        (!writable).then(|| format!("{} cannot be written to, which takes root", tree.display()))
    };
    trees(limits).iter().find_map(refused)
}

/// The control groups of one start of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In each tree: one or more in the first version, one in the second.
    folders: Vec<PathBuf>,
}

impl Group {
    /// Makes the groups of one start of a replica, which must be limited in something.
    pub fn make(machine: &str, name: &str, limits: &Limits) -> io::Result<Group> {
        let said = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        let mut folders = Vec::new();
        for (controller, tree) in trees(limits) {
            let (ours, machines) = (tree.join(OURS), tree.join(OURS).join(machine));
            let folder = machines.join(name);
            fs::create_dir_all(&machines).map_err(|error| said(&machines, error))?;
            if kind() == Kind::Whole {
                for above in [&tree, &ours, &machines] {
                    let control = above.join("cgroup.subtree_control");
                    fs::write(&control, format!("+{controller}")).map_err(|error| said(&control, error))?;
                }
            }
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(said(&folder, error));
                }
                _ => {}
            }
            for (file, value) in settings(kind(), controller, limits) {
                let at = folder.join(file);
                // A kernel that does not count swap has no limit of it.
                let may_lack = file.contains("memsw") || file.contains("swap");
                if let Err(error) =
                    fs::write(&at, &value).or_else(|error| if may_lack { Ok(()) } else { Err(error) })
                {
                    return Err(said(&at, error));
                }
            }
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Ok(Group { folders })
    }

    /// The groups of ours that a process is in; none: it is in none.
    pub fn of(process: ProcessId) -> Option<Group> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
        let folder = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let ours = path.starts_with(&format!("{OURS}/"));
            let tree = controllers.split(',').find(|one| CONTROLLERS.contains(one));
            match (ours, controllers.is_empty()) {
                (false, _) => None,
                (true, true) => Some(Path::new(ROOT).join(path)),
                (true, false) => Some(Path::new(ROOT).join(tree?).join(path)),
            }
        };
        let folders: Vec<PathBuf> = text.lines().filter_map(folder).collect();
        (!folders.is_empty()).then_some(Group { folders })
    }

    /// The files into which a process writes `0` to enter.
    pub fn doors(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// How much memory its processes may use, when the kernel has killed one of them for using more.
    pub fn out_of_memory(&self) -> Option<Bytes> {
        self.folders.iter().find_map(|folder| {
            let read =
                |files: [&str; 2]| files.iter().find_map(|file| fs::read_to_string(folder.join(file)).ok());
            let events = read(["memory.events", "memory.oom_control"])?;
            let killed =
                events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())?;
            let limit = read(["memory.max", "memory.limit_in_bytes"])?.trim().parse().ok()?;
            (killed > 0).then_some(Bytes(limit))
        })
    }

    /// Kills all that is in it and removes it. Answers whether it is gone.
    pub fn end(&self) -> bool {
        for _ in 0..LOOKS {
            let mut left = false;
            for folder in &self.folders {
                for pid in members(folder) {
                    left = true;
                    _ = ProcessId::of(pid).map(|process| process.signal(Signal::KILL));
                }
            }
            if !left && self.folders.iter().all(|folder| is_gone(fs::remove_dir(folder))) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        false
    }
}

fn is_gone(removed: io::Result<()>) -> bool {
    removed.is_ok() || removed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn members(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Removes the groups of a machine in which nothing runs. With `over` also those in which something does: the machine
/// has ended, and with it all that ran there.
pub fn sweep(machine: &str, over: bool) {
    let all = Limits { memory: Some(Bytes(0)), cpus: Some(0), pids: Some(0) };
    for (_, tree) in trees(&all) {
        let machines = tree.join(OURS).join(machine);
        let entries = fs::read_dir(&machines).into_iter().flatten().flatten();
        // A group is a folder; beside them lie the kernel's own files.
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if over {
                Group { folders: vec![entry.path()] }.end();
            } else {
                // The kernel keeps one that is not empty.
                _ = fs::remove_dir(entry.path());
            }
        }
        if over {
            _ = fs::remove_dir(&machines);
            _ = fs::remove_dir(tree.join(OURS));
        }
    }
}

/// What is written into the files of a group, in this order.
fn settings(kind: Kind, controller: &str, limits: &Limits) -> Vec<(&'static str, String)> {
    let shares = |thousandths: u64| (thousandths * 1024 / 1000).clamp(2, 262_144);
    match (controller, kind) {
        ("memory", Kind::Split) => {
            let bytes = limits.memory.map(|memory| memory.0.to_string()).unwrap_or_default();
            vec![("memory.limit_in_bytes", bytes.clone()), ("memory.memsw.limit_in_bytes", bytes)]
        }
        ("memory", Kind::Whole) => {
            let bytes = limits.memory.map(|memory| memory.0.to_string()).unwrap_or_default();
            vec![("memory.max", bytes), ("memory.swap.max", "0".to_owned())]
        }
        ("cpu", Kind::Split) => {
            vec![("cpu.shares", shares(limits.cpus.unwrap_or_default()).to_string())]
        }
        ("cpu", Kind::Whole) => {
            // As container engines translate one into the other.
            let weight = 1 + (shares(limits.cpus.unwrap_or_default()) - 2) * 9999 / 262_142;
            vec![("cpu.weight", weight.to_string())]
        }
        _ => vec![("pids.max", limits.pids.unwrap_or_default().to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_each_version_wants_them() {
        let limits = Limits { memory: Some(Bytes(64 << 20)), cpus: Some(1000), pids: Some(9) };
        let text = |kind, controller| {
            let all = settings(kind, controller, &limits);
            all.iter().map(|(file, value)| format!("{file}={value}")).collect::<Vec<_>>().join(" ")
        };
        let cases = [
            (Kind::Split, "memory", "memory.limit_in_bytes=67108864 memory.memsw.limit_in_bytes=67108864"),
            (Kind::Split, "cpu", "cpu.shares=1024"),
            (Kind::Split, "pids", "pids.max=9"),
            (Kind::Whole, "memory", "memory.max=67108864 memory.swap.max=0"),
            (Kind::Whole, "cpu", "cpu.weight=39"),
            (Kind::Whole, "pids", "pids.max=9"),
        ];
        for (kind, controller, expected) in cases {
            assert_eq!(text(kind, controller), expected);
        }
    }
}
