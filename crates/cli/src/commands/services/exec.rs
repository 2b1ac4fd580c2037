//! `ideal services exec`: a program beside a replica, in its container or on its node, with its environment. As `ideal
//! nodes exec` it is a person's own hand and takes no lease.

use crate::arguments::{Global, NodesExec, ServicesExec};
use crate::commands::nodes::exec;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::replicas;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &ServicesExec, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let view = replicas::one(&glance, &wanted.replica)?;
        let replica = view.address();
        let Some((node, _)) = view.seen().filter(|(_, own)| own.pid.is_some() || own.container.is_some())
        else {
            let message = format!("{replica} runs nowhere now: it is {}", view.state());
            let failure = Failure::new("not-running", Exit::Unreachable, message);
            return Err(failure.next(format!("ideal services show {replica}        tells why")).into());
        };
        let program = NodesExec {
            addresses: Vec::new(),
            command: wanted.command.clone(),
            stdin: wanted.stdin,
            timeout: wanted.timeout,
            at_once: 1,
        };
        exec::beside(&program, &world, node, &replica, output).await
    })
}
