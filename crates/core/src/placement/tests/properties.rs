//! What holds of every placement. The oracle here is as slow and as plain as can be, and shares nothing with the
//! board.

use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

type At = BTreeMap<Replica, u32>;

const SERVICES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn some<T: Clone + std::fmt::Debug + 'static>(
    from: &[T],
    most: usize,
) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(from.to_vec(), 0..=most.min(from.len()))
}

fn tags() -> impl Strategy<Value = Vec<Name>> {
    prop_oneof![3 => Just(Vec::new()), 1 => some(&names("gpu ssd"), 2)]
}

prop_compose! {
    fn any_host(index: u32)(
        memory in prop::option::weighted(0.9, 0u64..40),
        millicpus in prop::option::weighted(0.7, 0u64..40),
        tags in some(&names("gpu ssd"), 2),
        taken_ports in prop_oneof![4 => Just(Vec::new()), 1 => some(&[80u16, 81], 2)],
        open in select(vec![
            Open::Open, Open::Open, Open::Open, Open::Open, Open::Open,
            Open::Cordoned("c".into()), Open::Draining("d".into()), Open::Gone("g".into()),
        ]),
    ) -> Host {
        Host { room: Capacity { memory: memory.map(Bytes), millicpus }, tags, taken_ports, open, ..host(index) }
    }
}

prop_compose! {
    fn any_wish(which: usize, hosts: u32)(
        // Around the number at which replicas share a heap, too.
        replicas in 0u32..14,
        memory in 0u64..5,
        millicpus in 0u64..4,
        ports in prop_oneof![4 => Just(Vec::new()), 1 => some(&[80u16, 81], 2)],
        tags in tags(),
        pinned in prop::collection::btree_map(0u32..14, 0u32..hosts + 1, 0..2),
        near in prop_oneof![2 => Just(Vec::new()), 1 => some(&names("a b c d e"), 3)],
        apart in prop_oneof![3 => Just(Vec::new()), 1 => some(&names("a b c d e"), 2)],
        most_per_node in prop::option::weighted(0.3, 0u32..4),
        nodes in prop_oneof![2 => Just((0..hosts).collect()), 1 => some(&(0..hosts).collect::<Vec<_>>(), 9)],
    ) -> Wish {
        Wish {
            name: name(SERVICES[which]),
            replicas,
            takes: Room { memory: Bytes(memory), millicpus },
            ports,
            tags,
            pinned: pinned.into_iter().map(|(replica, host)| (replica, slot(host))).collect(),
            near,
            apart,
            most_per_node,
            on: "web".parse().unwrap(),
            nodes: nodes.into(),
        }
    }
}

fn seat(hosts: u32) -> impl Strategy<Value = Seat> {
    let strength = select(vec![Strength::Attached, Strength::Running, Strength::Hint]);
    (0u32..5, 0u32..14, 0..hosts, strength).prop_map(|(service, index, host, strength)| Seat {
        replica: Replica { service, index },
        host,
        strength,
    })
}

fn world() -> impl Strategy<Value = World> {
    (1u32..7, 1usize..6).prop_flat_map(|(hosts, services)| {
        let wishes: Vec<_> = (0..services).map(|which| any_wish(which, hosts)).collect();
        let all: Vec<_> = (0..hosts).map(any_host).collect();
        (wishes, all, prop::collection::vec(seat(hosts), 0..30)).prop_map(|(wishes, hosts, seats)| World {
            wishes,
            hosts,
            seats,
        })
    })
}

impl World {
    fn at(&self) -> At {
        self.place().placed().collect()
    }

    /// The same world in which all is where it was placed.
    fn seated(&self, at: &At, strength: Strength) -> World {
        let seats = at.iter().map(|(replica, host)| Seat { replica: *replica, host: *host, strength });
        World { seats: seats.collect(), ..self.clone() }
    }

    fn replicas(&self) -> Vec<Replica> {
        let all = self.wishes.iter().zip(0u32..);
        all.flat_map(|(wish, service)| (0..wish.replicas).map(move |index| Replica { service, index }))
            .collect()
    }

    fn wish(&self, replica: Replica) -> &Wish {
        &self.wishes[replica.service as usize]
    }

    fn carried(&self, at: &At, host: u32) -> Vec<Replica> {
        at.iter().filter(|(_, there)| **there == host).map(|(replica, _)| *replica).collect()
    }

