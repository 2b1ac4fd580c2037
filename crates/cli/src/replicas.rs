//! Services and their replicas as people name them, with what is seen of each: where it is, how it is, and how far its
//! service has changed to another version.

use ideal_core::address::Address;
use ideal_core::demand::State;
use ideal_core::id::SlotId;
use ideal_core::ideal::{Ideal, Service};
use ideal_core::journal::ServiceMemory;
use ideal_core::observed::{AgentSeen, ServiceSeen, ServiceState};
use ideal_core::planner::{Place, Wait};
use ideal_core::slice::version;
use ideal_core::validate::nearest;
use ideal_engine::Glance;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::list::plain;
use crate::render::words;
use crate::scopes;

/// How many letters of a version people see.
const SHORT: usize = 7;

/// One replica.
#[derive(Clone, Copy)]
pub(crate) struct View<'g> {
    pub(crate) glance: &'g Glance,
    /// The place of its service in the file.
    pub(crate) at: u32,
    pub(crate) service: &'g Service,
    pub(crate) index: u32,
}

/// Which version of its service something is of, while the service changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Old,
    New,
}

/// How far a service is on its way to the version of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was never well throughout, or is of the version of the file.
    None,
    /// The file has another version, and nobody pursued it yet.
    Ahead,
    /// So many replicas were told.
    Under { told: usize },
    /// No further replica is told.
    Paused { told: usize },
    /// The version before runs, for this reason.
    Back { why: String },
}

impl Change {
    /// In a word.
    pub(crate) fn word(&self) -> Option<&'static str> {
        Some(match self {
            Change::None => return None,
            Change::Ahead => "not begun",
            Change::Under { .. } => "changing",
            Change::Paused { .. } => "paused",
            Change::Back { .. } => "given up",
        })
    }
    /// In a line, with what can be done.
    pub(crate) fn words(&self, service: &Service) -> Option<String> {
        let (name, all) = (&service.name, service.replicas);
        Some(match self {
            Change::None => return None,
            Change::Ahead => "not begun: the file has another version; ideal up applies it".to_owned(),
            Change::Under { told } => format!("changing: {told} of {all} told"),
            Change::Paused { told } => {
                format!("paused: {told} of {all} told; ideal services resume {name} goes on")
            }
            Change::Back { why } => format!(
                "given up: {why}; the version before runs; mend the file, or ideal services resume {name} tries again"
            ),
        })
    }
}

/// How far a service is on its way to the version of the file.
pub(crate) fn change(glance: &Glance, service: &Service) -> Change {
    let Some(memory) = glance.view.services.get(&service.id) else { return Change::None };
    let wanted = version(&service.spec, memory.restarts);
    if good(memory).is_none_or(|good| good == wanted) {
        return Change::None;
    }
    if let Some((_, why)) = memory.bad.as_ref().filter(|(bad, _)| *bad == wanted) {
        return Change::Back { why: why.clone() };
    }
    let told = memory.next.as_ref().filter(|(next, _)| *next == wanted).map(|(_, told)| told.len());
    match (memory.paused, told) {
        (true, told) => Change::Paused { told: told.unwrap_or_default() },
        (false, Some(told)) => Change::Under { told },
        (false, None) => Change::Ahead,
    }
}

fn good(memory: &ServiceMemory) -> Option<String> {
    memory.good.as_ref().map(|(spec, again)| version(spec, *again))
}

/// The version that the file wants of a service.
pub(crate) fn wanted(glance: &Glance, service: &Service) -> String {
    let again = glance.view.services.get(&service.id).map_or(0, |memory| memory.restarts);
    version(&service.spec, again)
}

/// A version as people see it: its first letters, and how often it was started again on purpose.
pub(crate) fn short(version: &str) -> String {
    match version.split_once('+') {
        Some((hash, again)) => format!("{}+{again}", hash.get(..SHORT).unwrap_or(hash)),
        None => version.get(..SHORT).unwrap_or(version).to_owned(),
    }
}

