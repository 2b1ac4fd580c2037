//! What is seen and belongs to nothing: reported, left alone.

use super::context::Context;
use super::slot::Out;
use crate::policy::Leftover;

/// Notes on machines without a slot and on leftovers that the policy ignores.
pub(super) fn notes(context: &Context<'_>, out: &mut Out) {
    for machine in &context.input.observed.unslotted {
        out.notes.push(format!("machine {} carries our tag but no slot; it is left alone", machine.id));
    }
    for cloud in &context.input.observed.strangers {
        out.notes.push(format!("cloud {cloud} lies here too and was never in this file; it is left alone"));
    }
    let policy = &context.input.ideal.policy;
    for (slot, seen) in &context.input.observed.slots {
        let alive = seen.machines.iter().filter(|machine| !machine.state.is_over()).count();
        let (ignored, why) = match context.clouds.get(&slot.cloud) {
            Some(info) if slot.index < info.cloud.nodes => continue,
            Some(_) => (policy.surplus == Leftover::Ignore, "the file wants fewer nodes"),
            None => (policy.orphans == Leftover::Ignore, "its cloud is not in the file"),
        };
        if ignored && alive + seen.volumes.len() > 0 {
            let address = context.input.ideal.address(*slot);
            out.notes.push(format!("{address} is left alone by policy: {why}"));
        }
    }
}
