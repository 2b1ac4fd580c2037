//! The agent as a program of its own, for tests: the product has one binary, and it is not built here.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a program for tests: failing loudly is its way"
)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ideal_agent::{AgentCommand, AgentOptions, KeepOptions, Pace};

fn main() -> ExitCode {
    let program = std::env::current_exe().expect("this program has a path");
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut leading = Vec::new();
    let mut pace = Pace::default();
    let mut longest_wait = Duration::from_secs(5);
    // A hasty agent spends its budget of restarts within a second.
    if words.first().is_some_and(|word| word == "--hasty") {
        leading.push(words.remove(0));
        longest_wait = Duration::from_millis(250);
        pace.first_wait = Duration::from_millis(5);
        pace.longest_wait = Duration::from_millis(50);
        pace.drift = Duration::from_millis(100);
        pace.sweep = Duration::from_millis(500);
    }
    let own = AgentCommand { program, args: leading };
    let verb = words.remove(0);
    let home =
        || PathBuf::from(words.iter().skip_while(|word| *word != "--home").nth(1).expect("--home DIR"));
    let result = match verb.to_str() {
        Some("keep") => {
            let detach = !words.iter().any(|word| word == "--foreground");
            ideal_agent::keep(&KeepOptions { longest_wait, ..KeepOptions::new(home(), own, detach) })
        }
        Some("run") => ideal_agent::run(AgentOptions { home: home(), own, pace }),
        Some("shim") => return ideal_agent::shim(words),
        _ => panic!("keep, run or shim"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
