//! `ideal up` and `ideal wake`: shows the plan, asks when something ends, pursues it until it is seen.

use ideal_core::address::Address;
use ideal_core::demand::{Ending, Scope, State};
use ideal_core::id::{MountId, SlotId, SnapshotId};
use ideal_core::ideal::Ideal;
use ideal_core::plan::{Act, Plan, text};
use ideal_core::planner::Consent;
use ideal_engine::Glance;

use crate::arguments::{Global, Pursuit, Up};
use crate::ask::{self, Agreed, Losses};
use crate::errand::{Errand, Pursued};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;
use crate::saved::Saved;
use crate::scopes;
use crate::world::{World, wait_for};

/// `ideal up`
pub(crate) fn run(wanted: &Up, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    go(wanted, global, output, "up")
}

/// `ideal wake`
pub(crate) fn wake(wanted: &Up, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    go(wanted, global, output, "wake")
}

fn go(wanted: &Up, global: &Global, output: &Output, verb: &str) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    if wanted.pursuit.step {
        ask::must_be_terminal("each step is asked for", "no --step")?;
    }
    if let Some(path) = &wanted.plan {
        return as_saved(&world, &Saved::read(path)?, &wanted.pursuit, output, verb);
    }
    let addresses = &wanted.addresses;
    let state = wanted.to.unwrap_or(State::Launched);
    if !state.is_up() {
        let message = format!("`{state}` lies on the way down");
        return Err(Failure::new("not-up", Exit::BadInput, message)
            .next("ideal away        puts everything away")
            .next(format!("ideal demand ADDR {state}, then ideal heal"))
            .into());
    }
    let covered = scopes::of(&world.ideal, addresses)?;
    let given = Consent {
        blank: wanted.blank.iter().map(|text| mount(&world.ideal, text)).collect::<Result<_, _>>()?,
        restore: wanted.restore.iter().map(|text| restore(&world.ideal, text)).collect::<Result<_, _>>()?,
        ..Consent::default()
    };
    wait_for(async {
        let glance = world.glance().await?;
        let demands = scopes::demands_if(&glance, &covered, state, Ending::No);
        let plan = glance.plan(&demands, &given);
        if verb == "wake" && !output.is_json() {
            output.note(&seals(&glance, &plan));
        }
        let losses = Losses::of(&glance, &demands, &plan);
        show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &agreed(&wanted.pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let consent = losses.consent(given);
        let what = what(verb, addresses);
        let errand = errand(&what, (covered.clone(), state, Ending::No), consent, &wanted.pursuit);
        let pursued = errand.run(&world, output).await?;
        let name = if addresses.is_empty() { world.name() } else { addresses.join(" ") };
        pursued.tell(&world, output, &format!("ideal {what}"), &met(&name, state.word(), &pursued))
    })
}

/// Does what a saved plan shows, once a person agreed to what it ends.
fn as_saved(
    world: &World,
    saved: &Saved,
    pursuit: &Pursuit,
    output: &Output,
    verb: &str,
) -> anyhow::Result<Exit> {
    wait_for(async {
        let glance = world.glance().await?;
        let demand = saved.must_be_fresh(&glance)?;
        let losses = Losses::of(&glance, &saved.demands, &saved.plan);
        show(world, &saved.plan, output);
        if !ask::agree(&losses, &world.name(), &agreed(pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let consent = losses.consent(Consent::default());
        let what = format!("{verb} --plan");
        let errand = Errand { demand, ..with_flags(&what, consent, pursuit) };
        let pursued = errand.run(world, output).await?;
        let state = scopes::words(&world.ideal, &saved.demands);
        pursued.tell(world, output, "ideal heal", &met(&world.name(), &state, &pursued))
    })
}

/// The command in words.
pub(crate) fn what(verb: &str, addresses: &[String]) -> String {
    std::iter::once(verb.to_owned()).chain(addresses.iter().cloned()).collect::<Vec<_>>().join(" ")
}

/// How a person has agreed beforehand.
pub(crate) fn agreed(pursuit: &Pursuit) -> Agreed<'_> {
    Agreed { yes: pursuit.yes, name: pursuit.name.as_deref() }
}

/// An errand with the usual flags.
pub(crate) fn errand(
    what: &str,
    demand: (Vec<Scope>, State, Ending),
    consent: Consent,
    pursuit: &Pursuit,
) -> Errand {
    Errand { demand: Some(demand), ..with_flags(what, consent, pursuit) }
}

/// An errand for what is demanded already, with the usual flags.
pub(crate) fn with_flags(what: &str, consent: Consent, pursuit: &Pursuit) -> Errand {
    Errand {
        consent,
        timeout: pursuit.timeout,
        take_over: pursuit.take_over,
        step: pursuit.step,
        ..Errand::new(what.to_owned())
    }
}

/// The plan before it is done, on standard error: it is not the result.
pub(crate) fn show(world: &World, plan: &Plan, output: &Output) {
    if plan.steps.iter().any(|planned| !text::is_quiet(&planned.step.act)) {
        output.note(&text::render(&world.ideal, plan, false));
    }
}

/// A mount of the file.
fn mount(ideal: &Ideal, text: &str) -> anyhow::Result<MountId> {
    let address: Address = scopes::address(text)?;
    let cloud = ideal.cloud_at(&address.path);
    match (cloud, address.index, &address.mount) {
        (Some(cloud), Some(index), Some(name)) if cloud.mounts.iter().any(|own| own.name == *name) => {
            Ok(MountId { slot: SlotId { cloud: cloud.id, index }, name: name.clone() })
        }
        _ => {
            let message = format!("`{text}` is not a mount of this file; write shop.db[0]:data");
            Err(Failure::new("no-such-part", Exit::BadInput, message).into())
        }
    }
}

/// A mount, and what it is made of.
fn restore(ideal: &Ideal, text: &str) -> anyhow::Result<(MountId, SnapshotId)> {
    match text.split_once('=') {
        Some((address, snapshot)) => Ok((mount(ideal, address)?, SnapshotId::new(snapshot))),
        None => {
            let message = format!("`{text}` names no snapshot; write shop.db[0]:data=s-12ab");
            Err(Failure::new("bad-address", Exit::BadInput, message).into())
        }
    }
}

/// Which seals a plan brings back.
fn seals(glance: &Glance, plan: &Plan) -> String {
    let mut text = String::new();
    for planned in &plan.steps {
        let Act::CreateVolume { from: Some(id), life, .. } = &planned.step.act else { continue };
        let part = &planned.step.part;
        let seen = glance.observed.slots.get(&part.slot);
        let snapshot = seen.and_then(|seen| seen.snapshots.iter().find(|own| own.id == *id));
        let age = snapshot.map(|own| words::span(ideal_host::now().since(own.at)));
        let age = age.map_or_else(String::new, |age| format!(", {age} old"));
        let address = text::address(&glance.ideal, part);
        text += &format!("  {address:<22} wakes from {id} (life {life}{age})\n");
    }
    if text.is_empty() { "  no snapshot is needed: nothing was put away\n".to_owned() } else { text }
}

/// What was done, and that it was seen.
fn met(name: &str, state: &str, pursued: &Pursued) -> String {
    let kinds: Vec<String> =
        pursued.tally.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let done = match kinds.is_empty() {
        true => "nothing had to be done".to_owned(),
        false => format!("done: {}", kinds.join(", ")),
    };
    format!(
        "{done}\n{name} is {state}: {} of {} parts seen as wanted, {}",
        pursued.tally.right,
        pursued.tally.parts,
        words::span(pursued.took)
    )
}
