//! `ideal completions`: a script for a shell.

use clap::CommandFactory;

use crate::arguments::{Arguments, Completions};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(completions: &Completions, output: &Output) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Arguments::command(), "ideal", &mut script);
    output.result(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
