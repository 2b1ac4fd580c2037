//! `ideal volumes show`: everything of one mount.

use ideal_core::observed::{SealKind, Snapshot, SnapshotState};
use serde_json::{Value as Json, json};

use super::list::row;
use crate::arguments::{Global, data};
use crate::exit::Exit;
use crate::mounts::{self, View};
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::One, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let view = mounts::one(&glance, &wanted.address)?;
        match output.is_json() {
            true => output.document("volume", for_scripts(&view))?,
            false => output.result(&card(&view)),
        }
        world.sweep();
        Ok(Exit::Done)
    })
}

fn card(view: &View<'_>) -> String {
    let mut text = format!("{}   {}\n", view.address(), view.state());
    let mut line = |name: &str, value: String| text += &format!("  {name:<10} {value}\n");
    if let Some(mount) = view.wanted {
        line("wanted", format!("{} at {}", mount.size, mount.at));
        if let Some(backup) = &mount.backup {
            line("backup", format!("every {}, {} kept", words::span(backup.every), backup.keep));
        }
    }
    if let Some(volume) = view.volume() {
        let at = volume.attachment.as_ref().map(|at| format!(", attached to {}", at.machine));
        let made = volume.origin.as_ref().map(|origin| format!(", made of {origin}"));
        let retired = volume.retired.map(|mark| format!(", retired, goes after {}", words::date(mark.until)));
        let more: String = [at, made, retired].into_iter().flatten().collect();
        line("volume", format!("{}   {}, life {}{more}", volume.id, volume.size, volume.life));
    }
    if let Some(seen) = view.mount() {
        if let Some(own) = &seen.filesystem {
            line(
                "filesystem",
                format!("{:?} {}, {}", own.kind, own.uuid, words::bytes(own.size)).to_lowercase(),
            );
        }
        if let Some(why) = &seen.small {
            line("small", format!("it fills its volume at its next mount: {}", words::line(why, 120)));
        }
        if let Some(busy) = &seen.busy {
            line("busy", busy.clone());
        }
    }
    for own in view.snapshots() {
        let checksum = own.checksum.as_deref().map(|sum| format!(", {}", words::line(sum, 23)));
        let age = words::span(view.glance.observed.at.since(own.at));
        let (id, life, kind) = (&own.id, own.life, kind(own));
        line("snapshot", format!("{id}   {kind}, life {life}, {age} old{}", checksum.unwrap_or_default()));
    }
    text
}

/// What a snapshot is, in words.
pub(crate) fn kind(own: &Snapshot) -> &'static str {
    match (own.state, own.seal) {
        (SnapshotState::Error, _) => "failed",
        (SnapshotState::Pending, _) => "being taken",
        (_, Some(SealKind::Clean)) => "seal",
        (_, Some(SealKind::Dirty)) => "seal, dirty",
        (_, None) => "backup",
    }
}

fn for_scripts(view: &View<'_>) -> Json {
    let mut all = row(view);
    let more = json!({
        "wanted": view.wanted, "object": view.volume(), "mount": view.mount(), "snapshots": view.snapshots(),
    });
    if let (Json::Object(all), Json::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}
