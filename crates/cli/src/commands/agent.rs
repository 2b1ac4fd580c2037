//! `ideal agent`: the half that lives on nodes. Started by machines, not by people; its words are read by hand,
//! so that nothing in a service's environment can get in the way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ideal_agent::{AgentCommand, AgentOptions, KeepOptions, Pace};

use crate::output::complain;

pub(crate) fn run(mut words: Vec<OsString>) -> ExitCode {
    let verb = if words.is_empty() { OsString::new() } else { words.remove(0) };
    if verb == "shim" {
        return ideal_agent::shim(words);
    }
    let Some(home) = words.iter().skip_while(|word| *word != "--home").nth(1).map(PathBuf::from) else {
        complain("`ideal agent` is started by machines: keep, run or shim, with --home DIR");
        return ExitCode::from(2);
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            complain(&format!("this program cannot be found: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let own = AgentCommand { program, args: vec!["agent".into()] };
    let result = match verb.to_str() {
        Some("keep") => {
            let detach = !words.iter().any(|word| word == "--foreground");
            ideal_agent::keep(&KeepOptions::new(home, own, detach))
        }
        Some("run") => ideal_agent::run(AgentOptions { home, own, pace: Pace::default() }),
        Some(verb @ ("give" | "take")) => {
            let path = words.last().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            let many = words.iter().any(|word| word == "--many");
            if verb == "give" { ideal_agent::give(home, &path) } else { ideal_agent::take(home, &path, many) }
        }
        _ => {
            complain("`ideal agent` has keep, run, shim, give and take");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
