//! The program `ideal`. The only crate that prints.
//!
//! Reading order: `arguments` (the tree of commands), `commands` (one file each), `output` (where words go),
//! `exit` (what the number at the end means), `project` (which file is meant), `render` (how things look).

mod arguments;
mod commands;
mod exit;
mod failure;
mod output;
mod project;
mod render;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
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
