//! Stories: a small cluster, what is wanted of it, and the picture of who is where.

mod properties;

use super::*;

const GIB: u64 = 1 << 30;

/// A cluster to place on. Nodes have 4 GiB and 4 processors each until a story says otherwise.
#[derive(Clone, Debug)]
struct World {
    wishes: Vec<Wish>,
    hosts: Vec<Host>,
    seats: Vec<Seat>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn names(text: &str) -> Vec<Name> {
    text.split_whitespace().map(name).collect()
}

fn slot(index: u32) -> SlotId {
    SlotId { cloud: crate::id::CloudId(uuid::Uuid::from_u128(7)), index }
}

fn host(index: u32) -> Host {
    Host {
        slot: slot(index),
        name: format!("web[{index}]").into(),
        room: Capacity { memory: Some(Bytes(4 * GIB)), millicpus: Some(4000) },
        tags: Vec::new(),
        taken_ports: Vec::new(),
        open: Open::Open,
    }
}

fn nodes(count: u32) -> World {
    World { wishes: Vec::new(), hosts: (0..count).map(host).collect(), seats: Vec::new() }
}

impl World {
    /// One more service; the last argument says what is special about it.
    fn service(mut self, text: &str, replicas: u32, memory: &str, special: impl FnOnce(&mut Wish)) -> World {
        let mut wish = Wish {
            name: name(text),
            replicas,
            takes: Room { memory: memory.parse().unwrap(), millicpus: 0 },
            ports: Vec::new(),
            tags: Vec::new(),
            pinned: BTreeMap::new(),
            near: Vec::new(),
            apart: Vec::new(),
            most_per_node: None,
            on: "web".parse().unwrap(),
            nodes: (0..self.hosts.len() as u32).collect(),
        };
        special(&mut wish);
        self.wishes.push(wish);
        self
    }

    fn node(mut self, index: u32, special: impl FnOnce(&mut Host)) -> World {
        special(&mut self.hosts[index as usize]);
        self
    }

    /// Replica and node of each seat: `pub[0]@2`.
    fn seats(mut self, strength: Strength, seats: &str) -> World {
        for seat in seats.split_whitespace() {
            let (replica, host) = seat.split_once('@').unwrap();
            self.seats.push(Seat { replica: self.replica(replica), host: host.parse().unwrap(), strength });
        }
        self
    }

    fn replica(&self, text: &str) -> Replica {
        let (service, index) = text.trim_end_matches(']').split_once('[').unwrap();
        let service = self.wishes.iter().position(|wish| wish.name.as_str() == service).unwrap();
        Replica { service: service as u32, index: index.parse().unwrap() }
    }

    fn place(&self) -> Placement {
        place(&self.wishes, &self.hosts, &self.seats)
    }

    fn board(&self) -> Board<'_> {
        Board::new(&self.wishes, &self.hosts, &self.seats)
    }

    fn called(&self, replica: Replica) -> String {
        format!("{}[{}]", self.wishes[replica.service as usize].name, replica.index)
    }

    /// A line for each node, and one for each replica that has none.
    fn picture(&self, placement: &Placement) -> String {
        let mut lines: Vec<String> = self.hosts.iter().map(|host| format!("{}:", host.name)).collect();
        for (replica, host) in placement.placed() {
            lines[host as usize] += &format!(" {}", self.called(replica));
        }
        let nowhere =
            placement.unplaced().map(|(replica, why)| format!("{}: {}", self.called(replica), why.why));
        lines.extend(nowhere);
        lines.join("\n")
    }

    fn check(&self, expected: &str) -> Placement {
        let placement = self.place();
        same(&self.picture(&placement), expected);
        placement
    }
}

fn same(seen: &str, expected: &str) {
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    let seen: Vec<&str> = seen.lines().map(str::trim).collect();
    assert_eq!(seen.join("\n"), expected.join("\n"));
}

fn plain(_: &mut Wish) {}

#[test]
fn replicas_go_round() {
    nodes(3).service("pub", 7, "1GiB", plain).check(
        "web[0]: pub[0] pub[3] pub[6]
         web[1]: pub[1] pub[4]
         web[2]: pub[2] pub[5]",
    );
}

