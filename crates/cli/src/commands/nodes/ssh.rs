//! `ideal nodes ssh`: a terminal on a node, by the way that its provider knows. This program becomes that one.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::arguments::{Global, NodesSsh};
use crate::crew;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::world::{World, wait_for};

/// The best shell that is there.
const SHELL: [&str; 3] = ["sh", "-c", "exec \"$(command -v bash || echo sh)\""];

pub(crate) fn run(wanted: &NodesSsh, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slot = crew::node(&world, &wanted.address)?;
    let node = world.ideal.address(slot);
    let way_in = wait_for(async {
        let way = crew::way(&world, slot).await?;
        let Some(provider) = world.provider(&way.provider) else {
            anyhow::bail!("its provider is not known")
        };
        let way_in = provider.way_in(&way.machine, io::stdin().is_terminal()).await;
        Ok(way_in.map_err(|error| {
            Failure::new("no-way-in", Exit::Failed, format!("{node}: {error}"))
                .next(format!("ideal nodes exec {node} -- COMMAND        runs one program"))
        })?)
    })?;
    let mut words = way_in.words;
    match wanted.command.is_empty() {
        true => words.extend(SHELL.map(str::to_owned)),
        false => words.extend(wanted.command.iter().cloned()),
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(way_in.environment);
    if let Some(at) = way_in.at {
        command.current_dir(at);
    }
    // It comes back only when that fails.
    let error = command.exec();
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let message = format!("{node}: `{}` cannot be started: {error}", words[0]);
    let failure = Failure::new("no-program", Exit::Program(code), message);
    Err(failure.next(format!("ideal nodes exec {node} -- COMMAND        needs no program here")).into())
}
