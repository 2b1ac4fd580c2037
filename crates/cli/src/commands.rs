//! One file for each command. They return how they ended; errors that end them early carry what to do next.

mod check;
mod completions;
mod explain;
mod init;
mod schema;
mod show;
mod version;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<Exit> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Init(init) => init::run(init, output),
        Command::Check(check) => check::run(check, global, output),
        Command::Show(show) => show::run(show, global, output),
        Command::Schema(schema) => schema::run(schema, output),
        Command::Explain(explain) => explain::run(explain, output),
        Command::Completions(completions) => completions::run(completions, output),
        Command::Version => version::run(output),
    }
}
