//! What a file may say of the provider `ssh`, and of the login to any machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The provider `ssh`: machines that exist. Node 0 of a cloud is the first of the list, node 1 the second, and so on;
/// where that one is taken by another cloud, the next that is free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SshSpec {
    /// The machines.
    pub machines: Vec<SshMachine>,
    /// How one logs in, where a machine says nothing else.
    #[serde(skip_serializing_if = "Login::is_empty")]
    pub login: Login,
}

/// A machine that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshMachine {
    /// Where other nodes reach it: a name or an address.
    pub address: String,
    /// Whom `ssh` is told to connect to: a name of `~/.ssh/config`, for one. Default: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its public host key, as its own `/etc/ssh/ssh_host_ed25519_key.pub` has it: `ssh-ed25519 AAAA…`. Default: as your own `ssh` knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// How one logs in to it.
    #[serde(default, skip_serializing_if = "Login::is_empty")]
    pub login: Login,
}

/// How one logs in to a machine. What is not said is as `~/.ssh/config` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// As whom: root, or who may become root by `sudo` without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// At which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The file of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Through which host: `user@host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump: Option<String>,
}

impl Login {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Login::default()
    }

    /// This one, and for what it does not say, another.
    pub fn or(&self, other: &Login) -> Login {
        Login {
            user: self.user.clone().or_else(|| other.user.clone()),
            port: self.port.or(other.port),
            key: self.key.clone().or_else(|| other.key.clone()),
            jump: self.jump.clone().or_else(|| other.jump.clone()),
        }
    }

    /// What of it no `ssh` should be told, with the key it stands under. It becomes a line of a configuration.
    pub fn wrong(&self) -> Vec<(&'static str, &'static str)> {
        let word = |text: &Option<String>, more: &str| text.as_deref().is_none_or(|text| is_word(text, more));
        let mut wrong = Vec::new();
        if !word(&self.user, "") {
            wrong.push(("user", "a user is letters, digits, `.`, `_` and `-`"));
        }
        if !word(&self.jump, "@:[],") {
            wrong.push(("jump", "a jump host is written `user@host:port`"));
        }
        if self
            .key
            .as_deref()
            .is_some_and(|key| key.is_empty() || key.contains(['"', '%', '$']) || has_control(key))
        {
            wrong.push(("key", "this is no path of a key"));
        }
        wrong
    }
}

impl SshMachine {
    /// Whom `ssh` is told to connect to.
    pub fn host(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.address)
    }

    /// What of it no `ssh` should be told, with the key it stands under; the login aside.
    pub fn wrong(&self) -> Vec<(&'static str, &'static str)> {
        let mut wrong = Vec::new();
        if !is_word(&self.address, ":") {
            wrong.push(("address", "an address is a name or numbers, without a user or a port"));
        }
        if self.host.as_deref().is_some_and(|host| !is_word(host, ":")) {
            wrong.push(("host", "a host is a name or numbers, without a user or a port"));
        }
        if self.host_key.as_deref().is_some_and(|key| !is_host_key(key)) {
            wrong.push(("host_key", "a host key is its kind and its letters: `ssh-ed25519 AAAA…`"));
        }
        wrong
    }
}

/// Letters and digits and a few signs, of which none can make it an option or another line.
fn is_word(text: &str, more: &str) -> bool {
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter) || more.contains(letter);
    (1..=255).contains(&text.len()) && !text.starts_with('-') && text.chars().all(plain)
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Whether a text is a public host key: a kind that OpenSSH has, and base64.
pub fn is_host_key(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let kinds =
        ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
    let base64 = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let kind = words.next().is_some_and(|kind| kinds.contains(&kind));
    kind && words.next().is_some_and(|key| key.starts_with("AAAA") && base64(key)) && !has_control(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_an_option_or_a_line_is_refused() {
        let of = |address: &str| SshMachine { address: address.to_owned(), ..SshMachine::default() }.wrong();
        for good in ["10.0.0.5", "fe80::1", "web-1.example.org", "a_b"] {
            assert!(of(good).is_empty(), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "root@a", "a\nb", "$(x)", "a;b", "`x`"] {
            assert!(!of(bad).is_empty(), "{bad}");
        }
        let login = |user: &str, key: &str, jump: &str| {
            let some = |text: &str| Some(text.to_owned());
            Login { user: some(user), key: some(key), jump: some(jump), port: None }.wrong().len()
        };
        assert_eq!(login("admin", "~/.ssh/a b", "me@bastion:2222,other"), 0);
        assert_eq!(login("-l", "a\nb", "-oX=y"), 3);
        assert_eq!(login("a b", "\"", "a b"), 3);
    }

    #[test]
    fn host_keys_are_told_from_other_texts() {
        assert!(is_host_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5 root@web"));
        for bad in ["", "AAAAC3", "ssh-ed25519", "ssh-dss AAAA", "ssh-ed25519 AAAA\nx", "ssh-ed25519 <AAAA>"]
        {
            assert!(!is_host_key(bad), "{bad}");
        }
    }
}