/// How many replicas of a service are well.
pub(crate) fn well(glance: &Glance, at: u32, service: &Service) -> usize {
    let all = (0..service.replicas).map(|index| View { glance, at, service, index });
    all.filter(View::is_well).count()
}

impl<'g> View<'g> {
    pub(crate) fn address(&self) -> String {
        self.service.address(self.index)
    }
    pub(crate) fn slot(&self) -> SlotId {
        self.service.slot(self.index)
    }
    /// Where it is to be.
    pub(crate) fn place(&self) -> Option<&'g Place> {
        self.glance.seats().of(self.slot())
    }
    /// Where it is, and how: on the node that is to carry it, else on one that still runs it.
    pub(crate) fn seen(&self) -> Option<(SlotId, &'g ServiceSeen)> {
        let address = self.address();
        let to_be = self.place().and_then(|place| place.node);
        let told = self.glance.observed.slots.iter().filter_map(|(slot, seen)| {
            let own = seen.agent.report()?.services.get(&address)?;
            Some((*slot, own))
        });
        told.max_by_key(|(slot, own)| (own.state != ServiceState::Stopped, Some(*slot) == to_be))
    }
    /// The node that has it, or is to have it.
    pub(crate) fn node(&self) -> Option<SlotId> {
        let running = self.seen().filter(|(_, own)| own.state != ServiceState::Stopped);
        running.map(|(slot, _)| slot).or_else(|| self.place()?.node)
    }
    pub(crate) fn is_well(&self) -> bool {
        self.seen().is_some_and(|(_, own)| own.state == ServiceState::Running)
    }
    /// How it is, in a word or two.
    pub(crate) fn state(&self) -> String {
        let seen = self.seen().map(|(_, own)| own.state);
        let place = self.place();
        match seen {
            Some(state) if state != ServiceState::Stopped => plain(&json!(state)).replace('_', " "),
            _ if !self.is_demanded() => seen.map_or("away", |_| "stopped").to_owned(),
            _ if place.is_some_and(|place| place.unplaced.is_some()) => "unplaced".to_owned(),
            _ if place.is_some_and(|place| place.waits.is_some()) => "waits".to_owned(),
            _ if self.silence().is_some() => "not known".to_owned(),
            Some(_) => "stopped".to_owned(),
            None => "missing".to_owned(),
        }
    }
    /// Why it is not well, or not there.
    pub(crate) fn why(&self) -> Option<String> {
        if let Some((_, own)) = self.seen().filter(|(_, own)| own.state != ServiceState::Stopped) {
            return own.why.clone();
        }
        let place = self.place().filter(|_| self.is_demanded())?;
        match (&place.unplaced, &place.waits) {
            (Some(unplaced), _) => Some(unplaced.why.to_string()),
            (None, Some(Wait::Elsewhere(node))) => {
                Some(format!("it is stopped on {} first", self.glance.ideal.address(*node)))
            }
            (None, Some(Wait::After(first))) => Some(format!("{first}, which comes first, is not well yet")),
            (None, Some(Wait::Down) | None) => {
                self.silence().map(|why| format!("the agent of its node is silent: {why}"))
            }
        }
    }
    /// Why its node says nothing.
    fn silence(&self) -> Option<&'g str> {
        match &self.glance.observed.slots.get(&self.place()?.node?)?.agent {
            AgentSeen::Silent { why, .. } => Some(why),
            _ => None,
        }
    }
    /// Whether anything is to run of its service.
    pub(crate) fn is_demanded(&self) -> bool {
        let demanded = self.glance.standing.demands.of_replica(self.slot(), self.service.cloud);
        demanded == Some(State::Launched)
    }
    /// The version that it runs as.
    pub(crate) fn version(&self) -> Option<&'g str> {
        let (_, own) = self.seen().filter(|(_, own)| own.state != ServiceState::Stopped)?;
        own.version.as_deref()
    }
    /// Whether that is the old or the new one, while its service changes.
    pub(crate) fn age(&self) -> Option<Age> {
        if change(self.glance, self.service) == Change::None {
            return None;
        }
        let own = self.version()?;
        let memory = self.glance.view.services.get(&self.service.id)?;
        if own == wanted(self.glance, self.service) {
            return Some(Age::New);
        }
        (good(memory).as_deref() == Some(own)).then_some(Age::Old)
    }
}

