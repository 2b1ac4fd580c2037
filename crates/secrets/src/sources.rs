//! Where each secret of an ideal comes from, and what is known of it without showing it.

use std::collections::BTreeMap;
use std::path::Path;

use ideal_core::id::Name;
use ideal_core::secret::{Secret, SecretSource, Secrets};
use ideal_host::durable;
use zeroize::Zeroizing;

use crate::keys::random;
use crate::vault::hex;
use crate::{Identity, SecretsError, Vault};

/// The largest secret: a key or a certificate has some kilobytes.
pub const MOST_BYTES: u64 = 1 << 20;

/// Where secrets are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The folder of the ideal file.
    pub folder: &'a Path,
    /// The file of the private key.
    pub identity: &'a Path,
    /// What a variable of the environment says.
    pub env: fn(&str) -> Option<String>,
}

/// The secrets of an ideal.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Those that could be had.
    pub values: Secrets,
    /// A text for each that changes when it does and says nothing else of it; also for those that are missing.
    pub revisions: BTreeMap<Name, String>,
    /// Those that could not be had, and why.
    pub missing: Vec<(Name, String)>,
}

/// Looks for all secrets that an ideal declares. What cannot be had is among the missing ones; the rest is there.
pub fn resolve(sources: &BTreeMap<Name, SecretSource>, origin: Origin<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let is_age = |source: &SecretSource| *source == SecretSource::Age;
    let vault = if sources.values().any(is_age) { open(origin) } else { Ok(Vault::default()) };
    let mut key = None;
    for (name, source) in sources {
        let found = match (source, &vault) {
            (SecretSource::Age, Ok(vault)) => match vault.entries.get(name) {
                Some(entry) => Ok((entry.value.clone(), entry.revision.clone())),
                None => Err(format!("it was not set yet: ideal secret set {name}")),
            },
            (SecretSource::Age, Err(why)) => Err(why.clone()),
            (SecretSource::Env(variable), _) => match (origin.env)(variable) {
                Some(value) => mark(name, Secret::new(value), &mut key, origin),
                None => Err(format!("the variable {variable} is not set")),
            },
            (SecretSource::File(path), _) => match read(&origin.folder.join(path)) {
                Ok(value) => mark(name, value, &mut key, origin),
                Err(why) => Err(format!("{path}: {why}")),
            },
        };
        match found {
            Ok((value, revision)) => {
                resolved.values.insert(name.clone(), value);
                resolved.revisions.insert(name.clone(), revision);
            }
            Err(why) => {
                resolved.missing.push((name.clone(), why));
                resolved.revisions.insert(name.clone(), String::new());
            }
        }
    }
    resolved
}

fn open(origin: Origin<'_>) -> Result<Vault, String> {
    let identity = Identity::open(origin.identity).map_err(|error| error.to_string())?;
    let Some(identity) = identity else {
        return Err(format!("there is no private key at {}", origin.identity.display()));
    };
    Vault::open(origin.folder, &identity).map_err(|error| error.to_string())
}

/// A value from elsewhere has no revision of its own: a hash under a random key of this person stands for it, so
/// that nobody who sees what was made of the hash can try values.
fn mark(
    name: &Name,
    value: Secret,
    key: &mut Option<Zeroizing<[u8; 32]>>,
    origin: Origin<'_>,
) -> Result<(Secret, String), String> {
    if key.is_none() {
        *key = Some(own_key(origin.identity).map_err(|error| error.to_string())?);
    }
    let mut hasher = key.as_ref().map(|key| blake3::Hasher::new_keyed(key)).unwrap_or_default();
    hasher.update(name.as_str().as_bytes()).update(b"\0").update(value.reveal().as_bytes());
    let revision = hex(&hasher.finalize().as_bytes()[..16]);
    Ok((value, revision))
}

/// The random key beside the private one; made when there is none.
fn own_key(identity: &Path) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
    let path = identity.with_file_name("revisions.key");
    let failed = |source| SecretsError::File { path: path.clone(), source };
    match std::fs::read(&path).map(Zeroizing::new) {
        Ok(bytes) => bytes
            .as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| SecretsError::Damaged { path: path.clone(), why: "it has not 32 bytes" }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = random::<32>()?;
            if let Some(folder) = path.parent() {
                durable::private_dir(folder).map_err(failed)?;
            }
            durable::write(&path, &*key).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    use std::io::Read;
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let end =
        text.strip_suffix('\n').map_or(text.len(), |text| text.strip_suffix('\r').unwrap_or(text).len());
    Ok(Secret::new(text[..end].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn each_source_is_asked_and_what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("config/identity.txt");
        let identity = Identity::new().unwrap();
        identity.write_new(&key).unwrap();
        assert!(!Identity::is_open_to_others(&key));
        assert!(identity.write_new(&key).is_err());
        let mut vault = Vault::default();
        vault.set(name("token"), Secret::new("a".to_owned()), ideal_core::time::Time(1)).unwrap();
        vault.save(folder.path(), &identity).unwrap();
        std::fs::write(folder.path().join("cert"), "b\n").unwrap();
        let sources = [
            (name("token"), SecretSource::Age),
            (name("unset"), SecretSource::Age),
            (name("cert"), SecretSource::File("cert".to_owned())),
            (name("env"), SecretSource::Env("THERE".to_owned())),
            (name("no-env"), SecretSource::Env("GONE".to_owned())),
        ]
        .into();
        let origin = Origin {
            folder: folder.path(),
            identity: &key,
            env: |variable| (variable == "THERE").then(|| "c".to_owned()),
        };
        let first = resolve(&sources, origin);
        let values: Vec<_> =
            first.values.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(values, [("cert", "b"), ("env", "c"), ("token", "a")]);
        let missing: Vec<_> = first.missing.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
        assert_eq!(
            missing,
            [
                ("no-env", "the variable GONE is not set"),
                ("unset", "it was not set yet: ideal secret set unset"),
            ]
        );
        // The same secrets have the same revisions, which show nothing; another value has another.
        assert_eq!(resolve(&sources, origin).revisions, first.revisions);
        let plain = blake3::hash(b"b").to_hex();
        assert!(!plain.starts_with(&first.revisions[&name("cert")]));
        std::fs::write(folder.path().join("cert"), "d").unwrap();
        assert_ne!(resolve(&sources, origin).revisions[&name("cert")], first.revisions[&name("cert")]);
    }
}
