//! `ideal nodes drain` and `ideal nodes return`: a node made free of services and volumes, and taken back.

use ideal_core::demand::{Ending, Scope, State};
use ideal_core::planner::Consent;

use crate::arguments::{Global, NodesMove};
use crate::commands::nodes::cordon;
use crate::commands::up;
use crate::crew;
use crate::errand::Errand;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

/// Services stop, volumes are unmounted and detached, the `haltable` hook agrees: the machine may be touched.
pub(crate) fn drain(wanted: &NodesMove, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    go(wanted, global, output, "drain", State::Haltable)
}

/// The node is launched again.
pub(crate) fn back(wanted: &NodesMove, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    go(wanted, global, output, "return", State::Launched)
}

fn go(
    wanted: &NodesMove,
    global: &Global,
    output: &Output,
    verb: &str,
    state: State,
) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::some(&world, &wanted.addresses)?;
    let names: Vec<String> = slots.iter().map(|slot| world.ideal.address(*slot)).collect();
    wait_for(async {
        let what = up::what(&format!("nodes {verb}"), &wanted.addresses);
        let covered: Vec<Scope> = slots.iter().map(|slot| Scope::Slot(*slot)).collect();
        let demand = (covered, state, Ending::No);
        // Who is at work again takes replicas, too.
        let requests = match state {
            State::Launched => cordon::lifted(&world, &slots)?,
            _ => Vec::new(),
        };
        let errand = up::errand(&what, demand, Consent::default(), &wanted.pursuit);
        let errand = Errand { requests, ..errand };
        let pursued = errand.run(&world, output).await?;
        let (names, took) = (names.join(", "), words::span(pursued.took));
        let met = match state {
            State::Launched => format!("{names} back at work   {took}"),
            _ => format!(
                "{names} drained: nothing runs there and nothing is attached   {took}\nbring back: ideal nodes return {}",
                wanted.addresses.join(" ")
            ),
        };
        pursued.tell(&world, output, &format!("ideal {what}"), &met)
    })
}
