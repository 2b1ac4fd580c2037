//! The journal: what was intended and what came of it, kept so that a crash at any point is recovered from.
//!
//! It is never the only knowledge of what exists; losing it loses history, not clusters. One small synchronous
//! trait, one implementation for one machine ([`sqlite::Sqlite`]), one contract suite for all implementations.

pub mod contract;
pub mod sqlite;

use ideal_core::id::Epoch;
use ideal_core::journal::{Record, View};
use ideal_core::time::Time;
use serde::{Deserialize, Serialize};

/// Where records are kept. Synchronous on purpose: it is quick, and a simulation with paused time needs it.
pub trait Journal: std::fmt::Debug {
    /// The name of this store: an engine on the same store may take over from one that died.
    fn name(&self) -> &str;
    /// What all records fold to. Rows that do not match their checksums are an error, not a guess.
    fn load(&self) -> Result<View, JournalError>;
    /// Appends records, all or none, durably. Refused when the lease of this epoch was lost.
    fn append(&self, epoch: Epoch, at: Time, records: &[Record]) -> Result<(), JournalError>;
    /// Whether the lease of this epoch is still held.
    fn check(&self, epoch: Epoch) -> Result<(), JournalError>;
    /// Takes the lease, with an epoch above all that were seen. Refused while another holds it, unless forced.
    fn take(&self, wish: &Wish) -> Result<Epoch, JournalError>;
    /// Holds the lease for longer.
    fn renew(&self, epoch: Epoch, until: Time) -> Result<(), JournalError>;
    /// Gives the lease back.
    fn release(&self, epoch: Epoch) -> Result<(), JournalError>;
    /// Keeps what the records fold to, so that the next load need not fold them all again.
    fn checkpoint(&self, view: &View) -> Result<(), JournalError>;
    /// Records in order, newest last: at most `limit` of those with a number above `after`.
    fn history(&self, after: u64, limit: u64) -> Result<Vec<Entry>, JournalError>;
}

/// A wish for the lease.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Who, in words: `anna@laptop`.
    pub holder: String,
    /// What time it is.
    pub now: Time,
    /// Until when it is wanted.
    pub until: Time,
    /// The highest epoch seen anywhere else (agents, tags).
    pub above: Epoch,
    /// Take it even though another holds it.
    pub force: bool,
}

/// One line of history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// By which engine.
    pub epoch: Epoch,
    /// What.
    pub record: Record,
}

/// Why the journal could not do it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another engine holds the lease.
    #[error("{holder} holds the lease in epoch {epoch}")]
    Held {
        /// Who.
        holder: String,
        /// In which epoch.
        epoch: Epoch,
        /// Until when.
        until: Time,
    },
    /// The lease that this engine had is another's now.
    #[error("the lease of epoch {mine} was lost: {holder} holds it in epoch {epoch}")]
    Lost {
        /// Ours.
        mine: Epoch,
        /// Who.
        holder: String,
        /// In which epoch.
        epoch: Epoch,
    },
    /// The store is damaged.
    #[error("the store is damaged: {why}")]
    Damaged {
        /// What was found.
        why: String,
    },
    /// The store was written by a newer version.
    #[error("the store has version {found}; this program knows up to {known}")]
    TooNew {
        /// Found.
        found: i64,
        /// Known.
        known: i64,
    },
    /// Another process of this machine works on the store.
    #[error("another `ideal` works on this cluster now")]
    Busy,
    /// The disk or the database said no.
    #[error("the store could not be written or read")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> JournalError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                JournalError::Damaged { why: error.to_string() }
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                JournalError::Busy
            }
            _ => JournalError::Io(Box::new(error)),
        }
    }
}
impl From<serde_json::Error> for JournalError {
    fn from(error: serde_json::Error) -> JournalError {
        JournalError::Damaged { why: error.to_string() }
    }
}
impl From<std::io::Error> for JournalError {
    fn from(error: std::io::Error) -> JournalError {
        JournalError::Io(Box::new(error))
    }
}
