//! `ideal status`: one look, one screen.

use std::io::IsTerminal;
use std::time::Duration;

use crate::arguments::{self, Global};
use crate::exit::Exit;
use crate::output::Output;
use crate::render::status::{Status, for_scripts};
use crate::world::{World, wait_for};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) fn run(wanted: &arguments::Status, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        loop {
            let glance = world.glance().await?;
            let status = Status::of(&world.name(), &glance);
            if output.is_json() {
                output.document("status", for_scripts(&status))?;
            } else {
                // Each look begins at the top of the screen, where there is one.
                let top = wanted.watch && std::io::stdout().is_terminal();
                let clear = if top { "\u{1b}[H\u{1b}[2J" } else { "" };
                output.result(&format!("{clear}{}", status.render(&glance)));
            }
            if !wanted.watch {
                world.sweep();
                return Ok(if wanted.check && !status.good { Exit::Differs } else { Exit::Done });
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}
