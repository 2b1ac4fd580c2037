//! What a person agreed to, and what must not happen without.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::{MountId, SnapshotId};
use crate::observed::MachineState;
use crate::plan::{Act, Cause, Danger, Step, Waiting};

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
        Act::EndMachine { machine } => ends("machine", machine.as_str()),
        Act::Retire { volume, unsealed: false, .. } | Act::DeleteVolume { volume, unsealed: false, .. } => {
            ends("volume", volume.as_str())
        }
        Act::Retire { volume, .. } | Act::DeleteVolume { volume, .. } => ends("data of", volume.as_str()),
        Act::DeleteSnapshot { snapshot } => ends("snapshot", snapshot.as_str()),
        _ => None,
    }
}

/// Takes back the endings that nobody agreed to: those that destroy, and dead machines beyond the blast radius.
pub(super) fn limit(context: &Context<'_>, out: &mut Out) {
    let dead = out.steps.iter().filter(|step| step.danger == Danger::EndsDeadMachine).count();
    let storm = dead > 1 && {
        let alive: usize = context
            .input
            .observed
            .slots
            .values()
            .map(|slot| slot.machines.iter().filter(|machine| !machine.state.is_over()).count())
            .sum();
        dead * 100 > alive * context.input.ideal.policy.blast_percent as usize
    };
    let consent = context.input.consent;
    let mut refused: Vec<Waiting> = Vec::new();
    out.steps.retain(|step| {
        let what = match verdict(context, consent, step, storm) {
            Ok(()) => return true,
            Err(what) => what,
        };
        let cause = Cause::Consent { verb: step.act.verb().to_owned(), what };
        refused.push(Waiting { part: step.part.clone(), cause, overdue: false });
        false
    });
    out.waiting.append(&mut refused);
}

fn verdict(context: &Context<'_>, consent: &Consent, step: &Step, storm: bool) -> Result<(), String> {
    if context.is_forecast() {
        return Ok(());
    }
    if step.danger == Danger::None {
        return Ok(());
    }
    let Some(key) = key(step) else { return Ok(()) };
    let object = key.rsplit(' ').next().unwrap_or_default();
    if context.input.view.adopted.contains(object) && !consent.adopted && step.danger > Danger::EndsDeadMachine {
        return Err(format!("end {key}, which is known by its tags only"));
    }
    if consent.all || consent.endings.contains(&key) {
        return Ok(());
    }
    match step.danger {
        Danger::EndsDeadMachine if storm => {
            let percent = context.input.ideal.policy.blast_percent;
            Err(format!("end {key}: more than {percent} % of the machines are dead at once"))
        }
        Danger::None | Danger::EndsDeadMachine => Ok(()),
        _ => Err(format!("end {key}")),
    }
}

/// Whether ending a machine in this state loses anything that runs.
pub(super) fn danger_of(state: MachineState) -> Danger {
    match state {
        MachineState::Impaired | MachineState::Stopped => Danger::EndsDeadMachine,
        _ => Danger::EndsMachine,
    }
}
