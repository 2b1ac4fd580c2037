//! Files of older systems, turned into an ideal file. Pure: bytes in, text out.
//!
//! What an ideal file cannot say is said as a remark, beside the place in the new text and with the line in the old one;
//! nothing is dropped silently. Of what a file says under a key that is not understood only the key is named: its value
//! may be a secret. Credentials are never carried over.
//!
//! The reading order: `outline`, what an older file means; `write`, its text; then one module for each format.

mod cloudera;
mod outline;
mod write;
mod wucluster;

use std::fmt;

use ideal_core::id::{CloudId, Name};

use crate::decode::decode;
use crate::source_map::Source;
use crate::tree::{Extent, Node, Value};
use crate::yaml::{self, shortened};
use outline::Outline;

/// Which older system a file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// The YAML of wucluster: `clusters`, by role and instance.
    Wucluster,
    /// The storage file of Cloudera's scripts, `ec2-storage-NAME.json`: the volumes of one cluster, by role and instance.
    /// The name is that of the cluster.
    Cloudera(Name),
}

/// What came of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The ideal file.
    pub text: String,
    /// What it does not say, in the order of the old file. Each stands in the text as a comment too.
    pub remarks: Vec<Remark>,
}

/// Something that could not be carried over, or has to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// The line in the old file, from 1; 0 when it is about the whole.
    pub line: usize,
    /// What, and what to do.
    pub text: String,
}

/// Why a file cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotImported {
    /// Where, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// One line.
    pub why: String,
    /// What would do instead, when that is known.
    pub help: Option<String>,
}

impl fmt::Display for NotImported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.why)
    }
}
impl std::error::Error for NotImported {}

/// Turns a file into an ideal file. `mint` makes a new uuid for each cloud of it.
///
/// # Errors
///
/// The file cannot be read, or is not of this format at all.
pub fn import(format: &Format, bytes: &[u8], mint: impl FnMut() -> CloudId) -> Result<Imported, NotImported> {
    let at = |source: &Source, at: Extent, why: String, help: Option<String>| {
        let (line, column) = source.line_and_column(at.range().start);
        NotImported { line, column, why: why.chars().map(crate::visible).collect(), help }
    };
    let text = decode(0, bytes).map_err(|refused| {
        let (shown, problem) = *refused;
        at(&Source::new(String::new(), shown), problem.at, problem.message, problem.help)
    })?;
    let source = Source::new(String::new(), text.to_owned());
    let (root, problems) = yaml::parse(0, text);
    if let Some(problem) = problems.into_iter().find(|problem| !problem.warning) {
        return Err(at(&source, problem.at, problem.message, problem.help));
    }
    let nothing = Node { at: Extent::default(), value: Value::Null };
    let root = root.unwrap_or(nothing);
    let old = Old { source: &source };
    let outline = match format {
        Format::Wucluster => wucluster::read(&root, &old),
        Format::Cloudera(name) => cloudera::read(&root, name, &old),
    };
    let outline: Outline =
        outline.map_err(|Wrong { at: place, why, help }| at(&source, place, why, Some(help)))?;
    Ok(write::write(&outline, mint))
}

/// Why a file is not of its format.
struct Wrong {
    at: Extent,
    why: String,
    help: String,
}

/// The old file.
struct Old<'a> {
    source: &'a Source,
}

impl Old<'_> {
    /// A remark on what stands somewhere.
    fn remark(&self, at: Extent, text: impl Into<String>) -> Remark {
        let (line, _) = self.source.line_and_column(at.range().start);
        let text: String = text.into();
        Remark { line, text: text.chars().map(crate::visible).collect() }
    }
    /// The text of a scalar, as it would be written; numbers too.
    fn text(&self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Whole(number) => Some(number.to_string()),
            _ => None,
        }
    }
    /// A scalar of which every character is expected, so that it can be written as it is; else a remark.
    fn word(
        &self,
        node: &Node,
        what: &str,
        good: impl Fn(&str) -> bool,
        remarks: &mut Vec<Remark>,
    ) -> Option<String> {
        match self.text(node) {
            Some(text) if good(&text) => Some(text),
            Some(text) => {
                remarks.push(self.remark(node.at, format!("`{}` is {what}", shortened(&text))));
                None
            }
            None if matches!(node.value, Value::Null) => None,
            None => {
                remarks.push(self.remark(node.at, format!("this is {what}")));
                None
            }
        }
    }
}

/// A name for what an older system called `text`, which may have had capitals and underscores.
fn name_of(text: &str) -> Option<Name> {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
        _ => '-',
    };
    let name: String = text.chars().map(plain).collect();
    let name: String = name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    Name::new(name.get(..63).unwrap_or(&name)).ok()
}

/// The same name, or one like it that is not taken yet. It is taken then.
fn untaken(name: Name, taken: &mut Vec<Name>) -> Name {
    let others = (2..).filter_map(|number| Name::new(&format!("{name}-{number}")).ok());
    let free = std::iter::once(name.clone()).chain(others).find(|name| !taken.contains(name));
    let free = free.unwrap_or(name);
    taken.push(free.clone());
    free
}

/// Whether a text is an id of EC2 that begins so.
fn is_id(begins: &str, text: &str) -> bool {
    let digits = text.strip_prefix(begins).unwrap_or_default();
    (8..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}
