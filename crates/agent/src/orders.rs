//! Which orders are accepted, and what each does. Everything acknowledged here is on disk.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use ideal_api::{LinkError, Order, Reply, Verb};
use ideal_core::observed::Authority;
use ideal_host::now;

use crate::node::Node;
use crate::state::Held;
use crate::{hooks, mounts, ports};

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
    if matches!(order.verb, Verb::Report) {
        return Ok(Reply::Report(Box::new(node.report())));
    }
    if let Some(holder) = stale(node.state().authority.as_ref(), &order.authority, now()) {
        return Err(LinkError::Stale { holder });
    }
    let authority = order.authority;
    match order.verb {
        Verb::Report => {}
        Verb::Note { demand } => stored(node.change(|state| {
            state.authority = Some(authority);
            // An engine that lost its memory may know an older version than we do.
            if state.demand.as_ref().is_none_or(|known| known.version() <= demand.version()) {
                state.demand = Some(Arc::new(demand));
            }
        }))?,
        Verb::Apply { slice, hash } => {
            if slice.slot != slot {
                return Err(LinkError::Refused { why: format!("the slice is of {}", slice.name) });
            }
            stored(node.change(|state| {
                state.authority = Some(authority);
                ports::choose(state, &slice);
                state.slice = Some(Held { hash, slice: *slice });
            }))?;
            node.touch();
        }
        Verb::Mount(order) => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            mounts::mount(node, &order).map_err(|why| LinkError::Refused { why })?;
            node.touch();
        }
        Verb::Unmount { volume } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            mounts::unmount(node, &volume).map_err(|why| LinkError::Refused { why })?;
            node.touch();
        }
        Verb::RunHook { hook, key } => {
            stored(node.change(|state| state.authority = Some(authority)))?;
            return hooks::answer(node, &hook, &key).await.map(Reply::Hook);
        }
    }
    Ok(Reply::Accepted)
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
