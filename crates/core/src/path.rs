//! Where in an ideal file something was said. `core` knows paths only; `file` turns them into bytes, lines and
//! columns, the edges into pictures.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One step down a document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// Into a mapping.
    Key(String),
    /// Into a sequence.
    Index(usize),
}

/// A place in a document: `clouds.shop.mounts.data.at`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocPath(pub Vec<Part>);

impl DocPath {
    /// The document itself.
    pub fn root() -> DocPath {
        DocPath::default()
    }
    /// The value under `key`.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> DocPath {
        let mut parts = self.0.clone();
        parts.push(Part::Key(key.into()));
        DocPath(parts)
    }
    /// The item at `index`.
    #[must_use]
    pub fn index(&self, index: usize) -> DocPath {
        let mut parts = self.0.clone();
        parts.push(Part::Index(index));
        DocPath(parts)
    }
}
impl fmt::Display for DocPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            match part {
                Part::Key(key) if i == 0 => f.write_str(key)?,
                Part::Key(key) => write!(f, ".{key}")?,
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
