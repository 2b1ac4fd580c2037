//! Commands for those who write recipes, plugins and secrets.

use clap::{Args, Subcommand};

/// `ideal recipe`
#[derive(Debug, Args)]
pub(crate) struct Recipe {
    #[command(subcommand)]
    pub(crate) action: RecipeAction,
}

/// What is done with recipes.
#[derive(Debug, Subcommand)]
pub(crate) enum RecipeAction {
    /// Write a small working recipe to begin with: recipes/NAME
    New {
        /// The name of the recipe
        name: String,
    },
    /// List the recipes of the project and those that came with the program
    List,
    /// Show a recipe: its options, resources and files
    Show {
        /// The name of the recipe
        name: String,
    },
    /// Make a recipe right once, on nodes that need not use it
    #[command(
        after_help = "Examples:\n  ideal recipe run nginx --on shop.web --set port=8080\n  ideal recipe run motd --on shop.web[0] --dry-run"
    )]
    Run(RecipeRun),
}

/// `ideal recipe run`
#[derive(Debug, Args)]
pub(crate) struct RecipeRun {
    /// The name of the recipe
    pub(crate) name: String,
    /// Clouds or nodes: shop, shop.web, shop.web[2]
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) on: Vec<String>,
    /// An option of the recipe: port=8080
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Only look, and say what differs
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Every resource, also what is right
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Take the cluster over from whoever works on it from elsewhere
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// `ideal plugin`
#[derive(Debug, Args)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    pub(crate) action: PluginAction,
}

/// What is done with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginAction {
    /// Write a small working plugin to begin with: plugins/NAME
    New {
        /// The name of the plugin
        name: String,
    },
    /// Ask the program of a plugin about what a resource declares
    #[command(after_help = "Examples:\n  ideal plugin ask 'plugin greeting /srv/greeting' text shop.web")]
    Ask {
        /// The resource: 'plugin greeting /srv/greeting'
        label: String,
        /// What is asked; what can be asked is the plugin's own affair
        question: String,
        /// Clouds or nodes: shop, shop.web, shop.web[2]; without, everything
        #[arg(value_name = "ADDR")]
        addresses: Vec<String>,
    },
}

/// `ideal secret`
#[derive(Debug, Args)]
pub(crate) struct Secret {
    #[command(subcommand)]
    pub(crate) action: SecretAction,
}

/// What is done with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Set a secret: its value is asked for, or read from standard input
    Set {
        /// The name of the secret
        name: String,
    },
    /// Change a secret with $EDITOR; its text never reaches a disk
    Edit {
        /// The name of the secret
        name: String,
    },
    /// Give a secret a new random value; or encrypt all for the present readers, with --identity
    Rotate {
        /// The name of the secret
        #[arg(required_unless_present = "identity")]
        name: Option<String>,
        /// How many letters and digits
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(8..=4096))]
        length: u16,
        /// Encrypt all secrets anew for the present readers: you, and those in secrets.recipients
        #[arg(long, conflicts_with = "name")]
        identity: bool,
    },
    /// List secrets: where each comes from, how old it is and where it is used; never a value
    List,
}

/// `ideal reference`
#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// The folder for the pages
    pub(crate) folder: std::path::PathBuf,
}
