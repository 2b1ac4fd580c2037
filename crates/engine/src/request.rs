//! What a person wants of replicas and nodes that is no state of them: recorded, and heeded by every decision from then
//! on.

use ideal_core::id::{CloudId, MachineId, SlotId};
use ideal_core::journal::{Record, Seated, ServiceMemory};
use ideal_core::time::Time;

use crate::reconcile::{Engine, EngineError};

/// What a person wants of a replica, a service or a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A replica on this node. From when it was seen there, it is a replica like others.
    Seat {
        /// Which.
        replica: SlotId,
        /// Where.
        node: SlotId,
    },
    /// Something of the change of a service from one version to another.
    Change {
        /// Of which service.
        service: CloudId,
        /// What.
        wish: ChangeWish,
    },
    /// A node that takes no more replicas, or does again.
    Cordon {
        /// Which.
        slot: SlotId,
        /// Whether it takes none.
        on: bool,
    },
    /// A machine is dead, although nobody can see that it is.
    ConfirmDead {
        /// Which.
        machine: MachineId,
    },
}

/// What a person wants of the change of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeWish {
    /// All replicas are started again, as any other version would come.
    Again,
    /// No further replica is changed.
    Pause,
    /// It goes on. What was given up is tried again.
    Resume {
        /// Also by replicas that are of the new version already, for one of them was given up by its node.
        anew: bool,
    },
}

impl Engine {
    /// Records what a person wants; it is followed from the next decision on.
    pub async fn request(&mut self, all: &[Request]) -> Result<(), EngineError> {
        let now = self.common().outside.clock.now();
        for one in all {
            let record = match one {
                Request::Seat { replica, node } => {
                    let seat = Seated {
                        node: *node,
                        generation: self.generation(*node),
                        up: false,
                        asked: true,
                        moved: 0,
                    };
                    Record::Seated { seats: [(*replica, Some(seat))].into() }
                }
                Request::Change { service, wish } => {
                    let memory = self.view().services.get(service).cloned().unwrap_or_default();
                    Record::Changing { service: *service, memory: Box::new(changed(memory, *wish, now)) }
                }
                Request::Cordon { slot, on } => Record::Cordoned { slot: *slot, on: *on },
                Request::ConfirmDead { machine } => Record::ConfirmedDead { machine: machine.clone() },
            };
            self.record(&[record]).await?;
        }
        Ok(())
    }

    /// The number of the machine that a node has.
    fn generation(&self, node: SlotId) -> ideal_core::id::Generation {
        let seen = self.observed().slots.get(&node);
        let alive = seen.into_iter().flat_map(|seen| &seen.machines);
        let alive = alive.filter(|machine| !machine.state.is_over());
        alive.map(|machine| machine.tags.generation).max().unwrap_or_default()
    }
}

fn changed(mut memory: ServiceMemory, wish: ChangeWish, now: Time) -> ServiceMemory {
    match wish {
        ChangeWish::Again => memory.restarts += 1,
        // What was given up before is of another version than the one that is paused.
        ChangeWish::Pause => (memory.paused, memory.bad) = (true, None),
        ChangeWish::Resume { anew } => {
            (memory.paused, memory.bad) = (false, None);
            memory.restarts += u32::from(anew);
            // The time that a replica may take to be well was not spent while nothing went on.
            let told = memory.next.iter_mut().flat_map(|(_, told)| told.values_mut());
            told.for_each(|since| *since = now);
        }
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_goes_on_has_its_time_again() {
        let paused = ServiceMemory {
            next: Some(("new".to_owned(), [(0, Time(5))].into())),
            bad: Some(("new".to_owned(), "ill".to_owned())),
            paused: true,
            ..ServiceMemory::default()
        };
        let on = changed(paused.clone(), ChangeWish::Resume { anew: false }, Time(9));
        assert_eq!(on.next, Some(("new".to_owned(), [(0, Time(9))].into())));
        assert_eq!((on.paused, on.bad, on.restarts), (false, None, 0));
        assert_eq!(changed(paused, ChangeWish::Resume { anew: true }, Time(9)).restarts, 1);
        let again = changed(ServiceMemory::default(), ChangeWish::Again, Time(9));
        assert_eq!((again.restarts, again.paused), (1, false));
        assert!(changed(again, ChangeWish::Pause, Time(9)).paused);
    }
}
