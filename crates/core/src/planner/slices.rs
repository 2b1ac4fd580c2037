//! What one node is to be, cut out of the whole: the slice that its agent is given, and its hash.
//!
//! The hash is worked out in two halves, so that a cloud of ten thousand nodes costs one serialisation and ten
//! thousand small hashes, not ten thousand serialisations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::id::{Name, SlotId};
use crate::ideal::service::names_in;
use crate::ideal::{Cloud, Ideal, Service};
use crate::observed::Observed;
use crate::recipe::{FileRef, Reads};
use crate::slice::{Replica, Slice, hash_with_names};

use super::names::{Whereabouts, address_of};
use super::seats::Seats;

/// The half of a slice's hash that all nodes of a cloud share.
#[derive(Clone, Debug)]
pub(super) struct CloudHash {
    hasher: blake3::Hasher,
    /// The hash of the names that its nodes are told; none: they are told none.
    names: Option<String>,
}

impl CloudHash {
    pub(super) fn new(at: Whereabouts<'_>, cloud: &Cloud, names: Option<String>) -> CloudHash {
        let ideal = at.ideal;
        let services = services_on(ideal, cloud);
        let mut hasher = blake3::Hasher::new();
        let common = json!({
            "path": cloud.path, "recipes": cloud.recipes, "resources": cloud.resources, "hooks": cloud.hooks,
            "secrets": secret_revisions(ideal, cloud, &services),
            "plugins": plugins_of(ideal, cloud),
            "context": shared_context(at, cloud, &services),
        });
        hasher.update(common.to_string().as_bytes());
        CloudHash { hasher, names }
    }

    /// The hash of the slice of one node.
    pub(super) fn slot(&self, ideal: &Ideal, seats: &Seats, slot: SlotId, nodes: u32, quiet: bool) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&slot.index.to_le_bytes()).update(&nodes.to_le_bytes()).update(&[u8::from(quiet)]);
        for carried in seats.on(ideal, slot) {
            hasher.update(carried.service.name.as_str().as_bytes());
            hasher.update(&carried.index.to_le_bytes()).update(&carried.again.to_le_bytes());
            hasher.update(seats.spec_hash(&carried));
        }
        let rest = &hasher.finalize().to_hex()[..16];
        match self.names.as_ref().filter(|_| !quiet) {
            Some(names) => hash_with_names(rest, names),
            None => rest.to_owned(),
        }
    }
}

/// The hashes of names, worked out once for all clouds that are told the same.
pub(super) struct NamesHashes<'a> {
    at: Whereabouts<'a>,
    known: BTreeMap<Vec<usize>, Option<String>>,
}

impl<'a> NamesHashes<'a> {
    pub(super) fn new(at: Whereabouts<'a>) -> NamesHashes<'a> {
        NamesHashes { at, known: BTreeMap::new() }
    }
    pub(super) fn of(&mut self, cloud: &Cloud) -> Option<String> {
        let at = self.at;
        let hash = |told: &Vec<usize>| {
            let table = at.table(told);
            let text = serde_json::to_vec(&table).unwrap_or_default();
            (!table.is_empty()).then(|| blake3::hash(&text).to_hex()[..8].to_owned())
        };
        self.known.entry(at.told(cloud)).or_insert_with_key(hash).clone()
    }
}

/// The hash of the slice of one node, as its report will show it.
pub fn slice_hash(
    ideal: &Ideal,
    observed: &Observed,
    seats: &Seats,
    slot: SlotId,
    quiet: bool,
) -> Option<String> {
    let cloud = ideal.cloud(slot.cloud)?;
    let at = Whereabouts { ideal, observed, seats };
    let names = NamesHashes::new(at).of(cloud);
    Some(CloudHash::new(at, cloud, names).slot(ideal, seats, slot, cloud.nodes, quiet))
}

/// What one node is to be. None: its cloud is not in the file.
pub fn slice_of(
    ideal: &Ideal,
    observed: &Observed,
    seats: &Seats,
    slot: SlotId,
    quiet: bool,
) -> Option<Slice> {
    let cloud = ideal.cloud(slot.cloud)?;
    let services = services_on(ideal, cloud);
    let at = Whereabouts { ideal, observed, seats };
    let mut context = shared_context(at, cloud, &services);
    let name = ideal.address(slot);
    context.insert("node".to_owned(), json!({"name": name, "index": slot.index}));
    let replicas = seats.on(ideal, slot).map(|carried| Replica {
        service: carried.service.name.clone(),
        index: carried.index,
        spec: carried.spec.clone(),
        again: carried.again,
    });
    Some(Slice {
        slot,
        name,
        quiet,
        recipes: cloud.recipes.iter().map(|used| (**used).clone()).collect(),
        resources: cloud.resources.iter().map(|resource| (**resource).clone()).collect(),
        replicas: replicas.collect(),
        names: if quiet { BTreeMap::new() } else { at.table(&at.told(cloud)) },
        hooks: cloud.hooks.clone(),
        plugins: plugins_of(ideal, cloud),
        secrets: secrets_for(ideal, seats, cloud, slot),
        context: Value::Object(context),
    })
}

/// The programs of the plugins that a cloud's resources use. One that is missing is said by the check.
fn plugins_of(ideal: &Ideal, cloud: &Cloud) -> BTreeMap<Name, FileRef> {
    let own = cloud.resources.iter().map(AsRef::as_ref);
    let all = own.chain(cloud.recipes.iter().flat_map(|used| &used.resources));
    let names = all.filter_map(|declaration| Some(&declaration.plugin.as_ref()?.uses));
    names.filter_map(|name| Some((name.clone(), ideal.plugins.get(name)?.clone()))).collect()
}

/// The names of the secrets that the texts of a cloud's nodes may ask for, whichever replicas they carry.
pub fn secrets_of(ideal: &Ideal, slot: SlotId) -> BTreeSet<Name> {
    let Some(cloud) = ideal.cloud(slot.cloud) else { return BTreeSet::new() };
    secret_revisions(ideal, cloud, &services_on(ideal, cloud)).into_keys().cloned().collect()
}

/// The secrets that the texts of one node may ask for: a node is given those of the replicas that it carries.
fn secrets_for(ideal: &Ideal, seats: &Seats, cloud: &Cloud, slot: SlotId) -> BTreeSet<Name> {
    let mut carried: Vec<&Service> = seats.on(ideal, slot).map(|carried| carried.service).collect();
    carried.dedup_by_key(|service| service.id);
    secret_revisions(ideal, cloud, &carried).into_keys().cloned().collect()
}

/// The same with their revisions, so that a secret that changes changes the slices that use it.
fn secret_revisions<'a>(
    ideal: &'a Ideal,
    cloud: &Cloud,
    services: &[&Service],
) -> BTreeMap<&'a Name, &'a str> {
    if ideal.secrets.is_empty() {
        return BTreeMap::new();
    }
    let options: Vec<_> = cloud.recipes.iter().map(|used| &used.options).collect();
    let text = json!([options, cloud.resources, services, cloud.hooks]).to_string();
    let files = services.iter().flat_map(|service| &service.spec.files);
    let files = files.filter_map(|file| file.secret.as_ref());
    let named: BTreeSet<&Name> = cloud.recipes.iter().flat_map(|used| &used.secrets).chain(files).collect();
    let asked = names_in(&text, "secret");
    // Whoever serves routes serves them with their certificates.
    let routes = ideal.services.iter().filter_map(|service| service.spec.route.as_ref());
    let served: BTreeSet<&Name> =
        routes.filter(|_| reads(cloud, services).routes).flat_map(|route| route.secrets()).collect();
    let is_used =
        |name: &Name| named.contains(name) || served.contains(name) || asked.contains(name.as_str());
    let all = ideal.secrets.iter().filter(|(name, _)| is_used(name));
    all.map(|(name, revision)| (name, revision.as_str())).collect()
}

