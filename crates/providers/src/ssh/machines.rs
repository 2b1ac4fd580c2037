//! How a machine is taken for a node, and given back.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use ideal_core::id::{MachineId, Token};
use ideal_core::ideal::SshMachine;
use ideal_core::model;
use ideal_core::observed::{Listing, Machine, MachineState, Tags};
use ideal_core::time::Span;
use ideal_host::brought::Wanted;
use ideal_host::{Identity, now};
use ideal_ssh::{Failure, Known, Probe, Way};

use super::records::{Book, Record};
use super::{Ssh, failed, no_such};
use crate::{Answer, Object, ProviderError, Told};

/// For so long what a machine has said of itself is believed, and one that could not be asked is not asked again.
const BELIEVED: Span = Span::secs(20);

/// What the way to a machine is called: a part of file names and of lines of configuration.
fn way_name(machine: &SshMachine, port: Option<u16>) -> String {
    // No host has these signs, so no two machines have one name.
    let host = machine.host().replace(':', "+");
    port.map_or(host.clone(), |port| format!("{host}@{port}"))
}

impl Ssh {
    fn name(&self, machine: &SshMachine) -> String {
        way_name(machine, machine.login.port.or(self.spec.login.port))
    }

    /// The way to a machine of the list.
    pub(super) fn way(&self, machine: &SshMachine) -> Result<Way, ProviderError> {
        let login = machine.login.or(&self.spec.login);
        let known = machine.host_key.clone().map_or(Known::ByPerson, |key| Known::Keys(vec![key]));
        let way = self.ways.way(&self.name(machine), machine.host(), &login, &known);
        way.map_err(|error| ProviderError::refused(format!("the way to {}: {error}", machine.address)))
    }

    /// The way to a machine that is a node: as the list has it now, or as it was when it left the list.
    pub(super) fn way_of(&self, id: &MachineId) -> Result<Way, ProviderError> {
        let book = self.records.read()?;
        let record = book.machines.get(id).ok_or_else(|| no_such(id))?;
        self.way_to(record)
    }

    fn way_to(&self, record: &Record) -> Result<Way, ProviderError> {
        match self.spec.machines.iter().find(|machine| self.name(machine) == record.way) {
            Some(machine) => self.way(machine),
            None => Ok(self.ways.kept(&record.way, &record.host)),
        }
    }

    /// Asks a machine what it is, unless it has just said so.
    pub(super) async fn ask(&self, way: &Way) -> Result<Probe, ProviderError> {
        let known = self.asked.borrow().get(&way.name).cloned();
        if let Some((at, known)) = known
            && now().since(at) < BELIEVED
        {
            return known.map_err(failed);
        }
        let _turn = self.at_once.acquire().await;
        let asked = ideal_ssh::probe(way, &self.program).await;
        // One that may be starting is asked again when it is wanted.
        if !matches!(asked, Err(Failure::Unreachable(_))) {
            self.asked.borrow_mut().insert(way.name.clone(), (now(), asked.clone()));
        }
        asked.map_err(failed)
    }

    pub(super) async fn listing(&self) -> Result<Listing, ProviderError> {
        self.meet().await?;
        let book = self.records.read()?;
        let machines = book.machines.iter().map(|(id, record)| self.shown(id, record));
        let machines = machines.collect::<Result<_, _>>()?;
        Ok(Listing { at: now(), complete: true, machines, ..Listing::default() })
    }

    pub(super) fn machine(&self, id: &MachineId) -> Result<Option<Machine>, ProviderError> {
        let book = self.records.read()?;
        book.machines.get(id).map(|record| self.shown(id, record)).transpose()
    }

    fn shown(&self, id: &MachineId, record: &Record) -> Result<Machine, ProviderError> {
        let runs = record.over.is_none();
        Ok(Machine {
            id: id.clone(),
            tags: record.tags.clone(),
            state: if runs { MachineState::Running } else { MachineState::Terminated },
            address: Some(record.address.clone()),
            agent: if runs { Some(self.way_to(record)?.agent()) } else { None },
            image: record.image.clone(),
            size: record.size.clone(),
            retired: record.retired,
        })
    }

