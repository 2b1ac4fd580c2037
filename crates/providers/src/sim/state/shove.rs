//! What each call does to the simulated cloud.

use ideal_core::id::{MachineId, SnapshotId, Token, VolumeId};
use ideal_core::model;
use ideal_core::observed::{MachineState, SnapshotState, Tags, VolumeState};
use ideal_core::time::Span;

use super::super::agents::Agent;
use super::{SimMachine, SimSnapshot, SimVolume, State};
use crate::{Answer, Call, Object, ObjectId, ProviderError, Verdict};

impl State {
    pub(in crate::sim) fn shove(&mut self, call: &Call) -> Result<Answer, ProviderError> {
        self.calls.shoves += 1;
        if self.chance(self.faults.throttle) {
            self.seen("throttled");
            let after = Some(Span::secs(2));
            return Err(ProviderError::Retry { why: "too many requests".to_owned(), after });
        }
        if self.chance(self.faults.fail_before) {
            self.seen("failed before the effect");
            return Err(ProviderError::retry("the service is not available"));
        }
        if self.chance(self.faults.lose_call) {
            self.seen("call lost");
            return Err(ProviderError::Unknown { why: "no answer came".to_owned() });
        }
        if self.faults.stale_list + self.faults.stale_read > 0 {
            let listing = self.listing();
            self.past.push_back((self.now, listing));
        }
        let answer = self.effect(call);
        self.unsettle(call, &answer);
        let worked = answer.is_ok();
        self.event(|| format!("{} {}", if worked { "did    " } else { "refused" }, brief(call)));
        if self.faults.twice {
            self.seen("effect twice");
            let again = self.effect(call);
            if self.random.below(2) == 0 && again.is_ok() {
                return again;
            }
        }
        if worked && self.chance(self.faults.lose_answer) {
            self.seen("answer lost");
            return Err(ProviderError::Unknown { why: "the answer was lost".to_owned() });
        }
        answer
    }

    /// Many at once: what finds no room is not made, and one answer that is lost is lost for all.
    pub(in crate::sim) fn shove_together(&mut self, calls: &[Call]) -> Vec<Result<Answer, ProviderError>> {
        let room = match self.chance(self.faults.throttle) {
            true => usize::try_from(self.random.below(calls.len() as u64)).unwrap_or(0),
            false => calls.len(),
        };
        let (made, rest) = calls.split_at(room);
        let mut answers: Vec<_> = made.iter().map(|call| self.shove(call)).collect();
        if answers.len() > 1 {
            self.seen("a batch");
            if self.chance(self.faults.lose_answer) {
                self.seen("the answer to a batch lost");
                answers.fill(Err(ProviderError::Unknown { why: "the answer was lost".to_owned() }));
            }
        }
        answers.extend(rest.iter().map(|_| Err(ProviderError::retry("there is no room for more"))));
        answers
    }

