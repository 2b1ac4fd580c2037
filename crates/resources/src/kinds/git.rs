//! A checkout of a git repository. The first is made beside its place and put there whole; a later one that is broken
//! off is known by a note in the checkout, so that what it left is not taken for the work of people.

use std::time::Duration;

use ideal_core::resource::Presence;
use ideal_core::resource::git::{GitChange, GitSeen, GitSpec, is_commit};
use ideal_host::crash_point;
use rustix::fs::{FileType, Mode};

use super::{About, Keep};
use crate::exec::{Outcome, Program};
use crate::eyes::{Eyes, Query, Trouble};
use crate::hands::Hands;
use crate::question::Question;
use crate::root::Attributes;

/// The note that a checkout of ours is on its way.
const MOVING: &str = ".git/ideal-moving";
/// How many changed files are named.
const NAMED: usize = 5;
/// A file of git's own that is read here is not longer than this.
const LONGEST: u64 = 16 << 20;

/// A setting in a configuration of git: the value of `key` in `[section]`.
fn setting(config: &str, section: &str, key: &str) -> Option<String> {
    let mut within = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            within = line == section;
        } else if within
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().trim_matches('"').to_owned());
        }
    }
    None
}

/// What a name means in the checkout itself: a loose reference, or a packed one.
fn reference(eyes: &Eyes<'_>, at: &str, name: &str) -> Result<Option<String>, Trouble> {
    if let Some(text) = eyes.text(&format!("{at}/.git/{name}"), LONGEST)? {
        let text = text.trim();
        return match text.strip_prefix("ref: ") {
            Some(other) if other != name => reference(eyes, at, other),
            _ => Ok(Some(text.to_owned())),
        };
    }
    let packed = eyes.text(&format!("{at}/.git/packed-refs"), LONGEST)?.unwrap_or_default();
    let found = packed.lines().find_map(|line| {
        let (commit, of) = line.split_once(' ')?;
        (of == name).then(|| commit.to_owned())
    });
    Ok(found)
}

/// The commit that a revision means, as `git ls-remote` answers: a tag's commit stands before the tag itself.
fn meant(answer: &str, revision: Option<&str>) -> Option<String> {
    let Some(revision) = revision else {
        let head = answer.lines().find_map(|line| line.strip_suffix("\tHEAD"))?;
        return Some(head.to_owned());
    };
    let names = [
        format!("refs/tags/{revision}^{{}}"),
        format!("refs/tags/{revision}"),
        format!("refs/heads/{revision}"),
    ];
    // A branch goes before a tag of the same name, as for those who type it.
    let branch = names[2].clone();
    let find = |name: &String| {
        let line = |line: &str| {
            line.split_once('\t').filter(|(_, of)| of == name).map(|(commit, _)| commit.to_owned())
        };
        answer.lines().find_map(line)
    };
    [branch].iter().chain(&names[..2]).find_map(find)
}