    /// Asks machines that nothing is written down of which nodes they are, once: looking must not wait again and again for
    /// one that does not answer. It is asked anew before it is taken, and the node of its place waits for it.
    async fn meet(&self) -> Result<(), ProviderError> {
        let book = self.records.read()?;
        let known = |way: &str| book.free.contains(way) || book.machines.values().any(|one| one.way == way);
        let tried = |way: &str| self.asked.borrow().contains_key(way);
        let strange = self.spec.machines.iter().filter(|machine| {
            let way = self.name(machine);
            !known(&way) && !tried(&way)
        });
        let met = join_all(strange.map(|machine| async move {
            let asked = async { self.ask(&self.way(machine)?).await }.await;
            (machine, asked)
        }))
        .await;
        if met.is_empty() {
            return Ok(());
        }
        for (machine, asked) in &met {
            if let Err(error) = asked {
                let failure = Failure::Unreachable(error.to_string());
                self.asked.borrow_mut().entry(self.name(machine)).or_insert((now(), Err(failure)));
            }
        }
        self.records.with(|book| {
            for (machine, asked) in met {
                let (way, Ok(probe)) = (self.name(machine), asked) else { continue };
                match probe.identity {
                    None => _ = book.free.insert(way),
                    Some(identity) => adopt(book, machine, way, identity),
                }
            }
            Ok(())
        })
    }

    pub(super) async fn take(
        &self,
        token: &Token,
        tags: &Tags,
        image: &str,
        size: &str,
    ) -> Result<Answer, ProviderError> {
        let book = self.records.read()?;
        let known = book.machines.iter().find(|(_, record)| record.tags.token.as_ref() == Some(token));
        if let Some((id, record)) = known {
            if (record.tags.slot(), record.tags.generation) != (tags.slot(), tags.generation) {
                return Err(ProviderError::TokenTaken);
            }
            return Ok(Answer::Made(Object::Machine(self.shown(id, record)?)));
        }
        let (mut passed, mut why) =
            (BTreeSet::new(), "every machine of the list is a node already".to_owned());
        while let Some(machine) = self.free(&book, tags, &passed) {
            let name = self.name(machine);
            self.taking.borrow_mut().insert(name.clone());
            let taken = self.take_this(machine, &name, token, tags, image, size).await;
            self.taking.borrow_mut().remove(&name);
            match taken? {
                Ok(machine) => return Ok(Answer::Made(Object::Machine(machine))),
                Err(of_another) => why = of_another,
            }
            passed.insert(name);
        }
        Err(ProviderError::refused(why))
    }

    /// The machine at the place of the node in the list, or the next after it that is free. One that said itself that it is
    /// of another cluster may be free by now: it is asked.
    fn free(&self, book: &Book, tags: &Tags, passed: &BTreeSet<String>) -> Option<&SshMachine> {
        let (all, from) = (&self.spec.machines, tags.index.unwrap_or_default() as usize);
        let free = |machine: &&SshMachine| {
            let way = self.name(machine);
            book.taken(&way).is_none_or(|(_, record)| is_of_others(record, tags))
                && !self.taking.borrow().contains(&way)
                && !passed.contains(&way)
        };
        let from = from % all.len().max(1);
        all.iter().skip(from).chain(all.iter().take(from)).find(free)
    }

    /// Takes this machine, or says which other cluster has it.
    async fn take_this(
        &self,
        machine: &SshMachine,
        name: &str,
        token: &Token,
        tags: &Tags,
        image: &str,
        size: &str,
    ) -> Result<Result<Machine, String>, ProviderError> {
        let way = self.way(machine)?;
        if let Some(identity) = self.ask(&way).await?.identity {
            if identity.slot.cloud == tags.cloud && self.meets(machine, name, &identity)? {
                let why =
                    format!("{name} is node {} of this cluster: it is known again now", identity.node_mark());
                return Err(ProviderError::retry(why));
            }
            if let Err(of_another) = self.clear(&way, &identity).await? {
                return Ok(Err(of_another));
            }
        }
        let tags = Tags { token: Some(token.clone()), ..tags.clone() };
        let id = self.records.with(|book| {
            match book.taken(name) {
                Some((id, record)) if is_of_others(record, &tags) => {
                    let id = id.clone();
                    book.machines.remove(&id);
                }
                Some(_) => return Err(ProviderError::retry(format!("{name} was taken just now"))),
                None => {}
            }
            let same = |record: &Record| record.tags.token.as_ref() == Some(token);
            if let Some((id, _)) = book.machines.iter().find(|(_, record)| same(record)) {
                return Ok(id.clone());
            }
            // Of the token, which no other project and no other taking has.
            let taking = blake3::hash(token.as_str().as_bytes()).to_hex();
            let id = MachineId::new(format!("{name}.{}", &taking[..8]));
            book.free.remove(name);
            let record = Record {
                way: name.to_owned(),
                host: machine.host().to_owned(),
                address: machine.address.clone(),
                tags,
                image: image.to_owned(),
                size: size.to_owned(),
                retired: false,
                over: None,
                unheard: false,
                came: false,
            };
            book.machines.insert(id.clone(), record);
            Ok(id)
        })?;
        self.asked.borrow_mut().remove(name);
        self.machine(&id)?.map(Ok).ok_or_else(|| no_such(&id))
    }

