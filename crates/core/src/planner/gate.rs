//! What holds a step back although its needs are met: it is under way, in doubt, failed a moment ago, or failed
//! too often.

use crate::plan::{Act, Cause, Part};
use crate::time::Time;

use super::context::Context;

/// Whether an act may be tried at a part now; if not, why not.
pub(super) fn may(context: &Context<'_>, part: &Part, act: &Act) -> Result<(), (Cause, Option<Time>)> {
    if context.is_forecast() {
        return Ok(());
    }
    let verb = act.verb();
    let view = context.input.view;
    if !view.open.is_empty() && view.open.contains_key(&(part.clone(), verb.to_owned())) {
        return Err((Cause::Under { what: format!("`{verb}` is under way") }, None));
    }
    let now = context.input.now;
    let most = context.input.ideal.policy.attempts;
    let repeats = context.input.patience.repeats(part, act, now);
    if repeats >= 2 * most {
        let why = format!("it was accepted {repeats} times in a row and does not hold");
        return Err((Cause::Spent { verb: verb.to_owned(), why }, None));
    }
    let Some(trouble) = view.trouble(part, verb) else { return Ok(()) };
    let verb = verb.to_owned();
    let why = trouble.why.clone();
    if trouble.attempts >= most {
        return Err((Cause::Spent { verb, why }, None));
    }
    let believed = trouble.at + context.settle(part.slot);
    if trouble.in_doubt && now < believed {
        return Err((Cause::InDoubt { verb, until: believed }, Some(believed)));
    }
    if now < trouble.not_before {
        return Err((Cause::BackOff { verb, until: trouble.not_before, why }, Some(trouble.not_before)));
    }
    Ok(())
}
