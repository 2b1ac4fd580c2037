//! What the number at the end means. Scripts rely on it: a number never changes its meaning.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As wanted, or done.
    Done = 0,
    /// Failed, refused at a question, or a fault of ours.
    Failed = 1,
    /// Bad flags or a bad file; nothing was touched.
    BadInput = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