/// The services of which a node of this cloud may carry replicas.
fn services_on<'a>(ideal: &'a Ideal, cloud: &Cloud) -> Vec<&'a Service> {
    ideal.services.iter().filter(|service| service.clouds.contains(&cloud.id)).map(AsRef::as_ref).collect()
}

/// What the texts of a cloud's nodes ask for beyond their node.
fn reads(cloud: &Cloud, services: &[&Service]) -> Reads {
    let specs: Vec<_> = services.iter().map(|service| &service.spec).collect();
    let own = Reads::of(&json!([cloud.resources, specs]).to_string());
    cloud.recipes.iter().fold(own, |all, used| all.and(used.reads))
}

/// The values for expressions that all nodes of a cloud share.
fn shared_context(at: Whereabouts<'_>, cloud: &Cloud, services: &[&Service]) -> Map<String, Value> {
    let mut context = beyond(at, reads(cloud, services));
    context.insert("vars".to_owned(), Value::Object(at.ideal.vars.clone()));
    context.insert("cloud".to_owned(), json!({"name": cloud.path, "tags": cloud.tags, "nodes": cloud.nodes}));
    context
}

fn beyond(at: Whereabouts<'_>, reads: Reads) -> Map<String, Value> {
    let mut context = Map::new();
    if reads.clouds {
        let clouds = at.ideal.clouds.iter();
        let clouds = clouds.map(|cloud| (cloud.path.to_string(), nodes_of(at.observed, cloud)));
        context.insert("clouds".to_owned(), Value::Object(clouds.collect()));
    }
    if reads.services {
        context.insert("services".to_owned(), at.services());
    }
    if reads.routes {
        context.insert("routes".to_owned(), at.routes());
    }
    context
}

/// What texts see beyond their node, as far as they ask for it: `clouds['shop.db'].nodes[0].address`,
/// `services['pub'].replicas[0].address`, `routes`.
pub fn seen_by_texts(ideal: &Ideal, observed: &Observed, seats: &Seats, reads: Reads) -> Map<String, Value> {
    beyond(Whereabouts { ideal, observed, seats }, reads)
}

fn nodes_of(observed: &Observed, cloud: &Cloud) -> Value {
    let nodes: Vec<Value> = (0..cloud.nodes)
        .map(|index| {
            let slot = SlotId { cloud: cloud.id, index };
            let report = observed.slots.get(&slot).and_then(|seen| seen.agent.report());
            let services = report.into_iter().flat_map(|report| &report.services);
            let ports: Map<String, Value> =
                services.map(|(name, seen)| (name.clone(), json!(seen.ports))).collect();
            let address = address_of(observed, slot);
            json!({"name": format!("{}[{index}]", cloud.path), "index": index, "address": address, "services": ports})
        })
        .collect();
    json!({"nodes": nodes})
}
