//! The agents of simulated machines: a table of mounts, a slice that takes a moment to become true, hooks, and
//! the same rule of epochs as the real ones. While something is mounted, it is written to.

use std::collections::BTreeMap;

use ideal_core::demand::Demands;
use ideal_core::id::{Generation, MachineId, SlotId, VolumeId};
use ideal_core::observed::{
    AttachmentState, Authority, HookSeen, MachineState, MountSeen, Problem, Report, SlotSeen,
};
use ideal_core::time::{Span, Time};

use super::replicas::{Replicas, SimReplica};
use super::state::State;
use crate::ProviderError;

/// How long the filesystem of a volume is held still at most.
const FROZEN: Span = Span::secs(60);

pub(super) struct Agent {
    pub(super) report: Report,
    pub(super) down: bool,
    /// Whether there is one at all.
    pub(super) is_there: bool,
    /// Filesystems that are held still, and until when at most.
    frozen: BTreeMap<VolumeId, Time>,
    right_at: Time,
    pub(super) replicas: Replicas,
    /// Until when nobody reaches it, though all goes on there.
    pub(super) cut_until: Time,
    /// When it was last asked in vain.
    pub(super) unheard: Time,
    /// Whether it answered when it was last asked.
    pub(super) heard: bool,
}

impl Agent {
    pub(super) fn new(generation: Generation, is_there: bool) -> Agent {
        Agent {
            report: Report { generation, ..Report::default() },
            down: false,
            is_there,
            frozen: BTreeMap::new(),
            right_at: Time(0),
            replicas: Replicas::default(),
            cut_until: Time(0),
            unheard: Time(0),
            heard: true,
        }
    }
}

/// An order as the simulated agent takes it.
#[derive(Debug, Clone)]
pub struct AgentOrder {
    /// For which machine of the slot.
    pub generation: Generation,
    /// By whose authority; none for a mere report.
    pub authority: Option<Authority>,
    /// What.
    pub verb: AgentVerb,
}

/// What a simulated agent can be told.
#[derive(Debug, Clone)]
pub enum AgentVerb {
    /// Say how things are.
    Report,
    /// Take note of the demands.
    Note(Demands),
    /// Hold a slice with this hash, and run these replicas.
    Apply(String, Vec<SimReplica>),
    /// Mount a volume in a life, for a replica or for the node itself.
    Mount(VolumeId, u32, Option<String>),
    /// Unmount a volume.
    Unmount(VolumeId),
    /// Hold the filesystem of a volume still.
    Freeze(VolumeId),
    /// Let it go on.
    Thaw(VolumeId),
    /// Run a hook, once for each key.
    Hook(String, String),
}

/// What a simulated agent answers.
#[derive(Debug, Clone)]
pub enum AgentAnswer {
    /// How things are.
    Report(Box<Report>),
    /// Taken.
    Accepted,
    /// What a hook said.
    Hook(HookSeen),
    /// It could not be reached.
    Unreachable(String),
    /// It refuses.
    Refused(String),
    /// It obeys another.
    Stale(Authority),
    /// The answer was lost.
    Lost,
}

impl State {
    /// Brings the agent to a machine, or puts the present one in the place of another. What runs there goes on.
    pub(super) fn bring(&mut self, id: &MachineId) -> Result<(), ProviderError> {
        self.calls.shoves += 1;
        if self.chance(self.faults.fail_before) {
            self.seen("an agent did not come");
            return Err(ProviderError::retry("the machine does not hear yet"));
        }
        let program = self.program;
        match self.machines.get_mut(id) {
            Some(own) if own.machine.state == MachineState::Running && self.now >= own.agent.cut_until => {
                own.agent.is_there = true;
                own.agent.report.build = Some(program);
            }
            _ => return Err(ProviderError::retry("nobody reaches the machine")),
        }
        self.event(|| format!("brought the agent {program} to {id}"));
        self.seen("an agent was brought");
        if self.chance(self.faults.lose_answer) {
            self.seen("answer lost");
            return Err(ProviderError::Unknown { why: "the connection broke".to_owned() });
        }
        Ok(())
    }

    /// Whether the machines of a slot that run have the agent that is brought, where one is.
    pub fn has_newest_agent(&self, slot: SlotId) -> bool {
        let mut own = self.machines.values().filter(|own| {
            own.machine.state == MachineState::Running && own.machine.tags.slot() == Some(slot)
        });
        !self.faults.brings || own.all(|own| own.agent.report.build == Some(self.program))
    }

