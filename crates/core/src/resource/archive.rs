//! The content of an archive, unpacked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Thing, above, accounts};
use super::{Difference, Kind, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// The content of an archive (`.tar`, `.tar.gz`), unpacked. A new archive is unpacked over what the old one
/// left; one directory has one archive. Nothing is written outside of `to`, whatever the archive says. One that holds
/// more than 64 GiB, more than a million entries, or more than there is room for, is refused whole.
///
/// ```yaml
/// - command: {run: [tar, czf, /srv/site.tgz, -C, /etc, hostname], creates: /srv/site.tgz}
/// - archive: {path: /srv/site.tgz, to: /srv/site, creates: /srv/site/hostname}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSpec {
    /// The name of an archive in the recipe's folder `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The absolute path of an archive on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The absolute path of the directory that it is unpacked in.
    pub to: String,
    /// How many leading parts of each path are dropped: 1 for an archive that holds one folder.
    #[serde(default)]
    pub strip: usize,
    /// What `sha256sum` must say of the archive, so that no other one is ever unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A path that is there once it is unpacked: when it is missing, the archive is unpacked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// Whose the content becomes. Else the agent's own user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Which group the content belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// What is known of an archive and of what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSeen {
    /// The sha256 of the archive; none when it is missing.
    pub archive: Option<String>,
    /// The sha256 of the one that was unpacked last, completely.
    pub unpacked: Option<String>,
    /// Whether the directory, and what the archive creates, are there.
    pub is_there: bool,
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

impl Kind for ArchiveSpec {
    const NAME: &'static str = "archive";
    const NEEDS_MACHINE: bool = false;
    type Seen = ArchiveSeen;
    type Change = ();

    fn key(&self) -> String {
        self.to.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        let from = [("source", self.source.is_some()), ("path", self.path.is_some())];
        text::one_of(&from, true, place, found);
        for (key, path) in
            [("path", self.path.as_ref()), ("to", Some(&self.to)), ("creates", self.creates.as_ref())]
        {
            if let Some(path) = path {
                text::path(path, &place.key(key), "ideal/bad-path", found);
            }
        }
        for (key, account) in [("owner", &self.owner), ("group", &self.group)] {
            if let Some(account) = account {
                text::account(account, &place.key(key), found);
            }
        }
        if let Some(hash) = &self.sha256
            && !text::has_expression(hash)
            && !(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
        {
            let message = format!("`{}` is not what `sha256sum` says", text::short(hash));
            let help = "write its 64 digits, 0 to 9 and a to f";
            found.push(Diagnostic::error("ideal/bad-sha256", place.key("sha256").path(), message).help(help));
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.to.clone())]
    }
    fn uses(&self) -> Vec<Thing> {
        let path = self.path.iter().map(|path| Thing::Path(path.clone()));
        path.chain(above(&self.to)).chain(accounts(self.owner.as_deref(), self.group.as_deref())).collect()
    }

    fn compare(&self, seen: &ArchiveSeen) -> Verdict<()> {
        let Some(archive) = &seen.archive else {
            return Verdict::Refused("the archive does not exist".to_owned());
        };
        if let Some(wanted) = self.sha256.as_ref().filter(|wanted| *wanted != archive) {
            let (wanted, archive) = (short(wanted), short(archive));
            return Verdict::Refused(format!(
                "the archive is another one: its sha256 begins {archive}, wanted {wanted}"
            ));
        }
        match &seen.unpacked {
            None => Wrong::one(Difference::new("", "not unpacked", "unpacked"), ()),
            Some(unpacked) if unpacked != archive => {
                Wrong::one(Difference::new("content", short(unpacked), short(archive)), ())
            }
            Some(_) if !seen.is_there => Wrong::one(Difference::missing(), ()),
            Some(_) => Verdict::Right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_or_not_or_another() {
        let spec = |sha256: Option<&str>| ArchiveSpec {
            to: "/srv/x".into(),
            sha256: sha256.map(str::to_owned),
            ..ArchiveSpec::default()
        };
        let seen = |archive: Option<&str>, unpacked: Option<&str>, is_there| ArchiveSeen {
            archive: archive.map(str::to_owned),
            unpacked: unpacked.map(str::to_owned),
            is_there,
        };
        let why = |verdict| match verdict {
            Verdict::Right => String::new(),
            Verdict::Wrong(wrong) => wrong.why(),
            Verdict::Refused(why) => why,
        };
        assert_eq!(why(spec(None).compare(&seen(Some("a"), Some("a"), true))), "");
        assert_eq!(
            why(spec(None).compare(&seen(Some("a"), None, true))),
            "it was not unpacked, wanted unpacked"
        );
        assert_eq!(why(spec(None).compare(&seen(Some("b"), Some("a"), true))), "content was a, wanted b");
        assert_eq!(
            why(spec(None).compare(&seen(Some("a"), Some("a"), false))),
            "it was missing, wanted present"
        );
        assert_eq!(why(spec(None).compare(&seen(None, Some("a"), true))), "the archive does not exist");
        assert!(
            why(spec(Some("c")).compare(&seen(Some("a"), None, true)))
                .starts_with("the archive is another one")
        );
    }
}
