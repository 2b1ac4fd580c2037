//! The way to machines, and how the agent comes to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::id::{MachineId, Token};
use ideal_core::ideal::{Ec2Spec, HostKeys, is_host_key};
use ideal_core::observed::{Listing, Machine, MachineState};
use ideal_host::brought::Wanted;
use ideal_ssh::{Failure, Folder, Known, Program, Way};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::login::{Given, Keys};
use super::{Ec2, meaning, no_such, tags};
use crate::ssh::failed;
use crate::{Answer, Object, ProviderError, Told, WayIn};

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
    /// Host keys that were read from consoles: EC2 shows their tags after a while.
    learned: RefCell<BTreeMap<MachineId, String>>,
}

/// What EC2 shows of the way to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    pub public: String,
    pub private: String,
    /// As the machine is tagged; empty when it is not.
    pub host_key: String,
    /// The fingerprint of the key that it was made to let in; empty when that is not said.
    pub login: String,
}

impl Bringing {
    pub(super) fn new(data: PathBuf, program: Rc<Program>) -> Bringing {
        Bringing {
            ways: Folder::new(data.join("ways")),
            keys: Keys::new(data),
            program,
            at_once: Semaphore::new(AT_ONCE),
            learned: RefCell::default(),
        }
    }

    /// The way to a machine; none while it has no address or no key by which it is known.
    fn way(&self, spec: &Ec2Spec, id: &MachineId, reach: &Reach) -> Result<Option<Way>, ProviderError> {
        let public = if spec.private || reach.public.is_empty() { &reach.private } else { &reach.public };
        // What a tag says counts, whatever was read.
        let learned = || self.learned.borrow().get(id).cloned().unwrap_or_default();
        let key = if reach.host_key.is_empty() { learned() } else { reach.host_key.clone() };
        if public.is_empty() || !is_host_key(&key) {
            return Ok(None);
        }
        let known = Known::Keys(vec![key]);
        let way = self.ways.way(id.as_str(), public, &self.keys.login(spec), &known);
        way.map(Some).map_err(|error| ProviderError::refused(format!("the way to {id}: {error}")))
    }
}

impl Reach {
    fn of(machine: &Machine) -> Option<Reach> {
        serde_json::from_str(machine.agent.as_deref()?).ok()
    }

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
        match (&self.bringing, Reach::of(machine)) {
            (Some(bringing), Some(reach)) => bringing.way(&self.spec, &machine.id, &reach),
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
        if let Some(bringing) = &self.bringing {
            let shown = listing.machines.iter().filter_map(|machine| machine.tags.token.as_ref());
            // A key that cannot be removed now is tried again at the next look, and is no reason not to look.
            _ = bringing.keys.hosts.forget(shown, self.settle());
        }
        let machines = listing.machines.into_iter().map(|machine| self.reached(machine));
        listing.machines = machines.collect::<Result<_, _>>()?;
        Ok(listing)
    }

    /// The way to a machine that runs, as it was read just now.
    fn way_now(&self, machine: &Machine) -> Result<Way, ProviderError> {
        self.way_of(machine)?.ok_or_else(|| {
            let id = &machine.id;
            ProviderError::retry(format!(
                "no way to {id} is known: it has no address yet, or no host key in its tag `{}`, which can be read from \
                 its console where the provider says `host_keys: console`",
                tags::HOST_KEY
            ))
        })
    }

    /// Learns the host key of a machine that is not tagged with one, where the file says that it makes its own.
    async fn learn(&self, machine: &Machine, reach: &Reach) -> Result<(), ProviderError> {
        let Some(bringing) = &self.bringing else { return Ok(()) };
        let is_known = !reach.host_key.is_empty() || bringing.learned.borrow().contains_key(&machine.id);
        if is_known || self.spec.host_keys != HostKeys::Console {
            return Ok(());
        }
        let key = self.key_from_console(machine).await?;
        bringing.learned.borrow_mut().insert(machine.id.clone(), key);
        Ok(())
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

    pub(super) async fn bring(&self, machine: &Machine, told: Told<'_>) -> Result<(), ProviderError> {
        let Some(bringing) = &self.bringing else {
            return Err(ProviderError::refused("no program to be brought is known here"));
        };
        let wanted = Wanted::of(machine).ok_or_else(|| no_such(&machine.id))?;
        let fresh = self.machine(&machine.id).await?;
        let reach = Reach::of(&fresh).unwrap_or_default();
        self.learn(&fresh, &reach).await?;
        let way = self.way_now(&fresh)?;
        let _turn = bringing.at_once.acquire().await;
        let begun = Instant::now();
        loop {
            match ideal_ssh::bring(&way, &bringing.program, &wanted, told).await {
                Ok(()) => return Ok(()),
                // To wait for the end of its first start is of no use then.
                Err(Failure::Denied(why))
                    if let Some(lost) = bringing.keys.lost(&self.spec, &reach.login) =>
                {
                    return Err(ProviderError::refused(format!("{why}; {lost}")));
                }
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
        let way = self.way_now(&self.machine(&machine.id).await?)?;
        Ok(WayIn { words: way.for_person(terminal), ..WayIn::default() })
    }
}