    fn effect(&mut self, call: &Call) -> Result<Answer, ProviderError> {
        let refused = |why: String| ProviderError::refused(why);
        self.judge_ownership(call);
        match call {
            Call::CreateMachine { token, tags, image, size } => {
                let params = format!("machine {:?} {} {image} {size}", tags.slot(), tags.generation);
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                self.judge_new_machine(tags);
                let id = MachineId::new(self.fresh("m"));
                let machine = model::new_machine(id.clone(), tags.clone(), image, size);
                let due = self.due(Span::secs(2), Span::secs(20));
                self.tokens.insert(token.clone(), (ObjectId::Machine(id.clone()), params));
                let agent = Agent::new(tags.generation, !self.faults.brings);
                self.note_slot(tags, ObjectId::Machine(id.clone()));
                self.machines.insert(id, SimMachine { machine: machine.clone(), due, agent });
                Ok(Answer::Made(Object::Machine(machine)))
            }
            Call::StartMachine(id) => {
                let due = self.due(Span::secs(1), Span::secs(5));
                let own = self.machines.get_mut(id).ok_or_else(|| refused(format!("{id} is not there")))?;
                if own.machine.state != MachineState::Stopped {
                    return Err(refused(format!("{id} is not stopped")));
                }
                own.machine.state = MachineState::Pending;
                own.due = due;
                own.agent.down = false;
                Ok(Answer::Accepted)
            }
            Call::StopMachine(permit) => self.stop(permit.machine()),
            Call::RetireMachine(permit) => {
                let id = permit.machine();
                let own = self.machines.get_mut(id).ok_or_else(|| refused(format!("{id} is not there")))?;
                model::retire_machine(&mut own.machine);
                Ok(Answer::Accepted)
            }
            Call::Terminate(permit) => self.terminate(permit.machine()),
            Call::CreateVolume { token, tags, size, life, from } => {
                let params =
                    format!("volume {:?} {} {size} {life} {from:?}", tags.mount_id(), tags.generation);
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                let data = match from {
                    None => 0,
                    Some(snapshot) => match self.snapshots.get(snapshot) {
                        Some(own) if own.snapshot.state == SnapshotState::Completed => own.data,
                        _ => return Err(refused(format!("snapshot {snapshot} is not complete"))),
                    },
                };
                self.judge_new_volume(tags, data);
                let id = VolumeId::new(self.fresh("v"));
                let volume = model::new_volume(id.clone(), tags.clone(), *size, *life, from.clone());
                let due = self.due(Span::secs(1), Span::secs(8));
                self.tokens.insert(token.clone(), (ObjectId::Volume(id.clone()), params));
                self.note_slot(tags, ObjectId::Volume(id.clone()));
                self.volumes.insert(id, SimVolume { volume: volume.clone(), due, data });
                Ok(Answer::Made(Object::Volume(volume)))
            }
            Call::ClaimVolume { volume, tags } => {
                let own =
                    self.volumes.get_mut(volume).ok_or_else(|| refused(format!("{volume} is not there")))?;
                if own.volume.tags.cloud != tags.cloud && !own.volume.tags.cloud.0.is_nil() {
                    return Err(refused(format!("{volume} belongs to somebody")));
                }
                own.volume.tags = tags.clone();
                self.note_slot(tags, ObjectId::Volume(volume.clone()));
                Ok(Answer::Accepted)
            }
            Call::Seal { permit, token, tags, kind } => {
                let params = format!("seal {} {}", permit.volume(), permit.life());
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                self.judge_seal(permit.volume(), *permit.life());
                let id = SnapshotId::new(self.fresh("s"));
                let due = self.due(Span::secs(5), Span::secs(60));
                let fails = self.chance(self.faults.snapshot_fails);
                let own = match self.volumes.get(permit.volume()) {
                    Some(own) if own.volume.state == VolumeState::Ready => own,
                    _ => return Err(refused(format!("{} is not there", permit.volume()))),
                };
                let life = *permit.life();
                let snapshot =
                    model::new_snapshot(id.clone(), tags.clone(), &own.volume, life, Some(*kind), self.now);
                let data = own.data;
                self.tokens.insert(token.clone(), (ObjectId::Snapshot(id.clone()), params));
                self.snapshots.insert(id, SimSnapshot { snapshot: snapshot.clone(), due, fails, data });
                Ok(Answer::Made(Object::Snapshot(snapshot)))
            }
            Call::Backup { permit, token, tags } => {
                let (volume, life) = (permit.volume(), *permit.life());
                let params = format!("backup {volume} {life}");
                if let Some(known) = self.known(token, &params)? {
                    return Ok(known);
                }
                let id = SnapshotId::new(self.fresh("s"));
                let due = self.due(Span::secs(5), Span::secs(60));
                let fails = self.chance(self.faults.snapshot_fails);
                let own = match self.volumes.get(volume) {
                    Some(own) if own.volume.state == VolumeState::Ready && own.volume.life == life => own,
                    _ => return Err(refused(format!("{volume} is not there in life {life}"))),
                };
                let snapshot =
                    model::new_snapshot(id.clone(), tags.clone(), &own.volume, life, None, self.now);
                let data = own.data;
                self.seen("backup");
                self.tokens.insert(token.clone(), (ObjectId::Snapshot(id.clone()), params));
                self.snapshots.insert(id, SimSnapshot { snapshot: snapshot.clone(), due, fails, data });
                Ok(Answer::Made(Object::Snapshot(snapshot)))
            }
            Call::Grow { volume, size } => {
                let own = self.volumes.get_mut(volume);
                let own = own.ok_or_else(|| refused(format!("{volume} is not there")))?;
                model::grow(&mut own.volume, *size).map_err(refused)?;
                Ok(Answer::Accepted)
            }
            Call::NewLife { .. } | Call::Attach { .. } | Call::Detach(_) => {
                self.move_volume(call).map_err(refused)
            }
            Call::Retire { .. } | Call::DeleteVolume(_) => self.end_volume(call).map_err(refused),
            Call::DeleteSnapshot(permit) => {
                self.judge_prune(permit.snapshot());
                self.snapshots.remove(permit.snapshot());
                Ok(Answer::Accepted)
            }
            Call::Mirror { objects, demand, epoch } => {
                let demand = std::sync::Arc::new(demand.clone());
                for id in objects {
                    if let Some(tags) = self.tags_mut(id) {
                        tags.demand = Some(demand.clone());
                        tags.epoch = tags.epoch.max(*epoch);
                    }
                }
                Ok(Answer::Accepted)
            }
            Call::Rename { objects, mount } => {
                for id in objects {
                    let Some(tags) = self.tags_mut(id) else { continue };
                    let before = tags.mount_id();
                    tags.mount = Some(mount.clone());
                    if let (Some(before), Some(after)) = (before, tags.mount_id())
                        && let Some(newest) = self.newest.remove(&before)
                    {
                        self.newest.insert(after, newest);
                    }
                }
                Ok(Answer::Accepted)
            }
            Call::Disown { objects } => {
                for id in objects {
                    if let Some(tags) = self.tags_mut(id) {
                        tags.cloud = ideal_core::id::CloudId(Default::default());
                    }
                }
                Ok(Answer::Accepted)
            }
        }
    }

