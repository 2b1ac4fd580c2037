//! `ideal nodes list`: one line for each node.

use serde_json::json;

use super::view::{View, views};
use crate::arguments::{Global, NodesList};
use crate::exit::Exit;
use crate::output::Output;
use crate::render::list::{Column, List, plain};
use crate::render::words;
use crate::scopes;
use crate::world::{World, wait_for};

const COLUMNS: &[Column] = &[
    Column::new("address"),
    Column::hidden("cloud"),
    Column::new("state"),
    Column::new("machine"),
    Column::hidden("machine_state"),
    Column::new("network"),
    Column::new("image"),
    Column::new("size"),
    Column::new("provider"),
    Column::new("generation"),
    Column::told("mounted", |row| of(&row["mounted"], &row["mounts"])),
    Column::hidden("mounts"),
    Column::told("healthy", |row| of(&row["healthy"], &row["services"])),
    Column::hidden("services"),
    Column::told("cordoned", |row| match row["cordoned"].as_bool() {
        Some(true) => "yes".to_owned(),
        _ => String::new(),
    }),
    Column::told("problems", |row| match row["problems"].as_u64() {
        Some(0) | None => String::new(),
        Some(count) => count.to_string(),
    }),
    // Last, for the reason of a silence is long.
    Column::told("agent", |row| match row["agent_why"].as_str() {
        Some(why) => format!("{}: {}", plain(&row["agent"]), words::line(why, 120)),
        None => plain(&row["agent"]),
    }),
];

/// `1/2`; nothing where nothing is wanted.
fn of(seen: &serde_json::Value, wanted: &serde_json::Value) -> String {
    match (seen.as_u64(), wanted.as_u64()) {
        (Some(0), Some(0)) => String::new(),
        _ => format!("{seen}/{wanted}"),
    }
}

pub(crate) fn run(wanted: &NodesList, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let covered = scopes::of(&world.ideal, &wanted.addresses)?;
    wait_for(async {
        let glance = world.glance().await?;
        let rows = views(&glance, &covered).iter().map(View::row).map(|row| json!(row)).collect();
        List::new(COLUMNS, rows).pick(&wanted.listing)?.say("node", output)?;
        world.sweep();
        Ok(Exit::Done)
    })
}
