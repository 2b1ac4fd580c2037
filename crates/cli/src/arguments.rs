//! The tree of commands. A new one is a variant here, a file in `commands`, and an arm in `commands::run`.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

mod author;
mod cluster;
pub(crate) mod data;
mod existing;
mod guard;
mod listing;
mod nodes;
mod resources;
mod services;

pub(crate) use author::{
    Plugin, PluginAction, Recipe, RecipeAction, RecipeRun, Reference, Secret, SecretAction,
};
pub(crate) use cluster::{
    Away, Demand, Destroy, Heal, History, Logs, Plan, Pursuit, Release, Sim, Status, Up,
};
pub(crate) use data::{Snapshots, SnapshotsAction, Volumes, VolumesAction};
pub(crate) use existing::{Adopt, AdoptWhat, Import, ImportFormat};
pub(crate) use guard::Guard;
pub(crate) use listing::Listing;
pub(crate) use nodes::{
    Nodes, NodesAction, NodesConfirmDead, NodesCopy, NodesCordon, NodesExec, NodesList, NodesMove, NodesShow,
    NodesSsh,
};
pub(crate) use resources::{Converge, Diagnose, Facts, Pause, Push};
pub(crate) use services::{
    Services, ServicesAction, ServicesChange, ServicesExec, ServicesList, ServicesMove, ServicesPause,
    ServicesRebalance, ServicesScale, ServicesShow,
};

/// Describe what should be; ideal makes it so and keeps it so.
#[derive(Debug, Parser)]
#[command(name = "ideal", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The ideal file; else $IDEAL_FILE, else the nearest ideal.yaml upwards
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How results are written: human, plain, json or jsonl; else $IDEAL_OUTPUT
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        hide_possible_values = true,
        env = "IDEAL_OUTPUT",
        hide_env = true,
        default_value = "human"
    )]
    pub(crate) output: Format,
    /// Never use colours (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Only results and problems
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people at a terminal
    Human,
    /// Without drawings and colours
    Plain,
    /// One JSON document
    Json,
    /// One JSON document for each line
    Jsonl,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a starter ideal.yaml that runs on this machine
    #[command(after_help = "Examples:\n  ideal init\n  ideal init lab\n  ideal init lab --name shop")]
    Init(Init),
    /// Check the ideal file; contacts nothing
    #[command(after_help = "Examples:\n  ideal check\n  ideal check --fix\n  ideal check other.yaml -o json")]
    Check(Check),
    /// Turn the file of an older system into an ideal file
    #[command(
        after_help = "Examples:\n  ideal import wucluster wucluster.yaml --to ideal.yaml\n  ideal import cloudera ec2-storage-gibbon.json"
    )]
    Import(Import),
    /// Show what a provider has that is nobody's, as lines for the ideal file; touches nothing
    #[command(after_help = "Examples:\n  ideal adopt volumes\n  ideal adopt machines")]
    Adopt(Adopt),
    /// Show the effective ideal, each value with where it came from
    #[command(after_help = "Examples:\n  ideal show\n  ideal show shop.web\n  ideal show -o json")]
    Show(Show),
    /// Show what would change and why; changes nothing
    #[command(
        after_help = "Examples:\n  ideal plan --to launched\n  ideal plan shop.web --to away\n  ideal plan --check"
    )]
    Plan(Plan),
    /// Make the cluster launched, or as far as --to says
    #[command(after_help = "Examples:\n  ideal up\n  ideal up shop.web\n  ideal up --to mounted --yes")]
    Up(Up),
    /// Put it away: snapshot, detach, end; nothing of it runs and no byte is lost
    #[command(after_help = "Examples:\n  ideal away\n  ideal away shop.web\n  ideal away --yes -o json")]
    Away(Away),
    /// Bring an away cluster back from its snapshots
    #[command(after_help = "Examples:\n  ideal wake\n  ideal wake shop.db\n  ideal wake --timeout 10m")]
    Wake(Up),
    /// Find what is not as demanded and mend it
    #[command(after_help = "Examples:\n  ideal heal\n  ideal heal --watch\n  ideal heal --dry-run")]
    Heal(Heal),
    /// Look at every resource of every node and say what is not right; changes nothing
    #[command(
        after_help = "Examples:\n  ideal diagnose\n  ideal diagnose shop.web -v\n  ideal diagnose --only 'file /etc/motd' --run-checks"
    )]
    Diagnose(Diagnose),
    /// On a node itself: make its resources right, from the ideal file or from what was pushed
    #[command(
        after_help = "Examples:\n  ideal converge --as shop.web[0]\n  ideal converge --dry-run\n  ideal converge --watch"
    )]
    Converge(Converge),
    /// Bring slices, recipes and files to nodes without putting them in force
    #[command(after_help = "Examples:\n  ideal push\n  ideal push shop.web")]
    Push(Push),
    /// Leave resources alone for a time, and say why
    #[command(
        after_help = "Examples:\n  ideal pause shop.web --for 2h --why 'trying a setting'\n  ideal pause shop.db[0] --only 'file /etc/motd' --for 30m --why demo\n  ideal pause --end"
    )]
    Pause(Pause),
    /// What is known of nodes: system, disks, addresses, packages, data
    #[command(
        after_help = "Examples:\n  ideal facts shop.web[0]\n  ideal facts -o json\n  ideal facts --here"
    )]
    Facts(Facts),
    /// What is demanded; or demand another state without pursuing it
    #[command(
        after_help = "Examples:\n  ideal demand\n  ideal demand shop.web away\n  ideal demand shop launched"
    )]
    Demand(Demand),
    /// End the cluster for good; its snapshots only with --snapshots
    #[command(
        after_help = "Examples:\n  ideal destroy\n  ideal destroy --snapshots\n  ideal destroy --snapshots --yes --name shop"
    )]
    Destroy(Destroy),
    /// Stop managing it; everything keeps running
    Release(Release),
    /// Ideal against actual, on one screen
    #[command(after_help = "Examples:\n  ideal status\n  ideal status --check\n  ideal status --watch")]
    Status(Status),
    /// Nodes: list them, show one, run programs on them, copy files, open a terminal
    #[command(
        after_help = "Examples:\n  ideal nodes list\n  ideal nodes show shop.web[0]\n  ideal nodes exec shop.web -- uptime"
    )]
    Nodes(Nodes),
    /// Services: list replicas, show why each is where it is, move, restart and scale them
    #[command(
        after_help = "Examples:\n  ideal services list\n  ideal services show pub[0]\n  ideal services move pub[0] shop.web[2]\n  ideal services restart pub"
    )]
    Services(Services),
    /// Volumes: list, show and grow them, take, try and restore their snapshots
    #[command(
        after_help = "Examples:\n  ideal volumes list\n  ideal volumes snapshot shop.db[0]:data\n  ideal volumes verify\n  ideal volumes grow shop.db[0]:data 40GiB"
    )]
    Volumes(Volumes),
    /// Snapshots: list them, delete superfluous ones
    #[command(after_help = "Examples:\n  ideal snapshots list\n  ideal snapshots prune --dry-run")]
    Snapshots(Snapshots),
    /// End what the file no longer wants; shown first
    #[command(after_help = "Examples:\n  ideal prune --dry-run\n  ideal prune\n  ideal prune --snapshots")]
    Prune(data::Prune),
    /// What happened, newest last
    #[command(
        after_help = "Examples:\n  ideal history\n  ideal history --limit 100 -v\n  ideal history -o jsonl"
    )]
    History(History),
    /// The log of a service, of a node's agent, or of a run
    #[command(after_help = "Examples:\n  ideal logs hello[0]\n  ideal logs shop.web[1] -F\n  ideal logs r-3")]
    Logs(Logs),
    /// Check file, store, provider, clock and agents; says how to mend
    Doctor,
    /// Heal labelled containers of this host; needs no ideal file
    #[command(
        after_help = "Examples:\n  docker run -d --label ideal.heal=restart my/pub\n  ideal guard\n  ideal guard --status"
    )]
    Guard(Guard),
    /// Recipes: begin one, list them, show what one takes
    #[command(
        after_help = "Examples:\n  ideal recipe list\n  ideal recipe show nginx\n  ideal recipe new site"
    )]
    Recipe(Recipe),
    /// Plugins: begin one
    #[command(after_help = "Examples:\n  ideal plugin new greeting")]
    Plugin(Plugin),
    /// Secrets: set, edit, renew and list them; no value is ever shown
    #[command(
        after_help = "Examples:\n  ideal secret set token\n  pass show token | ideal secret set token\n  ideal secret rotate token --length 48\n  ideal secret list"
    )]
    Secret(Secret),
    /// Write the reference pages of resources
    #[command(hide = true)]
    Reference(Reference),
    /// Print a JSON Schema: of the ideal file, recipes, facts and plugins
    Schema(Schema),
    /// Tell what a diagnostic or a cause of waiting means and how to mend it
    #[command(
        after_help = "Examples:\n  ideal explain ideal/unknown-key\n  ideal explain unknown-key\n  ideal explain"
    )]
    Explain(Explain),
    /// Print a completion script for a shell
    #[command(
        after_help = "Examples:\n  ideal completions bash > ~/.local/share/bash-completion/completions/ideal"
    )]
    Completions(Completions),
    /// Print the version
    Version,
    /// Play a seed of the simulation
    #[command(hide = true)]
    Sim(Sim),
}

