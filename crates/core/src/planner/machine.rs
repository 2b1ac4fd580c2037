//! The node's ladder: a machine that runs and is right, or none.

use crate::demand::State;
use crate::id::{Generation, VolumeId};
use crate::ideal::Cloud;
use crate::observed::{AgentSeen, Machine, MachineState, ServiceState, size_text};
use crate::plan::{Act, Cause, Danger, FactKind, Hook, Part, WantedBy};

use super::consent::{self, danger_of};
use super::context::{CloudInfo, outdated};
use super::mount::{Surroundings, Target};
use super::slot::{Facts, Ladder};

impl Ladder<'_, '_> {
    /// The way up: a machine, its volumes, its mounts, and all that is right on it.
    pub(super) fn rise(&mut self) {
        let state = self.wanted.state;
        self.end_older_machines();
        let Some(machine) = self.machine().cloned() else {
            let begun = self.out.steps.len();
            self.create_machine();
            self.rise_mounts(state, None);
            self.claim_first(begun);
            return;
        };
        match machine.state {
            MachineState::Pending | MachineState::Stopping | MachineState::Terminating => {
                self.wait(&self.node(), under(&machine));
                self.rise_mounts(state, None);
            }
            // It was to be ended before it was stopped: it is not used again.
            MachineState::Stopped if machine.retired => {
                self.end_machine(&machine, format!("{} was marked to be ended", machine.id));
                self.rise_mounts(state, None);
            }
            MachineState::Stopped => {
                let act = Act::StartMachine { machine: machine.id.clone() };
                let facts = Facts { needs: &[], brings: &[FactKind::Running], ends: &[FactKind::Stopped] };
                self.step(&self.node(), act, format!("{} is stopped", machine.id), facts, Danger::None);
                self.rise_mounts(state, None);
            }
            MachineState::Impaired => {
                self.end_dead(&machine);
                self.rise_mounts(state, None);
            }
            MachineState::Running => self.rise_on(state, &machine),
            MachineState::Terminated => {}
        }
    }

    /// A volume that is there already says where its machine must be, and only as one of ours: it is claimed first, also
    /// while that is under way or is being tried again.
    fn claim_first(&mut self, begun: usize) {
        let claim = "claim-volume";
        let view = self.context.input.view;
        let tried = self.wanted_mounts().iter().any(|mount| {
            let part = Part::mount(self.id, &mount.name);
            view.trouble(&part, claim).is_some() || view.open.contains_key(&(part, claim.to_owned()))
        });
        let steps = &mut self.out.steps;
        if tried || steps[begun..].iter().any(|step| matches!(step.act, Act::ClaimVolume { .. })) {
            let made = steps[begun..].iter().position(|step| matches!(step.act, Act::CreateMachine { .. }));
            if let Some(at) = made {
                steps.remove(begun + at);
                self.wait(&self.node(), Cause::Fact { fact: FactKind::Exists });
            }
        }
    }

    /// The way up on a machine that runs.
    fn rise_on(&mut self, state: State, machine: &Machine) {
        if self.end_unheard(machine) {
            self.rise_mounts(state, None);
            return;
        }
        if machine.retired {
            // The first act of its ending was done, by whomever: a marked machine is not used again.
            if self.clear(machine, Target::Separated, false) {
                self.end_machine(machine, format!("{} was marked to be ended", machine.id));
            }
            return;
        }
        if let Some(info) = self.info
            && outdated(self.context.input, info.cloud, machine)
        {
            let may = match info.turn {
                Some(slot) if slot != self.id && !self.context.is_forecast() => Err(Cause::Turn { slot }),
                _ if info.cloud.protect => Err(Cause::Protected),
                _ => consent::ask_first(self.context, &format!("machine {}", machine.id)),
            };
            match may {
                Ok(()) => return self.replace(machine, wanted_of(info.cloud)),
                Err(cause) => self.wait(&self.node(), cause),
            }
        } else if self.context.input.consent.replace.contains(&machine.id) {
            return self.replace(machine, "a person wants another in its place".to_owned());
        }
        if state >= State::Mounted {
            self.bring_agent(machine);
        }
        if state >= State::Launched && self.carries_what_left() {
            return self.configure(machine.tags.generation);
        }
        let ready = self.rise_mounts(state, Some(machine));
        if state < State::Launched {
            return;
        }
        if !ready {
            return self.wait(&self.node(), Cause::Fact { fact: FactKind::Mounted });
        }
        self.configure(machine.tags.generation);
    }

