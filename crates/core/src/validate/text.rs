//! Paths and arguments: text that reaches the system and people's eyes, and must not deceive either.

use crate::diagnostic::Diagnostic;
use crate::ideal::document::Argv;
use crate::path::Place;

/// The longest path that Linux takes.
const LONGEST_PATH: usize = 4096;

/// Whether a text is known only where it applies.
pub(crate) fn has_expression(text: &str) -> bool {
    text.contains("{{")
}

/// A character that hides, reorders or controls what a person sees.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn unsafe_text(c: char, place: &Place<'_>) -> Diagnostic {
    let code = u32::from(c);
    let message =
        format!("this text holds U+{code:04X}, a character that controls, hides or reorders what one sees");
    Diagnostic::error("ideal/unsafe-text", place.path(), message)
        .help("remove it; text pasted from a web page or a chat often carries such characters")
}

/// An argument or a value of the environment: lines and tabs are fine (a script may be an argument).
pub(crate) fn argument(text: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    if let Some(c) = text.chars().find(|c| deceives(*c) && !matches!(c, '\n' | '\t')) {
        found.push(unsafe_text(c, place));
    }
}

/// A text that stands where a program takes flags must not look like one.
pub(crate) fn not_a_flag(text: &str, place: &Place<'_>, noun: &str, found: &mut Vec<Diagnostic>) {
    if text.starts_with('-') {
        let message = format!("{noun} cannot start with a dash: it would be taken for an option");
        found.push(Diagnostic::error("ideal/unsafe-text", place.path(), message));
    }
}

/// A program and its arguments.
pub(crate) fn argv(argv: &Argv, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let single = argv.0.len() == 1;
    for (i, text) in argv.0.iter().enumerate() {
        let here = place.index(i);
        // A program given as one text has no index in the document, and a list of one reads as well from
        // its parent.
        argument(text, if single { place } else { &here }, found);
    }
    let Some(program) = argv.0.first() else { return };
    if program.is_empty() {
        found.push(Diagnostic::error("ideal/no-program", place.path(), "the name of the program is empty"));
    } else if single && !has_expression(program) && program.chars().any(char::is_whitespace) {
        let words: Vec<&str> = program.split_whitespace().collect();
        let message = "this is taken as the name of one program, blanks and all";
        let help = format!("write a list: [{}]", words.join(", "));
        found.push(Diagnostic::error("ideal/write-a-list", place.path(), message).help(help).warning());
    }
}

/// Why a path is not one that we take, if so: it must be absolute and normalised, and readable as what it is.
pub(crate) fn path(text: &str, place: &Place<'_>, slug: &str, found: &mut Vec<Diagnostic>) -> bool {
    let say = |message: &str| Diagnostic::error(slug, place.path(), message.to_owned());
    if let Some(c) = text.chars().find(|c| deceives(*c)) {
        found.push(unsafe_text(c, place));
        return false;
    }
    let plain = without_expressions(text);
    let problem = if text.is_empty() {
        say("the path is empty")
    } else if plain.len() > LONGEST_PATH {
        say("the path is longer than the 4096 bytes that a system takes")
    } else if !plain.starts_with('/') && !text.starts_with("{{") {
        say("the path is not absolute").help(format!("write /{}", plain.trim_start_matches("./")))
    } else if plain == "/" {
        say("the root itself cannot be meant here")
    } else if plain.split('/').any(|part| part == "..") {
        say("the path climbs with `..`").help("write where it leads to")
    } else if plain.split('/').any(|part| part == ".") || plain.contains("//") || plain.ends_with('/') {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        say("the path is not in its simplest form").help(format!("write /{}", parts.join("/")))
    } else {
        return true;
    };
    found.push(problem);
    false
}

/// The text with every expression replaced by one harmless letter.
fn without_expressions(text: &str) -> std::borrow::Cow<'_, str> {
    if !has_expression(text) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        plain.push('x');
        rest = after.split_once("}}").map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.into()
}
