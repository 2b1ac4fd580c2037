//! Start of the agent, and its loop.

use std::path::PathBuf;
use std::rc::Rc;

use ideal_host::durable::{self, Lock};
use ideal_host::process::boot_id;
use ideal_host::{AgentCommand, Home, Identity};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::exec::Place;
use crate::http::{self, Asked};
use crate::node::Node;
use crate::pace::Pace;
use crate::state::{Runtime, State};
use crate::{AgentError, mounts, names, orders, resources, services};

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The home of its machine.
    pub home: PathBuf,
    /// How to start itself again, for services.
    pub own: AgentCommand,
    /// How fast it heals.
    pub pace: Pace,
}

/// Heals a node until it is told to end. Services go on without it.
pub fn run(options: AgentOptions) -> Result<(), AgentError> {
    let home = Home::new(options.home);
    // Waits for an agent that is just dying; two would start everything twice.
    let _lock = Lock::take(&home.agent_lock()).map_err(AgentError::io("locking the agent's home"))?;
    let result = start(&home, options.own, options.pace);
    if let Err(error) = &result {
        crate::log::Log::new(home.agent_log()).say(format_args!("agent: {error}"));
    }
    result
}

fn start(home: &Home, own: AgentCommand, pace: Pace) -> Result<(), AgentError> {
    let identity: Identity = durable::read_json(&home.identity())
        .map_err(AgentError::io("reading identity.json"))?
        .ok_or_else(|| AgentError::Damaged("there is no identity.json".into()))?;
    // Damaged state is not guessed at: an agent that has forgotten its mounts would say that nothing is mounted,
    // and that is a licence to take volumes away. A silent agent is none.
    let state: Option<State> =
        durable::read_json(&home.state()).map_err(AgentError::io("reading what was told before"))?;
    let runtime: Option<Runtime> = durable::read_json(&home.runtime()).unwrap_or_default();
    let boot = boot_id();
    let mut runtime = runtime.unwrap_or_default();
    if runtime.boot != boot {
        runtime = Runtime { boot, services: Default::default() };
    }
    for folder in [home.root(), home.volumes(), home.logs()] {
        std::fs::create_dir_all(&folder).map_err(AgentError::io(format!("making {}", folder.display())))?;
    }
    let (work, asked) = mpsc::unbounded_channel();
    let state = state.unwrap_or_default();
    let node = Rc::new(Node::new(home.clone(), identity, own, pace, state, runtime, work));
    node.log.say(format_args!("agent: starts as {}", node.identity.node_mark()));
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AgentError::io("starting the agent"))?;
    LocalSet::new().block_on(&threads, serve(node, asked))
}

async fn serve(node: Rc<Node>, work: mpsc::UnboundedReceiver<resources::Asked>) -> Result<(), AgentError> {
    let socket =
        node.identity.socket().ok_or_else(|| AgentError::Damaged("the address is not a socket".into()))?;
    let (asking, mut asked) = mpsc::channel(64);
    // What already runs, and what is mounted, is known before the first question is answered.
    mounts::forget_ended(&node).map_err(AgentError::io("forgetting mounts that ended"))?;
    services::end_unheard(&node);
    services::adopt(&node);
    spawn_local(mounts::thaw_in_time(node.clone()));
    let listener =
        http::listen(socket).map_err(AgentError::io(format!("listening at {}", socket.display())))?;
    let router = http::router(asking, node.home.clone(), Place::of(&node));
    spawn_local(async move {
        let _ = axum::serve(listener, router).await;
    });
    let writing = node.clone();
    spawn_local(async move { writing.keep_runtime_written().await });
    spawn_local(services::keep(node.clone()));
    spawn_local(names::keep(node.clone()));
    spawn_local(resources::keep(node.clone(), work));
    let mut term = signal(SignalKind::terminate()).map_err(AgentError::io("listening for signals"))?;
    loop {
        tokio::select! {
            question = asked.recv() => match question {
                Some(Asked::Report(reply)) => {
                    let _ = reply.send(node.report());
                }
                Some(Asked::Order(order, reply)) => {
                    let node = node.clone();
                    spawn_local(async move {
                        let _ = reply.send(orders::heed(&node, *order).await);
                    });
                }
                None => return Ok(()),
            },
            _ = term.recv() => {
                node.write_runtime();
                node.log.say("agent: ends, services go on");
                return Ok(());
            }
        }
    }
}
