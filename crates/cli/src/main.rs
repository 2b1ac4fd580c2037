//! The program `ideal`. The only crate that prints.
//!
//! Reading order: `arguments` (the tree of commands), `commands` (one file each), `output` (where words go),
//! `exit` (what the number at the end means), `project` (which file is meant), `world` (what the file stands
//! for), `errand` (an engine sent out), `handwork` (steps that a person asks for), `render` (how things look).

mod arguments;
mod ask;
mod commands;
mod crew;
mod errand;
mod exit;
mod failure;
mod goods;
mod handwork;
mod ladder;
mod mounts;
mod output;
mod project;
mod recipes;
mod render;
mod replicas;
mod saved;
mod scopes;
mod world;
mod write_new;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Before anything reads the environment: that of a service is none of our business.
    if std::env::args_os().nth(1).is_some_and(|word| word == "agent") {
        return commands::agent::run(std::env::args_os().skip(2).collect());
    }
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return arguments::refuse(&error).into(),
    };
    let output = output::Output::new(&arguments.global);
    let exit = match commands::run(&arguments, &output) {
        Ok(exit) => exit,
        Err(error) => output.failure(&error),
    };
    exit.into()
}
