//! A command that cron runs at its times.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Thing;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::ideal::document::Argv;
use crate::path::Place;

/// A command that cron runs at its times: one file in /etc/cron.d.
///
/// ```yaml
/// - cron: {name: tidy-tmp, schedule: "15 4 * * mon-fri", command: [find, /tmp, -mtime, "+30", -delete]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CronSpec {
    /// What its file is called.
    pub name: String,
    /// Minute, hour, day of the month, month, day of the week: `15 4 * * mon-fri`. Or one of `@reboot`, `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schedule: String,
    /// The program and its arguments. cron gives them to a shell; they are quoted so that it takes each as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Argv>,
    /// A text for that shell, where pipes and redirections are really wanted. One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Who runs it.
    #[serde(default = "root")]
    pub user: String,
    /// Its environment: `{MAILTO: ops@example.org}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// `present`, or `absent`: its file is removed.
    #[serde(default)]
    pub state: Presence,
}

fn root() -> String {
    "root".to_owned()
}

/// What is at the path of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronSeen {
    /// Nothing.
    Absent,
    /// A file.
    File {
        /// Its text.
        text: String,
        /// Whether it is root's own and nobody else may write it: cron reads no other.
        safe: bool,
    },
    /// Something else.
    Other,
}

/// What is to be done to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CronChange {
    /// Put this text there.
    Put(String),
    /// Remove it.
    Remove,
}

/// The fields of a schedule: name, lowest, highest, and names for numbers from the lowest on.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];
const NICKNAMES: [&str; 8] =
    ["@reboot", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];

/// Why a text is no schedule, if so.
pub fn schedule_problem(schedule: &str) -> Option<String> {
    if schedule.starts_with('@') {
        return (!NICKNAMES.contains(&schedule))
            .then(|| format!("`{}` is no time that cron knows", text::short(schedule)));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() || schedule.contains('\n') {
        return Some(format!("a schedule has five fields; these are {}", fields.len()));
    }
    fields.iter().zip(FIELDS).find_map(|(text, field)| field_problem(text, field))
}

fn field_problem(text: &str, (name, lowest, highest, names): (&str, u32, u32, &[&str])) -> Option<String> {
    let bad = |one: &str| Some(format!("`{}` is no {name}: {lowest} to {highest}", text::short(one)));
    let number = |one: &str| -> Option<u32> {
        let named = names.iter().position(|known| known.eq_ignore_ascii_case(one));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + lowest);
        let digits = !one.is_empty() && one.len() <= 2 && one.bytes().all(|b| b.is_ascii_digit());
        named.or_else(|| one.parse().ok().filter(|_| digits)).filter(|n| (lowest..=highest).contains(n))
    };
    for one in text.split(',') {
        let (range, step) = one.split_once('/').map_or((one, None), |(range, step)| (range, Some(step)));
        let ends = range.split_once('-');
        let good = match ends {
            _ if range == "*" => true,
            Some((from, to)) => number(from).is_some_and(|from| number(to).is_some_and(|to| from <= to)),
            // A step over a single number means nothing to cron.
            None => number(range).is_some() && step.is_none(),
        };
        let step =
            step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| (1..=highest).contains(&step)));
        if !good || !step {
            return bad(one);
        }
    }
    None
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl CronSpec {
    /// The path of its file.
    pub fn path(&self) -> String {
        format!("/etc/cron.d/{}", self.name)
    }

    /// The text of its file.
    pub fn text(&self) -> String {
        let command = match (&self.command, &self.shell) {
            (Some(command), _) => command.0.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
            (None, shell) => shell.clone().unwrap_or_default(),
        };
        let mut text = String::new();
        for (name, value) in &self.env {
            let _ = writeln!(text, "{name}=\"{value}\"");
        }
        // A bare percent sign would end the line.
        let _ = writeln!(text, "{} {} {}", self.schedule, self.user, command.replace('%', r"\%"));
        text
    }
}

