//! What a use says of a recipe's options, against what the recipe declares.

use serde_json::{Map, Value};

use super::{OptionSpec, OptionType, RecipeDocument, UseSpec};
use crate::diagnostic::Diagnostic;
use crate::path::Place;
use crate::validate::nearest;
use crate::validate::text::has_expression;

impl OptionType {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            OptionType::Text => "text",
            OptionType::Number => "number",
            OptionType::Flag => "flag",
            OptionType::List => "list",
            OptionType::Map => "map",
            OptionType::Secret => "secret",
        }
    }
    /// Whether a value is of this type; a text with an expression may become anything.
    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::String(text)) if has_expression(text) => true,
            (OptionType::Text, Value::String(_))
            | (OptionType::Number, Value::Number(_))
            | (OptionType::Flag, Value::Bool(_))
            | (OptionType::List, Value::Array(_))
            | (OptionType::Map, Value::Object(_)) => true,
            _ => false,
        }
    }
    /// What holds when nothing is said: empty, or not defined.
    fn empty(self) -> Value {
        match self {
            OptionType::Text => Value::String(String::new()),
            OptionType::Flag => Value::Bool(false),
            OptionType::List => Value::Array(Vec::new()),
            OptionType::Map => Value::Object(Map::new()),
            OptionType::Number | OptionType::Secret => Value::Null,
        }
    }
    fn wanted(self) -> &'static str {
        match self {
            OptionType::Text => "a text",
            OptionType::Number => "a number",
            OptionType::Flag => "true or false",
            OptionType::List => "a list",
            OptionType::Map => "a mapping",
            OptionType::Secret => "a secret: \"{{ secret.NAME }}\"",
        }
    }
}

impl OptionSpec {
    /// What is wrong with a value of it.
    fn check(&self, name: &str, value: &Value, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        if !self.kind.takes(value) {
            let message = format!("option `{name}` wants {}", self.kind.wanted());
            let mut wrong = Diagnostic::error("ideal/bad-option", place.path(), message);
            if let (OptionType::Text, Value::Number(_) | Value::Bool(_)) = (self.kind, value) {
                wrong = wrong.help(format!("write \"{value}\""));
            } else if self.kind == OptionType::Secret {
                wrong =
                    wrong.help("declare it under `secrets:` and name it; its value never stands in a file");
            }
            found.push(wrong);
        } else if !self.choices.is_empty()
            && !self.choices.contains(value)
            && !value.as_str().is_some_and(has_expression)
        {
            let choices: Vec<String> = self.choices.iter().map(plain).collect();
            let message = format!("option `{name}` cannot be {}", plain(value));
            let help = format!("one of {}", choices.join(", "));
            found.push(Diagnostic::error("ideal/bad-option", place.path(), message).help(help));
        }
    }
}

/// A value as one would write it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether an expression can say it after a dot.
fn is_word(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What is wrong with the options that a recipe declares.
pub(crate) fn declared(document: &RecipeDocument, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let all = place.key("options");
    for (name, option) in &document.options {
        let here = all.key(name);
        let mut say = |key: &str, message: String, help: &str| {
            let at = if key.is_empty() { here.path() } else { here.path().key(key) };
            let wrong = Diagnostic::error("ideal/bad-option", at, message).at_key();
            found.push(wrong.help(help));
        };
        if !is_word(name) {
            let help = "lower-case letters, digits and `_`, starting with a letter: it stands after a dot";
            say("", format!("`{name}` cannot be the name of an option"), help);
        }
        if option.required && option.default.is_some() {
            let message = format!("option `{name}` is required, so its default never holds");
            say("default", message, "remove one of the two lines");
        }
        if option.kind == OptionType::Secret && option.default.as_ref().is_some_and(|value| !value.is_null())
        {
            let message = format!("option `{name}` is a secret and cannot have a default");
            say("default", message, "a secret never stands in a file; make the option `required: true`");
            continue;
        }
        for (i, choice) in option.choices.iter().enumerate() {
            let bare = OptionSpec { choices: Vec::new(), ..option.clone() };
            bare.check(name, choice, &here.key("choices").index(i), found);
        }
        if let Some(default) = &option.default {
            option.check(name, default, &here.key("default"), found);
        }
    }
}

/// The options of a use with defaults filled in; what is wrong with them is said at the use, which stands at
/// `item`.
pub(crate) fn filled_in(
    document: &RecipeDocument,
    spec: &UseSpec,
    item: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) -> Map<String, Value> {
    let recipe = spec.recipe.as_str();
    let here = item.key(recipe);
    for (name, value) in &spec.options {
        match document.options.get(name) {
            Some(option) => option.check(name, value, &here.key(name), found),
            None => {
                let message = format!("recipe `{recipe}` has no option `{name}`");
                let known = document.options.keys().map(String::as_str);
                let help = match nearest(name, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if document.options.is_empty() => format!("`{recipe}` takes no options"),
                    None => format!("its options: {}", known.collect::<Vec<_>>().join(", ")),
                };
                let unknown = Diagnostic::error("ideal/unknown-option", here.key(name).path(), message);
                found.push(unknown.at_key().help(help));
            }
        }
    }
    let mut all = Map::new();
    for (name, option) in &document.options {
        let said = spec.options.get(name).cloned();
        if option.required && said.is_none() {
            let message = format!("recipe `{recipe}` wants its option `{name}` to be said");
            // A use without options is a text: the item itself is its place.
            let at = if spec.options.is_empty() { item.path() } else { here.path() };
            let missing = Diagnostic::error("ideal/missing-option", at, message);
            let missing = if spec.options.is_empty() { missing } else { missing.at_key() };
            let about = if option.about.is_empty() { option.kind.wanted() } else { &option.about };
            found.push(missing.help(format!("{recipe}: {{{name}: ...}}, {about}")));
        }
        let value = said.or_else(|| option.default.clone()).unwrap_or_else(|| option.kind.empty());
        all.insert(name.clone(), value);
    }
    all
}
