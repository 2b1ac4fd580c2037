//! Programs beside the one that a container runs, by the ids that the engine gives them.

use ideal_host::process::stat;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::Engine;

/// Kills one that is not waited for any more, with its group: the engine has no word for it, so it is done by its
/// number, once it is seen to be in the container. Where the engine counts processes otherwise it is left to its end.
pub(crate) async fn kill(engine: &Engine, container: &str, id: &str) {
    let Ok(reply) = engine.get(&format!("/exec/{id}/json")).await else { return };
    let pid = reply.body.get("Pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
    let Some(process) = pid.filter(|pid| *pid > 0).and_then(ideal_host::ProcessId::of) else { return };
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
    if !groups.contains(container) {
        return;
    }
    // It has a group of its own, unless the engine is of another kind.
    if stat(process.pid).is_some_and(|seen| seen.group == process.pid)
        && let Some(group) = i32::try_from(process.pid).ok().and_then(Pid::from_raw)
    {
        _ = kill_process_group(group, Signal::KILL);
    }
    _ = process.signal(Signal::KILL);
}
