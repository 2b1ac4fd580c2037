//! The mount's ladder: a volume that exists, is attached and mounted; or unmounted, separated, sealed, gone.

use crate::demand::Ending;
use crate::guard::covers;
use crate::id::Name;
use crate::ideal::{Keep, Mount};
use crate::observed::{AttachmentState, Machine, MachineState, SealKind, SnapshotState, Volume, VolumeState};
use crate::plan::{Act, Cause, Danger, FactKind, Part};
use crate::policy::Leftover;

use super::Grace;
use super::consent::{self, Prune};
use super::slot::{Facts, Ladder};

/// How far a mount is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Exists,
    Attached,
    Mounted,
    Unmounted,
    Separated,
    Sealed,
    Gone,
}

/// What a mount must know of its node.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// The machine that runs (on the way up), or that is being cleared (on the way down).
    pub(super) machine: Option<Machine>,
    /// The hooks agreed and the services are stopped.
    pub(super) may_unmount: bool,
}

impl Ladder<'_, '_> {
    /// One mount towards a target. True when it is there.
    pub(super) fn mount(
        &mut self,
        name: &Name,
        spec: Option<&Mount>,
        target: Target,
        around: &Surroundings,
    ) -> bool {
        let was = spec.and_then(|mount| mount.was.as_ref());
        let part = Part::mount(self.id, name);
        if self.rename(&part, name, was) || self.volume_unseen(&part, name, was) {
            return false;
        }
        let volumes = self.volumes_of(name, was);
        let volume = volumes.first().map(|volume| (*volume).clone());
        if volumes.len() > 1 {
            let others: Vec<String> = volumes[1..].iter().map(|volume| volume.id.to_string()).collect();
            self.note(&part, &format!(" has more than one volume; {} left alone", others.join(", ")));
        }
        match (volume, target <= Target::Mounted) {
            (None, true) => self.make_volume(&part, name, spec),
            (None, false) => self.forget_snapshots(&part, name, was, target),
            (Some(volume), true) => self.mount_up(&part, spec, &volume, target, around),
            (Some(volume), false) => self.mount_down(&part, spec, &volume, target, around),
        }
    }

    /// A mount that the file no longer wants, on a node that stays.
    pub(super) fn leaving_mount(&mut self, name: &Name, machine: Option<&Machine>) {
        let policy = self.context.of_leftovers(self.context.input.ideal.policy.surplus);
        if policy == Leftover::Ignore {
            return;
        }
        if policy == Leftover::Ask
            && let Some(volume) = self.volumes_of(name, None).first()
            && let Err(cause) = consent::ask_first(self.context, &format!("volume {}", volume.id))
        {
            return self.wait(&Part::mount(self.id, name), cause);
        }
        let before = self.leftover.replace(policy);
        let around = Surroundings { machine: machine.cloned(), may_unmount: true };
        self.mount(name, None, Target::Gone, &around);
        self.leftover = before;
    }

    /// Objects that carry the older name get the present one.
    fn rename(&mut self, part: &Part, name: &Name, was: Option<&Name>) -> bool {
        let Some(was) = was else { return false };
        let old = |tag: &Option<Name>| tag.as_ref() == Some(was);
        let volumes: Vec<_> = self
            .seen
            .volumes
            .iter()
            .filter(|volume| old(&volume.tags.mount) && volume.state != VolumeState::Deleted)
            .map(|volume| volume.id.clone())
            .collect();
        let snapshots: Vec<_> = self
            .seen
            .snapshots
            .iter()
            .filter(|snapshot| old(&snapshot.tags.mount))
            .map(|snapshot| snapshot.id.clone())
            .collect();
        if volumes.is_empty() && snapshots.is_empty() {
            return false;
        }
        let act = Act::Rename { from: was.clone(), volumes, snapshots };
        let facts = Facts { needs: &[], brings: &[FactKind::Named], ends: &[] };
        self.step(part, act, format!("`{was}` is called `{name}` now"), facts, Danger::None);
        true
    }

    /// A volume that the journal knows is not seen and not believed gone: the mount holds still.
    fn volume_unseen(&mut self, part: &Part, name: &Name, was: Option<&Name>) -> bool {
        let names = [Some(name), was];
        let known = names.into_iter().flatten().filter_map(|name| self.memory.mounts.get(name));
        let unseen = known.flat_map(|mount| &mount.volumes).find(|id| {
            !self.seen.volumes.iter().any(|volume| volume.id == **id) && !self.is_gone(id.as_str())
        });
        match unseen.map(ToString::to_string) {
            Some(object) => {
                self.wait(part, Cause::NotSeen { object });
                true
            }
            None => false,
        }
    }

