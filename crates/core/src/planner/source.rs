//! What a mount's volume is made of: its own sealed data, what the file names, or, provably never used, a blank.

use crate::id::Name;
use crate::ideal::{From, Lost, Mount};
use crate::observed::{Snapshot, SnapshotState};
use crate::plan::{Act, Cause, Danger, FactKind, Part};

use super::slot::{Facts, Ladder};

impl Ladder<'_, '_> {
    /// The mount has no volume: makes one of the right thing, or says why not.
    pub(super) fn make_volume(&mut self, part: &Part, name: &Name, spec: Option<&Mount>) -> bool {
        let Some(spec) = spec else { return true };
        let (act, reason) = match self.source(part, name, spec) {
            Ok(found) => found,
            Err(cause) => {
                self.wait(part, cause);
                return false;
            }
        };
        let facts = Facts { needs: &[], brings: &[FactKind::Exists], ends: &[FactKind::Gone] };
        self.step(part, act, reason, facts, Danger::None);
        false
    }

    fn source(&self, part: &Part, name: &Name, spec: &Mount) -> Result<(Act, String), Cause> {
        let memory = self.memory.mounts.get(name);
        let own: Vec<&Snapshot> = self
            .seen
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.tags.mount.as_ref() == Some(name))
            .collect();
        let seen_generation = own.iter().map(|snapshot| snapshot.tags.generation);
        let gone_generation = self
            .seen
            .volumes
            .iter()
            .filter(|volume| volume.tags.mount.as_ref() == Some(name))
            .map(|volume| volume.tags.generation);
        let highest = seen_generation.chain(gone_generation).max().unwrap_or(0);
        let generation = 1 + highest.max(memory.map_or(0, |mount| mount.generation));
        let restore = |snapshot: &Snapshot, reason: String| {
            let from = Some(snapshot.id.clone());
            let life = snapshot.life;
            (Act::CreateVolume { generation, size: spec.size.max(snapshot.size), life, from }, reason)
        };
        let consent = self.context.input.consent;
        let mount_id = crate::id::MountId { slot: part.slot, name: name.clone() };
        if let Some((_, chosen)) = consent.restore.iter().find(|(id, _)| *id == mount_id) {
            let snapshot = own.iter().find(|snapshot| snapshot.id == *chosen);
            return match snapshot {
                Some(snapshot) => Ok(restore(snapshot, format!("a person chose {chosen}"))),
                None => Err(Cause::LostData {
                    why: format!("snapshot {chosen} is not there"),
                    candidates: candidates(&own),
                }),
            };
        }
        // Snapshots that the journal knows and nobody sees: absence is not believed at once.
        let seen = |id: &crate::id::SnapshotId| own.iter().any(|snapshot| snapshot.id == *id);
        let unseen = memory
            .and_then(|mount| mount.snapshots.iter().find(|id| !seen(id) && !self.is_gone(id.as_str())));
        let needs = own.iter().map(|snapshot| snapshot.life).max().max(memory.and_then(|mount| mount.needs));
        let given_up = memory.is_some_and(|mount| mount.given_up) && own.is_empty();
        let Some(life) = needs.filter(|_| !given_up) else {
            return match unseen {
                Some(object) => Err(Cause::NotSeen { object: object.to_string() }),
                None => self.first(name, spec, generation, &mount_id),
            };
        };
        // One that is known and not seen may hold later writes than any that is.
        if let Some(object) = unseen {
            return Err(Cause::NotSeen { object: object.to_string() });
        }
        let sealed = own.iter().filter(|snapshot| snapshot.life == life && snapshot.seal.is_some());
        let whole = sealed.clone().filter(|snapshot| snapshot.state == SnapshotState::Completed);
        if let Some(snapshot) = whole.max_by_key(|snapshot| (snapshot.at, &snapshot.id)) {
            return Ok(restore(snapshot, format!("{} holds its last write (life {life})", snapshot.id)));
        }
        if let Some(pending) = sealed.clone().find(|snapshot| snapshot.state == SnapshotState::Pending) {
            return Err(Cause::Under { what: format!("snapshot {} is being taken", pending.id) });
        }
        if consent.blank.contains(&mount_id) {
            let act = Act::CreateVolume { generation, size: spec.size, life, from: None };
            return Ok((act, "a person agreed to begin blank".to_owned()));
        }
        let why = format!("neither a volume nor a seal of life {life}, its last, is to be seen");
        if spec.lost == Lost::Newest
            && let Some(snapshot) = whole_ones(&own).next()
        {
            let reason = format!("{why}: {} is the newest that is whole", candidate(snapshot));
            return Ok(restore(snapshot, reason));
        }
        Err(Cause::LostData { why, candidates: candidates(&own) })
    }

    /// The first volume that the mount ever had.
    fn first(
        &self,
        name: &Name,
        spec: &Mount,
        generation: crate::id::Generation,
        mount_id: &crate::id::MountId,
    ) -> Result<(Act, String), Cause> {
        let wanted = self.wanted_mounts();
        let known = |other: &Name| {
            wanted.iter().any(|mount| mount.name == *other || mount.was.as_ref() == Some(other))
        };
        let volumes = self.seen.volumes.iter().map(|volume| &volume.tags);
        let tags = volumes.chain(self.seen.snapshots.iter().map(|snapshot| &snapshot.tags));
        let mut names: Vec<String> = tags
            .filter_map(|tags| tags.mount.as_ref())
            .filter(|other| *other != name && !known(other))
            .map(ToString::to_string)
            .collect();
        names.sort();
        names.dedup();
        if !names.is_empty() && !self.context.input.consent.blank.contains(mount_id) {
            return Err(Cause::Unclaimed { names });
        }
        let blank = Act::CreateVolume { generation, size: spec.size, life: 0, from: None };
        match &spec.from {
            None => Ok((blank, "nothing of it was ever known: it begins blank".to_owned())),
            Some(From::Volume(id)) => {
                let volume = crate::id::VolumeId::new(id.as_str());
                Ok((Act::ClaimVolume { volume, generation }, format!("the file names {id}")))
            }
            Some(From::Snapshot(id)) => {
                let from = Some(crate::id::SnapshotId::new(id.as_str()));
                let act = Act::CreateVolume { generation, size: spec.size, life: 0, from };
                Ok((act, format!("the file names {id}")))
            }
        }
    }
}

/// What could be used instead, newest first.
fn candidates(own: &[&Snapshot]) -> Vec<String> {
    whole_ones(own).map(candidate).collect()
}

fn whole_ones<'s>(own: &[&'s Snapshot]) -> impl Iterator<Item = &'s Snapshot> + use<'s> {
    let mut whole: Vec<&Snapshot> =
        own.iter().copied().filter(|snapshot| snapshot.state == SnapshotState::Completed).collect();
    whole.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.life, snapshot.at)));
    whole.into_iter()
}

fn candidate(snapshot: &Snapshot) -> String {
    let kind = if snapshot.seal.is_some() { "seal" } else { "backup" };
    format!("{} ({kind} of life {})", snapshot.id, snapshot.life)
}
