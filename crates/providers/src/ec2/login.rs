//! With what one logs in to a new machine, and by what it is known: written into its user data before it is made.
//!
//! `cloud-init`, which the images of EC2 have, reads it at the first start: our user, and the machine's host key. So the
//! key is known before anything is said to the machine, and nobody has to be believed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use ideal_core::id::Token;
use ideal_core::ideal::{Ec2Spec, Login};
use ideal_host::durable;

/// Our user.
const USER: &str = "ideal";
/// What divides the parts of user data: it stands in no part of ours.
const BOUNDARY: &str = "ideal-f6c1d1a2b0";

/// Keys of a project.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    folder: PathBuf,
}

/// What a new machine is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Its user data.
    pub user_data: String,
    /// Its public host key.
    pub host_key: String,
}

impl Keys {
    pub(super) fn new(folder: PathBuf) -> Keys {
        Keys { folder }
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
        let name = blake3::hash(token.as_str().as_bytes()).to_hex()[..32].to_owned();
        let host = self.folder.join("hosts").join(name);
        let host_key = pair(&host)?;
        let private = std::fs::read_to_string(&host)?;
        let may = match &spec.login.key {
            Some(key) => public(&home(key))?,
            None => pair(&self.own())?,
        };
        // Who is named in the file is there already.
        let user = spec.login.user.as_deref().unwrap_or(USER);
        let ours = config(user, &may, &private, &host_key);
        let user_data = match spec.user_data.as_deref() {
            None => ours,
            Some(theirs) => both(&ours, theirs),
        };
        Ok(Given { user_data, host_key })
    }
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

/// A pair of keys, made when it is not there yet. Answers the public one.
fn pair(private: &Path) -> io::Result<String> {
    if let Some(folder) = private.parent() {
        durable::private_dir(folder)?;
        let _lock = durable::Lock::take(&folder.join("lock"))?;
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
    }
    public(private)
}

fn with_pub(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// The part of user data that is ours, as `cloud-init` reads it (its module reference: `users`, `ssh_keys`).
fn config(user: &str, may: &str, private: &str, host_key: &str) -> String {
    let private: String = private.lines().map(|line| format!("    {line}\n")).collect();
    let users = if user == USER {
        format!(
            "users:\n  - default\n  - name: {USER}\n    lock_passwd: true\n    shell: /bin/sh\n    sudo: \"ALL=(ALL) \
             NOPASSWD:ALL\"\n    ssh_authorized_keys:\n      - \"{may}\"\n"
        )
    } else {
        format!("ssh_authorized_keys:\n  - \"{may}\"\n")
    };
    format!(
        "#cloud-config\n{users}ssh_deletekeys: true\nssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: \
         \"{host_key}\"\n"
    )
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
        assert!(ideal_core::ideal::is_host_key(&given.host_key), "{}", given.host_key);
        assert!(given.user_data.starts_with("#cloud-config\n"));
        assert!(given.user_data.len() < 4096, "EC2 takes 16 KiB");
        assert_eq!(keys.login(&spec).user.as_deref(), Some("ideal"));
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
