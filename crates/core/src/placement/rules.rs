//! What follows from wishes and hosts alone, before anything is placed: which nodes may carry which service, who
//! is to be near to whom or apart, and in which order services choose.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::id::{Name, SlotId};

use super::{Host, Wish};

/// The facts that stand while a board stands.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Of each service, where its replicas begin when all are counted through; and the end of all.
    pub(super) starts: Vec<usize>,
    /// Of each service, the one of `pools` that is its own.
    pool: Vec<u32>,
    /// Hosts that may carry a service as far as its nodes and tags go, in order. Shared, for services are many.
    pools: Vec<Vec<u32>>,
    /// Of each service, those that must not be on a node with it, itself among them perhaps. Both ways.
    pub(super) apart: Vec<Vec<u32>>,
    /// Of each service, those that it wants to be near, without itself.
    pub(super) near: Vec<Vec<u32>>,
    /// Of each service, its ports, each once.
    pub(super) ports: Vec<Vec<u16>>,
    /// Of each service, how many replicas one node may carry.
    pub(super) most: Vec<u32>,
    /// Of each service, its place in the order of choosing.
    pub(super) rank: Vec<u32>,
    slots: BTreeMap<SlotId, u32>,
}

impl Rules {
    pub(super) fn new(wishes: &[Wish], hosts: &[Host]) -> Rules {
        let mut starts = vec![0];
        for wish in wishes {
            starts.push(starts[starts.len() - 1] + wish.replicas as usize);
        }
        let names: BTreeMap<&Name, u32> = wishes.iter().map(|wish| &wish.name).zip(0u32..).collect();
        let indices = |names_of: &[Name]| -> Vec<u32> {
            let mut all: Vec<u32> = names_of.iter().filter_map(|name| names.get(name).copied()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let mut apart: Vec<Vec<u32>> = wishes.iter().map(|wish| indices(&wish.apart)).collect();
        let asked: Vec<(u32, u32)> = apart
            .iter()
            .zip(0u32..)
            .flat_map(|(all, own)| all.iter().map(move |other| (*other, own)))
            .collect();
        for (other, own) in asked {
            apart[other as usize].push(own);
        }
        for all in &mut apart {
            all.sort_unstable();
            all.dedup();
        }
        let ports = wishes.iter().map(|wish| {
            let mut ports = wish.ports.clone();
            ports.sort_unstable();
            ports.dedup();
            ports
        });
        let ports: Vec<Vec<u16>> = ports.collect();
        let most = wishes.iter().map(|wish| wish.most_per_node.unwrap_or(u32::MAX)).collect();
        let (pool, pools) = pools(wishes, hosts);
        let mut rules = Rules {
            starts,
            pool,
            pools,
            apart,
            near: Vec::new(),
            ports,
            most,
            rank: Vec::new(),
            slots: hosts.iter().map(|host| host.slot).zip(0u32..).collect(),
        };
        let sizes = rules.by_size(wishes, hosts);
        let mut before = vec![0u32; wishes.len()];
        for (service, place) in sizes.iter().zip(0u32..) {
            before[*service as usize] = place;
        }
        for (wish, own) in wishes.iter().zip(0u32..) {
            let mut near = indices(&wish.near);
            near.retain(|other| *other != own);
            near.sort_by_key(|other| before[*other as usize]);
            rules.near.push(near);
        }
        rules.rank = after_neighbours(&sizes, &rules.near);
        rules
    }

    /// The hosts that may carry a service as far as its nodes and tags go.
    pub(super) fn pool(&self, service: u32) -> &[u32] {
        &self.pools[self.pool[service as usize] as usize]
    }

    /// Whether a host may carry a service as far as its nodes and tags go.
    pub(super) fn may(&self, service: u32, host: u32) -> bool {
        self.pool(service).binary_search(&host).is_ok()
    }

    /// The host of a slot.
    pub(super) fn host(&self, slot: SlotId) -> Option<u32> {
        self.slots.get(&slot).copied()
    }

    /// Services in the order of choosing, but for who wants to be near whom. Whoever has the least choice comes
    /// first, and then the largest, for they fill what others could have used least.
    fn by_size(&self, wishes: &[Wish], hosts: &[Host]) -> Vec<u32> {
        let memory: u128 =
            hosts.iter().filter_map(|host| host.room.memory).map(|all| u128::from(all.0)).sum();
        let cpus: u128 = hosts.iter().filter_map(|host| host.room.millicpus).map(u128::from).sum();
        // Billionths of all there is, in the dimension in which the replica is largest.
        let share = |takes: u64, all: u128| (u128::from(takes) * 1_000_000_000).checked_div(all).unwrap_or(0);
        let mut order: Vec<u32> = (0..wishes.len() as u32).collect();
        order.sort_by_cached_key(|service| {
            let wish = &wishes[*service as usize];
            let takes = wish.takes;
            let largest = share(takes.memory.0, memory).max(share(takes.millicpus, cpus));
            let size = Reverse((largest, takes.memory, takes.millicpus));
            (self.pool(*service).len(), size, wish.name.clone(), *service)
        });
        order
    }
}

/// The same order, but each service after those that it wants to be near; where these form a ring, the first of
/// them in the order comes last.
fn after_neighbours(order: &[u32], near: &[Vec<u32>]) -> Vec<u32> {
    let mut rank = vec![0u32; order.len()];
    let mut seen = vec![false; order.len()];
    let mut next = 0;
    for first in order {
        // Services that wait for their neighbours, with how many of these were looked at.
        let mut waiting = vec![(*first, 0usize)];
        if std::mem::replace(&mut seen[*first as usize], true) {
            continue;
        }
        while let Some((service, looked)) = waiting.last_mut() {
            if let Some(other) = near[*service as usize].get(*looked) {
                *looked += 1;
                if !std::mem::replace(&mut seen[*other as usize], true) {
                    waiting.push((*other, 0));
                }
            } else {
                rank[*service as usize] = next;
                next += 1;
                waiting.pop();
            }
        }
    }
    rank
}

/// Of each service its pool, and the pools.
fn pools(wishes: &[Wish], hosts: &[Host]) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut known: BTreeMap<(&[u32], &[Name]), u32> = BTreeMap::new();
    let mut pools = Vec::new();
    let of_wish = wishes.iter().map(|wish| {
        *known.entry((&wish.nodes, &wish.tags)).or_insert_with(|| {
            let fits = |host: &u32| {
                let host = hosts.get(*host as usize);
                host.is_some_and(|host| wish.tags.iter().all(|tag| host.tags.contains(tag)))
            };
            let mut pool: Vec<u32> = wish.nodes.iter().copied().filter(fits).collect();
            pool.sort_unstable();
            pool.dedup();
            pools.push(pool);
            pools.len() as u32 - 1
        })
    });
    let of_wish = of_wish.collect();
    (of_wish, pools)
}