impl Keep for GitSpec {
    async fn look(&self, about: About<'_>, eyes: &Eyes<'_>) -> Result<GitSeen, Trouble> {
        let Some(sight) = eyes.sight(&self.at)? else { return Ok(GitSeen::Absent) };
        match sight.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => return Ok(GitSeen::Absent),
            Some(FileType::Directory) if sight.is_empty()? => return Ok(GitSeen::Absent),
            Some(FileType::Directory) if eyes.exists(&format!("{}/.git/HEAD", self.at)) => {}
            Some(_) => return Ok(GitSeen::Other),
        }
        let config = eyes.text(&format!("{}/.git/config", self.at), LONGEST)?.unwrap_or_default();
        let head = reference(eyes, &self.at, "HEAD")?.filter(|commit| is_commit(commit));
        let wanted =
            match &self.revision {
                _ if self.state == Presence::Absent => None,
                Some(revision) if is_commit(revision) => Some(revision.to_ascii_lowercase()),
                revision => {
                    let names = match revision {
                        Some(revision) => vec![revision.clone(), format!("{revision}^{{}}")],
                        None => vec!["HEAD".to_owned()],
                    };
                    let question = Question::Remote { repo: self.repo.clone(), names };
                    let outcome = eyes.ask(about.label, Query::System(question, self.user.clone())).await?;
                    if !outcome.agreed() {
                        return Err(trouble(&outcome));
                    }
                    let commit = meant(&String::from_utf8_lossy(&outcome.answer), revision.as_deref());
                    let name = revision.as_deref().unwrap_or("HEAD");
                    Some(commit.ok_or_else(|| {
                        Trouble::failed(format!("{} has no branch or tag `{name}`", self.repo))
                    })?)
                }
            };
        let at = eyes.host_path(&self.at).display().to_string();
        let gone = self.state == Presence::Absent;
        let asked = async |question| {
            let outcome = eyes.ask(about.label, Query::System(question, self.user.clone())).await?;
            match outcome.agreed() {
                true => Ok(String::from_utf8_lossy(&outcome.answer).into_owned()),
                false => Err(trouble(&outcome)),
            }
        };
        let only_here = match gone {
            true => asked(Question::OnlyHere { at: at.clone() }).await?,
            false => String::new(),
        };
        let answer = asked(Question::Changed { at, unknown: gone }).await?;
        // Two letters and a blank, then the name. What git ignores is nobody's concern; what it does not know would be
        // lost with the checkout.
        let changed = answer.split('\0').filter_map(|line| line.get(3..)).filter(|name| !name.is_empty());
        Ok(GitSeen::Checkout {
            origin: setting(&config, "[remote \"origin\"]", "url").unwrap_or_default(),
            head,
            wanted,
            changed: changed.take(NAMED).map(str::to_owned).collect(),
            only_here: only_here.lines().map(str::to_owned).collect(),
            broken_off: eyes.exists(&format!("{}/{MOVING}", self.at)),
        })
    }

    async fn apply(
        &self,
        change: &GitChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        match change {
            GitChange::Remove => {
                let spot = hands.spot(&self.at)?;
                spot.remove_tree()?;
                spot.sync()?;
            }
            GitChange::Clone => self.first(about, hands).await?,
            GitChange::Move => self.moved(&self.at, about, hands).await?,
        }
        Ok(None)
    }
}

/// git says why first, and what may be done about it last.
fn trouble(outcome: &Outcome) -> Trouble {
    let line = outcome.output.lines().find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    match line {
        Some(line) => Trouble::Failed { why: line.to_owned(), output: Some(outcome.output.clone()) },
        None => Trouble::program(outcome),
    }
}

trait Steps {
    async fn git(&self, hands: &Hands<'_>, about: About<'_>, words: &[&str]) -> Result<String, Trouble>;
    async fn first(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble>;
    async fn moved(&self, at: &str, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble>;
}

impl Steps for GitSpec {
    async fn git(&self, hands: &Hands<'_>, about: About<'_>, words: &[&str]) -> Result<String, Trouble> {
        let fixed = [
            "git",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "advice.detachedHead=false",
        ];
        let mut program =
            Program::new(fixed.iter().chain(words).copied(), self.timeout.std().max(Duration::from_secs(1)));
        program.env.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
        if let Some(user) = &self.user {
            hands.run_as(&mut program, user)?;
        }
        let outcome = hands.run(about.label, &program).await;
        crash_point("git-program");
        if outcome.agreed() {
            Ok(String::from_utf8_lossy(&outcome.answer).into_owned())
        } else {
            Err(trouble(&outcome))
        }
    }

    /// Beside its place; an empty directory there is replaced.
    async fn first(&self, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble> {
        let (above, name) = self.at.rsplit_once('/').unwrap_or(("", &self.at));
        let new = format!("{above}/.{name}.ideal-new");
        let spot = hands.spot(&new)?;
        spot.remove_tree()?;
        let (owner, group) = match &self.user {
            Some(user) => {
                let accounts = hands.accounts()?;
                let uid = hands.uid(user)?;
                let gid = accounts.users.values().find(|user| user.uid == uid).map(|user| user.gid);
                (Some(rustix::fs::Uid::from_raw(uid)), gid.map(rustix::fs::Gid::from_raw))
            }
            None => (None, None),
        };
        spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o755), owner, group })?;
        let at = hands.host_path(&new).display().to_string();
        self.git(hands, about, &["init", "--quiet", &at]).await?;
        self.moved(&new, about, hands).await?;
        // rename(2) puts it in place of nothing, or of an empty directory, at once.
        hands.rename(&new, &self.at)?;
        crash_point("git-live");
        Ok(())
    }

