//! The file format `age-encryption.org/v1`, with X25519 keys only: no passphrases, no armor, no plugins.
//!
//! A random file key is wrapped once for each recipient; header and payload are authenticated by keys that are
//! derived from it. The payload is a stream of chunks, each sealed with a counter and a mark on the last.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::SecretsError;
use crate::keys::{Identity, Recipient, random};

const VERSION: &str = "age-encryption.org/v1";
const WRAP: &[u8] = b"age-encryption.org/v1/X25519";
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

/// Why a text could not be decrypted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotForYou,
    Damaged(&'static str),
}

fn derive(key: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    // It fails for lengths beyond eight thousand bytes only.
    _ = Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut *out);
    out
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*key))
}

fn nonce(counter: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&counter.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::from(bytes)
}

fn header_mac(file_key: &[u8], header: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*derive(file_key, &[], b"header")).ok()?;
    mac.update(header);
    Some(mac)
}

/// Encrypts for these readers.
pub(crate) fn encrypt(text: &[u8], readers: &[Recipient]) -> Result<Vec<u8>, SecretsError> {
    let file_key = random::<16>()?;
    let mut header = format!("{VERSION}\n");
    for reader in readers {
        let once = StaticSecret::from(*random::<32>()?);
        let share = PublicKey::from(&once);
        let shared = once.diffie_hellman(&reader.0);
        let salt = [share.as_bytes().as_slice(), reader.0.as_bytes()].concat();
        let key = derive(shared.as_bytes(), &salt, WRAP);
        let body = cipher(&key)
            .encrypt(&Nonce::default(), file_key.as_slice())
            .map_err(|_| SecretsError::NoChance)?;
        header += &format!("-> X25519 {}\n{}\n", BASE64.encode(share.as_bytes()), BASE64.encode(body));
    }
    header += "---";
    let mac = header_mac(&*file_key, header.as_bytes()).ok_or(SecretsError::NoChance)?;
    header += &format!(" {}\n", BASE64.encode(mac.finalize().into_bytes()));

    let salt = random::<16>()?;
    let key = cipher(&derive(&*file_key, &*salt, b"payload"));
    let mut out = header.into_bytes();
    out.extend_from_slice(&*salt);
    let chunks: Vec<&[u8]> = if text.is_empty() { vec![&[]] } else { text.chunks(CHUNK).collect() };
    for (i, chunk) in chunks.iter().enumerate() {
        let nonce = nonce(i as u64, i + 1 == chunks.len());
        out.extend(key.encrypt(&nonce, *chunk).map_err(|_| SecretsError::NoChance)?);
    }
    Ok(out)
}

/// Decrypts with a key.
pub(crate) fn decrypt(bytes: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let (header, stanzas, mac, payload) = parse(bytes)?;
    let file_key = stanzas.iter().find_map(|stanza| unwrap(stanza, identity)).ok_or(Refusal::NotForYou)?;
    let wanted = header_mac(&file_key, header).ok_or(Refusal::Damaged("its header cannot be read"))?;
    wanted.verify_slice(&mac).map_err(|_| Refusal::Damaged("its header was changed"))?;

    let (salt, sealed) = payload.split_at_checked(16).ok_or(Refusal::Damaged("it is cut off"))?;
    let key = cipher(&derive(&file_key, salt, b"payload"));
    let mut out = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let chunks: Vec<&[u8]> = sealed.chunks(CHUNK + TAG).collect();
    if chunks.is_empty() {
        return Err(Refusal::Damaged("it is cut off"));
    }
    for (i, chunk) in chunks.iter().enumerate() {
        let last = i + 1 == chunks.len();
        let plain = key.decrypt(&nonce(i as u64, last), *chunk);
        let plain =
            Zeroizing::new(plain.map_err(|_| Refusal::Damaged("its content was changed or is cut off"))?);
        // An empty last chunk is allowed only when it is the only one.
        if plain.is_empty() && i > 0 {
            return Err(Refusal::Damaged("it has an empty end"));
        }
        out.extend_from_slice(&plain);
    }
    Ok(out)
}

/// One wrapped file key.
struct Stanza {
    share: [u8; 32],
    body: Vec<u8>,
}

type Parts<'b> = (&'b [u8], Vec<Stanza>, Vec<u8>, &'b [u8]);

