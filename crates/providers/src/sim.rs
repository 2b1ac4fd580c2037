//! The simulated cloud: [`ideal_core::model`] with latency, faults, stale reads and other actors around it, and an
//! oracle inside that knows the truth about every byte.
//!
//! Single-threaded, seeded, on paused time: the same seed is the same run. It deliberately knows nothing of what
//! the engine believes; it judges at the instant of each effect.

mod agents;
mod fault;
mod oracle;
mod replicas;
mod state;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ideal_core::id::{MachineId, SnapshotId};
use ideal_core::observed::{Listing, Machine};
use ideal_core::time::{Span, Time};

pub use agents::{AgentAnswer, AgentOrder, AgentVerb};
pub use fault::{Faults, Random};
pub use replicas::SimReplica;
pub use state::{Calls, State};

use crate::{
    Answer, Answering, Call, Character, Fence, Object, ObjectId, Provider, ProviderError, Together, Told,
    Verdict,
};

/// Stale answers are at most this old, and what was done is seen by every read after this.
pub const SETTLE: Span = Span::secs(10);

/// Where machines are asked for together, so many are at most.
const AT_ONCE: usize = 3;

/// The simulated cloud. Clones are handles on the same cloud.
#[derive(Clone)]
pub struct Sim {
    state: Rc<RefCell<State>>,
    start: tokio::time::Instant,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sim")
    }
}

/// When a simulation begins: any fixed instant will do.
pub const BEGINNING: Time = Time(1_700_000_000_000);

impl Sim {
    /// An empty cloud. Must be made on a runtime with paused time.
    pub fn new(seed: u64, faults: Faults) -> Sim {
        Sim { state: Rc::new(RefCell::new(State::new(seed, faults))), start: tokio::time::Instant::now() }
    }

    /// The simulated time.
    pub fn now(&self) -> Time {
        let elapsed = tokio::time::Instant::now().duration_since(self.start).as_millis();
        BEGINNING + Span(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// Looks at the truth, brought up to now.
    pub fn truth<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.borrow_mut();
        state.advance(self.now());
        look(&mut state)
    }

    async fn latency(&self) {
        let span = self.state.borrow_mut().latency();
        if span > Span::ZERO {
            tokio::time::sleep(span.std()).await;
        }
    }

    async fn list(&self) -> Result<Listing, ProviderError> {
        let listing = self.truth(|state| state.list());
        self.latency().await;
        listing
    }

    async fn read_one(&self, id: &ObjectId) -> Result<Option<Object>, ProviderError> {
        let object = self.truth(|state| state.read(id));
        self.latency().await;
        object
    }

    async fn shove(&self, call: &Call) -> Result<Answer, ProviderError> {
        // The effect is at the instant of the call, the answer later: a frozen engine's call has happened.
        let answer = self.truth(|state| state.shove(call));
        self.latency().await;
        answer
    }

    /// One order to the agent of a machine.
    pub async fn agent(&self, machine: &MachineId, order: &AgentOrder) -> AgentAnswer {
        let answer = self.truth(|state| state.agent(machine, order));
        self.latency().await;
        answer
    }
}

impl Provider for Sim {
    fn character(&self) -> Character {
        let state = self.state.borrow();
        let Faults { enforces_marks, batches, brings, .. } = state.faults;
        Character {
            settle: SETTLE,
            enforces_marks,
            agent: brings.then_some(state.program),
            at_once: if batches { AT_ONCE } else { 1 },
            ..Character::at_hand(Fence::Terminate)
        }
    }
    fn describe(&self) -> Answering<'_, Listing> {
        Box::pin(self.list())
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        Box::pin(self.read_one(id))
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        Box::pin(self.shove(call))
    }
    fn issue_together<'a>(&'a self, calls: &'a [Call]) -> Together<'a> {
        Box::pin(async move {
            let answers = self.truth(|state| state.shove_together(calls));
            self.latency().await;
            answers
        })
    }
    fn bring_agent<'a>(&'a self, machine: &'a Machine, _: Told<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let brought = self.truth(|state| state.bring(&machine.id));
            self.latency().await;
            brought
        })
    }
    fn verify<'a>(&'a self, id: &'a SnapshotId) -> Answering<'a, Verdict> {
        Box::pin(async move { self.truth(|state| state.verify(id)) })
    }
}
