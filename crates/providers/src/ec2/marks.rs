//! Calls that change only what is written on things, and the search for what a token has made.

use ideal_core::demand::Demands;
use ideal_core::id::{Epoch, Name, Token, VolumeId};
use ideal_core::observed::{Machine, Snapshot, Tags, Volume};

use super::actions::Action;
use super::query::Query;
use super::see::{self, Seen};
use super::tags::{self, Written};
use super::together::Kind;
use super::{Ec2, no_such};
use crate::{Answer, ObjectId, ProviderError};

/// So many things are written on at once.
pub(super) const AT_ONCE: usize = 200;

impl Ec2 {
    /// What a token has made, when it made just what is wished for now. What is shown is what EC2 shows: something that
    /// was made a moment ago may be missing, and what ended an hour ago is.
    pub(super) async fn made<T: Seen>(&self, token: &Token, wish: &str) -> Result<Option<T>, ProviderError> {
        let kind = Kind { listed: T::LISTED, filter: format!("tag:{}", tags::TOKEN), and: Vec::new() };
        let found = self.client.look(kind, token.as_str()).await?;
        let mut own = found.iter().map(|element| (element, tags::written(element)));
        let own = own.rfind(|(_, written)| written.get(tags::TOKEN).is_some_and(|one| one == token.as_str()));
        match own {
            Some((element, written)) if written.get(tags::WISH).is_some_and(|one| one == wish) => {
                Ok(Some(T::of(element)))
            }
            Some(_) => Err(ProviderError::TokenTaken),
            None => Ok(None),
        }
    }

    /// What is written on a new thing.
    pub(super) fn written(&self, tags: &Tags, token: &Token, wish: &str) -> Result<Written, ProviderError> {
        let tags = Tags { token: Some(token.clone()), ..tags.clone() };
        let Some(mut written) = tags::write(&tags) else { return Err(too_long()) };
        written.insert(tags::WISH.to_owned(), wish.to_owned());
        Ok(written)
    }

    /// Writes on things that are there.
    pub(super) async fn mark(&self, ids: &[&str], written: &Written) -> Result<(), ProviderError> {
        for some in ids.chunks(AT_ONCE) {
            let query = Query::new(Action::CreateTags).list("ResourceId", some);
            let query = written.iter().enumerate().fold(query, |query, (i, (key, value))| {
                query.with(format!("Tag.{}.Key", i + 1), key).with(format!("Tag.{}.Value", i + 1), value)
            });
            self.client.ask(&query).await?;
        }
        Ok(())
    }

    /// Takes what is written off things that are there.
    pub(super) async fn unmark(&self, ids: &[&str], names: &[String]) -> Result<(), ProviderError> {
        for some in ids.chunks(AT_ONCE) {
            let query = Query::new(Action::DeleteTags).list("ResourceId", some);
            let query = names
                .iter()
                .enumerate()
                .fold(query, |query, (i, key)| query.with(format!("Tag.{}.Key", i + 1), key));
            self.client.ask(&query).await?;
        }
        Ok(())
    }