    fn mount_up(
        &mut self,
        part: &Part,
        spec: Option<&Mount>,
        volume: &Volume,
        target: Target,
        around: &Surroundings,
    ) -> bool {
        let id = &volume.id;
        match volume.state {
            VolumeState::Ready => {}
            VolumeState::Error => {
                let what = format!("the provider says that {id} is broken");
                self.wait(part, Cause::Broken { what });
                return false;
            }
            _ => {
                let doing =
                    if volume.state == VolumeState::Creating { "being made" } else { "on its way out" };
                self.wait(part, Cause::Under { what: format!("{id} is {doing}") });
                return false;
            }
        }
        if let Some(wanted) = spec.map(|mount| mount.size).filter(|wanted| *wanted > volume.size) {
            let act = Act::Grow { volume: id.clone(), size: wanted };
            let facts = Facts { needs: &[FactKind::Exists], brings: &[FactKind::Grown], ends: &[] };
            let reason = format!("the file wants {wanted}, and it has {}", volume.size);
            self.step(part, act, reason, facts, Danger::None);
            return false;
        }
        if let Some(wanted) = spec.map(|mount| mount.size).filter(|wanted| *wanted < volume.size) {
            self.note(
                part,
                &format!(" has {}, and the file wants {wanted}: none is made smaller", volume.size),
            );
        }
        if target == Target::Exists {
            return true;
        }
        if let Some(cause) = self.older_than_its_seal(part, volume) {
            self.wait(part, cause);
            return false;
        }
        let Some(at) = &volume.attachment else {
            self.attach(part, volume, around);
            return false;
        };
        match (&around.machine, at.state) {
            (Some(machine), AttachmentState::Attached) if machine.id == at.machine => {}
            (Some(machine), AttachmentState::Attaching) if machine.id == at.machine => {
                self.wait(part, Cause::Under { what: format!("{id} is being attached") });
                return false;
            }
            _ => {
                self.elsewhere(part, volume);
                return false;
            }
        }
        if let Some(why) = self.spent(volume) {
            // Only a new life may be written to, and a new life begins with an attachment.
            self.detach(part, volume, &at.machine, format!("life {} of {id} is over: {why}", volume.life));
            return false;
        }
        if target == Target::Attached {
            return true;
        }
        let Some(report) = self.report() else {
            self.wait(part, self.silence());
            return false;
        };
        let seen = report.mounts.get(id).filter(|seen| seen.mounted && seen.life == volume.life).cloned();
        let facts = Facts {
            needs: &[FactKind::Attached, FactKind::Grown, FactKind::Heard],
            brings: &[FactKind::Mounted],
            ends: &[FactKind::Unmounted],
        };
        let Some(seen) = seen else {
            let blank = self.is_blank(part, volume);
            let act = Act::Mount { volume: id.clone(), life: volume.life, blank };
            self.step(part, act, format!("{id} is attached and not mounted"), facts, Danger::None);
            return false;
        };
        if let Some(why) = &seen.small {
            self.note(part, &format!(" fills its volume at its next mount: {why}"));
        } else if seen.filled.is_some_and(|filled| filled < volume.size) {
            // The same order again: what is mounted is made to fill its device.
            let act = Act::Mount { volume: id.clone(), life: volume.life, blank: false };
            self.step(part, act, format!("its filesystem is smaller than {id}"), facts, Danger::None);
            return false;
        }
        self.keep_backups(part, spec, volume, &seen);
        true
    }

