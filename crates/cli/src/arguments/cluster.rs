//! What the commands that touch a cluster take.

use std::path::PathBuf;

use clap::Args;
use ideal_core::demand::State;
use ideal_core::time::Span;

use super::resources::Which;

/// `ideal plan`
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// For this state instead of the one demanded
    #[arg(long, value_name = "STATE")]
    pub(crate) to: Option<State>,
    /// Save the plan, for `ideal up --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// As a graph in the DOT language
    #[arg(long)]
    pub(crate) dot: bool,
    /// End with 3 when something would change
    #[arg(long)]
    pub(crate) check: bool,
    /// Every step, also of long plans
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// What every command that pursues something takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Pursuit {
    /// Answer the questions with yes
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// With --yes, when data is destroyed: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Ask before each step
    #[arg(long)]
    pub(crate) step: bool,
    /// End after this long (30s, 10m); what was set going goes on
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<Span>,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal up`, `ideal wake`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// How far: instantiated, attached, mounted or launched
    #[arg(long, value_name = "STATE")]
    pub(crate) to: Option<State>,
    /// Do what `ideal plan --out` saved; refused when things have changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["addresses", "to", "blank", "restore"])]
    pub(crate) plan: Option<PathBuf>,
    /// This mount may begin empty although its data is missing
    #[arg(long, value_name = "ADDR")]
    pub(crate) blank: Vec<String>,
    /// This mount is made of an older snapshot, its own data being lost: shop.db[0]:data=s-12ab
    #[arg(long, value_name = "ADDR=SNAPSHOT")]
    pub(crate) restore: Vec<String>,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal away`
#[derive(Debug, Args)]
pub(crate) struct Away {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// Stop nodes and keep them and their volumes, which are snapshotted all the same
    #[arg(long)]
    pub(crate) keep_nodes: bool,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal heal`
#[derive(Debug, Args)]
pub(crate) struct Heal {
    /// With --only or --tags: clouds or nodes; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Keep looking and mending until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal demand`
#[derive(Debug, Args)]
pub(crate) struct Demand {
    /// Clouds or a node: shop, shop.web, shop.web[2]
    #[arg(value_name = "ADDR")]
    pub(crate) address: Option<String>,
    /// instantiated, attached, mounted, launched, unmounted, separated, snapshotted, haltable, halted or away
    #[arg(value_name = "STATE")]
    pub(crate) state: Option<State>,
}

/// `ideal destroy`
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Destroy the snapshots too: nothing is left
    #[arg(long)]
    pub(crate) snapshots: bool,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal release`
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Answer the question with yes
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// End with 3 when something is not as demanded
    #[arg(long)]
    pub(crate) check: bool,
    /// Look again and again until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `ideal history`
#[derive(Debug, Args)]
pub(crate) struct History {
    /// How many lines at most
    #[arg(long, default_value_t = 40, value_name = "N")]
    pub(crate) limit: u64,
    /// Every record, also intents and book-keeping
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `ideal logs`
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A replica hello[0], a node shop.web[1], or a run r-3
    pub(crate) target: String,
    /// How many lines
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    pub(crate) lines: usize,
    /// Go on showing what is added (-f names the file)
    #[arg(short = 'F', long)]
    pub(crate) follow: bool,
}

/// `ideal sim`
#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// Faults, crashes and the scenario follow from it
    #[arg(long)]
    pub(crate) seed: u64,
    /// This scenario instead of the seed's
    #[arg(long)]
    pub(crate) scenario: Option<String>,
}
