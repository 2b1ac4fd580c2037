//! What is wrong with an input, said so that the person can mend it. Never an `Err`: checks return all they
//! find at once.

use serde::{Deserialize, Serialize};

use crate::path::DocPath;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Said, but nothing stops.
    Warning,
    /// The input is refused.
    Error,
}

/// Whether a diagnostic points at the key or at the value of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Points {
    /// At the key (an unknown key, say).
    Key,
    /// At the value.
    Value,
}

/// One problem of an input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Stable name, `ideal/unknown-key`; `ideal explain` tells more about it.
    pub slug: String,
    /// How bad it is.
    pub severity: Severity,
    /// One line, lower case, no full stop.
    pub message: String,
    /// Where.
    pub path: DocPath,
    /// At what of it.
    pub points: Points,
    /// What to do: "did you mean `nodes`?"
    pub help: Option<String>,
    /// Other places that matter, each with a word on why.
    pub related: Vec<(DocPath, String)>,
}

impl Diagnostic {
    /// An error at a value.
    pub fn error(slug: &str, path: DocPath, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            slug: slug.to_owned(),
            severity: Severity::Error,
            message: message.into(),
            path,
            points: Points::Value,
            help: None,
            related: Vec::new(),
        }
    }
    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Diagnostic {
        self.severity = Severity::Warning;
        self
    }
    /// The same, pointing at the key.
    #[must_use]
    pub fn at_key(mut self) -> Diagnostic {
        self.points = Points::Key;
        self
    }
    /// The same with a word on what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
    /// The same with another place that matters.
    #[must_use]
    pub fn related(mut self, path: DocPath, why: impl Into<String>) -> Diagnostic {
        self.related.push((path, why.into()));
        self
    }
}
