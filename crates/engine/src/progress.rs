//! What the engine tells of its way: one stream, read by the command line; the journal holds the same, durably.

use std::fmt::Debug;

use ideal_core::journal::Outcome;
use ideal_core::plan::{Step, Waiting};
use ideal_core::time::Span;
use ideal_providers::Came;

/// Something that happened on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step begins.
    Began(Step),
    /// A part of what a step brings has come.
    Came {
        /// Which step.
        step: Step,
        /// How much.
        came: Came,
    },
    /// A step ended.
    Ended {
        /// Which.
        step: Step,
        /// How.
        outcome: Outcome,
        /// After how long.
        took: Span,
    },
    /// A pass was decided.
    Decided {
        /// Parts that are as demanded.
        right: usize,
        /// All parts.
        parts: usize,
        /// What waits.
        waiting: Vec<Waiting>,
    },
    /// Something worth a line.
    Noted(String),
}

/// Who is told.
pub trait Progress: Debug {
    /// Takes note of an event.
    fn tell(&self, event: &Event);
    /// Whether a step may be taken: asked before each one (`--step`).
    fn may(&self, _step: &Step) -> Go {
        Go::On
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// With this step.
    On,
    /// Not at all: end the run here.
    Stop,
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: &Event) {}
}
