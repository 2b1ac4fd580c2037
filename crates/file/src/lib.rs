//! The text of an ideal file and what it means: YAML with positions, expressions, every mistake at its place.
//!
//! Reading order: [`load`](load()), `decode`, `yaml`, `include`, [`expression`], `shape`, `read`, [`source_map`].
//!
//! Invariants: no I/O (the caller reads included files), no clock, no randomness (the caller mints uuids). No
//! input makes it panic, run long or grow much larger than the input.

mod decode;
mod fix;
mod include;
mod load;
mod plain;
mod read;
mod recipes;
mod scale;
mod schema;
mod shape;
mod starter;
mod tree;
mod yaml;

pub mod explain;
pub mod expression;
pub mod import;
pub mod reference;
pub mod show;
pub mod source_map;
pub mod template;

pub use decode::MOST_BYTES;
pub use fix::fix;
pub use include::{Sources, includes_of};
pub use load::{Loaded, load};
pub use plain::{render_plain, visible};
pub use recipes::{RecipeFile, RecipeSource};
pub use scale::{Scaled, scale};
pub use schema::{facts_schema, plugin_schema, recipe_schema, schema};
pub use source_map::{Located, SourceMap, Spot};
pub use starter::starter;