#[test]
fn the_roomiest_comes_first() {
    let world = nodes(3).node(1, |host| host.room.memory = Some(Bytes(64 * GIB)));
    world.clone().service("pub", 4, "1GiB", plain).check(
        "web[0]: pub[1]
         web[1]: pub[0] pub[3]
         web[2]: pub[2]",
    );
    // The scarcer of the two dimensions counts.
    let takes = Room { memory: Bytes(GIB), millicpus: 2000 };
    world.service("pub", 3, "1GiB", |wish| wish.takes = takes).check(
        "web[0]: pub[0]
         web[1]: pub[1]
         web[2]: pub[2]",
    );
}

#[test]
fn of_equally_roomy_nodes_the_one_with_fewest_replicas() {
    let world = nodes(2).service("big", 1, "1GiB", plain).service("none", 2, "0B", plain);
    world.node(1, |host| host.room.memory = Some(Bytes(3 * GIB))).check(
        "web[0]: big[0] none[1]
         web[1]: none[0]",
    );
    let free =
        nodes(3).service("a", 2, "0B", |wish| wish.most_per_node = Some(1)).service("b", 4, "0B", plain);
    free.check(
        "web[0]: a[0] b[1]
         web[1]: a[1] b[2]
         web[2]: b[0] b[3]",
    );
}

#[test]
fn near_is_second_to_spreading() {
    let web = |wish: &mut Wish| wish.near = names("db cache nothing");
    let db = |wish: &mut Wish| wish.pinned = BTreeMap::from([(0, slot(2))]);
    nodes(3).service("db", 1, "1GiB", db).service("web", 4, "2GiB", web).check(
        "web[0]: web[1] web[3]
         web[1]: web[2]
         web[2]: db[0] web[0]",
    );
}

#[test]
fn near_comes_after_its_neighbour_and_rings_end() {
    let near = |text: &'static str| move |wish: &mut Wish| wish.near = names(text);
    // Without the order, the larger one would be on the first node.
    let world = nodes(2)
        .service("large", 1, "3GiB", near("small"))
        .service("small", 1, "1GiB", |wish| wish.tags = names("ssd"))
        .node(1, |host| host.tags = names("ssd"));
    world.check(
        "web[0]:
         web[1]: large[0] small[0]",
    );
    let ring = nodes(2).service("a", 1, "1GiB", near("b")).service("b", 1, "1GiB", near("c"));
    ring.service("c", 1, "1GiB", near("a c")).check(
        "web[0]: a[0] b[0] c[0]
         web[1]:",
    );
}

#[test]
fn apart_holds_both_ways() {
    let db = |wish: &mut Wish| wish.apart = names("db");
    let loud = |wish: &mut Wish| wish.apart = names("db quiet");
    nodes(4)
        .service("db", 3, "2GiB", db)
        .service("loud", 2, "1GiB", loud)
        .service("quiet", 2, "512MiB", plain)
        .check(
            "web[0]: db[0] quiet[0]
             web[1]: db[1] quiet[1]
             web[2]: db[2]
             web[3]: loud[0] loud[1]",
        );
    let all =
        nodes(3).service("db", 4, "2GiB", db).service("quiet", 1, "1GiB", |wish| wish.apart = names("db"));
    all.check(
        "web[0]: db[0]
         web[1]: db[1]
         web[2]: db[2]
         db[3]: apart: one of `db` is on each of the 3 nodes already
         quiet[0]: apart: one of `db` is on each of the 3 nodes already",
    );
}

