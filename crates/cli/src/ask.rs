//! Questions: what a plan ends decides how much a person must say before it is done.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};

use ideal_core::demand::{Demands, Ending};
use ideal_core::ideal::Ideal;
use ideal_core::journal::{MountMemory, View};
use ideal_core::observed::{Observed, VolumeState};
use ideal_core::plan::text::address;
use ideal_core::plan::{Act, Danger, Part, Plan};
use ideal_core::planner::{Consent, key};
use ideal_engine::Glance;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::words::counted;

/// What a plan ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    machines: usize,
    volumes: usize,
    snapshots: usize,
    /// Mounts whose data is given up.
    data: Vec<String>,
    /// Dead machines, when so many are replaced at once that the policy asks.
    dead: usize,
    /// Endings of things that are known by their tags only.
    adopted: usize,
    /// What the endings are called, for consent.
    pub(crate) keys: BTreeSet<String>,
}

/// How a person has agreed beforehand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agreed<'a> {
    /// `--yes`
    pub(crate) yes: bool,
    /// `--name NAME`
    pub(crate) name: Option<&'a str>,
}

impl Losses {
    /// Of a plan for these demands.
    pub(crate) fn of(glance: &Glance, demands: &Demands, plan: &Plan) -> Losses {
        let ideal = &glance.ideal;
        let mut losses = Losses::default();
        let unknown = unknown(&glance.view, &glance.observed);
        let mut data = BTreeSet::new();
        let mut dead = BTreeSet::new();
        for planned in &plan.steps {
            let step = &planned.step;
            let Some(key) = key(step) else { continue };
            let object = key.rsplit(' ').next().unwrap_or_default();
            if step.danger <= Danger::EndsDeadMachine {
                dead.insert(key);
                continue;
            }
            if !losses.keys.insert(key.clone()) {
                continue;
            }
            if unknown.contains(object) {
                losses.adopted += 1;
            }
            match (&step.act, step.danger) {
                (Act::DeleteSnapshot { .. }, _) => losses.snapshots += 1,
                (_, Danger::EndsMachine) => losses.machines += 1,
                (_, Danger::EndsVolume) => losses.volumes += 1,
                _ => _ = data.insert(address(ideal, &step.part)),
            }
        }
        losses.data = data.into_iter().collect();
        // Dead machines are replaced unasked, but not so many at once: then something else may be wrong.
        let machines = glance.observed.slots.values().flat_map(|seen| &seen.machines);
        let all = machines.filter(|machine| !machine.state.is_over()).count();
        if dead.len() > 1 && dead.len() * 100 > all * ideal.policy.blast_percent as usize {
            losses.dead = dead.len();
            losses.keys.extend(dead);
        }
        if demands.ending == Ending::Everything {
            losses.nothing_is_kept(ideal, &glance.observed, &unknown);
        }
        losses
    }

    /// Whether things end that are known by their tags only.
    pub(crate) fn has_adopted(&self) -> bool {
        self.adopted > 0
    }

    /// What a person has consented to who agreed to these losses, or said `--yes` to them.
    pub(crate) fn consent(self, given: Consent) -> Consent {
        Consent { adopted: self.has_adopted(), endings: self.keys, ..given }
    }

    /// Snapshots end too: what a seal would have kept is lost with it.
    fn nothing_is_kept(&mut self, ideal: &Ideal, observed: &Observed, unknown: &BTreeSet<String>) {
        let mut data: BTreeSet<String> = std::mem::take(&mut self.data).into_iter().collect();
        for (slot, seen) in &observed.slots {
            let volumes = seen.volumes.iter().map(|own| &own.tags);
            for tags in volumes.chain(seen.snapshots.iter().map(|own| &own.tags)) {
                if let Some(name) = &tags.mount {
                    data.insert(address(ideal, &Part::mount(*slot, name)));
                }
            }
        }
        self.data = data.into_iter().collect();
        self.volumes = 0;
        self.snapshots = observed.slots.values().map(|seen| seen.snapshots.len()).sum();
        let ids = observed.slots.values().flat_map(|seen| {
            let machines = seen.machines.iter().filter(|own| !own.state.is_over());
            let volumes = seen.volumes.iter().filter(|own| own.state != VolumeState::Deleted);
            let things = machines.map(|own| own.id.as_str()).chain(volumes.map(|own| own.id.as_str()));
            things.chain(seen.snapshots.iter().map(|own| own.id.as_str()))
        });
        self.adopted = ids.filter(|id| unknown.contains(*id)).count();
    }

