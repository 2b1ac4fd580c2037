//! Replicas on simulated machines: they start a moment after they were wanted, run while what they need is there, take
//! a moment to stop, and go on while nobody can reach their agent.

use std::collections::{BTreeMap, BTreeSet};

use ideal_core::id::{MachineId, VolumeId};
use ideal_core::observed::{MachineState, ServiceSeen, ServiceState};
use ideal_core::time::{Span, Time};

use super::state::State;

/// A replica that a simulated agent is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimReplica {
    /// `pub[0]`.
    pub address: String,
    /// What it runs as.
    pub version: String,
    /// How many mounts of its own it needs.
    pub mounts: usize,
    /// It ends whenever it is started.
    pub broken: bool,
}

/// The replicas of one machine.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    wanted: BTreeMap<String, SimReplica>,
    /// What runs, or has not stopped yet.
    up: BTreeMap<String, Up>,
    /// Those that were running when they were told to be of another version.
    changing: BTreeSet<String>,
    /// Whose volumes are mounted here.
    pub(super) mounts: BTreeMap<VolumeId, String>,
    starts_at: Time,
}

#[derive(Debug)]
struct Up {
    version: String,
    /// Set once it is told to stop.
    gone_at: Option<Time>,
}

/// An agent that did not answer within this time may have been taken for lost.
const FRESH: Span = Span::secs(60);

impl Replicas {
    /// What there is to be from now on.
    pub(super) fn want(&mut self, wanted: &[SimReplica], now: Time, start: Span, stop: Span) {
        let next: BTreeMap<_, _> = wanted.iter().map(|own| (own.address.clone(), own.clone())).collect();
        for (address, up) in &mut self.up {
            let version = next.get(address).map(|own| &own.version);
            if version != Some(&up.version) {
                up.gone_at.get_or_insert(now + stop);
                if version.is_some() {
                    self.changing.insert(address.clone());
                }
            }
        }
        self.changing.retain(|address| next.contains_key(address));
        self.starts_at = now + start;
        self.wanted = next;
    }

    /// Whether what is running here uses this volume.
    pub(super) fn uses(&self, volume: &VolumeId) -> bool {
        self.mounts.get(volume).is_some_and(|address| self.up.contains_key(address))
    }

    /// Whether everything is as wanted.
    pub(super) fn are_right(&self) -> bool {
        let runs = |own: &SimReplica| {
            self.up.get(&own.address).is_some_and(|up| up.version == own.version && up.gone_at.is_none())
        };
        self.wanted.values().all(runs) && self.up.keys().all(|address| self.wanted.contains_key(address))
    }

    /// What the agent says of them.
    pub(super) fn seen(&self, now: Time) -> BTreeMap<String, ServiceSeen> {
        let seen = |state, version: Option<&String>, why: Option<&str>| ServiceSeen {
            state,
            pid: None,
            container: None,
            version: version.cloned(),
            asks: None,
            since: now,
            restarts: 0,
            ports: BTreeMap::new(),
            why: why.map(str::to_owned),
        };
        let mut all = BTreeMap::new();
        for own in self.wanted.values() {
            let (state, why) = match (own.broken, self.has_mounts(own)) {
                (true, _) => (ServiceState::Suspended, Some("it ends whenever it is started")),
                (false, true) => (ServiceState::Starting, None),
                (false, false) => (ServiceState::Stopped, Some("its mount is not there")),
            };
            all.insert(own.address.clone(), seen(state, Some(&own.version), why));
        }
        for (address, up) in &self.up {
            let state = if up.gone_at.is_some() { ServiceState::Starting } else { ServiceState::Running };
            all.insert(address.clone(), seen(state, Some(&up.version), None));
        }
        all
    }

    fn has_mounts(&self, own: &SimReplica) -> bool {
        self.mounts.values().filter(|address| **address == own.address).count() >= own.mounts
    }
}

impl State {
    /// Lets the replicas of all machines come to where they are by now.
    pub(super) fn settle_replicas(&mut self) {
        if !self.has_replicas {
            return;
        }
        let now = self.now;
        let mut starting = Vec::new();
        for (id, own) in &mut self.machines {
            let replicas = &mut own.agent.replicas;
            if own.machine.state != MachineState::Running {
                *replicas = Replicas::default();
                continue;
            }
            replicas.up.retain(|_, up| up.gone_at.is_none_or(|at| now < at));
            if now >= replicas.starts_at {
                let ready = replicas.wanted.values().filter(|own| {
                    !own.broken && !replicas.up.contains_key(&own.address) && replicas.has_mounts(own)
                });
                starting.extend(ready.map(|own| (id.clone(), own.clone())));
            }
        }
        for (id, replica) in starting {
            self.judge_start(&id, &replica.address);
            if let Some(own) = self.machines.get_mut(&id) {
                own.agent.replicas.changing.remove(&replica.address);
                let up = Up { version: replica.version, gone_at: None };
                own.agent.replicas.up.insert(replica.address, up);
            }
        }
        self.judge_changes();
    }

    /// I-18: there is one of each replica, as far as anybody could have known of another.
    fn judge_start(&mut self, id: &MachineId, address: &str) {
        let now = self.now;
        self.event(|| format!("starts  {address} on {id}"));
        let other = self.machines.iter().find(|(other, own)| {
            let reached = now >= own.agent.unheard + FRESH;
            *other != id
                && own.machine.state == MachineState::Running
                && own.agent.replicas.up.contains_key(address)
                && reached
        });
        if let Some((other, _)) = other {
            let what = format!("{address} starts on {id} and runs on {other}, which answers");
            self.violated("I-18", what);
        }
    }

    /// I-19: no more replicas of a service are down for a change than may be: one.
    fn judge_changes(&mut self) {
        let mut down: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for own in self.machines.values().filter(|own| own.machine.state == MachineState::Running) {
            let replicas = &own.agent.replicas;
            for address in &replicas.changing {
                let service = address.split('[').next().unwrap_or_default().to_owned();
                down.entry(service).or_default().insert(address.clone());
            }
        }
        if let Some((service, all)) = down.into_iter().find(|(_, all)| all.len() > 1) {
            self.violated("I-19", format!("{} of {service} are down for a change at once", all.len()));
        }
    }

    /// How many machines run a replica; a machine that is dead runs nothing.
    pub fn copies(&self, address: &str) -> usize {
        let alive = self.machines.values().filter(|own| own.machine.state == MachineState::Running);
        alive.filter(|own| own.agent.replicas.up.contains_key(address)).count()
    }
}
