//! The way into one machine, as a configuration of OpenSSH: what is written there first holds, and what it leaves open is
//! said by the person's own.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use ideal_core::ideal::Login;
use ideal_host::{brought, durable};

/// How long a connection may take to come about, in seconds.
const CONNECT: u32 = 10;
/// After so many seconds of silence the other end is asked, and after three such questions it is gone.
const ALIVE: u32 = 5;

/// How the host key of a machine is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// These are its public keys, and no others.
    Keys(Vec<String>),
    /// As the person's own `ssh` knows it.
    ByPerson,
}

/// Where the ways of a cluster are written.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path. It need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes down the way to the machine `name`, which is a part of file names, and whom to connect to. Nothing is
    /// written when it is so already.
    pub fn way(&self, name: &str, host: &str, login: &Login, known: &Known) -> io::Result<Way> {
        let config = self.0.join(format!("{name}.conf"));
        // A jump host is reached by a shell's command that names this path as it is.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@,=".contains(byte);
        if !config.as_os_str().as_encoded_bytes().iter().all(plain) {
            let why = format!(
                "the path {} has other signs than letters, digits and `/._-+@,=`, which ssh does not bear: move the \
                 project",
                config.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if !self.0.is_dir() {
            durable::private_dir(&self.0)?;
        }
        let keys = self.0.join(format!("{name}.known"));
        if let Known::Keys(known) = known {
            let lines: String = known.iter().map(|key| format!("{name} {key}\n")).collect();
            write(&keys, &lines)?;
        }
        write(&config, &config_text(host, name, login, known, &keys))?;
        Ok(Way { name: name.to_owned(), host: host.to_owned(), config })
    }

    /// The way that was written down before.
    pub fn kept(&self, name: &str, host: &str) -> Way {
        Way { name: name.to_owned(), host: host.to_owned(), config: self.0.join(format!("{name}.conf")) }
    }

    /// Forgets the way to a machine.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        for ending in ["conf", "known"] {
            durable::remove(&self.0.join(format!("{name}.{ending}")))?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    durable::write(path, text.as_bytes())
}

fn config_text(host: &str, name: &str, login: &Login, known: &Known, keys: &Path) -> String {
    let mut text = String::from("# Written by ideal; what is changed here is written anew.\nHost *\n");
    let mut line = |key: &str, value: &str| _ = writeln!(text, "  {key} {value}");
    // Of every host on the way, jump hosts too.
    line("IgnoreUnknown", "KnownHostsCommand");
    line("BatchMode", "yes");
    line("StrictHostKeyChecking", "yes");
    line("NoHostAuthenticationForLocalhost", "no");
    line("UpdateHostKeys", "no");
    line("ConnectTimeout", &CONNECT.to_string());
    line("ServerAliveInterval", &ALIVE.to_string());
    line("ServerAliveCountMax", "3");
    for never in ["ForwardAgent", "ForwardX11", "PermitLocalCommand", "Tunnel"] {
        line(never, "no");
    }
    line("RemoteCommand", "none");
    line("ControlMaster", "no");
    line("ControlPath", "none");
    line("LogLevel", "ERROR");
    // Of this machine alone.
    _ = writeln!(text, "Host {host}");
    let mut line = |key: &str, value: &str| _ = writeln!(text, "  {key} {value}");
    line("ClearAllForwardings", "yes");
    if let Known::Keys(_) = known {
        line("UserKnownHostsFile", &format!("\"{}\"", keys.display()));
        line("GlobalKnownHostsFile", "none");
        line("KnownHostsCommand", "none");
        line("HostKeyAlias", name);
        line("CheckHostIP", "no");
        line("VerifyHostKeyDNS", "no");
    }
    if let Some(user) = &login.user {
        line("User", user);
    }
    if let Some(port) = login.port {
        line("Port", &port.to_string());
    }
    if let Some(key) = &login.key {
        line("IdentityFile", &format!("\"{key}\""));
        line("IdentitiesOnly", "yes");
    }
    if let Some(jump) = &login.jump {
        line("ProxyJump", jump);
    }
    text.push_str("Host *\nInclude ~/.ssh/config\nInclude /etc/ssh/ssh_config\n");
    text
}

/// The way into one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What the machine is called in messages.
    pub name: String,
    host: String,
    config: PathBuf,
}

impl Way {
    /// The words that run a shell's command there. `terminal`: whether it is given one.
    fn words(&self, terminal: bool) -> Vec<String> {
        let config = self.config.display().to_string();
        let terminal = if terminal { "-t" } else { "-T" };
        ["ssh", "-F", &config, terminal, "--", &self.host].map(str::to_owned).to_vec()
    }

    /// The words that run a shell's text there as root.
    pub(crate) fn as_root(&self, script: &str) -> Vec<String> {
        let mut words = self.words(false);
        words.push(as_root(script));
        words
    }