fn parse(bytes: &[u8]) -> Result<Parts<'_>, Refusal> {
    let damaged = Refusal::Damaged("it is no file of secrets");
    let mut at = 0;
    let mut stanzas = Vec::new();
    let line = |at: &mut usize| {
        let end = bytes[*at..].iter().position(|byte| *byte == b'\n')? + *at;
        let text = std::str::from_utf8(&bytes[*at..end]).ok();
        *at = end + 1;
        text
    };
    if line(&mut at) != Some(VERSION) {
        return Err(damaged);
    }
    loop {
        let begin = at;
        let Some(text) = line(&mut at) else { return Err(damaged) };
        if let Some(mac) = text.strip_prefix("--- ") {
            let mac = BASE64.decode(mac).map_err(|_| damaged)?;
            return Ok((&bytes[..begin + 3], stanzas, mac, &bytes[at..]));
        }
        let Some(arguments) = text.strip_prefix("-> ") else { return Err(damaged) };
        let mut body = String::new();
        // A body is wrapped at 64 characters and ends with a shorter line.
        loop {
            let Some(text) = line(&mut at) else { return Err(damaged) };
            body.push_str(text);
            if text.len() < 64 {
                break;
            }
        }
        // Keys of other kinds are for other readers.
        let Some(share) = arguments.strip_prefix("X25519 ") else { continue };
        let share = BASE64.decode(share).ok().and_then(|share| share.try_into().ok());
        let (Some(share), Ok(body)) = (share, BASE64.decode(body)) else { return Err(damaged) };
        stanzas.push(Stanza { share, body });
    }
}

fn unwrap(stanza: &Stanza, identity: &Identity) -> Option<Zeroizing<Vec<u8>>> {
    let shared = identity.0.diffie_hellman(&PublicKey::from(stanza.share));
    // A point of low order would make the key one that everybody knows.
    if !shared.was_contributory() || stanza.body.len() != 16 + TAG {
        return None;
    }
    let salt = [stanza.share.as_slice(), identity.recipient().0.as_bytes()].concat();
    let key = derive(shared.as_bytes(), &salt, WRAP);
    cipher(&key).decrypt(&Nonce::default(), stanza.body.as_slice()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encrypted_is_read_by_its_readers_only() {
        let (one, two, other) =
            (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let text = vec![7; size];
            let sealed = encrypt(&text, &[one.recipient(), two.recipient()]).unwrap();
            assert_eq!(*decrypt(&sealed, &one).unwrap(), text);
            assert_eq!(*decrypt(&sealed, &two).unwrap(), text);
            assert_eq!(decrypt(&sealed, &other).unwrap_err(), Refusal::NotForYou);
        }
    }

    #[test]
    fn any_change_is_noticed() {
        let one = Identity::new().unwrap();
        let sealed = encrypt(b"hunter2", &[one.recipient()]).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(decrypt(&changed, &one).is_err(), "byte {at}");
            assert!(decrypt(&sealed[..at], &one).is_err(), "cut at {at}");
        }
    }

    /// Written by `age` 1.1.1; the key was made for this test.
    #[test]
    fn what_age_wrote_is_read() {
        let identity =
            Identity::parse("AGE-SECRET-KEY-1CPGP56J82XA33Y7FSKX6ZKNKU83Z9ZNP7UCJPVE67ZFAXFK663YQACFC77")
                .unwrap();
        assert_eq!(
            identity.recipient().to_string(),
            "age1fl0xw2f470pyruc0qzhyns4mza58ghxedgww2yfkuw7fjf7rv3rq0pvs4n"
        );
        let sealed = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB5cnk3WmRMcXlITGlXNHpjcm5lMi9jUUFuNmVwbWdKVHpwNWlrSVBZQmlR\
            ClovNE9jcTJvby9LTzNTOFlhM05ueDJTUWZCWFd1NWtKWEJQbFhtOTRIVHcKLS0tIHJ1QnJoekwvUWFHQzlVaXBYTW5hN0lBZEg5\
            aWNaL1NCTXdEUTdJODhQaDgKJ/n3aJ/uZk4U5X4j24TbSmEQViKXdNA7H1qyArgM56/X85J0GCxMgA==";
        let sealed = base64::engine::general_purpose::STANDARD.decode(sealed).unwrap();
        assert_eq!(*decrypt(&sealed, &identity).unwrap(), b"hunter2\n");
    }
}