    /// Whether a host can carry a replica beside all that are there. `is_there`: it was there before.
    fn fits(&self, at: &At, replica: Replica, host: u32, is_there: bool) -> bool {
        let (wish, target) = (self.wish(replica), &self.hosts[host as usize]);
        let others = self.carried(at, host);
        let own = others.iter().filter(|other| other.service == replica.service).count();
        let used = others.iter().fold(wish.takes, |used, other| used + self.wish(*other).takes);
        let open = match target.open {
            Open::Open => true,
            Open::Cordoned(_) => is_there,
            Open::Draining(_) | Open::Gone(_) => false,
        };
        let apart = |other: &Replica| {
            let other = self.wish(*other);
            wish.apart.contains(&other.name) || other.apart.contains(&wish.name)
        };
        let ports = |other: &Replica| self.wish(*other).ports.iter().any(|port| wish.ports.contains(port));
        open && wish.nodes.contains(&host)
            && wish.tags.iter().all(|tag| target.tags.contains(tag))
            && wish.pinned.get(&replica.index).is_none_or(|slot| *slot == target.slot)
            && wish.most_per_node.is_none_or(|most| own < most as usize)
            && !others.iter().any(apart)
            && !others.iter().any(ports)
            && !wish.ports.iter().any(|port| target.taken_ports.contains(port))
            && target.room.memory.is_none_or(|all| used.memory <= all)
            && target.room.millicpus.is_none_or(|all| used.millicpus <= all)
    }

    /// The best host for a replica, by the rules as the pages tell them.
    fn best(&self, at: &At, replica: Replica) -> Option<u32> {
        let wish = self.wish(replica);
        let fitting = (0..self.hosts.len() as u32).filter(|host| self.fits(at, replica, *host, false));
        fitting.max_by_key(|host| {
            let room = self.hosts[*host as usize].room;
            let others = self.carried(at, *host);
            let used = others.iter().fold(wish.takes, |used, other| used + self.wish(*other).takes);
            let part = |used: u64, all: Option<u64>| match all {
                None => 100,
                Some(0) => 0,
                Some(all) => (all - used) * 100 / all,
            };
            let percent =
                part(used.memory.0, room.memory.map(|all| all.0)).min(part(used.millicpus, room.millicpus));
            let own = others.iter().filter(|other| other.service == replica.service).count();
            let near = wish.near.iter().filter(|near| **near != wish.name);
            let near =
                near.filter(|near| others.iter().any(|other| self.wish(*other).name == **near)).count();
            (Reverse(own), near, percent, Reverse(others.len()), Reverse(*host))
        })
    }

