//! `ec2`: machines, volumes and snapshots of Amazon's EC2.
//!
//! A small client of the Query API, for the actions in [`actions`] only; credentials come from `aws-config`, as every
//! program of AWS finds them. Everything that must be known of a thing is in its tags. EC2 takes tokens for machines and
//! volumes and forgets them some time after the thing has ended, so what a token has made is looked for by tag besides.
//!
//! A machine is made with a user of ours by its user data, and with a host key of ours or with one of its own that its
//! console shows; then the agent is brought to it by `ssh`.

mod actions;
mod batch;
mod bring;
mod budget;
mod client;
mod console;
mod doctor;
mod element;
mod failure;
mod groups;
mod hosts;
mod lives;
mod login;
mod machines;
mod marks;
mod meaning;
mod nobodys;
mod policy;
mod query;
mod see;
mod snapshots;
mod tags;
mod together;
mod volumes;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ideal_core::id::{SlotId, SnapshotId, Token};
use ideal_core::ideal::Ec2Spec;
use ideal_core::observed::{Listing, Machine, Snapshot, Tags, Volume};
use ideal_core::time::Span;
use tokio::sync::{Mutex, OnceCell};

use crate::{
    Answer, Answering, Call, Character, Fence, Object, ObjectId, Provider, ProviderError, Together, Told,
    Verdict, WayIn,
};
use bring::Bringing;
pub use budget::{Rate, Rates};
use client::Client;
pub use doctor::{Allowed, Permission, Skew};
use lives::Lives;
pub use nobodys::{NobodysMachine, NobodysVolume};
pub use policy::policy;

/// EC2 promises nothing; a minute is what its own programs wait.
const SETTLE: Span = Span::mins(1);

/// For each page of a look: four requests a second, of the twenty that EC2 allows a new account.
const PACE: Span = Span::millis(250);
/// For each page of a look that finds all as it is to be: two requests a minute.
const REST: Span = Span::secs(30);

/// Machines and volumes of one account in one region.
#[derive(Debug)]
pub struct Ec2 {
    spec: Ec2Spec,
    client: Client,
    /// Images that were looked up, by the name that was looked for: all machines of a run have the same.
    images: Mutex<BTreeMap<String, String>>,
    /// Slots of which something is being placed.
    placing: RefCell<BTreeSet<SlotId>>,
    /// In which zone something of a slot was made.
    placed: RefCell<BTreeMap<SlotId, String>>,
    first_zone: OnceCell<String>,
    own_group: OnceCell<String>,
    own_key: OnceCell<()>,
    /// What it takes to bring agents; none: nobody does.
    bringing: Option<Bringing>,
    lives: Lives,
}

impl Ec2 {
    /// Nothing is asked yet.
    pub fn new(spec: Ec2Spec, rates: Rates) -> Ec2 {
        Ec2 {
            client: Client::new(spec.clone(), rates),
            spec,
            images: Mutex::default(),
            placing: RefCell::default(),
            placed: RefCell::default(),
            first_zone: OnceCell::new(),
            own_group: OnceCell::new(),
            own_key: OnceCell::new(),
            bringing: None,
            lives: Lives::default(),
        }
    }

    /// The region that is asked; an error is why none can be: no region, no credentials, no answer, a zone that it does
    /// not have.
    pub async fn reachable(&self) -> Result<String, ProviderError> {
        let region = self.client.region().await?.to_owned();
        self.zones_are_there(&region).await?;
        Ok(region)
    }

    /// How long it may take until everybody sees what was done.
    fn settle(&self) -> Span {
        self.spec.settle.unwrap_or(SETTLE)
    }

    async fn read_one(&self, id: &ObjectId) -> Result<Option<Object>, ProviderError> {
        let client = &self.client;
        Ok(match id {
            ObjectId::Machine(id) => {
                let machine = client.by_id::<Machine>(id.as_str()).await?;
                machine.map(|machine| self.reached(machine)).transpose()?.map(Object::Machine)
            }
            ObjectId::Volume(id) => client.by_id::<Volume>(id.as_str()).await?.map(Object::Volume),
            ObjectId::Snapshot(id) => client.by_id::<Snapshot>(id.as_str()).await?.map(Object::Snapshot),
        })
    }

