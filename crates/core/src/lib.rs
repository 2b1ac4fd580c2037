//! The domain: what is wanted, what was seen, and the decision between them. Pure.
//!
//! Reading order: [`id`], [`address`], [`ideal`], [`observed`], [`demand`], [`planner`], [`model`];
//! [`placement`] stands by itself.
//!
//! Invariants: no I/O, no clock, no randomness, no hash order (the build refuses them, see this crate's
//! `clippy.toml`); the same inputs give the same bytes.
#![warn(missing_docs)]

pub mod address;
pub mod build;
pub mod demand;
pub mod diagnostic;
pub mod facts;
pub mod guard;
pub mod id;
pub mod ideal;
pub mod journal;
pub mod model;
pub mod observed;
pub mod path;
pub mod placement;
pub mod plan;
pub mod planner;
pub mod policy;
pub mod recipe;
pub mod recover;
pub mod resource;
pub mod secret;
pub mod slice;
pub mod time;
pub mod validate;
