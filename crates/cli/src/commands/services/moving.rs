//! `ideal services move`: a replica on another node, with its mounts.

use ideal_core::id::SlotId;
use ideal_core::placement::Answer;
use ideal_core::planner::Consent;
use ideal_engine::Request;

use crate::arguments::{Global, ServicesMove};
use crate::commands::up;
use crate::crew;
use crate::errand::Errand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words;
use crate::replicas::{self, View};
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &ServicesMove, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let view = replicas::one(&glance, &wanted.replica)?;
        let node = crew::node(&world, &wanted.node)?;
        let (replica, to) = (view.address(), world.ideal.address(node));
        may(&view, node)?;
        let is_there = view.seen().is_some_and(|(at, _)| at == node) && view.is_well();
        let from = view.node().filter(|from| *from != node).map(|from| world.ideal.address(from));
        let what = format!("services move {replica} {to}");
        let errand = Errand {
            requests: vec![Request::Seat { replica: view.slot(), node }],
            ..up::with_flags(&what, Consent::default(), &wanted.pursuit)
        };
        let pursued = errand.run(&world, output).await?;
        let took = words::span(pursued.took);
        let from = from.map(|from| format!(", from {from}")).unwrap_or_default();
        let mounts = match view.service.mounts.len() {
            0 => String::new(),
            n => format!(" with its {}", words::counted(n, "mount")),
        };
        let met = match is_there {
            true => format!("{replica} is on {to} already"),
            false => format!("{replica} is on {to}{from}{mounts}   {took}"),
        };
        pursued.tell(&world, output, "ideal heal", &met)
    })
}

/// Whether a node could carry a replica: asked of who places, so that a person is told before anything is stopped.
fn may(view: &View<'_>, node: SlotId) -> anyhow::Result<()> {
    let ideal = &view.glance.ideal;
    let (replica, to) = (view.address(), ideal.address(node));
    let refused = |code, message: String| Failure::new(code, Exit::BadInput, message);
    if !view.service.clouds.contains(&node.cloud) {
        let on = &view.service.spec.on;
        let message = format!("{to} is none of the nodes of {}: it is on {on}", view.service.name);
        return Err(refused("not-its-node", message).next(format!("ideal nodes list {on}")).into());
    }
    if let Some(pin) = view.service.spec.place.pin.get(&view.index.to_string()) {
        let pinned =
            ideal.cloud_at(&pin.path).map(|own| SlotId { cloud: own.id, index: pin.index.unwrap_or(0) });
        if pinned != Some(node) {
            let message = format!("the file pins {replica} to {pin}");
            let failure = refused("pinned", message);
            return Err(failure
                .next(format!("change `place: {{pin: …}}` of {} in the file", view.service.name))
                .into());
        }
    }
    let seen = view.glance.observed.slots.get(&node);
    if seen.is_none_or(|seen| seen.agent.report().is_none()) {
        let failure =
            Failure::new("not-up", Exit::Unreachable, format!("{to} is not up: its agent does not answer"));
        return Err(failure.next(format!("ideal nodes show {to}        tells more")).into());
    }
    let explained = view.glance.ground().explain(view.at, view.index);
    let verdict = explained.and_then(|own| own.verdicts.into_iter().find(|verdict| *verdict.name == *to));
    match verdict.map(|verdict| verdict.answer) {
        Some(Answer::Scored(_)) => Ok(()),
        Some(Answer::Refused(why)) => {
            // That a person wanted it elsewhere before is no hindrance.
            let others = why.iter().filter(|(own, _)| *own != ideal_core::placement::Constraint::Pinned);
            let words: Vec<&str> = others.map(|(_, words)| words.as_str()).collect();
            if words.is_empty() {
                return Ok(());
            }
            let failure =
                refused("refused-there", format!("{to} cannot carry {replica}: {}", words.join("; ")));
            Err(failure.next(format!("ideal services show {replica}        says so of every node")).into())
        }
        None => {
            Err(refused("not-its-node", format!("{to} is none of the nodes of {}", view.service.name)).into())
        }
    }
}
