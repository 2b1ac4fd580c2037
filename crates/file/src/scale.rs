//! Writes how many replicas a service has into the text of a file and leaves every other byte alone.

use crate::tree::{Extent, Node, Value};
use crate::yaml;

/// What came of writing a number of replicas into a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// The service is not in this text.
    NotHere,
    /// Its number is no plain one, or it is written in a way that is left to a person.
    NotPlain {
        /// Where it stands, counted from 1.
        line: usize,
    },
    /// Written.
    Written {
        /// The whole text.
        text: String,
        /// The line that changed or came, counted from 1.
        line: usize,
        /// That line as it was; none when it is new.
        before: Option<String>,
        /// As it is now.
        after: String,
    },
}

/// Writes a number of replicas into a text.
pub fn scale(text: &str, service: &str, replicas: u32) -> Scaled {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let root = yaml::parse(0, body).0;
    let entry = root.as_ref().and_then(|root| root.get("services")?.entry(service));
    let Some(entry) = entry else { return Scaled::NotHere };
    let Some((at, new)) = edit(&entry.value, body, replicas) else {
        let spot = entry.value.entry("replicas").map_or(entry.key_at, |own| own.value.at);
        return Scaled::NotPlain { line: line_of(body, spot.start as usize) };
    };
    let range = at.range();
    let changed = format!("{}{new}{}", &body[..range.start], &body[range.end..]);
    // A line of its own begins after the break that comes with it.
    let is_new = new.starts_with(['\n', '\r']);
    let line = line_of(body, range.start) + usize::from(is_new);
    let nth = |text: &str| text.lines().nth(line - 1).unwrap_or_default().to_owned();
    let before = (!is_new).then(|| nth(body));
    let after = nth(&changed);
    Scaled::Written { text: format!("{mark}{changed}"), line, before, after }
}

fn line_of(text: &str, byte: usize) -> usize {
    1 + text[..byte.min(text.len())].matches('\n').count()
}

/// Which bytes become what.
fn edit(service: &Node, text: &str, replicas: u32) -> Option<(Extent, String)> {
    if let Some(entry) = service.entry("replicas") {
        return match &entry.value.value {
            Value::Whole(_) => Some((entry.value.at, replicas.to_string())),
            _ => None,
        };
    }
    // After the one key that every service has.
    let on = service.entry("on").filter(|on| matches!(on.value.value, Value::Text(_)))?;
    let end = on.value.at.end as usize;
    if text[service.at.range()].starts_with('{') {
        let at = Extent { start: on.value.at.end, ..on.value.at };
        return Some((at, format!(", replicas: {replicas}")));
    }
    let start = on.key_at.start as usize;
    let indent = &text[text[..start].rfind('\n').map_or(0, |at| at + 1)..start];
    if !indent.bytes().all(|byte| byte == b' ') {
        return None;
    }
    let rest = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let rest = if text[..rest].ends_with('\r') { rest - 1 } else { rest };
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let at = u32::try_from(rest).ok()?;
    Some((Extent { start: at, end: at, ..on.value.at }, format!("{line_end}{indent}replicas: {replicas}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_changes_and_nothing_else() {
        let table = [
            (
                "services:\n  a: {on: w, replicas: 2} # x\n",
                "services:\n  a: {on: w, replicas: 7} # x\n",
                2,
                true,
            ),
            ("services: {a: {on: w}}", "services: {a: {on: w, replicas: 7}}", 1, true),
            (
                "# top\nservices:\n  b:\n    on: w\n  a:\n    # inside\n    on: w  # where\n    command: [x]\n",
                "# top\nservices:\n  b:\n    on: w\n  a:\n    # inside\n    on: w  # where\n    replicas: 7\n    command: [x]\n",
                8,
                false,
            ),
            ("services:\n  a:\n    on: w", "services:\n  a:\n    on: w\n    replicas: 7", 4, false),
            (
                "services:\r\n  a:\r\n    on: w\r\n    pids: 3\r\n",
                "services:\r\n  a:\r\n    on: w\r\n    replicas: 7\r\n    pids: 3\r\n",
                4,
                false,
            ),
            (
                "\u{feff}services:\n  a:\n    replicas: 2 # n\n    on: w\n",
                "\u{feff}services:\n  a:\n    replicas: 7 # n\n    on: w\n",
                3,
                true,
            ),
        ];
        for (text, wanted, at, was) in table {
            match scale(text, "a", 7) {
                Scaled::Written { text: new, line, before, after } => {
                    assert_eq!(new, wanted);
                    assert_eq!((line, before.is_some()), (at, was), "{text:?}");
                    assert!(after.contains("replicas: 7"), "{after}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left() {
        assert_eq!(scale("services: {b: {on: w}}", "a", 7), Scaled::NotHere);
        assert_eq!(scale("services: [", "a", 7), Scaled::NotHere);
        let computed = "services:\n  a:\n    replicas: \"{{ vars.n }}\"\n    on: w\n";
        assert_eq!(scale(computed, "a", 7), Scaled::NotPlain { line: 3 });
    }
}