    async fn shove(&self, call: &Call) -> Result<Answer, ProviderError> {
        match call {
            Call::CreateMachine { .. } => {
                let lost = || Err(ProviderError::refused("it was not asked for"));
                self.create_machines(std::slice::from_ref(call)).await.pop().unwrap_or_else(lost)
            }
            Call::StartMachine(id) => self.start_machine(id).await,
            Call::StopMachine(permit) => self.stop_machine(permit.machine()).await,
            Call::RetireMachine(permit) => self.retire_machine(permit.machine()).await,
            Call::Terminate(permit) => self.terminate(permit.machine()).await,
            Call::CreateVolume { token, tags, size, life, from } => {
                self.create_volume(token, tags, *size, *life, from.as_ref()).await
            }
            Call::ClaimVolume { volume, tags } => self.claim(volume, tags).await,
            Call::NewLife { volume, life } => self.new_life(volume, *life).await,
            Call::Attach { volume, life, machine, mount: _ } => self.attach(volume, *life, machine).await,
            Call::Detach(permit) => self.detach(permit.volume(), permit.machine(), *permit.life()).await,
            Call::Seal { permit, token, tags, kind } => {
                self.take((permit.volume(), *permit.life()), token, tags, Some(*kind)).await
            }
            Call::Backup { permit, token, tags } => {
                self.take((permit.volume(), *permit.life()), token, tags, None).await
            }
            Call::Grow { volume, size } => self.grow(volume, *size).await,
            Call::Retire { volume, mark } => self.retire(volume, *mark).await,
            Call::DeleteVolume(permit) => self.delete_volume(permit.volume(), *permit.life()).await,
            Call::DeleteSnapshot(permit) => self.delete_snapshot(permit.snapshot()).await,
            Call::Mirror { objects, demand, epoch } => self.mirror(objects, demand, *epoch).await,
            Call::Rename { objects, mount } => self.rename(objects, mount).await,
            Call::Disown { objects } => self.disown(objects).await,
        }
    }
}

impl Provider for Ec2 {
    fn character(&self) -> Character {
        let pages = u64::from(self.client.pages());
        Character {
            settle: self.settle(),
            fence: Fence::Terminate,
            stops: true,
            makes_machines: true,
            enforces_marks: self.spec.enforced,
            agent: self.bringing.as_ref().map(|bringing| bringing.program.build()),
            at_once: batch::AT_ONCE,
            pace: Span(pages * PACE.0),
            rest: Span(pages * REST.0),
        }
    }
    fn describe(&self) -> Answering<'_, Listing> {
        Box::pin(async { self.all_reached(Box::pin(self.client.listing()).await?) })
    }
    fn read<'a>(&'a self, id: &'a ObjectId) -> Answering<'a, Option<Object>> {
        Box::pin(self.read_one(id))
    }
    fn issue<'a>(&'a self, call: &'a Call) -> Answering<'a, Answer> {
        Box::pin(async { self.answered(self.shove(call).await) })
    }
    fn issue_together<'a>(&'a self, calls: &'a [Call]) -> Together<'a> {
        Box::pin(async {
            let answers = self.create_machines(calls).await;
            answers.into_iter().map(|answer| self.answered(answer)).collect()
        })
    }
    fn bring_agent<'a>(&'a self, machine: &'a Machine, told: Told<'a>) -> Answering<'a, ()> {
        Box::pin(self.bring(machine, told))
    }
    fn way_in<'a>(&'a self, machine: &'a Machine, terminal: bool) -> Answering<'a, WayIn> {
        Box::pin(self.way_for_person(machine, terminal))
    }
    fn verify<'a>(&'a self, id: &'a SnapshotId) -> Answering<'a, Verdict> {
        Box::pin(Ec2::verify(self, id))
    }
}

/// What EC2 takes as a token: 64 letters at most. `attempt` is what differs from the first try for the same thing.
fn client_token(token: &Token, attempt: &str) -> String {
    blake3::hash(format!("{token}\n{attempt}").as_bytes()).to_hex().to_string()
}

/// A short sum of a wish. Demand and epoch only say who asked, and when.
fn wish(kind: &str, tags: &Tags, rest: &str) -> String {
    let index = tags.index.map(|index| index.to_string()).unwrap_or_default();
    let mount = tags.mount.as_ref().map(ToString::to_string).unwrap_or_default();
    let text = format!("{kind} {}/{index}:{mount} generation {} {rest}", tags.cloud, tags.generation);
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

fn no_such(id: impl fmt::Display) -> ProviderError {
    ProviderError::refused(format!("{id} is not there"))
}
