//! From YAML text to a tree with positions, in one bounded pass. The only place that knows the YAML library.
//!
//! What YAML has beyond plain data is refused: anchors and aliases (bombs), merge keys (hidden inheritance),
//! tags, several documents, duplicate keys. Plain words are text unless they are `true`, `false`, `null` or a
//! number as JSON writes it, so that `no`, `22:22` and `0644` stay what they look like.

use std::collections::BTreeSet;

use ideal_core::validate::MOST_PROBLEMS;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StrInput};

use crate::tree::{Entry, Extent, Node, Value};

/// All sources of one ideal together. Ten thousand clouds written out take about two.
pub const MOST_BYTES: usize = 4 << 20;
/// How deep mappings and lists may nest. Checks after this one recurse, so it also guards the stack.
const MOST_DEPTH: usize = 64;
/// How many values.
const MOST_NODES: usize = 1_000_000;
/// The longest single text: it goes into a file of a node or an argument.
const LONGEST_SCALAR: usize = 1 << 20;

/// What is wrong with a text before anyone asks what it means.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) slug: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) at: Extent,
    pub(crate) related: Option<(Extent, &'static str)>,
    pub(crate) warning: bool,
}

impl Problem {
    pub(crate) fn new(slug: &'static str, at: Extent, message: impl Into<String>) -> Problem {
        Problem { slug, message: message.into(), help: None, at, related: None, warning: false }
    }
    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// The bytes of a file as text without byte order mark, or why they are none. In the second case a readable
/// rendering comes along, for the picture of the problem.
pub(crate) fn decode(source: u32, bytes: &[u8]) -> Result<&str, Box<(String, Problem)>> {
    let lossy = |len: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned();
    let at = |start: usize, len: usize| Extent { source, start: narrow(start), end: narrow(start + len) };
    if bytes.len() > MOST_BYTES {
        let message = format!("the file has more than {MOST_BYTES} bytes");
        let help = "an ideal file of this size is most likely not one";
        return Err(Box::new((lossy(200), Problem::new("ideal/too-large", at(0, 0), message).help(help))));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || looks_like_utf16(bytes) {
        let problem = Problem::new("ideal/not-utf8", at(0, 0), "the file is UTF-16 text");
        return Err(Box::new((String::new(), problem.help("save it as UTF-8"))));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => match text.bytes().position(|b| b == 0) {
            None => Ok(text),
            Some(nul) => {
                let problem = Problem::new("ideal/not-utf8", at(nul, 1), "there is a NUL byte in the file");
                Err(Box::new((text.to_owned(), problem.help("is this a text file?"))))
            }
        },
        Err(error) => {
            let good = error.valid_up_to();
            let problem = Problem::new("ideal/not-utf8", at(good, 1), "this byte is not UTF-8 text");
            Err(Box::new((
                String::from_utf8_lossy(bytes).into_owned(),
                problem.help("save the file as UTF-8"),
            )))
        }
    }
}

/// Every other byte of the beginning is NUL: ASCII in UTF-16 without a mark.
fn looks_like_utf16(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    let nuls = |from: usize| head.iter().skip(from).step_by(2).filter(|b| **b == 0).count();
    head.len() >= 4 && (nuls(0) * 2 >= head.len() - 1 || nuls(1) * 2 >= head.len() - 1)
}

/// `MOST_BYTES` fits; a larger position cannot come here.
fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// The tree of a text. Problems that hide nothing else are collected; a syntax error ends the list, and then
/// there is no tree.
pub(crate) fn parse(source: u32, text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut build =
        Build { source, text, stack: Vec::new(), root: None, nodes: 0, problems: Vec::new(), documents: 0 };
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MOST_DEPTH * 2;
    options.block_nesting_limit = MOST_DEPTH * 2;
    options.emit_unresolved_aliases = true;
    options.disallow_directives = true;
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str_with_options(text, options);
    while let Some(next) = parser.next_event() {
        let problem = match next {
            Ok((event, span)) => build.take(event, span).err(),
            Err(error) => Some(build.syntax(&error)),
        };
        if let Some(problem) = problem {
            build.problems.push(problem);
            return (None, build.problems);
        }
        if build.problems.len() > MOST_PROBLEMS {
            return (None, build.problems);
        }
    }
    let empty = Node { at: build.at(0..0), value: Value::Null };
    (Some(build.root.unwrap_or(empty)), build.problems)
}

struct Build<'t> {
    source: u32,
    text: &'t str,
    stack: Vec<Open<'t>>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Problem>,
    documents: usize,
}

enum Open<'t> {
    List {
        start: usize,
        items: Vec<Node>,
    },
    Map {
        start: usize,
        entries: Vec<Entry>,
        keys: BTreeSet<std::borrow::Cow<'t, str>>,
        key: Option<(String, Extent)>,
    },
}

