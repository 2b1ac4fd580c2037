//! The way to machines, and how the agent comes to them.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::id::{MachineId, Token};
use ideal_core::ideal::{Ec2Spec, is_host_key};
use ideal_core::observed::{Listing, Machine, MachineState};
use ideal_host::brought::Wanted;
use ideal_ssh::{Failure, Folder, Known, Program, Way};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::login::{Given, Keys};
use super::{Ec2, meaning, no_such};
use crate::ssh::failed;
use crate::{Answer, Object, ProviderError, WayIn};

/// To how many machines agents are brought at once.
const AT_ONCE: usize = 24;
/// A machine that runs takes this long until it hears, and longer where its image is slow.
const HEARS_WITHIN: Duration = Duration::from_secs(45);
/// Between two tries to be heard.
const AGAIN: Duration = Duration::from_millis(500);

/// What it takes to bring agents.
#[derive(Debug)]
pub(super) struct Bringing {
    ways: Folder,
    pub(super) keys: Keys,
    pub(super) program: Rc<Program>,
    at_once: Semaphore,
}

/// What EC2 shows of the way to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    pub public: String,
    pub private: String,
    /// As it was tagged when the machine was made.
    pub host_key: String,
}

impl Bringing {
    pub(super) fn new(data: PathBuf, program: Rc<Program>) -> Bringing {
        Bringing {
            ways: Folder::new(data.join("ways")),
            keys: Keys::new(data),
            program,
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    /// The way to a machine; none while it has no address or no key by which it is known.
    fn way(&self, spec: &Ec2Spec, id: &str, reach: &Reach) -> Result<Option<Way>, ProviderError> {
        let public = if spec.private || reach.public.is_empty() { &reach.private } else { &reach.public };
        if public.is_empty() || !is_host_key(&reach.host_key) {
            return Ok(None);
        }
        let known = Known::Keys(vec![reach.host_key.clone()]);
        let way = self.ways.way(id, public, &self.keys.login(spec), &known);
        way.map(Some).map_err(|error| ProviderError::refused(format!("the way to {id}: {error}")))
    }
}

impl Reach {
    /// As it is read from an answer, for whoever has the keys to make a way of it.
    pub(super) fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

impl Ec2 {
    /// Agents are brought to its machines, and its ways and keys are written below `data`.
    pub fn bringing(mut self, data: PathBuf, program: Rc<Program>) -> Ec2 {
        self.bringing = Some(Bringing::new(data, program));
        self
    }

    /// The way to a machine as it was read; none where none can be known.
    fn way_of(&self, machine: &Machine) -> Result<Option<Way>, ProviderError> {
        let reach = machine.agent.as_deref().and_then(|text| serde_json::from_str::<Reach>(text).ok());
        match (&self.bringing, reach) {
            (Some(bringing), Some(reach)) => bringing.way(&self.spec, machine.id.as_str(), &reach),
            _ => Ok(None),
        }
    }

    /// A machine as it was read, with where its agent is reached.
    pub(super) fn reached(&self, mut machine: Machine) -> Result<Machine, ProviderError> {
        machine.agent = match machine.state {
            MachineState::Running => self.way_of(&machine)?.map(|way| way.agent()),
            _ => None,
        };
        Ok(machine)
    }

    /// An answer, with where the agent of what it made is reached.
    pub(super) fn answered(&self, answer: Result<Answer, ProviderError>) -> Result<Answer, ProviderError> {
        match answer? {
            Answer::Made(Object::Machine(machine)) => {
                Ok(Answer::Made(Object::Machine(self.reached(machine)?)))
            }
            answer => Ok(answer),
        }
    }

    pub(super) fn all_reached(&self, mut listing: Listing) -> Result<Listing, ProviderError> {
        let machines = listing.machines.into_iter().map(|machine| self.reached(machine));
        listing.machines = machines.collect::<Result<_, _>>()?;
        Ok(listing)
    }

    /// The way to a machine that runs, freshly read.
    async fn way_now(&self, id: &MachineId) -> Result<Way, ProviderError> {
        let machine = self.machine(id).await?;
        self.way_of(&machine)?.ok_or_else(|| {
            ProviderError::retry(format!(
                "no way to {id} is known: it has no address yet, or was made without a host key in its tags"
            ))
        })
    }

    /// Refuses types of machines for whose processors there is no agent, before anything is made.
    pub(super) fn has_agents_for(&self, types: &[String]) -> Result<(), ProviderError> {
        let Some(bringing) = &self.bringing else { return Ok(()) };
        types.iter().try_for_each(|one| {
            let there = bringing.program.is_there_for(meaning::processors(one));
            there.map_err(|why| ProviderError::refused(format!("{one}: {why}")))
        })
    }

    /// What a machine is given that is made with this token; none where nobody would log in to it.
    pub(super) fn given_at_birth(&self, token: &Token) -> Result<Option<Given>, ProviderError> {
        let Some(bringing) = &self.bringing else { return Ok(None) };
        let given = bringing.keys.given(&self.spec, token);
        given.map(Some).map_err(|error| ProviderError::refused(format!("the keys of a machine: {error}")))
    }

    pub(super) async fn bring(&self, machine: &Machine) -> Result<(), ProviderError> {
        let Some(bringing) = &self.bringing else {
            return Err(ProviderError::refused("no program to be brought is known here"));
        };
        let wanted = Wanted::of(machine).ok_or_else(|| no_such(&machine.id))?;
        let way = self.way_now(&machine.id).await?;
        let _turn = bringing.at_once.acquire().await;
        let begun = Instant::now();
        loop {
            match ideal_ssh::bring(&way, &bringing.program, &wanted).await {
                Ok(()) => return Ok(()),
                // It runs and does not hear yet, or its first start is not over, in which our user is made.
                Err(Failure::Unreachable(_) | Failure::Denied(_)) if begun.elapsed() < HEARS_WITHIN => {
                    sleep(AGAIN).await;
                }
                Err(failure) => return Err(failed(failure)),
            }
        }
    }

    pub(super) async fn way_for_person(
        &self,
        machine: &Machine,
        terminal: bool,
    ) -> Result<WayIn, ProviderError> {
        let way = self.way_now(&machine.id).await?;
        Ok(WayIn { words: way.for_person(terminal), ..WayIn::default() })
    }
}
