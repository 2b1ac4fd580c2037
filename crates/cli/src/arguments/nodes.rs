//! `ideal nodes`: what a person does with nodes by hand.

use clap::{Args, Subcommand};

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
    /// Stop what runs on nodes and take their volumes off, so that the machines may be touched
    #[command(after_help = "Examples:\n  ideal nodes drain shop.web[2]\n  ideal nodes return shop.web[2]")]
    Drain(NodesMove),
    /// Launch drained nodes again
    #[command(after_help = "Examples:\n  ideal nodes return shop.web[2]")]
    Return(NodesMove),
    /// Put other machines in the place of nodes, with the same volumes
    #[command(after_help = "Examples:\n  ideal nodes replace shop.web[2]")]
    Replace(NodesMove),
}

/// `ideal nodes drain`, `return` and `replace`
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
