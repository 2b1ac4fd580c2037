//! `ideal nodes cordon` and `uncordon`: whether nodes take replicas. What they have stays either way.

use ideal_core::id::SlotId;
use ideal_core::planner::{Consent, How};
use ideal_engine::Request;
use ideal_store::Journal;
use serde_json::json;

use crate::arguments::{Global, NodesCordon, NodesMove};
use crate::commands::up;
use crate::crew;
use crate::errand::{self, Errand};
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

/// Recorded for every decision from then on; nothing is to be done for it.
pub(crate) fn cordon(wanted: &NodesCordon, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::some(&world, &wanted.addresses)?;
    wait_for(async {
        let what = up::what("nodes cordon", &wanted.addresses);
        let requests: Vec<Request> =
            slots.iter().map(|slot| Request::Cordon { slot: *slot, on: true }).collect();
        errand::record(&world, &what, &requests, wanted.take_over).await?;
        let glance = world.glance().await?;
        let seats = glance.seats();
        let carried: usize = slots.iter().map(|slot| seats.on(&glance.ideal, *slot).count()).sum();
        let nodes: Vec<String> = slots.iter().map(|slot| world.ideal.address(*slot)).collect();
        if output.is_json() {
            output.document("cordoned", json!({"nodes": nodes, "carried": carried}))?;
            return Ok(Exit::Done);
        }
        let (names, again) = (nodes.join(", "), wanted.addresses.join(" "));
        let take = if nodes.len() == 1 { "takes" } else { "take" };
        let stay = match carried {
            0 => "nothing runs there".to_owned(),
            1 => "the replica there stays".to_owned(),
            n => format!("the {n} replicas there stay"),
        };
        output.result(&format!(
            "{names} {take} no more replicas; {stay}\nempty: ideal nodes drain {again}; take back: ideal nodes uncordon {again}"
        ));
        Ok(Exit::Done)
    })
}

/// What had no place may have one now, so what is demanded is pursued.
pub(crate) fn uncordon(wanted: &NodesMove, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::some(&world, &wanted.addresses)?;
    wait_for(async {
        let what = up::what("nodes uncordon", &wanted.addresses);
        let names = slots.iter().map(|slot| world.ideal.address(*slot)).collect::<Vec<_>>().join(", ");
        let requests = lifted(&world, &slots)?;
        let take = if slots.len() == 1 { "takes" } else { "take" };
        if requests.is_empty() {
            output.result(&format!("{names} {take} replicas already"));
            return Ok(Exit::Done);
        }
        let standing = world.glance().await?.standing;
        if !matches!(standing.how, How::Recorded | How::Mirrored) {
            errand::record(&world, &what, &requests, wanted.pursuit.take_over).await?;
            output.result(&format!("{names} {take} replicas again"));
            return Ok(Exit::Done);
        }
        let errand = Errand { requests, ..up::with_flags(&what, Consent::default(), &wanted.pursuit) };
        let pursued = errand.run(&world, output).await?;
        let met = format!("{names} {take} replicas again   {}", words::span(pursued.took));
        pursued.tell(&world, output, "ideal heal", &met)
    })
}

/// What lets those of some nodes take replicas that are cordoned.
pub(crate) fn lifted(world: &World, slots: &[SlotId]) -> anyhow::Result<Vec<Request>> {
    let view = world.journal_to_read()?.load()?;
    let cordoned = slots.iter().filter(|slot| view.cordoned.contains(slot));
    Ok(cordoned.map(|slot| Request::Cordon { slot: *slot, on: false }).collect())
}
