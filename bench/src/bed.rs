//! What faults are tried on: a container engine of its own, and a cluster on this host.

mod engine;
mod project;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;

pub(crate) use engine::{Engine, How};
pub(crate) use project::Project;

pub(crate) const IMAGE: &str = "ideal-bench:bare";
/// How long the one that ends at once is watched.
pub(crate) const LOOP: Duration = Duration::from_secs(20);
/// A program that ends when it is asked to.
pub(crate) const PLAIN: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
/// One that shows that it goes on, until it is told to be unwell; its check takes away what it shows.
pub(crate) const BEATS: &str =
    "trap 'exit 0' TERM; rm -f /bad; while true; do test -e /bad || touch /beat; sleep 0.1; done";
pub(crate) const CHECK: &str = "rm /beat";
/// What a replica without a container runs: nothing else on this host has these words.
pub(crate) const PROCESS: [&str; 2] = ["sleep", "98761234"];

/// The program, where it is built beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("ideal"))
}

/// Where the scripts are that make what benches run on.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/testbed")
}

/// Waits until there is something.
pub(crate) fn until<T>(seconds: u64, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        let seen = look();
        if seen.is_some() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn kill(pid: u32) -> anyhow::Result<()> {
    ensure!(Command::new("kill").args(["-9", &pid.to_string()]).status()?.success(), "{pid} was not there");
    Ok(())
}

pub(crate) fn home_of(pid: u32) -> Option<String> {
    ideal_host::process::marks(pid).get("IDEAL_HOME").cloned()
}