    /// The words that have `ssh` say which keys it is shown on the way. Should they all be known, it does not log in.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut words = self.words(false);
        let more = ["-v", "-o", "PreferredAuthentications=none"].map(str::to_owned);
        words.splice(1..1, more);
        words
    }

    /// Whether `ssh` means this machine by a name in what it says, and not a host on the way.
    pub(crate) fn is(&self, said: &str) -> bool {
        let host =
            said.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(said, |(host, _)| host);
        host == self.name || host == self.host
    }

    /// The words that lead into it for a person. A command follows as one more word.
    pub fn for_person(&self, terminal: bool) -> Vec<String> {
        self.words(terminal)
    }

    /// Where its agent is reached: a program whose input and output lead there.
    pub fn agent(&self) -> String {
        let dial = format!("exec {} agent dial-stdio", brought::current().display());
        format!("pipe:{}", serde_json::Value::from(self.as_root(&dial)))
    }
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A shell's text as root, in the words of any login shell: by `sudo` where the user is another.
fn as_root(script: &str) -> String {
    let outer = format!(
        "s={}; if test \"$(id -u)\" = 0; then exec sh -c \"$s\"; else exec sudo -n sh -c \"$s\"; fi",
        quoted(script)
    );
    format!("exec sh -c {}", quoted(&outer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(login: &Login, known: &Known) -> String {
        config_text("10.0.0.5", "i-1", login, known, Path::new("/a b/i-1.known"))
    }

    #[test]
    fn a_host_key_is_always_asked_for() {
        for known in [Known::ByPerson, Known::Keys(Vec::new())] {
            let text = text(&Login::default(), &known);
            let first = text.lines().find(|line| line.contains("StrictHostKeyChecking"));
            assert_eq!(first, Some("  StrictHostKeyChecking yes"));
            assert!(
                text.find("Strict").unwrap() < text.find("Include").unwrap(),
                "the first that is said holds"
            );
        }
        let pinned = text(&Login::default(), &Known::Keys(vec!["ssh-ed25519 AAAA".to_owned()]));
        assert!(pinned.contains("  UserKnownHostsFile \"/a b/i-1.known\"\n"), "{pinned}");
        assert!(!text(&Login::default(), &Known::ByPerson).contains("UserKnownHostsFile"));
    }

    /// As ssh itself reads it: what is said of the machine is not said of the hosts on the way.
    #[test]
    fn a_jump_host_is_another_host() {
        let folder = tempfile::tempdir().unwrap();
        let ways = Folder::new(folder.path().join("ssh"));
        let login = Login {
            user: Some("admin".to_owned()),
            port: Some(2222),
            jump: Some("me@bastion".to_owned()),
            ..Login::default()
        };
        let known = Known::Keys(vec!["ssh-ed25519 AAAAC3".to_owned()]);
        ways.way("web", "10.0.0.5", &login, &known).unwrap();
        let read = |host: &str| {
            let config = ways.path().join("web.conf");
            let said =
                std::process::Command::new("ssh").arg("-G").arg("-F").arg(config).args(["--", host]).output();
            String::from_utf8(said.unwrap().stdout).unwrap()
        };
        let (machine, jump) = (read("10.0.0.5"), read("bastion"));
        for line in ["user admin", "port 2222", "proxyjump me@bastion", "hostkeyalias web"] {
            assert!(machine.lines().any(|one| one == line), "{line}: {machine}");
            assert!(!jump.lines().any(|one| one == line), "{line}: {jump}");
        }
        for text in [&machine, &jump] {
            assert!(text.contains("stricthostkeychecking true\n"), "{text}");
        }
        let spaces = Folder::new(folder.path().join("a b"));
        assert!(
            spaces.way("web", "web", &login, &known).unwrap_err().to_string().contains("move the project")
        );
    }

    #[test]
    fn a_way_is_written_once_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ways = Folder::new(folder.path().join("ssh"));
        let login = Login { user: Some("admin".to_owned()), port: Some(2222), ..Login::default() };
        let known = Known::Keys(vec!["ssh-ed25519 AAAAC3".to_owned()]);
        let way = ways.way("i-1", "10.0.0.5", &login, &known).unwrap();
        assert_eq!(
            std::fs::read_to_string(ways.path().join("i-1.known")).unwrap(),
            "i-1 ssh-ed25519 AAAAC3\n"
        );
        let words = way.for_person(true);
        assert_eq!(words[words.len() - 2..], ["--", "10.0.0.5"], "no host is an option");
        ways.forget("i-1").unwrap();
        assert_eq!(std::fs::read_dir(ways.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in ["a b", "it's", "$(x) `y` \"z\" \\ \n !", "''"] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(text))])
                .output();
            assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), text);
        }
        let ran =
            std::process::Command::new("sh").args(["-c", &as_root("printf '%s' \"it's\"")]).output().unwrap();
        let is_root = rustix::process::geteuid().is_root();
        assert!(!is_root || ran.stdout == b"it's", "{ran:?}");
    }
}