    /// Where agents are brought to machines: sees to it that the one that is wanted runs there.
    fn bring_agent(&mut self, machine: &Machine) {
        if self.context.traits(self.id).agent.is_none() {
            return;
        }
        let reason = match self.report().map(|report| report.build) {
            None => format!("no agent answers on {}", machine.id),
            Some(has) if self.context.renews_agent(self.id, has) => {
                "its agent is of another build than this program".to_owned()
            }
            Some(_) => return,
        };
        // The agent of one that is being ended or stopped is silent because of that.
        let open = &self.context.input.view.open;
        let goes = ["end-machine", "stop-machine"]
            .into_iter()
            .find(|act| open.contains_key(&(self.node(), (*act).to_owned())));
        if let Some(act) = goes.filter(|_| !self.context.is_forecast()) {
            return self.wait(&self.node(), Cause::Under { what: format!("`{act}` is under way") });
        }
        let act = Act::BringAgent { machine: machine.id.clone() };
        let facts = Facts { needs: &[FactKind::Running], brings: &[FactKind::Heard], ends: &[] };
        self.step(&self.node(), act, reason, facts, Danger::None);
    }

    /// Waits until the agent answers. Where it is brought, that says what there is to say.
    fn wait_for_agent(&mut self) {
        if self.context.traits(self.id).agent.is_none() {
            self.wait(&self.node(), self.silence());
        }
    }

    /// Drains a machine and ends it; the next pass makes a new one.
    fn replace(&mut self, machine: &Machine, reason: String) {
        if self.clear(machine, Target::Separated, true) {
            self.end_machine(machine, reason);
        }
    }

    /// The mounts' ways up. True when all wanted ones are where the state wants them.
    fn rise_mounts(&mut self, state: State, machine: Option<&Machine>) -> bool {
        let target = match state {
            State::Instantiated => Target::Exists,
            State::Attached => Target::Attached,
            _ => Target::Mounted,
        };
        let surroundings = Surroundings { machine: machine.cloned(), may_unmount: false };
        let mut ready = true;
        let wanted = self.wanted_mounts();
        for mount in wanted {
            ready &= self.mount(&mount.name, Some(mount), target, &surroundings);
        }
        // A mount that left the file goes its own way down; the node need not wait for it.
        let left: Vec<_> = self.mount_names().split_off(wanted.len());
        for name in left {
            self.leaving_mount(&name, machine);
        }
        ready
    }

    /// The hash of what the node is to be.
    fn hash(&self, info: &CloudInfo<'_>, quiet: bool) -> String {
        info.hash.slot(self.context.input.ideal, &self.context.seats, self.id, info.cloud.nodes, quiet)
    }

    /// The agent has the slice, everything is right, and the hook agrees.
    fn configure(&mut self, generation: Generation) {
        let node = self.node();
        let Some(info) = self.info else { return };
        let Some(report) = self.report() else { return self.wait_for_agent() };
        let hash = self.hash(info, false);
        if report.slice.as_deref() != Some(&hash) || report.lacks_secrets {
            let reason = match &report.slice {
                Some(held) if *held == hash => "secrets that it names are not at hand on the node".to_owned(),
                None => "the node was not told yet what it is to be".to_owned(),
                Some(_) => "what the node is to be has changed".to_owned(),
            };
            let act = Act::Apply { quiet: false, hash };
            let facts = Facts {
                needs: &[FactKind::Running, FactKind::Heard],
                brings: &[FactKind::Configured],
                ends: &[FactKind::Quiet],
            };
            return self.step(&node, act, reason, facts, Danger::None);
        }
        if !report.converged {
            let problems = report.problems.iter().map(|problem| format!("{}: {}", problem.what, problem.why));
            // A replica that is still to become well, with what it said of why it is not.
            let replicas = report.services.iter().filter(|(_, seen)| seen.state != ServiceState::Running);
            let replicas =
                replicas.filter_map(|(address, seen)| Some(format!("{address}: {}", seen.why.as_ref()?)));
            let cause = Cause::Converging { problems: problems.chain(replicas).collect() };
            return self.wait(&node, cause);
        }
        if info.cloud.hooks.launched.is_some() {
            self.hook(Hook::Launched, &format!("{generation}/{hash}"));
        }
    }

