//! Nodes that are asked or told something directly, and what comes of it.

use std::collections::BTreeMap;

use ideal_api::{LinkError, Reply, Verb};
use ideal_core::id::SlotId;
use ideal_core::resource::Row;
use ideal_engine::orders::Answers;
use ideal_engine::{Engine, Glance, Way};
use ideal_store::Journal;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::scopes;
use crate::world::{World, settings};

/// The nodes of the file that addresses mean; of clouds that grow, also those by which they have grown.
pub(crate) fn slots(world: &World, addresses: &[String]) -> anyhow::Result<Vec<SlotId>> {
    let scopes = scopes::of(&world.ideal, addresses)?;
    let grows = world.ideal.clouds.iter().any(|cloud| cloud.most > cloud.nodes);
    let made = if grows {
        world.journal_to_read()?.load().map_err(anyhow::Error::from)?.slots
    } else {
        BTreeMap::new()
    };
    let there = |slot: &SlotId| made.get(slot).is_some_and(|known| !known.machines.is_empty());
    let all = world.ideal.clouds.iter().flat_map(|cloud| {
        let slots = (0..cloud.most).map(|index| SlotId { cloud: cloud.id, index });
        slots.filter(|slot| slot.index < cloud.nodes || there(slot))
    });
    Ok(all.filter(|slot| scopes::holds(&scopes, *slot)).collect())
}

/// The nodes of the file that addresses mean, of which there must be one.
pub(crate) fn some(world: &World, addresses: &[String]) -> anyhow::Result<Vec<SlotId>> {
    let slots = slots(world, addresses)?;
    if slots.is_empty() {
        let message = format!("there is no node `{}` in the file", addresses.join(", "));
        let failure = Failure::new("no-such-part", Exit::BadInput, message);
        return Err(failure.next("ideal nodes list        shows those that there are").into());
    }
    Ok(slots)
}

/// The one node of the file that an address means.
pub(crate) fn node(world: &World, address: &str) -> anyhow::Result<SlotId> {
    match *some(world, &[address.to_owned()])? {
        [slot] => Ok(slot),
        ref slots => {
            let message = format!("`{address}` stands for {} nodes, and one is meant", slots.len());
            let failure = Failure::new("several-nodes", Exit::BadInput, message);
            let first = slots.first().map(|slot| world.ideal.address(*slot)).unwrap_or_default();
            Err(failure.next(format!("write which: {first}")).into())
        }
    }
}

/// The ways to nodes, for what a person does by hand.
pub(crate) async fn ways(
    world: &World,
    slots: &[SlotId],
) -> anyhow::Result<Vec<(SlotId, Result<Way, LinkError>)>> {
    let mut ways = ideal_engine::ways(&world.outside_to_look()?, slots).await;
    Ok(slots.iter().filter_map(|slot| Some((*slot, ways.remove(slot)?))).collect())
}

/// The way to one node.
pub(crate) async fn way(world: &World, slot: SlotId) -> anyhow::Result<Way> {
    let way = ways(world, &[slot]).await?.pop().map(|(_, way)| way);
    let way = way.unwrap_or_else(|| Err(LinkError::Unreachable { why: "it has no machine".to_owned() }));
    way.map_err(|error| out_of_reach(&world.ideal.address(slot), &error))
}

/// Why a node could not be reached, as the end of a command.
pub(crate) fn out_of_reach(node: &str, error: &LinkError) -> anyhow::Error {
    let message = format!("{node}: {error}");
    let failure = match error {
        LinkError::Refused { .. } => Failure::new("refused", Exit::Failed, message),
        _ => Failure::new("unreachable", Exit::Unreachable, message),
    };
    failure.next(format!("ideal nodes show {node}        tells more")).into()
}

/// Asks nodes something that needs no authority.
pub(crate) async fn ask(world: &World, slots: &[SlotId], verb: &Verb) -> anyhow::Result<Answers> {
    let glance: Glance = world.glance().await?;
    Ok(glance.ask(&world.outside_to_look()?, slots, verb).await)
}

/// Tells nodes something, as the one engine that gives orders; the lease is given back whatever comes of it.
pub(crate) async fn with_engine(
    world: &World,
    take_over: bool,
    does: impl AsyncFnOnce(&mut Engine) -> Result<Answers, ideal_engine::EngineError>,
) -> anyhow::Result<Answers> {
    let outside = world.outside_to_act(std::rc::Rc::new(ideal_engine::progress::Silent))?;
    let opened = Engine::open(outside, world.ideal.clone(), settings(take_over)).await;
    let mut engine = opened.map_err(|why| world.engine_failure(why))?;
    let answers = does(&mut engine).await;
    // Looked at once more, so that what was made right is in the history.
    let looked = engine.look().await;
    let released = engine.release().await;
    let answers = answers.map_err(|why| world.engine_failure(why))?;
    looked.and(released).map_err(|why| world.engine_failure(why))?;
    Ok(answers)
}

/// What each node said of its resources: its name, and rows or why there are none.
pub(crate) type Told = Vec<(String, Result<Vec<Row>, String>)>;

/// Rows by node, in the order of the file.
pub(crate) fn told(world: &World, slots: &[SlotId], mut answers: Answers) -> Told {
    let other = || Err(LinkError::Unknown { why: "it answered something else".to_owned() });
    let one = |slot: &SlotId| {
        let rows = match answers.remove(slot) {
            Some(Ok(Reply::Rows(rows))) => Ok(rows),
            Some(Ok(_)) | None => other(),
            Some(Err(error)) => Err(error),
        };
        (world.ideal.address(*slot), rows.map_err(|error| error.to_string()))
    };
    slots.iter().map(one).collect()
}
