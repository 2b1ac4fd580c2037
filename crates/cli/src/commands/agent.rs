//! `ideal agent`: the half that lives on nodes. Started by machines, not by people; its words are read by hand,
//! so that nothing in a service's environment can get in the way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ideal_agent::{AgentCommand, AgentOptions, KeepOptions, Pace};

use crate::output::{self, complain};

pub(crate) fn run(mut words: Vec<OsString>) -> ExitCode {
    let verb = if words.is_empty() { OsString::new() } else { words.remove(0) };
    if verb == "shim" {
        return ideal_agent::shim(words);
    }
    match verb.to_str() {
        Some("install") => return answer(&ideal_agent::install()),
        Some("leave") => return answer(&ideal_agent::leave()),
        Some("dial-stdio") => return ended(ideal_agent::dial()),
        _ => {}
    }
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).map(PathBuf::from);
    let Some(home) = after("--home") else {
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
            // Where it is a link, another program may be put in its place while the keeper lives.
            let program = after("--agent").unwrap_or(own.program);
            ideal_agent::keep(&KeepOptions::new(home, AgentCommand { program, ..own }, detach))
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
    ended(result)
}

/// Who asked reads the answer and not the code.
fn answer(line: &str) -> ExitCode {
    output::answer(line);
    ExitCode::SUCCESS
}

fn ended(result: Result<(), ideal_agent::AgentError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
