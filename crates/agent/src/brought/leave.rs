//! Leaves a machine that goes on without us. Who it was and what it was told go last, and together: who died in the
//! middle begins anew.

use std::fs;
use std::path::Path;

use ideal_host::brought::{HOME, PROGRAMS, SOCKET};
use ideal_host::engine::client::{Engine, escaped};
use ideal_host::engine::{CLUSTER, DATA, HOME as HOME_LABEL, MACHINE};
use ideal_host::home::{RuntimeRecord, is_of};
use ideal_host::{Home, Identity, cgroup, crash_point, durable, process};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Alone, start};

/// How many looks for left-over processes: each forking process needs a new one.
const LOOKS: usize = 200;

pub(super) fn leave() -> Result<(), String> {
    let _alone = Alone::take()?;
    let home = Home::new(HOME);
    let state = Path::new(HOME).parent().unwrap_or(Path::new(HOME));
    // What is below is removed: no volume may be there.
    let mounts =
        fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
    let ours = |line: &&str| {
        let mut words = line.split(' ');
        let device = words.next().unwrap_or_default();
        let at = words.next().unwrap_or_default();
        device.starts_with("/dev/ideal/") || Path::new(at).starts_with(state)
    };
    if let Some(line) = mounts.lines().find(ours) {
        let at = line.split(' ').nth(1).unwrap_or_default();
        return Err(format!("a volume is mounted at {at}: nothing was removed"));
    }
    start::stop(&home)?;
    crash_point("leave-stopped");
    let identity: Option<Identity> =
        durable::read_json(&home.identity()).map_err(|error| format!("reading identity.json: {error}"))?;
    if let Some(identity) = &identity {
        end_all(&home, identity)?;
    }
    let removed = |path: &Path| {
        durable::remove(path).map_err(|error| format!("{}: {error}", path.display()))?;
        crash_point("leave-removed");
        Ok::<(), String>(())
    };
    if let Some(folder) = Path::new(SOCKET).parent() {
        removed(folder)?;
    }
    if let Ok(vault) = fs::read_to_string(home.vault()) {
        let vault = Path::new(vault.trim());
        if vault.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ideal-")) {
            removed(vault)?;
        }
    }
    removed(Path::new(PROGRAMS))?;
    // At once: what an agent was told must not outlive who it was, nor the other way round.
    let gone = state.with_extension("gone");
    removed(&gone)?;
    if state.exists() {
        durable::rename(state, &gone).map_err(|error| format!("{}: {error}", state.display()))?;
        crash_point("leave-gone");
    }
    removed(&gone)
}

/// Ends what its keeper would have ended, should that have died before; and containers, which outlive every keeper.
fn end_all(home: &Home, identity: &Identity) -> Result<(), String> {
    let left = process::kill_all(|marks| is_of(marks, &identity.machine, home), LOOKS);
    if let Some(process) = left.first() {
        return Err(format!("process {} ({}) cannot be killed", process.id.pid, process.name));
    }
    // A service without marks still leads its session.
    let runtime: RuntimeRecord = durable::read_json(&home.runtime()).unwrap_or_default().unwrap_or_default();
    for _ in 0..LOOKS {
        let members = runtime.processes();
        if members.is_empty() {
            break;
        }
        for process in members {
            process.signal(Signal::KILL).map_err(|error| format!("ending services: {error}"))?;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    crash_point("leave-killed");
    cgroup::sweep(identity.machine.as_str(), true);
    crash_point("leave-swept");
    let Ok(socket) = fs::read_to_string(home.engine()) else { return Ok(()) };
    let socket = Path::new(socket.trim()).to_path_buf();
    // One whose socket is gone runs nothing that could be ended.
    if !socket.exists() {
        return Ok(());
    }
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let threads = threads.map_err(|error| error.to_string())?;
    threads.block_on(end_containers(&Engine::new(socket), identity))
}

async fn end_containers(engine: &Engine, identity: &Identity) -> Result<(), String> {
    let filter = json!({"label": [format!("{MACHINE}={}", identity.machine)]}).to_string();
    let path = format!("/containers/json?filters={}&all=1", escaped(&filter));
    let said = |error: &dyn std::fmt::Display| format!("ending containers: {error}");
    let listed = engine.get(&path).await.map_err(|error| said(&error))?;
    let listed = listed.good("list the containers of this machine").map_err(|error| said(&error))?;
    for container in listed.as_array().into_iter().flatten() {
        let at = container.get("Labels").and_then(|labels| labels.get(HOME_LABEL)?.as_str());
        let Some(id) = container.get("Id").and_then(Value::as_str).filter(|_| at == Some(HOME)) else {
            continue;
        };
        let removed = engine.delete(&format!("/containers/{id}?force=1&v=1")).await;
        let removed = removed.map_err(|error| said(&error))?;
        // Gone, or somebody is at it.
        if !matches!(removed.code, 404 | 409) {
            removed.good("remove the container").map_err(|error| said(&error))?;
        }
        crash_point("leave-container");
    }
    end_networks(engine).await
}

/// Networks that were made for containers. One of an agent that has a machine to itself is of no folder, and one that is in
/// use is somebody's.
async fn end_networks(engine: &Engine) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("removing networks: {error}");
    let filter = json!({"label": [CLUSTER, format!("{DATA}=")]}).to_string();
    let listed = engine.get(&format!("/networks?filters={}", escaped(&filter))).await;
    let listed = listed.map_err(|error| said(&error))?;
    let listed = listed.good("list the networks of this machine").map_err(|error| said(&error))?;
    for network in listed.as_array().into_iter().flatten() {
        let is_ours = network.pointer("/Labels").and_then(|labels| labels.get(DATA)?.as_str()) == Some("");
        let Some(id) = network.get("Id").and_then(Value::as_str).filter(|_| is_ours) else { continue };
        let removed = engine.delete(&format!("/networks/{id}")).await.map_err(|error| said(&error))?;
        if !matches!(removed.code, 403 | 404 | 409) {
            removed.good("remove the network").map_err(|error| said(&error))?;
        }
        crash_point("leave-network");
    }
    Ok(())
}
