//! Who may read the secrets: the private key of a person, and the public ones of a team.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use bech32::{Bech32, Hrp};
use ideal_host::durable;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::SecretsError;

const PUBLIC: &str = "age";
const PRIVATE: &str = "age-secret-key-";

/// A private key. It is never shown.
pub struct Identity(pub(crate) StaticSecret);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(***)")
    }
}

/// A public key: `age1...`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(pub(crate) PublicKey);

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32>(Hrp::parse_unchecked(PUBLIC), self.0.as_bytes());
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}
impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// So many random bytes.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, SecretsError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|_| SecretsError::NoChance)?;
    Ok(bytes)
}

fn key_of(text: &str, kind: &str) -> Option<[u8; 32]> {
    let (hrp, bytes) = bech32::decode(text).ok()?;
    let bytes = Zeroizing::new(bytes);
    (hrp.as_str().eq_ignore_ascii_case(kind)).then(|| bytes.as_slice().try_into().ok())?
}

impl Recipient {
    /// Reads a public key.
    pub fn parse(text: &str) -> Option<Recipient> {
        key_of(text.trim(), PUBLIC).map(|key| Recipient(PublicKey::from(key)))
    }
    /// Reads a file with one public key a line; `#` begins a comment. No file is no key.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line is no key.
    pub fn read_list(path: &Path) -> Result<Vec<Recipient>, SecretsError> {
        let failed = |source| SecretsError::File { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let read = |(number, line)| {
            let what = format!("{}:{number}", path.display());
            Recipient::parse(line).ok_or(SecretsError::BadKey { what })
        };
        lines.map(read).collect()
    }
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn new() -> Result<Identity, SecretsError> {
        Ok(Identity(StaticSecret::from(*random::<32>()?)))
    }
    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.0))
    }
    /// Reads a private key.
    pub fn parse(text: &str) -> Option<Identity> {
        key_of(text.trim(), PRIVATE).map(|key| Identity(StaticSecret::from(key)))
    }
    /// Reads the first private key of a file, as `age-keygen` writes it. None: there is no such file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no key.
    pub fn open(path: &Path) -> Result<Option<Identity>, SecretsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SecretsError::File { path: path.to_owned(), source }),
        };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let key = lines.next().and_then(Identity::parse);
        key.map(Some).ok_or_else(|| SecretsError::BadKey { what: path.display().to_string() })
    }
    /// Writes it to a new file that only its owner can read; never over another.
    ///
    /// # Errors
    ///
    /// The file is there already, or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), SecretsError> {
        let failed = |source| SecretsError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            durable::private_dir(folder).map_err(failed)?;
        }
        let private =
            bech32::encode::<Bech32>(Hrp::parse_unchecked(PRIVATE), &*Zeroizing::new(self.0.to_bytes()));
        let private = Zeroizing::new(private.unwrap_or_default().to_uppercase());
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let write = |file: &mut fs::File| -> std::io::Result<()> {
            writeln!(file, "# public key: {}", self.recipient())?;
            file.write_all(private.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write(&mut file).map_err(failed)
    }
    /// Whether others than its owner can read the file of a key.
    pub fn is_open_to_others(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }
}