#[test]
fn tags_and_nodes_say_where() {
    let gpu = |wish: &mut Wish| wish.tags = names("gpu ssd");
    let some = |wish: &mut Wish| wish.nodes = Arc::new([2, 0, 2, 9]);
    let world =
        nodes(3).node(1, |host| host.tags = names("ssd edge gpu")).node(2, |host| host.tags = names("ssd"));
    world.clone().service("ml", 2, "1GiB", gpu).service("pub", 3, "1GiB", some).check(
        "web[0]: pub[0] pub[2]
         web[1]: ml[0] ml[1]
         web[2]: pub[1]",
    );
    let lost =
        world.service("ml", 1, "1GiB", gpu).service("fast", 1, "1GiB", |wish| wish.tags = names("nvme ssd"));
    let lost = lost.node(1, |host| host.tags = names("gpu"));
    lost.service("void", 1, "1GiB", |wish| wish.nodes = Arc::new([])).check(
        "web[0]:
         web[1]:
         web[2]:
         ml[0]: tags: no node of web has all of `gpu`, `ssd`
         fast[0]: tags: no node of web has `nvme`
         void[0]: web has no nodes",
    );
}

#[test]
fn a_pin_comes_first_and_moves_what_is_elsewhere() {
    let pinned = |wish: &mut Wish| wish.pinned = BTreeMap::from([(1, slot(2)), (3, slot(2)), (9, slot(0))]);
    let world = nodes(3).service("old", 1, "3GiB", plain).service("pub", 4, "2GiB", pinned);
    // Attached elsewhere, and the node that it is pinned to is full of another.
    world.seats(Strength::Attached, "old[0]@2 pub[1]@0 pub[0]@1").check(
        "web[0]: old[0]
         web[1]: pub[0] pub[2]
         web[2]: pub[1] pub[3]",
    );
    let pinned = |wish: &mut Wish| wish.pinned = BTreeMap::from([(0, slot(1)), (1, slot(77))]);
    let world =
        nodes(2).service("pub", 3, "2GiB", pinned).node(1, |host| host.open = Open::Cordoned("disk".into()));
    world.clone().seats(Strength::Running, "pub[0]@0 pub[1]@0").check(
        "web[0]: pub[2]
         web[1]:
         pub[0]: pinned to web[1]; cordoned: disk
         pub[1]: pinned to a node that is not among those of web",
    );
    // Where it is, it stays.
    world.seats(Strength::Running, "pub[0]@1 pub[0]@0").check(
        "web[0]: pub[2]
         web[1]: pub[0]
         pub[1]: pinned to a node that is not among those of web",
    );
}

#[test]
fn of_two_pins_the_one_that_is_there_stays() {
    // The larger one would choose first.
    let world = nodes(1)
        .service("large", 1, "3GiB", |wish| wish.pinned = BTreeMap::from([(0, slot(0))]))
        .service("small", 1, "2GiB", |wish| wish.pinned = BTreeMap::from([(0, slot(0))]));
    world.seats(Strength::Hint, "small[0]@0").check(
        "web[0]: small[0]
         large[0]: pinned to web[0]; memory: needs 3GiB, has 2GiB free",
    );
}

#[test]
fn a_port_is_had_once() {
    let http = |wish: &mut Wish| wish.ports = vec![8080, 80, 8080];
    let world =
        nodes(3).service("a", 1, "1GiB", http).service("b", 3, "512MiB", |wish| wish.ports = vec![80]);
    let placement = world.node(2, |host| host.taken_ports = vec![8080]).check(
        "web[0]: a[0]
         web[1]: b[0]
         web[2]: b[1]
         b[2]: port 80 is taken on each of the 3 nodes",
    );
    assert_eq!(placement.unplaced().next().unwrap().1.constraint, Constraint::Port);
}

#[test]
fn a_port_is_free_again_when_its_replica_leaves() {
    let http = |wish: &mut Wish| wish.ports = vec![80];
    let world = nodes(1).service("a", 1, "1GiB", http).service("b", 1, "1GiB", http);
    let mut board = world.board();
    board.fill();
    let (a, b) = (world.replica("a[0]"), world.replica("b[0]"));
    assert_eq!(board.on(0), [a]);
    board.set_open(0, Open::Gone("it burnt".into()));
    board.replace(&[a, a, Replica { service: 5, index: 0 }, Replica { service: 0, index: 5 }]);
    board.set_open(0, Open::Open);
    assert_eq!(board.replace(&[b]), [(b, Ok(0))]);
}

