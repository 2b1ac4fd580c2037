//! With what one logs in to a new machine, and by what it is known: written into its user data before it is made.
//!
//! `cloud-init`, which the images of EC2 have, reads it at the first start: our user, and the machine's host key, unless
//! that is to make its own ([`super::console`]). So the key is known before anything is said to the machine, and nobody
//! has to be believed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use ideal_core::id::Token;
use ideal_core::ideal::{Ec2Spec, HostKeys, Login};
use ideal_host::durable;
use sha2::{Digest as _, Sha256};

use super::hosts::{Hosts, Pair};

/// Our user.
const USER: &str = "ideal";
/// What divides the parts of user data: it stands in no part of ours.
const BOUNDARY: &str = "ideal-f6c1d1a2b0";

/// Keys of a project.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    folder: PathBuf,
    pub(super) hosts: Hosts,
}

/// What a new machine is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Its user data.
    pub user_data: String,
    /// Its public host key; none: it makes its own.
    pub host_key: Option<String>,
    /// The fingerprint of the key that it lets in.
    pub login: String,
}

impl Keys {
    pub(super) fn new(folder: PathBuf) -> Keys {
        Keys { hosts: Hosts::new(folder.join("hosts")), folder }
    }

    /// How one logs in: what the file leaves open is our user, with the project's own key.
    pub(super) fn login(&self, spec: &Ec2Spec) -> Login {
        let own = Login {
            user: Some(USER.to_owned()),
            key: Some(self.own().display().to_string()),
            ..Login::default()
        };
        spec.login.or(&own)
    }

    fn own(&self) -> PathBuf {
        self.folder.join("login")
    }

    /// What a machine is given that is made with this token: the same as before, when it was made ready before.
    pub(super) fn given(&self, spec: &Ec2Spec, token: &Token) -> io::Result<Given> {
        let host = match spec.host_keys {
            HostKeys::Given => Some(self.hosts.given(token)?),
            HostKeys::Console => None,
        };
        let may = match &spec.login.key {
            Some(key) => public(&home(key))?,
            None => {
                durable::private_dir(&self.folder)?;
                let _lock = durable::Lock::take(&self.folder.join("lock"))?;
                pair(&self.own())?
            }
        };
        // Who is named in the file is there already.
        let user = spec.login.user.as_deref().unwrap_or(USER);
        let ours = config(user, &may, host.as_ref());
        let user_data = match spec.user_data.as_deref() {
            None => ours,
            Some(theirs) => both(&ours, theirs),
        };
        let login = fingerprint(&may).ok_or_else(|| io::Error::other(format!("`{may}` is no public key")))?;
        Ok(Given { user_data, host_key: host.map(|host| host.public), login })
    }

    /// Why a machine that was made for this key lets nobody in; none when that cannot be the reason. Only asked when it
    /// does not: it may have been told of other keys since.
    pub(super) fn lost(&self, spec: &Ec2Spec, made_for: &str) -> Option<String> {
        let path = spec.login.key.as_deref().map_or_else(|| self.own(), home);
        let at = path.display();
        let is_own = spec.login.key.is_none();
        let found = match public(&path).ok().as_deref().and_then(fingerprint) {
            // Of one that the file names an agent of ssh may have the private half.
            public if !path.exists() && (is_own || public.is_none()) => "there is no such file".to_owned(),
            Some(found) if !made_for.is_empty() && found != made_for => format!("the key there is {found}"),
            _ => return None,
        };
        let key = if made_for.is_empty() { String::new() } else { format!(" {made_for}") };
        Some(format!(
            "it was made to let in the key{key}, which is looked for at {at}, and {found}: put the file back \
             from a backup or from the computer that made the machine, name a key that is let in (`login: {{user: …, \
             key: …}}`), or have another machine made in its place (`ideal nodes replace`)"
        ))
    }
}

/// As `ssh-keygen -lf` shows a public key.
fn fingerprint(public: &str) -> Option<String> {
    let blob = BASE64_STANDARD.decode(public.split_ascii_whitespace().nth(1)?).ok()?;
    Some(format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(blob))))
}

/// A path that may begin at home.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// The public key beside a private one, without its comment.
fn public(private: &Path) -> io::Result<String> {
    let mut path = private.as_os_str().to_owned();
    path.push(".pub");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", Path::new(&path).display())))?;
    let words: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
    Ok(words.join(" "))
}

/// A pair of keys, made when it is not there yet. Answers the public one. Only for who holds the lock of its folder.
pub(super) fn pair(private: &Path) -> io::Result<String> {
    if !private.exists() {
        let fresh = durable::unfinished(private);
        durable::remove(&fresh)?;
        let words = ["-q", "-t", "ed25519", "-N", "", "-C", "ideal", "-f"];
        let made = Command::new("ssh-keygen").args(words).arg(&fresh).output();
        let made = made.map_err(|error| io::Error::new(error.kind(), format!("ssh-keygen: {error}")))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            return Err(io::Error::other(format!("ssh-keygen: {}", said.trim())));
        }
        std::fs::File::open(&fresh)?.sync_all()?;
        std::fs::File::open(with_pub(&fresh))?.sync_all()?;
        // The public half first: a private key that is there is whole.
        let (fresh_public, public) = (with_pub(&fresh), with_pub(private));
        durable::rename(&fresh_public, &public)?;
        durable::rename(&fresh, private)?;
    }
    public(private)
}