/// `ideal init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder; it is made when missing
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The name of the outermost cloud
    #[arg(long, default_value = "shop")]
    pub(crate) name: String,
}

/// `ideal check`
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The ideal file, instead of -f
    pub(crate) path: Option<PathBuf>,
    /// Write missing uuids into the files and change nothing else
    #[arg(long)]
    pub(crate) fix: bool,
}

/// `ideal show`
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A cloud or service: shop.web
    #[arg(value_name = "ADDR")]
    pub(crate) address: Option<String>,
}

/// `ideal schema`
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what
    #[arg(default_value = "file")]
    pub(crate) of: SchemaOf,
}

/// What there is a schema of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The ideal file
    File,
    /// recipe.yaml
    Recipe,
    /// What is known of a node
    Facts,
    /// What plugins are asked and answer
    Plugin,
}

/// `ideal explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// ideal/unknown-key, or only unknown-key; without it, all are listed
    pub(crate) code: Option<String>,
}

/// `ideal completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Says why the arguments cannot be read. Help and version come this way too.
pub(crate) fn refuse(error: &clap::Error) -> Exit {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand)
    {
        let near = match error.get(ContextKind::SuggestedSubcommand) {
            Some(ContextValue::Strings(near)) => near.last().cloned(),
            Some(ContextValue::String(near)) => Some(near.clone()),
            _ => None,
        };
        let next = match near {
            Some(near) => format!("did you mean `ideal {near}`?"),
            None => "`ideal --help` lists the commands".to_owned(),
        };
        crate::output::complain(&format!("there is no command `{wrong}`; {next}"));
        return Exit::BadInput;
    }
    // Where it cannot be printed, nobody is there to read it.
    _ = error.print();
    if error.use_stderr() { Exit::BadInput } else { Exit::Done }
}
