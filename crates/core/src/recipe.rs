//! Stand-in until the real one is merged.
use std::collections::{BTreeMap, BTreeSet};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use crate::id::Name;
use crate::resource::Declaration;
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef { pub hash: String, pub size: u64 }
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    pub recipe: Name,
    pub options: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<usize>,
    pub resources: Vec<Declaration>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileRef>,
    #[serde(default)]
    pub reads_clouds: bool,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<Name>,
}