impl Kind for CronSpec {
    const NAME: &'static str = "cron";
    const NEEDS_MACHINE: bool = true;
    type Seen = CronSeen;
    type Change = CronChange;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        // cron passes over files with any other character in their names.
        text::file_name(&self.name, "_-", &place.key("name"), found);
        text::account(&self.user, &place.key("user"), found);
        if self.state == Presence::Absent {
            return;
        }
        let given = [("command", self.command.is_some()), ("shell", self.shell.is_some())];
        text::one_of(&given, true, place, found);
        if !text::has_expression(&self.schedule)
            && let Some(problem) = schedule_problem(&self.schedule)
        {
            let help =
                "minute, hour, day of the month, month, day of the week: \"15 4 * * mon-fri\"; or @daily";
            found.push(
                Diagnostic::error("ideal/bad-schedule", place.key("schedule").path(), problem).help(help),
            );
        }
        if let Some(command) = &self.command {
            text::argv(command, &place.key("command"), found);
        }
        let lines = self.command.iter().flat_map(|argv| &argv.0).any(|word| word.contains('\n'));
        for (key, many) in
            [("command", lines), ("shell", self.shell.as_ref().is_some_and(|text| text.contains('\n')))]
        {
            if many {
                let message = "cron takes one line";
                let help = "put the lines into a file of their own, and name that";
                found.push(Diagnostic::error("ideal/one-line", place.key(key).path(), message).help(help));
            }
        }
        if let Some(shell) = &self.shell {
            text::argument(shell, &place.key("shell"), found);
        }
        for (name, value) in &self.env {
            let env = place.key("env");
            let place = env.key(name);
            text::env_name(name, &place, found);
            if value.contains(['\n', '"']) {
                let message = "cron has no way to write a quotation mark or a line end in a value";
                found.push(Diagnostic::error("ideal/one-line", place.path(), message));
            }
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.path())]
    }
    fn uses(&self) -> Vec<Thing> {
        vec![Thing::User(self.user.clone())]
    }

    fn compare(&self, seen: &CronSeen) -> Verdict<CronChange> {
        match (self.state, seen) {
            (Presence::Absent, CronSeen::Absent) => Verdict::Right,
            (_, CronSeen::Other) => {
                Verdict::Refused(format!("something that is no file is at {}", self.path()))
            }
            (Presence::Absent, CronSeen::File { .. }) => {
                Wrong::one(Difference::surplus(), CronChange::Remove)
            }
            (Presence::Present, CronSeen::Absent) => {
                Wrong::one(Difference::missing(), CronChange::Put(self.text()))
            }
            (Presence::Present, CronSeen::File { text, safe }) => {
                let wanted = self.text();
                let mut differences = Vec::new();
                if *text != wanted {
                    differences.push(Difference::new("content", "another", "as wanted"));
                }
                if !safe {
                    differences.push(Difference::new("access", "open to others", "root's own"));
                }
                if differences.is_empty() {
                    return Verdict::Right;
                }
                let texts = (*text != wanted).then(|| (text.clone(), wanted.clone()));
                Verdict::Wrong(Wrong { differences, texts, change: CronChange::Put(wanted) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["* * * * *", "15 4 * * mon-fri", "*/5 0-6/2 1,15 JAN-mar 0", "@daily", "0 0 * * 7"] {
            assert_eq!(schedule_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "5/2 * * * *",
            "@often",
            "* * * * x",
            "1,,2 * * * *",
            "+1 * * * *",
        ] {
            assert!(schedule_problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn the_text_of_a_file() {
        let spec: CronSpec = serde_json::from_value(serde_json::json!({
            "name": "x", "schedule": "@daily", "user": "www", "env": {"MAILTO": "a@b"},
            "command": ["date", "+%F", "it's", "a b", ""],
        }))
        .unwrap();
        let wanted = "MAILTO=\"a@b\"\n@daily www date '+\\%F' 'it'\\''s' 'a b' ''\n";
        assert_eq!(spec.text(), wanted);
        let right = CronSeen::File { text: wanted.to_owned(), safe: true };
        assert_eq!(spec.compare(&right), Verdict::Right);
        let open = CronSeen::File { text: wanted.to_owned(), safe: false };
        assert!(matches!(spec.compare(&open), Verdict::Wrong(_)));
    }
}
