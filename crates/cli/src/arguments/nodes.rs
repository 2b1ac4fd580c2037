//! `ideal nodes`: what a person does with nodes by hand.

use clap::{Args, Subcommand};
use ideal_core::time::Span;

use super::{Listing, Pursuit};

/// `ideal nodes`
#[derive(Debug, Args)]
pub(crate) struct Nodes {
    #[command(subcommand)]
    pub(crate) action: NodesAction,
}

/// What is done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodesAction {
    /// List nodes: how far each is, its machine, agent, mounts and services
    #[command(
        after_help = "Examples:\n  ideal nodes list\n  ideal nodes list shop.web --where state!=launched\n  ideal nodes list --sort -problems --limit 10"
    )]
    List(NodesList),
    /// Show everything of one node
    #[command(
        after_help = "Examples:\n  ideal nodes show shop.web[0]\n  ideal nodes show shop.web[0] -o json"
    )]
    Show(NodesShow),
    /// Run a program on nodes; ends as it does
    #[command(
        after_help = "Examples:\n  ideal nodes exec shop.web[0] -- uname -a\n  ideal nodes exec shop.web -- sh -c 'df -h | tail -n 3'\n  ideal nodes exec shop.db[0] -i -- sh -c 'cat > /tmp/dump' < dump"
    )]
    Exec(NodesExec),
    /// Copy files and folders to nodes, or from them
    #[command(
        after_help = "Examples:\n  ideal nodes copy shop.web[0]:/etc/motd .\n  ideal nodes copy site.conf certs shop.web:/srv/\n  ideal nodes copy shop.web:/var/log/app logs"
    )]
    Copy(NodesCopy),
    /// Open a terminal on a node, or run a program in it
    #[command(after_help = "Examples:\n  ideal nodes ssh shop.web[0]\n  ideal nodes ssh shop.web[0] -- top")]
    Ssh(NodesSsh),
    /// Stop what runs on nodes and take their volumes off, so that the machines may be touched
    #[command(after_help = "Examples:\n  ideal nodes drain shop.web[2]\n  ideal nodes return shop.web[2]")]
    Drain(NodesMove),
    /// Launch drained nodes again, and let them take replicas
    #[command(after_help = "Examples:\n  ideal nodes return shop.web[2]")]
    Return(NodesMove),
    /// Let nodes take no more replicas; what they have stays
    #[command(after_help = "Examples:\n  ideal nodes cordon shop.web[2]\n  ideal nodes uncordon shop.web[2]")]
    Cordon(NodesCordon),
    /// Let cordoned nodes take replicas again
    #[command(after_help = "Examples:\n  ideal nodes uncordon shop.web[2]")]
    Uncordon(NodesMove),
    /// Say that a machine is dead although nobody can see that it is, so that what it carried goes elsewhere
    #[command(after_help = "Examples:\n  ideal nodes confirm-dead shop.web[2]")]
    ConfirmDead(NodesConfirmDead),
    /// Put other machines in the place of nodes, with the same volumes
    #[command(after_help = "Examples:\n  ideal nodes replace shop.web[2]")]
    Replace(NodesMove),
}

/// `ideal nodes cordon`
#[derive(Debug, Args)]
pub(crate) struct NodesCordon {
    /// Clouds or nodes: shop.web, shop.web[2]
    #[arg(value_name = "ADDR", required = true)]
    pub(crate) addresses: Vec<String>,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal nodes confirm-dead`
#[derive(Debug, Args)]
pub(crate) struct NodesConfirmDead {
    /// A node: shop.web[2]
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal nodes drain`, `return`, `uncordon` and `replace`
#[derive(Debug, Args)]
pub(crate) struct NodesMove {
    /// Clouds or nodes: shop.web, shop.web[2]
    #[arg(value_name = "ADDR", required = true)]
    pub(crate) addresses: Vec<String>,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal nodes list`
#[derive(Debug, Args)]
pub(crate) struct NodesList {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `ideal nodes show`
#[derive(Debug, Args)]
pub(crate) struct NodesShow {
    /// A node: shop.web[2]; or a cloud that has one node
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
}

/// `ideal nodes exec`
#[derive(Debug, Args)]
pub(crate) struct NodesExec {
    /// Clouds or nodes: shop, shop.web, shop.web[2]
    #[arg(value_name = "ADDR", required = true)]
    pub(crate) addresses: Vec<String>,
    /// The program and its arguments; no shell reads them
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub(crate) command: Vec<String>,
    /// Give it standard input to read; for one node
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Kill it after this long (30s, 10m)
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<Span>,
    /// On how many nodes at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) at_once: u16,
}

/// `ideal nodes copy`
#[derive(Debug, Args)]
pub(crate) struct NodesCopy {
    /// What: ./here, or on nodes shop.web[0]:/etc/motd
    #[arg(value_name = "SOURCE", required = true, num_args = 1..)]
    pub(crate) sources: Vec<String>,
    /// Where to: a directory, one to be made (with / at its end), or a new name; ./here or shop.web:/tmp/
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
}

/// `ideal nodes ssh`
#[derive(Debug, Args)]
pub(crate) struct NodesSsh {
    /// A node: shop.web[2]; or a cloud that has one node
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
    /// A program and its arguments, instead of a shell
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<String>,
}
