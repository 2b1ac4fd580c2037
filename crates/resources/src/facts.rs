//! Gathers what is known of a node: from files of the kernel and the system, cheaply, and from programs of the
//! author where there are any. What is costly is kept until what it came from changes.

mod assets;
mod containers;
mod hardware;
mod network;
mod packages;
mod services;
mod system;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ideal_core::facts::Facts;
use ideal_core::placement::Capacity;
use ideal_core::time::{Bytes, Time};
use serde_json::Value;

use crate::exec::{self, Program};
use crate::ground::Ground;

pub use assets::checksum;

/// How long one program of the author may take.
const PROGRAM: Duration = Duration::from_secs(10);
/// Where those programs are.
const FOLDER: &str = "/etc/ideal/facts.d";

/// Data that is worth keeping, as somebody named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// By what name.
    pub name: String,
    /// `volume` or `path`.
    pub kind: &'static str,
    /// Where, as a path of the node.
    pub path: String,
}

/// What was gathered before and need not be again.
#[derive(Debug, Default)]
pub struct Known {
    packages: RefCell<packages::Known>,
}

/// How much is gathered.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Run the author's programs in `/etc/ideal/facts.d`.
    pub custom: bool,
    /// Count how much there is of each asset.
    pub sizes: bool,
    /// Work out checksums of assets, which reads all of them.
    pub checksums: bool,
    /// Assets that somebody named.
    pub assets: Vec<Named>,
    /// What the provider says of the machine.
    pub provider: BTreeMap<String, Value>,
}

/// What this machine has for what is placed on it.
pub fn room() -> Capacity {
    let memory = hardware::memory().total;
    let millicpus = Some(u64::from(hardware::cpus()) * 1000);
    Capacity { memory: (memory > 0).then_some(Bytes(memory)), millicpus }
}

/// All that is known.
pub async fn gather(ground: &dyn Ground, known: &Known, wish: &Wish) -> Facts {
    let (os, release) = (system::os(ground), rustix::system::uname());
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Facts {
        at: ideal_host::now(),
        hostname: text(release.nodename()),
        kernel: ideal_core::facts::Kernel { name: text(release.sysname()), release: text(release.release()) },
        architecture: text(release.machine()),
        cpus: hardware::cpus(),
        memory: hardware::memory(),
        disks: hardware::disks(),
        addresses: network::addresses(),
        mounts: hardware::mounts(),
        packages: packages::installed(ground, &known.packages).await,
        services: services::running(ground),
        containers: containers::all(ground).await,
        provider: wish.provider.clone(),
        custom: if wish.custom { custom(ground).await } else { BTreeMap::new() },
        assets: assets::all(ground, wish).await,
        boot: boot(),
        os,
    }
}

/// When this machine was started.
fn boot() -> Time {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    Time(seconds.unwrap_or_default() * 1000)
}

/// What the author's programs answer, each by its name without its ending. One that fails is left out, with a word
/// on why in its place.
async fn custom(ground: &dyn Ground) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    for path in programs(&ground.host_path(FOLDER)) {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let program = Program::new([path.display().to_string()], PROGRAM);
        let outcome = exec::run(ground, &format!("fact {name}"), &program).await;
        let value = match outcome.agreed() {
            true => serde_json::from_slice(&outcome.answer)
                .map_err(|error| format!("it did not answer with one JSON value: {error}")),
            false => Err(outcome.why()),
        };
        facts.insert(name, value.unwrap_or_else(|why| serde_json::json!({"error": why})));
    }
    facts
}

fn programs(folder: &std::path::Path) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let runs = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(runs).collect();
    all.sort();
    all
}
