//! How a version takes the place of another, one pass after the other.

use super::*;
use crate::id::CloudId;
use crate::id::Name;
use crate::time::Span;

fn spec(command: &str) -> ServiceSpec {
    let value = serde_json::json!({"on": "web", "command": [command], "change": {"within": "60s"}});
    serde_json::from_value(value).unwrap()
}

fn service(spec: ServiceSpec, replicas: u32) -> Service {
    let cloud = CloudId(uuid::Uuid::from_u128(7));
    let name = Name::new("pub").unwrap();
    let id = Service::identity(cloud, &name);
    Service { id, name, cloud, clouds: vec![cloud], replicas, mounts: Vec::new(), spec }
}

fn seen(spec: &ServiceSpec, state: ServiceState) -> ServiceSeen {
    ServiceSeen {
        state,
        pid: None,
        container: None,
        version: Some(spec.version()),
        asks: None,
        since: Time(0),
        restarts: 0,
        ports: BTreeMap::new(),
        why: Some("exit status 1".to_owned()),
    }
}

/// A world of replicas that do what they are told, one step later.
struct World {
    service: Service,
    memory: ServiceMemory,
    replicas: Vec<ServiceSeen>,
    unseen: Vec<u32>,
    now: Time,
}

impl World {
    fn new(replicas: u32) -> World {
        let old = spec("one");
        let running = vec![seen(&old, ServiceState::Running); replicas as usize];
        let memory = ServiceMemory { good: Some((old, 0)), ..ServiceMemory::default() };
        World {
            service: service(spec("two"), replicas),
            memory,
            replicas: running,
            unseen: Vec::new(),
            now: Time(1_000),
        }
    }
    /// One pass: which replicas are of which version, `-` old, `+` new.
    fn pass(&mut self) -> String {
        let rollout = rollout(&self.service, &self.memory, |index| self.known(index), self.now);
        self.memory = rollout.memory.clone();
        let of = |index| if rollout.of(&self.service, index).0 == &self.service.spec { '+' } else { '-' };
        (0..self.service.replicas).map(of).collect()
    }
    fn known(&self, index: u32) -> Known<'_> {
        match self.replicas.get(index as usize) {
            Some(_) if self.unseen.contains(&index) => Known::Unseen,
            Some(seen) => Known::Seen(seen),
            None => Known::Nowhere,
        }
    }
    fn set(&mut self, index: usize, command: &str, state: ServiceState) {
        self.replicas[index] = seen(&spec(command), state);
    }
}

#[test]
fn one_after_the_other() {
    let mut world = World::new(3);
    assert_eq!(world.pass(), "+--");
    assert_eq!(world.pass(), "+--", "nothing more before the first is well");
    world.set(0, "two", ServiceState::Starting);
    assert_eq!(world.pass(), "+--");
    world.set(0, "two", ServiceState::Running);
    assert_eq!(world.pass(), "++-");
    world.set(1, "two", ServiceState::Running);
    assert_eq!(world.pass(), "+++");
    world.set(2, "two", ServiceState::Running);
    assert_eq!(world.pass(), "+++");
    assert_eq!(world.memory.good.as_ref().unwrap().0, world.service.spec);
    assert_eq!(world.memory.next, None);
}

#[test]
fn as_many_at_once_as_may_be_down() {
    let mut world = World::new(5);
    world.service.spec.change.unavailable = 2;
    assert_eq!(world.pass(), "++---");
    world.set(1, "two", ServiceState::Running);
    assert_eq!(world.pass(), "+++--");
}

#[test]
fn one_that_is_down_is_changed_first_and_counts() {
    let mut world = World::new(3);
    world.set(2, "one", ServiceState::BackingOff);
    assert_eq!(world.pass(), "--+");
}

#[test]
fn one_that_is_not_seen_may_be_up() {
    let mut world = World::new(3);
    world.unseen = vec![1];
    assert_eq!(world.pass(), "---", "it counts as down, and is left alone");
    world.service.spec.change.unavailable = 2;
    assert_eq!(world.pass(), "+--");
}

#[test]
fn one_without_a_node_holds_nothing_up() {
    let mut world = World::new(2);
    world.service.replicas = 3;
    assert_eq!(world.pass(), "+--");
    world.set(0, "two", ServiceState::Running);
    assert_eq!(world.pass(), "++-");
    world.set(1, "two", ServiceState::Running);
    assert_eq!(world.pass(), "+++");
}

#[test]
fn one_that_does_not_become_well_brings_the_old_back() {
    let mut world = World::new(3);
    world.pass();
    world.set(0, "two", ServiceState::Suspended);
    assert_eq!(world.pass(), "---");
    assert_eq!(world.memory.bad.as_ref().unwrap().1, "pub[0]: exit status 1");
    world.set(0, "one", ServiceState::Running);
    assert_eq!(world.pass(), "---", "it is not tried again");
    world.service.spec = spec("three");
    assert_eq!(world.pass(), "+--", "another version is");
}

#[test]
fn one_that_takes_too_long_brings_the_old_back() {
    let mut world = World::new(2);
    world.pass();
    world.set(0, "two", ServiceState::Unhealthy);
    world.now = world.now + Span::secs(59);
    assert_eq!(world.pass(), "+-");
    world.now = world.now + Span::secs(1);
    assert_eq!(world.pass(), "--");
}

#[test]
fn it_may_wait_for_a_person_instead() {
    let mut world = World::new(3);
    world.service.spec.change.on_failure = OnFailure::Pause;
    world.pass();
    world.set(0, "two", ServiceState::Suspended);
    assert_eq!(world.pass(), "+--");
    assert!(world.memory.paused);
    world.set(0, "two", ServiceState::Running);
    assert_eq!(world.pass(), "+--", "a person goes on");
    world.memory.paused = false;
    assert_eq!(world.pass(), "++-");
}

#[test]
fn the_first_version_starts_everywhere_and_is_good_when_all_are_well() {
    let mut world = World::new(2);
    world.memory = ServiceMemory::default();
    assert_eq!(world.pass(), "++");
    assert_eq!(world.memory.good, None);
    for index in 0..2 {
        world.set(index, "two", ServiceState::Running);
    }
    world.pass();
    assert_eq!(world.memory.good.as_ref().unwrap().0, world.service.spec);
}

#[test]
fn to_start_again_is_a_change_too() {
    let mut world = World::new(2);
    world.service.spec = spec("one");
    world.memory.restarts = 1;
    let rollout = rollout(&world.service, &world.memory, |index| world.known(index), world.now);
    let again: Vec<u32> = (0..2).map(|index| rollout.of(&world.service, index).1).collect();
    assert_eq!(again, [1, 0]);
}

#[test]
fn one_that_was_never_told_says_nothing_of_the_new_version() {
    let mut world = World::new(2);
    assert_eq!(world.pass(), "+-");
    world.now = world.now + Span::hours(1);
    assert_eq!(world.pass(), "+-", "it still runs as before: the order has not arrived");
    world.unseen = vec![0];
    assert_eq!(world.pass(), "+-");
    assert_eq!(world.memory.bad, None);
}