/// The replicas of the file that names mean, each `pub` or `pub[0]`; without a name all of them.
pub(crate) fn of<'g>(glance: &'g Glance, names: &[String]) -> anyhow::Result<Vec<View<'g>>> {
    let wanted: Vec<Address> =
        names.iter().map(|text| named(&glance.ideal, text)).collect::<Result<_, _>>()?;
    let asked = |view: &View<'_>| {
        let own = |address: &Address| {
            let is_own = address.path.0.first() == Some(&view.service.name);
            is_own && address.index.is_none_or(|index| index == view.index)
        };
        wanted.is_empty() || wanted.iter().any(own)
    };
    Ok(all(glance).filter(asked).collect())
}

/// Every replica of the file.
pub(crate) fn all(glance: &Glance) -> impl Iterator<Item = View<'_>> {
    (0u32..).zip(&glance.ideal.services).flat_map(move |(at, service)| {
        (0..service.replicas).map(move |index| View { glance, at, service, index })
    })
}

/// The one replica that a name means.
pub(crate) fn one<'g>(glance: &'g Glance, text: &str) -> anyhow::Result<View<'g>> {
    let address = named(&glance.ideal, text)?;
    if address.index.is_none() {
        let message = format!("`{text}` is a service, and one replica is meant");
        let failure = Failure::new("bad-address", Exit::BadInput, message);
        return Err(failure.next(format!("write which: {text}[0]")).into());
    }
    let found = of(glance, &[text.to_owned()])?.pop();
    found.ok_or_else(|| no_such(&glance.ideal, text))
}

/// The one service that a name means.
pub(crate) fn service<'i>(ideal: &'i Ideal, text: &str) -> anyhow::Result<(u32, &'i Service)> {
    let address = named(ideal, text)?;
    if address.index.is_some() {
        let name = &address.path;
        let message = format!("`{text}` is a replica, and a service is meant");
        let failure = Failure::new("bad-address", Exit::BadInput, message);
        return Err(failure.next(format!("write {name}: all of its replicas, a few at a time")).into());
    }
    let found = (0u32..).zip(&ideal.services).find(|(_, own)| address.path.0.first() == Some(&own.name));
    found.map(|(at, own)| (at, &**own)).ok_or_else(|| no_such(ideal, text))
}

/// The address of a service of the file, or of one of its replicas.
fn named(ideal: &Ideal, text: &str) -> anyhow::Result<Address> {
    let address = scopes::address(text)?;
    let service = ideal.services.iter().find(|own| address.path.0 == [own.name.clone()]);
    let there = service.is_some_and(|own| address.index.is_none_or(|index| index < own.replicas));
    match there && address.mount.is_none() {
        true => Ok(address),
        false => Err(no_such(ideal, text)),
    }
}

fn no_such(ideal: &Ideal, text: &str) -> anyhow::Error {
    let name = text.split(['[', ':']).next().unwrap_or(text);
    let message = match ideal.services.iter().find(|own| own.name.as_str() == name) {
        Some(service) if text.contains(':') => format!("`{text}` is a mount of {}", service.name),
        Some(service) => {
            let all = words::counted(service.replicas as usize, "replica");
            format!("{name} has {all}, and `{text}` is none of them")
        }
        None => format!("there is no service `{name}` in the file"),
    };
    let failure = Failure::new("no-such-part", Exit::BadInput, message);
    match nearest(name, ideal.services.iter().map(|own| own.name.as_str())).filter(|near| *near != name) {
        Some(near) => failure.next(format!("did you mean `{near}`?")).into(),
        None => failure.next("ideal services list        shows those that there are").into(),
    }
}
