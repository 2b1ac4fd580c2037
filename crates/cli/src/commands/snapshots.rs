//! `ideal snapshots`: seals and backups, listed and pruned.

mod list;
mod prune;

use crate::arguments::{Global, Snapshots, SnapshotsAction};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(snapshots: &Snapshots, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &snapshots.action {
        SnapshotsAction::List(wanted) => list::run(wanted, global, output),
        SnapshotsAction::Prune(wanted) => prune::run(wanted, global, output),
    }
}
