//! `ideal services list`: one line for each replica.

use ideal_core::time::Span;
use serde_json::{Value as Json, json};

use crate::arguments::{Global, ServicesList};
use crate::exit::Exit;
use crate::output::Output;
use crate::render::list::{Column, List, plain};
use crate::render::words;
use crate::replicas::{self, Age, View};
use crate::world::{World, wait_for};

const COLUMNS: &[Column] = &[
    Column::new("address"),
    Column::hidden("service"),
    Column::hidden("cloud"),
    Column::new("node"),
    Column::new("state"),
    Column::told("version", |row| match row["change"].as_str() {
        Some(age) => format!("{} {age}", plain(&row["version"])),
        None => plain(&row["version"]),
    }),
    Column::hidden("change"),
    Column::told("restarts", |row| match row["restarts"].as_u64() {
        Some(0) | None => String::new(),
        Some(count) => count.to_string(),
    }),
    Column::told("ports", |row| {
        let all = row["ports"].as_object().into_iter().flatten();
        all.map(|(name, port)| format!("{name} {port}")).collect::<Vec<_>>().join(", ")
    }),
    Column::told("since", |row| row["since"].as_u64().map(|own| words::span(Span(own))).unwrap_or_default()),
    // Last, for it may be long.
    Column::told("why", |row| words::line(row["why"].as_str().unwrap_or_default(), 120)),
];

pub(crate) fn run(wanted: &ServicesList, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let rows = replicas::of(&glance, &wanted.names)?.iter().map(row).collect();
        List::new(COLUMNS, rows).pick(&wanted.listing)?.say("replica", output)?;
        world.sweep();
        Ok(Exit::Done)
    })
}

/// One replica, as a row.
pub(super) fn row(view: &View<'_>) -> Json {
    let ideal = &view.glance.ideal;
    let seen = view.seen().map(|(_, own)| own);
    let age = view.age().map(|age| match age {
        Age::Old => "old",
        Age::New => "new",
    });
    json!({
        "address": view.address(),
        "service": view.service.name,
        "cloud": ideal.cloud(view.service.cloud).map(|cloud| cloud.path.to_string()),
        "node": view.node().map(|node| ideal.address(node)),
        "state": view.state(),
        "version": view.version().map(replicas::short),
        "change": age,
        "restarts": seen.map(|own| own.restarts),
        "ports": seen.map(|own| &own.ports),
        "since": seen.map(|own| view.glance.observed.at.since(own.since).0),
        "why": view.why(),
    })
}
