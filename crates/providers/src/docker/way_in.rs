//! How a person gets into a container: by the engine's own client.

use hyper::Method;
use ideal_core::observed::Machine;
use serde_json::{Value, json};

use super::containers::{MACHINE, OWNER};
use super::engine::{Checked, Engine, escaped};
use crate::{ProviderError, WayIn};

/// The way into the container of a machine that runs. `terminal`: whether there is one at this end.
pub(super) fn way_in(
    socket: &str,
    owner: &str,
    machine: &Machine,
    terminal: bool,
) -> Result<WayIn, ProviderError> {
    let filter = json!({"label": [format!("{OWNER}={owner}"), format!("{MACHINE}={}", machine.id)]});
    let path = format!("/containers/json?filters={}", escaped(&filter.to_string()));
    let running = Engine::new(socket).call(Method::GET, &path, None)?.checked("list containers")?;
    let container = running.get(0).and_then(|container| container.get("Id")).and_then(Value::as_str);
    let container =
        container.ok_or_else(|| ProviderError::retry(format!("no container of {} runs", machine.id)))?;
    let host = format!("unix://{socket}");
    let flags = if terminal { "-it" } else { "-i" };
    let words = ["docker", "-H", &host, "exec", flags, container].map(str::to_owned).to_vec();
    Ok(WayIn { words, ..WayIn::default() })
}