#[test]
fn a_cordoned_node_keeps_and_a_draining_one_loses() {
    let world =
        nodes(3).service("pub", 4, "1GiB", plain).seats(Strength::Running, "pub[0]@0 pub[1]@1 pub[2]@2");
    let world = world.node(0, |host| host.open = Open::Cordoned("upgrade".into()));
    world.clone().node(1, |host| host.open = Open::Draining("it goes away".into())).check(
        "web[0]: pub[0]
         web[1]:
         web[2]: pub[1] pub[2] pub[3]",
    );
    let world = world.node(1, |host| host.open = Open::Gone("no longer there".into()));
    world.node(2, |host| host.open = Open::Cordoned("upgrade".into())).check(
        "web[0]: pub[0]
         web[1]:
         web[2]: pub[2]
         pub[1]: cordoned: 2 nodes (upgrade); gone: 1 node (no longer there)
         pub[3]: cordoned: 2 nodes (upgrade); gone: 1 node (no longer there)",
    );
}

#[test]
fn what_finds_no_place_says_why() {
    let world = nodes(3)
        .service("huge", 1, "5GiB", plain)
        .service("busy", 1, "1GiB", |wish| wish.takes.millicpus = 4001)
        .service("pub", 4, "1GiB", |wish| wish.most_per_node = Some(1));
    let placement = world.check(
        "web[0]: pub[0]
         web[1]: pub[1]
         web[2]: pub[2]
         huge[0]: memory: needs 5GiB, the roomiest of 3 nodes has 3GiB free
         busy[0]: cpu: needs 4001m, the roomiest of 3 nodes has 4000m free
         pub[3]: per node: at most 1 of pub, reached on each of the 3 nodes",
    );
    let constraints: Vec<_> = placement.unplaced().map(|(_, why)| why.constraint).collect();
    assert_eq!(constraints, [Constraint::Memory, Constraint::Cpu, Constraint::PerNode]);
    // The constraint that rules out the most comes first.
    let world = nodes(4)
        .service("ml", 1, "5GiB", |wish| wish.tags = names("gpu"))
        .node(1, |host| host.room.memory = Some(Bytes(8 * GIB)))
        .node(2, |host| host.tags = names("gpu"))
        .node(3, |host| host.tags = names("gpu"));
    world.clone().check(
        "web[0]:
         web[1]:
         web[2]:
         web[3]:
         ml[0]: memory: needs 5GiB, the roomiest of 3 nodes has 4GiB free; tags: `gpu` missing on 1 node",
    );
    // Of constraints that rule out as many, what a person decided comes before what there is.
    let closed =
        nodes(2).service("huge", 1, "5GiB", plain).node(1, |host| host.open = Open::Draining("old".into()));
    closed.node(0, |host| host.open = Open::Cordoned("disk".into())).check(
        "web[0]:
         web[1]:
         huge[0]: cordoned: 1 node (disk); draining: 1 node (old)",
    );
    assert_eq!(world.place().of(Replica { service: 0, index: 1 }), None);
    assert_eq!(world.place().of(Replica { service: 1, index: 0 }), None);
}

#[test]
fn what_is_not_known_bounds_nothing() {
    let world = nodes(2).node(1, |host| host.room = Capacity::default());
    world.service("pub", 3, "4GiB", |wish| wish.takes.millicpus = 4000).check(
        "web[0]: pub[1]
         web[1]: pub[0] pub[2]",
    );
}

#[test]
fn what_is_well_placed_is_not_moved() {
    // Uneven, and a new node stands empty: only what is new goes there.
    let world = nodes(3).service("pub", 5, "1GiB", plain);
    world.seats(Strength::Hint, "pub[0]@0 pub[1]@0 pub[2]@0 pub[3]@1 pub[7]@1 pub[4]@9").check(
        "web[0]: pub[0] pub[1] pub[2]
         web[1]: pub[3]
         web[2]: pub[4]",
    );
}

