//! The half with effects: all that a change of a resource may use. Made only by a converging keeper.

use std::fs::File;
use std::io;
use std::ops::Deref;

use crate::exec::{self, Outcome, Program};
use crate::eyes::{Asked, Eyes, Trouble};
use crate::ledger::Ledger;
use crate::root::{Root, Spot};

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
    /// A directory as a root of its own, which nothing leads out of; made when it is missing.
    pub fn root_at(&self, path: &str) -> io::Result<Root> {
        self.touched();
        let (root, path) = self.0.ground.below(path)?;
        root.made_within(&path)
    }
    /// Gives what is at one path another, in place of nothing or of an empty directory. Lasting when this returns.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.spot(from)?, self.spot(to)?);
        from.rename(&to)
    }
    /// Waits until all that was written to the filesystem of a path is on its disk.
    pub fn flush(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(self.0.host_path(path))?)?)
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
