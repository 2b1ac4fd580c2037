//! What a replica is to be, from the slice in force and what the node knows.

use std::collections::BTreeMap;

use ideal_core::ideal::document::Argv;
use ideal_core::ideal::service::{Health, Stop};
use ideal_core::slice::Replica;
use serde_json::Value;

use crate::node::Node;
use crate::render::{RenderProblem, render};

/// What a replica is to be.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// Gone: the slice does not know it.
    Gone,
    /// Down: the node is to be quiet.
    Down,
    /// Running, once something is known that it names.
    Waiting(String),
    /// Running, but what is said of it cannot be meant.
    Wrong(String),
    /// Running.
    Up(Box<Program>),
}

/// A program, rendered.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub replica: Replica,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub health: Option<Health>,
    pub stop: Stop,
    /// Of what cannot change while it runs, after the version of its replica. Its check and its way of stopping can.
    pub hash: String,
    /// Of the slice.
    pub slice: String,
}

/// The version of a replica that `hash` is of: [`Replica::version`].
pub(crate) fn version_of(hash: &str) -> Option<&str> {
    hash.split_once('-').map(|(version, _)| version)
}

/// What `name` is to be now.
pub(crate) fn wanted(node: &Node, name: &str) -> Wanted {
    let Some(held) = node.slice() else { return Wanted::Gone };
    let Some(replica) = held.slice.replicas.iter().find(|replica| replica.address() == name) else {
        return Wanted::Gone;
    };
    if held.slice.quiet {
        return Wanted::Down;
    }
    if let Some(missing) = replica.spec.mounts.keys().find(|mount| node.replica_mount(name, mount).is_none())
    {
        return Wanted::Waiting(format!("its mount {missing} is not mounted"));
    }
    let context = node.context(&held.slice, Some(name));
    match program(replica, &context, &held.hash) {
        Ok(program) => Wanted::Up(Box::new(program)),
        Err(problem @ RenderProblem::Unknown { .. }) => Wanted::Waiting(problem.to_string()),
        Err(RenderProblem::Refused { why }) => Wanted::Wrong(why),
    }
}

/// How `name` is stopped, when the slice still says so.
pub(crate) fn stop_of(node: &Node, name: &str) -> Stop {
    let stop = node.slice().and_then(|held| {
        let replica = held.slice.replicas.iter().find(|replica| replica.address() == name)?;
        Some(replica.spec.stop.clone())
    });
    stop.unwrap_or_default()
}

fn program(replica: &Replica, context: &Value, slice: &str) -> Result<Program, RenderProblem> {
    let spec = &replica.spec;
    let words = |argv: &Argv| argv.0.iter().map(|word| render(word, context)).collect::<Result<Vec<_>, _>>();
    let text = |text: &Option<String>| text.as_ref().map(|text| render(text, context)).transpose();
    let Some(command) = &spec.command else {
        return Err(RenderProblem::Refused { why: "containers are not run here".to_owned() });
    };
    let argv = words(command)?;
    let mut env = BTreeMap::new();
    for (name, value) in &spec.env {
        env.insert(name.clone(), render(value, context)?);
    }
    let health = match &spec.health {
        Some(health) => {
            let command = health.command.as_ref().map(&words).transpose()?.map(Argv);
            Some(Health { command, http: text(&health.http)?, tcp: text(&health.tcp)?, ..health.clone() })
        }
        None => None,
    };
    let said = serde_json::to_vec(&(&argv, &env)).unwrap_or_default();
    let hash = format!("{}-{}", replica.version(), &blake3::hash(&said).to_hex()[..16]);
    let stop = spec.stop.clone();
    Ok(Program { replica: replica.clone(), argv, env, health, stop, hash, slice: slice.to_owned() })
}
