//! `ideal services`: what a person does with services by hand. One file for each action.

mod change;
mod exec;
mod list;
mod moving;
mod rebalance;
mod scale;
mod show;

use crate::arguments::{Global, Services, ServicesAction};
use crate::commands::logs;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(services: &Services, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &services.action {
        ServicesAction::List(wanted) => list::run(wanted, global, output),
        ServicesAction::Show(wanted) => show::run(wanted, global, output),
        ServicesAction::Move(wanted) => moving::run(wanted, global, output),
        ServicesAction::Rebalance(wanted) => rebalance::run(wanted, global, output),
        ServicesAction::Restart(wanted) => change::restart(wanted, global, output),
        ServicesAction::Pause(wanted) => change::pause(wanted, global, output),
        ServicesAction::Resume(wanted) => change::resume(wanted, global, output),
        ServicesAction::Scale(wanted) => scale::run(wanted, global, output),
        ServicesAction::Logs(wanted) => logs::of_one(wanted, global, output),
        ServicesAction::Exec(wanted) => exec::run(wanted, global, output),
    }
}
