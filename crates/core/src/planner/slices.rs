//! What one node is to be, cut out of the whole: the slice that its agent is given, and its hash.
//!
//! The hash is worked out in two halves, so that a cloud of ten thousand nodes costs one serialisation and ten
//! thousand small hashes, not ten thousand serialisations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::id::{Name, SlotId};
use crate::ideal::{Cloud, Ideal, Service};
use crate::observed::Observed;
use crate::recipe::{FileRef, Use};
use crate::slice::{Replica, Slice};

/// The half of a slice's hash that all nodes of a cloud share.
#[derive(Clone, Debug)]
pub(super) struct CloudHash(blake3::Hasher);

impl CloudHash {
    pub(super) fn new(ideal: &Ideal, observed: &Observed, cloud: &Cloud, services: &[&Service]) -> CloudHash {
        let mut hasher = blake3::Hasher::new();
        let common = json!({
            "path": cloud.path, "recipes": cloud.recipes, "resources": cloud.resources, "hooks": cloud.hooks,
            "services": services, "secrets": secret_revisions(ideal, cloud, services),
            "plugins": plugins_of(ideal, cloud),
            "context": shared_context(ideal, observed, cloud, services),
        });
        hasher.update(common.to_string().as_bytes());
        CloudHash(hasher)
    }

    /// The hash of the slice of one node.
    pub(super) fn slot(&self, index: u32, nodes: u32, quiet: bool) -> String {
        let mut hasher = self.0.clone();
        hasher.update(&index.to_le_bytes()).update(&nodes.to_le_bytes()).update(&[u8::from(quiet)]);
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// The hash of the slice of one node, as its report will show it.
pub fn slice_hash(ideal: &Ideal, observed: &Observed, slot: SlotId, quiet: bool) -> Option<String> {
    let cloud = ideal.cloud(slot.cloud)?;
    let services = services_on(ideal, cloud);
    Some(CloudHash::new(ideal, observed, cloud, &services).slot(slot.index, cloud.nodes, quiet))
}

/// What one node is to be. None: its cloud is not in the file.
pub fn slice_of(ideal: &Ideal, observed: &Observed, slot: SlotId, quiet: bool) -> Option<Slice> {
    let cloud = ideal.cloud(slot.cloud)?;
    let services = services_on(ideal, cloud);
    let mut context = shared_context(ideal, observed, cloud, &services);
    let name = ideal.address(slot);
    context.insert("node".to_owned(), json!({"name": name, "index": slot.index}));
    Some(Slice {
        slot,
        name,
        quiet,
        recipes: cloud.recipes.iter().map(|used| (**used).clone()).collect(),
        resources: cloud.resources.iter().map(|resource| (**resource).clone()).collect(),
        replicas: services.iter().flat_map(|service| replicas(service, cloud, slot.index)).collect(),
        hooks: cloud.hooks.clone(),
        plugins: plugins_of(ideal, cloud),
        secrets: secrets_of(ideal, slot),
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

/// The names of the secrets that the texts of a slice may ask for: its agent is given these and no others.
pub fn secrets_of(ideal: &Ideal, slot: SlotId) -> BTreeSet<Name> {
    let Some(cloud) = ideal.cloud(slot.cloud) else { return BTreeSet::new() };
    secret_revisions(ideal, cloud, &services_on(ideal, cloud)).into_keys().cloned().collect()
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
    let named: BTreeSet<&Name> = cloud.recipes.iter().flat_map(|used| &used.secrets).collect();
    let asked = asked_for(&text);
    let is_used = |name: &Name| named.contains(name) || asked.contains(name.as_str());
    let all = ideal.secrets.iter().filter(|(name, _)| is_used(name));
    all.map(|(name, revision)| (name, revision.as_str())).collect()
}

/// The names behind `secret.` and in `secret['...']` in a text, and of files that are a secret.
fn asked_for(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let after = text.match_indices("secret").map(|(at, word)| &text[at + word.len()..]);
    let names = after.filter_map(|rest| {
        // A service's file names its secret as the value of a key.
        let rest = rest.strip_prefix('.').or_else(|| rest.strip_prefix("\":\"")).or_else(|| {
            // A text in JSON writes a double quote with a backslash.
            let quoted = rest.trim_start().strip_prefix('[')?.trim_start().trim_start_matches('\\');
            quoted.strip_prefix(['\'', '"'])
        })?;
        Some(&rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
    });
    names.collect()
}

fn services_on<'a>(ideal: &'a Ideal, cloud: &Cloud) -> Vec<&'a Service> {
    ideal.services.iter().filter(|service| service.cloud == cloud.id).map(AsRef::as_ref).collect()
}

/// Replica `i` runs on node `i` modulo the number of nodes.
fn replicas<'a>(service: &'a Service, cloud: &Cloud, index: u32) -> impl Iterator<Item = Replica> + 'a {
    let step = cloud.nodes.max(1) as usize;
    let own = (index..service.replicas).step_by(step).filter(move |_| index < step as u32);
    own.map(|index| Replica { service: service.name.clone(), index, spec: service.spec.clone() })
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
    if cloud.recipes.iter().any(reads) || json!([cloud.resources, services]).to_string().contains("clouds") {
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

#[cfg(test)]
mod tests {
    use super::asked_for;

    #[test]
    fn secrets_are_found_where_they_are_asked_for() {
        let text = r#"["{{ secret.token }} key", "{{ secret['app-db'] | upper }}", "{{ secret[\"one\"] }}", "secret sauce", {"secret":"key"}]"#;
        assert_eq!(asked_for(text).into_iter().collect::<Vec<_>>(), ["app-db", "key", "one", "token"]);
    }
}
