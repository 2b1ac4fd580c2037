//! Which orders are accepted, and what each does. Everything acknowledged here is on disk.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use ideal_api::{LinkError, Order, Reply, Verb, Work};
use ideal_core::observed::Authority;
use ideal_host::now;

use ideal_resources::facts::Wish;
use tokio::sync::oneshot;

use crate::node::Node;
use crate::resources::Asked;
use crate::state::Held;
use crate::{contents, hooks, mounts, names, ports};

/// Heeds one order, or says why not.
pub(crate) async fn heed(node: &Rc<Node>, order: Order) -> Result<Reply, LinkError> {
    let (slot, generation) = (node.identity.slot, node.identity.generation);
    if (order.node.slot, order.node.generation) != (slot, generation) {
        let why = format!(
            "this is {}, and the order is for {}/{}/{}",
            node.identity.node_mark(),
            order.node.slot.cloud,
            order.node.slot.index,
            order.node.generation
        );
        return Err(LinkError::Refused { why });
    }
    if order.verb.only_asks() {
        return asked(node, order.verb).await;
    }
    if let Some(holder) = stale(node.state().authority.as_ref(), &order.authority, now()) {
        return Err(LinkError::Stale { holder });
    }
    let authority = order.authority;
    match order.verb {
        Verb::Report | Verb::Lacks { .. } | Verb::Facts { .. } => {}
        Verb::Note { demand } => stored(node.change(|state| {
            state.authority = Some(authority);
            // An engine that lost its memory may know an older version than we do.
            if state.demand.as_ref().is_none_or(|known| known.version() <= demand.version()) {
                state.demand = Some(Arc::new(demand));
            }
        }))?,
        Verb::Store { hash, size, offset, part } => {
            contents::store(node, &hash, size, offset, &part.0).map_err(|why| LinkError::Refused { why })?;
        }
        Verb::Push { slice, hash } => {
            if slice.slot != slot {
                return Err(LinkError::Refused { why: format!("the slice is of {}", slice.name) });
            }
            stored(node.change(|state| {
                state.authority = Some(authority);
                state.pushed = Some(Arc::new(Held { hash, slice: *slice }));
            }))?;
        }
        Verb::Restart { replica } => {
            let known = |held: &Held| held.slice.replicas.iter().any(|one| one.address() == replica);
            if !node.slice().is_some_and(|held| known(&held)) {
                return Err(LinkError::Refused { why: format!("{replica} is not of this node") });
            }
            stored(node.change(|state| state.authority = Some(authority)))?;
            node.again.borrow_mut().insert(replica);
            node.touch();
        }
        Verb::Work(work) => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            return worked(node, work).await;
        }
        Verb::Query { label, question } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            let (reply, answer) = oneshot::channel();
            let ending = || LinkError::Unknown { why: "the agent ended while it asked".to_owned() };
            node.work.send(Asked::Query { label, question, reply }).map_err(|_| ending())?;
            return answer.await.map_err(|_| ending())?.map(|answer| Reply::Answer(Box::new(answer)));
        }
        Verb::Pause(pause) => {
            let known = node.seen.borrow().labels.clone();
            if let Some(label) = pause.only.iter().find(|label| !known.contains(*label)) {
                return Err(LinkError::Refused { why: format!("there is no resource `{label}` here") });
            }
            stored(node.change(|state| {
                state.authority = Some(authority);
                state.pauses.retain(|one| now() < one.until && one.only != pause.only);
                state.pauses.push(pause);
            }))?;
            node.touch();
        }
        Verb::Resume => {
            stored(node.change(|state| {
                state.authority = Some(authority);
                state.pauses.clear();
            }))?;
            node.touch();
        }
        Verb::Apply { slice, hash, secrets } => {
            if slice.slot != slot {
                return Err(LinkError::Refused { why: format!("the slice is of {}", slice.name) });
            }
            let plugins = ideal_resources::plugins::install(&**node, &slice.plugins);
            plugins.map_err(|error| LinkError::Refused { why: format!("a plugin is not here: {error}") })?;
            // In memory before the slice is in force: what it names is then at hand at once.
            node.keep_secrets(&slice, &secrets);
            stored(node.change(|state| {
                state.authority = Some(authority);
                ports::choose(state, &slice);
                state.slice = Some(Arc::new(Held { hash, slice: *slice }));
                state.pushed = None;
            }))?;
            // Before any replica starts that may ask for them.
            names::put(node);
            node.touch();
        }
        Verb::Mount(order) => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            mounts::mount(node, &order).await.map_err(|why| LinkError::Refused { why })?;
            node.touch();
        }
        Verb::Unmount { volume } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            mounts::unmount(node, &volume).await.map_err(|why| LinkError::Refused { why })?;
            node.touch();
        }
        Verb::Freeze { volume, at_most, before, after } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            let refused = |why: String| LinkError::Refused { why };
            mounts::freeze(node, &volume, at_most, before, after).await.map_err(refused)?;
        }
        Verb::Thaw { volume } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            mounts::thaw(node, &volume).await.map_err(|why| LinkError::Refused { why })?;
        }
        Verb::RunHook { hook, key } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            return hooks::answer(node, &hook, &key).await.map(Reply::Hook);
        }
    }
    Ok(Reply::Accepted)
}

