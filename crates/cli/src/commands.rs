//! One file for each command. They return how they ended; errors that end them early carry what to do next.

mod adopt;
pub(crate) mod agent;
mod away;
mod check;
mod completions;
mod converge;
mod demand;
mod destroy;
mod diagnose;
mod doctor;
mod explain;
mod facts;
mod guard;
mod heal;
mod history;
mod import;
mod init;
mod logs;
mod nodes;
mod pause;
mod plan;
mod plugin;
mod prune;
mod push;
mod recipe;
mod reference;
mod release;
mod schema;
mod secret;
mod services;
mod show;
mod sim;
mod snapshots;
mod status;
mod up;
mod version;
mod volumes;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> anyhow::Result<Exit> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Init(init) => init::run(init, output),
        Command::Check(check) => check::run(check, global, output),
        Command::Import(wanted) => import::run(wanted, output),
        Command::Adopt(wanted) => adopt::run(wanted, global, output),
        Command::Show(show) => show::run(show, global, output),
        Command::Recipe(recipe) => recipe::run(recipe, global, output),
        Command::Plugin(plugin) => plugin::run(plugin, global, output),
        Command::Secret(secret) => secret::run(secret, global, output),
        Command::Reference(reference) => reference::run(reference, output),
        Command::Schema(schema) => schema::run(schema, output),
        Command::Explain(explain) => explain::run(explain, output),
        Command::Completions(completions) => completions::run(completions, output),
        Command::Version => version::run(output),
        Command::Plan(plan) => plan::run(plan, global, output),
        Command::Up(up) => up::run(up, global, output),
        Command::Wake(up) => up::wake(up, global, output),
        Command::Away(away) => away::run(away, global, output),
        Command::Heal(heal) => heal::run(heal, global, output),
        Command::Diagnose(diagnose) => diagnose::run(diagnose, global, output),
        Command::Converge(converge) => converge::run(converge, global, output),
        Command::Push(push) => push::run(push, global, output),
        Command::Pause(pause) => pause::run(pause, global, output),
        Command::Facts(facts) => facts::run(facts, global, output),
        Command::Demand(demand) => demand::run(demand, global, output),
        Command::Destroy(destroy) => destroy::run(destroy, global, output),
        Command::Release(release) => release::run(release, global, output),
        Command::Status(status) => status::run(status, global, output),
        Command::Volumes(volumes) => volumes::run(volumes, global, output),
        Command::Snapshots(snapshots) => snapshots::run(snapshots, global, output),
        Command::Prune(prune) => prune::run(prune, global, output),
        Command::History(history) => history::run(history, global, output),
        Command::Logs(logs) => logs::run(logs, global, output),
        Command::Services(services) => services::run(services, global, output),
        Command::Nodes(nodes) => nodes::run(nodes, global, output),
        Command::Doctor => doctor::run(global, output),
        Command::Guard(guard) => guard::run(guard, output),
        Command::Sim(sim) => sim::run(sim, output),
    }
}
