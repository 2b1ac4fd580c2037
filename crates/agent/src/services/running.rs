//! A replica that runs, whatever drives it: a process of this host, or a container of its engine.

use std::rc::Rc;
use std::time::Duration;

use ideal_core::ideal::service::Stop;
use ideal_core::time::Time;

use super::container::{self, Container, NotStarted};
use super::process;
use super::wanted::Program;
use crate::health::Verdict;
use crate::node::Node;

/// A replica that runs.
#[derive(Debug)]
pub(crate) enum Running {
    Process(process::Running),
    Container(Container),
}

/// What there is to be told of one.
#[derive(Debug)]
pub(crate) enum News {
    /// It ended by itself.
    Ended(String),
    /// What the check of its image says.
    Check(Verdict),
    /// Its engine is silent: nothing is known of it, and nothing is done to it.
    Silent(String),
    /// Its engine answers again.
    Answers,
}

impl Running {
    /// What an earlier agent left running, as it wrote down.
    pub(crate) fn inherited(node: &Rc<Node>, name: &str) -> Option<Running> {
        if let Some(process) = process::inherited(node, name) {
            return Some(Running::Process(process));
        }
        let started = node.runtime().services.get(name).cloned()?;
        let id = started.container?;
        Some(Running::Container(Container::known(node, name, &id, &started.spec, started.since)))
    }

    /// Starts a program; `anew` with nothing of what was there before but its mounts.
    pub(crate) async fn start(node: &Rc<Node>, program: &Program, anew: bool) -> Result<Running, NotStarted> {
        match program.image {
            Some(_) => container::start(node, program, anew).await.map(Running::Container),
            None => process::start(node, program).await.map(Running::Process).map_err(NotStarted::Failed),
        }
    }

    pub(crate) fn spec(&self) -> &str {
        match self {
            Running::Process(process) => &process.spec,
            Running::Container(container) => &container.spec,
        }
    }
    pub(crate) fn since(&self) -> Time {
        match self {
            Running::Process(process) => process.since,
            Running::Container(container) => container.since,
        }
    }
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Running::Process(process) => Some(process.id.pid),
            Running::Container(container) => container.pid,
        }
    }
    pub(crate) fn container(&self) -> Option<&str> {
        match self {
            Running::Process(_) => None,
            Running::Container(container) => Some(&container.id),
        }
    }
    /// Whether something else than the agent looks whether it is well.
    pub(crate) fn is_checked(&self) -> bool {
        matches!(self, Running::Container(container) if container.checked)
    }

    /// Waits for something to be told of it. May be asked again.
    pub(crate) async fn news(&mut self, node: &Rc<Node>) -> News {
        match self {
            Running::Process(process) => News::Ended(process.ended(node).await),
            Running::Container(container) => container.news(node).await,
        }
    }

    /// Asks it to end, waits as long as it may take, kills what is left of it.
    pub(crate) async fn stop(&mut self, node: &Rc<Node>, name: &str, stop: &Stop, grace: Duration) {
        match self {
            Running::Process(process) => process::stop(node, name, process, stop, grace).await,
            Running::Container(container) => container.stop(node, stop, grace).await,
        }
    }

    /// Takes away what is left of one that was stopped for good.
    pub(crate) async fn remove(&mut self, node: &Rc<Node>) {
        if let Running::Container(container) = self {
            container.remove(node).await;
        }
    }

    /// It ended by itself: sees to it that nothing of it is in the way of the next, and that its log is whole.
    pub(crate) async fn clear_up(&mut self, node: &Node) {
        match self {
            Running::Process(process) => process.clear_up(node),
            Running::Container(container) => container.hear_out().await,
        }
    }
}
