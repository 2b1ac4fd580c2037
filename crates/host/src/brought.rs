//! Where an agent lies on a machine to which it was brought.
//!
//! A machine of `local` or `docker` comes with its agent; to one that exists or that a cloud makes it is brought. Each
//! build has a folder of its own, and a link says which of them runs: what is replaced is at hand until the next.

use std::path::{Path, PathBuf};

use ideal_core::build::Build;
use ideal_core::id::{Generation, MachineId, SlotId};
use ideal_core::observed::Machine;
use serde::{Deserialize, Serialize};

/// The folder of all builds.
pub const PROGRAMS: &str = "/usr/local/lib/ideal";
/// The home of the machine.
pub const HOME: &str = "/var/lib/ideal/home";
/// Where its agent listens.
pub const SOCKET: &str = "/run/ideal/agent.sock";
/// What stands on its own line before an answer of the program, so that nothing else is taken for it.
pub const ANSWER: &str = "ideal:answer ";

/// Where the program of a build is.
pub fn program(build: Build) -> PathBuf {
    Path::new(PROGRAMS).join(build.to_string()).join("ideal")
}

/// Where the program is that runs.
pub fn current() -> PathBuf {
    Path::new(PROGRAMS).join("current").join("ideal")
}

/// Of which build a program is, by its place; none when it was not brought there.
pub fn build_of(program: &Path) -> Option<Build> {
    let folder = program.parent()?;
    (folder.parent() == Some(Path::new(PROGRAMS))).then_some(())?;
    folder.file_name()?.to_str()?.parse().ok()
}

/// What the program is told that was just brought to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Of which slot the machine is.
    pub slot: SlotId,
    /// Which machine of the slot.
    pub generation: Generation,
    /// What its provider calls it.
    pub machine: MachineId,
    /// Its network address.
    pub address: String,
}

impl Wanted {
    /// What a machine is to be; none for one that has no slot.
    pub fn of(machine: &Machine) -> Option<Wanted> {
        Some(Wanted {
            slot: machine.tags.slot()?,
            generation: machine.tags.generation,
            machine: machine.id.clone(),
            address: machine.address.clone().unwrap_or_default(),
        })
    }
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The agent of this build answers.
    Runs,
    /// All of ours is gone from the machine.
    Left,
    /// Nothing was changed that matters, or what was there is back; for this reason.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_known_by_its_place() {
        let build = Build(0xabc);
        assert_eq!(build_of(&program(build)), Some(build));
        assert_eq!(build_of(&current()), None);
        assert_eq!(build_of(Path::new("/usr/local/bin/ideal")), None);
        assert_eq!(build_of(Path::new("/opt/0000000000000abc/ideal")), None);
    }
}
