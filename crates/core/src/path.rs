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

/// A place on the way down a document, without allocation: a check walks with it over thousands of values and
/// makes a [`DocPath`] only for those that it has something to say about.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    up: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    /// The document itself.
    pub const ROOT: Place<'static> = Place { up: None, step: Step::Root };

    /// The value under `key`.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Place<'a> {
        Place { up: Some(self), step: Step::Key(key) }
    }
    /// The item at `index`.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Place<'a> {
        Place { up: Some(self), step: Step::Index(index) }
    }
    /// The same as something to keep.
    pub fn path(&self) -> DocPath {
        let mut parts = Vec::new();
        let mut here = Some(self);
        while let Some(place) = here {
            match place.step {
                Step::Root => {}
                Step::Key(key) => parts.push(Part::Key(key.to_owned())),
                Step::Index(index) => parts.push(Part::Index(index)),
            }
            here = place.up;
        }
        parts.reverse();
        DocPath(parts)
    }
}