    /// Whether a hook agreed; runs it when it was not asked yet. True when the way is free.
    fn hook(&mut self, hook: Hook, occasion: &str) -> bool {
        let node = self.node();
        let Some(report) = self.report() else {
            self.wait(&node, self.silence());
            return false;
        };
        let prefix = format!("{}/{occasion}/", hook.word());
        let key = format!("{prefix}{}", self.context.input.view.runs);
        let asked = || report.hooks.iter().filter(|(asked, _)| asked.starts_with(&prefix));
        if asked().any(|(_, seen)| seen.agreed) {
            return true;
        }
        // Each run asks again: a person who mended something need not say so.
        if let Some(refused) = report.hooks.get(&key) {
            let cause = Cause::Hook { hook, output: refused.output.clone() };
            self.wait(&node, cause);
            return false;
        }
        let brings: &[FactKind] = match hook {
            Hook::Launched => &[FactKind::Launched],
            Hook::Unmountable => &[FactKind::Unmountable],
            Hook::Haltable => &[FactKind::Haltable],
        };
        let needs: &[FactKind] =
            if hook == Hook::Launched { &[FactKind::Configured] } else { &[FactKind::Running] };
        let reason = format!("the file has a `{}` hook", hook.word());
        let facts = Facts { needs, brings, ends: &[] };
        self.step(&node, Act::RunHook { hook, key }, reason, facts, Danger::None);
        false
    }

    /// The way down, as far as the state asks.
    pub(super) fn descend(&mut self, state: State) {
        self.end_older_machines();
        let target = match state {
            State::Unmounted => Target::Unmounted,
            State::Separated | State::Haltable => Target::Separated,
            State::Snapshotted | State::Halted => Target::Sealed,
            _ => Target::Gone,
        };
        let halts = matches!(state, State::Haltable | State::Halted | State::Away);
        let Some(machine) = self.machine().cloned() else {
            self.descend_mounts(target, None, true);
            return;
        };
        if machine.state == MachineState::Terminating {
            self.wait(&self.node(), under(&machine));
            self.descend_mounts(target, None, true);
            return;
        }
        // A dead machine holds its volumes until it is ended: that is the fence.
        if machine.state == MachineState::Impaired {
            let none_may_run = matches!(state, State::Halted | State::Away);
            if target > Target::Unmounted && (none_may_run || self.holds_volumes(&machine)) {
                self.end_dead(&machine);
            }
            self.descend_mounts(target, Some(&machine), true);
            return;
        }
        if machine.state == MachineState::Running && self.end_unheard(&machine) {
            self.descend_mounts(target, Some(&machine), false);
            return;
        }
        let clear = self.clear(&machine, target, halts);
        if clear && state == State::Away {
            let reason = match self.wanted.origin {
                WantedBy::Demand => "away is demanded",
                WantedBy::Surplus => "the file wants fewer nodes",
                WantedBy::Orphan => "its cloud is not in the file",
            };
            self.end_machine(&machine, reason.to_owned());
        } else if state == State::Halted {
            self.halt(&machine, clear);
        }
    }

    /// Stops the machine once nothing holds it.
    fn halt(&mut self, machine: &Machine, clear: bool) {
        match machine.state {
            MachineState::Pending | MachineState::Stopping => self.wait(&self.node(), under(machine)),
            MachineState::Running if !self.context.traits(self.id).can_stop => {
                let what = format!("{} cannot be stopped by its provider, only ended", machine.id);
                self.wait(&self.node(), Cause::Broken { what });
            }
            MachineState::Running if clear && machine.retired => {
                self.end_machine(machine, format!("{} was marked to be ended", machine.id));
            }
            MachineState::Running if clear => {
                let facts = Facts {
                    needs: &[FactKind::Quiet, FactKind::Haltable],
                    brings: &[FactKind::Stopped],
                    ends: &[FactKind::Running, FactKind::Heard, FactKind::Configured, FactKind::Launched],
                };
                let act = Act::StopMachine { machine: machine.id.clone() };
                self.step(&self.node(), act, "halted is demanded".to_owned(), facts, Danger::None);
            }
            _ => {}
        }
    }

