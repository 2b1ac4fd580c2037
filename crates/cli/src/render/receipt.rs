//! The receipt of an away: where each mount's data is now, how it is known to be whole, and what is still to go.

use ideal_core::demand::Scope;
use ideal_core::ideal::Ideal;
use ideal_core::observed::{Observed, SealKind, Snapshot, SnapshotState, VolumeState};
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
