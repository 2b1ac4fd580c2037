//! What holds for a declaration whatever its kind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Declaration, Resource};
use crate::diagnostic::Diagnostic;
use crate::path::Place;
use crate::validate::text;

/// What is done when a resource is found wrong after it once was right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Care {
    /// It is made right at once.
    #[default]
    Heal,
    /// It is made right when a new text of the ideal comes. What differs later is left until a person says so:
    /// `ideal heal ADDR --only LABEL`.
    Ask,
    /// It is never changed, only reported; unless a person names it: `ideal heal ADDR --only LABEL`.
    Report,
}

impl Care {
    /// Whether it is what holds when nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Care::Heal
    }
}

impl Declaration {
    /// What people call it: its name, or `file /etc/motd`. A kind's name alone when nothing is declared.
    pub fn label(&self) -> String {
        match (&self.name, self.resource()) {
            (Some(name), _) => name.to_string(),
            (None, Some(resource)) => resource.label(),
            (None, None) => "nothing".to_owned(),
        }
    }
    /// Whether it is always one thing, whatever the node: only then can two be compared without it.
    pub fn is_fixed(&self) -> bool {
        let moves = |resource: &Resource| resource.key().contains("{{");
        self.when.is_none() && self.each.is_none() && !self.resource().is_some_and(|one| moves(&one))
    }

    /// The thing that it alone may declare on a node, so that two can be seen to disagree: the path of a file,
    /// directory or link, else kind and key. None when that is known only on the node, and of commands: each is
    /// its own thing.
    pub fn claims(&self) -> Option<String> {
        let resource = self.resource().filter(|_| self.is_fixed())?;
        match &resource {
            Resource::Command(_) => None,
            Resource::File(_) | Resource::Directory(_) | Resource::Link(_) => Some(resource.key()),
            _ => Some(resource.label()),
        }
    }

    /// All that is wrong with it.
    pub fn validate(&self, item: &Place<'_>, found: &mut Vec<Diagnostic>) {
        match self.kinds()[..] {
            [_] => {}
            [] => {
                let message = "this item declares nothing";
                let help = format!("name one kind: {}", Resource::KINDS.join(", "));
                found.push(Diagnostic::error("ideal/one-kind", item.path(), message).help(help));
            }
            [first, second, ..] => {
                let message = format!("`{second}` cannot stand beside `{first}`: one item is one thing");
                let place = item.key(second).path();
                let twice = Diagnostic::error("ideal/one-kind", place, message).at_key();
                found.push(twice.help("write a second item"));
            }
        }
        if let Some(resource) = self.resource() {
            resource.validate(item, found);
        }
        let whole = |text: &str| {
            let text = text.trim();
            text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
        };
        if let Some(when) = &self.when
            && text::has_expression(when)
            && !whole(when)
        {
            let message = "`when` is a text with an expression in it, which is always true";
            let help = "write the whole condition within one pair of braces: \"{{ option.x == 'y' }}\"";
            found.push(Diagnostic::error("ideal/bad-condition", item.key("when").path(), message).help(help));
        }
        if let Some(when) = &self.when
            && !text::has_expression(when)
        {
            let message = "`when` is not an expression, so it is always the same";
            let help = format!("write when: \"{{{{ {} }}}}\"", when.trim());
            found.push(Diagnostic::error("ideal/bad-condition", item.key("when").path(), message).help(help));
        }
        if let Some(each) = &self.each
            && !matches!(each, serde_json::Value::Array(_))
            && !each.as_str().is_some_and(text::has_expression)
        {
            let message = "`each` wants a list, or an expression that is one";
            found.push(Diagnostic::error("ideal/bad-loop", item.key("each").path(), message));
        }
    }
}
