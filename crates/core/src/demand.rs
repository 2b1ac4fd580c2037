//! What is demanded: a state of the whole, of a cloud or of one node.
//!
//! States are predicates over what is observed, not positions of a machine: mixed states are normal. No
//! recorded demand means *hold*: nothing is created or destroyed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{CloudId, Epoch, SlotId};

/// The ten states, in the order of a whole life: up to launched, and down to away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every node runs and every volume exists.
    Instantiated,
    /// Every volume is attached to its node.
    Attached,
    /// Every volume is mounted.
    Mounted,
    /// Everything on the nodes is right, and the `launched` hook agreed.
    Launched,
    /// No mount is mounted. Says nothing about existence.
    Unmounted,
    /// No volume is attached.
    Separated,
    /// Every existing volume has a completed seal of its life.
    Snapshotted,
    /// Every node may be stopped: separated, and the `haltable` hook agreed.
    Haltable,
    /// No node runs: each is stopped, or is not there. Separated and snapshotted too; nothing is deleted.
    Halted,
    /// No node exists, and every volume is gone or retired.
    Away,
}

impl State {
    /// All of them, in order.
    pub const ALL: [State; 10] = [
        State::Instantiated,
        State::Attached,
        State::Mounted,
        State::Launched,
        State::Unmounted,
        State::Separated,
        State::Snapshotted,
        State::Haltable,
        State::Halted,
        State::Away,
    ];
    /// Whether it lies on the way up.
    pub fn is_up(self) -> bool {
        self <= State::Launched
    }
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            State::Instantiated => "instantiated",
            State::Attached => "attached",
            State::Mounted => "mounted",
            State::Launched => "launched",
            State::Unmounted => "unmounted",
            State::Separated => "separated",
            State::Snapshotted => "snapshotted",
            State::Haltable => "haltable",
            State::Halted => "halted",
            State::Away => "away",
        }
    }
}
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
/// Why a text is not a [`State`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a state; there are instantiated, attached, mounted, launched, unmounted, separated, snapshotted, haltable, halted and away"
)]
pub struct NotAState(pub String);

impl FromStr for State {
    type Err = NotAState;
    fn from_str(text: &str) -> Result<State, NotAState> {
        State::ALL.into_iter().find(|state| state.word() == text).ok_or_else(|| NotAState(text.to_owned()))
    }
}

/// For what a state is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything in the file.
    Whole,
    /// A cloud, not counting those in it.
    Cloud(CloudId),
    /// One slot.
    Slot(SlotId),
}

/// All that is demanded, with a version: the highest version seen anywhere (journal, agents, tags) stands.
///
/// It is small on purpose, so that it can be mirrored whole to a tag of everything that lasts. Its text is
/// `3.12 *=launched 5f0c…=away 5f0c…/2=separated`: epoch, count, then scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// The epoch in which it was last changed.
    pub epoch: Epoch,
    /// Raised with each change.
    pub count: u64,
    /// Whether the cluster is being ended for good.
    pub ending: Ending,
    by_scope: BTreeMap<Scope, State>,
}

/// Whether a cluster is being ended for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It is not.
    #[default]
    No,
    /// Nodes and volumes end; sealed snapshots stay.
    KeepSnapshots,
    /// Snapshots end too; a person typed the name.
    Everything,
}

impl Demands {
    /// Nothing demanded: hold.
    pub fn none() -> Demands {
        Demands::default()
    }
    /// Orders two versions of the demands.
    pub fn version(&self) -> (Epoch, u64) {
        (self.epoch, self.count)
    }
    /// Whether nothing is demanded of anything.
    pub fn is_hold(&self) -> bool {
        self.by_scope.is_empty()
    }
    /// Demands `state` for `scope` and forgets what was demanded for what the scope holds (`within` tells).
    pub fn demand(&mut self, scope: Scope, state: State, epoch: Epoch, within: impl Fn(Scope) -> bool) {
        self.by_scope.retain(|other, _| !within(*other));
        self.by_scope.insert(scope, state);
        self.epoch = self.epoch.max(epoch);
        self.count += 1;
    }
    /// What is demanded of a slot: for itself, else for its cloud, else for the whole.
    pub fn of(&self, slot: SlotId) -> Option<State> {
        let scopes = [Scope::Slot(slot), Scope::Cloud(slot.cloud), Scope::Whole];
        scopes.iter().find_map(|scope| self.by_scope.get(scope)).copied()
    }
    /// What is demanded of a cloud: for itself, else for the whole.
    pub fn of_cloud(&self, cloud: CloudId) -> Option<State> {
        let scopes = [Scope::Cloud(cloud), Scope::Whole];
        scopes.iter().find_map(|scope| self.by_scope.get(scope)).copied()
    }
    /// What is demanded of a replica: the same as of the cloud that its service is on, unless a state on the way down
    /// is demanded of it alone.
    pub fn of_replica(&self, replica: SlotId, on: CloudId) -> Option<State> {
        let of_cloud = self.of_cloud(on)?;
        let own = self.by_scope.get(&Scope::Slot(replica)).copied().filter(|own| !own.is_up());
        Some(own.filter(|_| of_cloud.is_up()).unwrap_or(of_cloud))
    }
    /// Each scope with what is demanded of it.
    pub fn iter(&self) -> impl Iterator<Item = (Scope, State)> + '_ {
        self.by_scope.iter().map(|(scope, state)| (*scope, *state))
    }
}

