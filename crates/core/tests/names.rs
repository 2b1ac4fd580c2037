//! What nodes are told of replicas elsewhere: names for those that have a list of their own, and values for texts that
//! ask for them.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use ideal_core::demand::{Demands, Scope, State};
use ideal_core::id::{MachineId, Name, SlotId};
use ideal_core::ideal::Ideal;
use ideal_core::journal::{Record, Seated, View};
use ideal_core::model;
use ideal_core::observed::{
    AgentSeen, MachineState, Observed, Report, ServiceSeen, ServiceState, Sight, SlotSeen, Tags,
};
use ideal_core::planner::{
    Consent, Input, MOST_NAMES, Patience, ProviderTraits, Seats, seats, secrets_of, slice_hash, slice_of,
};
use ideal_core::slice::{Slice, without_names};
use ideal_core::time::Time;
use ideal_file::{Sources, load};
use serde_json::json;

const NOW: Time = Time(1_000_000);

struct World {
    ideal: Ideal,
    observed: Observed,
    view: View,
}

impl World {
    /// A cluster with addresses, another one, and one whose nodes share a host; two nodes each, all of them up.
    fn new(services: &str) -> World {
        let text = format!(
            r#"ideal: 1
providers: {{box: docker, here: local}}
secrets: {{pub-key: age, other: age}}
clouds:
  shop:
    uuid: 5f0c6f2e-0000-4000-8000-000000000001
    provider: box
    image: debian
    clouds:
      edge:
        uuid: 5f0c6f2e-0000-4000-8000-000000000002
        nodes: 1
        resources: [file: {{path: /r, content: "{{{{ routes | length }}}}"}}]
      web:
        uuid: 5f0c6f2e-0000-4000-8000-000000000003
        nodes: 2
        resources: [file: {{path: /r, content: "{{{{ cloud.name }}}} speaks of routes"}}]
  lone: {{uuid: 5f0c6f2e-0000-4000-8000-000000000004, nodes: 2, provider: box, image: debian}}
  desk: {{uuid: 5f0c6f2e-0000-4000-8000-000000000005, nodes: 2, provider: here}}
services:
{services}"#
        );
        let mut ideal = load(&Sources::one("ideal.yaml", text.as_bytes())).resolved.unwrap().ideal;
        // As the edge does that has looked.
        ideal.secrets = ["pub-key", "other"].map(|name| (Name::new(name).unwrap(), "1".to_owned())).into();
        let sight = ideal.providers.keys().map(|name| (name.clone(), Sight::Whole)).collect();
        let observed = Observed { at: NOW, sight, ..Observed::default() };
        let mut world = World { ideal, observed, view: View::default() };
        let clouds: Vec<_> = world.ideal.clouds.iter().map(|cloud| (cloud.id, cloud.nodes)).collect();
        for (at, (cloud, nodes)) in clouds.into_iter().enumerate() {
            (0..nodes).for_each(|index| world.up(SlotId { cloud, index }, &format!("10.0.{at}.{index}")));
        }
        world
    }
    fn up(&mut self, slot: SlotId, address: &str) {
        let tags = Tags {
            cloud: slot.cloud,
            index: Some(slot.index),
            mount: None,
            generation: 1,
            token: None,
            demand: None,
            epoch: 0,
        };
        let id = MachineId::new(format!("m-{}-{}", slot.cloud, slot.index));
        let mut machine = model::new_machine(id, tags, "", "");
        machine.state = MachineState::Running;
        machine.address = Some(address.to_owned());
        let report = Report { generation: 1, ..Report::default() };
        let agent = AgentSeen::Answered(Box::new(report));
        let provider = self.ideal.provider_of(slot.cloud).cloned();
        let seen = SlotSeen { provider, machines: vec![machine], agent, ..SlotSeen::default() };
        self.observed.slots.insert(slot, seen);
    }
    fn node(&self, address: &str) -> SlotId {
        let (path, index) = address.strip_suffix(']').unwrap().split_once('[').unwrap();
        let cloud = self.ideal.clouds.iter().find(|cloud| cloud.path.to_string() == path).unwrap();
        SlotId { cloud: cloud.id, index: index.parse().unwrap() }
    }
    fn replica(&self, service: &str, index: u32) -> SlotId {
        self.ideal.services.iter().find(|own| own.name.as_str() == service).unwrap().slot(index)
    }
    /// An agent says that it has this, with its port `main`.
    fn runs(&mut self, node: &str, replica: &str, port: u16) {
        let slot = self.node(node);
        let AgentSeen::Answered(report) = &mut self.observed.slots.get_mut(&slot).unwrap().agent else {
            panic!("no agent");
        };
        let ports = BTreeMap::from([(Name::new("main").unwrap(), port)]);
        let (state, version) = (ServiceState::Running, None);
        let (pid, container, asks, why) = (Some(1), None, None, None);
        let seen = ServiceSeen { state, pid, container, version, asks, since: NOW, restarts: 0, ports, why };
        report.services.insert(replica.to_owned(), seen);
    }
    fn seats(&self) -> Seats {
        let traits = ProviderTraits::AT_HAND;
        let mut demands = Demands::none();
        demands.demand(Scope::Whole, State::Launched, 1, |_| true);
        seats(&Input {
            ideal: &self.ideal,
            demands: &demands,
            observed: &self.observed,
            view: &self.view,
            consent: &Consent::default(),
            patience: &Patience::default(),
            providers: &self.ideal.providers.keys().map(|name| (name.clone(), traits)).collect(),
            now: NOW,
        })
    }
    fn slice(&self, node: &str, quiet: bool) -> Slice {
        slice_of(&self.ideal, &self.observed, &self.seats(), self.node(node), quiet).unwrap()
    }
    /// The names that a node is told: `pub-0=10.0.4.0`.
    fn told(&self, node: &str) -> String {
        let names = self.slice(node, false).names.into_iter();
        let all = names.flat_map(|(service, replicas)| {
            replicas.into_iter().map(move |(index, address)| format!("{service}-{index}={address}"))
        });
        all.collect::<Vec<_>>().join(" ")
    }
    fn hashes(&self) -> Vec<String> {
        let nodes = ["shop.edge[0]", "shop.web[0]", "lone[0]", "desk[0]"];
        let seats = self.seats();
        let hash = |node: &&str| slice_hash(&self.ideal, &self.observed, &seats, self.node(node), false);
        nodes.iter().map(|node| hash(node).unwrap()).collect()
    }
}

