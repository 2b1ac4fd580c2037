//! News of the engine: one stream of what happens to the containers of this machine. It only says that a container
//! is worth a look; what is so is asked.

use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use ideal_host::engine::{MACHINE, SERVICE};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::SPEC;
use crate::engine::frames::Lines;
use crate::engine::seen::ContainerSeen;
use crate::engine::{EngineError, escaped};
use crate::node::Node;

/// How often an engine that does not answer is asked again, at first and at last.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Listens for as long as the agent lives, and whenever this node has containers or is to have them.
pub(crate) async fn listen(node: Rc<Node>) {
    let mut versions = node.versions();
    let mut wait = AGAIN.0;
    let mut silent = false;
    loop {
        while !is_needed(&node) {
            if versions.changed().await.is_err() {
                return;
            }
        }
        let mut answered = || {
            if std::mem::take(&mut silent) {
                node.log.say("the container engine answers again");
            }
            wait = AGAIN.0;
        };
        let why = hear(&node, &mut answered).await.err();
        // What was not heard meanwhile is found by looking.
        node.containers.tell_all();
        if let Some(why) = why.filter(|_| !silent) {
            silent = true;
            node.log.say(format_args!("{why}; what runs is left as it is"));
        }
        sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

fn is_needed(node: &Node) -> bool {
    let wanted =
        node.slice().is_some_and(|held| held.slice.replicas.iter().any(|one| one.spec.image.is_some()));
    wanted || node.home.engine().exists()
}

/// Listens until the engine falls silent.
async fn hear(node: &Rc<Node>, answered: &mut dyn FnMut()) -> Result<(), EngineError> {
    let ours = json!({"type": ["container"], "label": [format!("{MACHINE}={}", node.identity.machine)]});
    let path = format!("/events?filters={}", escaped(&ours.to_string()));
    let mut stream = node.containers.engine.open(Method::GET, &path, None, None, "tell its news").await?;
    answered();
    // After it began to tell, so that nothing happens in between unheard.
    find(node).await?;
    node.containers.tell_all();
    node.touch();
    let mut lines = Lines::default();
    while let Some(part) = stream.next().await? {
        lines.add(&part);
        while let Some(line) = lines.next() {
            let news: Value = serde_json::from_slice(&line).unwrap_or_default();
            let text = |at: &str| news.pointer(at).and_then(Value::as_str).unwrap_or_default();
            let replica = news.pointer("/Actor/Attributes").and_then(|all| all.get(SERVICE)?.as_str());
            // Checks come and go; each would be worth a look at nothing.
            let Some(replica) = replica.filter(|_| !text("/Action").starts_with("exec_")) else { continue };
            node.containers.news(replica).notify_one();
            // Made for who gave it up before it was there.
            if matches!(text("/Action"), "create" | "start") && !node.runtime().services.contains_key(replica)
            {
                find(node).await?;
                node.touch();
            }
        }
    }
    Err(EngineError::Silent("the container engine ended".to_owned()))
}

/// Takes up containers of this machine that nobody here knows of: what an agent knew that lost its memory.
async fn find(node: &Node) -> Result<(), EngineError> {
    let ours = json!({"label": [format!("{MACHINE}={}", node.identity.machine), SERVICE]});
    let path = format!("/containers/json?all=1&filters={}", escaped(&ours.to_string()));
    let listed = node.containers.engine.get(&path).await?.good("list containers")?;
    for container in listed.as_array().into_iter().flatten() {
        let Some(id) = container.get("Id").and_then(Value::as_str) else { continue };
        let Some(seen) = node.containers.look(id).await? else { continue };
        if node.containers.is_ours(&seen.labels) {
            take_up(node, &seen);
        }
    }
    Ok(())
}

fn take_up(node: &Node, seen: &ContainerSeen) {
    let Some(replica) = seen.label(SERVICE) else { return };
    // One that is looked after has its record, with a container or between two of them.
    if node.runtime().services.contains_key(replica) {
        return;
    }
    node.log.say(format_args!("service {replica}: its container {} is found", super::short(&seen.id)));
    node.change_runtime(|runtime| {
        let started = runtime.services.entry(replica.to_owned()).or_default();
        (started.container, started.image) = (Some(seen.id.clone()), true);
        started.spec = seen.label(SPEC).unwrap_or_default().to_owned();
        started.since = seen.started;
    });
}