fn with_pub(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// The part of user data that is ours, as `cloud-init` reads it (its module reference: `users`, `ssh_keys`, `ssh`).
fn config(user: &str, may: &str, host: Option<&Pair>) -> String {
    let users = if user == USER {
        format!(
            "users:\n  - default\n  - name: {USER}\n    lock_passwd: true\n    shell: /bin/sh\n    sudo: \"ALL=(ALL) \
             NOPASSWD:ALL\"\n    ssh_authorized_keys:\n      - \"{may}\"\n"
        )
    } else {
        format!("ssh_authorized_keys:\n  - \"{may}\"\n")
    };
    let keys = match host {
        Some(Pair { private, public }) => {
            let private: String = private.lines().map(|line| format!("    {line}\n")).collect();
            format!("ssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: \"{public}\"\n")
        }
        // As it is when nobody says otherwise, which an image may.
        None => "ssh:\n  emit_keys_to_console: true\n".to_owned(),
    };
    // A key that an image has is everybody's who has the image.
    format!("#cloud-config\n{users}ssh_deletekeys: true\n{keys}")
}

/// Ours and the person's, as parts of one text. Ours comes first and theirs is added to it.
fn both(ours: &str, theirs: &str) -> String {
    let kind = |text: &str| match text.lines().next().unwrap_or_default().trim_end() {
        "#cloud-config" => "text/cloud-config",
        "#include" => "text/x-include-url",
        "#cloud-boothook" => "text/cloud-boothook",
        _ => "text/x-shellscript",
    };
    let part = |text: &str| {
        format!(
            "--{BOUNDARY}\nContent-Type: {}; charset=\"utf-8\"\nMerge-Type: list(append)+dict(no_replace,recurse_list)+str()\n\n\
             {text}\n",
            kind(text)
        )
    };
    format!(
        "Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\nMIME-Version: 1.0\n\n{}{}--{BOUNDARY}--\n",
        part(ours),
        part(theirs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_host_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(folder.path().join("ec2"));
        let spec = Ec2Spec::default();
        let given = keys.given(&spec, &Token::new("a")).unwrap();
        assert_eq!(keys.given(&spec, &Token::new("a")).unwrap(), given);
        let other = keys.given(&spec, &Token::new("b")).unwrap();
        assert_ne!(other.host_key, given.host_key);
        assert!(given.host_key.as_deref().is_some_and(ideal_core::ideal::is_host_key), "{given:?}");
        assert!(given.user_data.starts_with("#cloud-config\n"));
        assert!(given.user_data.len() < 4096, "EC2 takes 16 KiB");
        assert_eq!(keys.login(&spec).user.as_deref(), Some("ideal"));
    }

    #[test]
    fn who_makes_its_own_host_key_is_given_none() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(folder.path().join("ec2"));
        let spec = Ec2Spec { host_keys: HostKeys::Console, ..Ec2Spec::default() };
        let given = keys.given(&spec, &Token::new("a")).unwrap();
        assert_eq!(given.host_key, None);
        assert!(
            !given.user_data.contains("PRIVATE") && given.user_data.contains("emit_keys_to_console: true")
        );
        assert_eq!(keys.given(&spec, &Token::new("b")).unwrap(), given, "nothing in it is of one machine");
        assert!(!folder.path().join("ec2/hosts").exists());
    }

    #[test]
    fn a_login_key_that_was_lost_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(folder.path().join("ec2"));
        let spec = Ec2Spec::default();
        let first = keys.given(&spec, &Token::new("a")).unwrap().login;
        let said = Command::new("ssh-keygen").arg("-lf").arg(with_pub(&keys.own())).output().unwrap();
        assert!(String::from_utf8(said.stdout).unwrap().contains(&first), "{first}");
        assert_eq!((keys.lost(&spec, &first), keys.lost(&spec, "")), (None, None), "it is there");

        std::fs::remove_file(keys.own()).unwrap();
        for made_for in ["", first.as_str()] {
            let why = keys.lost(&spec, made_for).unwrap();
            assert!(why.contains("ec2/login, and there is no such file") && why.contains(made_for), "{why}");
        }
        let named = Ec2Spec {
            login: Login { key: Some(keys.own().display().to_string()), ..Login::default() },
            ..Ec2Spec::default()
        };
        assert_eq!(keys.lost(&named, &first), None, "an agent of ssh has it");
        // The next machine is made for another.
        let second = keys.given(&spec, &Token::new("b")).unwrap().login;
        let why = keys.lost(&spec, &first).unwrap();
        assert!(why.contains(&first) && why.contains(&format!("the key there is {second}")), "{why}");
        assert_eq!((keys.lost(&spec, &second), keys.lost(&spec, "")), (None, None));
    }

    #[test]
    fn a_persons_own_user_data_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(folder.path().join("ec2"));
        for (theirs, kind) in
            [("#!/bin/sh\ntrue", "x-shellscript"), ("#cloud-config\npackages: [a]", "cloud-config")]
        {
            let spec = Ec2Spec { user_data: Some(theirs.to_owned()), ..Ec2Spec::default() };
            let text = keys.given(&spec, &Token::new("a")).unwrap().user_data;
            assert!(text.contains(&format!("text/{kind}; charset=\"utf-8\"\n")), "{text}");
            assert!(text.contains(theirs) && text.ends_with("--\n"), "{text}");
        }
    }

    #[test]
    fn a_named_user_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("mine");
        std::fs::write(with_pub(&key), "ssh-ed25519 AAAAmine me@laptop\n").unwrap();
        let login = Login {
            user: Some("admin".to_owned()),
            key: Some(key.display().to_string()),
            ..Login::default()
        };
        let spec = Ec2Spec { login, ..Ec2Spec::default() };
        let keys = Keys::new(folder.path().join("ec2"));
        let text = keys.given(&spec, &Token::new("a")).unwrap().user_data;
        assert!(
            text.contains("ssh_authorized_keys:\n  - \"ssh-ed25519 AAAAmine\"") && !text.contains("users:")
        );
        assert_eq!(keys.login(&spec), spec.login);
    }
}
