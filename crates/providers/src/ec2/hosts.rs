//! Host keys that machines are given: kept until EC2 shows what was made with them.
//!
//! A request that is sent again with its token must be the same to the last byte, and the user data with the key are part
//! of it. So the private half stays as long as the request may be sent again, and no longer: what it opens is a machine
//! that whoever has it could pretend to be.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ideal_core::id::Token;
use ideal_core::time::Span;
use ideal_host::durable;

use super::login::pair;

/// After this long nothing depends on a request whose machines were never shown. Sent again it has another key, which EC2
/// refuses when it made something of the first after all.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Who holds it makes keys or removes them.
const LOCK: &str = "lock";

/// Host keys by the token that machines are made with.
#[derive(Clone, Debug)]
pub(super) struct Hosts(PathBuf);

/// Both halves of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub private: String,
    pub public: String,
}

impl Hosts {
    pub(super) fn new(folder: PathBuf) -> Hosts {
        Hosts(folder)
    }

    /// The key of what is about to be asked for with this token: the same as before, when it was asked for before.
    pub(super) fn given(&self, token: &Token) -> io::Result<Pair> {
        durable::private_dir(&self.0)?;
        let _lock = durable::Lock::take(&self.0.join(LOCK))?;
        let path = self.0.join(name(token));
        let public = pair(&path)?;
        // From now on the request may be on its way again.
        std::fs::File::options().write(true).open(&path)?.set_modified(SystemTime::now())?;
        Ok(Pair { private: std::fs::read_to_string(&path)?, public })
    }

    /// Removes the keys of requests that are not sent again: what they made is shown, and whoever asks EC2 sees it by
    /// now, for the last of them is `settle` ago.
    pub(super) fn forget<'a>(&self, shown: impl Iterator<Item = &'a Token>, settle: Span) -> io::Result<()> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        // All files of a key, what a crash left of it too.
        let mut keys: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if file != LOCK {
                let name = file.split('.').next().unwrap_or_default().to_owned();
                keys.entry(name).or_default().push(entry.path());
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        // Who holds it is about to ask for machines: the next look is soon.
        let Some(_lock) = durable::Lock::try_take(&self.0.join(LOCK))? else { return Ok(()) };
        let shown: BTreeSet<String> = shown.map(name).collect();
        for (name, mut files) in keys {
            let ages = files.iter().map(|file| age(file)).collect::<io::Result<Vec<_>>>()?;
            let unused = ages.into_iter().min().unwrap_or_default();
            let seen = shown.contains(&name) && unused >= Duration::from_millis(settle.0);
            if seen || unused >= LONGEST {
                // The private half has the shortest name.
                files.sort_by_key(|file| file.as_os_str().len());
                files.iter().try_for_each(|file| durable::remove(file))?;
            }
        }
        Ok(())
    }
}

fn name(token: &Token) -> String {
    blake3::hash(token.as_str().as_bytes()).to_hex()[..32].to_owned()
}

/// How long ago a file was written. One of the future was written just now.
fn age(file: &std::path::Path) -> io::Result<Duration> {
    Ok(std::fs::metadata(file)?.modified()?.elapsed().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Span = Span::mins(1);

    fn aged(hosts: &Hosts, token: &Token, by: Duration) {
        for entry in std::fs::read_dir(&hosts.0).unwrap() {
            let path = entry.unwrap().path();
            if path.display().to_string().contains(&name(token)) {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - by).unwrap();
            }
        }
    }

    fn there(hosts: &Hosts, token: &Token) -> bool {
        let [private, public] = ["", ".pub"].map(|end| hosts.0.join(name(token) + end).exists());
        assert_eq!(private, public);
        private
    }

    #[test]
    fn a_key_stays_while_its_request_may_be_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(folder.path().join("hosts"));
        let (shown, hidden) = (Token::new("shown"), Token::new("hidden"));
        hosts.forget([&shown].into_iter(), MINUTE).unwrap();
        let first = hosts.given(&shown).unwrap();
        let other = hosts.given(&hidden).unwrap();
        assert_ne!(first, other);
        let forget = || hosts.forget([&shown].into_iter(), MINUTE).unwrap();
        // Shown by one of EC2's servers, and perhaps not by the next.
        forget();
        assert_eq!(hosts.given(&shown).unwrap(), first);
        aged(&hosts, &shown, Duration::from_secs(59));
        forget();
        assert_eq!(hosts.given(&shown).unwrap(), first, "which begins the minute anew");
        aged(&hosts, &shown, Duration::from_secs(61));
        assert_eq!(hosts.given(&shown).unwrap(), first);
        forget();
        assert!(there(&hosts, &shown));
        for token in [&shown, &hidden] {
            aged(&hosts, token, Duration::from_secs(61));
        }
        forget();
        assert!(!there(&hosts, &shown) && there(&hosts, &hidden));
        assert_eq!(hosts.given(&hidden).unwrap(), other);
        // What was never shown is not asked for again.
        aged(&hosts, &hidden, LONGEST);
        forget();
        assert!(!there(&hosts, &hidden));
    }

    /// Who died while the key was made has left some of it under names that are not in force.
    #[test]
    fn nothing_is_left_of_a_key_that_was_never_whole() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(folder.path().join("hosts"));
        let token = Token::new("a");
        hosts.given(&token).unwrap();
        let torn = hosts.0.join("0123.tmp");
        std::fs::write(&torn, "half of it").unwrap();
        std::fs::File::options()
            .write(true)
            .open(&torn)
            .unwrap()
            .set_modified(SystemTime::now() - LONGEST)
            .unwrap();
        hosts.forget([].into_iter(), MINUTE).unwrap();
        assert!(there(&hosts, &token) && !torn.exists());
    }
}
