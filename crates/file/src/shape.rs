//! The shape of a document: known keys, types, ranges. Every problem of the whole tree at once, each at its
//! place, in words for people who never heard of a schema.

mod compile;
mod words;

use std::collections::BTreeMap;

use ideal_core::address::{Address, CloudPath};
use ideal_core::diagnostic::Diagnostic;
use ideal_core::id::{CloudId, Name};
use ideal_core::ideal::Nodes;
use ideal_core::ideal::service::Port;
use ideal_core::path::Place;
use ideal_core::time::{Bytes, Span};
use ideal_core::validate::{MOST_PROBLEMS, nearest};

use crate::shape::compile::{Id, Known, Shape, Shapes};
use crate::tree::{Entry, Extent, Node, Value};
use crate::yaml::shortened;

/// A problem of shape and the bytes that it points at.
pub(crate) type Found = (Diagnostic, Extent);

/// All that is wrong with the shape of a document.
pub(crate) fn check(root: &Node, found: &mut Vec<Found>) {
    walk(Shapes::of_document(), root, &Place::ROOT, found);
}

/// All that is wrong with the shape of a recipe's document; `place` is that of the recipe.
pub(crate) fn check_recipe(root: &Node, place: &Place<'_>, found: &mut Vec<Found>) {
    walk(Shapes::of_recipe(), root, place, found);
}

fn walk(shapes: &'static Shapes, root: &Node, place: &Place<'_>, found: &mut Vec<Found>) {
    let mut walk = Walk { shapes, found, full: false };
    let whole = Node { at: root.at, value: Value::Map(Vec::new()) };
    // An empty file is a document without keys: what it lacks is what there is to say.
    let node = if matches!(root.value, Value::Null) { &whole } else { root };
    walk.value(shapes.root, node, place, None, "the file");
}

struct Walk<'a> {
    shapes: &'static Shapes,
    found: &'a mut Vec<Found>,
    full: bool,
}

