//! The domain: what is wanted, what was seen, and the decision between them. Pure.
//!
//! Reading order: [`id`], [`address`], [`ideal`], [`observed`], [`demand`], [`planner`], [`model`].
//!
//! Invariants: no I/O, no clock, no randomness, no hash order (the build refuses them, see this crate's
//! `clippy.toml`); the same inputs give the same bytes.
#![warn(missing_docs)]

pub mod address;
pub mod diagnostic;
pub mod id;
pub mod ideal;
pub mod path;
pub mod policy;
pub mod time;
pub mod validate;
