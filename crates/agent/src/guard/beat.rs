//! The heartbeat of a guard: a file that is written anew for as long as it lives and its engine answers.

use std::path::Path;

use ideal_core::time::{Span, Time};
use ideal_host::durable;
use serde::{Deserialize, Serialize};

use crate::AgentError;

/// What a guard leaves as proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// When it last looked at all of its containers.
    pub at: Time,
    /// Its process.
    pub pid: u32,
    /// How many containers it watches.
    pub watched: usize,
}

impl Beat {
    pub(super) fn write(&self, path: &Path) -> Result<(), AgentError> {
        let what = || AgentError::io(format!("writing the heartbeat {}", path.display()));
        if let Some(folder) = path.parent() {
            durable::private_dir(folder).map_err(what())?;
        }
        durable::write_json_volatile(path, self).map_err(what())
    }
    /// The last one; none: no guard ever wrote there.
    pub fn read(path: &Path) -> Result<Option<Beat>, AgentError> {
        durable::read_json(path).map_err(AgentError::io(format!("reading the heartbeat {}", path.display())))
    }
    /// Why a guard that left this is taken for dead; none: it lives.
    pub fn is_late(&self, most: Span, now: Time) -> Option<String> {
        let age = now.since(self.at);
        (age > most)
            .then(|| format!("the guard (process {}) last looked {} seconds ago", self.pid, age.0 / 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_guard_is_late() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/guard.json");
        assert_eq!(Beat::read(&path).unwrap(), None);
        let beat = Beat { at: Time(1000), pid: 7, watched: 2 };
        beat.write(&path).unwrap();
        let beat = Beat::read(&path).unwrap().unwrap();
        assert_eq!(beat.is_late(Span::secs(30), Time(31_000)), None);
        assert!(beat.is_late(Span::secs(30), Time(32_000)).unwrap().contains("31 seconds ago"));
    }
}