    /// Those of the things that are there, with their tags.
    async fn there(&self, objects: &[ObjectId]) -> Result<Vec<(String, Tags)>, ProviderError> {
        let (mut machines, mut volumes, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
        for object in objects {
            match object {
                ObjectId::Machine(id) => machines.push(id.as_str()),
                ObjectId::Volume(id) => volumes.push(id.as_str()),
                ObjectId::Snapshot(id) => snapshots.push(id.as_str()),
            }
        }
        fn pairs<T: Seen>(found: Vec<T>) -> impl Iterator<Item = (String, Tags)> {
            found.into_iter().map(|one| (one.id().to_owned(), one.tags().clone()))
        }
        let mut there: Vec<(String, Tags)> = Vec::new();
        there.extend(pairs(self.client.there::<Machine>(&machines).await?));
        there.extend(pairs(self.client.there::<Volume>(&volumes).await?));
        there.extend(pairs(self.client.there::<Snapshot>(&snapshots).await?));
        Ok(there)
    }

    pub(super) async fn mirror(
        &self,
        objects: &[ObjectId],
        demand: &Demands,
        epoch: Epoch,
    ) -> Result<Answer, ProviderError> {
        let Some(demand_written) = tags::demand(demand) else { return Err(too_long()) };
        // A late call of an engine of before must not undo a later demand.
        let is_older =
            |tags: &Tags| tags.demand.as_ref().is_none_or(|known| known.version() <= demand.version());
        let there = self.there(objects).await?;
        let ours = there.iter().filter(|(_, tags)| see::is_owned(tags) && is_older(tags));
        let (lower, same): (Vec<_>, Vec<_>) = ours.partition(|(_, tags)| tags.epoch <= epoch);
        let ids =
            |some: Vec<&'_ (String, Tags)>| some.into_iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        let (lower, same) = (ids(lower), ids(same));
        let mut with_epoch = demand_written.clone();
        with_epoch.insert(tags::EPOCH.to_owned(), epoch.to_string());
        self.mark(&texts(&lower), &with_epoch).await?;
        self.mark(&texts(&same), &demand_written).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn rename(&self, objects: &[ObjectId], mount: &Name) -> Result<Answer, ProviderError> {
        if let Some(machine) = objects.iter().find(|id| matches!(id, ObjectId::Machine(_))) {
            let why = format!("{machine} is a machine and has no mount to be named by");
            return Err(ProviderError::refused(why));
        }
        let there = self.there(objects).await?;
        for object in objects {
            if !there.iter().any(|(id, _)| *id == object.to_string()) {
                return Err(no_such(object));
            }
        }
        let ids: Vec<String> = there.into_iter().map(|(id, _)| id).collect();
        let name = Written::from([(tags::MOUNT.to_owned(), mount.to_string())]);
        self.mark(&texts(&ids), &name).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn disown(&self, objects: &[ObjectId]) -> Result<Answer, ProviderError> {
        let ids: Vec<String> = self.there(objects).await?.into_iter().map(|(id, _)| id).collect();
        // The cloud's tag goes last: with it gone, a policy lets us write on a thing no more.
        let (last, first): (Vec<_>, Vec<_>) = tags::whose().into_iter().partition(|name| name == tags::CLOUD);
        self.unmark(&texts(&ids), &first).await?;
        self.unmark(&texts(&ids), &last).await?;
        Ok(Answer::Accepted)
    }

    pub(super) async fn claim(&self, id: &VolumeId, tags: &Tags) -> Result<Answer, ProviderError> {
        let volume = self.volume(id).await?;
        if see::is_owned(&volume.tags) {
            if volume.tags.mount_id() != tags.mount_id() {
                return Err(ProviderError::refused(format!(
                    "{id} belongs to the cloud {}",
                    volume.tags.cloud
                )));
            }
            // A claim before this one may have ended half way; a mark that can be read is of its present life.
            if volume.retired.is_none() {
                self.unmark(&[id.as_str()], &left_of_a_trial()).await?;
            }
            return Ok(Answer::Accepted);
        }
        let Some(written) = tags::write(tags) else { return Err(too_long()) };
        self.mark(&[id.as_str()], &written).await?;
        // It may have been made on trial. Only of what is ours does a policy let us take something off.
        self.unmark(&[id.as_str()], &left_of_a_trial()).await?;
        Ok(Answer::Accepted)
    }
}

/// What says that a volume may be removed.
fn left_of_a_trial() -> [String; 2] {
    [tags::TRIAL.to_owned(), tags::RETIRED.to_owned()]
}

fn texts(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

fn too_long() -> ProviderError {
    let why =
        "what is demanded is longer than fits into the tags of EC2: demand the same of more nodes at once";
    ProviderError::refused(why)
}
