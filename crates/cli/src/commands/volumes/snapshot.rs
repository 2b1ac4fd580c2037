//! `ideal volumes snapshot`: a snapshot now, whatever the file says of backups.

use ideal_core::observed::VolumeState;
use ideal_core::planner::back_up;

use crate::arguments::{Global, data};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::handwork;
use crate::mounts;
use crate::output::Output;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::Snapshot, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let mut steps = Vec::new();
        for view in mounts::of(&glance, &wanted.addresses)? {
            if let Some(volume) = view.volume().filter(|own| own.state == VolumeState::Ready) {
                steps.push(back_up(
                    &view.part,
                    volume,
                    ideal_host::now(),
                    "a person asked for it".to_owned(),
                ));
            }
        }
        if steps.is_empty() {
            let message = "there is no volume of which a snapshot could be taken";
            let failure = Failure::new("no-volume", Exit::BadInput, message);
            return Err(failure.next("ideal volumes list        shows how each mount is").into());
        }
        let done = handwork::carry_out(&world, &steps, "volumes snapshot", wanted.take_over, output).await?;
        done.tell(&world, output, "snapshot", "taken")
    })
}
