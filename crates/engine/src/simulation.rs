//! The whole engine on the simulated cloud, in paused time: the main proof.
//!
//! A run is a scenario (ideals and demands in order), faults drawn from a seed, and a list of boundaries at which
//! the engine crashes or freezes. The harness plays the person: it asks again when a run ended, as a person
//! would. The oracle inside the cloud judges every effect; the harness judges the end.

mod plant;
mod scenario;
mod stage;
mod story;

pub use plant::{Plant, SimLink};
pub use scenario::{Scenario, Scene, scenarios};
pub use stage::{Blow, Options, RunResult, StoreLost, run, store_lost_at};
pub use story::{seed_options, seeds};
