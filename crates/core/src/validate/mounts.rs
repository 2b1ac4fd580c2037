//! The filesystems of a cloud: sizes, places, former names.

use std::collections::BTreeMap;

use super::text;
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::document::{Backup, MountSpec};
use crate::path::Place;
use crate::time::Span;

/// Smaller than this no filesystem can be made.
const SMALLEST: u64 = 1 << 20;
/// Copies of whole volumes need some time between them.
const MOST_OFTEN: Span = Span::mins(1);

/// Covering one of these with a volume takes the system away from under itself. What lies deeper is fine.
const SYSTEM: [&str; 12] =
    ["/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev", "/boot", "/run", "/root"];

/// Whose mounts these are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// Whether there is exactly one, so that a given volume can be its own.
    pub one: bool,
    /// What it is called.
    pub noun: &'static str,
    /// How one says that there is one.
    pub one_key: &'static str,
}

/// Checks of all mounts of one cloud or service.
pub(super) fn mounts(
    mounts: &BTreeMap<Name, MountSpec>,
    owner: Owner,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    if mounts.is_empty() {
        return;
    }
    let list = place.key("mounts");
    let mut places: BTreeMap<&str, &Name> = BTreeMap::new();
    let mut former: BTreeMap<&Name, &Name> = BTreeMap::new();
    for (name, mount) in mounts {
        let place = list.key(name.as_str());
        if mount.size.0 < SMALLEST {
            let message = format!("a volume of {} is too small for a filesystem", mount.size);
            let size = Diagnostic::error("ideal/mount-too-small", place.key("size").path(), message);
            found.push(size.help("write 1MiB or more"));
        }
        let at = place.key("at");
        if text::path(&mount.at, &at, "ideal/bad-mount-path", found) {
            if SYSTEM.contains(&mount.at.as_str()) {
                let message = format!("a volume at {} would cover what the system itself needs", mount.at);
                let help = "choose a directory of its own, such as /data or /var/lib/<name>";
                found.push(Diagnostic::error("ideal/bad-mount-path", at.path(), message).help(help));
            }
            match overlap(&places, &mount.at) {
                Some((other, message)) => found.push(
                    Diagnostic::error("ideal/mounts-overlap", at.path(), message)
                        .related(list.key(other.as_str()).key("at").path(), "the other one"),
                ),
                None => _ = places.insert(&mount.at, name),
            }
        }
        if let Some(backup) = &mount.backup {
            rhythm(backup, &place.key("backup"), found);
        }
        if mount.from.is_some() && !owner.one {
            let message = "a volume or snapshot can become the mount of one node only";
            let help = format!("`from` needs `{}` in the same {}", owner.one_key, owner.noun);
            let from = Diagnostic::error("ideal/from-needs-one-node", place.key("from").path(), message);
            found.push(from.at_key().help(help));
        }
        if let Some(was) = &mount.was {
            let was_place = place.key("was");
            if let Some(problem) = former_name(mounts, owner, name, was, former.get(was).copied()) {
                let mut problem = Diagnostic::error("ideal/bad-was", was_place.path(), problem);
                if let Some(other) = former.get(was) {
                    problem =
                        problem.related(list.key(other.as_str()).key("was").path(), "claimed here first");
                }
                found.push(problem);
            }
            former.entry(was).or_insert(name);
        }
    }
}

/// Backups that would follow each other without a pause, or of which none would be kept.
fn rhythm(backup: &Backup, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    if backup.every < MOST_OFTEN {
        let message = format!("a snapshot every {} leaves no time for anything else", backup.every);
        let every = Diagnostic::error("ideal/bad-backup", place.key("every").path(), message);
        found.push(every.help("write 1m or more"));
    }
    for (word, hook) in [("before", &backup.before), ("after", &backup.after)] {
        if let Some(hook) = hook {
            super::hook(hook, &place.key(word), found);
        }
    }
    if backup.keep == 0 {
        let keep = Diagnostic::error("ideal/bad-backup", place.key("keep").path(), "none would be kept");
        found.push(keep.help("write 1 or more, or leave out `backup`"));
    }
}

/// The mount among `places` that lies at, above or below `at`.
fn overlap<'a>(places: &BTreeMap<&str, &'a Name>, at: &str) -> Option<(&'a Name, String)> {
    if let Some(other) = places.get(at) {
        return Some((other, format!("{at} is the place of mount `{other}` already")));
    }
    let mut above = at;
    while let Some((parent, _)) = above.rsplit_once('/') {
        if let Some(other) = places.get(parent) {
            return Some((other, format!("{at} lies inside mount `{other}` at {parent}")));
        }
        above = parent;
    }
    let inside = format!("{at}/");
    let (other_at, other) =
        places.range(inside.as_str()..).next().filter(|(next, _)| next.starts_with(&inside))?;
    Some((other, format!("{at} would cover mount `{other}` at {other_at}")))
}

fn former_name(
    mounts: &BTreeMap<Name, MountSpec>,
    owner: Owner,
    name: &Name,
    was: &Name,
    claimed: Option<&Name>,
) -> Option<String> {
    if was == name {
        return Some(format!("mount `{name}` cannot have been renamed from its own name"));
    }
    if mounts.contains_key(was) {
        let noun = owner.noun;
        return Some(format!("`{was}` is a mount of this {noun} still, so it cannot have become `{name}`"));
    }
    claimed.map(|other| format!("`{was}` became mount `{other}` already"))
}
