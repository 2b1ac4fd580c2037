//! `ideal volumes`: what a person does with the data of mounts. One file for each action.

mod grow;
mod list;
mod restore;
mod show;
mod snapshot;
mod verify;

use crate::arguments::{Global, Volumes, VolumesAction};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) use show::kind;

pub(crate) fn run(volumes: &Volumes, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &volumes.action {
        VolumesAction::List(wanted) => list::run(wanted, global, output),
        VolumesAction::Show(wanted) => show::run(wanted, global, output),
        VolumesAction::Snapshot(wanted) => snapshot::run(wanted, global, output),
        VolumesAction::Verify(wanted) => verify::run(wanted, global, output),
        VolumesAction::Restore(wanted) => restore::run(wanted, global, output),
        VolumesAction::Grow(wanted) => grow::run(wanted, global, output),
    }
}
