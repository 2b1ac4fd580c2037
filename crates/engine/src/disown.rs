//! Letting go: everything keeps running, and nothing of it is ours any more.

use ideal_core::observed::VolumeState;
use ideal_providers::{Call, ObjectId};

use crate::lease;
use crate::observe::provider_of;
use crate::reconcile::{Engine, EngineError};

impl Engine {
    /// Takes our tags off everything that was seen. Answers how many things were let go, and what refused.
    pub async fn disown(&mut self) -> Result<(usize, Vec<String>), EngineError> {
        self.look().await?;
        let mut count = 0;
        let mut refused = Vec::new();
        for (slot, seen) in &self.observed().slots {
            let machines = seen.machines.iter().filter(|machine| !machine.state.is_over());
            let volumes = seen.volumes.iter().filter(|volume| volume.state != VolumeState::Deleted);
            let objects: Vec<ObjectId> = machines
                .map(|machine| ObjectId::Machine(machine.id.clone()))
                .chain(volumes.map(|volume| ObjectId::Volume(volume.id.clone())))
                .chain(seen.snapshots.iter().map(|snapshot| ObjectId::Snapshot(snapshot.id.clone())))
                .collect();
            let common = self.common();
            let Some((_, provider)) = provider_of(&common.outside, self.ideal(), *slot, Some(seen)) else {
                continue;
            };
            lease::hold(&common.outside, &common.authority)?;
            let number = objects.len();
            let call = Call::Disown { objects };
            match common.outside.effect("disown", provider.issue(&call)).await {
                Ok(_) => count += number,
                Err(error) => refused.push(format!("{}: {error}", self.ideal().address(*slot))),
            }
        }
        Ok((count, refused))
    }
}
