//! Secrets at rest and on their way into an ideal: the encrypted file, the keys that open it, and the environment
//! and files that may hold others.
//!
//! Reading order: [`keys`] (who may read), `age` (the format of the file), [`vault`] (what is in it), [`sources`]
//! (where each secret of an ideal comes from).
//!
//! Invariants: no error, log or `Debug` shows a value; the file of secrets is readable by `age` and `rage` with the
//! same key; it is replaced whole. It is a crate of its own so that nothing else, an agent least of all, comes near
//! the cryptography.
#![warn(missing_docs)]

mod age;
pub mod keys;
pub mod sources;
pub mod vault;

use std::path::PathBuf;

pub use keys::{Identity, Recipient};
pub use sources::{Origin, Resolved, resolve};
pub use vault::{Entry, Vault};

/// Why secrets could not be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text is no key.
    #[error("{what}: this is no key")]
    BadKey {
        /// File and line.
        what: String,
    },
    /// The file of secrets is encrypted for others.
    #[error("{path} is encrypted for other keys than yours")]
    NotForYou {
        /// The file of secrets.
        path: PathBuf,
    },
    /// The file of secrets is not as it was written.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file of secrets.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoChance,
}