    fn moved(&self, before: &At, after: &At) -> Vec<String> {
        let moved = before.iter().filter(|(replica, host)| after.get(replica) != Some(host));
        moved.map(|(replica, host)| format!("{} left {host}", self.called(*replica))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_constraint_is_ever_broken(world in world()) {
        let at = world.at();
        for (replica, host) in &at {
            let mut others = at.clone();
            others.remove(replica);
            let is_there = world.seats.iter().any(|seat| (seat.replica, seat.host) == (*replica, *host));
            prop_assert!(world.fits(&others, *replica, *host, is_there), "{} on {host}", world.called(*replica));
        }
    }

    #[test]
    fn every_replica_is_once_somewhere_or_told_why_not(world in world()) {
        let placement = world.place();
        let mut seen: Vec<Replica> = placement.placed().map(|(replica, _)| replica).collect();
        seen.extend(placement.unplaced().map(|(replica, _)| replica));
        seen.sort();
        prop_assert_eq!(&seen, &world.replicas());
        for replica in seen {
            let answer = placement.of(replica).unwrap();
            prop_assert!(answer.is_ok_and(|host| host < world.hosts.len() as u32) || answer.is_err_and(|why| !why.why.is_empty()));
        }
        let mut board = world.board();
        board.fill();
        let on: Vec<_> = (0..world.hosts.len() as u32).flat_map(|host| board.on(host).into_iter().map(move |one| (one, host))).collect();
        prop_assert_eq!(on.into_iter().collect::<At>(), placement.placed().collect::<At>());
    }

    #[test]
    fn what_is_unplaced_fits_nowhere(world in world()) {
        let at = world.at();
        for replica in world.replicas().into_iter().filter(|replica| !at.contains_key(replica)) {
            let fits = (0..world.hosts.len() as u32).find(|host| world.fits(&at, replica, *host, false));
            prop_assert_eq!(fits, None, "{}", world.called(replica));
        }
    }

    #[test]
    fn what_can_stay_stays(world in world()) {
        // Seats that all hold together, given with any strength, and a world in which nothing else is new.
        let at = world.at();
        for strength in [Strength::Attached, Strength::Running, Strength::Hint] {
            prop_assert_eq!(&world.seated(&at, strength).at(), &at);
        }
    }

    #[test]
    fn a_lost_node_moves_only_what_it_carried(world in world(), which in any::<prop::sample::Index>()) {
        let at = world.at();
        let lost = which.index(world.hosts.len()) as u32;
        let mut before = at.clone();
        before.retain(|_, host| *host != lost);
        let gone = world.seated(&at, Strength::Running).node(lost, |host| host.open = Open::Gone("lost".into()));
        prop_assert_eq!(gone.moved(&before, &gone.at()), Vec::<String>::new());

        // And when it is not even listed any more.
        let shift = |host: u32| if host > lost { host - 1 } else { host };
        let mut unlisted = world.seated(&at, Strength::Running);
        unlisted.hosts.remove(lost as usize);
        unlisted.seats.retain(|seat| seat.host != lost);
        unlisted.seats.iter_mut().for_each(|seat| seat.host = shift(seat.host));
        for wish in &mut unlisted.wishes {
            wish.nodes = wish.nodes.iter().filter(|host| **host != lost).map(|host| shift(*host)).collect();
        }
        let before: At = before.into_iter().map(|(replica, host)| (replica, shift(host))).collect();
        prop_assert_eq!(unlisted.moved(&before, &unlisted.at()), Vec::<String>::new());
    }

    #[test]
    fn a_new_node_moves_nothing(world in world(), new in any_host(77)) {
        let at = world.at();
        let mut wider = world.seated(&at, Strength::Running);
        wider.hosts.push(new);
        for wish in &mut wider.wishes {
            wish.nodes = wish.nodes.iter().copied().chain([world.hosts.len() as u32]).collect();
        }
        prop_assert_eq!(wider.moved(&at, &wider.at()), Vec::<String>::new());
    }

    #[test]
    fn the_order_of_wishes_and_seats_changes_nothing(world in world(), turn in 0usize..5) {
        prop_assert_eq!(world.place(), world.clone().place());
        let mut other = world.clone();
        let services = world.wishes.len();
        other.wishes.rotate_left(turn % services);
        let new = |service: u32| ((service as usize + services - turn % services) % services) as u32;
        other.seats.retain(|seat| (seat.replica.service as usize) < services);
        other.seats.iter_mut().for_each(|seat| seat.replica.service = new(seat.replica.service));
        other.seats.reverse();
        let by_name = |world: &World| {
            let mut lines: Vec<String> = world.picture(&world.place()).lines().map(|line| {
                let mut words: Vec<&str> = line.split(' ').collect();
                words.sort_unstable();
                words.join(" ")
            }).collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(by_name(&world), by_name(&other));
    }

    /// The whole is what comes of choosing one by one, each time the best: by the oracle, by the explanation, and
    /// by the board.
    #[test]
    fn the_best_that_is_explained_is_the_one_that_is_chosen(world in world()) {
        let mut board = world.board();
        let mut at: At = board.placement().placed().collect();
        let mut missing: Vec<Replica> = world.replicas().into_iter().filter(|one| !at.contains_key(one)).collect();
        missing.sort_by_key(|one| (!board.is_pinned(*one), board.rules.rank[one.service as usize], one.index));
        for replica in missing {
            let explanation = board.explain(replica).unwrap();
            prop_assert_eq!(explanation.here, None);
            prop_assert_eq!(explanation.best, world.best(&at, replica), "{}", explanation);
            for Verdict { host, answer, .. } in &explanation.verdicts {
                let fits = world.fits(&at, replica, *host, false);
                match answer {
                    Answer::Refused(why) => prop_assert!(!fits && !why.is_empty(), "{}", explanation),
                    Answer::Scored(score) => {
                        prop_assert!(fits, "{}", explanation);
                        prop_assert_eq!(score.total, score.lines.iter().map(|line| line.points).sum::<i64>());
                        prop_assert_eq!(score.carries as usize, world.carried(&at, *host).len());
                    }
                }
            }
            let chosen = board.replace(&[replica]);
            prop_assert_eq!(chosen[0].1.clone().ok(), explanation.best, "{}", explanation);
            at.extend(explanation.best.map(|host| (replica, host)));
        }
        prop_assert_eq!(at, world.at());
    }

    #[test]
    fn a_standing_board_counts_as_a_new_one_does(world in world(), which in any::<prop::sample::Index>()) {
        let mut board = world.board();
        board.fill();
        let before: At = board.placement().placed().collect();
        let lost = which.index(world.hosts.len()) as u32;
        let displaced = board.set_open(lost, Open::Gone("lost".into()));
        prop_assert_eq!(&displaced, &world.carried(&before, lost));
        let answers = board.replace(&displaced);
        let after: At = board.placement().placed().collect();
        prop_assert_eq!(answers.len(), displaced.len());
        for (replica, answer) in answers {
            prop_assert_eq!(answer.ok(), after.get(&replica).copied());
        }
        // What it keeps of room, ports and numbers is what a board with the same replicas begins with.
        let mut again = world.seated(&after, Strength::Running);
        again.hosts[lost as usize].open = Open::Gone("lost".into());
        let again = again.board();
        prop_assert_eq!(&board.at, &again.at);
        prop_assert_eq!(&board.free, &again.free);
        prop_assert_eq!(&board.percent, &again.percent);
        prop_assert_eq!(&board.carries, &again.carries);
        prop_assert_eq!(&board.ports, &again.ports);
    }

    #[test]
    fn on_equal_nodes_replica_i_is_on_node_i_modulo_n(count in 1u32..20, replicas in 0u32..100, memory in 0u64..7) {
        let mut world = nodes(count).service("pub", replicas, "0B", |wish| wish.takes.memory = Bytes(memory));
        for host in &mut world.hosts {
            host.room.memory = Some(Bytes(1000));
        }
        for (replica, host) in world.at() {
            prop_assert_eq!(host, replica.index % count);
        }
        prop_assert_eq!(world.at().len(), replicas as usize);
    }
}
