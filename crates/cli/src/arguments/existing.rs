//! Commands for those who have something already: files of older systems, and things that a provider has.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `ideal import`
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) format: ImportFormat,
}

/// What is imported.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportFormat {
    /// The YAML of wucluster: clusters by role and instance, with their volumes
    #[command(
        after_help = "Examples:\n  ideal import wucluster ~/.configliere/wucluster.yaml --to ideal.yaml"
    )]
    Wucluster {
        #[command(flatten)]
        from: ImportFile,
    },
    /// The storage file of Cloudera's scripts: ec2-storage-NAME.json
    #[command(
        after_help = "Examples:\n  ideal import cloudera ec2-storage-gibbon.json\n  ideal import cloudera storage.json --name gibbon --to ideal.yaml"
    )]
    Cloudera {
        #[command(flatten)]
        from: ImportFile,
        /// The name of the cluster; without it, as the file is called: ec2-storage-NAME.json
        #[arg(long)]
        name: Option<String>,
    },
}

/// From where and to where.
#[derive(Debug, Args)]
pub(crate) struct ImportFile {
    /// The older file; - reads standard input
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// Write the ideal file there instead of printing it; never over another
    #[arg(long, value_name = "NEW")]
    pub(crate) to: Option<PathBuf>,
}

/// `ideal adopt`
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    #[command(subcommand)]
    pub(crate) what: AdoptWhat,
}

/// What is looked for.
#[derive(Debug, Subcommand)]
pub(crate) enum AdoptWhat {
    /// Volumes that are nobody's, as mounts that take them over
    #[command(after_help = "Examples:\n  ideal adopt volumes\n  ideal adopt volumes --provider aws -o jsonl")]
    Volumes {
        /// Only of this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
    /// Machines that run and are nobody's, as a provider of kind ssh
    #[command(after_help = "Examples:\n  ideal adopt machines\n  ideal adopt machines -o json")]
    Machines {
        /// Only of this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
}
