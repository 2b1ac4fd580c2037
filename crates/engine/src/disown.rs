//! Letting go: everything keeps running, and nothing of it is ours any more.

use ideal_core::id::SlotId;
use ideal_core::journal::Record;
use ideal_core::observed::{SlotSeen, VolumeState};
use ideal_core::plan::Part;
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
        let common = self.common();
        for (slot, objects) in self.all_objects() {
            let seen = self.observed().slots.get(&slot);
            let Some((_, provider)) = provider_of(&common.outside, self.ideal(), slot, seen) else {
                continue;
            };
            lease::hold(&common.outside, &common.authority)?;
            let number = objects.len();
            let names = objects.iter().map(ToString::to_string).collect();
            self.record(&[Record::LetGo { part: Part::node(slot), objects: names }]).await?;
            let call = Call::Disown { objects };
            match common.outside.effect("disown", provider.issue(&call)).await {
                Ok(_) => count += number,
                Err(error) => refused.push(format!("{}: {error}", self.ideal().address(slot))),
            }
        }
        Ok((count, refused))
    }

    /// Everything that was seen of every slot.
    fn all_objects(&self) -> Vec<(SlotId, Vec<ObjectId>)> {
        let of = |seen: &SlotSeen| {
            let machines = seen.machines.iter().filter(|machine| !machine.state.is_over());
            let volumes = seen.volumes.iter().filter(|volume| volume.state != VolumeState::Deleted);
            machines
                .map(|machine| ObjectId::Machine(machine.id.clone()))
                .chain(volumes.map(|volume| ObjectId::Volume(volume.id.clone())))
                .chain(seen.snapshots.iter().map(|snapshot| ObjectId::Snapshot(snapshot.id.clone())))
                .collect()
        };
        self.observed().slots.iter().map(|(slot, seen)| (*slot, of(seen))).collect()
    }
}
