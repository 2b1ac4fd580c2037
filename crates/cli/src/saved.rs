//! Plans in files: what was shown, and a hash of all that it rests on. No ages are in it. Nobody agreed to it yet:
//! that is asked when it is pursued.

use std::collections::BTreeSet;
use std::path::Path;

use ideal_core::demand::{Demands, Ending, Scope, State};
use ideal_core::plan::Plan;
use ideal_core::planner::How;
use ideal_engine::Glance;
use serde::{Deserialize, Serialize};

use crate::ask::Losses;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::scopes;

/// The version of the format.
const VERSION: u32 = 2;

/// A plan in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    v: u32,
    kind: String,
    /// Of everything that the plan rests on.
    pub(crate) hash: String,
    /// All that is demanded when it is pursued.
    pub(crate) demands: Demands,
    /// What is demanded anew, and of what; none: the demands are those that stood.
    pub(crate) to: Option<State>,
    /// As on the command line; none: everything.
    pub(crate) addresses: Vec<String>,
    /// Whether things end that are known by their tags only. It is looked at again when it is pursued.
    pub(crate) adopted: bool,
    /// What is done. Its endings are what is agreed to.
    pub(crate) plan: Plan,
}

impl Saved {
    pub(crate) fn new(
        glance: &Glance,
        demands: &Demands,
        addresses: &[String],
        to: Option<State>,
        plan: Plan,
    ) -> Saved {
        Saved {
            v: VERSION,
            kind: "plan".to_owned(),
            hash: hash(glance, demands),
            demands: demands.clone(),
            to,
            addresses: addresses.to_vec(),
            adopted: Losses::of(glance, demands, &plan).has_adopted(),
            plan,
        }
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(std::fs::write(path, text).map_err(|error| {
            Failure::new("cannot-write", Exit::Failed, format!("cannot write {}: {error}", path.display()))
        })?)
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<Saved> {
        let bad = |why: String| {
            let message = format!("{} is not a saved plan: {why}", path.display());
            Failure::new("bad-plan", Exit::BadInput, message).next("ideal plan --out FILE        saves one")
        };
        let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
        let saved: Saved = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if saved.v != VERSION || saved.kind != "plan" {
            return Err(bad("it is of another kind or version".to_owned()).into());
        }
        Ok(saved)
    }

    /// Refuses when anything that the plan rests on has changed since. What is to be demanded anew, if anything.
    pub(crate) fn must_be_fresh(
        &self,
        glance: &Glance,
    ) -> anyhow::Result<Option<(Vec<Scope>, State, Ending)>> {
        if hash(glance, &self.demands) == self.hash {
            let anew = match self.to {
                Some(state) => Some((scopes::of(&glance.ideal, &self.addresses)?, state, Ending::No)),
                None => None,
            };
            if self.leads_from(glance, anew.as_ref()) {
                return Ok(anew);
            }
        }
        let message = "the plan is stale: the file, the demand or the cluster changed since it was made";
        Err(Failure::new("stale-plan", Exit::Held, message)
            .next("ideal plan --out FILE        makes a new one")
            .into())
    }
}

impl Saved {
    /// Whether what stands now, with what is demanded anew, is what the plan was made for.
    fn leads_from(&self, glance: &Glance, anew: Option<&(Vec<Scope>, State, Ending)>) -> bool {
        let demands = match anew {
            Some((covered, state, ending)) => scopes::demands_if(glance, covered, *state, *ending),
            None if matches!(glance.standing.how, How::Recorded | How::Mirrored) => {
                glance.standing.demands.clone()
            }
            None => return false,
        };
        demands.iter().eq(self.demands.iter()) && demands.ending == self.demands.ending
    }
}

/// Over the ideal, the demands, and each object's identity, state and generation.
fn hash(glance: &Glance, demands: &Demands) -> String {
    let scopes: Vec<String> = demands
        .iter()
        .map(|(scope, state)| match scope {
            Scope::Whole => format!("*={state}"),
            Scope::Cloud(cloud) => format!("{cloud}={state}"),
            Scope::Slot(slot) => format!("{}/{}={state}", slot.cloud, slot.index),
        })
        .collect();
    let mut objects = BTreeSet::new();
    for (slot, seen) in &glance.observed.slots {
        let at = format!("{}/{}", slot.cloud, slot.index);
        for own in seen.machines.iter().filter(|own| !own.state.is_over()) {
            let (state, generation) = (own.state, own.tags.generation);
            objects.insert(format!("{at} {} {state:?} {generation} {}", own.id, own.retired));
        }
        for own in &seen.volumes {
            let attached = own.attachment.as_ref().map(|at| (&at.machine, at.state));
            let retired = own.retired.map(|mark| mark.life);
            let (state, life) = (own.state, own.life);
            objects.insert(format!("{at} {} {state:?} {life} {attached:?} {retired:?}", own.id));
        }
        for own in &seen.snapshots {
            objects.insert(format!("{at} {} {:?} {} {:?}", own.id, own.state, own.life, own.seal));
        }
    }
    let mut hasher = blake3::Hasher::new();
    // The ideal was read from text a moment ago, so it can be written.
    hasher.update(&serde_json::to_vec(&*glance.ideal).unwrap_or_default());
    hasher.update(format!("{scopes:?}{:?}{objects:?}", demands.ending).as_bytes());
    hasher.finalize().to_hex().to_string()
}
