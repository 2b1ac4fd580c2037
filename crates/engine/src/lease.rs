//! Who may act: the lease, held in the store and at the agents.

use futures_util::stream::{self, StreamExt};
use ideal_api::{Order, Verb};
use ideal_core::id::{Epoch, Generation, SlotId};
use ideal_core::observed::{Authority, MachineState, Observed};
use ideal_core::slice::ForNode;
use ideal_core::time::{Span, Time};
use ideal_store::{JournalError, Wish};

use crate::observe::AGENTS_AT_ONCE;
use crate::outside::Outside;
use crate::reconcile::{Engine, EngineError};

/// How long a lease lasts without being renewed: longer than any single call, short enough that a person who
/// lost a laptop does not wait long.
pub const LEASE: Span = Span::secs(30);

/// The highest epoch seen anywhere, and who else still gives orders to agents.
pub(crate) fn seen(observed: &Observed, store: &str, now: Time) -> (Epoch, Option<Authority>) {
    let mut highest = 0;
    let mut other: Option<Authority> = None;
    for slot in observed.slots.values() {
        let machines = slot.machines.iter().map(|machine| machine.tags.epoch);
        let volumes = slot.volumes.iter().map(|volume| volume.tags.epoch);
        let snapshots = slot.snapshots.iter().map(|snapshot| snapshot.tags.epoch);
        highest = machines.chain(volumes).chain(snapshots).fold(highest, Epoch::max);
        let Some(authority) = slot.agent.report().and_then(|report| report.authority.as_ref()) else {
            continue;
        };
        highest = highest.max(authority.epoch);
        if authority.store != store && authority.until > now {
            other = Some(authority.clone());
        }
    }
    (highest, other)
}

/// Takes the lease. Refused while an engine on another store still gives orders, unless forced.
pub(crate) fn take(
    outside: &Outside,
    observed: &Observed,
    known: Epoch,
    holder: &str,
    force: bool,
) -> Result<Authority, EngineError> {
    let now = outside.clock.now();
    let store = outside.journal.name().to_owned();
    let (highest, other) = seen(observed, &store, now);
    if let Some(other) = other.filter(|_| !force) {
        let Authority { holder, epoch, until, .. } = other;
        return Err(EngineError::Journal(JournalError::Held { holder, epoch, until }));
    }
    let until = now + LEASE;
    let wish = Wish { holder: holder.to_owned(), now, until, above: highest.max(known), force };
    let epoch = outside.journal.take(&wish)?;
    Ok(Authority { epoch, holder: holder.to_owned(), store, until, forced: force })
}

/// Makes sure, immediately before an effect, that the lease is still ours; renews it in time.
pub(crate) fn hold(
    outside: &Outside,
    authority: &std::cell::RefCell<Authority>,
) -> Result<Authority, JournalError> {
    let now = outside.clock.now();
    let mut held = authority.borrow_mut();
    outside.journal.check(held.epoch)?;
    if held.until.since(now) < Span(LEASE.0 / 2) {
        held.until = now + LEASE;
        outside.journal.renew(held.epoch, held.until)?;
    }
    Ok(held.clone())
}

impl Engine {
    /// Gives the lease back, in the store and at the agents that still hold us to it: somebody else need not wait
    /// until it is over. An agent that does not answer waits it out.
    pub async fn release(&mut self) -> Result<(), EngineError> {
        let common = self.common();
        let now = common.outside.clock.now();
        let authority = Authority { until: now, ..common.authority.borrow().clone() };
        let held = self.observed().slots.iter().filter_map(|(slot, seen)| {
            let known = seen.agent.report()?.authority.as_ref()?;
            let machine = seen.machines.iter().find(|machine| machine.state == MachineState::Running)?;
            let held = known.epoch == authority.epoch && known.until > now;
            held.then_some((*slot, machine.tags.generation, machine.agent.clone()?))
        });
        let tell = |(slot, generation, address): (SlotId, Generation, String)| {
            let demand = (**common.demands.borrow()).clone();
            let (node, verb) = (ForNode { slot, generation }, Verb::Note { demand });
            let order = Order { node, authority: authority.clone(), verb };
            let outside = common.outside.clone();
            async move {
                let _ = outside.effect("note", outside.link.ask(&address, &order)).await;
            }
        };
        stream::iter(held).map(tell).buffer_unordered(AGENTS_AT_ONCE).collect::<Vec<()>>().await;
        Ok(common.outside.journal.release(authority.epoch)?)
    }
}
