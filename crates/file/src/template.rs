//! Whole templates: the files in a recipe's folder `templates`, with loops, conditions and filters.
//!
//! A template reads no file, runs a bounded number of steps and makes a bounded text. What has no value yet is
//! waited for, as in expressions. No message shows a value: values may be secrets.

mod names;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde_json::Value as Json;

use crate::expression::RenderProblem;

pub use names::{Asked, TemplateProblem, check_template};

/// The most that a template may come to, in bytes.
const MOST_OUTPUT: usize = 8 << 20;
/// The most steps of a template. A list of a thousand items with a line each takes some twenty thousand.
const MOST_STEPS: u64 = 5_000_000;

/// The text of a template with these values.
///
/// # Errors
///
/// [`RenderProblem::Unknown`] when a value that it prints or uses is null or missing; else
/// [`RenderProblem::Refused`] with the name of the template, the line and the kind of mistake.
pub fn render_template(name: &str, text: &str, context: &Json) -> Result<String, RenderProblem> {
    let missed = Missed::default();
    let asked = check_template(name, text).map_err(|problem| RenderProblem::Refused {
        why: format!("template {name}, line {}: {}", problem.line, problem.why),
    })?;
    let environment = environment().clone();
    let template = environment.template_from_named_str(name, text).map_err(|error| refused(name, &error))?;
    let mut out = Bounded::default();
    let root = Part::value(&asked_of(context, asked), "", &missed);
    match template.render_captured_to(root, &mut out) {
        Ok(_) => String::from_utf8(out.bytes).map_err(|_| RenderProblem::Refused {
            why: format!("template {name} made something that is no text"),
        }),
        Err(_) if out.full => Err(RenderProblem::Refused {
            why: format!("template {name} comes to more than {} MiB", MOST_OUTPUT >> 20),
        }),
        Err(error) if error.kind() == ErrorKind::UndefinedError => {
            let name = missed.lock().ok().and_then(|missed| missed.clone());
            Err(RenderProblem::Unknown { name: name.unwrap_or_else(|| "a value".to_owned()) })
        }
        Err(error) => Err(refused(name, &error)),
    }
}

/// What a template asks for of its context: copying all facts of a node for each of its files would cost more than
/// rendering them.
fn asked_of(context: &Json, names: Vec<Asked>) -> Json {
    let mut asked = serde_json::Map::new();
    let mut whole = BTreeSet::new();
    for one in names {
        match (context.get(&one.root), one.key) {
            (Some(Json::Object(from)), Some(key)) if !whole.contains(&one.root) => {
                let to = asked.entry(one.root).or_insert_with(|| Json::Object(serde_json::Map::new()));
                if let (Json::Object(to), Some(value)) = (to, from.get(&key)) {
                    to.entry(key).or_insert_with(|| value.clone());
                }
            }
            (Some(value), _) => {
                asked.insert(one.root.clone(), value.clone());
                whole.insert(one.root);
            }
            (None, _) => {}
        }
    }
    Json::Object(asked)
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true);
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(MOST_STEPS));
        environment
    })
}

/// Name, line and kind; the library's own text may quote values.
fn refused(name: &str, error: &Error) -> RenderProblem {
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    RenderProblem::Refused { why: format!("template {name}{line}: {}", words(error.kind())) }
}

/// What kind of mistake it is.
fn words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::SyntaxError => "it cannot be read as a template",
        ErrorKind::UnknownFilter => "there is no such filter",
        ErrorKind::UnknownTest => "there is no such test",
        ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => "there is no such function",
        ErrorKind::TooManyArguments | ErrorKind::MissingArgument => "wrong number of arguments",
        ErrorKind::OutOfFuel => "it runs for too long",
        ErrorKind::CannotUnpack => "a loop over pairs meets something that is no pair",
        ErrorKind::NonKey | ErrorKind::NonPrimitive | ErrorKind::InvalidOperation => {
            "a value cannot be used in this way"
        }
        _ => "it cannot be rendered",
    }
}

/// What was asked for last and has no value: shared by all parts of one rendering.
type Missed = Arc<Mutex<Option<String>>>;

/// A mapping or list of the context. What is null in it, or not there, is undefined, and its name is kept.
struct Part {
    json: Json,
    trail: String,
    missed: Missed,
}

impl Part {
    fn value(json: &Json, trail: &str, missed: &Missed) -> Value {
        match json {
            Json::Null => Value::UNDEFINED,
            Json::Bool(flag) => Value::from(*flag),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Value::from(whole),
                (None, Some(whole)) => Value::from(whole),
                (None, None) => Value::from(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::from(text.as_str()),
            Json::Array(_) | Json::Object(_) => {
                let (json, trail, missed) = (json.clone(), trail.to_owned(), Arc::clone(missed));
                Value::from_object(Part { json, trail, missed })
            }
        }
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.trail)
    }
}

impl Object for Part {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.json.is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (found, trail) = match (&self.json, key.as_str(), key.as_usize()) {
            (Json::Object(entries), Some(key), _) => {
                let word = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                let trail = match (self.trail.as_str(), word) {
                    ("", _) => key.to_owned(),
                    (above, true) => format!("{above}.{key}"),
                    (above, false) => format!("{above}['{key}']"),
                };
                (entries.get(key), trail)
            }
            (Json::Array(items), _, Some(index)) => (items.get(index), format!("{}[{index}]", self.trail)),
            _ => return None,
        };
        let value = found.map_or(Value::UNDEFINED, |found| Part::value(found, &trail, &self.missed));
        if value.is_undefined()
            && let Ok(mut missed) = self.missed.lock()
        {
            *missed = Some(trail);
        }
        (!value.is_undefined()).then_some(value)
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.json {
            Json::Array(items) => Enumerator::Seq(items.len()),
            _ => self.mapped_enumerator(|this| match &this.json {
                Json::Object(entries) => Box::new(entries.keys().map(|key| Value::from(key.as_str()))),
                _ => Box::new(std::iter::empty()),
            }),
        }
    }
}

/// Takes so much and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_OUTPUT {
            self.full = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
