//! Placement: which of many nodes carries which of many replicas, from nothing and after nodes were lost.
//!
//! No peer's decision can be had apart from a cluster of that size, so none is measured here.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ideal_core::id::{CloudId, Name, SlotId};
use ideal_core::placement::{Board, Capacity, Host, Open, Replica, Room, Seat, Strength, Wish};
use ideal_core::time::Bytes;

use crate::measure::{apart, line, report, say};

/// Sizes, in replicas. There are as many to a node as Nomad had when it placed a million.
const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
const PER_NODE: usize = 200;
/// How many replicas lose their nodes at once; those of the last node more.
const DISPLACED: usize = 1_000;
const MIB: u64 = 1 << 20;

/// How long a size may take.
fn target(what: &str, size: usize) -> Option<Duration> {
    match (what, size) {
        ("replace", _) => Some(Duration::from_millis(50)),
        (_, 1_000_000) => Some(Duration::from_secs(30)),
        _ => None,
    }
}

pub(crate) fn bench() -> anyhow::Result<()> {
    say(
        "placement: no peer decides without a cluster of that size. Published: Nomad (C1M) decided and started \
         1,000,000 containers on 5,000 hosts in under 5 minutes, on 5 servers",
    )?;
    for (what, name) in [
        ("place", "placement of services of 100 replicas"),
        ("place-large", "placement of services of 1,000 replicas"),
        ("stay", "placement again, all of them seated"),
        ("replace", "placement of 1,000 displaced replicas, of"),
        ("replace-large", "placement of 1,000 displaced replicas of services of 1,000, of"),
    ] {
        for size in SIZES {
            let ours = apart(what, size)?;
            say(&line(name, size, &ours, None, target(what.trim_end_matches("-large"), size)))?;
        }
    }
    Ok(())
}

/// From nothing.
pub(crate) fn place(replicas: usize, each: u32) -> anyhow::Result<()> {
    let (wishes, hosts) = cluster(replicas, each)?;
    let begin = Instant::now();
    let placement = ideal_core::placement::place(&wishes, &hosts, &[]);
    let time = begin.elapsed();
    let placed = placement.placed().count();
    ensure!(placed == replicas, "{placed} of {replicas} are placed: {:?}", placement.unplaced().next());
    report(time, placed)
}

/// Asked again, when everything is where it was put.
pub(crate) fn stay(replicas: usize, each: u32) -> anyhow::Result<()> {
    let (wishes, hosts) = cluster(replicas, each)?;
    let before = ideal_core::placement::place(&wishes, &hosts, &[]);
    let seat = |(replica, host)| Seat { replica, host, strength: Strength::Running };
    let seats: Vec<Seat> = before.placed().map(seat).collect();
    let begin = Instant::now();
    let placement = ideal_core::placement::place(&wishes, &hosts, &seats);
    let time = begin.elapsed();
    ensure!(placement == before, "something was moved");
    report(time, seats.len())
}

/// What nodes that are lost had carried, on a board that stands.
pub(crate) fn replace(replicas: usize, each: u32) -> anyhow::Result<()> {
    let (wishes, hosts) = cluster(replicas, each)?;
    let mut board = Board::new(&wishes, &hosts, &[]);
    board.fill();
    let begin = Instant::now();
    let mut displaced: Vec<Replica> = Vec::new();
    // Nodes from all over the list, until there are enough.
    for host in (0..hosts.len()).step_by(7) {
        if displaced.len() < DISPLACED {
            displaced.extend(board.set_open(host as u32, Open::Gone("it is lost".into())));
        }
    }
    let answers = board.replace(&displaced);
    let time = begin.elapsed();
    ensure!(displaced.len() >= DISPLACED, "{} were displaced", displaced.len());
    let placed = answers.iter().filter(|(_, host)| host.is_ok()).count();
    ensure!(placed == displaced.len(), "{placed} of {} found a node", displaced.len());
    black_box(answers);
    report(time, placed)
}

/// Services of `each` replicas. Most are plain and of different sizes; some want to be near another, apart from
/// one, have tags, or at most so many on a node.
fn cluster(replicas: usize, each: u32) -> anyhow::Result<(Vec<Wish>, Vec<Host>)> {
    let services = replicas / each as usize;
    let count = replicas / PER_NODE;
    let name = |n: usize| Name::new(&format!("s{n}"));
    let ssd = Name::new("ssd")?;
    let nodes: Arc<[u32]> = (0..count as u32).collect();
    let cloud: CloudId = "5f0c6f2e-0000-4000-8000-000000000001".parse()?;
    let hosts = (0..count).map(|n| Host {
        slot: SlotId { cloud, index: n as u32 },
        name: format!("shop.web[{n}]").into(),
        // Of four kinds; the smallest has room for what is its due.
        room: Capacity {
            memory: Some(Bytes((64 + 16 * (n as u64 % 4)) * 1024 * MIB)),
            millicpus: Some(64_000 + 8_000 * (n as u64 % 4)),
        },
        tags: if n % 2 == 0 { vec![ssd.clone()] } else { Vec::new() },
        taken_ports: vec![22],
        open: Open::Open,
    });
    let hosts = hosts.collect();
    let wishes = (0..services).map(|n| {
        anyhow::Ok(Wish {
            name: name(n)?,
            replicas: each,
            takes: Room { memory: Bytes((1 + n as u64 % 8) * 64 * MIB), millicpus: 50 * (1 + n as u64 % 5) },
            ports: if n == 1 && count >= each as usize { vec![8080] } else { Vec::new() },
            tags: if n % 10 == 3 { vec![ssd.clone()] } else { Vec::new() },
            pinned: BTreeMap::new(),
            near: if n % 10 == 4 { vec![name(n - 1)?] } else { Vec::new() },
            apart: if n % 10 == 6 && each as usize * 4 <= count { vec![name(n - 1)?] } else { Vec::new() },
            most_per_node: (n % 10 == 8).then_some(2 * each.div_ceil(count as u32)),
            on: "shop.web".parse()?,
            nodes: nodes.clone(),
        })
    });
    Ok((wishes.collect::<anyhow::Result<_>>()?, hosts))
}