    pub(super) fn agent(&mut self, id: &MachineId, order: &AgentOrder) -> AgentAnswer {
        let silent = self.chance(self.faults.agent_silent);
        let Some(own) = self.machines.get(id) else {
            return AgentAnswer::Unreachable("no such machine".to_owned());
        };
        let cut = self.now < own.agent.cut_until;
        if own.machine.state != MachineState::Running
            || !own.agent.is_there
            || own.agent.down
            || silent
            || cut
        {
            let now = self.now;
            if let Some(own) = self.machines.get_mut(id) {
                (own.agent.unheard, own.agent.heard) = (now, false);
            }
            self.seen(if cut { "agent cut off" } else { "agent silent" });
            return AgentAnswer::Unreachable("no answer".to_owned());
        }
        if own.agent.report.generation != order.generation {
            return AgentAnswer::Refused("this order is for another machine".to_owned());
        }
        if let Some(own) = self.machines.get_mut(id) {
            own.agent.heard = true;
        }
        self.write(id);
        if matches!(order.verb, AgentVerb::Report) {
            return self.report(id);
        }
        self.calls.orders += 1;
        if let Some(stale) = self.obey(id, order.authority.as_ref()) {
            return AgentAnswer::Stale(stale);
        }
        self.event(|| format!("told    {id} {}", brief(&order.verb)));
        let answer = self.carry_out(id, &order.verb);
        if self.faults.twice {
            let again = self.carry_out(id, &order.verb);
            if self.random.below(2) == 0 {
                return again;
            }
        }
        if self.chance(self.faults.lose_answer) {
            self.seen("agent's answer lost");
            return AgentAnswer::Lost;
        }
        answer
    }

    /// The rule of epochs: a lower one is refused, and so is another store's while the lease lasts.
    fn obey(&mut self, id: &MachineId, authority: Option<&Authority>) -> Option<Authority> {
        let now = self.now;
        let own = self.machines.get_mut(id)?;
        let given = authority?;
        if let Some(known) = &own.agent.report.authority {
            let takes_over = given.forced && given.epoch > known.epoch;
            let other = known.store != given.store && known.until > now && !takes_over;
            if given.epoch < known.epoch || other {
                let stale = known.clone();
                self.seen("order of a lower epoch refused");
                return Some(stale);
            }
        }
        own.agent.report.authority = Some(given.clone());
        None
    }

    fn report(&mut self, id: &MachineId) -> AgentAnswer {
        let now = self.now;
        let Some(own) = self.machines.get_mut(id) else { return AgentAnswer::Lost };
        let mut report = own.agent.report.clone();
        report.at = now;
        report.converged =
            report.slice.is_some() && now >= own.agent.right_at && own.agent.replicas.are_right();
        report.services = own.agent.replicas.seen(now);
        if !report.converged {
            let (what, why) = ("services".to_owned(), "starting".to_owned());
            report.problems = vec![Problem { what, why, waiting: false }];
        }
        AgentAnswer::Report(Box::new(report))
    }

    fn carry_out(&mut self, id: &MachineId, verb: &AgentVerb) -> AgentAnswer {
        let now = self.now;
        match verb {
            AgentVerb::Report => self.report(id),
            AgentVerb::Note(demands) => {
                if let Some(own) = self.machines.get_mut(id) {
                    own.agent.report.demand = Some(std::sync::Arc::new(demands.clone()));
                }
                AgentAnswer::Accepted
            }
            AgentVerb::Apply(hash, replicas) => {
                let instant = self.faults.instant;
                let span = self.random.span(Span::millis(100), Span::secs(5));
                let start =
                    if instant { Span::ZERO } else { self.random.span(Span::millis(50), Span::secs(3)) };
                let stop =
                    if instant { Span::ZERO } else { self.random.span(Span::millis(50), Span::secs(3)) };
                self.has_replicas |= !replicas.is_empty();
                if let Some(own) = self.machines.get_mut(id) {
                    own.agent.replicas.want(replicas, now, start, stop);
                }
                if let Some(own) = self.machines.get_mut(id)
                    && own.agent.report.slice.as_ref() != Some(hash)
                {
                    own.agent.report.slice = Some(hash.clone());
                    own.agent.right_at = if instant { now } else { now + span };
                }
                AgentAnswer::Accepted
            }
            AgentVerb::Mount(volume, life, replica) => self.mount(id, volume, *life, replica.as_deref()),
            AgentVerb::Unmount(volume) => self.unmount(id, volume),
            AgentVerb::Freeze(volume) => {
                if let Some(own) = self.machines.get_mut(id) {
                    own.agent.frozen.insert(volume.clone(), now + FROZEN);
                }
                AgentAnswer::Accepted
            }
            AgentVerb::Thaw(volume) => {
                if let Some(own) = self.machines.get_mut(id) {
                    own.agent.frozen.remove(volume);
                }
                AgentAnswer::Accepted
            }
            AgentVerb::Hook(hook, key) => self.hook(id, hook, key),
        }
    }

