//! Ideal against actual, on one screen.

use std::collections::BTreeMap;

use ideal_core::demand::{Scope, State};
use ideal_core::id::SlotId;
use ideal_core::ideal::Cloud;
use ideal_core::observed::{ServiceSeen, ServiceState};
use ideal_core::plan::Waiting;
use ideal_core::plan::text::is_quiet;
use ideal_core::planner::{Consent, How};
use ideal_core::time::Time;
use ideal_engine::Glance;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::render::{card, receipt, words};
use crate::{ladder, replicas, scopes};

/// What `status` shows.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    name: String,
    state: String,
    demanded: String,
    known: &'static str,
    right: usize,
    parts: usize,
    /// Whether all is as demanded.
    pub(crate) good: bool,
    at: Time,
    clouds: Vec<CloudStatus>,
    services: Vec<ServiceLine>,
    waiting: Json,
    to_do: usize,
    kept: Vec<receipt::Kept>,
    retired: Vec<receipt::Retired>,
    notes: Vec<String>,
    #[serde(skip)]
    parts_waiting: Vec<Waiting>,
}

#[derive(Debug, Serialize)]
struct CloudStatus {
    name: String,
    state: String,
    wanted: u32,
    nodes: Vec<Option<State>>,
    running: usize,
    mounts: usize,
    mounted: usize,
    sealed: usize,
    services: BTreeMap<String, ServiceStatus>,
    services_wanted: usize,
}

/// A service as a whole.
#[derive(Debug, Serialize)]
struct ServiceLine {
    name: String,
    wanted: u32,
    well: usize,
    /// How far it is on its way to another version.
    change: Option<&'static str>,
    change_why: Option<String>,
    /// Replicas that no node can carry, and why the first of them.
    unplaced: usize,
    unplaced_why: Option<String>,
}

#[derive(Debug, Serialize)]
struct ServiceStatus {
    node: String,
    state: ServiceState,
    pid: Option<u32>,
    restarts: u32,
    ports: BTreeMap<String, u16>,
    why: Option<String>,
}

impl Status {
    /// Of one look.
    pub(crate) fn of(name: &str, glance: &Glance) -> Status {
        let ideal = &glance.ideal;
        let states = ladder::states(glance);
        // What is only inferred is demanded of nothing: then nothing can differ from it.
        let demands = &glance.standing.demands;
        let decision = glance.decide(demands, &Consent::default());
        let to_do = decision.steps.iter().filter(|step| !is_quiet(&step.act)).count();
        let whole = [Scope::Whole];
        let clouds = ideal.clouds.iter().filter(|cloud| cloud.nodes > 0);
        Status {
            name: name.to_owned(),
            state: ladder::together(states.values()),
            demanded: scopes::words(ideal, demands),
            known: scopes::how(glance.standing.how),
            right: decision.right,
            parts: decision.parts,
            good: to_do == 0 && decision.waiting.is_empty() && glance.seats().notes.is_empty(),
            at: glance.observed.at,
            clouds: clouds.map(|cloud| cloud_status(glance, cloud, &states)).collect(),
            services: services(glance),
            waiting: card::for_scripts(ideal, &decision.waiting),
            to_do,
            kept: receipt::kept(ideal, &glance.observed, &whole),
            retired: receipt::retired(ideal, &glance.observed, &whole),
            notes: decision.notes.into_iter().chain(left_alone(glance)).collect(),
            parts_waiting: decision.waiting,
        }
    }

    /// As text.
    pub(crate) fn render(&self, glance: &Glance) -> String {
        let age = words::span(ideal_host::now().since(self.at));
        let mark = match (self.good, self.state.as_str()) {
            (false, _) => '\u{25b2}',
            (true, "away" | "halted" | "empty") => '\u{25cb}',
            (true, _) => '\u{25cf}',
        };
        let mut text = format!(
            "{}   {} {mark}   {} of {} parts as wanted   looked {age} ago\n",
            self.name, self.state, self.right, self.parts
        );
        let width = self.clouds.iter().map(|cloud| cloud.name.len()).max().unwrap_or(0);
        for cloud in &self.clouds {
            text += &format!("  {:<width$}   {}\n", cloud.name, cloud.words());
            for (address, service) in &cloud.services {
                if let Some(why) = &service.why {
                    text += &format!(
                        "  {:<width$}     {address} on {}: {}\n",
                        "",
                        service.node,
                        words::line(why, 90)
                    );
                }
            }
        }
        let width = self.services.iter().map(|service| service.name.len()).max().unwrap_or(0);
        for service in self.services.iter().filter(|_| !nothing_runs(&self.state)) {
            text += &format!("  {:<width$}   {}\n", service.name, service.words());
        }
        let away = self.state == "away";
        if away && !self.kept.is_empty() {
            text += &receipt::render(&self.kept, &[]);
        }
        text += &receipt::render(&[], &self.retired);
        text += &format!("demanded: {} ({})\n", self.demanded, self.known);
        if self.to_do > 0 {
            text += &format!(
                "{} to do: `ideal plan` shows them, `ideal heal` takes them\n",
                words::counted(self.to_do, "step")
            );
        }
        text += &card::cards(&glance.ideal, &self.parts_waiting);
        for note in &self.notes {
            text += &format!("  i  {note}\n");
        }
        if glance.standing.how == How::SeenRunning {
            text += "nothing is done about it until something is demanded: `ideal up`\n";
        }
        text
    }
}

/// The mounts of replicas that these nodes are to carry.
fn of_replicas(glance: &Glance, slots: &[SlotId]) -> usize {
    let carried = slots.iter().flat_map(|slot| glance.seats().on(&glance.ideal, *slot));
    carried.map(|one| one.service.mounts.len()).sum()
}