impl Walk<'_> {
    fn report(&mut self, diagnostic: Diagnostic, at: Extent) {
        if self.full {
            return;
        }
        self.found.push((diagnostic, at));
        self.full = self.found.len() > MOST_PROBLEMS;
    }

    /// `key_at`: where the key of this value stands, if it has one; `name`: what to call it.
    fn value(&mut self, id: Id, node: &Node, place: &Place<'_>, key_at: Option<Extent>, name: &str) {
        if matches!(node.value, Value::Broken) || self.full {
            return;
        }
        let at = if node.at.start == node.at.end { key_at.unwrap_or(node.at) } else { node.at };
        match (self.shapes.get(id), &node.value) {
            (Shape::Any, _) | (Shape::Nullable(_), Value::Null) => {}
            (Shape::Nullable(inner), _) => self.value(*inner, node, place, key_at, name),
            (Shape::AnyOf(all), _) => match all.iter().find(|one| self.fits_kind(**one, node)) {
                Some(one) if matches!(node.value, Value::List(_) | Value::Map(_)) => {
                    self.value(*one, node, place, key_at, name);
                }
                Some(one) if self.leaf_problem(*one, node).is_none() => {}
                _ => self.wrong(id, node, place, at, name),
            },
            (Shape::List { item, least }, Value::List(items)) => {
                if items.len() < *least {
                    let message = format!("the list `{name}` is empty");
                    self.report(Diagnostic::error("ideal/bad-value", place.path(), message), at);
                }
                for (i, one) in items.iter().enumerate() {
                    if self.full {
                        return;
                    }
                    self.value(*item, one, &place.index(i), None, name);
                }
            }
            (Shape::Names { value, any_key, one }, Value::Map(entries)) => {
                if *one && entries.len() != 1 {
                    self.not_one(entries, place, at, name);
                }
                for entry in entries {
                    if self.full {
                        return;
                    }
                    let here = place.key(&entry.key);
                    if !any_key && Name::new(&entry.key).is_err() {
                        let message = format!("`{}` cannot be a name", shortened(&entry.key));
                        let bad = Diagnostic::error("ideal/bad-name", here.path(), message).at_key();
                        self.report(bad.help(words::name_help(&entry.key)), entry.key_at);
                    }
                    self.value(*value, &entry.value, &here, Some(entry.key_at), &entry.key);
                }
            }
            (Shape::Fields(fields), Value::Map(entries)) => {
                self.fields(fields, entries, at, place, key_at, name)
            }
            (Shape::Variants { tagged, .. }, Value::Map(entries)) => {
                self.variant(tagged, entries, id, place, at, name);
            }
            _ => {
                if self.leaf_problem(id, node).is_some() {
                    self.wrong(id, node, place, at, name);
                }
            }
        }
    }

    fn fields(
        &mut self,
        fields: &'static BTreeMap<String, (Id, bool)>,
        entries: &[Entry],
        at: Extent,
        place: &Place<'_>,
        key_at: Option<Extent>,
        name: &str,
    ) {
        for entry in entries {
            if self.full {
                return;
            }
            let here = place.key(&entry.key);
            match fields.get(&entry.key) {
                Some((id, _)) => self.value(*id, &entry.value, &here, Some(entry.key_at), &entry.key),
                None => {
                    let message = format!("unknown key `{}` in {}", shortened(&entry.key), called(name));
                    let known = fields.keys().map(String::as_str);
                    let help = match nearest(&entry.key, known.clone()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("keys that can stand here: {}", known.collect::<Vec<_>>().join(", ")),
                    };
                    let unknown =
                        Diagnostic::error("ideal/unknown-key", here.path(), message).at_key().help(help);
                    self.report(unknown, entry.key_at);
                }
            }
        }
        for (key, _) in fields.iter().filter(|(_, (_, required))| *required) {
            if entries.iter().any(|entry| entry.key == *key) {
                continue;
            }
            // Pointing at the whole mapping would point at its first line, which is about something else.
            let at = key_at.unwrap_or(Extent { end: at.start, ..at });
            let missing = if key == "uuid" {
                let message = format!("{} has no `uuid`", called(name));
                let help = "run `ideal check --fix`: it writes a new one, which must then never change";
                Diagnostic::error("ideal/missing-uuid", place.path(), message).help(help)
            } else {
                let message = format!("`{key}` is missing in {}", called(name));
                let missing = Diagnostic::error("ideal/missing-key", place.path(), message);
                missing.help(words::example(key, self.shapes.get(fields[key].0)))
            };
            self.report(missing.at_key(), at);
        }
    }

    /// A mapping that has no key, or several, where one is wanted.
    fn not_one(&mut self, entries: &[Entry], place: &Place<'_>, at: Extent, name: &str) {
        match entries.get(1) {
            Some(second) => {
                let message = format!(
                    "`{}` cannot stand beside `{}`",
                    shortened(&second.key),
                    shortened(&entries[0].key)
                );
                let extra = Diagnostic::error("ideal/wrong-type", place.key(&second.key).path(), message);
                let help = "one item is one thing: write a second item, or indent what belongs to the first";
                self.report(extra.at_key().help(help), second.key_at);
            }
            None => {
                let message = format!("an item of {} is empty", called(name));
                self.report(Diagnostic::error("ideal/wrong-type", place.path(), message), at);
            }
        }
    }

    fn variant(
        &mut self,
        tagged: &'static BTreeMap<String, Id>,
        entries: &[Entry],
        id: Id,
        place: &Place<'_>,
        at: Extent,
        name: &str,
    ) {
        let mut known = 0;
        for entry in entries {
            if self.full {
                return;
            }
            let here = place.key(&entry.key);
            match tagged.get(&entry.key) {
                Some(content) => {
                    known += 1;
                    if known == 1 {
                        self.value(*content, &entry.value, &here, Some(entry.key_at), &entry.key);
                    } else {
                        let message = format!("`{}` cannot stand beside another choice", entry.key);
                        let extra = Diagnostic::error("ideal/wrong-type", here.path(), message).at_key();
                        self.report(extra.help("one item is one thing; write a second item"), entry.key_at);
                    }
                }
                None => {
                    let message = format!("unknown key `{}` in {}", shortened(&entry.key), called(name));
                    let names = tagged.keys().map(String::as_str);
                    let help = match nearest(&entry.key, names.clone()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None if known > 0 => {
                            format!("is it indented too little to belong to `{}`?", entries[0].key)
                        }
                        None => format!("one of these stands here: {}", names.collect::<Vec<_>>().join(", ")),
                    };
                    let unknown =
                        Diagnostic::error("ideal/unknown-key", here.path(), message).at_key().help(help);
                    self.report(unknown, entry.key_at);
                }
            }
        }
        if entries.is_empty() {
            let message = format!("{} wants {}", called(name), words::expected(self.shapes, id));
            self.report(Diagnostic::error("ideal/wrong-type", place.path(), message), at);
        }
    }

    fn wrong(&mut self, id: Id, node: &Node, place: &Place<'_>, at: Extent, name: &str) {
        let wanted = words::expected(self.shapes, id);
        // The right kind of thing with a wrong content, or another kind of thing.
        let slug = if self.fits_kind(id, node) { "ideal/bad-value" } else { "ideal/wrong-type" };
        let message = format!("{} wants {wanted}, found {}", called(name), words::found(node));
        let wrong = Diagnostic::error(slug, place.path(), message);
        let wrong = match words::mend(self.shapes, id, node) {
            Some(help) => wrong.help(help),
            None => wrong,
        };
        self.report(wrong, at);
    }

    /// Whether the value is the kind of thing that the shape wants, whatever its content.
    fn fits_kind(&self, id: Id, node: &Node) -> bool {
        match (self.shapes.get(id), &node.value) {
            (Shape::Nullable(inner), _) => self.fits_kind(*inner, node),
            (Shape::AnyOf(all), _) => all.iter().any(|one| self.fits_kind(*one, node)),
            (Shape::Any, _)
            | (Shape::Text { .. } | Shape::Known(_) | Shape::Choice(_), Value::Text(_))
            | (Shape::Whole { .. } | Shape::Number { .. }, Value::Whole(_))
            | (Shape::Number { .. }, Value::Number(_))
            | (Shape::Flag, Value::Flag(_))
            | (Shape::List { .. }, Value::List(_))
            | (Shape::Names { .. } | Shape::Fields(_) | Shape::Variants { .. }, Value::Map(_)) => true,
            (Shape::Variants { words, .. }, Value::Text(_)) => !words.is_empty(),
            _ => false,
        }
    }

    /// Whether a value without parts is not what the shape wants.
    fn leaf_problem(&self, id: Id, node: &Node) -> Option<()> {
        let good = match (self.shapes.get(id), &node.value) {
            (Shape::Nullable(inner), _) => return self.leaf_problem(*inner, node),
            (Shape::Any, _) => true,
            (Shape::Text { may_be_empty }, Value::Text(text)) => *may_be_empty || !text.is_empty(),
            (Shape::Known(known), Value::Text(text)) => reads(*known, text),
            (Shape::Choice(words) | Shape::Variants { words, .. }, Value::Text(text)) => words.contains(text),
            (Shape::Whole { least, most }, Value::Whole(whole)) => (least..=most).contains(&whole),
            (Shape::Number { least, most }, Value::Number(number)) => (least..=most).contains(&number),
            (Shape::Number { least, most }, Value::Whole(whole)) => {
                (least..=most).contains(&&(*whole as f64))
            }
            (Shape::Flag, Value::Flag(_)) => true,
            _ => false,
        };
        if good { None } else { Some(()) }
    }
}

/// Whether the domain type reads the text.
fn reads(known: Known, text: &str) -> bool {
    match known {
        Known::Name => Name::new(text).is_ok(),
        Known::Span => text.parse::<Span>().is_ok(),
        Known::Bytes => text.parse::<Bytes>().is_ok(),
        Known::CloudPath => text.parse::<CloudPath>().is_ok(),
        Known::Address => text.parse::<Address>().is_ok(),
        Known::Port => serde_json::from_value::<Port>(text.into()).is_ok(),
        Known::Nodes => serde_json::from_value::<Nodes>(text.into()).is_ok(),
        Known::Uuid => text.parse::<CloudId>().is_ok(),
    }
}

fn called(name: &str) -> String {
    if name == "the file" { name.to_owned() } else { format!("`{}`", shortened(name)) }
}

#[cfg(test)]
mod tests;