    /// Why nothing may be written in the present life of a volume any more: a life is mounted once. Without this
    /// rule, a frozen engine that wakes could detach, seal or delete what was mounted again meanwhile.
    fn spent(&self, volume: &Volume) -> Option<&'static str> {
        let sealed = self.seen.snapshots.iter().any(|snapshot| {
            snapshot.volume == volume.id && snapshot.life == volume.life && snapshot.seal.is_some()
        });
        let told = self.seen.agent.report().and_then(|report| report.mounts.get(&volume.id));
        if sealed {
            Some("it was sealed")
        } else if volume.retired.is_some() {
            Some("it was retired")
        } else if told.is_some_and(|seen| !seen.mounted && seen.life == volume.life) {
            Some("it was unmounted")
        } else {
            None
        }
    }

    fn detach(&mut self, part: &Part, volume: &Volume, machine: &crate::id::MachineId, reason: String) {
        let act = Act::Detach { volume: volume.id.clone(), machine: machine.clone(), life: volume.life };
        let facts = Facts {
            needs: &[FactKind::Unmounted],
            brings: &[FactKind::Separated],
            ends: &[FactKind::Attached],
        };
        self.step(part, act, reason, facts, Danger::None);
    }

    /// A seal of a higher life than the volume's holds later writes: to go on with the volume would bury them, so a
    /// person is asked. Their choice (a snapshot to restore, or to begin blank) settles it.
    fn older_than_its_seal(&self, part: &Part, volume: &Volume) -> Option<Cause> {
        let newer = self.newest_seal(part).filter(|seal| seal.life > volume.life)?;
        let consent = self.context.input.consent;
        let chosen = |id: &crate::id::MountId| id.slot == part.slot && Some(&id.name) == part.mount.as_ref();
        if consent.blank.iter().any(chosen) || consent.restore.iter().any(|(id, _)| chosen(id)) {
            return None;
        }
        let (id, life) = (&volume.id, volume.life);
        let why = format!("{id} is of life {life}, and seal {} of life {} is newer", newer.id, newer.life);
        Some(Cause::LostData { why, candidates: Vec::new() })
    }

    /// The seal of the highest life that this mount has.
    fn newest_seal(&self, part: &Part) -> Option<&crate::observed::Snapshot> {
        let own = self.seen.snapshots.iter().filter(|snapshot| {
            snapshot.tags.mount == part.mount
                && snapshot.seal.is_some()
                && snapshot.state != SnapshotState::Error
        });
        own.max_by_key(|snapshot| (snapshot.life, &snapshot.id))
    }

    /// Whether nothing was ever written to the volume, as far as is known: only then may a filesystem be made.
    fn is_blank(&self, part: &Part, volume: &Volume) -> bool {
        let memory = part.mount.as_ref().and_then(|name| self.memory.mounts.get(name));
        let unwritten = memory.is_some_and(|mount| !mount.written && mount.volumes.contains(&volume.id));
        // One that a person gave us has no token of ours: it was not made by us, and not blank for all we know.
        volume.origin.is_none() && volume.tags.token.is_some() && (volume.life <= 1 || unwritten)
    }

    fn attach(&mut self, part: &Part, volume: &Volume, around: &Surroundings) {
        let Some(machine) = &around.machine else {
            return self.wait(part, Cause::Fact { fact: FactKind::Running });
        };
        let remembered = part.mount.as_ref().and_then(|name| self.memory.mounts.get(name));
        let sealed = self.newest_seal(part).map_or(0, |seal| seal.life);
        let life = 1 + volume.life.max(sealed).max(remembered.map_or(0, |mount| mount.life));
        let act = Act::Attach { volume: volume.id.clone(), life, machine: machine.id.clone() };
        let facts = Facts {
            needs: &[FactKind::Running, FactKind::Exists],
            brings: &[FactKind::Attached],
            ends: &[FactKind::Separated, FactKind::Sealed, FactKind::Retired],
        };
        let reason = format!("{} is not attached", volume.id);
        self.step(part, act, reason, facts, Danger::None);
    }

    /// Attached to something that is not the machine of this slot now.
    fn elsewhere(&mut self, part: &Part, volume: &Volume) {
        let Some(at) = &volume.attachment else { return };
        let holder = self.seen.machines.iter().find(|machine| machine.id == at.machine);
        let own = holder.is_some();
        let cause = if holder.is_some_and(|machine| machine.state == MachineState::Impaired) {
            // It comes back when the dead machine is ended, which has its own step, or its own reason why not.
            Cause::Fact { fact: FactKind::NoMachine }
        } else if own || at.state == AttachmentState::Detaching {
            Cause::Under { what: format!("{} is coming back from {}", volume.id, at.machine) }
        } else {
            Cause::AttachedElsewhere { volume: volume.id.clone(), machine: at.machine.clone() }
        };
        self.wait(part, cause);
    }

    fn mount_down(
        &mut self,
        part: &Part,
        spec: Option<&Mount>,
        volume: &Volume,
        target: Target,
        around: &Surroundings,
    ) -> bool {
        if volume.attachment.is_some() {
            return self.take_off(part, volume, target, around);
        }
        match volume.state {
            VolumeState::Ready => {}
            VolumeState::Creating if target <= Target::Separated => return true,
            VolumeState::Deleting if target < Target::Gone => return true,
            VolumeState::Error => {
                let what = format!("the provider says that {} is broken", volume.id);
                self.wait(part, Cause::Broken { what });
                return false;
            }
            state => {
                let doing = if state == VolumeState::Creating { "being made" } else { "on its way out" };
                self.wait(part, Cause::Under { what: format!("{} is {doing}", volume.id) });
                return false;
            }
        }
        if target <= Target::Separated {
            return true;
        }
        if self.was_given_up(volume) {
            self.note(part, " was given up and is retired; `ideal prune` deletes it in time");
            return true;
        }
        let given_up =
            spec.is_some_and(|mount| mount.keep == Keep::Delete) || self.leftover == Some(Leftover::Prune);
        let sealed = given_up || self.sealed(part, volume);
        if !sealed || target == Target::Sealed {
            return sealed;
        }
        self.delete(part, volume, given_up)
    }

    /// Whether a person pruned it: nothing in the file wants it, and it is retired although no seal holds it. Who pruned
    /// it goes on pruning it; nobody else seals or deletes it, unless the whole cluster ends.
    fn was_given_up(&self, volume: &Volume) -> bool {
        let input = self.context.input;
        self.leftover == Some(Leftover::Ask)
            && input.consent.prune == Prune::Nothing
            && input.demands.ending == Ending::No
            && volume.retired.is_some_and(|mark| mark.life == volume.life)
            && !self.seen.snapshots.iter().any(|snapshot| covers(snapshot, volume))
    }

    /// Unmounts and detaches. True when the target is reached.
    fn take_off(&mut self, part: &Part, volume: &Volume, target: Target, around: &Surroundings) -> bool {
        let Some(at) = &volume.attachment else { return true };
        let id = &volume.id;
        let machine = self.seen.machines.iter().find(|machine| machine.id == at.machine).cloned();
        let Some(machine) = machine else {
            self.elsewhere(part, volume);
            return false;
        };
        let current = around.machine.as_ref().is_some_and(|current| current.id == machine.id);
        if machine.state == MachineState::Running && current {
            let Some(report) = self.report() else {
                self.wait(part, self.silence());
                return false;
            };
            if let Some(seen) = report.mounts.get(id).filter(|seen| seen.mounted) {
                let busy = seen.busy.clone();
                self.unmount(part, volume, around.may_unmount, busy);
                return false;
            }
        }
        if target == Target::Unmounted {
            return true;
        }
        match (at.state, machine.state) {
            (AttachmentState::Attached, MachineState::Running | MachineState::Stopped) if current => {
                self.detach(part, volume, &machine.id, format!("{id} is attached and not mounted"));
            }
            (AttachmentState::Attached, MachineState::Impaired) => {
                self.wait(part, Cause::Fact { fact: FactKind::NoMachine });
            }
            _ => self.wait(part, Cause::Under { what: format!("{id} is leaving {}", machine.id) }),
        }
        false
    }

    fn unmount(&mut self, part: &Part, volume: &Volume, may: bool, busy: Option<String>) {
        if !may {
            return self.wait(part, Cause::Fact { fact: FactKind::Quiet });
        }
        // A busy mount is tried again with every back-off; what keeps it is said meanwhile.
        if let Some(by) = busy
            && let Some(trouble) = self.context.input.view.trouble(part, "unmount")
            && !self.context.is_forecast()
            && self.context.input.now < trouble.not_before
        {
            self.out.wake(trouble.not_before);
            return self.wait(part, Cause::Busy { by });
        }
        let act = Act::Unmount { volume: volume.id.clone() };
        let facts = Facts {
            needs: &[FactKind::Quiet, FactKind::Unmountable],
            brings: &[FactKind::Unmounted],
            ends: &[FactKind::Mounted],
        };
        self.step(part, act, format!("{} is mounted", volume.id), facts, Danger::None);
    }

    /// Whether a completed seal covers the volume; takes one when none does.
    fn sealed(&mut self, part: &Part, volume: &Volume) -> bool {
        let snapshots = &self.seen.snapshots;
        if snapshots.iter().any(|snapshot| covers(snapshot, volume)) {
            return true;
        }
        let own = snapshots.iter().filter(|snapshot| {
            snapshot.volume == volume.id && snapshot.life == volume.life && snapshot.seal.is_some()
        });
        if let Some(pending) = own.clone().find(|snapshot| snapshot.state == SnapshotState::Pending) {
            let what = format!("snapshot {} is being taken", pending.id);
            self.wait(part, Cause::Under { what });
            return false;
        }
        let failed = u32::try_from(own.count()).unwrap_or(u32::MAX);
        if failed >= self.context.input.ideal.policy.attempts {
            let what = format!("{failed} snapshots of {} failed", volume.id);
            self.wait(part, Cause::Broken { what });
            return false;
        }
        let remembered = part.mount.as_ref().and_then(|name| self.memory.mounts.get(name));
        let attempt = failed.max(remembered.map_or(0, |mount| mount.seal_attempt));
        let told = self.seen.agent.report().and_then(|report| report.mounts.get(&volume.id));
        let clean = told.is_some_and(|seen| !seen.mounted && seen.life == volume.life)
            || remembered
                .and_then(|mount| mount.clean.as_ref())
                .is_some_and(|(id, life)| *id == volume.id && *life == volume.life)
            || volume.life == 0;
        let kind = if clean { SealKind::Clean } else { SealKind::Dirty };
        let act = Act::Seal { volume: volume.id.clone(), life: volume.life, kind, attempt };
        let facts = Facts { needs: &[FactKind::Separated], brings: &[FactKind::Sealed], ends: &[] };
        let reason = match clean {
            true => format!("nothing else holds the last write of {}", volume.id),
            false => {
                format!("nobody saw {} unmounted; nothing else holds its last write", volume.id)
            }
        };
        self.step(part, act, reason, facts, Danger::None);
        false
    }

    /// The two acts of a deletion. True when the volume is retired: then it only waits for its grace.
    fn delete(&mut self, part: &Part, volume: &Volume, unsealed: bool) -> bool {
        let now = self.context.input.now;
        let danger = if unsealed { Danger::EndsData } else { Danger::EndsVolume };
        let (id, life) = (volume.id.clone(), volume.life);
        let reason = match unsealed {
            true if self.leftover == Some(Leftover::Prune) => {
                "the policy prunes what is not wanted".to_owned()
            }
            true => "the file says that its data need not be kept".to_owned(),
            false => format!("away is demanded and a seal holds all of {id}"),
        };
        match volume.retired {
            Some(mark) if mark.life == life && now < mark.until => {
                self.out.wake(mark.until);
                let left = mark.until.since(now).rough();
                self.note(part, &format!(" is retired and will be deleted in {left}"));
                true
            }
            Some(mark) if mark.life == life => {
                let facts = Facts {
                    needs: &[FactKind::Retired, FactKind::Sealed],
                    brings: &[FactKind::Gone],
                    ends: &[FactKind::Exists, FactKind::Retired],
                };
                let act = Act::DeleteVolume { volume: id, life, unsealed };
                self.step(part, act, reason, facts, danger);
                false
            }
            _ => {
                let enforced = self.context.traits(self.id).enforces_marks;
                let grace = match (unsealed, enforced) {
                    (true, _) => Grace::UNSEALED,
                    (false, true) => Grace::SEALED_ENFORCED,
                    (false, false) => Grace::SEALED,
                };
                let facts = Facts {
                    needs: &[FactKind::Separated, FactKind::Sealed],
                    brings: &[FactKind::Retired],
                    ends: &[],
                };
                let act = Act::Retire { volume: id, life, until: now + grace, unsealed };
                self.step(part, act, reason, facts, danger);
                false
            }
        }
    }

    /// When the whole cluster ends, snapshots included, they go last.
    fn forget_snapshots(&mut self, part: &Part, name: &Name, was: Option<&Name>, target: Target) -> bool {
        let pruned = self.context.input.consent.prune == Prune::Everything
            && !self.wanted_mounts().iter().any(|mount| mount.name == *name);
        let ends = self.context.input.demands.ending == Ending::Everything || pruned;
        if target != Target::Gone || !ends {
            return true;
        }
        let own = self.seen.snapshots.iter().filter(|snapshot| {
            snapshot.tags.mount.as_ref().is_some_and(|tag| tag == name || Some(tag) == was)
        });
        let ids: Vec<_> = own.map(|snapshot| snapshot.id.clone()).collect();
        let Some(snapshot) = ids.into_iter().next() else { return true };
        let facts =
            Facts { needs: &[FactKind::Gone], brings: &[FactKind::Forgotten], ends: &[FactKind::Sealed] };
        let reason = match pruned {
            true => "nothing in the file wants it any more, and a person gave it up".to_owned(),
            false => "the cluster ends for good, snapshots included".to_owned(),
        };
        self.step(part, Act::DeleteSnapshot { snapshot, given_up: pruned }, reason, facts, Danger::EndsData);
        false
    }
}
