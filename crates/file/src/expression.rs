//! Expressions in the texts of an ideal: `{{ vars.release }}`, `{{ clouds['shop.db'].nodes[0].address }}`.
//!
//! Only the parser is minijinja's. Its syntax tree is turned into our own small one, which is the allow-list:
//! what has no place in it (calls, loops, macros, repetition) cannot be evaluated. Evaluating it ourselves gives
//! a bound on every text made, and makes a value that is not known *yet* something else than a mistake. No
//! message shows a value: values may be secrets.

mod apply;
mod evaluate;
mod scope;
mod syntax;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value as Json;

pub(crate) use apply::{Reads, apply, look};
pub(crate) use scope::{Scope, Where};
pub(crate) use syntax::{Expression, FILTERS, Step, Trail};

/// The longest expression. It also bounds the depth of its tree, and so the stack.
const LONGEST_EXPRESSION: usize = 1024;
/// The most expressions in one text.
const MOST_EXPRESSIONS: usize = 1000;
/// The most that all expressions of one text may come to.
const MOST_OUTPUT: usize = 64 << 10;

/// Why a text could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderProblem {
    /// A value that is not known yet: wait for it.
    Unknown {
        /// What was asked for, as the file says it.
        name: String,
    },
    /// The expression cannot come to a text, whatever one waits for.
    Refused {
        /// One line, without values.
        why: String,
    },
}

impl fmt::Display for RenderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RenderProblem::Unknown { name } => write!(f, "{name} is not known yet"),
            RenderProblem::Refused { why } => f.write_str(why),
        }
    }
}
impl std::error::Error for RenderProblem {}

pub(crate) fn refused(why: impl Into<String>) -> RenderProblem {
    RenderProblem::Refused { why: why.into() }
}

/// A stretch of a text.
#[derive(Debug)]
pub(crate) enum Piece<'t> {
    /// Stands as it is.
    Plain(&'t str),
    /// Between the braces.
    Expression(&'t str),
}

/// Whether a text holds an expression at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// The stretches of a text; the error is the offset of an expression that never ends, or is one too many.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut from = 0;
    let mut count = 0;
    while let Some(open) = text[from..].find("{{") {
        let open = from + open;
        count += 1;
        if count > MOST_EXPRESSIONS {
            return Err(open);
        }
        if open > from {
            pieces.push(Piece::Plain(&text[from..open]));
        }
        let close = open + 2 + end_of_expression(&text[open + 2..]).ok_or(open)?;
        pieces.push(Piece::Expression(&text[open + 2..close]));
        from = close + 2;
    }
    if from < text.len() {
        pieces.push(Piece::Plain(&text[from..]));
    }
    Ok(pieces)
}

/// Where the closing braces stand; braces inside quotes close nothing.
fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut i = 0;
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'}') if bytes.get(i + 1) == Some(&b'}') => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}

/// The text with every expression evaluated. A text without any comes back as it is.
pub fn render(text: &str, context: &Json) -> Result<String, RenderProblem> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut made = 0;
    for piece in pieces(text)
        .map_err(|_| refused("an expression is not closed with }}, or there are more than a thousand"))?
    {
        match piece {
            Piece::Plain(plain) => out.push_str(plain),
            Piece::Expression(source) => {
                let expression = Expression::parse(source).map_err(|wrong| refused(wrong.why))?;
                let value = expression.evaluate(context)?;
                let before = out.len();
                evaluate::write_text(&value, &expression, &mut out)?;
                made += out.len() - before;
                if made > MOST_OUTPUT {
                    return Err(refused("the expressions of this text come to more than 64 KiB"));
                }
            }
        }
    }
    Ok(out)
}

/// What a text comes to: of a text that is wholly one expression its value, with its type; of any other the text
/// with every expression evaluated.
///
/// # Errors
///
/// As [`render`].
pub fn evaluate(text: &str, context: &Json) -> Result<Json, RenderProblem> {
    if let Ok(pieces) = pieces(text)
        && let [Piece::Expression(source)] = &pieces[..]
    {
        let expression = Expression::parse(source).map_err(|wrong| refused(wrong.why))?;
        return expression.evaluate(context).map(std::borrow::Cow::into_owned);
    }
    render(text, context).map(Json::String)
}

/// A value with every text in it evaluated; keys stay as they are.
///
/// # Errors
///
/// As [`render`], of the first text that has a problem.
pub fn render_json(value: &Json, context: &Json) -> Result<Json, RenderProblem> {
    Ok(match value {
        Json::String(text) => evaluate(text, context)?,
        Json::Array(items) => {
            Json::Array(items.iter().map(|item| render_json(item, context)).collect::<Result<_, _>>()?)
        }
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), render_json(value, context)?)));
            Json::Object(entries.collect::<Result<_, RenderProblem>>()?)
        }
        other => other.clone(),
    })
}

/// The fields of a resource with every text in them evaluated. A text stays a text, for that is what the field takes:
/// a port in an argument is the word `8080`. Only what a plugin is given, `with`, keeps the types of its values.
///
/// # Errors
///
/// As [`render`], of the first text that has a problem.
pub fn render_fields(value: &Json, context: &Json) -> Result<Json, RenderProblem> {
    Ok(match value {
        Json::String(text) => Json::String(render(text, context)?),
        Json::Array(items) => {
            Json::Array(items.iter().map(|item| render_fields(item, context)).collect::<Result<_, _>>()?)
        }
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let value = match key.as_str() {
                    "with" => render_json(value, context)?,
                    _ => render_fields(value, context)?,
                };
                Ok((key.clone(), value))
            });
            Json::Object(entries.collect::<Result<_, RenderProblem>>()?)
        }
        other => other.clone(),
    })
}

/// The names that the expressions of a text ask for: `vars`, `node`, `clouds`. None when it cannot be read.
pub fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for piece in pieces(text).unwrap_or_default() {
        if let Piece::Expression(source) = piece
            && let Ok(expression) = Expression::parse(source)
        {
            names.extend(expression.trails().into_iter().map(|trail| trail.root));
        }
    }
    names
}

#[cfg(test)]
mod tests;
