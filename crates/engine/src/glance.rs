//! Looking without touching: for `plan` and `status`. Takes no lease, writes nothing, gives no orders.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ideal_core::demand::{Demands, Scope, State};
use ideal_core::id::Name;
use ideal_core::ideal::{Cloud, Ideal};
use ideal_core::journal::View;
use ideal_core::observed::Observed;
use ideal_core::plan::Plan;
use ideal_core::planner::{
    Consent, Decision, Ground, Input, Patience, ProviderTraits, Seats, Standing, decide, forecast, ground,
    grown, seats, standing,
};
use ideal_core::time::Time;

use crate::observe::{self, Memory};
use crate::outside::Outside;
use crate::reconcile::{EngineError, within};

/// One look at everything.
#[derive(Debug)]
pub struct Glance {
    /// What is wanted.
    pub ideal: Rc<Ideal>,
    /// What is remembered.
    pub view: View,
    /// What was seen.
    pub observed: Observed,
    /// What is demanded, and how that is known.
    pub standing: Standing,
    traits: BTreeMap<Name, ProviderTraits>,
    seats: OnceCell<Seats>,
    now: Time,
}

impl Glance {
    /// Looks.
    pub async fn take(outside: &Outside, ideal: Rc<Ideal>) -> Result<Glance, EngineError> {
        let view = outside.journal.load()?;
        let observed = observe::observe(outside, &ideal, &view, &mut Memory::default(), None).await;
        let standing = standing(&view, &observed);
        let (traits, now) = (outside.traits(), outside.clock.now());
        let more = grown(&Input {
            ideal: &ideal,
            demands: &standing.demands,
            observed: &observed,
            view: &view,
            consent: &Consent::default(),
            patience: &Patience::default(),
            providers: &traits,
            now,
        });
        let ideal = more.map_or(ideal, Rc::new);
        Ok(Glance { ideal, view, observed, standing, traits, seats: OnceCell::new(), now })
    }

    /// The demands as they would be if this state were demanded of these scopes.
    pub fn demands_if(&self, scopes: &[Scope], state: State) -> Demands {
        let mut demands = self.standing.demands.clone();
        for scope in scopes {
            demands.demand(*scope, state, demands.epoch, |other| within(other, *scope));
        }
        demands
    }

    /// The plan for these demands.
    pub fn plan(&self, demands: &Demands, consent: &Consent) -> Plan {
        self.with(demands, consent, forecast)
    }

    /// What would be done now for these demands, and what waits.
    pub fn decide(&self, demands: &Demands, consent: &Consent) -> Decision {
        self.with(demands, consent, decide)
    }

    /// Whether machines of a cloud can be stopped and started again.
    pub fn can_stop(&self, cloud: &Cloud) -> bool {
        self.traits.get(&cloud.provider).is_some_and(|traits| traits.can_stop)
    }

    /// Where every replica is to be, for what is demanded.
    pub fn seats(&self) -> &Seats {
        self.seats.get_or_init(|| self.with(&self.standing.demands, &Consent::default(), seats))
    }

    /// What placing starts from, for what is demanded, to be explained.
    pub fn ground(&self) -> Ground {
        self.with(&self.standing.demands, &Consent::default(), ground)
    }

    fn with<T>(&self, demands: &Demands, consent: &Consent, answer: impl FnOnce(&Input<'_>) -> T) -> T {
        let input = Input {
            ideal: &self.ideal,
            demands,
            observed: &self.observed,
            view: &self.view,
            consent,
            patience: &Patience::default(),
            providers: &self.traits,
            now: self.now,
        };
        // What is looked at may be demanded of nobody yet, and need more nodes than what is.
        match grown(&input) {
            Some(more) => answer(&Input { ideal: &more, ..input }),
            None => answer(&input),
        }
    }
}
