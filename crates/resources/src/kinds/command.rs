//! A program that is run when it is needed.

use ideal_core::resource::command::{CommandSeen, CommandSpec};

use super::{About, Keep};
use crate::eyes::{Asked, Eyes, Query, Trouble};
use crate::hands::Hands;

/// What tells one text of a command from another. What it reads and is given in its environment is part of it, unless
/// that holds a secret: a new password is no reason to migrate a database again, and nobody should learn it by trying.
fn hash(spec: &CommandSpec, about: About<'_>) -> String {
    let names: Vec<&String> = spec.env.keys().collect();
    let given = (!about.secret).then_some((&spec.env, &spec.stdin));
    let own = (spec.argv(), &spec.creates, &spec.unless, &spec.at, &spec.user);
    let text = serde_json::to_vec(&(own, names, given)).unwrap_or_default();
    blake3::hash(&text).to_hex().to_string()
}

fn asked(spec: &CommandSpec, argv: Vec<String>) -> Asked {
    Asked {
        argv,
        env: spec.env.clone(),
        stdin: None,
        at: spec.at.clone(),
        user: spec.user.clone(),
        limit: spec.timeout.std(),
    }
}

impl Keep for CommandSpec {
    /// What it was for is seen by what it creates; asking `unless` again would be another whole program.
    const LOOK_AGAIN: bool = false;

    async fn look(&self, about: About<'_>, eyes: &Eyes<'_>) -> Result<CommandSeen, Trouble> {
        if self.notified && !about.notified {
            return Ok(CommandSeen::Done);
        }
        if self.creates.as_ref().is_some_and(|at| eyes.exists(at)) {
            return Ok(CommandSeen::Done);
        }
        if self.once() && eyes.ledger().done.contains(&hash(self, about)) {
            return Ok(CommandSeen::Done);
        }
        if let Some(unless) = &self.unless {
            let query = Query::Foreign(Box::new(asked(self, unless.0.clone())));
            if eyes.ask(&format!("{} unless", about.label), query).await?.agreed() {
                return Ok(CommandSeen::Done);
            }
            return Ok(CommandSeen::Needed("needed, as `unless` says"));
        }
        Ok(CommandSeen::Needed(match (about.notified, &self.creates) {
            (true, _) => "notified",
            (false, Some(_)) => "needed for what it creates",
            (false, None) => "never run",
        }))
    }

    async fn apply(&self, (): &(), about: About<'_>, hands: &Hands<'_>) -> Result<Option<String>, Trouble> {
        let mut asked = asked(self, self.argv());
        asked.stdin = self.stdin.clone().map(String::into_bytes);
        let outcome = hands.run_foreign(about.label, asked).await?;
        if !outcome.agreed() {
            return Err(Trouble::program(&outcome));
        }
        if let Some(at) = self.creates.as_ref().filter(|at| !hands.exists(at)) {
            let why = format!("it ended well but did not make {at}");
            return Err(Trouble::Failed { why, output: Some(outcome.output) });
        }
        if self.once() {
            let hash = hash(self, about);
            hands.note(|ledger| {
                ledger.done.insert(hash);
            })?;
        }
        Ok(Some(outcome.output).filter(|text| !text.is_empty()))
    }
}
