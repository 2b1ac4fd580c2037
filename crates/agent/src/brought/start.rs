//! How the keeper runs on a machine that is not ours: as a unit where systemd is, else on its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ideal_host::brought::{self, HOME};
use ideal_host::durable;
use ideal_host::home::KeeperRecord;
use ideal_host::unit::{self, NAME as UNIT};
use ideal_host::{Home, ProcessId, crash_point, process};
use rustix::process::Signal;

/// Where units of the machine's own are.
const UNITS: &str = "/etc/systemd/system";

/// Whether systemd is the first process here.
fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The keeper, when it lives.
pub(super) fn keeper(home: &Home) -> Result<Option<ProcessId>, String> {
    let record: Option<KeeperRecord> =
        durable::read_json(&home.keeper()).map_err(|error| format!("reading keeper.json: {error}"))?;
    Ok(record.filter(KeeperRecord::is_alive).map(|record| record.process))
}

/// Sees to it that a keeper runs, now and after the next start of the machine.
pub(super) fn start(home: &Home) -> Result<(), String> {
    if is_systemd() {
        let path = Path::new(UNITS).join(UNIT);
        let unit = unit();
        if fs::read_to_string(&path).unwrap_or_default() != unit {
            durable::write(&path, unit.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
            crash_point("install-unit");
        }
        // Also of one that is as it should be: who wrote it may have died before this.
        readable(&path)?;
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", UNIT])?;
        crash_point("install-enabled");
        systemctl(&["start", UNIT])?;
        crash_point("install-started");
        return Ok(());
    }
    if keeper(home)?.is_some() {
        return Ok(());
    }
    let mut command = Command::new(brought::current());
    command.args(["agent", "keep", "--home", HOME, "--agent"]).arg(brought::current());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ended = command.status().map_err(|error| format!("the keeper cannot be started: {error}"))?;
    if !ended.success() {
        return Err(format!("the keeper cannot be started: {ended}"));
    }
    crash_point("install-started");
    Ok(())
}

fn readable(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Ends the keeper, and with it all that runs of ours.
pub(super) fn stop(home: &Home) -> Result<(), String> {
    let path = Path::new(UNITS).join(UNIT);
    if is_systemd() && path.exists() {
        systemctl(&["disable", "--now", UNIT])?;
        crash_point("leave-disabled");
        durable::remove(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        crash_point("leave-no-unit");
        systemctl(&["daemon-reload"])?;
    }
    if let Some(keeper) = keeper(home)? {
        keeper.signal(Signal::TERM).map_err(|error| format!("the keeper cannot be ended: {error}"))?;
        crash_point("leave-told");
        super::install::until(|| Ok(!keeper.is_alive()))?
            .then_some(())
            .ok_or("the keeper does not end: something on this machine does not stop")?;
    }
    Ok(())
}

/// The agents that run under the keeper: one, but for the instant in which one follows another.
pub(super) fn agents(keeper: ProcessId) -> Vec<ProcessId> {
    let is_agent = |pid: u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        words.get(1..5) == Some(&[b"agent".as_slice(), b"run", b"--home", HOME.as_bytes()])
    };
    let children = process::numbers()
        .into_iter()
        .filter(|pid| process::stat(*pid).is_some_and(|stat| stat.parent == keeper.pid) && is_agent(*pid));
    children.filter_map(ProcessId::of).collect()
}

fn systemctl(words: &[&str]) -> Result<(), String> {
    let ran = Command::new("systemctl").args(words).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("systemctl: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(format!("systemctl {}: {}", words.join(" "), said.trim().lines().last().unwrap_or("failed")))
}

/// The keeper as a unit: what it starts is the program in force, whichever that is then.
fn unit() -> String {
    let (program, over) = (brought::current().display().to_string(), Home::new(HOME).over());
    let words = [&program, "agent", "keep", "--foreground", "--home", HOME, "--agent", &program];
    unit::keeper(&words.map(str::to_owned), &[], HOME, &over.display().to_string())
}