const PUB: &str = "  pub: {on: shop.web, replicas: 2, command: ./pub, ports: {main: auto}}\n";

#[test]
fn a_cluster_knows_its_own() {
    let own = "  own: {on: lone, replicas: 1, command: ./own}\n  here: {on: desk, command: ./here}\n";
    let mut world = World::new(&format!("{PUB}{own}"));
    let both = "pub-0=10.0.4.0 pub-1=10.0.4.1";
    assert_eq!([world.told("shop.edge[0]"), world.told("shop.web[1]")], [both, both]);
    assert_eq!(world.told("lone[1]"), "own-0=10.0.1.0");
    assert_eq!(world.told("desk[0]"), "", "who shares a host with others has no list");
    assert!(world.slice("shop.web[0]", true).names.is_empty(), "who is put away forgets all");
    // A change is told to those that it concerns.
    let before = world.hashes();
    let moved = world.node("shop.web[1]");
    world.up(moved, "10.0.9.9");
    assert_eq!(world.told("shop.edge[0]"), "pub-0=10.0.4.0 pub-1=10.0.9.9");
    let changed: Vec<bool> = before.iter().zip(world.hashes()).map(|(was, is)| *was != is).collect();
    assert_eq!(changed, [true, true, false, false]);
    // All else that is wanted there is as before, and can be told so.
    for (was, is) in before.iter().zip(world.hashes()) {
        assert_eq!(without_names(was), without_names(&is));
    }
    // Where a machine has no address yet, there is no name.
    world.observed.slots.get_mut(&moved).unwrap().machines[0].address = None;
    assert_eq!(world.told("shop.edge[0]"), "pub-0=10.0.4.0");
}

#[test]
fn a_name_leads_to_where_it_is_until_it_has_left() {
    let mut world = World::new(PUB);
    let (replica, node) = (world.replica("pub", 0), world.node("shop.web[1]"));
    world.runs("shop.web[0]", "pub[0]", 4000);
    let asked = Seated { node, generation: 1, up: false, asked: true, moved: 0 };
    world.view.take(NOW, &Record::Seated { seats: [(replica, Some(asked))].into() });
    assert_eq!(world.told("shop.edge[0]"), "pub-0=10.0.4.0 pub-1=10.0.4.0");
    let left = world.node("shop.web[0]");
    world.up(left, "10.0.4.0");
    assert_eq!(world.told("shop.edge[0]"), "pub-0=10.0.4.1 pub-1=10.0.4.0");
}

