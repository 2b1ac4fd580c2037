//! How many nodes a cloud has: a number, or from one to another.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many nodes a cloud has: a number, or `2..10` for at least two, and as many up to ten as its replicas need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// So many it always has.
    pub least: u32,
    /// It never has more.
    pub most: u32,
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.least == self.most {
            true => write!(f, "{}", self.least),
            false => write!(f, "{}..{}", self.least, self.most),
        }
    }
}

impl Serialize for Nodes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.least == self.most {
            true => to.serialize_u32(self.least),
            false => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Nodes, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Nodes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of nodes, or from one to another such as 2..10")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Nodes, E> {
                let number = u32::try_from(number)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
                Ok(Nodes { least: number, most: number })
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Nodes, E> {
                let number =
                    u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
                self.visit_u64(number)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Nodes, E> {
                let ends = text.split_once("..").and_then(|(least, most)| {
                    Some(Nodes { least: least.trim().parse().ok()?, most: most.trim().parse().ok()? })
                });
                let good = ends.filter(|nodes| nodes.least <= nodes.most);
                good.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        from.deserialize_any(Reader)
    }
}

impl JsonSchema for Nodes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Nodes".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number of nodes, or from one to another such as 2..10.",
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 4_294_967_295u32},
                {"type": "string", "pattern": "^[0-9]{1,9}[.][.][0-9]{1,9}$"},
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_from_one_to_another() {
        let read = |text: &str| serde_json::from_str::<Nodes>(text);
        assert_eq!(read("3").unwrap(), Nodes { least: 3, most: 3 });
        assert_eq!(read("\"2..10\"").unwrap(), Nodes { least: 2, most: 10 });
        for text in ["3", "\"2..10\""] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        for wrong in ["-1", "\"10..2\"", "\"2..\"", "\"a\"", "5000000000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
