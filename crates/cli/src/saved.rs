//! Plans in files: what was shown and agreed, and a hash of all that it rests on. No ages are in it.

use std::collections::BTreeSet;
use std::path::Path;

use ideal_core::demand::{Demands, Scope, State};
use ideal_core::plan::Plan;
use ideal_core::planner::key;
use ideal_engine::Glance;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;

/// A plan in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    v: u32,
    kind: String,
    /// Of everything that the plan rests on.
    pub(crate) hash: String,
    /// As on the command line; none: everything.
    pub(crate) addresses: Vec<String>,
    /// What is demanded of them.
    pub(crate) state: State,
    /// What ends, by name.
    pub(crate) endings: BTreeSet<String>,
    /// For people who look into the file.
    pub(crate) plan: Plan,
}

impl Saved {
    pub(crate) fn new(
        glance: &Glance,
        demands: &Demands,
        addresses: &[String],
        state: State,
        plan: Plan,
    ) -> Saved {
        Saved {
            v: 1,
            kind: "plan".to_owned(),
            hash: hash(glance, demands),
            addresses: addresses.to_vec(),
            state,
            endings: plan.steps.iter().filter_map(|planned| key(&planned.step)).collect(),
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
        if saved.v != 1 || saved.kind != "plan" {
            return Err(bad("it is of another kind or version".to_owned()).into());
        }
        Ok(saved)
    }

    /// Refuses when anything that the plan rests on has changed since.
    pub(crate) fn must_be_fresh(&self, glance: &Glance, demands: &Demands) -> anyhow::Result<()> {
        if hash(glance, demands) == self.hash {
            return Ok(());
        }
        let message = "the plan is stale: the file, the demand or the cluster changed since it was made";
        Err(Failure::new("stale-plan", Exit::Held, message)
            .next("ideal plan --out FILE        makes a new one")
            .into())
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
