//! Machines that are asked for together are made together.
//!
//! One request makes many machines, but writes the same tags on all of them. So those say of which slots the batch is,
//! and which of them a machine has follows from its launch index: EC2 numbers the machines of a request and shows the
//! number with each of them ever after. A machine is born with its slot; there is no moment in which one is nobody's,
//! whoever dies when.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use ideal_core::id::Token;
use ideal_core::observed::{Machine, Tags};
use ideal_core::time::{Span, Time};
use ideal_host::now;

use super::actions::Action;
use super::element::Element;
use super::failure::{Failure, Kind};
use super::groups::Placing;
use super::machines::{Run, Wanted};
use super::tags::{self, Written};
use super::{Ec2, client_token, meaning, see, together, wish};
use crate::{Answer, Call, Object, ProviderError};

/// So many machines are made by one request at most.
pub(super) const AT_ONCE: usize = 200;

/// A machine that is asked for, and what is known of where it may be.
struct Asked<'a> {
    /// Which of the calls it is.
    at: usize,
    token: &'a Token,
    tags: &'a Tags,
    image: &'a str,
    size: &'a str,
    zones: Vec<String>,
    /// Held until it is made.
    _placing: Placing<'a>,
}

/// What those must have in common that are made together.
type Common = (Vec<String>, String, String, String);

impl Asked<'_> {
    fn common(&self) -> Common {
        let tags = format!("{:?}", common(self.tags));
        (self.zones.clone(), self.image.to_owned(), self.size.to_owned(), tags)
    }
}

type Answered = Result<Answer, ProviderError>;

impl Ec2 {
    /// Makes what each of these calls asks for, in as few requests as can be.
    pub(super) async fn create_machines(&self, calls: &[Call]) -> Vec<Answered> {
        let prepared = join_all(calls.iter().enumerate().map(|(at, call)| self.prepare(at, call))).await;
        let mut answers: BTreeMap<usize, Answered> = BTreeMap::new();
        let mut batches: BTreeMap<Common, Vec<Asked<'_>>> = BTreeMap::new();
        for (at, prepared) in prepared.into_iter().enumerate() {
            match prepared {
                Ok(Ready::Ask(asked)) => batches.entry(asked.common()).or_default().push(asked),
                Ok(Ready::There(machine)) => _ = answers.insert(at, made(machine)),
                Err(error) => _ = answers.insert(at, Err(error)),
            }
        }
        for mut batch in batches.into_values() {
            batch.sort_by_key(|asked| asked.tags.index);
            for some in in_tags(&batch) {
                answers.extend(self.launch(some).await);
            }
        }
        let lost = || Err(ProviderError::refused("it was not asked for"));
        (0..calls.len()).map(|at| answers.remove(&at).unwrap_or_else(lost)).collect()
    }

    async fn prepare<'a>(&'a self, at: usize, call: &'a Call) -> Result<Ready<'a>, ProviderError> {
        let Call::CreateMachine { token, tags, image, size } = call else {
            return Err(ProviderError::refused("only machines are made in batches"));
        };
        // A try before this one may have made it: with another type or in another zone, under a token of EC2's that
        // differs from the first, or with others.
        if let Some(machine) = self.made::<Machine>(token, &machine_wish(tags, image, size)).await? {
            return Ok(Ready::There(machine));
        }
        if let Some(machine) = self.made_with_others(tags, image, size).await? {
            return Ok(Ready::There(machine));
        }
        let slot = tags.slot();
        let placing = self.placing(slot)?;
        let zones = self.zones_for(slot).await?;
        Ok(Ready::Ask(Asked { at, token, tags, image, size, zones, _placing: placing }))
    }

    /// The machine of a slot and generation that a batch has made. A batch of which some are seen may have made it too,
    /// and not show it yet.
    async fn made_with_others(
        &self,
        tags: &Tags,
        image: &str,
        size: &str,
    ) -> Result<Option<Machine>, ProviderError> {
        let Some(index) = tags.index else { return Ok(None) };
        let and = vec![
            (format!("tag:{}", tags::CLOUD), tags.cloud.to_string()),
            ("tag-key".to_owned(), tags::BATCH.to_owned()),
        ];
        let filter = format!("tag:{}", tags::GENERATION);
        let kind = together::Kind { listed: Action::DescribeInstances, filter, and };
        let found = self.client.look(kind, &tags.generation.to_string()).await?;
        let generation = tags.generation.to_string();
        let mut younger = None;
        for element in found.iter() {
            let written = tags::written(element);
            let of = written.get(tags::BATCH).map(|text| tags::slots(text, AT_ONCE)).unwrap_or_default();
            if !of.contains(&index) || written.get(tags::GENERATION) != Some(&generation) {
                continue;
            }
            if see::slot(element, &written) != Some(index) {
                younger = younger.max(begun(element));
                continue;
            }
            let same = written.get(tags::WISH) == Some(&machine_wish(&common(tags), image, size));
            return if same { Ok(Some(see::machine(element))) } else { Err(ProviderError::TokenTaken) };
        }
        match younger.map(|begun| begun + self.settle()).filter(|until| *until > now()) {
            Some(until) => Err(ProviderError::Retry {
                why: "others that were asked for with it are seen, and it may be there too".to_owned(),
                after: Some(until.since(now())),
            }),
            None => Ok(None),
        }
    }

