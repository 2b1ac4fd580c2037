//! Writes missing uuids into the text of a file and leaves every other byte alone.

use crate::tree::{Extent, Node, Value};
use crate::yaml;

/// The text with a uuid for each cloud that lacks one, and how many were written. `mint` makes a new uuid, as
/// text. A text that cannot be read comes back as it is.
pub fn fix(text: &str, mut mint: impl FnMut() -> String) -> (String, usize) {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let (Some(root), _) = yaml::parse(0, body) else { return (text.to_owned(), 0) };
    let mut edits = Vec::new();
    if let Some(clouds) = root.get("clouds") {
        find(clouds, body, &mut edits);
    }
    edits.sort_by_key(|edit| edit.at.start);
    let mut out = String::with_capacity(text.len() + edits.len() * 64);
    out.push_str(mark);
    let mut from = 0;
    for edit in &edits {
        let range = edit.at.range();
        out.push_str(&body[from..range.start]);
        out.push_str(&edit.before);
        out.push_str(&mint());
        out.push_str(&edit.after);
        from = range.end;
    }
    out.push_str(&body[from..]);
    (out, edits.len())
}

/// These bytes become `before`, a uuid, `after`.
struct Edit {
    at: Extent,
    before: String,
    after: String,
}

fn find(clouds: &Node, text: &str, edits: &mut Vec<Edit>) {
    for cloud in clouds.entries() {
        let node = &cloud.value;
        match (&node.value, node.entry("uuid")) {
            (Value::Map(_), Some(entry)) if matches!(entry.value.value, Value::Null) => {
                edits.extend(in_place_of(entry.value.at, entry.key_at, text, ""));
            }
            (Value::Map(_), Some(_)) => {}
            (Value::Map(entries), None) => match entries.first() {
                _ if text[node.at.range()].starts_with('{') => {
                    let at = Extent { start: node.at.start + 1, end: node.at.start + 1, ..node.at };
                    let after = if entries.is_empty() { "" } else { ", " };
                    edits.push(Edit { at, before: "uuid: ".to_owned(), after: after.to_owned() });
                }
                Some(first) => edits.extend(before_first(first.key_at, text)),
                None => {}
            },
            (Value::Null, _) => edits.extend(in_place_of(node.at, cloud.key_at, text, "uuid: ")),
            _ => {}
        }
        if let Some(inner) = node.get("clouds") {
            find(inner, text, edits);
        }
    }
}

/// A line of its own before the first key of a block, indented as that is. Comments above the first key stay
/// above.
fn before_first(key: Extent, text: &str) -> Option<Edit> {
    let start = key.start as usize;
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let indent = &text[line..start];
    // A key in another position (`? key`) is too rare to be worth being clever about.
    if !indent.bytes().all(|b| b == b' ') {
        return None;
    }
    let end = if text[start..].lines().next().is_some_and(|_| text.contains("\r\n")) { "\r\n" } else { "\n" };
    let at = Extent { end: key.start, ..key };
    Some(Edit { at, before: "uuid: ".to_owned(), after: format!("{end}{indent}") })
}

/// In place of nothing, `~` or `null` after a key. `inside`: what makes a mapping of it.
fn in_place_of(value: Extent, key: Extent, text: &str, inside: &str) -> Option<Edit> {
    let (open, close) = if inside.is_empty() { ("", "") } else { ("{", "}") };
    let written = value.start < value.end;
    let at = if written {
        value
    } else {
        let colon = text[key.end as usize..].find(':')?;
        let after = key.end + u32::try_from(colon).ok()? + 1;
        Extent { start: after, end: after, ..value }
    };
    let blank = if written { "" } else { " " };
    Some(Edit { at, before: format!("{blank}{open}{inside}"), after: close.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::fix;

    fn fixed(text: &str) -> String {
        let mut n = 0;
        let (fixed, count) = fix(text, || {
            n += 1;
            format!("U{n}")
        });
        assert_eq!(count, n);
        fixed
    }

    #[test]
    fn missing_uuids_are_written_and_nothing_else() {
        let table = [
            (
                "# top\nclouds:\n  a:   # note\n    # inside\n    nodes: 1 # n\n    clouds:\n      b: {nodes: 2}\n",
                "# top\nclouds:\n  a:   # note\n    # inside\n    uuid: U1\n    nodes: 1 # n\n    clouds:\n      b: {uuid: U2, nodes: 2}\n",
            ),
            ("clouds: {a: {}, b: , c: ~}", "clouds: {a: {uuid: U1}, b: {uuid: U2} , c: {uuid: U3}}"),
            ("clouds:\n  a: # x\n  b:\n", "clouds:\n  a: {uuid: U1} # x\n  b: {uuid: U2}\n"),
            (
                "clouds:\n  a:\n    uuid: # soon\n    nodes: 1\n",
                "clouds:\n  a:\n    uuid: U1 # soon\n    nodes: 1\n",
            ),
            ("clouds:\r\n  a:\r\n    nodes: 1\r\n", "clouds:\r\n  a:\r\n    uuid: U1\r\n    nodes: 1\r\n"),
            ("\u{feff}clouds: {a: {nodes: 1}}", "\u{feff}clouds: {a: {uuid: U1, nodes: 1}}"),
            ("clouds:\n  a:\n    uuid: x\n", "clouds:\n  a:\n    uuid: x\n"),
            ("clouds: [", "clouds: ["),
        ];
        for (text, wanted) in table {
            assert_eq!(fixed(text), wanted, "{text:?}");
        }
    }
}
