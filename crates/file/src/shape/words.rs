//! What was wanted, what was found, and how to write it, in words.

use ideal_core::validate::nearest;

use super::compile::{Id, Known, Shape, Shapes};
use crate::tree::{Node, Value};
use crate::yaml::shortened;

/// What a shape wants: "a whole number".
pub(super) fn expected(shapes: &Shapes, id: Id) -> String {
    match shapes.get(id) {
        Shape::Any => "a value".to_owned(),
        Shape::Text { .. } => "a text".to_owned(),
        Shape::Known(Known::Name) => "a name".to_owned(),
        Shape::Known(Known::Span) => "a length of time such as 30s".to_owned(),
        Shape::Known(Known::Bytes) => "an amount such as 20GiB".to_owned(),
        Shape::Known(Known::CloudPath) => "the path of a cloud such as shop.web".to_owned(),
        Shape::Known(Known::Address) => "a node or replica such as shop.web[2]".to_owned(),
        Shape::Known(Known::Port) => "auto, or NODE:CONTAINER such as 8080:80".to_owned(),
        Shape::Known(Known::Nodes) => "from one number to another such as 2..10".to_owned(),
        Shape::Known(Known::Uuid) => "a uuid".to_owned(),
        Shape::Choice(words) if words.len() == 1 => words[0].clone(),
        Shape::Choice(words) => format!("one of {}", words.join(", ")),
        Shape::Whole { least, most } if *most == i128::from(u16::MAX) => {
            format!("a whole number from {least} to {most}")
        }
        Shape::Whole { .. } => "a whole number".to_owned(),
        Shape::Number { least, most } if least.is_finite() && most.is_finite() => {
            format!("a number from {least} to {most}")
        }
        Shape::Number { .. } => "a number".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::List { .. } => "a list".to_owned(),
        Shape::Names { .. } | Shape::Fields(_) => "a mapping".to_owned(),
        Shape::Variants { words, tagged } => {
            // One that may have options is a word and a key.
            let keys = tagged.keys().filter(|key| !words.contains(key));
            let keys: Vec<&str> = words.iter().chain(keys).map(String::as_str).collect();
            if words.is_empty() {
                format!("a mapping with one of {}", keys.join(", "))
            } else {
                format!("one of {}", keys.join(", "))
            }
        }
        Shape::AnyOf(all) => all.iter().map(|one| expected(shapes, *one)).collect::<Vec<_>>().join(", or "),
        Shape::Nullable(inner) => expected(shapes, *inner),
    }
}

/// What stands there: `text "three"`.
pub(super) fn found(node: &Node) -> String {
    match &node.value {
        Value::Null | Value::Broken => "nothing".to_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Whole(whole) => format!("the number {whole}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Text(text) => format!("text \"{}\"", shortened(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// What to write instead, when that can be guessed.
pub(super) fn mend(shapes: &Shapes, id: Id, node: &Node) -> Option<String> {
    match (shapes.get(id), &node.value) {
        (Shape::Nullable(inner), _) => mend(shapes, *inner, node),
        (Shape::AnyOf(all), _) => all.iter().find_map(|one| mend(shapes, *one, node)),
        (_, Value::Null) => Some("fill it in, or remove the line".to_owned()),
        (Shape::Known(Known::Span), Value::Whole(n)) if *n > 0 => Some(format!("write {n}s for seconds")),
        (Shape::Known(Known::Span), _) => Some("write a whole number and ms, s, m, h or d".to_owned()),
        (Shape::Known(Known::Bytes), Value::Text(text)) => Some(mend_bytes(text)),
        (Shape::Known(Known::Bytes), _) => Some("add a unit: KiB, MiB, GiB or TiB".to_owned()),
        (Shape::Known(Known::Name), Value::Text(text)) => Some(name_help(text)),
        (Shape::Known(Known::CloudPath), Value::Text(_)) => {
            Some("write the names of the clouds from the outermost inwards, with dots between".to_owned())
        }
        (Shape::Known(Known::Uuid), _) => {
            Some("remove the line and run `ideal check --fix`, which writes a new one".to_owned())
        }
        (Shape::Whole { least, .. }, Value::Whole(n)) if n < least => Some(format!("it is at least {least}")),
        (Shape::Whole { most, .. }, Value::Whole(n)) if n > most => Some(format!("it is at most {most}")),
        (Shape::Text { .. } | Shape::Known(_), Value::Whole(n)) => Some(format!("write \"{n}\"")),
        (Shape::Text { .. }, Value::Number(n)) => Some(format!("write it in quotes: \"{n}\"")),
        (Shape::Text { .. }, Value::Flag(flag)) => Some(format!("write \"{flag}\"")),
        (Shape::Choice(words), Value::Text(text)) => mend_word(text, words.iter().map(String::as_str)),
        (Shape::Variants { words, tagged }, Value::Text(text)) => {
            let near = mend_word(text, words.iter().chain(tagged.keys()).map(String::as_str));
            near.or_else(|| tagged.keys().next().map(|key| format!("write {key}: ...")))
        }
        (Shape::Whole { .. }, Value::Text(text)) => mend_number(text),
        (Shape::Flag, Value::Text(text)) => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write true".to_owned()),
            "no" | "off" | "n" | "false" => Some("write false".to_owned()),
            _ => None,
        },
        (Shape::List { .. }, Value::Text(text)) => Some(format!("write [{}]", shortened(text))),
        (Shape::Names { .. }, Value::List(items)) if items.is_empty() => {
            Some("write {} or remove it".to_owned())
        }
        (Shape::Names { .. }, Value::List(_)) => Some("write `name:` in place of each dash".to_owned()),
        _ => None,
    }
}

fn mend_word<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(&text.to_lowercase(), words).map(|near| format!("did you mean `{near}`?"))
}

fn mend_number(text: &str) -> Option<String> {
    const WORDS: [&str; 11] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    if let Some(n) = WORDS.iter().position(|word| *word == text.to_lowercase()) {
        return Some(format!("write {n}"));
    }
    text.parse::<u32>().ok().map(|n| format!("write {n} without quotes"))
}

fn mend_bytes(text: &str) -> String {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim().to_uppercase();
    let good = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() < 10;
    match (good, unit.chars().next()) {
        (true, Some(unit @ ('K' | 'M' | 'G' | 'T'))) => format!("did you mean {digits}{unit}iB?"),
        (true, None) => format!("add a unit: {digits}GiB"),
        _ => "write a whole number and KiB, MiB, GiB or TiB".to_owned(),
    }
}

/// How names are written, and what this one could become.
pub(super) fn name_help(text: &str) -> String {
    let mut name = String::new();
    for c in text.to_lowercase().chars().take(63) {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        if c != '-' || (!name.is_empty() && !name.ends_with('-')) {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('-');
    let rule = "a name has lower-case letters, digits and dashes, at most 63, and starts with no dash";
    if name.is_empty() { rule.to_owned() } else { format!("write `{name}`: {rule}") }
}

/// How a missing key is written.
pub(super) fn example(key: &str, shape: &Shape) -> String {
    let value = match (key, shape) {
        ("ideal", _) => "1",
        ("on", _) => "shop.web",
        ("command" | "run", _) => "[./program, argument]",
        ("at", _) => "/data",
        (_, Shape::Known(Known::Bytes)) => "20GiB",
        (_, Shape::Known(Known::Span)) => "30s",
        _ => "...",
    };
    format!("add `{key}: {value}`")
}
