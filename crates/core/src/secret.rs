//! Secrets: where they come from, and the type that carries one without ever showing it.
//!
//! An ideal knows names and revisions of secrets only. Values are read at the edge, travel in orders to agents, and
//! reach files and processes; nothing prints, stores or compares them in the open.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;

/// Where a secret comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// The encrypted file `secrets.age` beside the ideal file: `ideal secret set NAME` writes it.
    #[default]
    Age,
    /// This variable of the environment of `ideal`.
    Env(String),
    /// This file, as seen from the ideal file's folder. A line end at its end is left out.
    File(String),
}

/// A value that is never shown. Its memory is overwritten when it is let go.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret of this value.
    pub fn new(value: String) -> Secret {
        Secret(value)
    }
    /// The value itself. Whoever asks for it answers for where it goes.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Secrets by name.
pub type Secrets = BTreeMap<Name, Secret>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_shown() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
        // On the wire it is its value: the agent needs it.
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"hunter2\"");
    }
}