#[test]
fn where_too_much_is_the_weaker_claim_leaves() {
    let world = nodes(2)
        .service("pub", 3, "2GiB", plain)
        .seats(Strength::Hint, "pub[0]@0")
        .seats(Strength::Running, "pub[1]@0")
        .seats(Strength::Attached, "pub[2]@0");
    world.check(
        "web[0]: pub[1] pub[2]
         web[1]: pub[0]",
    );
    // Two that have come to be apart.
    let world =
        nodes(2).service("a", 1, "1GiB", plain).service("b", 1, "2GiB", |wish| wish.apart = names("a"));
    world.seats(Strength::Running, "b[0]@1").seats(Strength::Attached, "a[0]@1").check(
        "web[0]: b[0]
         web[1]: a[0]",
    );
}

#[test]
fn of_twins_the_strongest_stays() {
    let world = nodes(3).service("pub", 1, "1GiB", plain);
    let twins = world.clone().seats(Strength::Hint, "pub[0]@0").seats(Strength::Running, "pub[0]@1");
    let on = |world: &World| world.place().placed().map(|(_, host)| host).collect::<Vec<_>>();
    assert_eq!(on(&twins), [1]);
    assert_eq!(on(&twins.clone().seats(Strength::Attached, "pub[0]@2")), [2]);
    // Of equals the one that is remembered, then the first.
    let equals = world.seats(Strength::Running, "pub[0]@2 pub[0]@1");
    assert_eq!(on(&equals), [1]);
    let remembered = equals.seats(Strength::Hint, "pub[0]@2");
    assert_eq!(on(&remembered), [2]);
    // The strongest that can be kept.
    assert_eq!(on(&remembered.node(2, |host| host.open = Open::Draining("old".into()))), [1]);
}

#[test]
fn who_has_least_choice_comes_first_and_then_the_largest() {
    let world = nodes(2).service("small", 2, "1GiB", plain).service("large", 1, "4GiB", plain).service(
        "only",
        1,
        "3GiB",
        |wish| wish.nodes = Arc::new([0]),
    );
    world.check(
        "web[0]: small[0] only[0]
         web[1]: large[0]
         small[1]: memory: needs 1GiB, the roomiest of 2 nodes has 0B free",
    );
}

#[test]
fn a_displaced_replica_finds_another_node_and_nobody_else_moves() {
    let world = nodes(3).service("pub", 6, "1GiB", plain);
    let mut board = world.board();
    board.fill();
    let displaced = board.set_open(1, Open::Gone("it died".into()));
    let answers = board.replace(&displaced);
    let answers: Vec<String> =
        answers.iter().map(|(replica, host)| format!("{} {host:?}", world.called(*replica))).collect();
    assert_eq!(answers, ["pub[1] Ok(0)", "pub[4] Ok(2)"]);
    same(
        &world.picture(&board.placement()),
        "web[0]: pub[0] pub[1] pub[3]
         web[1]:
         web[2]: pub[2] pub[4] pub[5]",
    );
}

#[test]
fn an_explanation_reads() {
    let world = nodes(5)
        .service("db", 1, "1GiB", |wish| wish.pinned = BTreeMap::from([(0, slot(2))]))
        .service("cache", 1, "0B", |wish| wish.pinned = BTreeMap::from([(0, slot(2))]))
        .service("pub", 4, "1GiB", |wish| {
            wish.near = names("db cache");
            wish.apart = names("lone");
            wish.ports = vec![];
        })
        .service("lone", 1, "1GiB", |wish| wish.pinned = BTreeMap::from([(0, slot(4))]))
        .node(0, |host| host.open = Open::Cordoned("upgrade".into()))
        .node(3, |host| host.room = Capacity { memory: Some(Bytes(GIB / 2)), millicpus: None });
    let board = world.board();
    same(
        &board.explain(world.replica("pub[0]")).unwrap().to_string(),
        "pub[0]
           web[0]: refused; cordoned: upgrade
           web[1]: +75 of 0 there; room +75: 75 % free after it
         > web[2]: +270 of 2 there; near +220: carries db[0], cache[0]; room +50: 50 % free after it
           web[3]: refused; memory: needs 1GiB, has 512MiB free
           web[4]: refused; apart: carries `lone`",
    );
    // Of one that is somewhere: as if it were nowhere.
    let world = world.seats(Strength::Running, "pub[0]@0 pub[1]@2");
    let mut board = world.board();
    board.fill();
    same(
        &board.explain(world.replica("pub[0]")).unwrap().to_string(),
        "pub[0]
         > web[0] (it is here): +75 of 0 there; room +75: 75 % free after it
           web[1]: -950 of 1 there; spread -1000: carries 1 of pub; room +50: 50 % free after it
           web[2]: -1780 of 4 there; spread -2000: carries 2 of pub; near +220: carries db[0], cache[0]; room +0: 0 % free after it
           web[3]: refused; memory: needs 1GiB, has 512MiB free
           web[4]: refused; apart: carries `lone`",
    );
    assert_eq!(board.explain(Replica { service: 0, index: 1 }), None);
}

