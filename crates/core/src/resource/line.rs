//! A line or a block of lines within a file that others write too.

use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Thing;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A line, or a block of lines, within a file that others write too. All else in the file stays as it is, also how its
/// lines end.
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
    /// A regular expression: the last line that matches is replaced by `line`, and all other lines that match are
    /// removed, for some programs take the first of several and some the last. With `state: absent`, every line that
    /// matches is removed.
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
    /// Permission bits of a file that is made, in octal text: "0600". Else "0644". Those of a file that is there are
    /// left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
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
    /// The text with the line or block as wanted; the same text when it is right. The error says why it cannot be
    /// edited.
    pub fn edit(&self, text: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (begin, end) = (self.marked("begin"), self.marked("end"));
        let after = match (&self.line, &self.block) {
            (_, Some(block)) => self.edit_block(&lines, block, (&begin, &end))?,
            (line, None) => self.edit_line(&lines, line.as_deref())?,
        };
        Ok(joined(&after, &lines))
    }

    fn marked(&self, word: &str) -> String {
        format!("{} {word} {}", self.comment, self.marker)
    }

    fn edit_line<'a>(&self, lines: &[&'a str], line: Option<&'a str>) -> Result<Vec<&'a str>, String> {
        let matching = self.matching.as_deref().map(Regex::new).transpose();
        let matching = matching.map_err(|error| format!("`matching` is no regular expression: {error}"))?;
        let hit = |one: &str| {
            let one = bare(one);
            Some(one) == line || matching.as_ref().is_some_and(|matching| matching.is_match(one))
        };
        let others = || lines.iter().copied().filter(|one| !hit(one));
        if self.state == Presence::Absent {
            return Ok(others().collect());
        }
        let line = line.unwrap_or_default();
        let (right, last) =
            (lines.iter().rposition(|one| bare(one) == line), lines.iter().rposition(|one| hit(one)));
        if matching.is_none() && right.is_some() {
            return Ok(lines.to_vec());
        }
        // Where it is already, else where the last is that it replaces.
        let Some(at) = right.or(last) else { return Ok(lines.iter().copied().chain([line]).collect()) };
        let put = if right.is_some() { lines[at] } else { line };
        let one = |(i, one): (usize, &&'a str)| match i == at {
            true => Some(put),
            false => (!hit(one)).then_some(*one),
        };
        Ok(lines.iter().enumerate().filter_map(one).collect())
    }

    fn edit_block<'a>(
        &self,
        lines: &[&'a str],
        block: &'a str,
        (begin, end): (&'a str, &'a str),
    ) -> Result<Vec<&'a str>, String> {
        let places =
            |marker| lines.iter().enumerate().filter(move |(_, line)| bare(line) == marker).map(|(i, _)| i);
        let (begins, ends): (Vec<usize>, Vec<usize>) = (places(begin).collect(), places(end).collect());
        let (from, to) = match (&begins[..], &ends[..]) {
            ([], []) => (lines.len(), lines.len()),
            ([from], [to]) if from < to => (*from, to + 1),
            // What lies between may be other people's lines.
            _ => {
                return Err(format!(
                    "`{begin}` and `{end}` do not stand in the file once each, in this order; mend or remove them by \
                     hand"
                ));
            }
        };
        let mut middle = Vec::new();
        if self.state == Presence::Present {
            middle.push(begin);
            middle.extend(block.lines());
            middle.push(end);
            if lines[from..to].iter().copied().map(bare).eq(middle.iter().copied()) {
                return Ok(lines.to_vec());
            }
        }
        Ok([&lines[..from], &middle, &lines[to..]].concat())
    }
}

/// A line without its end.
fn bare(line: &str) -> &str {
    line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// Lines as a text. One without an end gets the one that lines of this file have; but a last line that had none before
/// still has none.
fn joined(lines: &[&str], before: &[&str]) -> String {
    let end = if before.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
    let open = before.last().copied().filter(|last| !last.ends_with('\n'));
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        text.push_str(line);
        let stays_open = i + 1 == lines.len() && open == Some(*line);
        if !line.ends_with('\n') && !stays_open {
            text.push_str(end);
        }
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
        if let Some(mode) = &self.mode {
            text::mode(mode, &place.key("mode"), found);
        }
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
            Err(why) => return Verdict::Refused(why),
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
            (line(serde_json::json!({"line": "p 2", "matching": "^p "})), "p 0\nx\np 1\n", "x\np 2\n"),
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
            // The line is there, but a program that takes the first of several sees another.
            (line(serde_json::json!({"line": "p 2", "matching": "^p "})), "p 0\np 2\nx\n", "p 2\nx\n"),
            (line(serde_json::json!({"line": "p 2", "matching": "^p "})), "p 0\nx\np 1", "x\np 2\n"),
            (line(serde_json::json!({"line": "b"})), "a\r\nc\r\n", "a\r\nc\r\nb\r\n"),
            (line(serde_json::json!({"line": "c"})), "a\r\nc\r\n", "a\r\nc\r\n"),
            (line(serde_json::json!({"line": "a", "state": "absent"})), "b\r\na\r\nc\n", "b\r\nc\n"),
            (
                line(serde_json::json!({"block": "z"})),
                "a\r\n# begin ideal\r\nx\r\n# end ideal\r\n",
                "a\r\n# begin ideal\r\nz\r\n# end ideal\r\n",
            ),
        ];
        for (spec, before, after) in table {
            assert_eq!(spec.edit(before).unwrap(), after, "{spec:?}");
            assert_eq!(spec.edit(after).unwrap(), after, "twice: {spec:?}");
        }
    }

    #[test]
    fn a_block_without_its_end_eats_nothing() {
        for before in [
            "# begin ideal\nx\nmine\n",
            "# begin ideal\nx\nmine\n# begin ideal\ny\n# end ideal\n",
            "mine\n# end ideal\n",
            "# end ideal\nmine\n# begin ideal\n",
        ] {
            for state in ["present", "absent"] {
                let spec = spec(serde_json::json!({"path": "/f", "block": "z", "state": state}));
                let verdict = spec.compare(&LineSeen::Text(before.to_owned()));
                assert!(
                    matches!(&verdict, Verdict::Refused(why) if why.contains("by hand")),
                    "{before:?} {verdict:?}"
                );
            }
        }
    }
}
