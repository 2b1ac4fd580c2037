//! `ideal snapshots list`: one line for each snapshot, newest first.

use ideal_core::observed::Snapshot;
use ideal_core::time::{Bytes, Span, Time};
use serde_json::{Value as Json, json};

use crate::arguments::{Global, data};
use crate::commands::volumes::kind;
use crate::exit::Exit;
use crate::mounts::{self, View};
use crate::output::Output;
use crate::render::list::{Column, List};
use crate::render::words;
use crate::world::{World, wait_for};

const COLUMNS: &[Column] = &[
    Column::new("snapshot"),
    Column::new("address"),
    Column::hidden("cloud"),
    Column::new("kind"),
    Column::new("life"),
    Column::told("size", |row| {
        row["size"].as_u64().map(|size| words::bytes(Bytes(size))).unwrap_or_default()
    }),
    Column::told("taken", |row| row["taken"].as_u64().map(|at| words::date(Time(at))).unwrap_or_default()),
    Column::told("age", |row| row["age"].as_u64().map(|age| words::span(Span(age))).unwrap_or_default()),
    Column::new("volume"),
    Column::hidden("checksum"),
];

pub(crate) fn run(wanted: &data::Some, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let views = mounts::of(&glance, &wanted.addresses)?;
        let rows = views.iter().flat_map(|view| view.snapshots().into_iter().map(|own| row(view, own)));
        List::new(COLUMNS, rows.collect()).pick(&wanted.listing)?.say("snapshot", output)?;
        world.sweep();
        Ok(Exit::Done)
    })
}

fn row(view: &View<'_>, own: &Snapshot) -> Json {
    json!({
        "snapshot": own.id,
        "address": view.address(),
        "cloud": view.cloud(),
        "kind": kind(own),
        "life": own.life,
        "size": own.size.0,
        "taken": own.at.0,
        "age": view.glance.observed.at.since(own.at).0,
        "volume": own.volume,
        "checksum": own.checksum,
    })
}