    /// Asks, quiets, unmounts and separates. True when nothing holds the machine any more.
    fn clear(&mut self, machine: &Machine, target: Target, halts: bool) -> bool {
        let running = machine.state == MachineState::Running;
        let mounted = self.has_mounted();
        let mut free = true;
        // What carries replicas that are to be elsewhere lets them go, whether they have mounts or not.
        let leaves = self.carries_what_left();
        if running && (mounted || halts || leaves) {
            if self.report().is_none() {
                // Nobody knows what is mounted: nothing goes on here until the agent speaks.
                self.bring_agent(machine);
                self.wait_for_agent();
                free = false;
            } else {
                free = self.calm(mounted, halts, machine.tags.generation);
            }
        }
        self.descend_mounts(target, Some(machine), free);
        let separated = !self.holds_volumes(machine);
        if separated && mounted {
            let what =
                format!("the agent of {} still has something mounted that is not attached to it", machine.id);
            self.wait(&self.node(), Cause::Broken { what });
        }
        if !separated && self.context.guests(&machine.id) {
            let what = format!("replicas take their volumes off {}", machine.id);
            self.wait(&self.node(), Cause::Under { what });
        }
        free && separated && !mounted
    }

    /// The hooks agree and the services are stopped.
    fn calm(&mut self, mounted: bool, halts: bool, generation: Generation) -> bool {
        let node = self.node();
        let (epoch, count) = self.context.input.demands.version();
        let occasion = format!("{generation}/{epoch}.{count}");
        let hooks = self.info.map(|info| &info.cloud.hooks);
        let has = |hook: Hook| {
            hooks.is_some_and(|hooks| match hook {
                Hook::Unmountable => hooks.unmountable.is_some(),
                _ => hooks.haltable.is_some(),
            })
        };
        if mounted && has(Hook::Unmountable) && !self.hook(Hook::Unmountable, &occasion) {
            return false;
        }
        if halts && has(Hook::Haltable) && !self.hook(Hook::Haltable, &occasion) {
            return false;
        }
        let Some(report) = self.report() else { return false };
        if report.slice.is_none() {
            return true;
        }
        let hash = match self.info {
            Some(info) => self.hash(info, true),
            None => format!("quiet-{}", self.id.index),
        };
        if report.slice.as_deref() != Some(&hash) {
            let act = Act::Apply { quiet: true, hash };
            let facts = Facts {
                needs: &[],
                brings: &[FactKind::Quiet],
                ends: &[FactKind::Configured, FactKind::Launched],
            };
            let reason = "its services stop before anything is taken from under them".to_owned();
            self.step(&node, act, reason, facts, Danger::None);
            return false;
        }
        if !report.converged {
            let problems = report.problems.iter().map(|problem| format!("{}: {}", problem.what, problem.why));
            let cause = Cause::Converging { problems: problems.collect() };
            self.wait(&node, cause);
            return false;
        }
        true
    }

    fn descend_mounts(&mut self, target: Target, machine: Option<&Machine>, may_unmount: bool) {
        let surroundings = Surroundings { machine: machine.cloned(), may_unmount };
        let wanted = self.wanted_mounts();
        for name in self.mount_names() {
            let spec = wanted.iter().find(|mount| mount.name == name);
            self.mount(&name, spec, target, &surroundings);
        }
    }

    /// Whether its agent has something mounted. Replicas look after theirs: a look ahead takes it that they do.
    fn has_mounted(&self) -> bool {
        let ahead = self.context.is_forecast();
        let own = |id: &VolumeId| self.seen.volumes.iter().any(|volume| volume.id == *id);
        self.report().is_some_and(|report| {
            report.mounts.iter().any(|(id, mount)| mount.mounted && (!ahead || own(id)))
        })
    }

    /// Whether volumes are attached to it, also those of replicas; which a look ahead takes to be gone in time.
    fn holds_volumes(&self, machine: &Machine) -> bool {
        let held = |at: &crate::observed::Attachment| at.machine == machine.id;
        let own = self.seen.volumes.iter().any(|volume| volume.attachment.as_ref().is_some_and(held));
        own || !self.context.is_forecast() && self.context.guests(&machine.id)
    }

    fn create_machine(&mut self) {
        let Some(info) = self.info else { return };
        let act = Act::CreateMachine {
            generation: self.next_generation(),
            image: info.cloud.image.clone(),
            size: size_text(&info.cloud.size),
        };
        let state = self.wanted.state;
        let reason = format!("{state} is demanded and it has no machine");
        let facts = Facts { needs: &[], brings: &[FactKind::Running], ends: &[FactKind::NoMachine] };
        self.step(&self.node(), act, reason, facts, Danger::None);
    }