/// What is asked of the node without changing it.
async fn asked(node: &Rc<Node>, verb: Verb) -> Result<Reply, LinkError> {
    match verb {
        Verb::Lacks { hashes } => Ok(Reply::Lacks(contents::lacks(node, &hashes))),
        Verb::Work(work) => worked(node, work).await,
        Verb::Facts { checksums } => {
            let facts = node.gather(Wish { custom: true, sizes: true, checksums, ..Wish::default() }).await;
            let refused = |error: serde_json::Error| LinkError::Refused { why: error.to_string() };
            Ok(Reply::Facts(Box::new(serde_json::to_value(facts).map_err(refused)?)))
        }
        _ => Ok(Reply::Report(Box::new(node.report()))),
    }
}

/// Work on resources goes to those who keep them right: nobody else changes them.
async fn worked(node: &Rc<Node>, work: Work) -> Result<Reply, LinkError> {
    let (reply, rows) = oneshot::channel();
    let ending = || LinkError::Unknown { why: "the agent ended while it did this".to_owned() };
    node.work.send(Asked::Work { work: Box::new(work), reply }).map_err(|_| ending())?;
    rows.await.map_err(|_| ending())?.map(Reply::Rows)
}

fn stored(result: io::Result<()>) -> Result<(), LinkError> {
    // Written whole under another name first: when that failed, the old is still in force.
    result.map_err(|error| LinkError::Unreachable { why: format!("the order cannot be kept: {error}") })
}

/// Who holds the lease, if the giver of an order may not give it.
fn stale(known: Option<&Authority>, giver: &Authority, now: ideal_core::time::Time) -> Option<Authority> {
    let known = known?;
    let lower = giver.epoch < known.epoch;
    let takes_over = giver.forced && giver.epoch > known.epoch;
    let other = giver.store != known.store && now < known.until && !takes_over;
    (lower || other).then(|| known.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ideal_core::time::Time;

    fn authority(epoch: u64, store: &str, until: u64) -> Authority {
        Authority {
            epoch,
            holder: "anna@laptop".into(),
            store: store.into(),
            until: Time(until),
            forced: false,
        }
    }

    #[test]
    fn who_may_give_orders() {
        let held = authority(3, "a", 100);
        let check = |giver: &Authority, now: u64| stale(Some(&held), giver, Time(now)).is_some();
        assert!(stale(None, &held, Time(0)).is_none());
        assert!(!check(&authority(3, "a", 0), 50), "the holder itself");
        assert!(!check(&authority(4, "a", 0), 50), "an engine on the same store");
        assert!(check(&authority(2, "a", 0), 50), "an engine of before");
        assert!(check(&authority(4, "b", 0), 50), "another store while the lease lasts");
        assert!(!check(&authority(4, "b", 0), 100), "another store afterwards");
        let forced = |epoch| Authority { forced: true, ..authority(epoch, "b", 0) };
        assert!(!check(&forced(4), 50), "a person said so");
        assert!(check(&forced(3), 50), "but not without a higher epoch");
        assert!(check(&authority(2, "b", 0), 500), "a lower epoch, whenever");
    }
}
