//! What a service is for the instant before it becomes itself: its own session, then the program.
//!
//! Marks, folder, environment and log were set by the agent when it started this; only what needs a process of
//! its own between fork and exec is left to do here.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Becomes `args`. Comes back only when that fails; then says why where the service's log is, and answers 127
/// as a shell would.
pub fn shim(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter().skip_while(|word| word == "--");
    let Some(program) = args.next() else { return ExitCode::from(127) };
    // Already a leader (started by hand from a shell): the service then shares that session, which is no harm.
    let _ = rustix::process::setsid();
    let error = Command::new(&program).args(args).exec();
    let _ = writeln!(io::stderr(), "cannot start {}: {error}", program.display());
    ExitCode::from(127)
}
