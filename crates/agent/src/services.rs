//! Services: one task for each replica keeps it running, or keeps it down.
//!
//! `wanted` says what a replica is to be, `process` starts, finds and stops it, `supervise` is the life of one.

mod process;
mod restarts;
mod supervise;
mod wanted;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_local};

use crate::node::Node;
use crate::{log, state};

pub(crate) use process::{adopt, end_unheard, main_of};

/// How often logs are looked at for their size.
const LOGS: Duration = Duration::from_secs(1);

/// Sees to it that every replica that is wanted, or that still runs, has its task.
pub(crate) async fn keep(node: Rc<Node>) {
    let mut versions = node.versions();
    let mut tasks = JoinSet::new();
    let mut tended: BTreeSet<String> = BTreeSet::new();
    spawn_local(rotate_logs(node.clone()));
    loop {
        versions.mark_unchanged();
        let wanted = node.slice().map(|held| held.slice.replicas.iter().map(|one| one.address()).collect());
        let mut names: BTreeSet<String> = wanted.unwrap_or_default();
        let running = |(_, started): &(&String, &state::Started)| started.process.is_some();
        names.extend(node.runtime().services.iter().filter(running).map(|(name, _)| name.clone()));
        for name in names {
            if tended.insert(name.clone()) {
                let node = node.clone();
                tasks.spawn_local(async move {
                    supervise::supervise(node, &name).await;
                    name
                });
            }
        }
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { return },
            Some(ended) = tasks.join_next() => match ended {
                // It went because the replica is no longer wanted; by now it may be wanted again.
                Ok(name) => { tended.remove(&name); }
                Err(error) => {
                    // Our own fault. A new agent finds everything as it is; going on with a replica that nobody
                    // tends would not heal it.
                    node.log.say(format_args!("agent: a task failed: {error}"));
                    std::process::abort();
                }
            },
        }
    }
}

async fn rotate_logs(node: Rc<Node>) {
    loop {
        tokio::time::sleep(LOGS).await;
        let names: Vec<String> = node.runtime().services.keys().cloned().collect();
        for name in names {
            if let Err(error) = log::rotate(&node.home.service_log(&name)) {
                node.log.say(format_args!("the log of {name} cannot be kept short: {error}"));
            }
        }
    }
}
