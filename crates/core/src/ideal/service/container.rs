//! What only a container has: its image, and what it may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// When the engine does not have it.
    #[default]
    Missing,
    /// Before each container that is made; when that fails, the one that the engine has is used.
    Always,
    /// Never: the engine must have it.
    Never,
}

/// Who asks a registry for an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The name of an account.
    pub user: String,
    /// Its password: an expression such as `{{ secret.registry }}`.
    pub password: String,
}

/// What a container may do beyond an ordinary program. It is never privileged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Taken away, by name without `CAP_`; `ALL` takes all.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Given, by name without `CAP_`.
    #[serde(default)]
    pub add: Vec<String>,
}
