//! Diagnostics as plain text, for golden files, logs and places without colour. The command line draws prettier.

use std::fmt::Write;

use ideal_core::diagnostic::Severity;

use crate::{Loaded, Located, SourceMap};

/// Everything that is wrong, each with its line of the file.
pub fn render_plain(loaded: &Loaded) -> String {
    let mut out = String::new();
    for one in &loaded.diagnostics {
        render_one(one, &loaded.map, &mut out);
    }
    out
}

fn render_one(one: &Located, map: &SourceMap, out: &mut String) {
    let diagnostic = &one.diagnostic;
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    // Writing into a `String` cannot fail.
    _ = writeln!(out, "{word}[{}]: {}", diagnostic.slug, diagnostic.message);
    if let Some(spot) = &one.spot {
        let source = map.source(spot);
        _ = writeln!(out, "  --> {}:{}:{}", source.name, spot.line, spot.column);
        let number = spot.line.to_string();
        let line: String = source.line(spot.line).chars().map(visible).collect();
        // A line of a megabyte helps nobody.
        let skip = spot.column.saturating_sub(60).min(spot.column - 1);
        let shown: String = line.chars().skip(skip).take(120).collect();
        let under = " ".repeat(spot.column - 1 - skip) + &"^".repeat(spot.length.min(120));
        _ = writeln!(out, "{number} | {shown}\n{} | {under}", " ".repeat(number.len()));
    }
    for (spot, why) in &one.related {
        _ = writeln!(out, "  {why}: {}:{}:{}", map.source(spot).name, spot.line, spot.column);
    }
    if let Some(help) = &diagnostic.help {
        _ = writeln!(out, "  help: {help}");
    }
}

/// What a terminal would act on, and what would reorder the line, is shown as a box.
pub fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
            '\u{25a1}'
        }
        c if c.is_control() => '\u{25a1}',
        c => c,
    }
}
