//! When an agent is brought to a machine: never where machines come with theirs, else whenever none answers, and another
//! build one node after the other.
#![expect(clippy::unwrap_used, reason = "a test")]

use ideal_core::build::Build;
use ideal_core::demand::{Demands, Scope, State};
use ideal_core::id::{MachineId, SlotId};
use ideal_core::ideal::Ideal;
use ideal_core::journal::{Outcome, Record, View};
use ideal_core::model;
use ideal_core::observed::{AgentSeen, MachineState, Observed, Report, Sight, SlotSeen, Tags};
use ideal_core::plan::{Act, Part};
use ideal_core::planner::{Consent, Input, Patience, ProviderTraits, decide, forecast};
use ideal_core::time::Time;
use ideal_file::{Sources, load};

const NOW: Time = Time(1_000_000);
const BUILD: Build = Build(7);
const NOBODY: [Vec<u32>; 2] = [Vec::new(), Vec::new()];

struct World {
    ideal: Ideal,
    view: View,
    observed: Observed,
    demands: Demands,
    agent: Option<Build>,
}

impl World {
    /// Three nodes, whose agents answer that they are of this build, or do not answer.
    fn new(builds: [Option<Build>; 3]) -> World {
        let text = "ideal: 1\nproviders: {box: docker}\nclouds:\n  shop:\n    uuid: \
                    5f0c6f2e-0000-4000-8000-000000000001\n    image: debian\n    nodes: 3\n";
        let ideal = load(&Sources::one("ideal.yaml", text.as_bytes())).resolved.unwrap().ideal;
        let sight = ideal.providers.keys().map(|name| (name.clone(), Sight::Whole)).collect();
        let mut demands = Demands::none();
        demands.demand(Scope::Whole, State::Launched, 1, |_| true);
        let observed = Observed { at: NOW, sight, ..Observed::default() };
        let mut world = World { ideal, view: View::default(), observed, demands, agent: Some(BUILD) };
        for (index, build) in (0..).zip(builds) {
            world.runs(index, build);
        }
        world
    }

    fn slot(&self, index: u32) -> SlotId {
        SlotId { cloud: self.ideal.clouds[0].id, index }
    }

    fn runs(&mut self, index: u32, build: Option<Build>) {
        let slot = self.slot(index);
        let demand = Some(std::sync::Arc::new(self.demands.clone()));
        let tags = Tags {
            cloud: slot.cloud,
            index: Some(index),
            mount: None,
            generation: 1,
            token: None,
            demand: demand.clone(),
            epoch: 0,
        };
        let mut machine = model::new_machine(MachineId::new(format!("m-{index}")), tags, "debian", "");
        machine.state = MachineState::Running;
        machine.agent = Some("pipe:[\"way\"]".to_owned());
        let report = Report { generation: 1, build, demand, ..Report::default() };
        let agent = match build {
            Some(_) => AgentSeen::Answered(Box::new(report)),
            None => AgentSeen::Silent { since: NOW, why: "nobody is there".to_owned() },
        };
        let provider = self.ideal.provider_of(slot.cloud).cloned();
        let seen = SlotSeen { provider, machines: vec![machine], agent, ..SlotSeen::default() };
        self.observed.slots.insert(slot, seen);
    }

    /// The nodes to which an agent is brought now, and in a look ahead.
    fn brought(&self) -> [Vec<u32>; 2] {
        let traits = ProviderTraits { agent: self.agent, ..ProviderTraits::AT_HAND };
        let input = Input {
            ideal: &self.ideal,
            demands: &self.demands,
            observed: &self.observed,
            view: &self.view,
            consent: &Consent::default(),
            patience: &Patience::default(),
            providers: &self.ideal.providers.keys().map(|name| (name.clone(), traits)).collect(),
            now: NOW,
        };
        let is_it = |act: &Act| matches!(act, Act::BringAgent { .. });
        let now = decide(&input).steps.into_iter().filter(|step| is_it(&step.act));
        let ahead = forecast(&input).steps.into_iter().map(|one| one.step).filter(|step| is_it(&step.act));
        [now.map(|step| step.part.slot.index).collect(), ahead.map(|step| step.part.slot.index).collect()]
    }
}

#[test]
fn it_is_brought_where_none_answers() {
    let mut world = World::new([Some(BUILD), None, None]);
    assert_eq!(world.brought(), [vec![1, 2], vec![1, 2]]);
    // Where machines come with theirs, it is only waited for.
    world.agent = None;
    assert_eq!(world.brought(), NOBODY);
}

#[test]
fn another_build_comes_to_one_node_after_the_other() {
    let old = Some(Build(1));
    let mut world = World::new([old, old, Some(BUILD)]);
    assert_eq!(world.brought(), [vec![0], vec![0, 1]], "a look ahead shows them all");
    world.runs(0, Some(BUILD));
    assert_eq!(world.brought(), [vec![1], vec![1]]);
    world.runs(1, Some(BUILD));
    assert_eq!(world.brought(), NOBODY);
}

#[test]
fn what_is_to_be_away_and_is_not_heard_is_brought_one_first() {
    let mut world = World::new([None, Some(BUILD), Some(Build(1))]);
    world.demands.demand(Scope::Whole, State::Away, 2, |_| true);
    for index in 0..3 {
        let build = [None, Some(BUILD), Some(Build(1))][index as usize];
        world.runs(index, build);
    }
    assert_eq!(
        world.brought()[0],
        [0],
        "nobody else could say what is mounted there; the others need no other"
    );
}

#[test]
fn who_is_on_the_way_out_is_brought_none() {
    let mut world = World::new([None, Some(BUILD), None]);
    world.demands.demand(Scope::Whole, State::Away, 2, |_| true);
    for index in 0..3 {
        world.runs(index, None);
    }
    let acts = [
        Act::EndMachine { machine: MachineId::new("m-0"), unheard: false },
        Act::StopMachine { machine: MachineId::new("m-1") },
    ];
    for (index, act) in (0..).zip(acts) {
        let part = Part::node(world.slot(index));
        world.view.take(NOW, &Record::Intent { part, act, reason: String::new() });
    }
    assert_eq!(world.brought()[0], [2]);
    // Once that is over, also in vain, who is still silent is brought one.
    let (part, act) =
        (Part::node(world.slot(0)), Act::EndMachine { machine: MachineId::new("m-0"), unheard: false });
    let outcome = Outcome::Unknown { why: "nobody knows".to_owned() };
    world.view.take(NOW, &Record::Outcome { part, act, outcome });
    assert_eq!(world.brought()[0], [0, 2]);
}

#[test]
fn a_machine_that_is_to_be_made_is_brought_one() {
    let mut world = World::new([Some(BUILD), Some(BUILD), Some(BUILD)]);
    world.observed.slots.remove(&world.slot(2));
    assert_eq!(world.brought(), [vec![], vec![2]]);
}
