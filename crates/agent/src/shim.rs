//! What a service is for the instant before it becomes itself: its own session, its limits, its user, then the program.
//!
//! Marks, folder, environment and log were set by the agent when it started this; only what needs a process of
//! its own between fork and exec is left to do here.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Becomes `args`, after `--enter FILE` (of a control group, any number of them) and `--as UID:GID`. Comes back only
/// when that fails; then says why where the service's log is, and answers 127 as a shell would.
pub fn shim(args: Vec<OsString>) -> ExitCode {
    let failed = |why: String| {
        let _ = writeln!(io::stderr(), "{why}");
        ExitCode::from(127)
    };
    let mut args = args.into_iter();
    let mut user = None;
    for word in args.by_ref() {
        let word = word.to_string_lossy();
        if word == "--" {
            break;
        }
        if let Some(door) = word.strip_prefix("--enter=") {
            // Zero is who writes.
            if let Err(error) = std::fs::write(door, "0") {
                return failed(format!("cannot enter the control group {door}: {error}"));
            }
        } else if let Some(ids) = word.strip_prefix("--as=") {
            let ids = ids.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
            let Some(ids) = ids else { return failed(format!("`{word}` is not a user and a group")) };
            user = Some(ids);
        }
    }
    let Some(program) = args.next() else { return ExitCode::from(127) };
    // Already a leader (started by hand from a shell): the service then shares that session, which is no harm.
    let _ = rustix::process::setsid();
    let mut command = Command::new(&program);
    command.args(args);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    let error = command.exec();
    failed(format!("cannot start {}: {error}", program.display()))
}
