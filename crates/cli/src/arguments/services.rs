//! `ideal services`: what a person does with services and their replicas by hand.

use clap::{Args, Subcommand};
use ideal_core::time::Span;

use super::{Listing, Logs, Pursuit};

/// `ideal services`
#[derive(Debug, Args)]
pub(crate) struct Services {
    #[command(subcommand)]
    pub(crate) action: ServicesAction,
}

/// What is done with services.
#[derive(Debug, Subcommand)]
pub(crate) enum ServicesAction {
    /// List replicas: where each is, how it is, and of which version
    #[command(
        after_help = "Examples:\n  ideal services list\n  ideal services list pub --where state!=running\n  ideal services list --sort -restarts --limit 10"
    )]
    List(ServicesList),
    /// Show a service or a replica: what is wanted, how far it is, and why it is where it is
    #[command(
        after_help = "Examples:\n  ideal services show pub\n  ideal services show pub[0]\n  ideal services show pub -o json"
    )]
    Show(ServicesShow),
    /// Move a replica to a node, with its mounts
    #[command(after_help = "Examples:\n  ideal services move pub[0] shop.web[2]")]
    Move(ServicesMove),
    /// Move replicas from nodes that carry many to nodes that carry few, one after the other
    #[command(
        after_help = "Examples:\n  ideal services rebalance\n  ideal services rebalance pub --dry-run\n  ideal services rebalance --data"
    )]
    Rebalance(ServicesRebalance),
    /// Start all replicas of a service again, a few at a time; or one of them, at once
    #[command(after_help = "Examples:\n  ideal services restart pub\n  ideal services restart pub[0]")]
    Restart(ServicesChange),
    /// Change no further replica of a service to its new version
    #[command(after_help = "Examples:\n  ideal services pause pub")]
    Pause(ServicesPause),
    /// Go on with a change that is paused, or try again one that was given up
    #[command(after_help = "Examples:\n  ideal services resume pub")]
    Resume(ServicesChange),
    /// Write another number of replicas into the file
    #[command(after_help = "Examples:\n  ideal services scale pub 6\n  ideal services scale pub 6 --up")]
    Scale(ServicesScale),
    /// The log of a replica, from wherever it is
    #[command(after_help = "Examples:\n  ideal services logs pub[0]\n  ideal services logs pub[0] -F")]
    Logs(Logs),
    /// Run a program beside a replica, with its environment; ends as it does
    #[command(after_help = "Examples:\n  ideal services exec pub[0] -- env")]
    Exec(ServicesExec),
}

/// `ideal services list`
#[derive(Debug, Args)]
pub(crate) struct ServicesList {
    /// Services or replicas: pub, pub[0]; without, everything
    #[arg(value_name = "SERVICE")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `ideal services show`
#[derive(Debug, Args)]
pub(crate) struct ServicesShow {
    /// A service pub, or a replica pub[0]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
}

/// `ideal services move`
#[derive(Debug, Args)]
pub(crate) struct ServicesMove {
    /// The replica: pub[0]
    #[arg(value_name = "REPLICA")]
    pub(crate) replica: String,
    /// Where to: shop.web[2]
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal services rebalance`
#[derive(Debug, Args)]
pub(crate) struct ServicesRebalance {
    /// Services or replicas: pub, pub[0]; without, all
    #[arg(value_name = "SERVICE")]
    pub(crate) names: Vec<String>,
    /// Also those with mounts, which move with them
    #[arg(long)]
    pub(crate) data: bool,
    /// Only show what would move
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal services restart` and `resume`
#[derive(Debug, Args)]
pub(crate) struct ServicesChange {
    /// The service: pub; to start one replica of it again: pub[0]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal services pause`
#[derive(Debug, Args)]
pub(crate) struct ServicesPause {
    /// The service: pub
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal services scale`
#[derive(Debug, Args)]
pub(crate) struct ServicesScale {
    /// The service: pub
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// How many replicas
    #[arg(value_name = "N")]
    pub(crate) replicas: u32,
    /// Apply the file at once, as ideal up does
    #[arg(long)]
    pub(crate) up: bool,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal services exec`
#[derive(Debug, Args)]
pub(crate) struct ServicesExec {
    /// The replica: pub[0]
    #[arg(value_name = "REPLICA")]
    pub(crate) replica: String,
    /// The program and its arguments; no shell reads them
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub(crate) command: Vec<String>,
    /// Give it standard input to read
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Kill it after this long (30s, 10m)
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<Span>,
}
