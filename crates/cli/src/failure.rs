//! An error with what to do next. Everything that ends a command and is not a diagnostic of a file.

use std::fmt;

use crate::exit::Exit;

/// Why a command ended early, for a person and for a script.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Stable name, for scripts.
    pub(crate) code: &'static str,
    /// One line.
    pub(crate) message: String,
    /// What can be done, most likely first.
    pub(crate) next: Vec<String>,
    /// The number at the end.
    pub(crate) exit: Exit,
}

impl Failure {
    pub(crate) fn new(code: &'static str, exit: Exit, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), next: Vec::new(), exit }
    }
    pub(crate) fn next(mut self, next: impl Into<String>) -> Failure {
        self.next.push(next.into());
        self
    }
}
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Failure {}
