//! A filesystem that is mounted, now and when the system starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Reach, Thing, above};
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::path::Place;

/// A filesystem that is mounted, now and when the system starts. What is in the directory before goes with it: it is
/// copied to the filesystem, if that is empty, and the original is kept as `NAME.ideal-old`. Nothing is ever
/// formatted. Volumes that `ideal` itself makes are the `mounts` of a cloud; this is for all others.
///
/// ```yaml
/// - mount: {at: /srv/scratch, device: tmpfs, type: tmpfs, options: [size=16m, mode=0755]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountSpec {
    /// The absolute path of the directory.
    pub at: String,
    /// What is mounted: `/dev/sdb1`, `UUID=...`, `LABEL=...`, `tmpfs`, `server:/export`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// What filesystem it has: `ext4`.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub filesystem: String,
    /// Options: `[noatime, ro]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// `present`, or `absent`: it is unmounted, now and when the system starts.
    #[serde(default)]
    pub state: Presence,
}

/// What is known of a directory that a filesystem is mounted in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountSeen {
    /// The entry of this directory in /etc/fstab.
    pub entry: Option<MountEntry>,
    /// What is mounted there now.
    pub mounted: Option<Mounted>,
    /// Whether something is in the directory while nothing is mounted.
    pub occupied: bool,
    /// How far a copy of what was there came.
    pub carried: Carried,
}

/// How far the copy of a directory's content to a filesystem came before it was broken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// None is under way.
    #[default]
    Nothing,
    /// It may be a half, or older than the original, which is still in its place.
    Half,
    /// It is whole, and the original was put aside.
    Whole,
}

/// The entry of a directory in /etc/fstab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountEntry {
    /// First column.
    pub device: String,
    /// Third column.
    pub filesystem: String,
    /// Fourth column.
    pub options: String,
}

/// What is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// From where, as the system says.
    pub device: String,
    /// Whether that is the device that is wanted.
    pub device_right: bool,
    /// Which filesystem.
    pub filesystem: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// What is to be done, in this order: a system that starts again at any moment mounts no half copy, and what cannot
/// be mounted leaves no entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountChange {
    /// What is in the directory goes to the filesystem first.
    pub carry: bool,
    /// It is mounted, or unmounted.
    pub mount: bool,
    /// The entry is written, or removed.
    pub entry: bool,
    /// It is mounted anew with the options of the entry.
    pub remount: bool,
}

impl MountSpec {
    /// The entry that it should have.
    pub fn entry(&self) -> MountEntry {
        let options = if self.options.is_empty() { "defaults".to_owned() } else { self.options.join(",") };
        MountEntry { device: self.device.clone(), filesystem: self.filesystem.clone(), options }
    }

    /// The text of /etc/fstab with its entry as wanted, once. All other lines stay as they are.
    pub fn edit(&self, fstab: &str) -> String {
        let mut put = self.state == Presence::Present;
        let line = format!("{}\n", line(&self.at, &self.entry()));
        let mut text = String::new();
        for old in fstab.lines() {
            match parse(old) {
                Some((at, entry)) if at == self.at => {
                    if std::mem::take(&mut put) {
                        // A line that says the same in other blanks, or with other numbers, is left.
                        if entry == self.entry() {
                            text.push_str(&format!("{old}\n"))
                        } else {
                            text.push_str(&line)
                        }
                    }
                }
                _ => text.push_str(&format!("{old}\n")),
            }
        }
        if put {
            text.push_str(&line);
        }
        text
    }
}

/// The directory and the entry of a line of /etc/fstab; none for comments and for what is no entry.
pub fn parse(line: &str) -> Option<(String, MountEntry)> {
    let mut columns = line.split_whitespace();
    let device = columns.next().filter(|first| !first.starts_with('#'))?;
    let (at, filesystem) = (columns.next()?, columns.next()?);
    let options = columns.next().unwrap_or("defaults").to_owned();
    Some((
        unescaped(at),
        MountEntry { device: unescaped(device), filesystem: filesystem.to_owned(), options },
    ))
}

fn line(at: &str, entry: &MountEntry) -> String {
    format!("{} {} {} {} 0 0", escaped(&entry.device), escaped(at), entry.filesystem, entry.options)
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\134").replace(' ', r"\040").replace('\t', r"\011")
}

