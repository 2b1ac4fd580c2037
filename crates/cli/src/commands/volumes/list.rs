//! `ideal volumes list`: one line for each mount.

use ideal_core::time::Bytes;
use serde_json::{Value as Json, json};

use crate::arguments::{Global, data};
use crate::exit::Exit;
use crate::mounts::{self, View};
use crate::output::Output;
use crate::render::list::{Column, List};
use crate::render::words;
use crate::world::{World, wait_for};

const COLUMNS: &[Column] = &[
    Column::new("address"),
    Column::hidden("cloud"),
    Column::new("state"),
    Column::new("volume"),
    Column::told("size", |row| {
        row["size"].as_u64().map(|size| words::bytes(Bytes(size))).unwrap_or_default()
    }),
    Column::new("filesystem"),
    Column::new("node"),
    Column::new("machine"),
    Column::new("life"),
    Column::new("seals"),
    Column::new("backups"),
    Column::told("newest", |row| {
        let age = row["newest_age_ms"].as_u64().map(|age| words::span(ideal_core::time::Span(age)));
        age.map(|age| format!("{} ({age} old)", row["newest"].as_str().unwrap_or_default()))
            .unwrap_or_default()
    }),
    Column::hidden("newest_age_ms"),
];

pub(crate) fn run(wanted: &data::Some, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let rows = mounts::of(&glance, &wanted.addresses)?.iter().map(row).collect();
        List::new(COLUMNS, rows).pick(&wanted.listing)?.say("volume", output)?;
        world.sweep();
        Ok(Exit::Done)
    })
}

/// One mount, as a row.
pub(super) fn row(view: &View<'_>) -> Json {
    let (volume, newest) = (view.volume(), view.newest());
    let filesystem = view.mount().and_then(|seen| seen.filesystem.as_ref()).map(|own| own.kind);
    let filesystem = filesystem.or(view.wanted.map(|mount| mount.filesystem));
    let size = volume.map(|own| own.size).or(newest.map(|own| own.size));
    let snapshots = view.snapshots();
    let seals = snapshots.iter().filter(|own| own.seal.is_some()).count();
    json!({
        "address": view.address(),
        "cloud": view.cloud(),
        "state": view.state(),
        "volume": volume.map(|own| &own.id),
        "size": size.map(|size| size.0),
        "filesystem": filesystem,
        "node": view.node().map(|node| view.glance.ideal.address(node)),
        "machine": volume.and_then(|own| Some(&own.attachment.as_ref()?.machine)),
        "life": volume.map(|own| own.life).or(newest.map(|own| own.life)),
        "seals": seals,
        "backups": snapshots.len() - seals,
        "newest": newest.map(|own| &own.id),
        "newest_age_ms": newest.map(|own| view.glance.observed.at.since(own.at).0),
    })
}