impl fmt::Display for Demands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.count)?;
        match self.ending {
            Ending::No => {}
            Ending::KeepSnapshots => f.write_str(" ending")?,
            Ending::Everything => f.write_str(" ending-everything")?,
        }
        for (scope, state) in &self.by_scope {
            match scope {
                Scope::Whole => write!(f, " *={state}")?,
                Scope::Cloud(cloud) => write!(f, " {cloud}={state}")?,
                Scope::Slot(slot) => write!(f, " {}/{}={state}", slot.cloud, slot.index)?,
            }
        }
        Ok(())
    }
}

/// Why a text is not a record of [`Demands`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record of demands")]
pub struct NotDemands(String);

impl FromStr for Demands {
    type Err = NotDemands;
    fn from_str(text: &str) -> Result<Demands, NotDemands> {
        let bad = || NotDemands(text.to_owned());
        let mut words = text.split(' ');
        let (epoch, count) = words.next().and_then(|word| word.split_once('.')).ok_or_else(bad)?;
        let mut demands = Demands {
            epoch: epoch.parse().map_err(|_| bad())?,
            count: count.parse().map_err(|_| bad())?,
            ..Demands::default()
        };
        for word in words {
            match word {
                "ending" => demands.ending = Ending::KeepSnapshots,
                "ending-everything" => demands.ending = Ending::Everything,
                _ => {
                    let (scope, state) = word.split_once('=').ok_or_else(bad)?;
                    let scope = read_scope(scope).ok_or_else(bad)?;
                    demands.by_scope.insert(scope, state.parse().map_err(|_| bad())?);
                }
            }
        }
        Ok(demands)
    }
}

fn read_scope(text: &str) -> Option<Scope> {
    if text == "*" {
        return Some(Scope::Whole);
    }
    match text.split_once('/') {
        None => text.parse().ok().map(Scope::Cloud),
        Some((cloud, index)) => {
            let slot = SlotId { cloud: cloud.parse().ok()?, index: index.parse().ok()? };
            Some(Scope::Slot(slot))
        }
    }
}

impl Serialize for Demands {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Demands {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Demands, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_read_and_print() {
        let cloud: CloudId = "5f0c6f2e-0000-4000-8000-000000000001".parse().unwrap();
        let mut demands = Demands::none();
        demands.demand(Scope::Whole, State::Launched, 3, |_| true);
        demands.demand(Scope::Slot(SlotId { cloud, index: 2 }), State::Away, 3, |_| false);
        demands.ending = Ending::KeepSnapshots;
        let text = demands.to_string();
        assert_eq!(text, format!("3.2 ending *=launched {cloud}/2=away"));
        assert_eq!(text.parse::<Demands>().unwrap(), demands);
        assert!("".parse::<Demands>().is_err() && "1.1 x=launched".parse::<Demands>().is_err());
    }

    #[test]
    fn the_nearest_demand_stands() {
        let cloud: CloudId = "5f0c6f2e-0000-4000-8000-000000000001".parse().unwrap();
        let (one, two) = (SlotId { cloud, index: 1 }, SlotId { cloud, index: 2 });
        let mut demands = Demands::none();
        assert_eq!(demands.of(one), None);
        demands.demand(Scope::Whole, State::Launched, 1, |_| true);
        demands.demand(Scope::Slot(two), State::Away, 1, |scope| scope == Scope::Slot(two));
        assert_eq!((demands.of(one), demands.of(two)), (Some(State::Launched), Some(State::Away)));
        demands.demand(Scope::Cloud(cloud), State::Separated, 1, |scope| scope == Scope::Slot(two));
        assert_eq!((demands.of(one), demands.of(two)), (Some(State::Separated), Some(State::Separated)));
    }
}