    /// Makes machines that have all in common but their slots: where there is room, and what finds none there, elsewhere.
    async fn launch(&self, batch: &[Asked<'_>]) -> Vec<(usize, Answered)> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut left: Vec<&Asked<'_>> = batch.iter().collect();
        let failed = match self.tried(&mut left, &mut answers).await {
            Ok(()) => return answers,
            Err(Run::Error(error)) => error,
            Err(Run::Failed(failure)) => match failure.kind() {
                Kind::TokenTaken | Kind::TokenOver => {
                    for asked in left {
                        answers.push((asked.at, self.taken(asked).await));
                    }
                    return answers;
                }
                // As many as are allowed: EC2 may refuse all of a batch for what only some of them are too many by.
                _ if left.len() > 1 && too_many(&failure) => {
                    let mut refused = None;
                    for asked in left {
                        let answer = match &refused {
                            None => Box::pin(self.alone(asked)).await,
                            Some(error) => Err(ProviderError::clone(error)),
                        };
                        refused = refused.or_else(|| answer.as_ref().err().cloned());
                        answers.push((asked.at, answer));
                    }
                    return answers;
                }
                _ => failure.into(),
            },
        };
        answers.extend(left.into_iter().map(|asked| (asked.at, Err(failed.clone()))));
        answers
    }

    async fn alone(&self, asked: &Asked<'_>) -> Answered {
        let (mut left, mut answers) = (vec![asked], Vec::new());
        self.tried(&mut left, &mut answers).await.map_err(|error| match error {
            Run::Failed(failure) => failure.into(),
            Run::Error(error) => error,
        })?;
        answers.pop().map_or_else(|| Err(ProviderError::refused("no zone is named")), |(_, answer)| answer)
    }

    /// Tries zones and types in their order until none is left; what is made is answered.
    async fn tried(
        &self,
        left: &mut Vec<&Asked<'_>>,
        answers: &mut Vec<(usize, Answered)>,
    ) -> Result<(), Run> {
        let Some(first) = left.first() else { return Ok(()) };
        let Some(types) = meaning::choices(&self.spec, first.size) else {
            let why =
                format!("`{}` is no size of a machine, or larger than any that is known here", first.size);
            return Err(Run::Error(ProviderError::refused(why)));
        };
        self.has_agents_for(&types).map_err(Run::Error)?;
        let (asked, zones) = (first.image, first.zones.clone());
        let (groups, key) = (self.groups().await, self.key().await);
        let (groups, key) = (groups.map_err(Run::Error)?, key.map_err(Run::Error)?);
        let mut full = None;
        for (at, (zone, of_type)) in
            zones.iter().flat_map(|zone| types.iter().map(move |one| (zone, one))).enumerate()
        {
            let (token, mut written) = self.born(left).map_err(Run::Error)?;
            let given = self.given_at_birth(&token).map_err(Run::Error)?;
            if let Some(given) = &given {
                written.insert(tags::LOGIN.to_owned(), given.login.clone());
                let key = given.host_key.clone();
                written.extend(key.map(|key| (tags::HOST_KEY.to_owned(), key)));
            }
            let attempt = if at == 0 { String::new() } else { format!("{zone} {of_type}") };
            let wanted = Wanted {
                token: client_token(&token, &attempt),
                count: left.len(),
                written: &written,
                asked,
                groups: &groups,
                key: key.as_ref(),
                user_data: given.as_ref().map(|given| &given.user_data).or(self.spec.user_data.as_ref()),
            };
            match self.run(&wanted, zone, of_type).await {
                Ok(answer) => {
                    self.given(&answer, &token, zone, left, answers).map_err(Run::Failed)?;
                    if left.is_empty() {
                        return Ok(());
                    }
                    full = Some(short(zone, of_type));
                }
                Err(Run::Failed(failure)) if failure.kind() == Kind::Capacity => full = Some(failure.into()),
                Err(error) => return Err(error),
            }
        }
        Err(Run::Error(full.unwrap_or_else(|| ProviderError::refused("no zone is named"))))
    }

    /// What is written on machines at their birth, and the token that they are made under. One alone has its own.
    fn born(&self, left: &[&Asked<'_>]) -> Result<(Token, Written), ProviderError> {
        let (first, token, mut written) = match left {
            [] => return Err(ProviderError::refused("nothing is asked for")),
            [one] => {
                let wish = machine_wish(one.tags, one.image, one.size);
                (one, one.token.clone(), self.written(one.tags, one.token, &wish)?)
            }
            [first, ..] => {
                let all: Vec<&str> = left.iter().map(|asked| asked.token.as_str()).collect();
                let token = Token::new(format!("batch/{}", blake3::hash(all.join("\n").as_bytes()).to_hex()));
                let tags = common(first.tags);
                let wish = machine_wish(&tags, first.image, first.size);
                let mut written = self.written(&tags, &token, &wish)?;
                let slots = left.iter().filter_map(|asked| asked.tags.index);
                written.insert(tags::BATCH.to_owned(), tags::slots_text(slots));
                (first, token, written)
            }
        };
        written.insert(tags::IMAGE.to_owned(), first.image.to_owned());
        written.insert(tags::SIZE.to_owned(), first.size.to_owned());
        Ok((token, written))
    }

    /// Gives each machine of an answer to who asked for it.
    fn given(
        &self,
        answer: &Element,
        token: &Token,
        zone: &str,
        left: &mut Vec<&Asked<'_>>,
        answers: &mut Vec<(usize, Answered)>,
    ) -> Result<(), Failure> {
        let unsaid = || Failure::Lost("EC2 did not say what it made".to_owned());
        let mut found: BTreeMap<usize, Machine> = BTreeMap::new();
        for element in answer.items("instancesSet") {
            // One alone needs no number.
            let launched = element.parsed("amiLaunchIndex").or((left.len() == 1).then_some(0));
            found.insert(launched.ok_or_else(unsaid)?, see::machine(element));
        }
        if found.is_empty() || found.keys().any(|number| *number >= left.len()) {
            return Err(unsaid());
        }
        let mut number = 0;
        left.retain(|asked| {
            let machine = found.remove(&number);
            number += 1;
            let Some(machine) = machine else { return true };
            self.remember(asked.tags.slot(), zone);
            let tags = Tags { token: Some(token.clone()), ..asked.tags.clone() };
            answers.push((asked.at, made(Machine { tags, ..machine })));
            false
        });
        Ok(())
    }

    /// EC2 knows the token. When it made just this, that is the answer, ended or not.
    async fn taken(&self, asked: &Asked<'_>) -> Answered {
        let wish = machine_wish(asked.tags, asked.image, asked.size);
        let found = match self.made::<Machine>(asked.token, &wish).await? {
            Some(machine) => Some(machine),
            None => self.made_with_others(asked.tags, asked.image, asked.size).await?,
        };
        found.map_or(Err(ProviderError::TokenTaken), made)
    }
}

enum Ready<'a> {
    There(Machine),
    Ask(Asked<'a>),
}

fn made(machine: Machine) -> Answered {
    Ok(Answer::Made(Object::Machine(machine)))
}

/// What the tags of all have in common.
fn common(tags: &Tags) -> Tags {
    Tags { index: None, token: None, ..tags.clone() }
}

fn machine_wish(tags: &Tags, image: &str, size: &str) -> String {
    wish("machine", tags, &format!("image {image} size {size}"))
}

/// In pieces of which each fits into one request and its slots into one tag.
fn in_tags<'b, 'a>(batch: &'b [Asked<'a>]) -> Vec<&'b [Asked<'a>]> {
    let fits = |some: &[Asked<'_>]| {
        let text = tags::slots_text(some.iter().filter_map(|asked| asked.tags.index));
        some.len() <= AT_ONCE && text.len() <= tags::PIECE
    };
    let (mut pieces, mut rest) = (Vec::new(), batch);
    while !rest.is_empty() {
        let count = (1..=rest.len()).take_while(|count| *count == 1 || fits(&rest[..*count])).count();
        let (piece, more) = rest.split_at(count);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// When a machine began.
fn begun(element: &Element) -> Option<Time> {
    let at = element.parsed::<jiff::Timestamp>("launchTime")?.as_millisecond();
    u64::try_from(at).ok().map(Time)
}

/// There was room for some of a batch.
fn short(zone: &str, of_type: &str) -> ProviderError {
    let why = format!("EC2 made fewer {of_type} in {zone} than were asked for: there is no room for more");
    ProviderError::Retry { why, after: Some(Span::mins(1)) }
}

/// Whether it is the limit of the account that a request is beyond.
fn too_many(failure: &Failure) -> bool {
    failure.is("VcpuLimitExceeded") || failure.is("InstanceLimitExceeded")
}
