//! One loop: observe, decide, record, act; until what is demanded is seen, or for as long as it is asked to.
//!
//! Reading order: [`outside`] (all that the engine touches), [`reconcile`](mod@reconcile) (one pass), then
//! `observe`, `act`. It makes no choices of its own: those are the planner's.
//!
//! Invariants: an intent is committed before its effect; what has an unknown end is looked into before it is
//! repeated; after the lease is lost, at most the one call under way is still made.

mod act;
mod by_hand;
mod disown;
mod flight;
mod glance;
mod goods;
mod lease;
mod observe;
pub mod orders;
pub mod outside;
pub mod progress;
pub mod reconcile;
mod request;
pub mod simulation;
mod ways;

pub use glance::Glance;
pub use lease::LEASE;
pub use outside::{Boundaries, Clock, Goods, Outside};
pub use progress::{Event, Progress};
pub use reconcile::{Ending, Engine, EngineError, Settings};
pub use request::{ChangeWish, Request};
pub use ways::{Way, ways};
