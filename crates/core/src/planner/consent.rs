//! What a person agreed to, and what must not happen without.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::{MachineId, MountId, SnapshotId};
use crate::observed::{Machine, MachineState};
use crate::plan::{Act, Cause, Danger, Step, Waiting};

use super::Input;
use super::context::Context;
use super::slot::Out;

/// What a person agreed to. Nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    /// Agreed to whatever the demand takes (`--yes`).
    pub all: bool,
    /// Agreed to these endings: what a shown plan had, see [`key`].
    pub endings: BTreeSet<String>,
    /// Mounts that may begin blank although something is known of them.
    pub blank: BTreeSet<MountId>,
    /// What to restore a mount from, when its own data is lost.
    pub restore: Vec<(MountId, SnapshotId)>,
    /// Agreed that things known by adoption only may be ended.
    pub adopted: bool,
    /// Machines to be replaced although nothing is wrong with them.
    pub replace: BTreeSet<MachineId>,
    /// What the file no longer wants is pruned, where its policy is to ask.
    pub prune: Prune,
}

/// What a person wants to be pruned of what the file no longer wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// Nothing.
    #[default]
    Nothing,
    /// Machines and volumes; the volumes go a day later.
    KeepSnapshots,
    /// Snapshots too, once there is no volume any more.
    Everything,
}

impl Consent {
    /// Agreement to everything that a demand takes.
    pub fn to_all() -> Consent {
        Consent { all: true, adopted: true, ..Consent::default() }
    }
}

/// The name of an ending, for comparing what was agreed with what is about to happen: the object and the kind
/// of loss. Both acts of a deletion have the same name.
pub fn key(step: &Step) -> Option<String> {
    let ends = |kind: &str, id: &str| Some(format!("{kind} {id}"));
    match &step.act {
        Act::EndMachine { machine, .. } => ends("machine", machine.as_str()),
        Act::Retire { volume, unsealed: false, .. } | Act::DeleteVolume { volume, unsealed: false, .. } => {
            ends("volume", volume.as_str())
        }
        Act::Retire { volume, .. } | Act::DeleteVolume { volume, .. } => ends("data of", volume.as_str()),
        Act::DeleteSnapshot { snapshot, .. } => ends("snapshot", snapshot.as_str()),
        _ => None,
    }
}

/// Takes back the endings that nobody agreed to: those that destroy, and dead machines beyond the blast radius.
pub(super) fn limit(context: &Context<'_>, out: &mut Out) {
    let ends_machine =
        |step: &Step| step.danger == Danger::EndsDeadMachine && matches!(step.act, Act::EndMachine { .. });
    let ending = out.steps.iter().filter(|step| ends_machine(step)).count();
    let storm = ending > 1 && {
        let alive: usize = context
            .input
            .observed
            .slots
            .values()
            .map(|slot| slot.machines.iter().filter(|machine| !machine.state.is_over()).count())
            .sum();
        ending * 100 > alive * context.input.ideal.policy.blast_percent as usize
    };
    let mut refused: Vec<Waiting> = Vec::new();
    out.steps.retain(|step| {
        let Some(key) = key(step).filter(|_| !context.is_forecast()) else { return true };
        let what = match agreed(context.input, &key, step.danger) {
            Err(what) => what,
            Ok(true) => return true,
            Ok(false) if storm && ends_machine(step) => {
                let percent = context.input.ideal.policy.blast_percent;
                format!("end {key}: more than {percent} % of the machines end at once")
            }
            Ok(false) => return true,
        };
        let cause = Cause::Consent { verb: step.act.verb().to_owned(), what };
        refused.push(Waiting { part: step.part.clone(), cause, overdue: false });
        false
    });
    out.waiting.append(&mut refused);
}

/// Whether an ending was agreed to (true), or needs nobody's agreement (false); else what is asked, in words.
fn agreed(input: &Input<'_>, key: &str, danger: Danger) -> Result<bool, String> {
    let consent = input.consent;
    let object = key.rsplit(' ').next().unwrap_or_default();
    if input.view.adopted.contains(object) && !consent.adopted && danger > Danger::EndsDeadMachine {
        return Err(format!("end {key}, which is known by its tags only"));
    }
    if consent.all || consent.endings.contains(key) {
        return Ok(true);
    }
    if danger > Danger::EndsDeadMachine { Err(format!("end {key}")) } else { Ok(false) }
}

/// Whether a person agreed to an ending for which nothing is to be disturbed before they did; else what is asked.
pub(super) fn ask_first(context: &Context<'_>, key: &str) -> Result<(), Cause> {
    if context.is_forecast() {
        return Ok(());
    }
    let asked = agreed(context.input, key, Danger::EndsMachine);
    asked.map(|_| ()).map_err(|what| Cause::Consent { verb: "away".to_owned(), what })
}

/// Whether a person agreed to the end of a machine that runs.
pub(super) fn may_end(input: &Input<'_>, machine: &MachineId) -> bool {
    agreed(input, &format!("machine {machine}"), Danger::EndsMachine).is_ok()
}

/// Whether ending a machine loses anything that runs, or that is kept: one that is stopped has its own disk still.
pub(super) fn danger_of(machine: &Machine) -> Danger {
    match machine.state {
        MachineState::Impaired => Danger::EndsDeadMachine,
        MachineState::Stopped if machine.retired => Danger::EndsDeadMachine,
        _ => Danger::EndsMachine,
    }
}