    fn is_nothing(&self) -> bool {
        self.machines + self.dead + self.volumes + self.snapshots + self.data.len() == 0
    }

    /// The effects in words.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if self.machines > 0 {
            words.push(format!(
                "{} {}",
                counted(self.machines, "machine"),
                if self.machines == 1 { "ends" } else { "end" }
            ));
        }
        if self.dead > 0 {
            words.push(format!(
                "{} are replaced, more than the policy does unasked",
                counted(self.dead, "dead machine")
            ));
        }
        if self.volumes > 0 {
            let end = if self.volumes == 1 { "ends, sealed" } else { "end, each sealed" };
            words.push(format!("{} {end} in a snapshot first", counted(self.volumes, "volume")));
        }
        if !self.data.is_empty() {
            words.push(format!("THE DATA OF {} IS DESTROYED", self.data.join(", ")));
        }
        if self.snapshots > 0 {
            words.push(format!("SNAPSHOTS ARE DESTROYED: {}", self.snapshots));
        }
        if self.adopted > 0 {
            words.push(format!(
                "{} known by tags only, for the store was lost",
                counted(self.adopted, "thing")
            ));
        }
        words.join("; ")
    }
}

/// Things that are seen and that only their tags say to be ours.
fn unknown(view: &View, observed: &Observed) -> BTreeSet<String> {
    let mut unknown = view.adopted.clone();
    for (slot, seen) in &observed.slots {
        let known = view.slot(*slot);
        let mounts = || known.into_iter().flat_map(|known| known.mounts.values());
        let has = |check: &dyn Fn(&MountMemory) -> bool| mounts().any(check);
        for machine in &seen.machines {
            if !known.is_some_and(|known| known.machines.contains(&machine.id)) {
                unknown.insert(machine.id.to_string());
            }
        }
        for volume in &seen.volumes {
            if !has(&|mount| mount.volumes.contains(&volume.id)) {
                unknown.insert(volume.id.to_string());
            }
        }
        for snapshot in &seen.snapshots {
            if !has(&|mount| mount.snapshots.contains(&snapshot.id)) {
                unknown.insert(snapshot.id.to_string());
            }
        }
    }
    unknown
}

/// Asks as much as the losses demand. `name`: what must be typed when data is destroyed. False: a person said no.
pub(crate) fn agree(
    losses: &Losses,
    name: &str,
    agreed: &Agreed<'_>,
    output: &Output,
) -> anyhow::Result<bool> {
    if losses.is_nothing() {
        return Ok(true);
    }
    if losses.data.is_empty() && losses.snapshots == 0 {
        return question(&format!("{}. Go on?", losses.words()), agreed.yes, output);
    }
    match agreed.name {
        Some(given) if agreed.yes && given == name => return Ok(true),
        Some(given) if given != name => {
            let message = format!("the cluster is called `{name}`, not `{given}`; nothing was changed");
            return Err(Failure::new("wrong-name", Exit::BadInput, message).into());
        }
        _ => {}
    }
    let text = format!("{}.\nType the name of the cluster, {name}, to go on: ", losses.words());
    let answer = answer(&text, &format!("--yes --name {}", quoted(name)))?;
    if answer == name {
        return Ok(true);
    }
    output.problem("that is not its name; nothing was changed");
    Ok(false)
}

/// As one word for a shell.
fn quoted(name: &str) -> String {
    if name.contains(' ') { format!("'{name}'") } else { name.to_owned() }
}

/// A question that is answered with y or N.
pub(crate) fn question(text: &str, yes: bool, output: &Output) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    let answer = answer(&format!("{text} [y/N] "), "--yes")?;
    let agreed = matches!(answer.as_str(), "y" | "Y" | "yes");
    if !agreed {
        output.problem("nothing was changed");
    }
    Ok(agreed)
}

/// Refuses what must be answered and cannot be. `flag` is what to pass instead.
pub(crate) fn must_be_terminal(question: &str, flag: &str) -> anyhow::Result<()> {
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    let question = question.trim_end();
    let message = format!("nobody is here to be asked: {question}");
    Err(Failure::new("no-terminal", Exit::BadInput, message).next(format!("pass {flag}")).into())
}

fn answer(text: &str, flag: &str) -> anyhow::Result<String> {
    must_be_terminal(text, flag)?;
    let mut to = std::io::stderr().lock();
    to.write_all(text.as_bytes())?;
    to.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
