//! What the commands that look after data take.

use clap::{Args, Subcommand};
use ideal_core::time::Bytes;

use super::{Listing, Pursuit};

/// `ideal volumes`
#[derive(Debug, Args)]
pub(crate) struct Volumes {
    #[command(subcommand)]
    pub(crate) action: VolumesAction,
}

/// What is done with volumes.
#[derive(Debug, Subcommand)]
pub(crate) enum VolumesAction {
    /// List mounts: each with its volume, or with the snapshot that it sleeps in
    #[command(
        after_help = "Examples:\n  ideal volumes list\n  ideal volumes list shop.db --where state=mounted\n  ideal volumes list --sort -backups"
    )]
    List(Some),
    /// Show everything of one mount
    #[command(after_help = "Examples:\n  ideal volumes show shop.db[0]:data")]
    Show(One),
    /// Take a snapshot now, of mounts in use too
    #[command(after_help = "Examples:\n  ideal volumes snapshot shop.db[0]:data\n  ideal volumes snapshot")]
    Snapshot(Snapshot),
    /// Try snapshots: restore each aside, read it back and compare
    #[command(
        after_help = "Examples:\n  ideal volumes verify\n  ideal volumes verify shop.db[0]:data --all\n  ideal volumes verify --snapshot s-12ab34cd56ef"
    )]
    Verify(Verify),
    /// Go back to an older snapshot; what is there now is sealed first
    #[command(after_help = "Examples:\n  ideal volumes restore shop.db[0]:data --from s-12ab34cd56ef")]
    Restore(Restore),
    /// Make the volumes of a mount larger: in the file, and in fact
    #[command(after_help = "Examples:\n  ideal volumes grow shop.db[0]:data 40GiB")]
    Grow(Grow),
}

/// Which mounts, and how the list is shown.
#[derive(Debug, Args)]
pub(crate) struct Some {
    /// Clouds, nodes or mounts: shop.db, shop.db[0], shop.db[0]:data; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// One mount.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// A mount: shop.db[0]:data
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
}

/// `ideal volumes snapshot`
#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    /// Clouds, nodes or mounts; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal volumes verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Clouds, nodes or mounts; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// Every snapshot, not only the newest of each mount
    #[arg(long)]
    pub(crate) all: bool,
    /// These snapshots
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub(crate) snapshot: Vec<String>,
}

/// `ideal volumes restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A mount: shop.db[0]:data
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
    /// The snapshot, as `ideal snapshots list` shows it
    #[arg(long, value_name = "ID")]
    pub(crate) from: String,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal volumes grow`
#[derive(Debug, Args)]
pub(crate) struct Grow {
    /// A mount of any node of the cloud: all of them grow, for they are alike
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,
    /// How large: 40GiB
    #[arg(value_name = "SIZE")]
    pub(crate) size: Bytes,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}

/// `ideal snapshots`
#[derive(Debug, Args)]
pub(crate) struct Snapshots {
    #[command(subcommand)]
    pub(crate) action: SnapshotsAction,
}

/// What is done with snapshots.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotsAction {
    /// List snapshots: seals and backups
    #[command(
        after_help = "Examples:\n  ideal snapshots list\n  ideal snapshots list shop.db[0]:data --where kind=seal\n  ideal snapshots list --sort -taken --limit 5"
    )]
    List(Some),
    /// Delete those that newer ones have made superfluous; never the last seal
    #[command(
        after_help = "Examples:\n  ideal snapshots prune --dry-run\n  ideal snapshots prune shop.db --seals 1 --yes"
    )]
    Prune(PruneSnapshots),
}

/// `ideal snapshots prune`
#[derive(Debug, Args)]
pub(crate) struct PruneSnapshots {
    /// Clouds, nodes or mounts; without, everything
    #[arg(value_name = "ADDR")]
    pub(crate) addresses: Vec<String>,
    /// How many seals of each mount stay; else `policy: {seals: N}` of the file
    #[arg(long, value_name = "N")]
    pub(crate) seals: Option<u32>,
    /// How many backups of each mount stay; else `backup: {keep: N}` of the mount
    #[arg(long, value_name = "N")]
    pub(crate) backups: Option<u32>,
    /// Only show which
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer the question with yes
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal prune`
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The snapshots of what left the file too
    #[arg(long)]
    pub(crate) snapshots: bool,
    /// Only show what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) pursuit: Pursuit,
}
