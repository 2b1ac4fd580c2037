//! Tokens: each makes one thing, for ever. The id of that thing is derived from the token, so that there is no
//! instant at which a thing exists and nobody knows for which token.

use std::io;
use std::path::PathBuf;

use ideal_core::id::Token;
use ideal_core::observed::{Machine, Snapshot, Tags, Volume};
use ideal_host::durable;
use serde::{Deserialize, Serialize};

use super::records::Ledger;
use crate::{Object, ProviderError};

/// What is remembered of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TokenRecord {
    token: Token,
    parameters: String,
    /// The thing as it was last, once it is no more.
    ended: Option<Ended>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ended {
    Machine(Machine),
    Volume(Volume),
    Snapshot(Snapshot),
}

/// What a token stands for.
pub(super) enum Known {
    /// Never used, or used by a call that came to nothing: go on, with the same id as then.
    Open,
    /// It made this, which is no more; unless it still is there, for it is buried just before it goes.
    Ended(Box<Object>),
}

impl Ledger {
    fn token_hash(&self, token: &Token) -> String {
        let hash = blake3::hash(format!("{}/{token}", self.id).as_bytes());
        hash.to_hex()[..12].to_owned()
    }
    fn token_path(&self, token: &Token) -> PathBuf {
        self.data.join("tokens").join(format!("{}.json", self.token_hash(token)))
    }
    /// The id of what a token makes.
    pub(super) fn id_of(&self, kind: char, token: &Token) -> String {
        format!("{kind}-{}", self.token_hash(token))
    }

    /// Looks a token up, and records it when it is new.
    pub(super) fn use_token(&self, token: &Token, parameters: &str) -> Result<Known, ProviderError> {
        let path = self.token_path(token);
        match durable::read_json::<TokenRecord>(&path)? {
            None => {
                let record =
                    TokenRecord { token: token.clone(), parameters: parameters.to_owned(), ended: None };
                durable::write_json(&path, &record)?;
                self.point("token.recorded");
                Ok(Known::Open)
            }
            Some(record) if record.token != *token || record.parameters != parameters => {
                Err(ProviderError::TokenTaken)
            }
            Some(TokenRecord { ended: Some(ended), .. }) => Ok(Known::Ended(Box::new(match ended {
                Ended::Machine(machine) => Object::Machine(machine),
                Ended::Volume(volume) => Object::Volume(volume),
                Ended::Snapshot(snapshot) => Object::Snapshot(snapshot),
            }))),
            Some(_) => Ok(Known::Open),
        }
    }

    /// Forgets a token that nobody will use again.
    pub(super) fn forget_token(&self, token: &Token) -> io::Result<()> {
        durable::remove(&self.token_path(token))
    }

    /// Remembers a thing beyond its end. Before it is removed: a token must never make a second one.
    pub(super) fn bury(&self, token: Option<&Token>, object: Object) -> io::Result<()> {
        let Some(token) = token else { return Ok(()) };
        let path = self.token_path(token);
        let Some(mut record) = durable::read_json::<TokenRecord>(&path)? else { return Ok(()) };
        record.ended = Some(match object {
            Object::Machine(machine) => Ended::Machine(machine),
            Object::Volume(volume) => Ended::Volume(volume),
            Object::Snapshot(snapshot) => Ended::Snapshot(snapshot),
        });
        durable::write_json(&path, &record)?;
        self.point("token.buried");
        Ok(())
    }
}

/// The part of tags that makes a wish another wish. Demand and epoch only say who asked, and when.
pub(super) fn parameters(kind: &str, tags: &Tags, rest: &str) -> String {
    let index = tags.index.map(|index| index.to_string()).unwrap_or_default();
    let mount = tags.mount.as_ref().map(|mount| mount.to_string()).unwrap_or_default();
    format!("{kind} {}/{index}:{mount} generation {} {rest}", tags.cloud, tags.generation)
}
