//! The host key that a machine made itself, as `cloud-init` prints it on the machine's console at the first start.
//!
//! EC2 shows the console to whoever holds the credentials, and nobody on the way can change it. It is read once: from then
//! on the tag of the machine says its key, to every computer, and whatever the console shows later changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ideal_core::ideal::is_host_key;
use ideal_core::observed::Machine;
use tokio::time::{Instant, sleep};

use super::actions::Action;
use super::query::Query;
use super::tags::{self, Written};
use super::{Ec2, see};
use crate::ProviderError;

/// Before and after the keys.
const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";
/// EC2 keeps 64 KiB of a console, which are a third longer in base64. More is not read.
const LONGEST: usize = 256 << 10;
/// What is preferred comes first. An RSA key of today's lengths does not fit into a tag.
const KINDS: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
/// The longest value of a tag.
const TAG: usize = 256;
/// A machine takes half a minute until it prints its keys, and each question is a request.
const AGAIN: Duration = Duration::from_secs(15);
/// So long one try waits for that: all tries together wait as long as a long `user_data` or an old type may take.
const SHOWS_WITHIN: Duration = Duration::from_secs(120);

impl Ec2 {
    /// Reads the host key of a machine of ours that carries none, as soon as it is shown, and writes it there.
    pub(super) async fn key_from_console(&self, machine: &Machine) -> Result<String, ProviderError> {
        let begun = Instant::now();
        loop {
            match self.key_now(machine).await {
                Err(ProviderError::Retry { .. }) if begun.elapsed() < SHOWS_WITHIN => sleep(AGAIN).await,
                ended => return ended,
            }
        }
    }

    async fn key_now(&self, machine: &Machine) -> Result<String, ProviderError> {
        let id = &machine.id;
        if !see::is_owned(&machine.tags) {
            return Err(ProviderError::refused(format!("{id} is nobody's, and nothing is written on it")));
        }
        let query = Query::new(Action::GetConsoleOutput).with("InstanceId", id);
        let answer = match self.client.ask(&query.clone().with("Latest", true)).await {
            // Only types of Nitro show what was printed just now; of others EC2 keeps a copy of the first minutes.
            Err(failure) if failure.is("UnsupportedOperation") => self.client.ask(&query).await?,
            answer => answer?,
        };
        let Some(key) = shown(answer.text("output")) else {
            let why = format!(
                "the console of {id} does not show its host keys yet: it prints them at the end of its first start, \
                 after all of `user_data`"
            );
            return Err(ProviderError::retry(why));
        };
        self.mark(&[id.as_str()], &Written::from([(tags::HOST_KEY.to_owned(), key.clone())])).await?;
        Ok(key)
    }
}

/// The best key of what a console shows, as EC2 sends it.
fn shown(output: &str) -> Option<String> {
    if output.len() > LONGEST {
        return None;
    }
    let base64: Vec<u8> = output.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let console = BASE64_STANDARD.decode(base64).ok()?;
    best(&String::from_utf8_lossy(&console))
}

/// The best key of the last block. One that is not whole says nothing, and neither does one that was printed before it:
/// whatever began anew may have made other keys.
fn best(console: &str) -> Option<String> {
    let (mut open, mut whole) = (None, None);
    let plain = without_escapes(console);
    for line in plain.split(['\n', '\r']).map(bare) {
        if line == BEGIN {
            (open, whole) = (Some(Vec::new()), None);
        } else if line == END {
            whole = open.take().or(whole);
        } else if let (Some(keys), Some(key)) = (&mut open, key(line)) {
            keys.push(key);
        }
    }
    let mut keys: BTreeMap<usize, String> = BTreeMap::new();
    for (kind, key) in whole? {
        // A machine has one of each kind. Where two are shown, somebody else wrote there too.
        if keys.insert(kind, key.clone()).is_some_and(|other| other != key) {
            return None;
        }
    }
    keys.into_values().next()
}

/// A line without what stands before it where the kernel or a log passes it on: `<14>`, `[   12.3]`, `cloud-init[812]:`.
fn bare(line: &str) -> &str {
    let mut line = line.trim();
    while let Some(rest) =
        after_number(line, '<', '>').or_else(|| after_number(line, '[', ']')).or_else(|| after_name(line))
    {
        line = rest.trim_start();
    }
    line
}

fn after_number(line: &str, opens: char, closes: char) -> Option<&str> {
    let (number, rest) = line.strip_prefix(opens)?.split_once(closes)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || b". ".contains(&byte));
    is_number.then_some(rest)
}

fn after_name(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(": ")?;
    let name = name.strip_suffix(']').and_then(|name| name.rsplit_once('[')).map_or(name, |(name, _)| name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!name.is_empty() && name.bytes().all(plain)).then_some(rest)
}

/// A key with the place of its kind, and without its comment. Only what is one to the last byte, and fits into a tag.
fn key(line: &str) -> Option<(usize, String)> {
    let mut words = line.split_ascii_whitespace();
    let (kind, base64) = (words.next()?, words.next()?);
    let text = format!("{kind} {base64}");
    let place = KINDS.iter().position(|known| *known == kind)?;
    let blob = BASE64_STANDARD.decode(base64).ok()?;
    let parts = parts(&blob)?;
    let (first, rest) = parts.split_first()?;
    let of_kind = match (kind, rest) {
        ("ssh-ed25519", [point]) => point.len() == 32,
        ("ssh-rsa", [exponent, modulus]) => !exponent.is_empty() && modulus.len() >= 128,
        (_, [curve, point]) => kind.as_bytes().ends_with(curve) && curve.len() == 8 && point.len() >= 65,
        _ => false,
    };
    (*first == kind.as_bytes() && of_kind && text.len() <= TAG && is_host_key(&text)).then_some((place, text))
}

