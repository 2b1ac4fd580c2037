//! The file `secrets.age` beside an ideal file: an encrypted mapping of names to values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ideal_core::id::Name;
use ideal_core::secret::Secret;
use ideal_core::time::Time;
use ideal_host::durable;
use serde::{Deserialize, Serialize};

use crate::age::{self, Refusal};
use crate::keys::random;
use crate::{Identity, Recipient, SecretsError};

/// The name of the file.
pub const FILE: &str = "secrets.age";
/// The name of the file with the public keys of those who may read it, one a line.
pub const RECIPIENTS: &str = "secrets.recipients";

/// One secret of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its value.
    pub value: Secret,
    /// Another text each time that it changes; says nothing of the value.
    pub revision: String,
    /// When it was changed.
    pub changed: Time,
}

/// What is in the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Vault {
    /// Secrets by name.
    pub entries: BTreeMap<Name, Entry>,
}

impl Vault {
    /// Reads the file of a folder; an empty one when there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is for other readers, or is damaged.
    pub fn open(folder: &Path, identity: &Identity) -> Result<Vault, SecretsError> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vault::default()),
            Err(source) => return Err(SecretsError::File { path, source }),
        };
        let text = age::decrypt(&bytes, identity).map_err(|refusal| match refusal {
            Refusal::NotForYou => SecretsError::NotForYou { path: path.clone() },
            Refusal::Damaged(why) => SecretsError::Damaged { path: path.clone(), why },
        })?;
        // The error of the reader may quote what it read.
        serde_json::from_slice(&text)
            .map_err(|_| SecretsError::Damaged { path, why: "it holds something else" })
    }

    /// Sets a secret. Answers whether it is another value than before.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn set(&mut self, name: Name, value: Secret, now: Time) -> Result<bool, SecretsError> {
        if self.entries.get(&name).is_some_and(|entry| entry.value == value) {
            return Ok(false);
        }
        let revision = hex(&*random::<16>()?);
        self.entries.insert(name, Entry { value, revision, changed: now });
        Ok(true)
    }

    /// Writes the file for its owner and for those whose public keys are listed beside it. Answers how many.
    ///
    /// # Errors
    ///
    /// The list of keys cannot be read, or the file cannot be written.
    pub fn save(&self, folder: &Path, identity: &Identity) -> Result<usize, SecretsError> {
        let mut readers = vec![identity.recipient()];
        for reader in Recipient::read_list(&folder.join(RECIPIENTS))? {
            if !readers.contains(&reader) {
                readers.push(reader);
            }
        }
        let path: PathBuf = folder.join(FILE);
        let failed = |source| SecretsError::File { path: path.clone(), source };
        let text = zeroize::Zeroizing::new(serde_json::to_vec(self).map_err(|error| failed(error.into()))?);
        durable::write(&path, &age::encrypt(&text, &readers)?).map_err(failed)?;
        Ok(readers.len())
    }
}

/// A new value of so many characters, letters and digits: some six bits each.
///
/// # Errors
///
/// The system gives no random numbers.
pub fn new_value(length: usize) -> Result<Secret, SecretsError> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in random::<64>()?.iter() {
            // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
            if *byte < 248 && text.len() < length {
                text.push(char::from(LETTERS[usize::from(*byte % 62)]));
            }
        }
    }
    Ok(Secret::new(text))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_team_shares_a_file_that_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (me, you, other) = (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
        let mut vault = Vault::open(folder.path(), &me).unwrap();
        assert!(vault.set(name("token"), Secret::new("hunter2".to_owned()), Time(1)).unwrap());
        assert!(!vault.set(name("token"), Secret::new("hunter2".to_owned()), Time(2)).unwrap());
        let first = vault.entries[&name("token")].revision.clone();
        std::fs::write(folder.path().join(RECIPIENTS), format!("# you\n{}\n", you.recipient())).unwrap();
        assert_eq!(vault.save(folder.path(), &me).unwrap(), 2);

        let seen = std::fs::read(folder.path().join(FILE)).unwrap();
        for hidden in ["hunter2", "token", first.as_str()] {
            assert!(!String::from_utf8_lossy(&seen).contains(hidden));
        }
        let mut theirs = Vault::open(folder.path(), &you).unwrap();
        assert_eq!(theirs.entries[&name("token")].value.reveal(), "hunter2");
        assert!(theirs.set(name("token"), Secret::new("other".to_owned()), Time(3)).unwrap());
        assert_ne!(theirs.entries[&name("token")].revision, first);
        let error = Vault::open(folder.path(), &other).unwrap_err();
        assert!(matches!(error, SecretsError::NotForYou { .. }));
        assert!(!format!("{vault:?}").contains("hunter2"));
    }

    #[test]
    fn new_values_are_long_and_different() {
        let (one, two) = (new_value(32).unwrap(), new_value(32).unwrap());
        assert_eq!(one.reveal().len(), 32);
        assert!(one.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(one != two);
    }
}
