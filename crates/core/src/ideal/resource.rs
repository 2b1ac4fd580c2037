//! One thing kept right on a node. The spec and its meaning are here; the effects are the agent's.
//!
//! Text fields may hold expressions over `vars cloud node clouds port mount`; they are rendered on the node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ideal::document::Argv;
use crate::time::Span;

/// One thing kept right on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// A file with this content.
    File(FileSpec),
    /// A directory.
    Directory(DirectorySpec),
    /// A symbolic link.
    Link(LinkSpec),
    /// A program that is run when it is needed.
    Command(CommandSpec),
}

/// A file with this content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Absolute, within the node's root.
    pub path: String,
    /// What is in it.
    #[serde(default)]
    pub content: String,
    /// Permission bits, in octal text: "0644".
    #[serde(default = "file_mode")]
    pub mode: String,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectorySpec {
    /// Absolute, within the node's root.
    pub path: String,
    /// Permission bits, in octal text: "0755".
    #[serde(default = "directory_mode")]
    pub mode: String,
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Absolute, within the node's root.
    pub path: String,
    /// What it points at.
    pub to: String,
}

/// A program that is run when it is needed: without `creates` and `unless`, once for each text of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments; runs in the node's root.
    pub run: Argv,
    /// A path: when it exists, there is nothing to do.
    #[serde(default)]
    pub creates: Option<String>,
    /// A program: when it exits with 0, there is nothing to do.
    #[serde(default)]
    pub unless: Option<Argv>,
    /// How long it may take. Default 5m.
    #[serde(default = "five_minutes")]
    pub timeout: Span,
}

fn file_mode() -> String {
    "0644".to_owned()
}
fn directory_mode() -> String {
    "0755".to_owned()
}
fn five_minutes() -> Span {
    Span::mins(5)
}

impl Resource {
    /// The path that it keeps right; a command keeps none.
    pub fn path(&self) -> Option<&str> {
        match self {
            Resource::File(file) => Some(&file.path),
            Resource::Directory(directory) => Some(&directory.path),
            Resource::Link(link) => Some(&link.path),
            Resource::Command(_) => None,
        }
    }
    /// What people call it: `file /etc/motd`.
    pub fn label(&self) -> String {
        match self {
            Resource::File(file) => format!("file {}", file.path),
            Resource::Directory(directory) => format!("directory {}", directory.path),
            Resource::Link(link) => format!("link {}", link.path),
            Resource::Command(command) => format!("command {}", command.run.0.join(" ")),
        }
    }
}
