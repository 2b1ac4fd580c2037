//! Steps that no demand asks for and a person does: a snapshot now, old ones deleted, one tried.

use ideal_core::id::{SlotId, SnapshotId};
use ideal_core::journal::{Outcome, Record};
use ideal_core::plan::Step;
use ideal_providers::{ProviderError, Verdict};

use crate::act::Ended;
use crate::flight::Flight;
use crate::glance::Glance;
use crate::observe::provider_of;
use crate::outside::Outside;
use crate::progress::Event;
use crate::reconcile::{Engine, EngineError, intent};

impl Engine {
    /// Takes these steps as a pass would: intent before, the last look at what is touched, outcome after. Answers how
    /// each ended.
    pub async fn carry_out(&mut self, steps: &[Step]) -> Result<Vec<(Step, Outcome)>, EngineError> {
        let common = self.common();
        let tasks: Vec<_> = steps.iter().filter_map(|step| self.task(step)).collect();
        let intents: Vec<Record> = tasks.iter().map(|task| intent(&task.step)).collect();
        self.record(&intents).await?;
        let mut flight = Flight::new(&common, self.ideal().policy.concurrency as usize);
        flight.add(tasks);
        let mut all = Vec::new();
        while !flight.is_empty() {
            let mut records = Vec::new();
            for (step, ended, took) in flight.group(&*common.outside.clock).await {
                let outcome = match ended {
                    Ended::Outcome(outcome) => outcome,
                    Ended::Overtaken(error) => return Err(error.into()),
                };
                let (part, act) = (step.part.clone(), step.act.clone());
                records.push(Record::Outcome { part, act, outcome: outcome.clone() });
                common.outside.progress.tell(&Event::Ended {
                    step: step.clone(),
                    outcome: outcome.clone(),
                    took,
                });
                all.push((step, outcome));
            }
            self.record(&records).await?;
        }
        Ok(all)
    }
}

impl Glance {
    /// Tries a snapshot of a slot: it is restored to where nobody uses it, read back and compared.
    pub async fn verify(
        &self,
        outside: &Outside,
        slot: SlotId,
        snapshot: &SnapshotId,
    ) -> Result<Verdict, ProviderError> {
        let seen = self.observed.slots.get(&slot);
        match provider_of(outside, &self.ideal, slot, seen) {
            Some((_, provider)) => provider.verify(snapshot).await,
            None => Err(ProviderError::refused("its provider is not in the file")),
        }
    }
}
