//! The content of the sources as a tree with positions. It knows nothing of YAML and nothing of what the keys
//! mean.

use std::ops::Range;

use ideal_core::path::{DocPath, Part};

/// Bytes of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Extent {
    /// Which source, in the order of reading.
    pub(crate) source: u32,
    /// The first byte.
    pub(crate) start: u32,
    /// One past the last byte.
    pub(crate) end: u32,
}

impl Extent {
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Extent,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    /// Was reported already; nothing more is to be said of it.
    Broken,
    Flag(bool),
    /// Within what `i64` and `u64` hold together; the reader refuses the others.
    Whole(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Extent,
    pub(crate) value: Node,
}

impl Node {
    /// The value under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }
    /// The value under a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Map(entries) => {
                entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
            }
            _ => None,
        }
    }
    /// The entry of a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }
    /// The entries of a mapping; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
    /// The nearest thing that exists on the way to `path`: the extent of its key, if it has one, and of its
    /// value, and whether that is the very thing.
    pub(crate) fn find(&self, path: &DocPath) -> Place {
        let mut place = Place { key: None, value: self.at, exact: true };
        let mut here = self;
        for part in &path.0 {
            let next = match part {
                Part::Key(key) => here.entry(key).map(|entry| (Some(entry.key_at), &entry.value)),
                Part::Index(index) => here.items().get(*index).map(|item| (None, item)),
            };
            let Some((key, value)) = next else {
                place.exact = false;
                break;
            };
            place.key = key.or(place.key);
            place.value = value.at;
            here = value;
        }
        place
    }
    /// The same as plain data.
    pub(crate) fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Broken => serde_json::Value::Null,
            Value::Flag(flag) => (*flag).into(),
            Value::Whole(whole) => match (i64::try_from(*whole), u64::try_from(*whole)) {
                (Ok(whole), _) => whole.into(),
                (_, Ok(whole)) => whole.into(),
                _ => serde_json::Value::Null,
            },
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.clone(), entry.value.json()));
                serde_json::Value::Object(entries.collect())
            }
        }
    }
    /// Plain data as nodes that all stand at one place: what an expression came to stands where it was written.
    pub(crate) fn of_json(json: serde_json::Value, at: Extent) -> Node {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Flag(flag),
            serde_json::Value::Number(number) => match number.as_i128() {
                Some(whole) => Value::Whole(whole),
                None => Value::Number(number.as_f64().unwrap_or_default()),
            },
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(items) => {
                Value::List(items.into_iter().map(|item| Node::of_json(item, at)).collect())
            }
            serde_json::Value::Object(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry { key, key_at: at, value: Node::of_json(value, at) })
                    .collect(),
            ),
        };
        Node { at, value }
    }
}

/// Where a path leads in a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) key: Option<Extent>,
    pub(crate) value: Extent,
    pub(crate) exact: bool,
}
