//! `ssh`: machines that exist, reached by the system's OpenSSH. Nothing is made and nothing is ended here: a machine is
//! taken for a node, and given back.
//!
//! Which machine is which node is written down in the project's folder, and on the machine itself: should the one be lost,
//! the other says it. What was never asked, or could not be asked, is not taken to be free.

mod machines;
mod records;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use ideal_core::id::{MachineId, SnapshotId};
use ideal_core::ideal::SshSpec;
use ideal_core::observed::{Listing, Machine};
use ideal_core::time::Time;
use ideal_ssh::{Failure, Folder, Probe, Program};
use tokio::sync::Semaphore;

use crate::{
    Answer, Answering, Call, Character, Fence, Object, ObjectId, Provider, ProviderError, Told, Verdict,
    WayIn,
};
use records::Records;
pub(crate) use records::remove_when_over;

/// With how many machines is spoken at once.
const AT_ONCE: usize = 24;

/// When a machine was asked, and what it is or why it could not be asked.
type Asked = (Time, Result<Probe, Failure>);

/// Machines that exist.
#[derive(Debug)]
pub struct Ssh {
    spec: SshSpec,
    ways: Folder,
    records: Records,
    program: Rc<Program>,
    at_once: Semaphore,
    /// What was asked a moment ago, by the name of the way: what it is, or why it could not be asked.
    asked: RefCell<BTreeMap<String, Asked>>,
    /// Machines that are being taken just now.
    taking: RefCell<BTreeSet<String>>,
}

impl Ssh {
    /// `data`: the folder in which it is written down which machine is which node. Nothing is asked yet.
    pub fn new(spec: SshSpec, data: PathBuf, program: Rc<Program>) -> Ssh {
        Ssh {
            spec,
            ways: Folder::new(data.join("ways")),
            records: Records::new(data),
            program,
            at_once: Semaphore::new(AT_ONCE),
            asked: RefCell::default(),
            taking: RefCell::default(),
        }
    }

    /// Asks every machine of the list what it is: by address, what is wrong with it.
    pub async fn reachable(&self) -> Vec<(String, Result<(), ProviderError>)> {
        let each = self.spec.machines.iter().map(|machine| async move {
            let asked = async { self.ask(&self.way(machine)?).await }.await;
            (machine.address.clone(), asked.map(|_| ()))
        });
        futures_util::future::join_all(each).await
    }

    async fn shove(&self, call: &Call) -> Result<Answer, ProviderError> {
        match call {
            Call::CreateMachine { token, tags, image, size } => self.take(token, tags, image, size).await,
            Call::StartMachine(_) => Ok(Answer::Accepted),
            Call::StopMachine(permit) => {
                let why = format!("{} only exists: nobody here could start it again", permit.machine());
                Err(ProviderError::refused(why))
            }
            Call::RetireMachine(permit) => self.records.change(permit.machine(), |record| {
                record.retired = true;
                Ok(())
            }),
            Call::Terminate(permit) => self.give_back(permit.machine(), *permit.unheard()).await,
            Call::Mirror { objects, demand, epoch } => self.records.mirror(objects, demand, *epoch),
            Call::Rename { .. } => Ok(Answer::Accepted),
            Call::Disown { .. } => Err(ProviderError::refused(
                "a machine that exists is given up by `ideal away` and then taken out of the file",
            )),
            _ => Err(ProviderError::refused("machines that exist have no volumes")),
        }
    }
}

impl Provider for Ssh {
    fn character(&self) -> Character {
        let agent = Some(self.program.build());
        Character { agent, makes_machines: false, stops: false, ..Character::at_hand(Fence::None) }
    }
    fn describe(&self) -> Answering<'_, Listing> {
        Box::pin(self.listing())
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        Box::pin(async move {
            let ObjectId::Machine(id) = id else { return Ok(None) };
            Ok(self.machine(id)?.map(Object::Machine))
        })
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        Box::pin(self.shove(call))
    }
    fn verify<'a>(&'a self, _: &'a SnapshotId) -> Answering<'a, Verdict> {
        let refused = ProviderError::refused("machines that exist have no snapshots");
        Box::pin(std::future::ready(Err(refused)))
    }
    fn bring_agent<'a>(&'a self, machine: &'a Machine, told: Told<'a>) -> Answering<'a, ()> {
        Box::pin(self.bring(machine, told))
    }
    fn way_in<'a>(&'a self, machine: &'a Machine, terminal: bool) -> Answering<'a, WayIn> {
        Box::pin(async move {
            let way = self.way_of(&machine.id)?;
            Ok(WayIn { words: way.for_person(terminal), ..WayIn::default() })
        })
    }
}

/// What may be tried again, and what may not.
pub(crate) fn failed(failure: Failure) -> ProviderError {
    match failure {
        Failure::Unreachable(why) => ProviderError::retry(why),
        Failure::Denied(why) | Failure::Shut(why) | Failure::Taken(why) | Failure::Refused(why) => {
            ProviderError::refused(why)
        }
    }
}

fn no_such(id: &MachineId) -> ProviderError {
    ProviderError::refused(format!("{id} is not there"))
}
