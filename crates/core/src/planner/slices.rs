//! What one node is to be, cut out of the whole: the slice that its agent is given, and its hash.
//!
//! The hash is worked out in two halves, so that a cloud of ten thousand nodes costs one serialisation and ten
//! thousand small hashes, not ten thousand serialisations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::id::{Name, SlotId};
use crate::ideal::service::names_in;
use crate::ideal::{Cloud, Ideal, Service};
use crate::observed::Observed;
use crate::recipe::{FileRef, Use};
use crate::slice::{Replica, Slice};

use super::seats::Seats;

/// The half of a slice's hash that all nodes of a cloud share.
#[derive(Clone, Debug)]
pub(super) struct CloudHash(blake3::Hasher);

impl CloudHash {
    pub(super) fn new(ideal: &Ideal, observed: &Observed, cloud: &Cloud) -> CloudHash {
        let services = services_on(ideal, cloud);
        let mut hasher = blake3::Hasher::new();
        let common = json!({
            "path": cloud.path, "recipes": cloud.recipes, "resources": cloud.resources, "hooks": cloud.hooks,
            "secrets": secret_revisions(ideal, cloud, &services),
            "plugins": plugins_of(ideal, cloud),
            "context": shared_context(ideal, observed, cloud, &services),
        });
        hasher.update(common.to_string().as_bytes());
        CloudHash(hasher)
    }

    /// The hash of the slice of one node.
    pub(super) fn slot(&self, ideal: &Ideal, seats: &Seats, slot: SlotId, nodes: u32, quiet: bool) -> String {
        let mut hasher = self.0.clone();
        hasher.update(&slot.index.to_le_bytes()).update(&nodes.to_le_bytes()).update(&[u8::from(quiet)]);
        for carried in seats.on(ideal, slot) {
            hasher.update(carried.service.name.as_str().as_bytes());
            hasher.update(&carried.index.to_le_bytes()).update(&carried.again.to_le_bytes());
            hasher.update(seats.spec_hash(&carried));
        }
        hasher.finalize().to_hex()[..16].to_owned()
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
    Some(CloudHash::new(ideal, observed, cloud).slot(ideal, seats, slot, cloud.nodes, quiet))
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
    let mut context = shared_context(ideal, observed, cloud, &services);
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
    let is_used = |name: &Name| named.contains(name) || asked.contains(name.as_str());
    let all = ideal.secrets.iter().filter(|(name, _)| is_used(name));
    all.map(|(name, revision)| (name, revision.as_str())).collect()
}

/// The services of which a node of this cloud may carry replicas.
fn services_on<'a>(ideal: &'a Ideal, cloud: &Cloud) -> Vec<&'a Service> {
    ideal.services.iter().filter(|service| service.clouds.contains(&cloud.id)).map(AsRef::as_ref).collect()
}

/// The values for expressions that all nodes of a cloud share. Other clouds' nodes are among them only when a
/// text of this cloud speaks of `clouds`, so that a new node elsewhere changes the slices that read it and no
/// others.
fn shared_context(
    ideal: &Ideal,
    observed: &Observed,
    cloud: &Cloud,
    services: &[&Service],
) -> Map<String, Value> {
    let mut context = Map::new();
    context.insert("vars".to_owned(), Value::Object(ideal.vars.clone()));
    context.insert("cloud".to_owned(), json!({"name": cloud.path, "tags": cloud.tags, "nodes": cloud.nodes}));
    let reads = |used: &Arc<Use>| used.reads_clouds;
    let specs: Vec<_> = services.iter().map(|service| &service.spec).collect();
    if cloud.recipes.iter().any(reads) || json!([cloud.resources, specs]).to_string().contains("clouds") {
        context.insert("clouds".to_owned(), clouds_of(ideal, observed));
    }
    context
}

/// The nodes of all clouds, as texts see them: `clouds['shop.db'].nodes[0].address`.
pub fn clouds_of(ideal: &Ideal, observed: &Observed) -> Value {
    let clouds = ideal.clouds.iter().map(|cloud| (cloud.path.to_string(), nodes_of(observed, cloud)));
    Value::Object(clouds.collect())
}

fn nodes_of(observed: &Observed, cloud: &Cloud) -> Value {
    let nodes: Vec<Value> = (0..cloud.nodes)
        .map(|index| {
            let seen = observed.slots.get(&SlotId { cloud: cloud.id, index });
            let newest = seen.and_then(|seen| {
                let alive = seen.machines.iter().filter(|machine| !machine.state.is_over());
                alive.max_by_key(|machine| machine.tags.generation)
            });
            let address = newest.and_then(|machine| machine.address.clone());
            let ports: Map<String, Value> = seen
                .and_then(|seen| seen.agent.report())
                .map(|report| {
                    let all = report.services.iter().map(|(name, seen)| (name.clone(), json!(seen.ports)));
                    all.collect()
                })
                .unwrap_or_default();
            json!({"name": format!("{}[{index}]", cloud.path), "index": index, "address": address, "services": ports})
        })
        .collect();
    json!({"nodes": nodes})
}