#[test]
fn a_large_cluster_tells_what_is_needed() {
    let large = |after: &str, many: u32| {
        World::new(&format!(
            "{PUB}  many: {{on: shop.web, replicas: {many}, command: ./many}}\n  asks: {{on: shop.edge, command: \
             ./asks{after}}}\n"
        ))
    };
    let all = large("", MOST_NAMES - 3);
    assert_eq!(all.told("shop.web[0]").split(' ').count() as u32, MOST_NAMES);
    let bare = large("", MOST_NAMES - 2);
    assert_eq!([bare.told("shop.web[0]"), bare.told("shop.edge[0]")], ["", ""]);
    let needs = large(", after: [many, pub]", MOST_NAMES);
    assert_eq!(needs.told("shop.web[0]"), "");
    // Together they would be too many.
    assert_eq!(needs.told("shop.edge[0]").split(' ').count() as u32, MOST_NAMES);
    assert!(!needs.told("shop.edge[0]").contains("pub-0"));
}

#[test]
fn texts_that_ask_are_told_routes_and_their_secrets() {
    let services = "  pub: {on: shop.web, replicas: 2, command: ./pub, ports: {main: auto}, route: {host: b.org}}\n  \
                    safe: {on: shop.web, replicas: 1, command: ./safe, ports: {main: 80, admin: auto}, route: \
                    {host: a.org, port: main, tls: {certificate: pub-key, key: pub-key}}}\n";
    let mut world = World::new(services);
    world.runs("shop.web[1]", "pub[1]", 4001);
    world.runs("shop.web[0]", "safe[0]", 80);
    // Its number is known from the file also while nobody says it.
    let silent = world.node("shop.web[0]");
    world.observed.slots.get_mut(&silent).unwrap().agent =
        AgentSeen::Silent { since: NOW, why: "it timed out".to_owned() };
    let (replica, node) = (world.replica("safe", 0), silent);
    let seat = Seated { node, generation: 1, up: true, asked: false, moved: 0 };
    world.view.take(NOW, &Record::Seated { seats: [(replica, Some(seat))].into() });
    let slice = world.slice("shop.edge[0]", false);
    let expected = json!([
        {"host": "a.org", "service": "safe", "tls": true, "certificate": "pub-key", "key": "pub-key",
            "servers": [{"name": "safe[0]", "node": "shop.web[0]", "at": "10.0.4.0:80"}]},
        {"host": "b.org", "service": "pub", "tls": false, "certificate": null, "key": null,
            "servers": [{"name": "pub[1]", "node": "shop.web[1]", "at": "10.0.4.1:4001"}]},
    ]);
    assert_eq!(slice.context["routes"], expected);
    let names = |slot: SlotId| secrets_of(&world.ideal, slot).into_iter().map(|name| name.to_string());
    assert_eq!(names(world.node("shop.edge[0]")).collect::<Vec<_>>(), ["pub-key"]);
    assert_eq!(names(world.node("shop.web[0]")).count(), 0, "who does not serve it is not given it");
    assert!(world.slice("shop.web[0]", false).context.get("routes").is_none());
}

#[test]
fn texts_that_ask_are_told_where_replicas_are() {
    let asks = "  asks: {on: lone, replicas: 1, command: ./asks, env: {AT: \"{{ services['pub'].replicas[0].address }}\"}}\n";
    let mut world = World::new(&format!("{PUB}{asks}"));
    world.runs("shop.web[0]", "pub[0]", 4000);
    let told = &world.slice("lone[0]", false).context["services"]["pub"]["replicas"];
    let first = json!({"name": "pub[0]", "index": 0, "node": "shop.web[0]", "address": "10.0.4.0", "ports": {"main": 4000}});
    assert_eq!(told[0], first);
    assert_eq!(told[1]["ports"], json!({}), "not known yet");
}

#[test]
fn a_route_says_who_holds_its_certificate() {
    let service = |tls: &str| {
        let text = format!(
            "ideal: 1\nsecrets: {{token: age}}\nclouds: {{a: {{uuid: 5f0c6f2e-0000-4000-8000-000000000001, nodes: 1}}}}\n\
             services: {{pub: {{on: a, command: ./pub, ports: {{main: 80}}, route: {{host: a.org, tls: {tls}}}}}}}\n"
        );
        let loaded = load(&Sources::one("ideal.yaml", text.as_bytes()));
        loaded.diagnostics.iter().map(|one| one.diagnostic.slug.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(service("{certificate: token, key: token}"), Vec::<String>::new());
    assert_eq!(service("{certificate: tokn, key: kye}"), ["ideal/unknown-secret", "ideal/unknown-secret"]);
}
