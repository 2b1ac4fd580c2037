//! The arguments of `ideal guard`.

use std::path::PathBuf;

use clap::Args;
use ideal_core::time::Span;

/// `ideal guard`
#[derive(Debug, Args)]
pub(crate) struct Guard {
    /// The socket of the container engine; else $DOCKER_HOST, else /var/run/docker.sock
    #[arg(long, value_name = "SOCKET")]
    pub(crate) engine: Option<PathBuf>,
    /// The file that proves that the guard lives
    #[arg(long, value_name = "PATH")]
    pub(crate) heartbeat: Option<PathBuf>,
    /// How long a container that is not well has to end by itself
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub(crate) grace: Span,
    /// Say whether a guard lives, by its heartbeat, and end: 3 when none does
    #[arg(long)]
    pub(crate) status: bool,
    /// With --status: how old the heartbeat may be
    #[arg(long, value_name = "SPAN", default_value = "30s", requires = "status")]
    pub(crate) older_than: Span,
}
