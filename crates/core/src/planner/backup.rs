//! Snapshots of mounts that are in use: when one is due, and which old ones may go.

use crate::guard::outdone;
use crate::id::Name;
use crate::ideal::Mount;
use crate::observed::{MountSeen, SlotSeen, Snapshot, SnapshotState, Volume};
use crate::plan::{Act, Danger, Fact, FactKind, Part, Step};
use crate::time::Time;

use super::slot::{Facts, Ladder};

impl Ladder<'_, '_> {
    /// What the file says of backups of a mounted mount. Nothing waits for it.
    pub(super) fn keep_backups(
        &mut self,
        part: &Part,
        spec: Option<&Mount>,
        volume: &Volume,
        seen: &MountSeen,
    ) {
        let Some((mount, backup)) = spec.and_then(|mount| Some((mount, mount.backup.as_ref()?))) else {
            return;
        };
        let own = || of(self.seen, &mount.name).filter(|own| own.state != SnapshotState::Error);
        let newest = own().map(|own| own.at).max();
        // A mount that never had one is as old as its mounting.
        let due = newest.or(seen.since).unwrap_or_default() + backup.every;
        let now = self.context.input.now;
        if now < due {
            self.out.wake(due);
        } else if let Some(pending) = own().find(|own| own.state == SnapshotState::Pending) {
            let what = format!("snapshot {} is being taken", pending.id);
            return self.put_off(part, &crate::plan::Cause::Under { what }, None);
        } else {
            let reason = match newest {
                Some(at) => format!("the newest snapshot is {} old", now.since(at).rough()),
                None => "it has no snapshot yet".to_owned(),
            };
            let step = back_up(part, volume, now, reason);
            return self.step(part, step.act, step.reason, BACKS_UP, Danger::None);
        }
        let old = of(self.seen, &mount.name).filter(|own| own.seal.is_none());
        if let Some(step) = spare(self.seen, part, old, backup.keep).into_iter().next() {
            self.step(part, step.act, step.reason, PRUNES, Danger::EndsOldSnapshot);
        }
    }
}

const BACKS_UP: Facts<'static> = Facts { needs: &[FactKind::Mounted], brings: &[], ends: &[] };
const PRUNES: Facts<'static> = Facts { needs: &[], brings: &[], ends: &[] };

/// The step that takes a snapshot of a volume as it is now.
pub fn back_up(part: &Part, volume: &Volume, now: Time, reason: String) -> Step {
    let act = Act::Backup { volume: volume.id.clone(), life: volume.life, at: now };
    let needs = vec![Fact::of(FactKind::Exists, part)];
    let (brings, ends) = (Vec::new(), Vec::new());
    Step { part: part.clone(), act, reason, needs, brings, ends, danger: Danger::None }
}

/// The steps that delete what newer snapshots of a mount have made superfluous, oldest first: seals beyond so many,
/// backups beyond so many. The last seal is never among them.
pub fn prunable(seen: &SlotSeen, part: &Part, seals: u32, backups: u32) -> Vec<Step> {
    let Some(name) = &part.mount else { return Vec::new() };
    let mut steps = spare(seen, part, of(seen, name).filter(|own| own.seal.is_some()), seals);
    steps.extend(spare(seen, part, of(seen, name).filter(|own| own.seal.is_none()), backups));
    steps
}

/// Every snapshot of a mount.
fn of<'a>(seen: &'a SlotSeen, name: &'a Name) -> impl Iterator<Item = &'a Snapshot> {
    seen.snapshots.iter().filter(move |own| own.tags.mount.as_ref() == Some(name))
}

