//! How people name a part: `shop`, `shop.web`, `shop.web[2]`, `shop.web[2]:data`, `pub[0]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::Name;

/// The dotted path of a cloud: `shop.web`. Names may change; identity is the uuid.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CloudPath(pub Vec<Name>);

impl CloudPath {
    /// Whether `self` is `other` or lies below it.
    pub fn is_within(&self, other: &CloudPath) -> bool {
        self.0.starts_with(&other.0)
    }
}
impl fmt::Display for CloudPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(name.as_str())?;
        }
        Ok(())
    }
}
impl FromStr for CloudPath {
    type Err = NotAnAddress;
    fn from_str(text: &str) -> Result<CloudPath, NotAnAddress> {
        let names = text.split('.').map(Name::new).collect::<Result<Vec<_>, _>>();
        names.map(CloudPath).map_err(|_| NotAnAddress(text.to_owned()))
    }
}

/// A cloud or service, one slot or replica of it, or one mount of that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// The cloud (or, a single name, the service).
    pub path: CloudPath,
    /// Which slot or replica.
    pub index: Option<u32>,
    /// Which mount of it.
    pub mount: Option<Name>,
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address; write shop, shop.web, shop.web[2] or shop.web[2]:data")]
pub struct NotAnAddress(pub String);

impl FromStr for Address {
    type Err = NotAnAddress;
    fn from_str(text: &str) -> Result<Address, NotAnAddress> {
        let bad = || NotAnAddress(text.to_owned());
        let (rest, mount) = match text.split_once(':') {
            Some((rest, mount)) => (rest, Some(Name::new(mount).map_err(|_| bad())?)),
            None => (text, None),
        };
        let (path, index) = match rest.split_once('[') {
            Some((path, tail)) => {
                let digits = tail.strip_suffix(']').ok_or_else(bad)?;
                (path, Some(digits.parse().map_err(|_| bad())?))
            }
            None => (rest, None),
        };
        if mount.is_some() && index.is_none() {
            return Err(bad());
        }
        let path = path.parse().map_err(|_| bad())?;
        Ok(Address { path, index, mount })
    }
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        if let Some(mount) = &self.mount {
            write!(f, ":{mount}")?;
        }
        Ok(())
    }
}

macro_rules! as_text {
    ($($name:ident $pattern:literal),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    )*};
}
as_text!(
    CloudPath r"^[a-z0-9][a-z0-9-]{0,62}(\.[a-z0-9][a-z0-9-]{0,62})*$",
    Address r"^[a-z0-9][a-z0-9-]{0,62}(\.[a-z0-9][a-z0-9-]{0,62})*(\[[0-9]{1,9}\](:[a-z0-9][a-z0-9-]{0,62})?)?$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print() {
        for text in ["shop", "shop.web", "shop.web[2]", "shop.web[2]:data", "pub[0]"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            ".",
            "shop.",
            "Shop",
            "shop[",
            "shop[]",
            "shop[-1]",
            "shop[1",
            "shop:data",
            "shop[1]:",
            "a b",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