impl<'t> Build<'t> {
    fn at(&self, range: std::ops::Range<usize>) -> Extent {
        let end = range.end.min(self.text.len());
        Extent { source: self.source, start: narrow(range.start.min(end)), end: narrow(end) }
    }

    fn syntax(&self, error: &granit_parser::ScanError) -> Problem {
        let start = error.marker().byte_offset().unwrap_or_else(|| {
            self.text.char_indices().nth(error.marker().index()).map_or(self.text.len(), |(at, _)| at)
        });
        let at = self.at(start..start + 1);
        let info = error.info();
        let line = self.text[..at.start as usize].rsplit('\n').next().unwrap_or("");
        let rest = &self.text[at.start as usize..];
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return self.too_deep(at);
        }
        let blank = line.trim_matches([' ', '\t']).is_empty();
        if line.trim_start_matches(' ').starts_with('\t') || (blank && rest.starts_with('\t')) {
            let problem = Problem::new("ideal/tab", at, "a tab cannot indent YAML");
            return problem.help("use spaces; most editors can be told to");
        }
        let problem = Problem::new("ideal/syntax", at, format!("this is not YAML: {info}"));
        if self.text.trim_start().starts_with('<') {
            return problem.help("the file looks like a page of a web site, perhaps an error that was saved");
        }
        if rest.starts_with("{{") || rest.starts_with("}}") || line.contains("{{") {
            return problem.help("an expression stands in quotes: \"{{ vars.name }}\"");
        }
        if info.contains("alias") || info.contains("anchor") || rest.starts_with('*') || rest.starts_with('&')
        {
            return problem.help("a text that starts with such a sign stands in quotes");
        }
        problem.help(
            "look at the line before as well: a missing quote, bracket or blank after a colon shows late",
        )
    }

    fn too_deep(&self, at: Extent) -> Problem {
        let problem = Problem::new("ideal/too-deep", at, format!("nested deeper than {MOST_DEPTH} levels"));
        problem.help("no ideal needs this; look for brackets that are never closed")
    }

    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), Problem> {
        let range = span.byte_range().unwrap_or(0..0);
        let at = self.at(range.clone());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let problem = Problem::new("ideal/many-documents", at, "a second document starts here");
                    return Err(problem.help("an ideal is one document; use `include:` for several files"));
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let problem = Problem::new("ideal/alias", at, "aliases are not read");
                return Err(problem
                    .help("write the value out, or use `vars:`; a text that starts with * needs quotes"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(anchor, tag.is_some(), at)?;
                if text.len() > LONGEST_SCALAR {
                    let message =
                        format!("a text of {} bytes; at most {LONGEST_SCALAR} are read", text.len());
                    return Err(Problem::new("ideal/too-large", at, message));
                }
                return self.scalar(text, style, at);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), at)?;
                self.open(Open::List { start: range.start, items: Vec::new() }, at)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), at)?;
                let map =
                    Open::Map { start: range.start, entries: Vec::new(), keys: BTreeSet::new(), key: None };
                self.open(map, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end)?,
            _ => {}
        }
        Ok(())
    }

    fn plain(&self, anchor: usize, tagged: bool, at: Extent) -> Result<(), Problem> {
        if anchor != 0 {
            let problem = Problem::new("ideal/alias", at, "anchors are not read");
            return Err(
                problem.help("write the value out, or use `vars:`; a text that starts with & needs quotes")
            );
        }
        if tagged {
            let problem = Problem::new("ideal/tag", at, "tags are not read");
            return Err(problem.help("remove it; a text that starts with ! needs quotes"));
        }
        Ok(())
    }

    fn open(&mut self, open: Open<'t>, at: Extent) -> Result<(), Problem> {
        if matches!(self.stack.last(), Some(Open::Map { key: None, .. })) {
            return Err(Problem::new("ideal/syntax", at, "a key must be one word or text").help(
                "an expression stands in quotes: \"{{ vars.name }}\"; a mapping or list cannot be a key",
            ));
        }
        if self.stack.len() >= MOST_DEPTH {
            let problem =
                Problem::new("ideal/too-deep", at, format!("nested deeper than {MOST_DEPTH} levels"));
            return Err(problem.help("no ideal needs this; look for brackets that are never closed"));
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Problem> {
        let (start, value) = match self.stack.pop() {
            Some(Open::List { start, items }) => (start, Value::List(items)),
            Some(Open::Map { start, entries, .. }) => (start, Value::Map(entries)),
            None => return Ok(()),
        };
        // A block ends where the next thing starts; what lies between is nobody's.
        let end = end.clamp(start, self.text.len());
        let end = start + self.text.get(start..end).map_or(end - start, |text| text.trim_end().len());
        self.put(Node { at: self.at(start..end), value })
    }

    fn scalar(
        &mut self,
        text: std::borrow::Cow<'t, str>,
        style: ScalarStyle,
        at: Extent,
    ) -> Result<(), Problem> {
        if let Some(Open::Map { keys, key: key @ None, entries, .. }) = self.stack.last_mut() {
            if text == "<<" && style == ScalarStyle::Plain {
                let problem = Problem::new("ideal/alias", at, "merge keys are not read");
                return Err(
                    problem.help("write the values out; what clouds share is inherited from the cloud above")
                );
            }
            let owned = text.clone().into_owned();
            if !keys.insert(text) {
                let first = entries.iter().find(|entry| entry.key == owned).map(|entry| entry.key_at);
                let message = format!("the key `{}` stands here twice", shortened(&owned));
                let mut problem = Problem::new("ideal/duplicate-key", at, message);
                problem.related = first.map(|first| (first, "first here"));
                self.problems.push(problem.help("keep one of them"));
            }
            *key = Some((owned, at));
            return Ok(());
        }
        let value =
            if style == ScalarStyle::Plain { self.typed(text, at) } else { Value::Text(text.into_owned()) };
        self.put(Node { at, value })
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Problem::new("ideal/too-large", node.at, format!("more than {MOST_NODES} values")));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, key_at)) = key.take() {
                    let mut value = node;
                    // Nothing written: say so where it is missed.
                    if value.at.start == value.at.end {
                        value.at = Extent { start: key_at.end, end: key_at.end, ..key_at };
                    }
                    entries.push(Entry { key, key_at, value });
                }
            }
        }
        Ok(())
    }

    fn typed(&mut self, text: std::borrow::Cow<'t, str>, at: Extent) -> Value {
        match &*text {
            "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
            "true" | "True" | "TRUE" => return Value::Flag(true),
            "false" | "False" | "FALSE" => return Value::Flag(false),
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "-.inf" | "-.Inf" | "-.INF" | "+.inf" => {
                let problem = Problem::new("ideal/bad-number", at, "this is no number that can be kept");
                self.problems.push(problem.help("put it in quotes if it is text"));
                return Value::Broken;
            }
            _ => {}
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Value::Text(text.into_owned());
        }
        let whole = match digits.get(..2) {
            Some("0x") => i128::from_str_radix(&digits[2..], 16).ok().filter(|_| all(&digits[2..], 16)),
            Some("0o") => i128::from_str_radix(&digits[2..], 8).ok().filter(|_| all(&digits[2..], 8)),
            _ if digits.len() > 1 && digits.starts_with('0') && all(digits, 10) => None,
            _ if all(digits, 10) => Some(text.trim_start_matches('+').parse().unwrap_or(i128::MAX)),
            _ => None,
        };
        if let Some(whole) = whole {
            if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&whole) {
                return Value::Whole(whole);
            }
            let problem = Problem::new("ideal/bad-number", at, "this number is too large to be kept");
            self.problems.push(problem.help("put it in quotes if it is text"));
            return Value::Broken;
        }
        if !is_fraction(digits) {
            return Value::Text(text.into_owned());
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                if digits.contains('.')
                    && !digits.contains(['e', 'E'])
                    && digits.ends_with('0')
                    && number != 0.0
                {
                    let message = format!("{text} is the number {number}; the zero at its end is lost");
                    let mut problem = Problem::new("ideal/number-changes", at, message);
                    problem.warning = true;
                    self.problems.push(problem.help(format!("if it is a version, write \"{text}\"")));
                }
                Value::Number(number)
            }
            Ok(_) => {
                let problem = Problem::new("ideal/bad-number", at, "this number is too large to be kept");
                self.problems.push(problem.help("put it in quotes if it is text"));
                Value::Broken
            }
            Err(_) => Value::Text(text.into_owned()),
        }
    }
}

fn all(digits: &str, radix: u32) -> bool {
    !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))
}

/// Digits with a point, an exponent or both, as JSON has them (and YAML's `.5` and `1.`).
fn is_fraction(digits: &str) -> bool {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let leading_zero = before.len() > 1 && before.starts_with('0');
    let some = !before.is_empty() || !after.is_empty();
    let plain = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let exponent = exponent.is_none_or(|e| all(e.strip_prefix(['-', '+']).unwrap_or(e), 10));
    some && !leading_zero && plain(before) && plain(after) && exponent
}

/// The beginning of a text that may be anything, fit to be shown in one line.
pub(crate) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        shown.push_str("...");
    }
    // Escaped quotes read badly inside the quotes of a message.
    shown.replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests;
