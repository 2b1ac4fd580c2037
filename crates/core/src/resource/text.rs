//! Checks that several kinds share.

use crate::diagnostic::Diagnostic;
use crate::path::Place;
pub(super) use crate::validate::text::{argument, argv, has_expression, not_a_flag, path};
pub(super) use crate::validate::zero;

/// Permission bits in octal.
pub(super) fn mode(mode: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    if bits(mode).is_none() && !has_expression(mode) {
        let message = format!("`{}` are no permission bits", mode.chars().take(20).collect::<String>());
        let help = "write them in octal, as text: \"0644\"";
        found.push(Diagnostic::error("ideal/bad-mode", place.path(), message).help(help));
    }
}

/// The permission bits that octal text of three or four digits means.
pub(super) fn bits(mode: &str) -> Option<u32> {
    let octal = (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    octal.then(|| u32::from_str_radix(mode, 8).ok()).flatten()
}

/// The name of a user or group, or a number.
pub(super) fn account(name: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    if !has_expression(name) && !is_account(name) {
        let message =
            format!("`{}` cannot be the name of an account", name.chars().take(40).collect::<String>());
        let help = "letters, digits, `_`, `-` and `.`, starting with a letter or `_`; or a number";
        found.push(Diagnostic::error("ideal/bad-account", place.path(), message).help(help));
    }
}

fn is_account(name: &str) -> bool {
    let first = name.bytes().next();
    let number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let body = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    number || (name.len() <= 32 && body && first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_'))
}

/// Exactly one of several fields must be there. `given`: of each, its name and whether it is.
pub(super) fn one_of(given: &[(&str, bool)], need: bool, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let there: Vec<&str> = given.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    let names: Vec<String> = given.iter().map(|(name, _)| format!("`{name}`")).collect();
    if there.is_empty() && need {
        let message = format!("one of {} is wanted", names.join(", "));
        found.push(Diagnostic::error("ideal/missing-key", place.path(), message).at_key());
    }
    if let [first, second, ..] = there[..] {
        let message = format!("`{second}` cannot stand beside `{first}`");
        let twice = Diagnostic::error("ideal/one-of", place.key(second).path(), message).at_key();
        found.push(twice.help(format!("keep one of {}", names.join(", "))));
    }
}

/// The beginning of a text, for a message.
pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The name of a user or group that is declared: no number.
pub(super) fn account_name(name: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    account(name, place, found);
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        let message =
            format!("`{}` is a number, which programs would take for one of another account", short(name));
        let help = "letters, digits, `_`, `-` and `.`, starting with a letter or `_`";
        found.push(Diagnostic::error("ideal/bad-account", place.path(), message).help(help));
    }
}

/// A name that becomes the name of a file of the system: letters, digits, and some of `more` that are not first.
pub(super) fn file_name(name: &str, more: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let first = name.chars().next();
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let begins = first.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let known = good && begins && name.len() <= 200;
    if !known && !has_expression(name) {
        let message = format!("`{}` cannot be the name of a file of the system here", short(name));
        let help = format!("letters, digits and `{more}`, starting with a letter or digit");
        found.push(Diagnostic::error("ideal/bad-system-name", place.path(), message).help(help));
    }
}

/// The name of a variable of the environment.
pub(super) fn env_name(name: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let body = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !body || name.bytes().next().is_none_or(|b| b.is_ascii_digit()) {
        let message = format!("`{}` cannot be the name of a variable", short(name));
        let help = "letters, digits and underscores, not starting with a digit";
        found.push(Diagnostic::error("ideal/bad-env-name", place.path(), message).at_key().help(help));
    }
}
