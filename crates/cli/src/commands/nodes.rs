//! `ideal nodes`: what a person does with nodes by hand. One file for each action; `view` is what is known of a node.

mod drain;
mod list;
mod replace;
mod show;
mod view;

use crate::arguments::{Global, Nodes, NodesAction};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(nodes: &Nodes, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &nodes.action {
        NodesAction::List(wanted) => list::run(wanted, global, output),
        NodesAction::Show(wanted) => show::run(wanted, global, output),
        NodesAction::Drain(wanted) => drain::drain(wanted, global, output),
        NodesAction::Return(wanted) => drain::back(wanted, global, output),
        NodesAction::Replace(wanted) => replace::run(wanted, global, output),
    }
}
