//! Everything that the engine touches: providers, agents, journal, clock. A simulation replaces all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use ideal_api::NodeLink;
use ideal_core::id::Name;
use ideal_core::planner::ProviderTraits;
use ideal_core::secret::Secrets;
use ideal_core::time::Time;
use ideal_providers::{Fence, Provider};
use ideal_store::Journal;

use crate::progress::Progress;

/// A future on the engine's one thread.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What time it is, and how to wait.
pub trait Clock: Debug {
    /// Now.
    fn now(&self) -> Time;
    /// Comes back at this instant, or later.
    fn sleep_until(&self, at: Time) -> Soon<'_, ()>;
}

/// The points around every effect, each passed twice: before it, and after it but before anybody hears of it.
/// A simulation crashes and pauses here; the real one does nothing (in test builds it can abort).
pub trait Boundaries: Debug {
    /// Passes the point of this name. None: nothing to wait for.
    fn cross(&self, verb: &str, side: Side) -> Option<Soon<'_, ()>>;
}

/// Which side of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It did not happen yet.
    Before,
    /// It happened, and nobody heard of it yet.
    After,
}

impl Side {
    /// `before` or `after`.
    pub fn word(self) -> &'static str {
        match self {
            Side::Before => "before",
            Side::After => "after",
        }
    }
}

/// What nodes are given beside their slices.
pub trait Goods: Debug {
    /// The content of this hash; none when nobody has it.
    fn content(&self, hash: &str) -> std::io::Result<Option<Vec<u8>>>;
    /// The secrets of these names, as far as they can be had.
    fn secrets(&self, names: &BTreeSet<Name>) -> Secrets;
}

/// No goods at all.
#[derive(Debug)]
pub struct NoGoods;

impl Goods for NoGoods {
    fn content(&self, _: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    fn secrets(&self, _: &BTreeSet<Name>) -> Secrets {
        Secrets::new()
    }
}

/// Everything that the engine touches.
#[derive(Debug, Clone)]
pub struct Outside {
    /// By the name in the file.
    pub providers: BTreeMap<Name, Rc<dyn Provider>>,
    /// The way to agents.
    pub link: Rc<dyn NodeLink>,
    /// What nodes are given beside their slices.
    pub goods: Rc<dyn Goods>,
    /// The journal.
    pub journal: Rc<dyn Journal>,
    /// The clock.
    pub clock: Rc<dyn Clock>,
    /// The points around every effect.
    pub boundaries: Rc<dyn Boundaries>,
    /// Who is told how it goes.
    pub progress: Rc<dyn Progress>,
}

impl Outside {
    /// What can be relied upon at each provider, for decisions.
    pub fn traits(&self) -> BTreeMap<Name, ProviderTraits> {
        let of = |provider: &Rc<dyn Provider>| {
            let character = provider.character();
            ProviderTraits {
                settle: character.settle,
                enforces_marks: character.enforces_marks,
                can_fence: character.fence == Fence::Terminate,
                can_stop: character.stops,
                makes_machines: character.makes_machines,
                agent: character.agent,
            }
        };
        self.providers.iter().map(|(name, provider)| (name.clone(), of(provider))).collect()
    }

    pub(crate) async fn cross(&self, verb: &str, side: Side) {
        if let Some(point) = self.boundaries.cross(verb, side) {
            point.await;
        }
    }

    /// Runs an effect between its two points.
    pub(crate) async fn effect<T>(&self, verb: &str, effect: impl Future<Output = T>) -> T {
        self.cross(verb, Side::Before).await;
        let result = effect.await;
        self.cross(verb, Side::After).await;
        result
    }
}
