//! A thing of a kind that an external program knows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::order::Reach;
use super::{Difference, Kind, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::path::Place;
use crate::time::Span;

/// A thing of a kind that a program in the project's folder `plugins` knows. The program is asked in JSON whether
/// the thing is right, and to make it so.
///
/// ```yaml
/// - plugin: {use: greeting, key: door, with: {text: Welcome}}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginSpec {
    /// The name of the program in `plugins`.
    #[serde(rename = "use")]
    pub uses: Name,
    /// What tells this thing from others of the plugin.
    #[serde(default)]
    pub key: String,
    /// What the program is given.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// How long one answer may take. Default 1m.
    #[serde(default = "one_minute")]
    pub timeout: Span,
}

fn one_minute() -> Span {
    Span::mins(1)
}

/// What the program is asked, as one JSON object on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The version of this contract: 1.
    pub ideal: u32,
    /// What is asked.
    pub ask: Ask,
    /// `key` of the declaration.
    pub key: String,
    /// `with` of the declaration, rendered.
    pub with: Map<String, Value>,
    /// With `query`: the question itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// What a plugin is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Say whether the thing is right. Must change nothing.
    Check,
    /// Make it right.
    Apply,
    /// Answer a question about the thing. Must change nothing.
    Query,
}

/// What the program answers, as one JSON object on its standard output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// To `check`: whether it is right. To `apply`: whether it is right now.
    #[serde(default)]
    pub right: bool,
    /// What differs, or what was done.
    #[serde(default)]
    pub differences: Vec<Difference>,
    /// Why it cannot be made right, or was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// To `query`: the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

impl Kind for PluginSpec {
    const NAME: &'static str = "plugin";
    const NEEDS_MACHINE: bool = false;
    type Seen = Answer;
    type Change = ();

    fn key(&self) -> String {
        format!("{} {}", self.uses, self.key).trim_end().to_owned()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::argument(&self.key, &place.key("key"), found);
        if self.timeout.0 == 0 {
            found.push(text::zero(&place.key("timeout"), "a plugin without time can never answer"));
        }
    }

    fn reach(&self) -> Reach {
        Reach::Anything
    }

    fn compare(&self, seen: &Answer) -> Verdict<()> {
        match (&seen.error, seen.right) {
            (Some(error), _) => Verdict::Refused(error.clone()),
            (None, true) => Verdict::Right,
            (None, false) if seen.differences.is_empty() => {
                Wrong::one(Difference::new("", "wrong", "right"), ())
            }
            (None, false) => {
                Verdict::Wrong(Wrong { differences: seen.differences.clone(), texts: None, change: () })
            }
        }
    }
}
