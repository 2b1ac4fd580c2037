//! What every command takes that lists things.

use clap::Args;

/// Which rows of a list are shown, and in which order.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Listing {
    /// Only rows of which this holds: 'state=launched,cloud=shop.web'; also KEY!=VALUE
    #[arg(long = "where", value_name = "KEY=VALUE,...")]
    pub(crate) conditions: Vec<String>,
    /// In the order of this key; -KEY: the last first
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// The first N rows only
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}
