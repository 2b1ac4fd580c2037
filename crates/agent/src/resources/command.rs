//! A program that is run when it is needed.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::ideal::document::Argv;
use ideal_core::ideal::resource::CommandSpec;
use serde_json::Value;
use tokio::time::Instant;

use super::{Look, path};
use crate::exec;
use crate::node::Node;
use crate::render::{RenderProblem, render};

/// How often `unless` is asked again once it agreed: it is a whole program, not a look at a file.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The longest wait before a command that failed is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is remembered of commands while the agent lives, by the hash of their text.
pub(crate) type Memory = BTreeMap<String, Tried>;

/// The last try of a command.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// Not looked at before this instant.
    again: Instant,
    /// How long the wait was that led there.
    wait: Duration,
    /// Why it failed, if it did.
    failed: Option<String>,
}

pub(crate) async fn look(node: &Rc<Node>, spec: &CommandSpec, context: &Value, memory: &mut Memory) -> Look {
    match check(node, spec, context, memory).await {
        Ok(look) | Err(look) => look,
    }
}

fn words(argv: &Argv, context: &Value) -> Result<Vec<String>, RenderProblem> {
    argv.0.iter().map(|word| render(word, context)).collect()
}

async fn check(
    node: &Rc<Node>,
    spec: &CommandSpec,
    context: &Value,
    memory: &mut Memory,
) -> Result<Look, Look> {
    let argv = words(&spec.run, context)?;
    let creates = spec.creates.as_ref().map(|at| path(at, context)).transpose()?;
    let unless = spec.unless.as_ref().map(|argv| words(argv, context)).transpose()?;
    let text = serde_json::to_vec(&(&argv, &creates, &unless)).unwrap_or_default();
    let hash = blake3::hash(&text).to_hex().to_string();
    let label = format!("command {}", argv.join(" "));
    let once = creates.is_none() && unless.is_none();
    if creates.as_ref().is_some_and(|at| node.exists(at)) {
        memory.remove(&hash);
        return Ok(Look::Right);
    }
    if once && node.state().commands.contains(&hash) {
        return Ok(Look::Right);
    }
    if let Some(tried) = memory.get(&hash).filter(|tried| Instant::now() < tried.again) {
        return Ok(match &tried.failed {
            Some(why) => Look::Wrong(why.clone()),
            None => Look::Right,
        });
    }
    if let Some(unless) = &unless
        && exec::run(node, &format!("{label} unless"), unless, spec.timeout.std()).await.agreed()
    {
        let again = Instant::now() + ASK_AGAIN;
        memory.insert(hash, Tried { again, wait: Duration::ZERO, failed: None });
        return Ok(Look::Right);
    }
    let outcome = exec::run(node, &label, &argv, spec.timeout.std()).await;
    let failed = match (&creates, outcome.agreed()) {
        (_, false) => Some(outcome.why()),
        (Some(at), true) if !node.exists(at) => Some(format!("it ended well but did not make {at}")),
        (_, true) => None,
    };
    if let Some(why) = failed {
        let before = memory.get(&hash).map_or(Duration::ZERO, |tried| tried.wait);
        let wait = (before * 2).clamp(node.pace.drift, LONGEST_WAIT);
        memory.insert(hash, Tried { again: Instant::now() + wait, wait, failed: Some(why.clone()) });
        return Ok(Look::Wrong(why));
    }
    memory.remove(&hash);
    if once {
        node.change(|state| {
            state.commands.insert(hash);
        })?;
    }
    Ok(Look::Changed("it was run".to_owned()))
}