/// A column of /etc/fstab or of the kernel's list of mounts as it is meant: `\040` is a blank.
pub fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Kind for MountSpec {
    const NAME: &'static str = "mount";
    const NEEDS_MACHINE: bool = true;
    type Seen = MountSeen;
    type Change = MountChange;

    fn key(&self) -> String {
        self.at.clone()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        let good = text::path(&self.at, &place.key("at"), "ideal/bad-mount-path", found);
        let system = ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"];
        if good && system.contains(&self.at.as_str()) {
            let message =
                format!("{} belongs to the system: a filesystem there would cover what it needs", self.at);
            found.push(Diagnostic::error("ideal/bad-mount-path", place.key("at").path(), message));
        }
        if self.state == Presence::Absent {
            return;
        }
        for (key, one) in [("device", &self.device), ("type", &self.filesystem)] {
            let at = place.key(key);
            if one.is_empty() {
                let message = format!("`{key}` is missing");
                found.push(Diagnostic::error("ideal/missing-key", place.path(), message).at_key());
                continue;
            }
            text::argument(one, &at, found);
            text::not_a_flag(one, &at, &format!("a {key}"), found);
            if key == "type" && one.contains(|c: char| c.is_whitespace() || c == ',') {
                let message = format!("`{}` is no filesystem", text::short(one));
                found.push(Diagnostic::error("ideal/bad-mount-option", at.path(), message));
            }
        }
        for (i, option) in self.options.iter().enumerate() {
            let list = place.key("options");
            let place = list.index(i);
            if option.is_empty() || option.contains(|c: char| c.is_whitespace() || c == ',') {
                let message = format!("`{}` is not one option", text::short(option));
                let help = "write a list: [noatime, ro]";
                found.push(Diagnostic::error("ideal/bad-mount-option", place.path(), message).help(help));
            }
        }
    }

    fn provides(&self) -> Vec<Thing> {
        vec![Thing::Path(self.at.clone())]
    }
    fn uses(&self) -> Vec<Thing> {
        let device = self.device.starts_with('/').then(|| Thing::Path(self.device.clone()));
        device.into_iter().chain(above(&self.at)).collect()
    }
    fn reach(&self) -> Reach {
        Reach::Anything
    }

    fn compare(&self, seen: &MountSeen) -> Verdict<MountChange> {
        let mut differences = Vec::new();
        let mut change = MountChange::default();
        if self.state == Presence::Absent {
            if seen.entry.is_some() {
                differences.push(Difference::new("entry in /etc/fstab", "present", "absent"));
                change.entry = true;
            }
            if seen.mounted.is_some() {
                differences.push(Difference::new("", "mounted", "unmounted"));
                change.mount = true;
            }
            if seen.carried != Carried::Nothing {
                differences.push(Difference::new("copy", "under way", "given up"));
            }
        } else {
            let wanted = self.entry();
            match &seen.entry {
                Some(entry) if *entry == wanted => {}
                entry => {
                    let before = entry.as_ref().map_or("missing".to_owned(), |entry| line(&self.at, entry));
                    differences.push(Difference::new("entry in /etc/fstab", before, line(&self.at, &wanted)));
                    change.entry = true;
                }
            }
            match &seen.mounted {
                Some(mounted) if !mounted.device_right => {
                    return Verdict::Refused(format!(
                        "{} is mounted there; unmount it first, or name it as the device",
                        mounted.device
                    ));
                }
                Some(_) if seen.carried == Carried::Half => {
                    return Verdict::Refused(format!(
                        "it is mounted, but what was in {at} before was not copied to it whole, and still lies \
                         under it; save what was written since, then unmount it: the copy is made anew",
                        at = self.at
                    ));
                }
                Some(mounted) => {
                    let read_only = self.options.iter().any(|option| option == "ro");
                    if mounted.read_only != read_only {
                        let word = |yes| if yes { "read-only" } else { "to be written" };
                        differences.push(Difference::new("", word(mounted.read_only), word(read_only)));
                        change.remount = true;
                    } else if change.entry && seen.entry.is_some() {
                        change.remount = true;
                    }
                    if seen.carried == Carried::Whole {
                        differences.push(Difference::new("copy", "not seen to its end", "complete"));
                    }
                }
                None if seen.carried == Carried::Whole && seen.occupied => {
                    return Verdict::Refused(format!(
                        "what was in {at} is on {device}, and something else was put in {at} since; move that away",
                        at = self.at,
                        device = self.device
                    ));
                }
                None if seen.carried == Carried::Half && !seen.occupied => {
                    return Verdict::Refused(format!(
                        "{device} may hold half of what was in {at}, and {at} is empty now; put back what was \
                         there, or say `state: absent` once to have the copy forgotten",
                        at = self.at,
                        device = self.device
                    ));
                }
                None => {
                    differences.push(Difference::new("", "not mounted", "mounted"));
                    change.mount = true;
                    change.carry = seen.occupied;
                }
            }
        }
        if differences.is_empty() {
            return Verdict::Right;
        }
        Verdict::Wrong(Wrong { differences, texts: None, change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> MountSpec {
        serde_json::from_str(
            r#"{"at": "/srv/my data", "device": "/dev/loop7", "type": "ext4", "options": ["noatime"]}"#,
        )
        .unwrap()
    }
    const LINE: &str = r"/dev/loop7 /srv/my\040data ext4 noatime 0 0";

    #[test]
    fn one_entry_for_each_directory() {
        let gone = MountSpec { state: Presence::Absent, ..spec() };
        let other = "# fstab\nproc /proc proc defaults 0 0\n";
        let spaced = r"/dev/loop7   /srv/my\040data  ext4 noatime 0 2";
        for (spec, before, after) in [
            (spec(), String::new(), format!("{LINE}\n")),
            (spec(), other.to_owned(), format!("{other}{LINE}\n")),
            (spec(), format!("{spaced}\n{other}"), format!("{spaced}\n{other}")),
            (spec(), format!("x /srv/my\\040data xfs ro\n{other}{LINE}\n"), format!("{LINE}\n{other}")),
            (gone, format!("{LINE}\n{other}"), other.to_owned()),
        ] {
            assert_eq!(spec.edit(&before), after);
            assert_eq!(spec.edit(&after), after, "a second time");
        }
        assert_eq!(unescaped(r"a\040b\134c\0"), r"a b\c\0");
    }

    #[test]
    fn mounted_or_not_and_what_was_there() {
        let entry = Some(spec().entry());
        let right = Mounted {
            device: "/dev/loop7".into(),
            device_right: true,
            filesystem: "ext4".into(),
            read_only: false,
        };
        let seen =
            |mounted, occupied| MountSeen { entry: entry.clone(), mounted, occupied, ..MountSeen::default() };
        let why = |spec: &MountSpec, seen: &MountSeen| match spec.compare(seen) {
            Verdict::Right => (String::new(), MountChange::default()),
            Verdict::Wrong(wrong) => (wrong.why(), wrong.change),
            Verdict::Refused(why) => (why, MountChange::default()),
        };
        assert_eq!(spec().compare(&seen(Some(right.clone()), false)), Verdict::Right);
        let (said, change) = why(&spec(), &seen(None, true));
        assert_eq!(said, "it was not mounted, wanted mounted");
        assert_eq!(change, MountChange { mount: true, carry: true, ..MountChange::default() });
        let read_only = Mounted { read_only: true, ..right.clone() };
        assert!(why(&spec(), &seen(Some(read_only), false)).1.remount);
        let other = Mounted { device_right: false, device: "tmpfs".into(), ..right.clone() };
        assert!(matches!(spec().compare(&seen(Some(other), false)), Verdict::Refused(_)));
        let gone = MountSpec { state: Presence::Absent, ..spec() };
        let both = MountChange { entry: true, mount: true, ..MountChange::default() };
        assert_eq!(why(&gone, &seen(Some(right), false)).1, both);
        assert_eq!(gone.compare(&MountSeen::default()), Verdict::Right);
    }

    #[test]
    fn no_half_copy_is_used() {
        let right = Mounted { device: "/dev/loop7".into(), device_right: true, ..Mounted::default() };
        let seen = |mounted: bool, occupied, carried| MountSeen {
            entry: None,
            mounted: mounted.then(|| right.clone()),
            occupied,
            carried,
        };
        let (change, entry) = (MountChange::default(), MountChange { entry: true, ..MountChange::default() });
        let mount = MountChange { mount: true, ..entry };
        let table = [
            (seen(false, true, Carried::Nothing), Some(MountChange { carry: true, ..mount })),
            (seen(false, true, Carried::Half), Some(MountChange { carry: true, ..mount })),
            (seen(false, false, Carried::Half), None),
            (seen(false, false, Carried::Whole), Some(mount)),
            // What somebody put there after the original went aside is not in the copy.
            (seen(false, true, Carried::Whole), None),
            (seen(true, false, Carried::Half), None),
            (seen(true, false, Carried::Whole), Some(entry)),
        ];
        for (seen, wanted) in table {
            let done = match spec().compare(&seen) {
                Verdict::Refused(_) => None,
                Verdict::Right => Some(change),
                Verdict::Wrong(wrong) => Some(wrong.change),
            };
            assert_eq!(done, wanted, "{seen:?}");
        }
    }
}
