//! What a machine offers whose host key is not known. Asked of `ssh` itself, on the same way, with the same answer: it says
//! what it was shown, and goes no further.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::failure::clean;
use crate::way::Way;

/// How long it may take to be shown a key: as long as a connection with a jump or two.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);
/// How much of what `ssh` says on its way is read.
const SAID: u64 = 64 << 10;

/// A key that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// As `ssh-keygen -lf` shows it: `SHA256:…`.
    pub fingerprint: String,
    /// Where it was offered, when no other host stands between.
    pub address: Option<String>,
}

impl Offered {
    /// Where the public key lies on the machine that has it.
    pub(crate) fn file(&self) -> String {
        let kind = match self.kind.as_str() {
            "ssh-rsa" | "rsa-sha2-256" | "rsa-sha2-512" => "rsa",
            kind if kind.starts_with("ecdsa") => "ecdsa",
            _ => "ed25519",
        };
        format!("/etc/ssh/ssh_host_{kind}_key.pub")
    }
}

/// What is offered on this way by the first host that is not known. None: it was not shown again.
pub(crate) async fn offered(way: &Way) -> Option<Offered> {
    let words = way.shown();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true).process_group(0);
    // It ends with this.
    let mut child = command.spawn().ok()?;
    let errors = child.stderr.take()?;
    let mut said = Vec::new();
    // What breaks off is as good as its end.
    _ = timeout(SHOWN_WITHIN, errors.take(SAID).read_to_end(&mut said)).await;
    read(&String::from_utf8_lossy(&said))
}

/// Each host on the way shows its key before the next is spoken to, so the last that was shown is the one that was not taken.
fn read(said: &str) -> Option<Offered> {
    let told = |line: &'static str| said.lines().filter_map(move |all| all.trim().strip_prefix(line));
    if !said.contains("Host key verification failed") {
        return None;
    }
    let keys: Vec<&str> = told("debug1: Server host key: ").collect();
    let (kind, fingerprint) = keys.last()?.split_once(' ')?;
    let address = |line: &str| line.split_once('[')?.1.split_once(']').map(|(address, _)| clean(address));
    let address = told("debug1: Connecting to ").next_back().filter(|_| keys.len() == 1).and_then(address);
    Some(Offered { kind: clean(kind), fingerprint: clean(fingerprint.trim()), address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_not_taken_is_the_last_one_shown() {
        let direct = "debug1: Connecting to web [10.0.0.6] port 22.\r\ndebug1: Server host key: ssh-ed25519 SHA256:one\r\n\
                      No ED25519 host key is known for web and you have requested strict checking.\r\n\
                      Host key verification failed.\r\n";
        let offered = read(direct).unwrap();
        assert_eq!((&*offered.kind, &*offered.fingerprint), ("ssh-ed25519", "SHA256:one"));
        assert_eq!(offered.address.as_deref(), Some("10.0.0.6"));
        let jump = format!(
            "debug1: Connecting to hop [10.0.0.1] port 22.\ndebug1: Server host key: ssh-rsa SHA256:hop\n{direct}"
        );
        let offered = read(&jump.replace("debug1: Connecting to web", "")).unwrap();
        assert_eq!((&*offered.fingerprint, offered.address.clone()), ("SHA256:one", None));
        assert_eq!(offered.file(), "/etc/ssh/ssh_host_ed25519_key.pub");
        // One that is known by now.
        assert_eq!(read("debug1: Server host key: ssh-ed25519 SHA256:one\nPermission denied"), None);
    }
}
