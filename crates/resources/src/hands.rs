//! The half with effects: all that a change of a resource may use. Made only by a converging keeper.

use std::io;
use std::ops::Deref;

use crate::exec::{self, Outcome, Program};
use crate::eyes::{Asked, Eyes, Trouble};
use crate::ledger::Ledger;
use crate::root::Spot;

/// All that a change may use.
#[derive(Debug)]
pub struct Hands<'g>(Eyes<'g>);

impl<'g> Deref for Hands<'g> {
    type Target = Eyes<'g>;
    fn deref(&self) -> &Eyes<'g> {
        &self.0
    }
}

impl<'g> Hands<'g> {
    pub(crate) fn new(eyes: Eyes<'g>) -> Hands<'g> {
        // Who may change things may ask for what that needs.
        Hands(Eyes { ask_foreign: true, ..eyes })
    }
    /// Where a path is or would be, to change it; the folders above it are made.
    pub fn spot(&self, path: &str) -> io::Result<Spot> {
        self.touched();
        let (root, path) = self.0.ground.below(path)?;
        root.spot(&path)
    }
    /// Runs a program of the system.
    pub async fn run(&self, label: &str, program: &Program) -> Outcome {
        let outcome = exec::run(self.0.ground, label, program).await;
        self.touched();
        outcome
    }
    /// Runs a program of the author.
    pub async fn run_foreign(&self, label: &str, asked: Asked) -> Result<Outcome, Trouble> {
        let outcome = exec::run(self.0.ground, label, &self.0.program(asked)?).await;
        self.touched();
        Ok(outcome)
    }
    /// Changes what is remembered for good; on disk when this returns.
    pub fn note(&self, change: impl FnOnce(&mut Ledger)) -> io::Result<()> {
        Ledger::change(self.0.ledger, &self.0.ground.memory(), change)
    }

    /// What programs of the system said of it before no longer holds.
    fn touched(&self) {
        let moment = &self.0.cache.moment;
        moment.set(moment.get() + 1);
    }
}
