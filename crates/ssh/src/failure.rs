//! Why a machine could not be reached or could not take the agent, by name. What `ssh` says is read for what a person has
//! to do; its own words go along.

use crate::way::Way;

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
    /// A person has to do something about it.
    #[error("{0}")]
    Refused(String),
}

/// What is to be thought of what `ssh` itself said when no connection came about.
pub(crate) fn of_ssh(way: &Way, said: &str) -> Failure {
    let last =
        said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ssh ended without a word");
    let last = clean(last);
    let name = &way.name;
    let has = |text: &str| said.contains(text);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let found = said.lines().find(|line| line.contains("SHA256:")).unwrap_or_default().trim();
        let found = clean(found.trim_end_matches('.'));
        return Failure::Shut(format!(
            "the host key of {name} has changed ({found}): somebody may stand between, or the machine is another; \
             nothing was said to it. When you know why, put the new key into the file"
        ));
    }
    if has("Host key verification failed") {
        return Failure::Shut(format!(
            "the host key of {name} is not known: compare it on the machine itself (`ssh-keygen -lf \
             /etc/ssh/ssh_host_ed25519_key.pub`) and write it into the file as `host_key`, or log in once by hand"
        ));
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

    #[test]
    fn nothing_that_steers_a_terminal_is_kept() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d"), "a [31mb cd");
        assert_eq!(clean(&"x".repeat(1000)).len(), 400);
    }
}
