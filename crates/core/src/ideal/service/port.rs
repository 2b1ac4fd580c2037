//! Ports of a service, and shares of a processor.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A port of a service, as its node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// This one; in a container the same one.
    Fixed(u16),
    /// A free one, chosen on the node and kept; in a container the same one.
    Auto,
    /// In the container this one, on the node another.
    Mapped {
        /// What the program in the container listens on.
        inside: u16,
        /// What the node has; none: a free one, chosen and kept.
        node: Option<u16>,
    },
}

impl Port {
    /// The number on the node, where the file says it.
    pub fn fixed(self) -> Option<u16> {
        match self {
            Port::Fixed(number) => Some(number),
            Port::Auto => None,
            Port::Mapped { node, .. } => node,
        }
    }
    /// The number in the container, given the one on the node.
    pub fn inside(self, node: u16) -> u16 {
        match self {
            Port::Mapped { inside, .. } => inside,
            _ => node,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Fixed(number) => number.fmt(f),
            Port::Auto => f.write_str("auto"),
            Port::Mapped { inside, node: Some(node) } => write!(f, "{node}:{inside}"),
            Port::Mapped { inside, node: None } => write!(f, "auto:{inside}"),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Port::Fixed(number) => to.serialize_u16(*number),
            other => to.serialize_str(&other.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Port, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Port;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 1 to 65535, auto, or NODE:CONTAINER such as 8080:80 or auto:80")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Port, E> {
                match u16::try_from(number) {
                    Ok(port) if port > 0 => Ok(Port::Fixed(port)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
                let number =
                    u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
                self.visit_u64(number)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
                if text == "auto" {
                    return Ok(Port::Auto);
                }
                let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
                let mapped = text.split_once(':').and_then(|(node, inside)| {
                    let inside = number(inside)?;
                    let node = if node == "auto" { None } else { Some(number(node)?) };
                    Some(Port::Mapped { inside, node })
                });
                mapped.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        from.deserialize_any(Reader)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A port from 1 to 65535, auto, or NODE:CONTAINER such as 8080:80 or auto:80.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": "^(auto|(auto|[0-9]{1,5}):[0-9]{1,5})$"},
            ],
        })
    }
}

/// A share of a machine's processors, in thousandths of one: the file writes `0.5` or `2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(pub u64);

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1000 {
            0 => write!(f, "{}", self.0 / 1000),
            rest => write!(f, "{}.{}", self.0 / 1000, format!("{rest:03}").trim_end_matches('0')),
        }
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 % 1000 {
            0 => to.serialize_u64(self.0 / 1000),
            _ => to.serialize_f64(self.0 as f64 / 1000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Cpus, D::Error> {
        const MOST: f64 = 4096.0;
        let number = f64::deserialize(from)?;
        let thousandths = (number * 1000.0).round();
        if !(1.0..=MOST * 1000.0).contains(&thousandths) {
            let wanted = "a number of processors from 0.001 to 4096";
            return Err(de::Error::invalid_value(Unexpected::Float(number), &wanted));
        }
        Ok(Cpus(thousandths as u64))
    }
}

impl JsonSchema for Cpus {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cpus".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number of processors: 0.5 is half of one.",
            "type": "number", "minimum": 0.001, "maximum": 4096,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_written_as_it_is_read() {
        for text in ["8080", "\"auto\"", "\"8080:80\"", "\"auto:80\""] {
            let port: Port = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&port).unwrap(), text);
        }
        for text in ["0", "70000", "\"80:\"", "\"a:80\"", "\"0:80\""] {
            assert!(serde_json::from_str::<Port>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_written_as_they_are_read() {
        for (text, thousandths) in [("2", 2000), ("0.5", 500), ("1.25", 1250)] {
            let cpus: Cpus = serde_json::from_str(text).unwrap();
            assert_eq!(cpus, Cpus(thousandths));
            assert_eq!((serde_json::to_string(&cpus).unwrap(), cpus.to_string()), (text.into(), text.into()));
        }
        assert!(serde_json::from_str::<Cpus>("0").is_err());
    }
}
