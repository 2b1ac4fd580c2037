//! Where replicas are reached: the names that each node resolves, and what texts ask of `services` and `routes`.
//!
//! A slice carries names so that a node resolves them alone. They are bounded, for each of 5,000 nodes is told them and
//! told again when one changes: a cluster of up to [`MOST_NAMES`] replicas tells all nodes all names; in a larger one a
//! node is told those of the services that services of its cloud start `after`, as many as that again.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::seats::{Seats, Wait};
use crate::id::{Name, SlotId};
use crate::ideal::{Cloud, Ideal, ProviderSpec, Service};
use crate::observed::Observed;

/// How many names a node is told at most. All of them stand in `/etc/hosts`, which programs read from its beginning
/// whenever they look for a name.
pub const MOST_NAMES: u32 = 1_000;

/// Addresses of replicas, by service and number.
pub(super) type Table = BTreeMap<Name, BTreeMap<u32, String>>;

/// What it takes to say where replicas are.
#[derive(Clone, Copy)]
pub(super) struct Whereabouts<'a> {
    pub ideal: &'a Ideal,
    pub observed: &'a Observed,
    pub seats: &'a Seats,
}

impl<'a> Whereabouts<'a> {
    /// The node at which a replica is found: the one that has it still, or that which is to have it.
    fn node(&self, replica: SlotId) -> Option<SlotId> {
        let place = self.seats.of(replica)?;
        match &place.waits {
            Some(Wait::Elsewhere(node)) => Some(*node),
            _ => place.node,
        }
    }

    /// The services whose names the nodes of a cloud are told, as places in the file. A node that shares its host with
    /// others is told none: it has no list of names of its own, and all of them have one address.
    pub(super) fn told(&self, cloud: &Cloud) -> Vec<usize> {
        let services = &self.ideal.services;
        if services.is_empty() || self.is_shared(&cloud.provider) {
            return Vec::new();
        }
        let cluster = cloud.path.0.first();
        let own = |service: &Service| service.spec.on.0.first() == cluster;
        let own: Vec<usize> =
            services.iter().enumerate().filter(|(_, service)| own(service)).map(|(at, _)| at).collect();
        let replicas = |at: &usize| services.get(*at).map_or(0, |service| service.replicas);
        if own.iter().map(replicas).fold(0, u32::saturating_add) <= MOST_NAMES {
            return own;
        }
        let here = services.iter().filter(|service| service.clouds.contains(&cloud.id));
        let needed: std::collections::BTreeSet<&Name> =
            here.flat_map(|service| &service.spec.after).collect();
        let mut left = MOST_NAMES;
        let mut told = Vec::new();
        for (at, service) in services.iter().enumerate() {
            if needed.contains(&service.name) && service.replicas <= left {
                left -= service.replicas;
                told.push(at);
            }
        }
        told
    }

    fn is_shared(&self, provider: &Name) -> bool {
        matches!(self.ideal.providers.get(provider), Some(ProviderSpec::Local))
    }

    /// The addresses of the replicas of these services, where they are known.
    pub(super) fn table(&self, services: &[usize]) -> Table {
        let services = services.iter().filter_map(|at| self.ideal.services.get(*at));
        let of = |service: &Service| {
            let all = (0..service.replicas).filter_map(|index| {
                let node = self.node(service.slot(index))?;
                let cloud = self.ideal.cloud(node.cloud).filter(|cloud| !self.is_shared(&cloud.provider));
                Some((index, address_of(self.observed, cloud.map(|_| node)?)?))
            });
            all.collect::<BTreeMap<_, _>>()
        };
        let all = services.map(|service| (service.name.clone(), of(service)));
        all.filter(|(_, replicas)| !replicas.is_empty()).collect()
    }

    /// All services, as texts see them: `services['pub'].replicas[0].address`.
    pub(super) fn services(&self) -> Value {
        let services = self.ideal.services.iter();
        let all = services.map(|service| {
            let replicas: Vec<Value> =
                (0..service.replicas).map(|index| self.replica(service, index)).collect();
            (service.name.to_string(), json!({"replicas": replicas}))
        });
        Value::Object(all.collect())
    }

    fn replica(&self, service: &Service, index: u32) -> Value {
        let name = service.address(index);
        let node = self.node(service.slot(index));
        let mut ports: Map<String, Value> = Map::new();
        for (port, said) in &service.spec.ports {
            // A number that the file says is known also while its node is silent.
            ports.extend(said.fixed().map(|number| (port.to_string(), json!(number))));
        }
        let seen = node.and_then(|node| self.observed.slots.get(&node)?.agent.report()?.services.get(&name));
        ports.extend(
            seen.into_iter()
                .flat_map(|seen| &seen.ports)
                .map(|(port, number)| (port.to_string(), json!(number))),
        );
        json!({
            "name": name, "index": index, "node": node.map(|node| self.ideal.address(node)),
            "address": node.and_then(|node| address_of(self.observed, node)), "ports": ports,
        })
    }

    /// The routes of the file by their hosts, each with the servers that can be asked. Of a secret it has the name; its
    /// value is put there on the node.
    pub(super) fn routes(&self) -> Value {
        let mut routes: BTreeMap<&str, Value> = BTreeMap::new();
        for service in &self.ideal.services {
            let Some(route) = &service.spec.route else { continue };
            let Some(port) = route.port_of(&service.spec) else { continue };
            let servers = (0..service.replicas).filter_map(|index| {
                let replica = self.replica(service, index);
                let number = replica.get("ports")?.get(port.as_str())?.as_u64()?;
                let address = replica.get("address")?.as_str()?;
                let at = match address.contains(':') {
                    true => format!("[{address}]:{number}"),
                    false => format!("{address}:{number}"),
                };
                Some(json!({"name": replica.get("name"), "node": replica.get("node"), "at": at}))
            });
            let servers: Vec<Value> = servers.collect();
            let tls = route.tls.as_ref();
            let said = json!({
                "host": route.host, "service": service.name, "servers": servers, "tls": tls.is_some(),
                "certificate": tls.map(|tls| &tls.certificate), "key": tls.map(|tls| &tls.key),
            });
            routes.entry(&route.host).or_insert(said);
        }
        Value::Array(routes.into_values().collect())
    }
}

/// The address of the newest machine of a node.
pub(super) fn address_of(observed: &Observed, node: SlotId) -> Option<String> {
    let alive = observed.slots.get(&node)?.machines.iter().filter(|machine| !machine.state.is_over());
    alive.max_by_key(|machine| machine.tags.generation)?.address.clone()
}
