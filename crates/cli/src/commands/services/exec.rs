//! `ideal services exec`: a program beside a replica, on its node and with its environment. As `ideal nodes exec` it is
//! a person's own hand and takes no lease.

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
        let Some((node, own)) = view.seen().filter(|(_, own)| own.pid.is_some() || own.container.is_some())
        else {
            let message = format!("{replica} runs nowhere now: it is {}", view.state());
            let failure = Failure::new("not-running", Exit::Unreachable, message);
            return Err(failure.next(format!("ideal services show {replica}        tells why")).into());
        };
        if own.container.is_some() || view.service.spec.image.is_some() {
            let message =
                format!("{replica} is a container, and running programs in containers is not there yet");
            let failure = Failure::new("in-a-container", Exit::Failed, message);
            let node = world.ideal.address(node);
            let id = own.container.as_deref().unwrap_or("ID");
            let by_hand =
                format!("ideal nodes exec {node} -- docker exec {id} COMMAND…        does it by hand");
            return Err(failure.next(by_hand).into());
        }
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