    pub(in crate::sim) fn verify(&mut self, id: &SnapshotId) -> Result<Verdict, ProviderError> {
        self.calls.reads += 1;
        let own = self.snapshots.get(id).filter(|own| own.snapshot.state == SnapshotState::Completed);
        let own = own.ok_or_else(|| ProviderError::refused(format!("{id} is not complete")))?;
        let sum = format!("version {}", own.data);
        Ok(Verdict { taken: sum.clone(), restored: sum })
    }

    fn note_slot(&mut self, tags: &Tags, id: ObjectId) {
        if let Some(slot) = tags.slot() {
            self.of_slot.entry(slot).or_default().push(id);
        }
    }

    fn known(&self, token: &Token, params: &str) -> Result<Option<Answer>, ProviderError> {
        match self.tokens.get(token) {
            None => Ok(None),
            Some((_, used)) if used != params => Err(ProviderError::TokenTaken),
            Some((id, _)) => Ok(self.find(id).map(Answer::Made)),
        }
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}", self.made)
    }

    fn stop(&mut self, id: &MachineId) -> Result<Answer, ProviderError> {
        let due = self.due(Span::secs(1), Span::secs(10));
        let enforces = self.faults.enforces_marks;
        let Some(own) = self.machines.get_mut(id) else {
            return Err(ProviderError::refused(format!("{id} is not there")));
        };
        let runs = own.machine.state == MachineState::Running;
        // A cloud without conditions stops whatever it is told to.
        if runs && !enforces {
            own.machine.state = MachineState::Stopping;
        } else {
            model::stop_machine(&mut own.machine).map_err(ProviderError::refused)?;
        }
        own.due = due;
        own.agent.down = true;
        if runs {
            self.judge_stop(id);
        }
        if let Some(own) = self.machines.get_mut(id) {
            own.agent.report.mounts.clear();
        }
        Ok(Answer::Accepted)
    }

    fn terminate(&mut self, id: &MachineId) -> Result<Answer, ProviderError> {
        let due = self.due(Span::secs(1), Span::secs(10));
        let enforces = self.faults.enforces_marks;
        let Some(own) = self.machines.get_mut(id) else {
            return Err(ProviderError::refused(format!("{id} is not there")));
        };
        if own.machine.state.is_over() {
            return Ok(Answer::Accepted);
        }
        // A cloud without conditions ends whatever it is told to.
        let marked = own.machine.retired || !enforces;
        if !marked {
            return Err(ProviderError::refused(format!("{id} is not marked to be ended")));
        }
        self.judge_terminate(id);
        if let Some(own) = self.machines.get_mut(id) {
            own.machine.state = MachineState::Terminating;
            own.due = due;
            own.agent.down = true;
        }
        Ok(Answer::Accepted)
    }

    fn move_volume(&mut self, call: &Call) -> Result<Answer, String> {
        let due = self.due(Span::secs(1), Span::secs(6));
        let missing = |id: &VolumeId| format!("{id} is not there");
        match call {
            Call::NewLife { volume, life } => {
                let own = self.volumes.get_mut(volume).ok_or_else(|| missing(volume))?;
                model::new_life(&mut own.volume, *life)?;
            }
            Call::Attach { volume, life, machine, .. } => {
                let machine =
                    &self.machines.get(machine).ok_or_else(|| format!("{machine} is not there"))?.machine;
                let own = self.volumes.get_mut(volume).ok_or_else(|| missing(volume))?;
                // A cloud without conditions attaches a marked volume too.
                let mark = own.volume.retired;
                if !self.faults.enforces_marks {
                    own.volume.retired = None;
                }
                let done = model::attach(&mut own.volume, *life, machine);
                if !self.faults.enforces_marks {
                    own.volume.retired = mark;
                }
                done?;
                own.due = due;
            }
            Call::Detach(permit) => {
                let id = permit.volume();
                let mounted = self.is_mounted(id);
                let own = self.volumes.get_mut(id).ok_or_else(|| missing(id))?;
                let mut after = own.volume.clone();
                model::detach(&mut after, permit.machine(), *permit.life())?;
                own.volume = after;
                own.due = due;
                if mounted {
                    self.judge_detach(permit.volume(), permit.machine());
                }
            }
            _ => {}
        }
        Ok(Answer::Accepted)
    }

    fn end_volume(&mut self, call: &Call) -> Result<Answer, String> {
        let due = self.due(Span::secs(1), Span::secs(6));
        let missing = |id: &VolumeId| format!("{id} is not there");
        match call {
            Call::Retire { volume, mark } => {
                let own = self.volumes.get_mut(volume).ok_or_else(|| missing(volume))?;
                model::retire(&mut own.volume, *mark)?;
            }
            Call::DeleteVolume(permit) => {
                let id = permit.volume();
                let now = self.now;
                let own = self.volumes.get_mut(id).ok_or_else(|| missing(id))?;
                if matches!(own.volume.state, VolumeState::Deleting | VolumeState::Deleted) {
                    return Ok(Answer::Accepted);
                }
                let marked = model::delete(&mut own.volume, *permit.life(), now);
                match marked {
                    Ok(()) => {}
                    Err(why) if self.faults.enforces_marks => return Err(why),
                    // A cloud without conditions deletes whatever it is told to, unless it is attached.
                    Err(why) if own.volume.attachment.is_some() => return Err(why),
                    Err(_) => own.volume.state = VolumeState::Deleting,
                }
                own.due = due;
                self.judge_delete(id);
            }
            _ => {}
        }
        Ok(Answer::Accepted)
    }

    fn tags_mut(&mut self, id: &ObjectId) -> Option<&mut Tags> {
        match id {
            ObjectId::Machine(id) => self.machines.get_mut(id).map(|own| &mut own.machine.tags),
            ObjectId::Volume(id) => self.volumes.get_mut(id).map(|own| &mut own.volume.tags),
            ObjectId::Snapshot(id) => self.snapshots.get_mut(id).map(|own| &mut own.snapshot.tags),
        }
    }

    pub(in crate::sim) fn tags_of(&self, id: &ObjectId) -> Option<&Tags> {
        match id {
            ObjectId::Machine(id) => self.machines.get(id).map(|own| &own.machine.tags),
            ObjectId::Volume(id) => self.volumes.get(id).map(|own| &own.volume.tags),
            ObjectId::Snapshot(id) => self.snapshots.get(id).map(|own| &own.snapshot.tags),
        }
    }
}