/// Those of `some` that at least `keep` others of their kind outdo.
fn spare<'a>(seen: &SlotSeen, part: &Part, some: impl Iterator<Item = &'a Snapshot>, keep: u32) -> Vec<Step> {
    let keep = keep.max(1);
    let newer = |old: &Snapshot| seen.snapshots.iter().filter(|other| outdone(old, other)).count();
    let mut old: Vec<&Snapshot> =
        some.filter(|own| own.state == SnapshotState::Completed && newer(own) >= keep as usize).collect();
    old.sort_by_key(|own| (own.life, own.at, &own.id));
    old.into_iter()
        .map(|own| Step {
            part: part.clone(),
            act: Act::Prune { snapshot: own.id.clone(), keep },
            reason: format!("{} is old: {} newer of its kind stay", own.id, newer(own)),
            needs: Vec::new(),
            brings: Vec::new(),
            ends: Vec::new(),
            danger: Danger::EndsOldSnapshot,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard;
    use crate::id::{CloudId, SlotId, SnapshotId, VolumeId};
    use crate::observed::{SealKind, Tags};
    use crate::time::Bytes;

    fn snapshot(id: &str, mount: &str, life: u32, at: u64, seal: bool) -> Snapshot {
        let tags = Tags {
            cloud: CloudId(Default::default()),
            index: Some(0),
            mount: Some(Name::new(mount).unwrap()),
            generation: 1,
            token: None,
            demand: None,
            epoch: 0,
        };
        let state = if at == 0 { SnapshotState::Pending } else { SnapshotState::Completed };
        let (volume, seal) = (VolumeId::new("v"), seal.then_some(SealKind::Clean));
        let (id, size) = (SnapshotId::new(id), Bytes(1));
        Snapshot { id, tags, volume, life, seal, state, size, checksum: None, at: Time(at) }
    }

    fn pruned(snapshots: &[Snapshot], seals: u32, backups: u32) -> Vec<String> {
        let slot = SlotId { cloud: CloudId(Default::default()), index: 0 };
        let seen = SlotSeen { snapshots: snapshots.to_vec(), ..SlotSeen::default() };
        let steps = prunable(&seen, &Part::mount(slot, &Name::new("data").unwrap()), seals, backups);
        let ids = steps.iter().map(|step| match &step.act {
            Act::Prune { snapshot, keep } => {
                let own = snapshots.iter().find(|own| own.id == *snapshot).unwrap();
                guard::prune_old(own.tags.cloud, own, snapshots, *keep).unwrap();
                snapshot.to_string()
            }
            other => panic!("{other:?}"),
        });
        ids.collect()
    }

    #[test]
    fn the_last_ones_stay_whatever_is_asked() {
        let seals =
            [1, 2, 3].map(|life| snapshot(&format!("s{life}"), "data", life, 10 + u64::from(life), true));
        assert_eq!(pruned(&seals, 2, 1), ["s1"]);
        assert_eq!(pruned(&seals, 0, 0), ["s1", "s2"], "the last seal stays");
        assert!(pruned(&seals[..1], 0, 0).is_empty());
        let mut mixed = seals.to_vec();
        mixed.push(snapshot("b1", "data", 3, 20, false));
        mixed.push(snapshot("b2", "data", 4, 30, false));
        mixed.push(snapshot("other", "log", 9, 90, true));
        assert_eq!(pruned(&mixed, 3, 1), ["b1"], "each kind by its own number");
        assert_eq!(pruned(&mixed, 1, 2), ["s1", "s2"]);
    }

    #[test]
    fn what_is_not_whole_stands_in_for_nothing() {
        let all = [snapshot("s1", "data", 1, 10, true), snapshot("s2", "data", 2, 0, true)];
        assert!(pruned(&all, 1, 1).is_empty());
        let refused = guard::prune_old(all[0].tags.cloud, &all[0], &all[1..], 1).unwrap_err();
        assert!(refused.to_string().contains("one of the last"), "{refused}");
        // Of a node that died: it does not stand in for one that was closed.
        let mut died = snapshot("s2", "data", 2, 20, true);
        died.seal = Some(SealKind::Dirty);
        assert!(pruned(&[all[0].clone(), died.clone()], 1, 1).is_empty());
        assert_eq!(pruned(&[died, snapshot("s3", "data", 3, 30, true)], 1, 1), ["s2"]);
        // A seal taken twice of one life: neither outdoes the other.
        let twice = [snapshot("s1", "data", 1, 10, true), snapshot("s2", "data", 1, 20, true)];
        assert!(pruned(&twice, 1, 1).is_empty());
        let other = CloudId("5f0c6f2e-0000-4000-8000-000000000001".parse().unwrap());
        assert!(guard::prune_old(other, &all[0], &all, 1).is_err(), "not ours");
    }
}
