//! What is known of nodes: what the file wants of each, its machines, and what its agent said.

use std::collections::BTreeMap;

use ideal_core::demand::{Scope, State};
use ideal_core::id::SlotId;
use ideal_core::observed::{
    AgentSeen, Machine, MountSeen, Report, ServiceState, SlotSeen, Volume, VolumeState,
};
use ideal_engine::Glance;
use serde_json::{Value as Json, json};

use crate::ladder;
use crate::scopes;

/// One node.
pub(crate) struct View<'g> {
    glance: &'g Glance,
    pub(crate) slot: SlotId,
    state: String,
    /// Nothing, when nothing of it was seen.
    seen: SlotSeen,
}

/// The nodes within scopes that the file wants, each cloud in the order of the file; then those that it does not want
/// and that have a machine still.
pub(crate) fn views<'g>(glance: &'g Glance, covered: &[Scope]) -> Vec<View<'g>> {
    let states = ladder::states(glance);
    let clouds = glance.ideal.clouds.iter();
    let wanted = clouds
        .flat_map(|cloud| (0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index }))
        .filter(|slot| scopes::holds(covered, *slot));
    let surplus = glance.observed.slots.iter().filter(|(slot, seen)| {
        let is_there = seen.machines.iter().any(|machine| !machine.state.is_over());
        is_there && !states.contains_key(slot) && scopes::holds(covered, **slot)
    });
    wanted.chain(surplus.map(|(slot, _)| *slot)).map(|slot| view(glance, slot, &states)).collect()
}

/// One node of the file.
pub(crate) fn view<'g>(
    glance: &'g Glance,
    slot: SlotId,
    states: &BTreeMap<SlotId, Option<State>>,
) -> View<'g> {
    let state = match states.get(&slot) {
        Some(state) => ladder::together([state]),
        None => "not in the file".to_owned(),
    };
    View { glance, slot, state, seen: glance.observed.slots.get(&slot).cloned().unwrap_or_default() }
}

impl View<'_> {
    pub(crate) fn address(&self) -> String {
        self.glance.ideal.address(self.slot)
    }
    /// How far it is, in the words of the ladder.
    pub(crate) fn state(&self) -> &str {
        &self.state
    }
    /// What is demanded of it.
    pub(crate) fn demanded(&self) -> Option<State> {
        self.glance.standing.demands.of(self.slot)
    }
    /// Its machines that are not over, the newest first.
    pub(crate) fn machines(&self) -> Vec<&Machine> {
        let mut alive: Vec<&Machine> =
            self.seen.machines.iter().filter(|machine| !machine.state.is_over()).collect();
        alive.sort_by(|a, b| (b.tags.generation, &b.id).cmp(&(a.tags.generation, &a.id)));
        alive
    }
    pub(crate) fn report(&self) -> Option<&Report> {
        self.seen.agent.report()
    }
    pub(crate) fn provider(&self) -> Option<String> {
        let cloud = self.glance.ideal.cloud(self.slot.cloud);
        let provider = self.seen.provider.clone().or_else(|| Some(cloud?.provider.clone()));
        provider.map(|name| name.to_string())
    }
    /// Whether its agent answers; when it does not, why. For how long one look cannot know.
    pub(crate) fn agent(&self) -> (&'static str, Option<&str>) {
        match &self.seen.agent {
            AgentSeen::NotAsked => ("none", None),
            AgentSeen::Answered(_) => ("answers", None),
            AgentSeen::Silent { why, .. } => ("silent", Some(why)),
        }
    }
    /// Its volumes that are there, each with how its agent sees it.
    pub(crate) fn volumes(&self) -> Vec<(&Volume, Option<&MountSeen>)> {
        let there = self.seen.volumes.iter().filter(|volume| volume.state != VolumeState::Deleted);
        let seen = |volume: &Volume| self.report()?.mounts.get(&volume.id);
        there.map(|volume| (volume, seen(volume))).collect()
    }
    fn wanted_services(&self) -> usize {
        self.glance.seats().on(&self.glance.ideal, self.slot).count()
    }
    fn wanted_mounts(&self) -> usize {
        self.glance.ideal.cloud(self.slot.cloud).map_or(0, |cloud| cloud.mounts.len())
    }

    /// One line of a list.
    pub(crate) fn row(&self) -> Json {
        let (machines, report) = (self.machines(), self.report());
        let machine = machines.first();
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let cloud = self.glance.ideal.cloud(self.slot.cloud);
        let (agent, silence) = self.agent();
        let mounted = report.map_or(0, |report| report.mounts.values().filter(|own| own.mounted).count());
        let running = |state| state == ServiceState::Running;
        let healthy = report.map_or(0, |all| all.services.values().filter(|own| running(own.state)).count());
        json!({
            "address": self.address(),
            "cloud": cloud.map(|cloud| cloud.path.to_string()),
            "state": self.state,
            "machine": machine.map(|machine| &machine.id),
            "machine_state": machine.map(|machine| machine.state),
            "network": machine.and_then(|machine| machine.address.as_deref().and_then(text)),
            "image": machine.and_then(|machine| text(&machine.image)),
            "size": machine.and_then(|machine| text(&machine.size)),
            "provider": self.provider(),
            "generation": machine.map(|machine| machine.tags.generation),
            "agent": agent,
            "agent_why": silence,
            "mounted": mounted,
            "mounts": self.wanted_mounts(),
            "healthy": healthy,
            "services": self.wanted_services(),
            "problems": report.map_or(0, |report| report.problems.len()),
        })
    }
}