    /// One more than the highest number ever seen on anything of the slot.
    pub(super) fn next_generation(&self) -> Generation {
        let machines = self.seen.machines.iter().map(|machine| machine.tags.generation);
        let volumes = self.seen.volumes.iter().map(|volume| volume.tags.generation);
        let snapshots = self.seen.snapshots.iter().map(|snapshot| snapshot.tags.generation);
        let agent = self.seen.agent.report().map(|report| report.generation);
        let all = machines.chain(volumes).chain(snapshots).chain(agent);
        1 + all.max().unwrap_or(0).max(self.memory.generation)
    }

    fn end_machine(&mut self, machine: &Machine, reason: String) {
        let facts = Facts {
            needs: &[FactKind::Quiet, FactKind::Haltable],
            brings: &[FactKind::NoMachine],
            ends: &[FactKind::Running, FactKind::Configured, FactKind::Launched],
        };
        let act = Act::EndMachine { machine: machine.id.clone(), unheard: false };
        self.step(&Part::node(self.id), act, reason, facts, danger_of(machine));
    }

    /// A dead machine is ended before anything of it is used elsewhere: that is the fence. Where the provider cannot
    /// end machines, nobody but a person can say that it is dead.
    fn end_dead(&mut self, machine: &Machine) {
        let id = &machine.id;
        if self.context.traits(self.id).can_fence {
            return self.end_machine(machine, format!("{id} is dead"));
        }
        let what = format!("{id} seems dead, and its provider cannot make sure of it");
        self.wait(&Part::node(self.id), Cause::Broken { what });
    }

    /// A machine whose agent nobody hears is ended where a person said that it is dead, or the policy says how long to
    /// wait: that is the fence for what is on its volumes. True when it is on its way out.
    fn end_unheard(&mut self, machine: &Machine) -> bool {
        let AgentSeen::Silent { since, .. } = &self.seen.agent else { return false };
        let input = self.context.input;
        let said = input.view.dead.contains(&machine.id);
        let reason = if said {
            format!("a person said that {} is dead, and its agent does not answer", machine.id)
        } else if let Some(limit) = input.ideal.policy.fence_after
            // One to which an agent is on its way for the first time is not silent.
            && (self.seen.heard || self.context.traits(self.id).agent.is_none())
            // When nobody at all is heard, who is cut off may be this engine.
            && machine.agent.is_some()
            && self.context.hears_others(self.id)
        {
            if input.now < *since + limit {
                self.out.wake(*since + limit);
                return false;
            }
            format!("the agent of {} has been silent for more than {limit}", machine.id)
        } else {
            return false;
        };
        // Where the provider cannot make sure of it, only a person's word will do.
        if !said && !self.context.traits(self.id).can_fence {
            return false;
        }
        let facts = Facts {
            needs: &[],
            brings: &[FactKind::NoMachine],
            ends: &[FactKind::Running, FactKind::Configured, FactKind::Launched],
        };
        let act = Act::EndMachine { machine: machine.id.clone(), unheard: true };
        self.step(&Part::node(self.id), act, reason, facts, Danger::EndsDeadMachine);
        true
    }

    /// Machines of a lower generation that still exist: one slot, one machine.
    fn end_older_machines(&mut self) {
        let Some(newest) = self.machine().map(|machine| machine.id.clone()) else { return };
        let older = self.seen.machines.iter().filter(|machine| {
            machine.id != newest
                && !matches!(machine.state, MachineState::Terminated | MachineState::Terminating)
        });
        let older: Vec<Machine> = older.cloned().collect();
        for machine in older {
            // The guard asks its agent, and refuses while anything is mounted there: a person decides then.
            self.end_machine(&machine, format!("{newest} is the machine of this slot"));
        }
    }
}

fn under(machine: &Machine) -> Cause {
    let doing = match machine.state {
        MachineState::Pending => "starting",
        MachineState::Stopping => "stopping",
        _ => "ending",
    };
    Cause::Under { what: format!("{} is {doing}", machine.id) }
}

fn wanted_of(cloud: &Cloud) -> String {
    format!("the file wants image `{}` and size `{}`", cloud.image, size_text(&cloud.size))
}
