//! Where replicas go when nodes come, go, fall silent and return: each a small picture of what is seen and what is
//! decided.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use ideal_core::demand::{Demands, Scope, State};
use ideal_core::id::{CloudId, MachineId, Name, SlotId, VolumeId};
use ideal_core::ideal::Ideal;
use ideal_core::ideal::service::Rung;
use ideal_core::journal::{Record, View};
use ideal_core::model;
use ideal_core::observed::{
    AgentSeen, Attachment, AttachmentState, MachineState, Observed, Report, ServiceSeen, ServiceState, Sight,
    SlotSeen, Tags,
};
use ideal_core::plan::{Act, Cause};
use ideal_core::planner::{
    Consent, Decision, Input, Patience, ProviderTraits, Seats, Wait, decide, grown, seats,
};
use ideal_core::time::{Bytes, Span, Time};
use ideal_file::{Sources, load};

const BEGIN: Time = Time(1_000_000);

/// A cluster of which everything is said by hand.
struct World {
    ideal: Ideal,
    demands: Demands,
    observed: Observed,
    view: View,
    now: Time,
}

impl World {
    /// Three nodes that are up, and these services.
    fn new(services: &str) -> World {
        let text = format!(
            "ideal: 1\nclouds:\n  web: {{uuid: 5f0c6f2e-0000-4000-8000-000000000001, nodes: 3, mounts: {{data: {{size: 1GiB, at: /data}}}}}}\nservices:\n{services}"
        );
        let ideal = load(&Sources::one("ideal.yaml", text.as_bytes())).resolved.unwrap().ideal;
        let mut demands = Demands::none();
        demands.demand(Scope::Whole, State::Launched, 1, |_| true);
        let sight = BTreeMap::from([(ideal.clouds[0].provider.clone(), Sight::Whole)]);
        let observed = Observed { at: BEGIN, sight, ..Observed::default() };
        let mut world = World { ideal, demands, observed, view: View::default(), now: BEGIN };
        (0..3).for_each(|index| world.up(index, 1));
        world
    }
    fn cloud(&self) -> CloudId {
        self.ideal.clouds[0].id
    }
    fn node(&self, index: u32) -> SlotId {
        SlotId { cloud: self.cloud(), index }
    }
    fn replica(&self, service: &str, index: u32) -> SlotId {
        self.ideal.services.iter().find(|own| own.name.as_str() == service).unwrap().slot(index)
    }
    /// A node has a machine that runs, and its agent says that nothing runs there.
    fn up(&mut self, index: u32, generation: u32) {
        let tags = tags(self.cloud(), index, None, generation);
        let mut machine = model::new_machine(MachineId::new(format!("m{index}.{generation}")), tags, "", "");
        machine.state = MachineState::Running;
        let demand = Some(std::sync::Arc::new(self.demands.clone()));
        machine.tags.demand.clone_from(&demand);
        let report = Report { generation, demand, converged: true, ..Report::default() };
        let agent = AgentSeen::Answered(Box::new(report));
        machine.agent = Some("unix:/agent.sock".to_owned());
        let provider = Some(self.ideal.clouds[0].provider.clone());
        let seen = SlotSeen { provider, machines: vec![machine], agent, ..SlotSeen::default() };
        self.observed.slots.insert(self.node(index), seen);
    }
    fn machine(&mut self, index: u32, state: MachineState) {
        let node = self.node(index);
        let seen = self.observed.slots.get_mut(&node).unwrap();
        seen.machines[0].state = state;
        seen.agent = AgentSeen::NotAsked;
    }
    fn silent(&mut self, index: u32) {
        let node = self.node(index);
        let (since, why) = (self.now, "it timed out".to_owned());
        self.observed.slots.get_mut(&node).unwrap().agent = AgentSeen::Silent { since, why };
    }
    /// An agent says that it runs this.
    fn runs(&mut self, index: u32, replica: &str) -> &mut ServiceSeen {
        let node = self.node(index);
        let AgentSeen::Answered(report) = &mut self.observed.slots.get_mut(&node).unwrap().agent else {
            panic!("no agent");
        };
        let seen = ServiceSeen {
            state: ServiceState::Running,
            pid: Some(1),
            container: None,
            version: None,
            asks: None,
            since: BEGIN,
            restarts: 0,
            ports: BTreeMap::new(),
            why: None,
        };
        report.services.entry(replica.to_owned()).or_insert(seen)
    }
    /// A volume of a replica's only mount, attached to the machine of a node.
    fn volume(&mut self, service: &str, index: u32, at: Option<u32>) {
        let slot = self.replica(service, index);
        let tags = tags(slot.cloud, slot.index, Some("home"), 1);
        let mut volume = model::new_volume(VolumeId::new("v1"), tags, Bytes(1 << 30), 1, None);
        model::settle_volume(&mut volume);
        volume.attachment = at.map(|index| {
            let machine = self.observed.slots[&self.node(index)].machines[0].id.clone();
            Attachment { machine, state: AttachmentState::Attached }
        });
        let seen = SlotSeen { volumes: vec![volume], ..SlotSeen::default() };
        self.observed.slots.insert(slot, seen);
    }
    fn later(&mut self, span: Span) {
        self.now = self.now + span;
    }

