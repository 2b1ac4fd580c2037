//! A thing of a kind that an external program knows: it is asked, and told, in JSON.

use ideal_core::resource::plugin::{Answer, Ask, PluginSpec, Question};

use serde_json::Value;

use super::{About, Keep};
use crate::exec::Outcome;
use crate::eyes::{Asked, Eyes, Query, Trouble};
use crate::hands::Hands;

/// The version of the contract.
const VERSION: u32 = 1;

pub(crate) fn question(
    spec: &PluginSpec,
    eyes: &Eyes<'_>,
    ask: Ask,
    query: Option<String>,
) -> Result<Asked, Trouble> {
    let question = Question { ideal: VERSION, ask, key: spec.key.clone(), with: spec.with.clone(), query };
    let program = crate::plugins::program(eyes.ground, &spec.uses);
    let stdin = serde_json::to_vec(&question).map_err(|error| Trouble::failed(error.to_string()))?;
    Ok(Asked {
        argv: vec![program.display().to_string()],
        stdin: Some(stdin),
        limit: spec.timeout.std(),
        ..Asked::default()
    })
}

pub(crate) fn answer(spec: &PluginSpec, outcome: &Outcome) -> Result<Answer, Trouble> {
    if !outcome.agreed() {
        return Err(Trouble::program(outcome));
    }
    serde_json::from_slice(&outcome.answer).map_err(|error| {
        let why = format!("the plugin {} did not answer as agreed: {error}", spec.uses);
        Trouble::Failed { why, output: Some(outcome.output.clone()) }
    })
}

/// Asks the program about the thing. Runs it: whoever calls this was allowed to.
pub(crate) async fn query(
    spec: &PluginSpec,
    label: &str,
    eyes: &Eyes<'_>,
    text: &str,
) -> Result<Value, Trouble> {
    let asked = question(spec, eyes, Ask::Query, Some(text.to_owned()))?;
    let outcome = eyes.ask(&format!("{label} query"), Query::Foreign(Box::new(asked))).await?;
    let answer = answer(spec, &outcome)?;
    match (answer.error, answer.answer) {
        (Some(error), _) => Err(Trouble::failed(error)),
        (None, Some(value)) => Ok(value),
        (None, None) => Err(Trouble::failed(format!("the plugin {} has no answer to `{text}`", spec.uses))),
    }
}

impl Keep for PluginSpec {
    async fn look(&self, about: About<'_>, eyes: &Eyes<'_>) -> Result<Answer, Trouble> {
        let asked = question(self, eyes, Ask::Check, None)?;
        let outcome = eyes.ask(&format!("{} check", about.label), Query::Foreign(Box::new(asked))).await?;
        answer(self, &outcome)
    }

    async fn apply(&self, (): &(), about: About<'_>, hands: &Hands<'_>) -> Result<Option<String>, Trouble> {
        let asked = question(self, hands, Ask::Apply, None)?;
        let outcome = hands.run_foreign(about.label, asked).await?;
        let answer = answer(self, &outcome)?;
        match (answer.error, answer.right) {
            (Some(error), _) => Err(Trouble::failed(error)),
            (None, true) => Ok(None),
            (None, false) => Err(Trouble::failed("the plugin says that it is still not right")),
        }
    }
}