/// The parts of a public key, each of which follows its length.
fn parts(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        parts.push(part);
        blob = rest;
    }
    Some(parts)
}

/// A text without what steers a terminal.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' if letters.next_if_eq(&'[').is_some() => {
                // Numbers and signs, up to a letter.
                while letters.next_if(|letter| matches!(letter, ' '..='?')).is_some() {}
                letters.next_if(|letter| matches!(letter, '@'..='~'));
            }
            '\n' | '\r' => plain.push(letter),
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(parts: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(*part);
        }
        BASE64_STANDARD.encode(bytes)
    }

    fn ed25519(seed: u8) -> String {
        format!("ssh-ed25519 {}", blob(&[b"ssh-ed25519", &[seed; 32]]))
    }

    fn ecdsa() -> String {
        let base64 = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &[4; 65]]);
        format!("ecdsa-sha2-nistp256 {base64}")
    }

    fn rsa() -> String {
        format!("ssh-rsa {}", blob(&[b"ssh-rsa", &[1, 0, 1], &[7; 257]]))
    }

    fn block(keys: &[String]) -> String {
        let lines: String = keys.iter().map(|key| format!("{key} root@ip-10-0-0-5\n")).collect();
        format!("{BEGIN}\n{lines}{END}\n")
    }

    #[test]
    fn the_best_key_of_a_block_is_taken() {
        let all = block(&[ecdsa(), ed25519(1), rsa()]);
        assert_eq!(best(&format!("Booting\n{all}login:")), Some(ed25519(1)));
        assert_eq!(best(&block(&[rsa(), ecdsa()])), Some(ecdsa()));
        // It does not fit into a tag.
        assert_eq!(best(&block(&[rsa()])), None);
        assert_eq!(best(&block(&[ed25519(1), ed25519(1)])), Some(ed25519(1)));
        assert_eq!(best(&block(&[ed25519(1), ed25519(2)])), None, "a machine has one of each kind");
    }

    #[test]
    fn what_a_console_puts_before_a_line_is_passed_over() {
        for before in [
            "",
            "ci-info: ",
            "[   12.345678] cloud-init[812]: ",
            "\u{1b}[0;32m",
            "<14>ec2: ",
            "[   12.3] ",
            "\u{1b}[80G\u{1b}[74G  ",
        ] {
            let lines: String = block(&[ecdsa(), ed25519(3)])
                .lines()
                .map(|line| format!("{before}{line}\u{1b}[0m\r\r\n"))
                .collect();
            assert_eq!(best(&lines), Some(ed25519(3)), "{before:?}");
        }
        // A line of the kernel among them.
        let torn = block(&[ed25519(3)]).replacen('\n', "\n[    9.1] random: crng init done\n", 1);
        assert_eq!(best(&torn), Some(ed25519(3)));
    }

    #[test]
    fn what_is_not_whole_says_nothing() {
        let whole = block(&[ed25519(1)]);
        for cut in 0..whole.len() - 1 {
            assert_eq!(best(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(best(&whole[1..]), None);
        assert_eq!(
            best(&format!("{whole}{}", block(&[ed25519(2)]))),
            Some(ed25519(2)),
            "the last one counts"
        );
        assert_eq!(best(&format!("{whole}{BEGIN}\n{}\n", ed25519(2))), None, "also when it is not whole yet");
        assert_eq!(best(&format!("{whole}{}", block(&[]))), None);
    }

    #[test]
    fn nothing_else_is_taken_for_a_key() {
        let good = ed25519(1);
        for wrong in [
            "ssh-ed25519 AAAA".to_owned(),
            "ssh-ed25519".to_owned(),
            good.replace("ssh-ed25519 ", "ssh-rsa "),
            good.replace("ssh-ed25519 ", "ssh-dss "),
            good.replacen("AAAA", "AAAB", 1),
            good[..good.len() - 4].to_owned(),
            format!("{good}AAAA"),
            format!("x {good}"),
            format!("# {good}"),
            format!("{}<script>", &good[..40]),
            format!("ssh-ed25519 {}", blob(&[b"ssh-ed25519", &[1; 31]])),
            format!("ssh-ed25519 {}", blob(&[b"ssh-rsa", &[1; 32]])),
            format!("ecdsa-sha2-nistp256 {}", blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 65]])),
        ] {
            assert_eq!(best(&block(std::slice::from_ref(&wrong))), None, "{wrong}");
        }
        assert_eq!(best(&good), None, "outside of a block");
    }

    #[test]
    fn an_output_is_read_as_ec2_sends_it() {
        let encoded = BASE64_STANDARD.encode(block(&[ed25519(1)]));
        let (first, second) = encoded.split_at(60);
        assert_eq!(shown(&format!("{first}\n{second}\n")), Some(ed25519(1)));
        assert_eq!(shown(""), None);
        assert_eq!(shown("no base64!"), None);
        let long = format!("{}{}", "x".repeat(LONGEST), block(&[ed25519(1)]));
        assert_eq!(shown(&BASE64_STANDARD.encode(long)), None);
    }
}
