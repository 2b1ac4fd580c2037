//! A program that is run when it is needed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Reach, Thing};
use super::{Difference, Kind, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::ideal::document::Argv;
use crate::path::Place;
use crate::time::Span;

/// A program that is run when it is needed: without `creates` and `unless`, once for each text of itself.
///
/// ```yaml
/// - command: {run: [tar, xzf, site.tgz, -C, /srv], creates: /srv/site}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments. No shell sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Argv>,
    /// A text for `/bin/sh -c`, where pipes and redirections are really wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// A path: when it exists, there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// A program: when it exits with 0, there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Argv>,
    /// Only when something that was changed notifies it.
    #[serde(default)]
    pub notified: bool,
    /// What it reads on its standard input. May hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Added to its environment. May hold secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Who runs it, by name or number: in all of that user's groups, with that user's `HOME`, `USER` and `LOGNAME`. A
    /// number without an account has no group but that of the same number, and is refused where that has a name.
    /// Else the agent's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its working directory. Else the node's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// How long it may take. Default 5m.
    #[serde(default = "five_minutes")]
    pub timeout: Span,
}

fn five_minutes() -> Span {
    Span::mins(5)
}

/// What is known of the need for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandSeen {
    /// What it creates is there, `unless` agreed, it was run before, or nothing notified it.
    Done,
    /// It is to be run: why.
    Needed(&'static str),
}

impl CommandSpec {
    /// The program that is started.
    pub fn argv(&self) -> Vec<String> {
        match (&self.run, &self.shell) {
            (Some(run), _) => run.0.clone(),
            (None, Some(shell)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), shell.clone()],
            (None, None) => Vec::new(),
        }
    }
    /// Whether it is run once and for all.
    pub fn once(&self) -> bool {
        self.creates.is_none() && self.unless.is_none() && !self.notified
    }
}

impl Kind for CommandSpec {
    const NAME: &'static str = "command";
    const NEEDS_MACHINE: bool = false;
    type Seen = CommandSeen;
    type Change = ();

    fn key(&self) -> String {
        match (&self.run, &self.shell) {
            (Some(run), _) => run.0.join(" "),
            (None, shell) => shell.clone().unwrap_or_default(),
        }
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::one_of(&[("run", self.run.is_some()), ("shell", self.shell.is_some())], true, place, found);
        if let Some(run) = &self.run {
            text::argv(run, &place.key("run"), found);
        }
        if let Some(shell) = &self.shell {
            text::argument(shell, &place.key("shell"), found);
        }
        for (key, path) in [("creates", &self.creates), ("at", &self.at)] {
            if let Some(path) = path {
                text::path(path, &place.key(key), "ideal/bad-path", found);
            }
        }
        if let Some(unless) = &self.unless {
            text::argv(unless, &place.key("unless"), found);
        }
        if let Some(user) = &self.user {
            text::account(user, &place.key("user"), found);
        }
        if self.timeout.0 == 0 {
            found.push(text::zero(&place.key("timeout"), "a command without time can never succeed"));
        }
    }

    fn uses(&self) -> Vec<Thing> {
        let paths = self.at.iter().map(|at| Thing::Path(at.clone()));
        paths.chain(self.user.iter().map(|user| Thing::User(user.clone()))).collect()
    }
    fn reach(&self) -> Reach {
        Reach::Anything
    }

    fn compare(&self, seen: &CommandSeen) -> Verdict<()> {
        match seen {
            CommandSeen::Done => Verdict::Right,
            CommandSeen::Needed(why) => Wrong::one(Difference::new("", *why, "run"), ()),
        }
    }
}
