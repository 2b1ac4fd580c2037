//! Why a machine could not be reached or could not take the agent, by name. What `ssh` says is read for what a person has
//! to do; its own words go along.

use crate::strange::Offered;
use crate::way::Way;

/// What `ssh` says of a key that is another than before.
const CHANGED: &str = "REMOTE HOST IDENTIFICATION HAS CHANGED";

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It cannot be reached now: it may be starting.
    #[error("{0}")]
    Unreachable(String),
    /// It does not take the user or the key: one that is just starting may not know them yet.
    #[error("{0}")]
    Denied(String),
    /// There is no way in: it is not known, or not there.
    #[error("{0}")]
    Shut(String),
    /// It is a node of another cluster.
    #[error("{0}")]
    Taken(String),
    /// A person has to do something about it.
    #[error("{0}")]
    Refused(String),
}

/// Whether `ssh` says that it does not know a host key.
pub(crate) fn is_strange(said: &str) -> bool {
    said.contains("Host key verification failed") && !said.contains(CHANGED)
}

/// Who offers a key that is not taken, as `ssh` names it: between these words. It may be a host on the way.
fn who(way: &Way, said: &str, before: &str, after: &str) -> (String, bool) {
    let name = &way.name;
    let between = said.lines().find_map(|line| line.split_once(before)?.1.split_once(after));
    match between {
        Some((host, _)) if !way.is(host) => (format!("{}, on the way to {name},", clean(host)), true),
        _ => (name.clone(), false),
    }
}

fn changed(way: &Way, said: &str) -> Failure {
    let found = said.lines().find(|line| line.contains("SHA256:")).unwrap_or_default().trim();
    let found = clean(found.trim_end_matches('.'));
    let (who, is_hop) = who(way, said, "ost key for ", " has changed");
    let place = if is_hop { "your `~/.ssh/known_hosts`" } else { "the file" };
    Failure::Shut(format!(
        "the host key of {who} has changed ({found}): somebody may stand between, or the machine is another; nothing was \
         said to it. When you know why, put the new key into {place}"
    ))
}

fn unknown(way: &Way, said: &str, offered: Option<&Offered>) -> Failure {
    let (who, is_hop) = who(way, said, "host key is known for ", " and you have");
    let (file, offers) = match offered {
        Some(offered) => {
            let at = offered.address.as_ref().filter(|at| !who.starts_with(at.as_str()));
            let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
            (offered.file(), format!(", and{at} {} {} is offered", offered.kind, offered.fingerprint))
        }
        None => ("/etc/ssh/ssh_host_ed25519_key.pub".to_owned(), String::new()),
    };
    let known = match is_hop {
        true => "log in to it once by hand".to_owned(),
        false => {
            "write what that file says into the ideal file as `host_key`, or log in once by hand".to_owned()
        }
    };
    Failure::Shut(format!(
        "the host key of {who} is not known{offers}: nothing was said to it. Compare on the machine itself (`ssh-keygen -lf \
         {file}`); if it is the same, {known}"
    ))
}

/// What is to be thought of what `ssh` itself said when no connection came about. `offered`: the host key that is not known.
pub(crate) fn of_ssh(way: &Way, said: &str, offered: Option<&Offered>) -> Failure {
    let last =
        said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ssh ended without a word");
    let last = clean(last);
    let name = &way.name;
    let has = |text: &str| said.contains(text);
    if has(CHANGED) {
        return changed(way, said);
    }
    if is_strange(said) {
        return unknown(way, said, offered);
    }
    if has("Permission denied") {
        return Failure::Denied(format!(
            "{name} does not let us in: {last}; the user or the key is another (`login: {{user: …, key: …}}`)"
        ));
    }
    if has("Could not resolve hostname") || has("Name or service not known") {
        return Failure::Shut(format!("{name}: {last}"));
    }
    if has("Bad configuration option") || has("bad permissions") || has("Bad owner or permissions") {
        return Failure::Refused(format!("ssh itself refuses: {last}"));
    }
    Failure::Unreachable(format!("{name} cannot be reached: {last}"))
}

/// What is to be thought of what `sudo` said.
pub(crate) fn of_sudo(way: &Way, said: &str) -> Option<Failure> {
    let name = &way.name;
    let refuses = [
        "a password is required",
        "a terminal is required",
        "not in the sudoers",
        "not allowed to execute",
        "sudo: not found",
        "sudo: command not found",
    ];
    let mut lines = said.lines().map(str::trim);
    let line = lines.find(|line| refuses.iter().any(|words| line.contains(words)))?;
    Some(Failure::Refused(format!(
        "the user on {name} may not become root ({}): log in as root, or allow it `sudo` without a password",
        clean(line)
    )))
}

/// A text of another machine as it may be shown and kept: on one line, without what steers a terminal, and not long.
pub(crate) fn clean(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let is_shown = |letter: &char| !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(is_shown).map(plain).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::way::Folder;

    #[test]
    fn a_key_that_is_not_known_is_shown_with_who_offers_it() {
        let way = Folder::new("/x").kept("web@2222", "web");
        let offered = |address: Option<&str>| Offered {
            kind: "ssh-ed25519".to_owned(),
            fingerprint: "SHA256:abc".to_owned(),
            address: address.map(str::to_owned),
        };
        let said = |host: &str| {
            format!(
                "No ED25519 host key is known for {host} and you have requested strict checking.\r\nHost key verification \
                 failed.\r\n"
            )
        };
        let why = of_ssh(&way, &said("[web]:2222"), Some(&offered(Some("10.0.0.6")))).to_string();
        let start = "the host key of web@2222 is not known, and at 10.0.0.6 ssh-ed25519 SHA256:abc is offered: nothing was said";
        assert!(why.starts_with(start), "{why}");
        assert!(why.contains("as `host_key`"), "{why}");
        let why = of_ssh(&way, &said("hop"), Some(&offered(None))).to_string();
        let start = "the host key of hop, on the way to web@2222, is not known, and ssh-ed25519 SHA256:abc is offered";
        assert!(why.starts_with(start) && !why.contains("host_key`"), "{why}");
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nThe fingerprint for the ED25519 key sent by \
                       the remote host is\nSHA256:new.\nHost key for hop has changed and you have requested strict checking.\n";
        let why = of_ssh(&way, changed, None).to_string();
        assert!(
            why.starts_with("the host key of hop, on the way to web@2222, has changed (SHA256:new)"),
            "{why}"
        );
        assert!(
            of_ssh(&way, &changed.replace("hop", "[web]:2222"), None).to_string().contains("into the file")
        );
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_kept() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d"), "a [31mb cd");
        assert_eq!(clean(&"x".repeat(1000)).len(), 400);
    }
}
