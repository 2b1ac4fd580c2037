//! `ideal services rebalance`: what placing never does by itself. One replica moves at a time, and the next only when
//! that one is well.

use std::collections::BTreeSet;
use std::time::Instant;

use ideal_core::ideal::Service;
use ideal_core::planner::{Consent, Move};
use ideal_core::time::Span;
use ideal_engine::{Glance, Request};
use serde_json::{Value as Json, json};

use crate::arguments::{Global, ServicesRebalance};
use crate::commands::up;
use crate::errand::Errand;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::replicas;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &ServicesRebalance, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let begun = Instant::now();
        let mut tried = BTreeSet::new();
        let mut moved = Vec::new();
        loop {
            // Looked at anew each time: the world goes on meanwhile.
            let glance = world.glance().await?;
            let moves = moves(&glance, wanted)?;
            if wanted.dry_run {
                return show(&glance, &moves, output);
            }
            let Some(one) = moves.into_iter().find(|one| tried.insert((one.service, one.index))) else {
                break;
            };
            let Some(service) = service(&glance, &one) else { break };
            let (replica, to) = (service.address(one.index), world.ideal.address(one.to));
            let what = format!("services rebalance: {replica} to {to}");
            output.note(&line(&glance, &one));
            let errand = Errand {
                requests: vec![Request::Seat { replica: service.slot(one.index), node: one.to }],
                ..up::with_flags(&what, Consent::default(), &wanted.pursuit)
            };
            let pursued = errand.run(&world, output).await?;
            if pursued.exit() != Exit::Done {
                return pursued.tell(&world, output, "ideal heal", "");
            }
            moved.push(for_scripts(&glance, &one));
        }
        let took = Span(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        match (output.is_json(), moved.len()) {
            (true, _) => output.document("rebalanced", moved)?,
            (false, 0) => output.result("nothing is worth a move"),
            (false, n) => {
                output.result(&format!(
                    "{} moved, all well   {}",
                    words::counted(n, "replica"),
                    words::span(took)
                ));
            }
        }
        Ok(Exit::Done)
    })
}

/// What would move: of those that are meant, that are well, and whose data may come along.
fn moves(glance: &Glance, wanted: &ServicesRebalance) -> anyhow::Result<Vec<Move>> {
    let meant: BTreeSet<(u32, u32)> = replicas::of(glance, &wanted.names)?
        .iter()
        .filter(|view| view.is_well() && (wanted.data || view.service.mounts.is_empty()))
        .map(|view| (view.at, view.index))
        .collect();
    Ok(glance.ground().rebalance(|service, index| meant.contains(&(service, index))))
}

fn service<'g>(glance: &'g Glance, one: &Move) -> Option<&'g std::sync::Arc<Service>> {
    glance.ideal.services.get(one.service as usize)
}

fn line(glance: &Glance, one: &Move) -> String {
    let (from, to) = (glance.ideal.address(one.from), glance.ideal.address(one.to));
    let name = service(glance, one).map(|service| service.address(one.index)).unwrap_or_default();
    format!("{name}   {from} \u{2192} {to}   gains {}", words::counted(one.points as usize, "point"))
}

fn for_scripts(glance: &Glance, one: &Move) -> Json {
    json!({
        "replica": service(glance, one).map(|service| service.address(one.index)),
        "from": glance.ideal.address(one.from), "to": glance.ideal.address(one.to), "points": one.points,
    })
}

fn show(glance: &Glance, moves: &[Move], output: &Output) -> anyhow::Result<Exit> {
    if output.is_json() {
        output.document("moves", moves.iter().map(|one| for_scripts(glance, one)).collect::<Vec<Json>>())?;
        return Ok(Exit::Done);
    }
    let lines: Vec<String> = moves.iter().map(|one| line(glance, one)).collect();
    output.result(&match lines.is_empty() {
        true => "nothing is worth a move".to_owned(),
        false => format!("{}\n{} would move", lines.join("\n"), words::counted(lines.len(), "replica")),
    });
    Ok(Exit::Done)
}
