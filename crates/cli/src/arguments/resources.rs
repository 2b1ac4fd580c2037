//! What the commands take that look at resources, or keep them right.

use std::path::PathBuf;

use clap::Args;
use ideal_core::time::Span;

/// Which resources are meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Which {
    /// This resource only, by name or by kind and key: 'file /etc/motd'
    #[arg(long, value_name = "LABEL")]
    pub(crate) only: Vec<String>,
    /// Resources with this tag only
    #[arg(long, value_name = "TAG")]
    pub(crate) tags: Vec<String>,
}

/// `ideal diagnose`
#[derive(Debug, Args)]
pub(crate) struct Diagnose {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Run programs of yours (`unless`, plugins) that tell whether something is right
    #[arg(long)]
    pub(crate) run_checks: bool,
    /// Every resource, also what is right
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// End with 3 when something is not right
    #[arg(long)]
    pub(crate) check: bool,
}

/// `ideal converge`
#[derive(Debug, Args)]
pub(crate) struct Converge {
    /// Which node of the file this machine is: shop.web[0]; remembered for the next time
    #[arg(long = "as", value_name = "ADDR")]
    pub(crate) node: Option<String>,
    /// Where it is remembered who this machine is and what was done
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ideal")]
    pub(crate) home: PathBuf,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only look, and say what differs
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: run programs of yours that tell whether something is right
    #[arg(long)]
    pub(crate) run_checks: bool,
    /// Go on: notice what changes and make it right, until Ctrl-C
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) watch: bool,
    /// Every resource, also what is right
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `ideal push`
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal pause`
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// This resource only, by name or by kind and key: 'file /etc/motd'
    #[arg(long, value_name = "LABEL")]
    pub(crate) only: Vec<String>,
    /// How long; it ends by itself
    #[arg(long = "for", value_name = "SPAN", required_unless_present = "end")]
    pub(crate) span: Option<Span>,
    /// Why: everybody who looks is told
    #[arg(long, value_name = "TEXT", required_unless_present = "end")]
    pub(crate) why: Option<String>,
    /// End every pause now
    #[arg(long, conflicts_with_all = ["only", "span", "why"])]
    pub(crate) end: bool,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal facts`
#[derive(Debug, Args)]
pub(crate) struct Facts {
    /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// With a checksum of each volume and database, which reads all of it
    #[arg(long)]
    pub(crate) checksums: bool,
    /// Of this machine itself, without any cluster
    #[arg(long, conflicts_with = "addresses")]
    pub(crate) here: bool,
}
