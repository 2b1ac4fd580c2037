//! Hooks: programs at the edges of states, run once for each key.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ideal_api::LinkError;
use ideal_core::ideal::Hook;
use ideal_core::observed::HookSeen;
use ideal_host::now;
use ideal_resources::exec::{self, Program};
use tokio::sync::watch;

use crate::node::Node;
use crate::render::render;

/// How long a hook may take that does not say. As the file's page promises.
pub(crate) const USUAL: Duration = Duration::from_secs(30);
/// How many answers are remembered: far more than runs that can still be asking.
const REMEMBERED: usize = 64;

/// Hooks that run now, by key: who asks again while one runs waits for the same answer.
pub(crate) type Running = RefCell<BTreeMap<String, watch::Receiver<Option<HookSeen>>>>;

/// The answer to `key`: the remembered one, or that of a run now.
pub(crate) async fn answer(node: &Rc<Node>, hook: &str, key: &str) -> Result<HookSeen, LinkError> {
    if let Some(seen) = node.state().hooks.get(key) {
        return Ok(seen.clone());
    }
    let argv = wanted(node, hook)?;
    let running = node.hooks.borrow().get(key).cloned();
    let mut answer = match running {
        Some(answer) => answer,
        None => {
            let (tell, answer) = watch::channel(None);
            node.hooks.borrow_mut().insert(key.to_owned(), answer.clone());
            let (node, label, key) = (node.clone(), format!("hook {hook}"), key.to_owned());
            // A run of its own: who asked may hang up, and the answer is still worth keeping.
            tokio::task::spawn_local(async move {
                let seen = match argv {
                    Some((argv, limit)) => {
                        let outcome = exec::run(&*node, &label, &Program::new(argv, limit)).await;
                        let output = match (&outcome.failed, outcome.output.is_empty()) {
                            (Some(failed), true) => failed.clone(),
                            _ => outcome.output.clone(),
                        };
                        HookSeen { agreed: outcome.agreed(), output, at: now() }
                    }
                    None => HookSeen { agreed: true, output: String::new(), at: now() },
                };
                node.log.say(format_args!("{label}: {}", if seen.agreed { "agreed" } else { "refused" }));
                remember(&node, &key, &seen);
                node.hooks.borrow_mut().remove(&key);
                let _ = tell.send(Some(seen));
            });
            answer
        }
    };
    let seen = answer.wait_for(Option::is_some).await.map(|seen| seen.clone());
    match seen {
        Ok(Some(seen)) => Ok(seen),
        _ => Err(LinkError::Unknown { why: format!("the hook {hook} broke off") }),
    }
}

/// What to run and for how long; none when the slice has no such hook, which is agreement.
fn wanted(node: &Node, hook: &str) -> Result<Option<(Vec<String>, Duration)>, LinkError> {
    let refused = |why: String| LinkError::Refused { why };
    let held =
        node.slice().ok_or_else(|| refused("there is no slice yet that could hold a hook".to_owned()))?;
    let hooks = &held.slice.hooks;
    let spec: &Option<Hook> = match hook {
        "launched" => &hooks.launched,
        "unmountable" => &hooks.unmountable,
        "haltable" => &hooks.haltable,
        other => return Err(refused(format!("there is no hook `{other}`"))),
    };
    let Some(spec) = spec else { return Ok(None) };
    let context = node.context(&held.slice, None);
    let words = spec.run.0.iter().map(|word| render(word, &context)).collect::<Result<Vec<_>, _>>();
    let words = words.map_err(|problem| refused(format!("hook {hook}: {problem}")))?;
    Ok(Some((words, spec.timeout.map_or(USUAL, |limit| limit.std()))))
}

fn remember(node: &Node, key: &str, seen: &HookSeen) {
    let kept = node.change(|state| {
        state.hooks.insert(key.to_owned(), seen.clone());
        while state.hooks.len() > REMEMBERED {
            let oldest = state.hooks.iter().min_by_key(|(_, seen)| seen.at).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            state.hooks.remove(&oldest);
        }
    });
    if let Err(error) = kept {
        node.log.say(format_args!("the answer of a hook is not kept: {error}"));
    }
}