fn services(glance: &Glance) -> Vec<ServiceLine> {
    let line = |(at, service): (u32, &std::sync::Arc<ideal_core::ideal::Service>)| {
        let change = replicas::change(glance, service);
        let places = (0..service.replicas).filter_map(|index| glance.seats().of(service.slot(index)));
        let demanded = glance.standing.demands.of_cloud(service.cloud);
        let places = places.filter(|_| demanded == Some(State::Launched));
        let unplaced: Vec<_> = places.filter_map(|place| place.unplaced.as_ref()).collect();
        ServiceLine {
            name: service.name.to_string(),
            wanted: service.replicas,
            well: replicas::well(glance, at, service),
            change: change.word(),
            change_why: change.words(service),
            unplaced: unplaced.len(),
            unplaced_why: unplaced.first().map(|unplaced| unplaced.why.to_string()),
        }
    };
    (0u32..).zip(&glance.ideal.services).map(line).collect()
}

fn cloud_status(glance: &Glance, cloud: &Cloud, states: &BTreeMap<SlotId, Option<State>>) -> CloudStatus {
    let ideal = &glance.ideal;
    let slots: Vec<SlotId> = (0..cloud.nodes).map(|index| SlotId { cloud: cloud.id, index }).collect();
    let nodes: Vec<Option<State>> = slots.iter().map(|slot| states.get(slot).copied().flatten()).collect();
    let mut status = CloudStatus {
        name: cloud.path.to_string(),
        state: ladder::together(&nodes),
        wanted: cloud.nodes,
        nodes,
        running: 0,
        mounts: cloud.mounts.len() * cloud.nodes as usize + of_replicas(glance, &slots),
        mounted: 0,
        sealed: 0,
        services: BTreeMap::new(),
        services_wanted: 0,
    };
    for slot in slots {
        status.services_wanted += glance.seats().on(ideal, slot).count();
        let Some(seen) = glance.observed.slots.get(&slot) else { continue };
        let running = |state| state == ideal_core::observed::MachineState::Running;
        status.running += usize::from(seen.machines.iter().any(|machine| running(machine.state)));
        let report = seen.agent.report();
        status.mounted +=
            report.map_or(0, |report| report.mounts.values().filter(|mount| mount.mounted).count());
        let node = ideal.address(slot);
        for (address, service) in report.into_iter().flat_map(|report| &report.services) {
            status.services.insert(address.clone(), service_status(&node, service));
        }
        let own = [Scope::Slot(slot)];
        status.sealed += receipt::kept(ideal, &glance.observed, &own).len();
    }
    status
}

/// What is left alone on each node, until when and why; and what waits for a person there.
fn left_alone(glance: &Glance) -> Vec<String> {
    let mut notes = Vec::new();
    for (slot, seen) in &glance.observed.slots {
        let Some(report) = seen.agent.report() else { continue };
        let node = glance.ideal.address(*slot);
        for pause in &report.pauses {
            let what = if pause.only.is_empty() { "its resources".to_owned() } else { pause.only.join(", ") };
            let (until, why) = (words::date(pause.until), words::line(&pause.why, 100));
            notes.push(format!("{node}: {} leaves {what} alone until {until}: {why}", pause.who));
        }
        for one in &report.left {
            notes.push(format!("{node}: {}: {}", words::line(&one.what, 80), words::line(&one.why, 160)));
        }
    }
    notes
}

fn service_status(node: &str, seen: &ServiceSeen) -> ServiceStatus {
    ServiceStatus {
        node: node.to_owned(),
        state: seen.state,
        pid: seen.pid,
        restarts: seen.restarts,
        ports: seen.ports.iter().map(|(name, port)| (name.to_string(), *port)).collect(),
        why: seen.why.clone(),
    }
}

impl ServiceLine {
    fn words(&self) -> String {
        let mut words = vec![format!("{}/{} well", self.well, self.wanted)];
        words.extend(self.change_why.as_ref().map(|change| words::line(change, 160)));
        if let Some(why) = &self.unplaced_why {
            words.push(format!("{} unplaced: {}", self.unplaced, words::line(why, 160)));
        }
        words.join("   ")
    }
}

/// Whether this state, in words, leaves nothing that could be well or not.
fn nothing_runs(state: &str) -> bool {
    matches!(state, "away" | "halted")
}

impl CloudStatus {
    fn words(&self) -> String {
        let dot = |state: &Option<State>| match state {
            Some(State::Launched) => '\u{25cf}',
            Some(State::Away | State::Halted) => '\u{25cb}',
            Some(_) => '\u{25d0}',
            None => '\u{25b2}',
        };
        // A hundred dots say no more than forty.
        let dots: String = self.nodes.iter().take(40).map(dot).collect();
        let mut words = vec![format!("{}/{} running {dots}", self.running, self.wanted)];
        if self.mounts > 0 {
            words.push(match self.mounted {
                0 if self.sealed > 0 => format!("volumes 0/{} mounted, {} sealed", self.mounts, self.sealed),
                n => format!("volumes {n}/{} mounted", self.mounts),
            });
        }
        if self.services_wanted > 0 && !nothing_runs(&self.state) {
            let healthy =
                self.services.values().filter(|service| service.state == ServiceState::Running).count();
            words.push(format!("services {healthy}/{} healthy", self.services_wanted));
            let restarts: u32 = self.services.values().map(|service| service.restarts).sum();
            if restarts > 0 {
                words.push(format!("healed {restarts} by restart"));
            }
        }
        words.join("   ")
    }
}

/// For scripts.
pub(crate) fn for_scripts(status: &Status) -> Json {
    json!(status)
}