fn brief(call: &Call) -> String {
    let part = |tags: &Tags| match (&tags.index, &tags.mount) {
        (Some(index), Some(mount)) => format!("[{index}]:{mount}"),
        (Some(index), None) => format!("[{index}]"),
        _ => String::new(),
    };
    match call {
        Call::CreateMachine { tags, .. } => {
            format!("create machine {} generation {}", part(tags), tags.generation)
        }
        Call::CreateVolume { tags, from, life, .. } => match from {
            None => format!("create volume {}", part(tags)),
            Some(from) => format!("create volume {} of {from} (life {life})", part(tags)),
        },
        Call::StartMachine(id) => format!("start {id}"),
        Call::StopMachine(permit) => format!("stop {}", permit.machine()),
        Call::RetireMachine(permit) => format!("mark {} to be ended", permit.machine()),
        Call::Terminate(permit) => format!("terminate {}", permit.machine()),
        Call::ClaimVolume { volume, tags } => format!("claim {volume} for {}", part(tags)),
        Call::NewLife { volume, life } => format!("new life {life} of {volume}"),
        Call::Attach { volume, life, machine, .. } => format!("attach {volume} (life {life}) to {machine}"),
        Call::Detach(permit) => format!("detach {} from {}", permit.volume(), permit.machine()),
        Call::Seal { permit, kind, .. } => {
            format!("seal {} life {} {kind:?}", permit.volume(), permit.life()).to_lowercase()
        }
        Call::Backup { permit, .. } => format!("back up {} life {}", permit.volume(), permit.life()),
        Call::Grow { volume, size } => format!("grow {volume} to {size}"),
        Call::Retire { volume, mark } => format!("retire {volume} life {}", mark.life),
        Call::DeleteVolume(permit) => format!("delete {} life {}", permit.volume(), permit.life()),
        Call::DeleteSnapshot(permit) => format!("delete {}", permit.snapshot()),
        Call::Mirror { objects, demand, .. } => format!("mirror {demand} to {} objects", objects.len()),
        Call::Rename { objects, mount } => format!("rename {} objects to {mount}", objects.len()),
        Call::Disown { objects } => format!("disown {} objects", objects.len()),
    }
}
