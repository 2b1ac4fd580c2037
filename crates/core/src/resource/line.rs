//! A line or a block of lines within a file that others write too.

use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Thing;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A line, or a block of lines, within a file that others write too. All else in the file stays as it is.
///
/// ```yaml
/// - line: {path: /etc/ssh/sshd_config, matching: "^#?PermitRootLogin ", line: "PermitRootLogin no"}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineSpec {
    /// Absolute.
    pub path: String,
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Lines between two markers that carry `marker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
    /// A regular expression: the last line that matches is replaced by `line`. With `state: absent`, every line
    /// that matches is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// The name in the markers of a block.
    #[serde(default = "marker", skip_serializing_if = "String::is_empty")]
    pub marker: String,
    /// How a comment begins in this file; markers are comments.
    #[serde(default = "comment")]
    pub comment: String,
    /// Whether a missing file is made.
    #[serde(default)]
    pub create: bool,
    /// `present` or `absent`.
    #[serde(default)]
    pub state: Presence,
}

fn marker() -> String {
    "ideal".to_owned()
}
fn comment() -> String {
    "#".to_owned()
}

/// What is at the path of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineSeen {
    /// Nothing.
    Absent,
    /// Something that is no file, or no text.
    Other(String),
    /// The text of the file.
    Text(String),
}

/// The whole new text of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineChange {
    /// It.
    pub text: String,
}

impl LineSpec {
    /// The text with the line or block as wanted; the same text when it is right. The error is a bad `matching`.
    pub fn edit(&self, text: &str) -> Result<String, String> {
        match (&self.line, &self.block) {
            (_, Some(block)) => Ok(self.edit_block(text, block)),
            (line, None) => self.edit_line(text, line.as_deref()),
        }
    }

    fn edit_line(&self, text: &str, line: Option<&str>) -> Result<String, String> {
        let matching =
            self.matching.as_deref().map(Regex::new).transpose().map_err(|error| error.to_string())?;
        let hit = |one: &str| match &matching {
            Some(matching) => matching.is_match(one) || Some(one) == line,
            None => Some(one) == line,
        };
        let mut lines: Vec<&str> = text.lines().collect();
        if self.state == Presence::Absent {
            if !lines.iter().any(|one| hit(one)) {
                return Ok(text.to_owned());
            }
            lines.retain(|one| !hit(one));
            return Ok(joined(&lines, text));
        }
        let line = line.unwrap_or_default();
        if lines.contains(&line) {
            return Ok(text.to_owned());
        }
        match lines.iter().rposition(|one| hit(one)) {
            Some(at) => lines[at] = line,
            None => lines.push(line),
        }
        Ok(joined(&lines, text))
    }

    fn edit_block(&self, text: &str, block: &str) -> String {
        let begin = format!("{} begin {}", self.comment, self.marker);
        let end = format!("{} end {}", self.comment, self.marker);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.iter().position(|line| *line == begin);
        let to = from.and_then(|from| lines[from..].iter().position(|line| *line == end).map(|to| from + to));
        let mut wanted = vec![begin.as_str()];
        wanted.extend(block.lines());
        wanted.push(&end);
        let present = self.state == Presence::Present;
        match (from, to) {
            (Some(from), Some(to)) if present && lines[from..=to] == wanted[..] => text.to_owned(),
            (Some(from), Some(to)) => {
                let middle: &[&str] = if present { &wanted } else { &[] };
                joined(&[&lines[..from], middle, &lines[to + 1..]].concat(), text)
            }
            _ if !present => text.to_owned(),
            _ => joined(&[&lines[..], &wanted].concat(), text),
        }
    }
}

/// Lines as a text; only one that ended without a newline before, and still ends with that line, does so again.
fn joined(lines: &[&str], before: &str) -> String {
    let mut text = lines.join("\n");
    let open =
        !before.is_empty() && !before.ends_with('\n') && before.lines().last() == lines.last().copied();
    if !lines.is_empty() && !open {
        text.push('\n');
    }
    text
}

impl Kind for LineSpec {
    const NAME: &'static str = "line";
    const NEEDS_MACHINE: bool = false;
    type Seen = LineSeen;
    type Change = LineChange;

    fn key(&self) -> String {
        let what = match (&self.block, &self.matching, &self.line) {
            (Some(_), ..) => &self.marker,
            (None, Some(matching), _) => matching,
            (None, None, line) => line.as_ref().unwrap_or(&self.marker),
        };
        format!("{} {what}", self.path)
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::path(&self.path, &place.key("path"), "ideal/bad-path", found);
        text::one_of(&[("line", self.line.is_some()), ("block", self.block.is_some())], false, place, found);
        let gone = self.state == Presence::Absent;
        if self.line.is_none() && self.block.is_none() && !(gone && self.matching.is_some()) {
            let message = "one of `line`, `block` is wanted";
            found.push(Diagnostic::error("ideal/missing-key", place.path(), message).at_key());
        }
        if let Some(line) = &self.line
            && line.contains('\n')
        {
            let message = "a line has no line ends in it";
            let many = Diagnostic::error("ideal/one-line", place.key("line").path(), message);
            found.push(many.help("several lines are a `block`"));
        }
        for (key, one) in [("marker", &self.marker), ("comment", &self.comment)] {
            text::argument(one, &place.key(key), found);
            if one.contains('\n') || one.is_empty() {
                let message = format!("`{key}` wants one line");
                found.push(Diagnostic::error("ideal/one-line", place.key(key).path(), message));
            }
        }
        if let Some(matching) = &self.matching
            && !text::has_expression(matching)
            && let Err(error) = Regex::new(matching)
        {
            let message = format!("this is no regular expression: {error}");
            found.push(Diagnostic::error("ideal/bad-pattern", place.key("matching").path(), message));
        }
    }

    fn uses(&self) -> Vec<Thing> {
        vec![Thing::Path(self.path.clone())]
    }

    fn compare(&self, seen: &LineSeen) -> Verdict<LineChange> {
        let before = match seen {
            LineSeen::Other(why) => return Verdict::Refused(why.clone()),
            LineSeen::Absent if self.state == Presence::Absent => return Verdict::Right,
            LineSeen::Absent if !self.create => {
                return Verdict::Refused("the file does not exist; `create: true` would make it".to_owned());
            }
            LineSeen::Absent => "",
            LineSeen::Text(text) => text,
        };
        let after = match self.edit(before) {
            Ok(after) => after,
            Err(why) => return Verdict::Refused(format!("`matching` is no regular expression: {why}")),
        };
        if after == before && *seen != LineSeen::Absent {
            return Verdict::Right;
        }
        let difference = match (self.state, seen) {
            (_, LineSeen::Absent) => Difference::new("file", "missing", "present"),
            (Presence::Absent, _) => Difference::surplus(),
            _ => Difference::new(if self.block.is_some() { "block" } else { "line" }, "not there", "there"),
        };
        let texts = Some((before.to_owned(), after.clone()));
        Verdict::Wrong(Wrong { differences: vec![difference], texts, change: LineChange { text: after } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: serde_json::Value) -> LineSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn lines_and_blocks() {
        let line = |extra: serde_json::Value| {
            let mut value = serde_json::json!({"path": "/f"});
            value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            spec(value)
        };
        let table = [
            (line(serde_json::json!({"line": "a"})), "", "a\n"),
            (line(serde_json::json!({"line": "a"})), "a", "a"),
            (line(serde_json::json!({"line": "b"})), "a", "a\nb\n"),
            (line(serde_json::json!({"line": "p 2", "matching": "^p "})), "p 0\nx\np 1\n", "p 0\nx\np 2\n"),
            (line(serde_json::json!({"line": "a", "state": "absent"})), "b\na\nc", "b\nc"),
            (line(serde_json::json!({"matching": "^a", "state": "absent"})), "a1\nb\na2\n", "b\n"),
            (line(serde_json::json!({"block": "x\ny"})), "a\n", "a\n# begin ideal\nx\ny\n# end ideal\n"),
            (
                line(serde_json::json!({"block": "z"})),
                "# begin ideal\nx\n# end ideal\nb\n",
                "# begin ideal\nz\n# end ideal\nb\n",
            ),
            (
                line(serde_json::json!({"block": "z", "state": "absent"})),
                "a\n# begin ideal\nx\n# end ideal\nb\n",
                "a\nb\n",
            ),
        ];
        for (spec, before, after) in table {
            assert_eq!(spec.edit(before).unwrap(), after, "{spec:?}");
            assert_eq!(spec.edit(after).unwrap(), after, "twice: {spec:?}");
        }
    }
}