    fn ask<T>(&self, answer: impl FnOnce(&Input<'_>) -> T) -> T {
        let traits = ProviderTraits::AT_HAND;
        let providers = self.ideal.providers.keys().map(|name| (name.clone(), traits)).collect();
        answer(&Input {
            ideal: &self.ideal,
            demands: &self.demands,
            observed: &self.observed,
            view: &self.view,
            consent: &Consent::default(),
            patience: &Patience::default(),
            providers: &providers,
            now: self.now,
        })
    }
    fn decide(&self) -> Decision {
        self.ask(decide)
    }
    /// Decides, remembers, and draws: `pub[0]@1 pub[1]@2`, with `-` for no place and `!` for one that is held back.
    fn look(&mut self) -> String {
        let seats = self.ask(seats);
        for record in &seats.records {
            self.view.take(self.now, record);
        }
        self.draw(&seats)
    }
    fn draw(&self, seats: &Seats) -> String {
        let mut drawn = Vec::new();
        for service in &self.ideal.services {
            for index in 0..service.replicas {
                let place = seats.of(service.slot(index)).unwrap();
                let node = place.node.map_or("-".to_owned(), |node| node.index.to_string());
                let held = if place.waits.is_some() { "!" } else { "" };
                drawn.push(format!("{}@{node}{held}", service.address(index)));
            }
        }
        drawn.join(" ")
    }
    /// All that is to be on nodes runs there.
    fn settle(&mut self) {
        let seats = self.ask(seats);
        for index in 0..3 {
            let node = self.node(index);
            let to_be: Vec<String> =
                seats.on(&self.ideal, node).map(|carried| carried.service.address(carried.index)).collect();
            let Some(SlotSeen { agent: AgentSeen::Answered(report), .. }) =
                self.observed.slots.get_mut(&node)
            else {
                continue;
            };
            report.services.retain(|address, _| to_be.contains(address));
            to_be.iter().for_each(|address| _ = self.runs(index, address));
        }
        self.look();
    }
}

fn tags(cloud: CloudId, index: u32, mount: Option<&str>, generation: u32) -> Tags {
    Tags {
        cloud,
        index: Some(index),
        mount: mount.map(|name| Name::new(name).unwrap()),
        generation,
        token: None,
        demand: None,
        epoch: 0,
    }
}

const PUB: &str = "  pub: {on: web, replicas: 3, command: [x]}\n";
const STORE: &str =
    "  store: {on: web, replicas: 1, command: [x], mounts: {home: {size: 1GiB, at: /home}}}\n";

#[test]
fn replicas_of_a_dead_node_go_elsewhere_at_once_and_stay_there() {
    let mut world = World::new(PUB);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@2");
    world.settle();
    world.machine(1, MachineState::Impaired);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0 pub[2]@2");
    world.settle();
    world.up(1, 2);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0 pub[2]@2", "nothing moves for better points");
}

#[test]
fn a_node_that_is_silent_for_a_moment_keeps_what_it_has() {
    let mut world = World::new(PUB);
    world.settle();
    world.silent(1);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@2");
    assert_eq!(world.ask(seats).wake_at, Some(world.now + Span::secs(5)), "it asks to be woken");
    world.later(Span::secs(5));
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0 pub[2]@2");
}

#[test]
fn what_a_node_brings_back_after_it_was_moved_is_stopped() {
    let mut world = World::new(PUB);
    world.settle();
    world.silent(1);
    world.later(Span::secs(5));
    world.look();
    world.runs(0, "pub[1]");
    world.look();
    world.up(1, 1);
    world.runs(1, "pub[1]");
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0 pub[2]@2");
    let steps = world.decide().steps;
    let told = steps.iter().filter(|step| step.part.slot == world.node(1));
    assert!(told.clone().count() == 1 && told.clone().all(|step| matches!(step.act, Act::Apply { .. })));
}

#[test]
fn what_has_a_volume_waits_for_the_fence() {
    let mut world = World::new(STORE);
    world.settle();
    world.volume("store", 0, Some(0));
    world.silent(0);
    world.later(Span::hours(1));
    assert_eq!(world.look(), "store[0]@0", "its node may still write");
    world.ideal.policy.fence_after = Some(Span::mins(5));
    let fences = |decision: &Decision| {
        decision.steps.iter().any(|step| matches!(step.act, Act::EndMachine { unheard: true, .. }))
    };
    assert!(fences(&world.decide()), "the policy says for how long that is so");
    (1..3).for_each(|index| world.silent(index));
    assert!(!fences(&world.decide()), "when nobody is heard, who is cut off may be the engine");
    (1..3).for_each(|index| world.up(index, 1));
    world.ideal.policy.fence_after = None;
    assert!(!fences(&world.decide()));
    let dead = world.observed.slots[&world.node(0)].machines[0].id.clone();
    world.view.take(world.now, &Record::ConfirmedDead { machine: dead });
    assert!(fences(&world.decide()), "or a person does");
    // Fenced: the machine is over, and the volume free.
    world.machine(0, MachineState::Terminated);
    world.volume("store", 0, None);
    assert_eq!(world.look(), "store[0]@1");
}

#[test]
fn one_that_a_person_calls_dead_and_that_answers_is_left_alone() {
    let mut world = World::new(STORE);
    world.settle();
    let machine = world.observed.slots[&world.node(0)].machines[0].clone();
    world.view.take(world.now, &Record::ConfirmedDead { machine: machine.id.clone() });
    assert!(!world.decide().steps.iter().any(|step| matches!(step.act, Act::EndMachine { .. })));
    let report = Report::default();
    let refused = ideal_core::guard::terminate_unheard(world.cloud(), &machine, Some(&report));
    assert!(refused.is_err(), "also when it answers in the last moment");
    assert!(ideal_core::guard::terminate_unheard(world.cloud(), &machine, None).is_ok());
}

#[test]
fn it_starts_elsewhere_only_when_it_has_stopped_here() {
    let mut world = World::new(PUB);
    world.settle();
    let node = world.node(1);
    world.demands.demand(Scope::Slot(node), State::Separated, 1, |_| false);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0! pub[2]@2");
    let held = world.ask(seats);
    assert_eq!(held.of(world.replica("pub", 1)).unwrap().waits, Some(Wait::Elsewhere(node)));
    world.runs(1, "pub[1]").state = ServiceState::Stopped;
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0 pub[2]@2");
}

#[test]
fn a_cordoned_node_keeps_what_it_has_and_takes_no_more() {
    let mut world = World::new(PUB);
    world.settle();
    world.view.take(world.now, &Record::Cordoned { slot: world.node(0), on: true });
    world.machine(2, MachineState::Impaired);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@1");
}

#[test]
fn what_its_node_has_given_up_goes_elsewhere() {
    let mut world = World::new(PUB);
    world.settle();
    world.runs(2, "pub[2]").asks = Some(Rung::Move);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@0!");
    let mut alone = World::new("  pub: {on: web, replicas: 1, command: [x]}\n");
    alone.settle();
    alone.runs(0, "pub[0]").asks = Some(Rung::Move);
    alone.machine(1, MachineState::Impaired);
    alone.machine(2, MachineState::Impaired);
    assert_eq!(alone.look(), "pub[0]@0", "when there is no other, it stays");
}

#[test]
fn what_comes_after_waits_until_what_is_first_is_well() {
    let mut world = World::new(
        "  app: {on: web, replicas: 1, command: [x], after: [db]}\n  db: {on: web, replicas: 1, command: [x]}\n",
    );
    assert_eq!(world.look(), "app[0]@0! db[0]@1");
    world.runs(1, "db[0]").state = ServiceState::Starting;
    assert_eq!(world.look(), "app[0]@0! db[0]@1");
    world.runs(1, "db[0]").state = ServiceState::Running;
    assert_eq!(world.look(), "app[0]@0 db[0]@1");
    world.runs(0, "app[0]");
    world.look();
    world.machine(1, MachineState::Impaired);
    assert_eq!(world.look(), "app[0]@0 db[0]@2", "what ran once is not stopped for it");
}

#[test]
fn a_lost_store_moves_nothing() {
    let mut world = World::new(&format!("{PUB}{STORE}"));
    world.settle();
    world.volume("store", 0, Some(2));
    world.runs(2, "store[0]");
    let before = world.look();
    world.view = View::default();
    assert_eq!(world.look(), before);
}

#[test]
fn what_fits_nowhere_says_why() {
    let mut world = World::new("  pub: {on: web, replicas: 1, command: [x], place: {tags: [gpu]}}\n");
    assert_eq!(world.look(), "pub[0]@-");
    let decision = world.decide();
    let waiting = decision.waiting.iter().find(|own| own.part.slot == world.replica("pub", 0)).unwrap();
    let Cause::Unplaced { why } = &waiting.cause else { panic!("{waiting:?}") };
    assert!(why.contains("gpu"), "{why}");
}

#[test]
fn a_place_that_a_person_asked_for_is_kept_until_it_is_there() {
    let mut world = World::new(PUB);
    world.settle();
    let seat =
        ideal_core::journal::Seated { node: world.node(2), generation: 1, up: false, asked: true, moved: 0 };
    let seats = BTreeMap::from([(world.replica("pub", 0), Some(seat))]);
    world.view.take(world.now, &Record::Seated { seats });
    assert_eq!(world.look(), "pub[0]@2! pub[1]@1 pub[2]@2");
    assert_eq!(world.look(), "pub[0]@2! pub[1]@1 pub[2]@2");
    let node = world.node(0);
    let Some(SlotSeen { agent: AgentSeen::Answered(report), .. }) = world.observed.slots.get_mut(&node)
    else {
        panic!("no agent");
    };
    report.services.clear();
    assert_eq!(world.look(), "pub[0]@2 pub[1]@1 pub[2]@2");
    world.runs(2, "pub[0]");
    world.look();
    assert!(!world.view.seats[&world.replica("pub", 0)].asked);
}

#[test]
fn who_was_sent_to_a_node_that_takes_nobody_any_more_stays() {
    let mut world = World::new(PUB);
    world.settle();
    let sent =
        ideal_core::journal::Seated { node: world.node(2), generation: 1, up: false, asked: true, moved: 0 };
    let seats = BTreeMap::from([(world.replica("pub", 0), Some(sent))]);
    world.view.take(world.now, &Record::Seated { seats });
    let view = world.view.clone();
    world.machine(2, MachineState::Impaired);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@0", "it is dead");
    world.view = view.clone();
    world.up(2, 1);
    world.runs(2, "pub[2]");
    world.view.take(world.now, &Record::Cordoned { slot: world.node(2), on: true });
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@2", "it is cordoned");
    world.view = view;
    assert_eq!(world.look(), "pub[0]@2! pub[1]@1 pub[2]@2", "else it goes");
}

#[test]
fn what_writes_to_a_mount_of_its_node_never_leaves_it() {
    let mut world =
        World::new("  db: {on: web, replicas: 3, command: [x, \"{{ node.root }}{{ mount.data }}\"]}\n");
    assert_eq!(world.look(), "db[0]@0 db[1]@1 db[2]@2");
    world.settle();
    world.machine(1, MachineState::Impaired);
    assert_eq!(world.look(), "db[0]@0 db[1]@- db[2]@2");
    world.up(1, 2);
    assert_eq!(world.look(), "db[0]@0 db[1]@1 db[2]@2");
}

#[test]
fn a_cloud_grows_when_replicas_fit_nowhere_and_never_beyond_its_most() {
    let mut world = World::new("  pub: {on: web, replicas: 4, command: [x], place: {most_per_node: 1}}\n");
    let nodes = |world: &World| world.ask(grown).map(|ideal| ideal.clouds[0].nodes);
    assert_eq!((world.look().as_str(), nodes(&world)), ("pub[0]@0 pub[1]@1 pub[2]@2 pub[3]@-", None));
    let cloud = std::sync::Arc::make_mut(&mut world.ideal.clouds[0]);
    cloud.most = 5;
    assert_eq!(nodes(&world), Some(4));
    world.machine(1, MachineState::Impaired);
    assert_eq!(nodes(&world), Some(4), "a machine that is replaced is no reason");
    std::sync::Arc::make_mut(&mut world.ideal.services[0]).replicas = 9;
    assert_eq!(nodes(&world), Some(5));
    std::sync::Arc::make_mut(&mut world.ideal.services[0]).replicas = 2;
    world.view = View::default();
    assert_eq!(nodes(&world), None);
    world.demands.demand(Scope::Whole, State::Away, 1, |_| true);
    std::sync::Arc::make_mut(&mut world.ideal.services[0]).replicas = 9;
    assert_eq!(nodes(&world), None, "nothing grows that is put away");
}

#[test]
fn a_node_that_carries_something_stays_though_no_more_are_needed() {
    let mut world = World::new("  pub: {on: web, replicas: 1, command: [x]}\n");
    let cloud = std::sync::Arc::make_mut(&mut world.ideal.clouds[0]);
    (cloud.nodes, cloud.most) = (1, 5);
    assert_eq!(world.ask(grown), None);
    world.runs(2, "pub[0]");
    assert_eq!(world.ask(grown).unwrap().clouds[0].nodes, 3);
}

#[test]
fn more_nodes_take_nothing_from_who_writes_to_its_node() {
    let mut world = World::new("  db: {on: web, replicas: 4, command: [x, \"{{ mount.data }}\"]}\n");
    assert_eq!(world.look(), "db[0]@0 db[1]@1 db[2]@2 db[3]@0");
    world.settle();
    let cloud = std::sync::Arc::make_mut(&mut world.ideal.clouds[0]);
    (cloud.nodes, cloud.most) = (4, 4);
    world.up(3, 1);
    assert_eq!(world.look(), "db[0]@0 db[1]@1 db[2]@2 db[3]@0");
}

#[test]
fn what_was_given_up_with_its_volume_leaves_for_good() {
    let mut world = World::new(STORE);
    world.settle();
    world.volume("store", 0, Some(0));
    world.runs(0, "store[0]").asks = Some(Rung::Move);
    assert_eq!(world.look(), "store[0]@1!");
    // It is stopped, and its node says no more of it; its volume is still there.
    world.up(0, 1);
    assert_eq!(world.look(), "store[0]@1");
    assert_eq!(world.look(), "store[0]@1");
    // Each node that gets it gives it up in its turn.
    for moves in 1..=3 {
        let seat = world.view.seats[&world.replica("store", 0)];
        assert_eq!(seat.moved, moves);
        (0..3).for_each(|index| world.up(index, 1));
        world.volume("store", 0, Some(seat.node.index));
        world.runs(seat.node.index, "store[0]");
        world.look();
        world.runs(seat.node.index, "store[0]").asks = Some(Rung::Move);
        world.look();
    }
    let last = world.view.seats[&world.replica("store", 0)];
    assert_eq!(last.moved, 3, "then a person is asked");
    assert_eq!(world.look(), format!("store[0]@{}", last.node.index));
}

#[test]
fn what_never_arrived_waits_for_no_lost_node() {
    let mut world = World::new(PUB);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@2");
    world.silent(1);
    assert_eq!(world.look(), "pub[0]@0 pub[1]@1 pub[2]@2");
    world.later(Span::secs(5));
    assert_eq!(world.look(), "pub[0]@0 pub[1]@0 pub[2]@2");
}

#[test]
fn a_service_with_another_name_is_the_same() {
    let mut world = World::new("  shop: {was: pub, on: web, replicas: 3, command: [x]}\n");
    (0..3).for_each(|index| _ = world.runs(index, &format!("pub[{}]", (index + 1) % 3)));
    assert_eq!(world.look(), "shop[0]@2 shop[1]@0 shop[2]@1");
}