    /// Whether a machine that says that it is a node of ours is one that was forgotten here. If so it is known again.
    fn meets(&self, machine: &SshMachine, way: &str, identity: &Identity) -> Result<bool, ProviderError> {
        self.records.with(|book| {
            if book.machines.contains_key(&identity.machine) {
                return Ok(false);
            }
            adopt(book, machine, way.to_owned(), identity.clone());
            Ok(book.machines.contains_key(&identity.machine))
        })
    }

    /// What runs on a machine that was given back without being heard ends before it is taken again. All else that a machine
    /// is already is not ours to end.
    async fn clear(&self, way: &Way, identity: &Identity) -> Result<Result<(), String>, ProviderError> {
        let book = self.records.read()?;
        let was = book.machines.get(&identity.machine).filter(|record| record.over.is_some());
        if was.is_none_or(|record| record.tags.cloud != identity.slot.cloud) {
            let (name, node) = (&way.name, identity.node_mark());
            return Ok(Err(format!("{name} is node {node} already: take it out of that cluster first")));
        }
        let _turn = self.at_once.acquire().await;
        let is_it = |there: &Identity| there == identity;
        ideal_ssh::leave(way, &self.program, is_it).await.map_err(failed)?;
        self.records.change(&identity.machine, |record| {
            record.unheard = false;
            Ok(())
        })?;
        Ok(Ok(()))
    }

    pub(super) async fn bring(&self, machine: &Machine, told: Told<'_>) -> Result<(), ProviderError> {
        let wanted = Wanted::of(machine).ok_or_else(|| no_such(&machine.id))?;
        let way = self.way_of(&machine.id)?;
        let _turn = self.at_once.acquire().await;
        match ideal_ssh::bring(&way, &self.program, &wanted, told).await {
            Ok(()) => {
                self.records.change(&machine.id, |record| {
                    record.came = true;
                    Ok(())
                })?;
                Ok(())
            }
            Err(Failure::Taken(why)) if self.was_never_ours(&machine.id)? => {
                Err(ProviderError::retry(format!("{why}; it was never ours")))
            }
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Whether a machine that is another cluster's was taken by that between our look and our agent. If so it is ours no more.
    fn was_never_ours(&self, id: &MachineId) -> Result<bool, ProviderError> {
        self.records.with(|book| {
            let record = book.machines.get_mut(id).ok_or_else(|| no_such(id))?;
            if !record.came {
                record.over = record.over.or(Some(now()));
            }
            Ok(!record.came)
        })
    }

    pub(super) async fn give_back(&self, id: &MachineId, unheard: bool) -> Result<Answer, ProviderError> {
        let Some(mut machine) = self.machine(id)? else { return Err(no_such(id)) };
        if machine.state.is_over() {
            return Ok(Answer::Accepted);
        }
        model::end_machine(&mut machine).map_err(ProviderError::refused)?;
        let way = self.way_of(id)?;
        let is_it = |there: &Identity| {
            let tags = (Some(there.slot), there.generation);
            there.machine == *id && tags == (machine.tags.slot(), machine.tags.generation)
        };
        let left = {
            let _turn = self.at_once.acquire().await;
            ideal_ssh::leave(&way, &self.program, is_it).await
        };
        let unheard = match left {
            Ok(_) => false,
            // A person said that it is dead: it is remembered that ours may still be there.
            Err(Failure::Unreachable(_) | Failure::Denied(_) | Failure::Shut(_)) if unheard => true,
            Err(failure) => return Err(failed(failure)),
        };
        self.asked.borrow_mut().remove(&way.name);
        self.records.change(id, |record| {
            (record.over, record.unheard) = (Some(now()), unheard);
            Ok(())
        })
    }
}

/// Whether a machine said itself that it is of another cluster, and nothing here says more.
fn is_of_others(record: &Record, tags: &Tags) -> bool {
    record.tags.token.is_none() && record.tags.cloud != tags.cloud
}

/// A machine that says itself which node it is: what was written down here was lost. It is believed when it is called as
/// we call it, and nobody else is that node.
fn adopt(book: &mut Book, machine: &SshMachine, way: String, identity: Identity) {
    let tags = Tags {
        cloud: identity.slot.cloud,
        index: Some(identity.slot.index),
        mount: None,
        generation: identity.generation,
        token: None,
        demand: None,
        epoch: 0,
    };
    let called = identity.machine.as_str().strip_prefix(&*way).is_some_and(|rest| rest.starts_with('.'));
    let taken = |record: &Record| record.over.is_none() && record.tags.slot() == tags.slot();
    if !called || book.machines.values().any(taken) {
        return;
    }
    let record = Record {
        way,
        host: machine.host().to_owned(),
        address: machine.address.clone(),
        tags,
        image: String::new(),
        size: String::new(),
        retired: false,
        over: None,
        unheard: false,
        came: true,
    };
    book.machines.entry(identity.machine).or_insert(record);
}
