//! The closed list of kinds, and the shape in which a list of resources is written: each item names one kind and
//! may say more beside it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Care, Kind, Reach, Thing};
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::path::Place;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $key:ident $spec:ty;)*) => {
        /// One thing kept right on a node.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Resource {$($(#[$doc])* $variant(Box<$spec>),)*}

        impl Resource {
            /// Every kind by name, in the order of the reference.
            pub const KINDS: &'static [&'static str] = &[$(<$spec as Kind>::NAME,)*];

            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self {$(Resource::$variant(_) => <$spec as Kind>::NAME,)*}
            }
            /// What tells it from others of its kind.
            pub fn key(&self) -> String {
                match self {$(Resource::$variant(spec) => spec.key(),)*}
            }
            /// Whether it needs a whole machine.
            pub fn needs_machine(&self) -> bool {
                match self {$(Resource::$variant(_) => <$spec as Kind>::NEEDS_MACHINE,)*}
            }
            /// What of it others may need.
            pub fn provides(&self) -> Vec<Thing> {
                match self {$(Resource::$variant(spec) => spec.provides(),)*}
            }
            /// What it cannot be right without, where somebody provides it.
            pub fn uses(&self) -> Vec<Thing> {
                match self {$(Resource::$variant(spec) => spec.uses(),)*}
            }
            /// How far its effects reach.
            pub fn reach(&self) -> Reach {
                match self {$(Resource::$variant(spec) => spec.reach(),)*}
            }
            /// What is wrong with its spec; `item` is the place of the declaration.
            pub fn validate(&self, item: &Place<'_>, found: &mut Vec<Diagnostic>) {
                match self {$(
                    Resource::$variant(spec) => spec.validate(&item.key(<$spec as Kind>::NAME), found),
                )*}
            }
        }

        /// One item of a list of resources: exactly one kind, and what holds for it whatever its kind.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Declaration {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $key: Option<Box<$spec>>,)*
            /// A name by which `after`, `before`, `notifies` and `--only` can speak of it, instead of `file /etc/motd`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub name: Option<Name>,
            /// Only when this expression is true: `"{{ facts.os.family == 'debian' }}"`. Decided on the node.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub when: Option<String>,
            /// Once for each item of a list, or of an expression that is one; the item is `{{ item }}`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub each: Option<Value>,
            /// What must be right before this is touched, by name or by kind and key: `package nginx`.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub after: Vec<String>,
            /// What is not touched before this is right.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub before: Vec<String>,
            /// Units that are restarted or reloaded, and commands that are run, when this was changed.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub notifies: Vec<String>,
            /// Labels for `--tags`.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub tags: Vec<Name>,
            /// What is done when it is found wrong later.
            #[serde(default, skip_serializing_if = "Care::is_default")]
            pub care: Care,
        }

        impl Declaration {
            /// The names of the kinds that it names; exactly one is right.
            pub fn kinds(&self) -> Vec<&'static str> {
                let mut kinds = Vec::new();
                $(if self.$key.is_some() { kinds.push(<$spec as Kind>::NAME); })*
                kinds
            }
            /// What it declares: of several kinds the first; none when it names no kind.
            pub fn resource(&self) -> Option<Resource> {
                $(if let Some(spec) = &self.$key { return Some(Resource::$variant(spec.clone())); })*
                None
            }
        }

        impl From<Resource> for Declaration {
            fn from(resource: Resource) -> Declaration {
                match resource {$(
                    Resource::$variant(spec) => Declaration { $key: Some(spec), ..Declaration::default() },
                )*}
            }
        }
    };
}

// A new kind is a line here, a file in this folder and one of the same name in `resources/src/kinds`.
kinds! {
    /// A file: its content, mode and owner.
    File file super::file::FileSpec;
    /// A directory.
    Directory directory super::directory::DirectorySpec;
    /// A symbolic link.
    Link link super::link::LinkSpec;
    /// A line, or a block of lines, within a file that others write too.
    Line line super::line::LineSpec;
    /// A package of the system or of a language.
    Package package super::package::PackageSpec;
    /// A repository of packages, with its key.
    Repo repo super::repo::RepoSpec;
    /// A unit: a program that the system keeps running.
    Unit unit super::unit::UnitSpec;
    /// A user of the machine.
    User user super::user::UserSpec;
    /// A group of users.
    Group group super::group::GroupSpec;
    /// A key that may log in as a user.
    AuthorizedKey authorized_key super::authorized_key::AuthorizedKeySpec;
    /// A checkout of a git repository.
    Git git super::git::GitSpec;
    /// The content of an archive, unpacked.
    Archive archive super::archive::ArchiveSpec;
    /// A command that cron runs at its times.
    Cron cron super::cron::CronSpec;
    /// A filesystem that is mounted.
    Mount mount super::mount::MountSpec;
    /// A program that is run when it is needed.
    Command command super::command::CommandSpec;
    /// A thing of a kind that a program of yours knows.
    Plugin plugin super::plugin::PluginSpec;
}
