//! The JSON Schema of the domain types, turned once into something that can be walked fast. It reads the few
//! keywords that schemars writes for types without `flatten` and `untagged`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value as Json};

/// A shape in [`Shapes`].
pub(super) type Id = usize;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Any,
    Text {
        may_be_empty: bool,
    },
    /// A text that one of the domain types reads.
    Known(Known),
    Choice(Vec<String>),
    Whole {
        least: i128,
        most: i128,
    },
    Number {
        least: f64,
        most: f64,
    },
    Flag,
    List {
        item: Id,
        least: usize,
    },
    /// A mapping with keys of one's own choice.
    Names {
        value: Id,
        any_key: bool,
        /// Whether there is exactly one.
        one: bool,
    },
    /// A mapping with known keys; of each, whether it must be there.
    Fields(BTreeMap<String, (Id, bool)>),
    /// A word, or a mapping with exactly one of these keys.
    Variants {
        words: Vec<String>,
        tagged: BTreeMap<String, Id>,
    },
    AnyOf(Vec<Id>),
    /// May also be left empty.
    Nullable(Id),
}

/// Texts that a domain type reads: its own reader is the check, so the two cannot disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Name,
    Span,
    Bytes,
    CloudPath,
    Address,
    /// One that is no number.
    Port,
    /// `2..10`.
    Nodes,
    Uuid,
}

/// The shape of a document and all that it consists of.
#[derive(Debug)]
pub(super) struct Shapes {
    list: Vec<Shape>,
    pub(super) root: Id,
}

impl Shapes {
    pub(super) fn get(&self, id: Id) -> &Shape {
        &self.list[id]
    }
    /// The shapes of the ideal file.
    pub(super) fn of_document() -> &'static Shapes {
        static SHAPES: OnceLock<Shapes> = OnceLock::new();
        SHAPES.get_or_init(|| Shapes::of(&crate::schema::schema()))
    }
    /// The shapes of a recipe's document.
    pub(super) fn of_recipe() -> &'static Shapes {
        static SHAPES: OnceLock<Shapes> = OnceLock::new();
        SHAPES.get_or_init(|| Shapes::of(&crate::schema::recipe_schema()))
    }
    fn of(schema: &Json) -> Shapes {
        let mut compile = Compile { schema, list: Vec::new(), names: BTreeMap::new() };
        let root = compile.shape(schema);
        Shapes { list: compile.list, root }
    }
}

struct Compile<'s> {
    schema: &'s Json,
    list: Vec<Shape>,
    /// Definitions that have an id already, perhaps before they have a shape: clouds hold clouds.
    names: BTreeMap<&'s str, Id>,
}

impl<'s> Compile<'s> {
    fn add(&mut self, shape: Shape) -> Id {
        self.list.push(shape);
        self.list.len() - 1
    }

