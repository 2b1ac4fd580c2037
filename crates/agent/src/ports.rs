//! Ports of replicas: fixed ones as given, others chosen here and kept for as long as they are free.

use std::net::{Ipv4Addr, TcpListener};

use ideal_core::id::Name;
use ideal_core::ideal::service::Port;
use ideal_core::slice::{Replica, Slice};

use crate::state::State;

/// Gives every replica of a slice its ports and forgets those of replicas that are gone.
pub(crate) fn choose(state: &mut State, slice: &Slice) {
    let mut kept = std::mem::take(&mut state.ports);
    for replica in &slice.replicas {
        let before = kept.remove(&replica.address()).unwrap_or_default();
        let port = |(name, port): (&Name, &Port)| {
            let number = port.fixed().or_else(|| before.get(name).copied()).or_else(free);
            Some((name.clone(), number?))
        };
        state.ports.insert(replica.address(), replica.spec.ports.iter().filter_map(port).collect());
    }
}

/// Chooses anew each port of a replica that was chosen here and is taken now. Answers whether any was.
pub(crate) fn choose_again(state: &mut State, replica: &Replica) -> bool {
    let mut changed = false;
    let ports = state.ports.entry(replica.address()).or_default();
    for (name, port) in &replica.spec.ports {
        let taken = ports.get(name).is_none_or(|number| !is_free(*number));
        if let (None, true, Some(number)) = (port.fixed(), taken, free()) {
            ports.insert(name.clone(), number);
            changed = true;
        }
    }
    changed
}

/// Whether a replica has a port that was chosen here and is taken now.
pub(crate) fn must_choose_again(state: &State, replica: &Replica) -> bool {
    let ports = state.ports.get(&replica.address());
    let auto = replica.spec.ports.iter().filter(|(_, port)| port.fixed().is_none());
    auto.into_iter()
        .any(|(name, _)| ports.and_then(|ports| ports.get(name)).is_none_or(|number| !is_free(*number)))
}

fn free() -> Option<u16> {
    Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok()?.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
