//! `ideal nodes`: what a person does with nodes by hand. One file for each action; `view` is what is known of a node.

mod confirm;
mod copy;
mod cordon;
mod drain;
pub(super) mod exec;
mod list;
mod replace;
mod show;
mod ssh;
mod view;

use crate::arguments::{Global, Nodes, NodesAction};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(nodes: &Nodes, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &nodes.action {
        NodesAction::Copy(wanted) => copy::run(wanted, global, output),
        NodesAction::Exec(wanted) => exec::run(wanted, global, output),
        NodesAction::List(wanted) => list::run(wanted, global, output),
        NodesAction::Show(wanted) => show::run(wanted, global, output),
        NodesAction::Ssh(wanted) => ssh::run(wanted, global, output),
        NodesAction::Drain(wanted) => drain::drain(wanted, global, output),
        NodesAction::Return(wanted) => drain::back(wanted, global, output),
        NodesAction::Cordon(wanted) => cordon::cordon(wanted, global, output),
        NodesAction::Uncordon(wanted) => cordon::uncordon(wanted, global, output),
        NodesAction::ConfirmDead(wanted) => confirm::run(wanted, global, output),
        NodesAction::Replace(wanted) => replace::run(wanted, global, output),
    }
}