    fn shape(&mut self, schema: &'s Json) -> Id {
        let Some(schema) = schema.as_object() else { return self.add(Shape::Any) };
        if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            return self.definition(name.trim_start_matches("#/$defs/"));
        }
        let shape = self.inline(schema);
        self.add(shape)
    }

    fn definition(&mut self, name: &'s str) -> Id {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.add(Shape::Any);
        self.names.insert(name, id);
        let known = match name {
            "Name" => Some(Known::Name),
            "Span" => Some(Known::Span),
            "Bytes" => Some(Known::Bytes),
            "CloudPath" => Some(Known::CloudPath),
            "Address" => Some(Known::Address),
            "CloudId" => Some(Known::Uuid),
            _ => None,
        };
        let definition = self.schema.get("$defs").and_then(|all| all.get(name)).and_then(Json::as_object);
        let shape = match (known, definition) {
            (Some(known), _) => Shape::Known(known),
            (None, _) if name == "Port" => {
                let number = self.add(Shape::Whole { least: 1, most: u16::MAX.into() });
                let text = self.add(Shape::Known(Known::Port));
                Shape::AnyOf(vec![number, text])
            }
            (None, _) if name == "Nodes" => {
                let number = self.add(Shape::Whole { least: 0, most: u32::MAX.into() });
                let text = self.add(Shape::Known(Known::Nodes));
                Shape::AnyOf(vec![number, text])
            }
            (None, Some(definition)) => self.inline(definition),
            (None, None) => Shape::Any,
        };
        self.list[id] = shape;
        id
    }

    fn inline(&mut self, schema: &'s Map<String, Json>) -> Shape {
        if let Some(all) = schema.get("oneOf").and_then(Json::as_array) {
            return self.variants(all);
        }
        if let Some(all) = schema.get("anyOf").and_then(Json::as_array) {
            let is_null = |one: &&Json| one.get("type").and_then(Json::as_str) == Some("null");
            let ids: Vec<Id> = all.iter().filter(|one| !is_null(one)).map(|one| self.shape(one)).collect();
            let nullable = ids.len() < all.len();
            return match (nullable, &ids[..]) {
                (true, [only]) => Shape::Nullable(*only),
                (true, _) => {
                    let any = self.add(Shape::AnyOf(ids));
                    Shape::Nullable(any)
                }
                (false, _) => Shape::AnyOf(ids),
            };
        }
        if let Some(words) = words(schema) {
            return Shape::Choice(words);
        }
        match schema.get("type") {
            Some(Json::String(kind)) => self.typed(kind, schema),
            Some(Json::Array(kinds)) => {
                let kind = kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or("");
                let shape = self.typed(kind, schema);
                Shape::Nullable(self.add(shape))
            }
            _ => Shape::Any,
        }
    }

    fn typed(&mut self, kind: &str, schema: &'s Map<String, Json>) -> Shape {
        let number = |key: &str| schema.get(key).and_then(Json::as_i64).map(i128::from);
        match kind {
            "string" => Shape::Text { may_be_empty: number("minLength").unwrap_or(0) == 0 },
            "boolean" => Shape::Flag,
            "number" => {
                let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
                Shape::Number {
                    least: bound("minimum").unwrap_or(f64::NEG_INFINITY),
                    most: bound("maximum").unwrap_or(f64::INFINITY),
                }
            }
            "integer" => {
                let (least, most) = match schema.get("format").and_then(Json::as_str) {
                    Some("uint8") => (0, u8::MAX.into()),
                    Some("uint16") => (0, u16::MAX.into()),
                    Some("uint32") => (0, u32::MAX.into()),
                    Some("int32") => (i32::MIN.into(), i32::MAX.into()),
                    Some("uint64") => (0, u64::MAX.into()),
                    _ => (i64::MIN.into(), i64::MAX.into()),
                };
                Shape::Whole {
                    least: number("minimum").unwrap_or(least),
                    most: number("maximum").unwrap_or(most),
                }
            }
            "array" => {
                let item = schema.get("items").map(|items| self.shape(items));
                let item = item.unwrap_or_else(|| self.add(Shape::Any));
                Shape::List { item, least: usize::try_from(number("minItems").unwrap_or(0)).unwrap_or(0) }
            }
            "object" => self.mapping(schema),
            _ => Shape::Any,
        }
    }

    fn mapping(&mut self, schema: &'s Map<String, Json>) -> Shape {
        if let Some(fields) = schema.get("properties").and_then(Json::as_object) {
            let required = schema.get("required").and_then(Json::as_array);
            let must =
                |key: &str| required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(key)));
            let fields = fields.iter().map(|(key, field)| (key.clone(), (self.shape(field), must(key))));
            return Shape::Fields(fields.collect());
        }
        if let Some(patterns) = schema.get("patternProperties").and_then(Json::as_object)
            && let Some(value) = patterns.values().next()
        {
            // The only pattern of keys is that of names; a test sees to it.
            let one = schema.get("maxProperties").and_then(Json::as_u64) == Some(1);
            return Shape::Names { value: self.shape(value), any_key: false, one };
        }
        match schema.get("additionalProperties") {
            Some(value) if value.is_object() => {
                Shape::Names { value: self.shape(value), any_key: true, one: false }
            }
            _ => Shape::Names { value: self.add(Shape::Any), any_key: true, one: false },
        }
    }

    /// An enum: words alone, or words and mappings with one key.
    fn variants(&mut self, all: &'s [Json]) -> Shape {
        let mut text = Vec::new();
        let mut tagged = BTreeMap::new();
        for one in all.iter().filter_map(Json::as_object) {
            if let Some(some) = words(one) {
                text.extend(some);
            } else if let Some(fields) = one.get("properties").and_then(Json::as_object) {
                for (key, content) in fields {
                    let id = self.shape(content);
                    tagged.insert(key.clone(), id);
                }
            }
        }
        if tagged.is_empty() { Shape::Choice(text) } else { Shape::Variants { words: text, tagged } }
    }
}

fn words(schema: &Map<String, Json>) -> Option<Vec<String>> {
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![word.to_owned()]);
    }
    let all = schema.get("enum")?.as_array()?;
    all.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns<'a>(schema: &'a Json, found: &mut Vec<(&'a str, &'a Json)>) {
        match schema {
            Json::Object(map) => {
                found.extend(map.get("pattern").map(|pattern| ("pattern", pattern)));
                found.extend(map.get("patternProperties").map(|all| ("keys", all)));
                map.values().for_each(|value| patterns(value, found));
            }
            Json::Array(all) => all.iter().for_each(|value| patterns(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_the_schema_is_a_text_that_we_know() {
        let schema = crate::schema::schema();
        let mut found = Vec::new();
        patterns(&schema, &mut found);
        let known = ["Name", "Span", "Bytes", "CloudPath", "Address"];
        let mut known: Vec<&str> =
            known.iter().filter_map(|name| schema["$defs"][name]["pattern"].as_str()).collect();
        for either in ["Port", "Nodes"] {
            known.extend(schema["$defs"][either]["anyOf"][1]["pattern"].as_str());
        }
        assert_eq!(known.len(), 7);
        for (kind, pattern) in found {
            match kind {
                "keys" => assert_eq!(pattern.as_object().unwrap().keys().collect::<Vec<_>>(), [known[0]]),
                _ => assert!(known.contains(&pattern.as_str().unwrap()), "{pattern}"),
            }
        }
    }
}