    fn mount(&mut self, id: &MachineId, volume: &VolumeId, life: u32, replica: Option<&str>) -> AgentAnswer {
        let Some(own) = self.volumes.get(volume) else {
            return AgentAnswer::Refused(format!("{volume} is not there"));
        };
        let here = own
            .volume
            .attachment
            .as_ref()
            .is_some_and(|at| at.machine == *id && at.state == AttachmentState::Attached);
        if !here || own.volume.life != life {
            return AgentAnswer::Refused(format!("{volume} is not here in life {life}"));
        }
        let (mount, data) = (own.volume.tags.mount_id(), own.data);
        let known = self.machines.get(id).and_then(|own| own.agent.report.mounts.get(volume));
        let again = known.is_some_and(|seen| seen.mounted && seen.life == life);
        if let (Some(mount), false) = (mount, again) {
            self.judge_mounted(&mount, volume, data);
        }
        if let Some(own) = self.machines.get_mut(id) {
            let filled = self.volumes.get(volume).map(|own| own.volume.size);
            let since = Some(self.now);
            let seen = MountSeen { life, mounted: true, since, filled, ..MountSeen::default() };
            own.agent.report.mounts.insert(volume.clone(), seen);
            if let Some(replica) = replica {
                own.agent.replicas.mounts.insert(volume.clone(), replica.to_owned());
            }
        }
        self.write(id);
        self.settle_replicas();
        AgentAnswer::Accepted
    }

    fn unmount(&mut self, id: &MachineId, volume: &VolumeId) -> AgentAnswer {
        let used = self.machines.get(id).is_some_and(|own| own.agent.replicas.uses(volume));
        if used || self.chance(self.faults.busy) {
            self.seen("busy");
            if let Some(own) = self.machines.get_mut(id)
                && let Some(seen) = own.agent.report.mounts.get_mut(volume)
            {
                seen.busy = Some("1234 (tail)".to_owned());
            }
            return AgentAnswer::Refused("busy: 1234 (tail)".to_owned());
        }
        self.write(id);
        if let Some(own) = self.machines.get_mut(id)
            && let Some(seen) = own.agent.report.mounts.get_mut(volume)
        {
            seen.mounted = false;
            seen.busy = None;
            own.agent.replicas.mounts.remove(volume);
        }
        AgentAnswer::Accepted
    }

    fn hook(&mut self, id: &MachineId, hook: &str, key: &str) -> AgentAnswer {
        let now = self.now;
        let left = self.refusing.get_mut(hook).filter(|left| **left > 0);
        let agreed = left.is_none();
        if let Some(left) = left {
            *left -= 1;
        }
        let Some(own) = self.machines.get_mut(id) else { return AgentAnswer::Lost };
        if let Some(known) = own.agent.report.hooks.get(key) {
            return AgentAnswer::Hook(known.clone());
        }
        let output = if agreed { String::new() } else { "still draining".to_owned() };
        let seen = HookSeen { agreed, output, at: now };
        own.agent.report.hooks.insert(key.to_owned(), seen.clone());
        AgentAnswer::Hook(seen)
    }

    /// Whatever is mounted on a machine is being written to: its content is a new version.
    fn write(&mut self, id: &MachineId) {
        let Some(own) = self.machines.get(id) else { return };
        let still = |volume: &VolumeId| own.agent.frozen.get(volume).is_some_and(|until| self.now < *until);
        let mounts = own.agent.report.mounts.iter();
        let mounts = mounts.filter(|(volume, seen)| seen.mounted && !still(volume));
        let mounted: Vec<VolumeId> = mounts.map(|(volume, _)| volume.clone()).collect();
        for volume in mounted {
            if !self.is_mounted(&volume) {
                continue;
            }
            self.writes += 1;
            let version = self.writes;
            if let Some(own) = self.volumes.get_mut(&volume) {
                own.data = version;
                if let Some(mount) = own.volume.tags.mount_id() {
                    self.newest.insert(mount, version);
                }
            }
        }
    }

    /// Everything there is of one slot, as a test wants to see it.
    pub fn slot(&self, slot: ideal_core::id::SlotId) -> SlotSeen {
        let mut seen = SlotSeen::default();
        let listing = self.listing();
        seen.machines = listing.machines.into_iter().filter(|own| own.tags.slot() == Some(slot)).collect();
        seen.volumes = listing.volumes.into_iter().filter(|own| own.tags.slot() == Some(slot)).collect();
        seen.snapshots = listing.snapshots.into_iter().filter(|own| own.tags.slot() == Some(slot)).collect();
        seen
    }
}

fn brief(verb: &AgentVerb) -> String {
    match verb {
        AgentVerb::Report => "report".to_owned(),
        AgentVerb::Note(demands) => format!("note {demands}"),
        AgentVerb::Apply(hash, replicas) => {
            let names: Vec<&str> = replicas.iter().map(|own| own.address.as_str()).collect();
            format!("apply {hash} {}", names.join(" "))
        }
        AgentVerb::Mount(volume, life, _) => format!("mount {volume} life {life}"),
        AgentVerb::Unmount(volume) => format!("unmount {volume}"),
        AgentVerb::Freeze(volume) => format!("freeze {volume}"),
        AgentVerb::Thaw(volume) => format!("thaw {volume}"),
        AgentVerb::Hook(hook, _) => format!("hook {hook}"),
    }
}
