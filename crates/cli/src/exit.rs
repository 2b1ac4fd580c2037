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
    /// `--check`: something is not as wanted.
    Differs = 3,
    /// Sign-in is needed, or something is not permitted.
    Denied = 4,
    /// A provider or server could not be reached.
    Unreachable = 5,
    /// Nothing more happens until a person acts.
    Suspended = 6,
    /// `--timeout` passed; what was set going goes on.
    TimedOut = 7,
    /// Somebody else works on the cluster, or a saved plan is stale.
    Held = 8,
    /// Stopped by Ctrl-C.
    Stopped = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
