//! What holds of every decision, whatever is wanted, seen and remembered. `PROPTEST_CASES` says how often.
#![expect(clippy::unwrap_used, reason = "names of this test's own worlds")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ideal_core::demand::{Demands, Scope, State};
use ideal_core::id::{CloudId, MachineId, Name, SlotId, SnapshotId, VolumeId};
use ideal_core::ideal::{
    Cloud, Filesystem, Hook, Hooks, Ideal, Keep, Lost, MachineSize, Mount, ProviderSpec,
};
use ideal_core::journal::{Outcome, Record, View};
use ideal_core::model::SlotModel;
use ideal_core::observed::{
    AgentSeen, Attachment, AttachmentState, Machine, MachineState, MountSeen, Observed, Report, RetireMark,
    SealKind, Sight, SlotSeen, Snapshot, SnapshotState, Tags, Volume, VolumeState,
};
use ideal_core::plan::{Act, Danger, Planned, Step, text};
use ideal_core::planner::{Consent, Input, Patience, ProviderTraits, decide, forecast};
use ideal_core::policy::Leftover;
use ideal_core::time::{Bytes, Span, Time};
use proptest::prelude::*;
use proptest::sample::select;

const NOW: Time = Time(1_000_000);

/// A world to decide for.
#[derive(Clone, Debug)]
struct World {
    ideal: Ideal,
    demands: Demands,
    slots: BTreeMap<SlotId, SlotSeen>,
    consent: bool,
}

