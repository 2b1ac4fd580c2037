//! The receipt of an away: where each mount's data is now, how it is known to be whole, and what is still to go.

use ideal_core::demand::Scope;
use ideal_core::id::Name;
use ideal_core::ideal::Ideal;
use ideal_core::observed::{Observed, SealKind, Snapshot, SnapshotState, Volume, VolumeState};
use ideal_core::plan::Part;
use ideal_core::plan::text::address;
use serde::Serialize;

use crate::render::words;
use crate::scopes;

/// One mount that was put away.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kept {
    pub(crate) mount: String,
    pub(crate) snapshot: String,
    pub(crate) life: u32,
    /// `clean` when the unmount was reported, `dirty` when the node had died.
    pub(crate) seal: &'static str,
    pub(crate) checksum: Option<String>,
    pub(crate) size: String,
    pub(crate) at: ideal_core::time::Time,
}

/// A volume that is retired and not deleted yet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Retired {
    pub(crate) mount: String,
    pub(crate) volume: String,
    pub(crate) until: ideal_core::time::Time,
}

/// The newest seal of each mount within the scopes.
pub(crate) fn kept(ideal: &Ideal, observed: &Observed, covered: &[Scope]) -> Vec<Kept> {
    let mut all = Vec::new();
    for (slot, seen) in observed.slots.iter().filter(|(slot, _)| scopes::holds(covered, **slot)) {
        let mut newest: Vec<&Snapshot> = Vec::new();
        let whole = |own: &&Snapshot| own.seal.is_some() && own.state == SnapshotState::Completed;
        for own in seen.snapshots.iter().filter(whole) {
            match newest.iter_mut().find(|known| known.tags.mount == own.tags.mount) {
                Some(known) if known.life < own.life => *known = own,
                Some(_) => {}
                None => newest.push(own),
            }
        }
        for own in newest {
            let Some(name) = &own.tags.mount else { continue };
            all.push(Kept {
                mount: address(ideal, &Part::mount(*slot, name)),
                snapshot: own.id.to_string(),
                life: own.life,
                seal: if own.seal == Some(SealKind::Clean) { "clean" } else { "dirty" },
                checksum: own.checksum.clone(),
                size: words::bytes(own.size),
                at: own.at,
            });
        }
    }
    all
}

/// What is retired within the scopes.
pub(crate) fn retired(ideal: &Ideal, observed: &Observed, covered: &[Scope]) -> Vec<Retired> {
    let mut all = Vec::new();
    for (slot, seen) in observed.slots.iter().filter(|(slot, _)| scopes::holds(covered, **slot)) {
        for own in seen.volumes.iter().filter(|own| own.state != VolumeState::Deleted) {
            let (Some(mark), Some(name)) = (own.retired, &own.tags.mount) else { continue };
            all.push(Retired {
                mount: address(ideal, &Part::mount(*slot, name)),
                volume: own.id.to_string(),
                until: mark.until,
            });
        }
    }
    all
}

/// Something that is there although all was to end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Left {
    pub(crate) part: String,
    /// `machine`, `volume` or `snapshot`.
    pub(crate) kind: &'static str,
    pub(crate) id: String,
}

/// All that was seen and neither is over nor only waits for its grace: snapshots in whatever state, of whatever
/// mount, seals or not.
pub(crate) fn left(ideal: &Ideal, observed: &Observed) -> Vec<Left> {
    let mut all = Vec::new();
    for machine in &observed.unslotted {
        all.push(Left { part: "no slot".to_owned(), kind: "machine", id: machine.id.to_string() });
    }
    for (slot, seen) in &observed.slots {
        let node = Part::node(*slot);
        let of = |name: &Option<Name>| match name {
            Some(name) => address(ideal, &Part::mount(*slot, name)),
            None => address(ideal, &node),
        };
        for own in seen.machines.iter().filter(|own| !own.state.is_over()) {
            all.push(Left { part: address(ideal, &node), kind: "machine", id: own.id.to_string() });
        }
        let stays = |own: &&Volume| {
            own.state != VolumeState::Deleted && (own.retired.is_none() || own.tags.mount.is_none())
        };
        for own in seen.volumes.iter().filter(stays) {
            all.push(Left { part: of(&own.tags.mount), kind: "volume", id: own.id.to_string() });
        }
        for own in &seen.snapshots {
            all.push(Left { part: of(&own.tags.mount), kind: "snapshot", id: own.id.to_string() });
        }
    }
    all
}

/// What is left, as text.
pub(crate) fn render_left(left: &[Left]) -> String {
    left.iter().map(|own| format!("  left     {:<22} {} {}\n", own.part, own.kind, own.id)).collect()
}

/// The receipt as text.
pub(crate) fn render(kept: &[Kept], retired: &[Retired]) -> String {
    let mut text = String::new();
    for own in kept {
        let checksum = match &own.checksum {
            Some(sum) => format!("checksum {}", words::line(sum, 16)),
            None => "no checksum from this provider".to_owned(),
        };
        text += &format!(
            "  kept     {:<22} {}   life {}, {}, {checksum}\n",
            own.mount, own.snapshot, own.life, own.seal
        );
    }
    for own in retired {
        text +=
            &format!("  retired  {:<22} {}   goes after {}\n", own.mount, own.volume, words::date(own.until));
    }
    text
}
