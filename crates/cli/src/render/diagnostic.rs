//! What is wrong with a file, drawn: all problems in one go, each with its line, and a last line that says that
//! nothing was changed.

use std::fmt;

use ideal_core::diagnostic::Severity;
use ideal_file::{Loaded, Located, SourceMap, Spot, render_plain, visible};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use serde_json::{Value as Json, json};

use crate::arguments::Format;
use crate::output::Output;

/// Says all that is wrong, on standard error. Nothing is said of a file without fault.
pub(crate) fn draw(loaded: &Loaded, output: &Output, changed: bool) {
    if loaded.diagnostics.is_empty() {
        return;
    }
    if output.is_json() {
        for one in &loaded.diagnostics {
            output.problem(&for_scripts(one, &loaded.map).to_string());
        }
        return;
    }
    let text = match output.format {
        Format::Plain => render_plain(loaded),
        _ => pictures(loaded, output.color),
    };
    output.problem(&text);
    if let Some(first) = loaded.diagnostics.iter().find(|one| one.diagnostic.severity == Severity::Error) {
        let nothing = if changed { "Only uuids were written." } else { "Nothing was changed." };
        output.problem(&format!("{nothing} More: ideal explain {}   [exit 2]", first.diagnostic.slug));
    }
}

/// The verdict on a file for scripts.
pub(crate) fn verdict(loaded: &Loaded) -> Json {
    let problems: Vec<Json> = loaded.diagnostics.iter().map(|one| for_scripts(one, &loaded.map)).collect();
    json!({"good": loaded.is_good(), "problems": problems})
}

fn for_scripts(one: &Located, map: &SourceMap) -> Json {
    let diagnostic = &one.diagnostic;
    let place = |spot: &Spot| json!({"file": map.source(spot).name, "line": spot.line, "col": spot.column, "length": spot.length});
    let related: Vec<Json> =
        one.related.iter().map(|(spot, why)| json!({"at": place(spot), "message": why})).collect();
    json!({
        "kind": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
        "code": diagnostic.slug,
        "message": diagnostic.message,
        "at": one.spot.as_ref().map(place),
        "path": diagnostic.path.to_string(),
        "related": related,
        "next": diagnostic.help.iter().collect::<Vec<_>>(),
        "retryable": false,
    })
}

fn pictures(loaded: &Loaded, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false).with_context_lines(1);
    let errors = loaded.errors();
    let warnings = loaded.diagnostics.len() - errors;
    let name = loaded.map.sources().first().map_or("", |source| source.name.as_str());
    let counts: Vec<String> = [(errors, "problem"), (warnings, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let mark = if errors > 0 { '\u{2717}' } else { '\u{26a0}' };
    let mut out = format!("{mark} {name}: {}\n", counts.join(", "));
    for one in &loaded.diagnostics {
        let source = one.spot.as_ref().map(|spot| Line::new(spot, &loaded.map));
        out.push('\n');
        // Writing into a `String` cannot fail.
        _ = handler.render_report(&mut out, &Picture { one, source, map: &loaded.map });
    }
    out
}

/// One problem, as the drawing library wants to see it.
struct Picture<'a> {
    one: &'a Located,
    source: Option<Line>,
    map: &'a SourceMap,
}

impl fmt::Debug for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one.diagnostic.slug)
    }
}
impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   [{}]", self.one.diagnostic.message, self.one.diagnostic.slug)
    }
}
impl std::error::Error for Picture<'_> {}
impl miette::Diagnostic for Picture<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.one.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let related = self.one.related.iter().map(|(spot, why)| {
            format!("{why}: {}:{}:{}", self.map.source(spot).name, spot.line, spot.column)
        });
        let lines: Vec<String> = related.chain(self.one.diagnostic.help.clone()).collect();
        if lines.is_empty() { None } else { Some(Box::new(lines.join("\n"))) }
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(None, self.source.as_ref()?.marked);
        Some(Box::new(std::iter::once(label)))
    }
}

/// The line of a problem with the one before it, without what would control the terminal, and cut when it is
/// very long. The library would otherwise look through the whole file again for each problem.
struct Line {
    name: String,
    text: String,
    /// Counted from 0.
    first: usize,
    column: usize,
    marked: SourceSpan,
}

/// How much of a very long line is shown before the place, in characters.
const BEFORE: usize = 60;
/// How many characters of a line are shown.
const LONGEST: usize = 160;

impl Line {
    fn new(spot: &Spot, map: &SourceMap) -> Line {
        let source = map.source(spot);
        let line: Vec<char> = source.line(spot.line).chars().map(visible).collect();
        let at = (spot.column - 1).min(line.len());
        let skip = if line.len() > LONGEST { at.saturating_sub(BEFORE) } else { 0 };
        let before: String = line[skip..at].iter().collect();
        let marked: String = line[at..].iter().take(spot.length.min(LONGEST)).collect();
        let shown: String = line[skip..].iter().take(LONGEST).collect();
        let previous: String = if spot.line > 1 {
            source.line(spot.line - 1).chars().map(visible).take(LONGEST).collect()
        } else {
            String::new()
        };
        let (text, first) = match previous.trim().is_empty() {
            true => (shown, spot.line - 1),
            false => (format!("{previous}\n{shown}"), spot.line - 2),
        };
        let start = text.rfind('\n').map_or(0, |end| end + 1) + before.len();
        let span = SourceSpan::new(start.into(), marked.len());
        Line { name: source.name.clone(), text, first, column: spot.column - 1, marked: span }
    }
}

impl SourceCode for Line {
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // Asked for nothing before the place, the library wants the head of the picture: the place itself.
        let start = if before == 0 { self.text.rfind('\n').map_or(0, |end| end + 1) } else { 0 };
        let text = &self.text[start..];
        let span = SourceSpan::new(start.into(), text.len());
        let line = self.first + usize::from(start > 0);
        let (name, lines) = (self.name.clone(), text.lines().count());
        Ok(Box::new(MietteSpanContents::new_named(name, text.as_bytes(), span, line, self.column, lines)))
    }
}
