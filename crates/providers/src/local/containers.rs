//! Containers that the agent of a machine of `local` made for services: they end with the machine.
//!
//! They are known by their labels. Nothing is asked of an engine at which the agent never made one.

use std::fs;
use std::path::Path;

use hyper::Method;
use ideal_core::id::MachineId;
use ideal_core::time::Span;
use ideal_host::engine::{DATA, HOME, MACHINE};
use ideal_host::{Home, durable};
use serde_json::{Value, json};

use crate::ProviderError;
use crate::docker::engine::{Checked, Engine, escaped};

/// Removes the containers of a machine, the networks that nobody else uses, and what of its services is in memory.
///
/// An engine that does not answer is asked again later: what it runs may write to a volume of the machine. One whose
/// socket is gone runs nothing that could be ended, and holds nothing up.
pub(super) fn end(home: &Home, machine: &MachineId) -> Result<(), ProviderError> {
    if let Ok(socket) = fs::read_to_string(home.engine())
        && Path::new(socket.trim()).exists()
    {
        let engine = Engine::new(socket.trim());
        for id in containers(&engine, home, machine)? {
            let path = format!("/containers/{id}?force=1&v=1");
            let reply = engine.call(Method::DELETE, &path, None)?;
            if !matches!(reply.code, 404 | 409) {
                reply.checked("remove the container")?;
            }
        }
        if !containers(&engine, home, machine)?.is_empty() {
            let why = format!("a container of {machine} is still being removed");
            return Err(ProviderError::Retry { why, after: Some(Span::secs(1)) });
        }
        if let Some(data) = home.path().parent().and_then(Path::parent) {
            for network in listed(&engine, "/networks", &format!("{DATA}={}", data.display()), "")? {
                // The engine keeps one that another machine's containers are in.
                if let Some(id) = id(&network) {
                    engine.call(Method::DELETE, &format!("/networks/{id}"), None)?;
                }
            }
        }
    }
    if let Ok(vault) = fs::read_to_string(home.vault()) {
        let vault = Path::new(vault.trim());
        let is_one = vault.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ideal-"));
        if is_one && fs::symlink_metadata(vault).is_ok_and(|meta| meta.is_dir()) {
            durable::remove(vault)?;
        }
    }
    Ok(())
}

/// The containers that carry the labels of this machine, by the engine's ids. What a copy of its data folder made is
/// not among them.
fn containers(engine: &Engine, home: &Home, machine: &MachineId) -> Result<Vec<String>, ProviderError> {
    let is_ours = |thing: &Value| {
        let at = thing.get("Labels").and_then(|labels| labels.get(HOME)?.as_str()).map(Path::new);
        at.is_some_and(|at| at == home.path() || !at.exists())
    };
    let all = listed(engine, "/containers/json", &format!("{MACHINE}={machine}"), "&all=1")?;
    Ok(all.iter().filter(|thing| is_ours(thing)).filter_map(id).collect())
}

/// Everything of one kind with a label.
fn listed(engine: &Engine, at: &str, label: &str, more: &str) -> Result<Vec<Value>, ProviderError> {
    let filter = json!({"label": [label]}).to_string();
    let path = format!("{at}?filters={}{more}", escaped(&filter));
    match engine.call(Method::GET, &path, None)?.checked("list what is of the machine")? {
        Value::Array(list) => Ok(list),
        _ => Err(ProviderError::retry("the engine did not list what is of the machine".to_owned())),
    }
}

fn id(thing: &Value) -> Option<String> {
    Some(thing.get("Id")?.as_str()?.to_owned())
}
