//! How a new version of a service takes the place of the old one: few replicas at a time, each only when enough
//! others are well, and back again when one does not become well.

use std::collections::BTreeMap;

use crate::ideal::service::OnFailure;
use crate::ideal::{Service, ServiceSpec};
use crate::journal::ServiceMemory;
use crate::observed::{ServiceSeen, ServiceState};
use crate::slice::version;
use crate::time::Time;

/// Which version each replica of a service is to be of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rollout {
    /// What is remembered from now on.
    pub(super) memory: ServiceMemory,
    /// Whether a replica is still of the last good version, by its number; empty: none is.
    pub(super) old: Vec<bool>,
    /// The next instant at which the answer could change by itself.
    pub(super) wake_at: Option<Time>,
    /// What people should know, to follow the name of the service.
    pub(super) note: Option<String>,
}

impl Rollout {
    /// What a replica is to be: its spec, and how often it was started again on purpose.
    pub(super) fn of<'a>(&'a self, service: &'a Service, index: u32) -> (&'a ServiceSpec, u32) {
        let old = self.old.get(index as usize).copied().unwrap_or_default();
        match self.memory.good.as_ref().filter(|_| old) {
            Some((spec, again)) => (spec, *again),
            None => (&service.spec, self.memory.restarts),
        }
    }
}

/// What is known of a replica.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known<'a> {
    /// No node carries it.
    Nowhere,
    /// Its node says nothing of it: it is not known how it is, which is not the same as down.
    Unseen,
    /// What its node says of it.
    Seen(&'a ServiceSeen),
}

impl<'a> Known<'a> {
    fn seen(self) -> Option<&'a ServiceSeen> {
        match self {
            Known::Seen(seen) => Some(seen),
            Known::Nowhere | Known::Unseen => None,
        }
    }
}

/// Decides for one service.
pub(super) fn rollout<'a>(
    service: &Service,
    memory: &ServiceMemory,
    known: impl Fn(u32) -> Known<'a>,
    now: Time,
) -> Rollout {
    let seen = |index: u32| known(index).seen();
    let placed = || (0..service.replicas).filter(|index| !matches!(known(*index), Known::Nowhere));
    let wanted = version(&service.spec, memory.restarts);
    let good = memory.good.as_ref().map(|(spec, again)| version(spec, *again));
    let mut out = Rollout { memory: memory.clone(), old: Vec::new(), wake_at: None, note: None };
    if out.memory.bad.as_ref().is_some_and(|(bad, _)| *bad != wanted) {
        // The file changed: what was given up is of the past.
        (out.memory.bad, out.memory.paused) = (None, false);
    }
    if good.as_ref() == Some(&wanted) {
        (out.memory.next, out.memory.paused) = (None, false);
        return out;
    }
    let is_well = |index: u32| {
        seen(index).is_some_and(|seen| {
            seen.state == ServiceState::Running && seen.version.as_ref().is_none_or(|own| *own == wanted)
        })
    };
    if good.is_none() {
        if placed().next().is_some() && placed().all(is_well) {
            out.memory.good = Some((service.spec.clone(), memory.restarts));
        }
        return out;
    }
    if let Some((_, why)) = &out.memory.bad {
        out.note =
            Some(format!("does not become well as the file wants it ({why}); the version before it runs"));
        out.old = vec![true; service.replicas as usize];
        return out;
    }
    let before = out.memory.next.take().filter(|(version, _)| *version == wanted);
    let mut told = before.map(|(_, told)| told).unwrap_or_default();
    told.retain(|index, _| *index < service.replicas && !matches!(known(*index), Known::Nowhere));
    if let Some(why) = failed(service, &told, &wanted, &seen, now) {
        match service.spec.change.on_failure {
            OnFailure::Return => {
                out.note = Some(format!(
                    "does not become well as the file wants it ({why}); the version before it runs"
                ));
                out.memory.bad = Some((wanted, why));
                out.old = vec![true; service.replicas as usize];
                return out;
            }
            OnFailure::Pause => {
                out.memory.paused = true;
                out.note = Some(format!("is not changed any further: {why}"));
            }
        }
    }
    let up = |index: u32| seen(index).is_some_and(|seen| seen.state == ServiceState::Running);
    if out.memory.paused {
        out.note.get_or_insert_with(|| "is not changed any further: a person paused it".to_owned());
    } else {
        let is_down = |index: u32| if told.contains_key(&index) { !is_well(index) } else { !up(index) };
        let down = placed().filter(|index| is_down(*index)).count();
        let room = (service.spec.change.unavailable.max(1) as usize).saturating_sub(down);
        let untold: Vec<u32> = placed().filter(|index| !told.contains_key(index)).collect();
        // To change what fails already costs nobody anything. What is not seen, or starts, may well be up by now.
        let fails = |index: u32| {
            let may_be_up =
                |seen: &ServiceSeen| matches!(seen.state, ServiceState::Running | ServiceState::Starting);
            seen(index).is_some_and(|seen| !may_be_up(seen))
        };
        let free = untold.iter().copied().filter(|index| fails(*index));
        let next: Vec<u32> =
            free.chain(untold.iter().copied().filter(|index| up(*index)).take(room)).collect();
        told.extend(next.into_iter().map(|index| (index, now)));
    }
    if placed().next().is_some() && placed().all(|index| told.contains_key(&index) && is_well(index)) {
        out.memory = ServiceMemory {
            good: Some((service.spec.clone(), memory.restarts)),
            restarts: memory.restarts,
            ..ServiceMemory::default()
        };
        return out;
    }
    let ends = told.iter().filter(|(index, _)| !is_well(**index));
    out.wake_at = ends.map(|(_, since)| *since + service.spec.change.within).min();
    out.old = (0..service.replicas).map(|index| !told.contains_key(&index)).collect();
    out.memory.next = Some((wanted, told));
    out
}

/// Why the new version is given up, when one of its replicas does not become well.
fn failed<'a>(
    service: &Service,
    told: &BTreeMap<u32, Time>,
    wanted: &str,
    seen: &impl Fn(u32) -> Option<&'a ServiceSeen>,
    now: Time,
) -> Option<String> {
    told.iter().find_map(|(index, since)| {
        let seen = seen(*index);
        let own = seen.filter(|seen| seen.version.as_deref().is_none_or(|own| own == wanted));
        let address = service.address(*index);
        let why =
            || own.and_then(|seen| seen.why.clone()).unwrap_or_else(|| "it was not seen well".to_owned());
        if own.is_some_and(|seen| seen.state == ServiceState::Suspended || seen.asks.is_some()) {
            return Some(format!("{address}: {}", why()));
        }
        let well = own.is_some_and(|seen| seen.state == ServiceState::Running);
        // One that is not of the new version yet, or that nobody sees, says nothing about it.
        let late = own.is_some() && !well && now >= *since + service.spec.change.within;
        late.then(|| format!("{address} within {}: {}", service.spec.change.within, why()))
    })
}

#[cfg(test)]
mod tests;
