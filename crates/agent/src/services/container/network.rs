//! The networks of containers: one for the whole cluster, or those that a service names. They are made when they are
//! not there; a replica has its names in each.

use std::path::Path;
use std::time::Duration;

use ideal_host::durable::Lock;
use ideal_host::engine::{CLUSTER, DATA};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::NotStarted;
use super::body::{Network, aliases};
use crate::engine::{Engine, EngineError, escaped};
use crate::node::Node;
use crate::services::wanted::Program;

/// What the networks of a program are called at the engine.
pub(super) fn names(node: &Node, program: &Program) -> Vec<String> {
    let cluster = cluster(node);
    let named = program.replica.spec.networks.iter().map(|name| format!("ideal-{cluster}-{name}"));
    let named: Vec<String> = named.collect();
    if named.is_empty() { vec![format!("ideal-{cluster}")] } else { named }
}

/// The cluster of a node, as networks are called: by its outermost cloud. Several may share an engine; nodes that
/// are folders of one data folder are of one.
fn cluster(node: &Node) -> String {
    let held = node.slice();
    let name = held.as_ref().map(|held| held.slice.name.as_str()).unwrap_or_default();
    let outermost = name.split(['.', '[']).next().unwrap_or_default();
    match data(node) {
        Some(data) => {
            let hash = blake3::hash(data.as_os_str().as_encoded_bytes()).to_hex();
            format!("{outermost}-{}", &hash[..8])
        }
        None => outermost.to_owned(),
    }
}

/// The folder of all machines of the cluster on this host, where they are folders.
fn data(node: &Node) -> Option<&Path> {
    node.home.path().parent().and_then(Path::parent).filter(|_| !node.identity.whole)
}

/// How long it waits for another agent of this host that looks after networks.
const TURN: Duration = Duration::from_millis(20);

/// How long another agent may have its turn before that is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sees to it that the networks of a program are there, each once.
pub(super) async fn bring(node: &Node, program: &Program) -> Result<Vec<Network>, NotStarted> {
    // Engines make two of one name when asked twice at once, and then start no container in either.
    let _alone = node.containers.networks.lock().await;
    let _alone_here = alone(node).await?;
    let engine = &node.containers.engine;
    let mut networks = Vec::new();
    for name in names(node, program) {
        if find(engine, &name).await?.is_empty() {
            let body = json!({
                "Name": name, "Driver": "bridge", "CheckDuplicate": true,
                "Labels": {CLUSTER: cluster(node), DATA: data(node).unwrap_or(Path::new(""))},
            });
            let made = engine.post("/networks/create", Some(&body)).await?;
            if made.code != 409 {
                made.good("make the network")?;
            }
        }
        let found = find(engine, &name).await?;
        let [first, others @ ..] = &found[..] else {
            return Err(NotStarted::Failed(format!("network {name} does not stay")));
        };
        // One whose making was given up, and was done all the same. One that is in use stays, and is told by name; what
        // somebody else made under this name is not ours to take away.
        for other in others.iter().filter(|other| other.cluster == cluster(node)) {
            engine.delete(&format!("/networks/{}", other.id)).await?;
        }
        networks.push(Network(first.id.clone()));
    }
    Ok(networks)
}

/// The turn among the agents of this host that share the engine.
async fn alone(node: &Node) -> Result<Option<Lock>, NotStarted> {
    let Some(data) = data(node) else { return Ok(None) };
    let path = data.join("networks.lock");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Lock::try_take(&path) {
            Ok(Some(lock)) => return Ok(Some(lock)),
            Ok(None) if Instant::now() > deadline => {
                let why = format!("another agent of this host holds {} and does not go on", path.display());
                return Err(NotStarted::Silent(why));
            }
            Ok(None) => sleep(TURN).await,
            Err(error) => return Err(NotStarted::Failed(format!("{}: {error}", path.display()))),
        }
    }
}

/// A network as the engine lists it. Ordered by age.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    made: jiff::Timestamp,
    id: String,
    /// Which cluster its label says it is of; empty when it has none.
    cluster: String,
}

/// The networks of a name, the oldest first.
async fn find(engine: &Engine, name: &str) -> Result<Vec<Found>, EngineError> {
    let filter = json!({"name": [name]}).to_string();
    let listed =
        engine.get(&format!("/networks?filters={}", escaped(&filter))).await?.good("list networks")?;
    Ok(named(&listed, name))
}

/// Those of a list that have this name: the engine answers with all whose name contains it.
fn named(listed: &Value, name: &str) -> Vec<Found> {
    let text = |network: &Value, at: &str| {
        network.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let same = listed.as_array().into_iter().flatten().filter(|network| text(network, "/Name") == name);
    let found = |network: &Value| Found {
        made: text(network, "/Created").parse().unwrap_or(jiff::Timestamp::MAX),
        id: text(network, "/Id"),
        cluster: text(network, &format!("/Labels/{CLUSTER}")),
    };
    let mut all: Vec<Found> = same.map(found).collect();
    all.sort();
    all
}

/// Lets a container that was made with the first of its networks join the others.
pub(super) async fn join(
    node: &Node,
    program: &Program,
    container: &str,
    networks: &[Network],
) -> Result<(), NotStarted> {
    for Network(network) in networks.iter().skip(1) {
        let body = json!({"Container": container, "EndpointConfig": {"Aliases": aliases(program)}});
        let path = format!("/networks/{network}/connect");
        node.containers.engine.post(&path, Some(&body)).await?.good("join the network")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_known_by_its_name_its_age_and_whose_it_is() {
        let listed = json!([
            {"Name": "ideal-shop", "Id": "b", "Created": "2026-01-02T00:00:00Z", "Labels": {CLUSTER: "shop"}},
            {"Name": "ideal-shop-2", "Id": "c", "Created": "2026-01-01T00:00:00Z", "Labels": {CLUSTER: "shop"}},
            {"Name": "ideal-shop", "Id": "a", "Created": "2026-01-01T00:00:00Z", "Labels": null},
            {"Name": "ideal-shop", "Id": "d", "Created": "nobody knows", "Labels": {CLUSTER: "other"}},
        ]);
        let found = named(&listed, "ideal-shop");
        let seen: Vec<_> = found.iter().map(|own| (&*own.id, &*own.cluster)).collect();
        assert_eq!(seen, [("a", ""), ("b", "shop"), ("d", "other")]);
    }
}
