//! Services: one task for each replica keeps it running, or keeps it down.
//!
//! `wanted` says what a replica is to be; `running` is one that runs, as `process` or `container`; `supervise` is the
//! life of one, `ladder` what is done when it is not well, `vault` the files that it finds.

mod container;
mod ladder;
mod process;
mod running;
mod supervise;
mod vault;
mod wanted;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_local};

use crate::node::Node;
use crate::{log, state};

pub(crate) use container::{Containers, container_name, is_of, look};
pub(crate) use ladder::Storm;
pub(crate) use process::{adopt, end_unheard, main_of};

/// Under which name it is told that most replicas fail at once: no replica has it.
pub(crate) const STORM: &str = "";
/// How often logs are looked at for their size.
const LOGS: Duration = Duration::from_secs(1);

/// Sees to it that every replica that is wanted, or that still runs, has its task.
pub(crate) async fn keep(node: Rc<Node>) {
    let mut versions = node.versions();
    let mut tasks = JoinSet::new();
    let mut tended: BTreeSet<String> = BTreeSet::new();
    spawn_local(rotate_logs(node.clone()));
    spawn_local(container::events::listen(node.clone()));
    loop {
        versions.mark_unchanged();
        let hash = node.slice().map(|held| held.meant().to_owned()).unwrap_or_default();
        if node.storm.borrow().held(&hash, ideal_host::now()).is_none() {
            node.seen.borrow_mut().services_wait.remove(STORM);
        }
        let wanted = node.slice().map(|held| held.slice.replicas.iter().map(|one| one.address()).collect());
        let mut names: BTreeSet<String> = wanted.unwrap_or_default();
        // Also what was only being started: nobody knows what came of it.
        names.extend(node.runtime().services.keys().cloned());
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
        // Who brings the log of a container keeps it short, too.
        let own = |(_, started): &(&String, &state::Started)| started.container.is_none();
        let names: Vec<String> =
            node.runtime().services.iter().filter(own).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Err(error) = log::rotate(&node.home.service_log(&name)) {
                node.log.say(format_args!("the log of {name} cannot be kept short: {error}"));
            }
        }
    }
}