/// Who moves, and how it is then.
fn rebalanced(world: &World, may: impl Fn(Replica) -> bool, expected: &str) {
    let mut board = world.board();
    board.fill();
    let moves = board
        .rebalance(may)
        .into_iter()
        .map(|better| format!("{} from {} to {}", world.called(better.replica), better.from, better.to));
    let moves: Vec<String> = moves.collect();
    let seen = format!("{}\n{}", moves.join("\n"), world.picture(&board.placement()));
    same(seen.trim(), expected);
}

#[test]
fn who_returns_is_given_something_to_do() {
    let world = nodes(3)
        .service("pub", 6, "100MiB", |_| {})
        .seats(Strength::Running, "pub[0]@0 pub[1]@0 pub[2]@0 pub[3]@1 pub[4]@1 pub[5]@1");
    rebalanced(
        &world,
        |_| true,
        "pub[0] from 0 to 2
         pub[3] from 1 to 2
         web[0]: pub[1] pub[2]
         web[1]: pub[4] pub[5]
         web[2]: pub[0] pub[3]",
    );
    rebalanced(
        &world,
        |replica| replica.index > 4,
        "pub[5] from 1 to 2
         web[0]: pub[0] pub[1] pub[2]
         web[1]: pub[3] pub[4]
         web[2]: pub[5]",
    );
}

#[test]
fn what_gains_little_stays() {
    // Two on one node and one on the other are as even as it gets.
    let world = nodes(2)
        .service("pub", 3, "100MiB", |_| {})
        .service("big", 1, "400MiB", |_| {})
        .seats(Strength::Running, "pub[0]@0 pub[1]@0 pub[2]@1 big[0]@1");
    rebalanced(
        &world,
        |_| true,
        "
         web[0]: pub[0] pub[1]
         web[1]: pub[2] big[0]",
    );
    // Different services, one replica each: nodes that carry more give some away.
    let world = nodes(2)
        .service("a", 1, "1MiB", |_| {})
        .service("b", 1, "1MiB", |_| {})
        .service("c", 1, "1MiB", |wish| wish.pinned = [(0, slot(0))].into())
        .service("d", 1, "1MiB", |_| {})
        .seats(Strength::Running, "a[0]@0 b[0]@0 c[0]@0 d[0]@0");
    rebalanced(
        &world,
        |_| true,
        "a[0] from 0 to 1
         b[0] from 0 to 1
         web[0]: c[0] d[0]
         web[1]: a[0] b[0]",
    );
}

#[test]
fn nobody_is_sent_to_where_it_cannot_be() {
    let world = nodes(3)
        .service("pub", 3, "100MiB", |wish| wish.ports = vec![80])
        .service("db", 2, "3GiB", |_| {})
        .node(2, |host| host.open = Open::Cordoned("a person said so".into()))
        .seats(Strength::Running, "pub[0]@0 pub[1]@1 db[0]@0 db[1]@1");
    rebalanced(
        &world,
        |_| true,
        "
         web[0]: pub[0] db[0]
         web[1]: pub[1] db[1]
         web[2]:
         pub[2]: port 80 is taken on 2 nodes; cordoned: 1 node (a person said so)",
    );
}
