//! How many requests may be sent: one budget for each account and region, whoever in this program asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::actions::Class;

/// How many requests of a class may be sent at once, and how many more in each second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At once.
    pub burst: f64,
    /// In each second.
    pub each_second: f64,
}

/// The budget of an account in a region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Requests that only look.
    pub look: Rate,
    /// Requests that change something.
    pub change: Rate,
    /// Requests that start machines.
    pub launch: Rate,
}

impl Default for Rates {
    /// What EC2's pages on throttling promise to a new account. Whoever has more can be refused less often, never
    /// more.
    fn default() -> Rates {
        Rates {
            look: Rate { burst: 100.0, each_second: 20.0 },
            change: Rate { burst: 50.0, each_second: 5.0 },
            launch: Rate { burst: 5.0, each_second: 2.0 },
        }
    }
}

impl Rates {
    fn of(&self, class: Class) -> Rate {
        match class {
            Class::Look => self.look,
            Class::Change => self.change,
            Class::Launch => self.launch,
        }
    }
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// What is left of a budget.
#[derive(Debug)]
pub(crate) struct Budget {
    rates: Rates,
    buckets: Mutex<BTreeMap<Class, Bucket>>,
}

static BUDGETS: Mutex<BTreeMap<String, Arc<Budget>>> = Mutex::new(BTreeMap::new());

impl Budget {
    /// The one of this account and region. The first who asks says at which rates.
    pub(crate) fn of(account: &str, region: &str, rates: Rates) -> Arc<Budget> {
        let mut all = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = || Arc::new(Budget { rates, buckets: Mutex::new(BTreeMap::new()) });
        all.entry(format!("{account} {region}")).or_insert_with(budget).clone()
    }

    /// Takes one request of the budget and says how long to wait before it is sent.
    pub(crate) fn take(&self, class: Class) -> Duration {
        let (rate, now) = (self.rates.of(class), Instant::now());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(class).or_insert(Bucket { left: rate.burst, at: now });
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * rate.each_second;
        bucket.left = (bucket.left + gained).min(rate.burst) - 1.0;
        bucket.at = now;
        // What is owed is waited for by each in turn.
        Duration::try_from_secs_f64((-bucket.left / rate.each_second).max(0.0)).unwrap_or_default()
    }

    /// EC2 said that it was too much: somebody else uses this account too, so nothing is left at once.
    pub(crate) fn spent(&self, class: Class) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&class) {
            bucket.left = bucket.left.min(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_each_waits_its_turn() {
        let rates = Rates { launch: Rate { burst: 2.0, each_second: 4.0 }, ..Rates::default() };
        let budget = Budget::of("burst", "nowhere", rates);
        let wait = || budget.take(Class::Launch).as_millis();
        assert_eq!([wait(), wait(), wait(), wait()], [0, 0, 250, 500]);
        assert_eq!(budget.take(Class::Look), Duration::ZERO, "another class is another budget");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(wait(), 0);
        budget.spent(Class::Launch);
        assert_eq!(wait(), 250);
    }

    #[test]
    fn one_account_has_one_budget_in_each_region() {
        let (one, same) = (Budget::of("a", "r", Rates::default()), Budget::of("a", "r", Rates::default()));
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &Budget::of("a", "s", Rates::default())));
    }
}
