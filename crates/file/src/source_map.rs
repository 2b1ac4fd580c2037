//! From paths of a document to places in the files that people wrote.

use std::collections::BTreeMap;
use std::ops::Range;

use ideal_core::diagnostic::{Diagnostic, Points};
use ideal_core::path::{DocPath, Part};
use ideal_core::recipe::recipe_of_place;

use crate::tree::{Extent, Node, Value};

/// The texts that one ideal was read from, and where in them each value stands.
#[derive(Debug)]
pub struct SourceMap {
    pub(crate) sources: Vec<Source>,
    pub(crate) tree: Node,
    /// The documents of recipes, by name.
    pub(crate) recipes: BTreeMap<String, Node>,
}

/// One text.
#[derive(Debug)]
pub struct Source {
    /// Its name, as the caller gave it.
    pub name: String,
    /// What is in it, without byte order mark.
    pub text: String,
    starts: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: String, text: String) -> Source {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { name, text, starts }
    }
    /// Counted from 1: the line of a byte, and the column in characters.
    pub fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let byte = byte.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let start = self.starts[line - 1];
        let column = self.text.get(start..byte).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }
    /// A line, counted from 1, without its end.
    pub fn line(&self, line: usize) -> &str {
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(self.text.len());
        self.text[start..].lines().next().unwrap_or("")
    }
}

/// A place in a text, within one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Which source, for [`SourceMap::source`].
    pub source: usize,
    /// The bytes.
    pub bytes: Range<usize>,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// In characters, at least 1.
    pub length: usize,
}

/// A diagnostic with the place that it points at.
#[derive(Clone, Debug)]
pub struct Located {
    /// What is wrong.
    pub diagnostic: Diagnostic,
    /// Where; nothing when there is no text at all.
    pub spot: Option<Spot>,
    /// Other places that matter.
    pub related: Vec<(Spot, String)>,
}

impl SourceMap {
    pub(crate) fn empty() -> SourceMap {
        SourceMap {
            sources: Vec::new(),
            tree: Node { at: Extent::default(), value: Value::Null },
            recipes: BTreeMap::new(),
        }
    }
    /// The document that a path leads into, and the path in it.
    fn document_of(&self, path: &DocPath) -> (&Node, DocPath) {
        if let Some((Part::Key(first), rest)) = path.0.split_first()
            && let Some(recipe) = recipe_of_place(first).and_then(|name| self.recipes.get(name))
        {
            return (recipe, DocPath(rest.to_vec()));
        }
        (&self.tree, path.clone())
    }
    /// The sources, the main file first.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }
    /// The source of a spot.
    pub fn source(&self, spot: &Spot) -> &Source {
        &self.sources[spot.source]
    }
    /// The text that a spot points at.
    pub fn text(&self, spot: &Spot) -> &str {
        self.source(spot).text.get(spot.bytes.clone()).unwrap_or("")
    }
    /// Where a path stands. What is not there (a missing key) is placed at the nearest thing above it.
    pub fn locate(&self, path: &DocPath, points: Points) -> Option<Spot> {
        let (document, path) = self.document_of(path);
        let place = document.find(&path);
        let at_key = points == Points::Key || !place.exact || place.value.start == place.value.end;
        let extent = if at_key { place.key.unwrap_or(place.value) } else { place.value };
        self.spot(extent)
    }
    /// A diagnostic with its places.
    pub fn locate_diagnostic(&self, diagnostic: Diagnostic) -> Located {
        let spot = self.locate(&diagnostic.path, diagnostic.points);
        let related = diagnostic.related.iter();
        let related =
            related.filter_map(|(path, why)| Some((self.locate(path, Points::Value)?, why.clone())));
        Located { spot, related: related.collect(), diagnostic }
    }
    /// An extent, cut to its first line.
    pub(crate) fn spot(&self, extent: Extent) -> Option<Spot> {
        let source = self.sources.get(extent.source as usize)?;
        let range = extent.range();
        let start = floor(&source.text, range.start);
        let end = floor(&source.text, range.end).max(start);
        let text = &source.text[start..end];
        let text = text.lines().next().unwrap_or("").trim_end();
        let (line, column) = source.line_and_column(start);
        let length = text.chars().count().max(1);
        Some(Spot { source: extent.source as usize, bytes: start..start + text.len(), line, column, length })
    }
}

/// The beginning of the character that a byte belongs to.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}
