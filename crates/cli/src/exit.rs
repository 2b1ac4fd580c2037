//! What the number at the end means. Scripts rely on it: a number never changes its meaning.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As wanted, or done.
    Done,
    /// Failed, refused at a question, or a fault of ours.
    Failed,
    /// Bad flags or a bad file; nothing was touched.
    BadInput,
    /// `--check`: something is not as wanted.
    Differs,
    /// Sign-in is needed, or something is not permitted.
    Denied,
    /// A provider, server or node could not be reached.
    Unreachable,
    /// Nothing more happens until a person acts.
    Suspended,
    /// `--timeout` passed; what was set going goes on.
    TimedOut,
    /// Somebody else works on the cluster, or a saved plan is stale.
    Held,
    /// Stopped by Ctrl-C.
    Stopped,
    /// As a program on a node did, which was run for its own sake.
    Program(u8),
}

impl Exit {
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Differs => 3,
            Exit::Denied => 4,
            Exit::Unreachable => 5,
            Exit::Suspended => 6,
            Exit::TimedOut => 7,
            Exit::Held => 8,
            Exit::Stopped => 130,
            Exit::Program(number) => number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}