fn cloud_id(n: u128) -> CloudId {
    CloudId(uuid::Uuid::from_u128(0x1111_1111_0000_4000_8000_0000_0000_0000 + n))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn mount(text: &str, keep: Keep) -> Mount {
    let at = format!("/{text}");
    Mount {
        name: name(text),
        was: None,
        size: Bytes(1 << 30),
        at,
        filesystem: Filesystem::Ext4,
        keep,
        from: None,
        backup: Some(ideal_core::ideal::Backup { every: Span::hours(1), keep: 1, before: None, after: None }),
        lost: Lost::Ask,
    }
}

fn hook(wanted: bool) -> Option<Hook> {
    wanted.then(|| Hook { run: ideal_core::ideal::document::Argv(vec!["x".to_owned()]), timeout: None })
}

prop_compose! {
    fn cloud(n: u128)(
        nodes in 0u32..3,
        mounts in 0usize..3,
        protect in prop::bool::weighted(0.1),
        give_up in any::<bool>(),
        hooks in prop::bool::weighted(0.2),
    ) -> Cloud {
        let keep = if give_up { Keep::Delete } else { Keep::Snapshot };
        Cloud {
            id: cloud_id(n),
            path: format!("c{n}").parse().unwrap(),
            provider: name("here"),
            nodes,
            most: nodes,
            image: "one".to_owned(),
            size: MachineSize::default(),
            tags: Vec::new(),
            protect,
            mounts: ["data", "log"][..mounts].iter().map(|text| mount(text, keep)).collect(),
            hooks: Hooks { launched: hook(hooks), unmountable: hook(hooks), haltable: hook(hooks) },
            recipes: Vec::new(),
            resources: Vec::new(),
        }
    }
}

fn leftover() -> impl Strategy<Value = Leftover> {
    select(vec![Leftover::Ask, Leftover::Ignore, Leftover::Away, Leftover::Prune])
}

fn tags(slot: SlotId, mount: Option<&str>, generation: u32) -> Tags {
    let mount = mount.map(name);
    Tags {
        cloud: slot.cloud,
        index: Some(slot.index),
        mount,
        generation,
        token: None,
        demand: None,
        epoch: 0,
    }
}

prop_compose! {
    /// A volume of a mount, perhaps with what it was sealed to.
    fn things(slot: SlotId, mount: &'static str)(
        there in prop::bool::weighted(0.7),
        life in 0u32..4,
        state in select(vec![VolumeState::Ready, VolumeState::Ready, VolumeState::Creating, VolumeState::Deleting]),
        at in select(vec![None, Some("own"), Some("own"), Some("other")]),
        at_state in select(vec![AttachmentState::Attached, AttachmentState::Attached, AttachmentState::Detaching]),
        retired in prop::bool::weighted(0.2),
        snapshots in prop::collection::vec(
            (0u32..4, any::<bool>(), select(vec![SnapshotState::Completed, SnapshotState::Pending, SnapshotState::Error])),
            0..3,
        ),
        mounted in any::<bool>(),
    ) -> (Vec<Volume>, Vec<Snapshot>, bool) {
        let base = format!("{}-{}-{mount}", slot.cloud.0.as_u128() & 0xff, slot.index);
        let id = VolumeId::new(format!("v-{base}"));
        let free = at.is_none() && state == VolumeState::Ready;
        let volume = Volume {
            id: id.clone(),
            tags: tags(slot, Some(mount), 1),
            life,
            state: if at.is_some() { VolumeState::Ready } else { state },
            attachment: at.map(|at| Attachment { machine: machine_id(slot, at), state: at_state }),
            size: Bytes(1 << 30),
            origin: None,
            retired: (retired && free).then_some(RetireMark { life, at: Time(0), until: NOW }),
        };
        let snapshots = snapshots.into_iter().enumerate().map(|(n, (life, seal, state))| Snapshot {
            id: SnapshotId::new(format!("s-{base}-{n}")),
            tags: tags(slot, Some(mount), 1),
            volume: id.clone(),
            life,
            seal: seal.then_some(SealKind::Clean),
            state,
            size: Bytes(1 << 30),
            checksum: None,
            at: Time(n as u64),
        });
        let snapshots = snapshots.collect();
        (if there { vec![volume] } else { Vec::new() }, snapshots, mounted)
    }
}

fn machine_id(slot: SlotId, which: &str) -> MachineId {
    MachineId::new(format!("m-{}-{}-{which}", slot.cloud.0.as_u128() & 0xff, slot.index))
}

prop_compose! {
    fn slot(id: SlotId)(
        machine in prop::option::weighted(0.8, select(vec![
            MachineState::Running, MachineState::Running, MachineState::Running, MachineState::Pending,
            MachineState::Impaired, MachineState::Stopped, MachineState::Terminated,
        ])),
        image in select(vec!["one", "one", "two"]),
        retired in prop::bool::weighted(0.1),
        data in things(id, "data"),
        old in things(id, "old"),
        has_old in prop::bool::weighted(0.2),
        silent in prop::bool::weighted(0.2),
    ) -> SlotSeen {
        let machines: Vec<Machine> = machine.into_iter().map(|state| Machine {
            id: machine_id(id, "own"),
            tags: tags(id, None, 1),
            state,
            address: None,
            agent: Some("here".to_owned()),
            image: image.to_owned(),
            size: String::new(),
            retired,
        }).collect();
        let (mut volumes, mut snapshots, mounted) = data;
        if has_old {
            volumes.extend(old.0);
            snapshots.extend(old.1);
        }
        let own = machine_id(id, "own");
        // A volume stays with a machine of ours only while that machine is.
        for volume in &mut volumes {
            let attached = volume.attachment.as_ref().is_some_and(|at| at.machine == own);
            if attached && machines.iter().all(|machine| machine.state.is_over()) {
                volume.attachment = None;
            }
        }
        let held = volumes.iter().filter(|volume| volume.attachment.as_ref().is_some_and(|at| at.machine == own));
        let mounts = held.map(|volume| (volume.id.clone(), MountSeen { life: volume.life, mounted, ..MountSeen::default() }));
        let report = Report { generation: 1, converged: true, mounts: mounts.collect(), ..Report::default() };
        let runs = machines.iter().any(|machine| machine.state == MachineState::Running);
        let agent = match (runs, silent) {
            (false, _) => AgentSeen::NotAsked,
            (true, true) => AgentSeen::Silent { since: NOW, why: "it timed out".to_owned() },
            (true, false) => AgentSeen::Answered(Box::new(report)),
        };
        SlotSeen { provider: Some(name("here")), machines, volumes, snapshots, agent, heard: false }
    }
}

fn world() -> impl Strategy<Value = World> {
    let slots: Vec<SlotId> =
        (0..3).flat_map(|n| (0..3).map(move |index| SlotId { cloud: cloud_id(n), index })).collect();
    let seen: Vec<_> = slots.iter().map(|id| prop::option::weighted(0.6, slot(*id)).boxed()).collect();
    let state = select(State::ALL.to_vec());
    let one = prop::option::weighted(0.3, (0usize..9, select(State::ALL.to_vec())));
    let policy = (leftover(), leftover());
    (cloud(0), cloud(1), seen, prop::option::weighted(0.9, state), one, policy, any::<bool>()).prop_map(
        move |(first, second, seen, whole, one, (surplus, orphans), consent)| {
            let mut ideal = Ideal { clouds: vec![Arc::new(first), Arc::new(second)], ..Ideal::default() };
            ideal.providers.insert(name("here"), ProviderSpec::Sim);
            ideal.policy.surplus = surplus;
            ideal.policy.orphans = orphans;
            let mut demands = Demands::none();
            if let Some(state) = whole {
                demands.demand(Scope::Whole, state, 1, |_| true);
            }
            if let Some((n, state)) = one {
                demands.demand(Scope::Slot(slots[n]), state, 1, |_| false);
            }
            let seen = slots.iter().copied().zip(seen).filter_map(|(id, seen)| Some((id, seen?))).collect();
            World { ideal, demands, slots: seen, consent }
        },
    )
}

impl World {
    fn observed(&self) -> Observed {
        let mut observed = Observed { at: NOW, slots: self.slots.clone(), ..Observed::default() };
        observed.sight.insert(name("here"), Sight::Whole);
        observed
    }

    fn with<T>(&self, observed: &Observed, view: &View, answer: impl FnOnce(&Input<'_>) -> T) -> T {
        let traits = ProviderTraits::AT_HAND;
        answer(&Input {
            ideal: &self.ideal,
            demands: &self.demands,
            observed,
            view,
            consent: &if self.consent { Consent::to_all() } else { Consent::default() },
            patience: &Patience::default(),
            providers: &BTreeMap::from([(name("here"), traits)]),
            now: NOW,
        })
    }

    fn ids(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for seen in self.slots.values() {
            ids.extend(seen.machines.iter().map(|one| one.id.to_string()));
            ids.extend(seen.volumes.iter().map(|one| one.id.to_string()));
            ids.extend(seen.snapshots.iter().map(|one| one.id.to_string()));
        }
        ids
    }
}

/// The objects that a step touches.
fn touched(step: &Step) -> Vec<String> {
    match &step.act {
        Act::StartMachine { machine } | Act::StopMachine { machine } | Act::EndMachine { machine, .. } => {
            vec![machine.to_string()]
        }
        Act::Attach { volume, machine, .. } | Act::Detach { volume, machine, .. } => {
            vec![volume.to_string(), machine.to_string()]
        }
        Act::Mount { volume, .. }
        | Act::Unmount { volume }
        | Act::Seal { volume, .. }
        | Act::Retire { volume, .. }
        | Act::Grow { volume, .. }
        | Act::Backup { volume, .. }
        | Act::DeleteVolume { volume, .. } => vec![volume.to_string()],
        Act::DeleteSnapshot { snapshot, .. } | Act::Prune { snapshot, .. } => vec![snapshot.to_string()],
        Act::Mirror { machines, volumes, snapshots, .. } => {
            let things =
                machines.iter().map(ToString::to_string).chain(volumes.iter().map(ToString::to_string));
            things.chain(snapshots.iter().map(ToString::to_string)).collect()
        }
        Act::Rename { volumes, snapshots, .. } => {
            volumes.iter().map(ToString::to_string).chain(snapshots.iter().map(ToString::to_string)).collect()
        }
        Act::CreateMachine { .. }
        | Act::CreateVolume { .. }
        | Act::ClaimVolume { .. }
        | Act::Apply { .. }
        | Act::BringAgent { .. }
        | Act::RunHook { .. } => Vec::new(),
    }
}

fn ends(step: &Step) -> bool {
    step.danger > Danger::EndsDeadMachine
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_bytes(world in world()) {
        let (observed, view) = (world.observed(), View::default());
        let plan = world.with(&observed, &view, forecast);
        let again = world.clone().with(&world.clone().observed(), &view, forecast);
        let render = |plan| text::render(&world.ideal, plan, true);
        prop_assert_eq!(render(&plan), render(&again));
        prop_assert_eq!(&plan, &again);
        prop_assert_eq!(world.with(&observed, &view, decide), world.with(&observed, &view, decide));
    }

    #[test]
    fn the_order_in_which_things_are_listed_changes_nothing(world in world(), turn in 0usize..5) {
        let observed = world.observed();
        let mut shuffled = observed.clone();
        for seen in shuffled.slots.values_mut() {
            seen.machines.reverse();
            seen.volumes.reverse();
            let turn = turn % seen.snapshots.len().max(1);
            seen.snapshots.rotate_left(turn);
        }
        let view = View::default();
        let sorted = |input: &Input<'_>| {
            let mut decision = decide(input);
            // Which objects one step names may differ in order only.
            for step in &mut decision.steps {
                if let Act::Mirror { volumes, snapshots, .. } = &mut step.act {
                    volumes.sort();
                    snapshots.sort();
                }
            }
            decision.notes.sort();
            let key = |part: &ideal_core::plan::Part| (part.slot, part.mount.clone());
            decision.steps.sort_by_key(|step| (key(&step.part), step.act.verb()));
            decision.waiting.sort_by_key(|waiting| (key(&waiting.part), waiting.cause.slug()));
            decision
        };
        prop_assert_eq!(world.with(&observed, &view, sorted), world.with(&shuffled, &view, sorted));
    }

    #[test]
    fn a_plan_is_a_graph_over_things_that_are_ours(world in world()) {
        let plan = world.with(&world.observed(), &View::default(), forecast);
        let ids = world.ids();
        for (index, Planned { step, after, .. }) in plan.steps.iter().enumerate() {
            for before in after {
                prop_assert!((*before as usize) < index, "step {index} comes after {before}");
            }
            for id in touched(step) {
                let to_be = id.ends_with("to-be") || id.starts_with("the new") || id.starts_with("the seal");
                prop_assert!(to_be || ids.contains(&id), "{id} is not ours: {step:?}");
            }
        }
    }

    #[test]
    fn nothing_ends_without_consent(mut world in world()) {
        world.consent = false;
        let decision = world.with(&world.observed(), &View::default(), decide);
        for step in &decision.steps {
            prop_assert!(!ends(step), "{step:?}");
            let policy = &world.ideal.policy;
            let by_policy = [policy.surplus, policy.orphans].iter()
                .any(|policy| matches!(policy, Leftover::Away | Leftover::Prune));
            let deletes = matches!(step.act, Act::Retire { .. } | Act::DeleteVolume { .. } | Act::DeleteSnapshot { .. });
            prop_assert!(by_policy || !deletes, "{step:?}");
        }
    }

    #[test]
    fn no_demand_is_hold(mut world in world()) {
        world.demands = Demands::none();
        let decision = world.with(&world.observed(), &View::default(), decide);
        prop_assert!(decision.steps.is_empty(), "{:?}", decision.steps);
    }

    #[test]
    fn what_is_not_seen_whole_is_left_alone(world in world()) {
        let mut observed = world.observed();
        observed.sight.insert(name("here"), Sight::Blind { why: "a page is missing".to_owned() });
        let decision = world.with(&observed, &View::default(), decide);
        prop_assert!(decision.steps.is_empty(), "{:?}", decision.steps);
    }

    /// Done in the model, pass by pass, it comes to rest, and what rests has no plan.
    #[test]
    fn what_was_planned_and_done_is_not_planned_again(mut world in world()) {
        world.consent = true;
        let mut view = View::default();
        let demands = Arc::new(world.demands.clone());
        let mut made = 0;
        let mut passes = 0;
        let waiting = loop {
            let mut observed = world.observed();
            // A read by id says at once what is gone.
            let there = world.ids();
            let known = view.slots.values().flat_map(|slot| {
                let mounts = slot.mounts.values().flat_map(|mount| {
                    mount.volumes.iter().map(ToString::to_string)
                        .chain(mount.snapshots.iter().map(ToString::to_string))
                });
                slot.machines.iter().map(ToString::to_string).chain(mounts).collect::<Vec<_>>()
            });
            observed.missing = known.filter(|id| !there.contains(id)).map(|id| (id, Time(0))).collect();
            for record in ideal_core::recover::catch_up(&view, &observed, |_| Span::ZERO, NOW) {
                view.take(NOW, &record);
            }
            let decision = world.with(&observed, &view, decide);
            let steps = decision.steps;
            for step in &steps {
                let slot = step.part.slot;
                let seen = world.slots.remove(&slot).unwrap_or_default();
                let mut ahead = SlotModel::new(slot, seen, demands.clone(), NOW);
                made += 1;
                let done = ahead.apply(step, || format!("new-{made}"));
                prop_assert!(done.is_ok(), "{step:?}: {done:?}");
                world.slots.insert(slot, ahead.seen);
                let (part, act) = (step.part.clone(), step.act.clone());
                view.take(NOW, &Record::Intent { part: part.clone(), act: act.clone(), reason: String::new() });
                let made = done.unwrap_or_default();
                view.take(NOW, &Record::Outcome { part, act, outcome: Outcome::Accepted { made } });
            }
            let mut settled = false;
            for (slot, seen) in &mut world.slots {
                let mut ahead = SlotModel::new(*slot, std::mem::take(seen), demands.clone(), NOW);
                settled |= ahead.settle();
                *seen = ahead.seen;
            }
            if steps.is_empty() && !settled {
                break decision.waiting;
            }
            passes += 1;
            prop_assert!(passes < 80, "it does not come to rest: {steps:?}");
        };
        let plan = world.with(&world.observed(), &view, forecast);
        // What waits for a person may still be told; nothing is done.
        let undone: Vec<&Step> = plan.steps.iter().map(|planned| &planned.step)
            .filter(|step| !text::is_quiet(&step.act)).collect();
        let waits = waiting.iter().any(|waiting| waiting.cause.needs_person());
        prop_assert!(undone.is_empty() || waits, "{undone:?}\n{waiting:?}");
    }
}