    async fn moved(&self, at: &str, about: About<'_>, hands: &Hands<'_>) -> Result<(), Trouble> {
        let note = hands.spot(&format!("{at}/{MOVING}"))?;
        let attributes = Attributes { mode: Mode::from_raw_mode(0o644), owner: None, group: None };
        let folder = hands.host_path(at).display().to_string();
        let within = ["-C", &folder];
        let known = self.git(hands, about, &[&within[..], &["remote"]].concat()).await?;
        let verb = if known.lines().any(|name| name == "origin") { "set-url" } else { "add" };
        self.git(hands, about, &[&within[..], &["remote", verb, "origin", &self.repo]].concat()).await?;
        let fetch = [
            "fetch",
            "--quiet",
            "--force",
            "--tags",
            "--prune",
            "origin",
            "+refs/heads/*:refs/remotes/origin/*",
        ];
        self.git(hands, about, &[&within[..], &fetch].concat()).await?;
        let commit = match &self.revision {
            Some(revision) if is_commit(revision) => revision.clone(),
            revision => {
                let name = match revision {
                    Some(revision) => vec![revision.clone(), format!("{revision}^{{}}")],
                    None => vec!["HEAD".to_owned()],
                };
                let question = Question::Remote { repo: self.repo.clone(), names: name };
                let outcome = hands.ask(about.label, Query::System(question, self.user.clone())).await?;
                let answer = String::from_utf8_lossy(&outcome.answer);
                let missing = || Trouble::failed(format!("{} has no such branch or tag", self.repo));
                meant(&answer, revision.as_deref()).ok_or_else(missing)?
            }
        };
        // What of ours was broken off left files that git does not know; else those are people's, and stay.
        let force = self.overwrite || note.stat()?.is_some();
        note.put(&mut commit.as_bytes(), attributes, async |_| Ok(())).await?;
        // A checkout that was killed leaves its lock, and nobody else works here while the note stands.
        hands.spot(&format!("{at}/.git/index.lock"))?.remove()?;
        let how = if force { "--force" } else { "--no-overwrite-ignore" };
        let checkout = ["checkout", "--quiet", how, "--detach", &commit];
        if let Err(trouble) = self.git(hands, about, &[&within[..], &checkout].concat()).await {
            if !force {
                // It found a file in its way before it began, and that file is not ours to lose.
                note.remove()?;
            }
            return Err(trouble);
        }
        self.git(hands, about, &[&within[..], &["reset", "--quiet", "--hard", &commit]].concat()).await?;
        if self.overwrite {
            self.git(hands, about, &[&within[..], &["clean", "--quiet", "-f", "-d"]].concat()).await?;
        }
        note.remove()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says() {
        let config =
            "[core]\n\turl = no\n[remote \"origin\"]\n\turl = https://a.example/x.git\n\tfetch = y\n";
        assert_eq!(setting(config, "[remote \"origin\"]", "url").as_deref(), Some("https://a.example/x.git"));
        assert_eq!(setting(config, "[remote \"other\"]", "url"), None);
        let answer =
            "aa\tHEAD\nbb\trefs/heads/main\ncc\trefs/tags/v1\ndd\trefs/tags/v1^{}\nee\trefs/heads/x/main\n";
        assert_eq!(meant(answer, None).as_deref(), Some("aa"));
        assert_eq!(meant(answer, Some("main")).as_deref(), Some("bb"));
        assert_eq!(meant(answer, Some("v1")).as_deref(), Some("dd"));
        assert_eq!(meant(answer, Some("gone")), None);
    }
}
