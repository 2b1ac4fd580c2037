//! A unit: a program that the system keeps running.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Reach;
use super::{Difference, Kind, Presence, Verdict, Wrong, text};
use crate::diagnostic::Diagnostic;
use crate::ideal::document::Argv;
use crate::path::Place;

/// A unit of systemd where that runs, else a script of /etc/init.d, else a program under supervision of our own.
///
/// ```yaml
/// - unit: {name: cron, running: true, enabled: true}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitSpec {
    /// `nginx`, which means `nginx.service`, or with its kind: `backup.timer`.
    pub name: String,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub running: bool,
    /// Whether it is started with the system.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What happens when something that notifies it was changed.
    #[serde(default)]
    pub on_change: OnChange,
    /// Resources that are changed only while it is stopped, by name or by kind and key: `file /etc/db.conf`. It is
    /// stopped before the first of them is changed, and started when its own turn comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub while_stopped: Vec<String>,
    /// The program itself, for a node where neither systemd runs nor /etc/init.d knows the name: it is started
    /// detached, and stopped by SIGTERM and, ten seconds later, SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Argv>,
    /// `present`, or `absent`: stopped and not started with the system; a unit that nobody knows is right.
    #[serde(default)]
    pub state: Presence,
}

fn yes() -> bool {
    true
}

/// What happens to a unit when something that notifies it was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// It is stopped and started.
    #[default]
    Restart,
    /// It is told to read its configuration again.
    Reload,
}

/// Who keeps a unit running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// systemd.
    Systemd,
    /// A script in /etc/init.d.
    SysV,
    /// We.
    Own,
}

/// Whether a unit is started with the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
    /// It cannot be asked for: something else starts it, or it is made anew at each start of the system.
    Fixed,
    /// It cannot be started at all, by anyone.
    Masked,
}

/// What is known of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitSeen {
    /// Who keeps it.
    pub keeper: Keeper,
    /// Whether anybody knows it.
    pub known: bool,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is started with the system.
    pub boot: Boot,
    /// Whether its file has changed since systemd read it.
    pub stale: bool,
    /// Whether something that was changed since it was last right notifies it.
    pub notified: bool,
}

/// What is to be done to a unit, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitChange {
    /// systemd reads its files again.
    pub read_again: bool,
    /// It may be started again.
    pub unmask: bool,
    /// It is started with the system, or no longer.
    pub enable: Option<bool>,
    /// It is started, stopped, restarted or reloaded.
    pub shove: Option<Shove>,
}

/// What is done to a running or stopped unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shove {
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// Stop and start.
    Restart,
    /// Read the configuration again.
    Reload,
}

impl UnitSpec {
    /// Whether it is to run.
    pub fn runs(&self) -> bool {
        self.running && self.state == Presence::Present
    }
    /// Whether it is to be started with the system.
    pub fn boots(&self) -> bool {
        self.enabled && self.state == Presence::Present
    }
    /// Whether it is only what units are made of: `getty@`.
    pub fn is_a_template(&self) -> bool {
        self.name.split_once('@').is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('.'))
    }
    /// As systemd calls it.
    pub fn full_name(&self) -> String {
        if self.name.contains('.') { self.name.clone() } else { format!("{}.service", self.name) }
    }
}

impl Kind for UnitSpec {
    const NAME: &'static str = "unit";
    const NEEDS_MACHINE: bool = true;
    type Seen = UnitSeen;
    type Change = UnitChange;

    fn key(&self) -> String {
        self.name.strip_suffix(".service").unwrap_or(&self.name).to_owned()
    }

    fn validate(&self, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
        text::file_name(&self.name, "._-@:\\", &place.key("name"), found);
        if self.is_a_template() {
            let message = format!("`{}` is a template, which is no unit itself", text::short(&self.name));
            let help = "name one made of it, with a word behind the `@`: getty@tty1";
            found.push(
                Diagnostic::error("ideal/bad-system-name", place.key("name").path(), message).help(help),
            );
        }
        if let Some(command) = &self.command {
            let place = place.key("command");
            text::argv(command, &place, found);
            let program = command.0.first().map(String::as_str).unwrap_or_default();
            if !program.starts_with('/') && !text::has_expression(program) && !program.is_empty() {
                let message = "the program of a unit wants its whole path";
                let help = "a daemon has no search path that could be relied upon: /usr/sbin/nginx";
                found.push(Diagnostic::error("ideal/bad-path", place.path(), message).help(help));
            }
        }
    }

    fn reach(&self) -> Reach {
        Reach::Anything
    }

    fn compare(&self, seen: &UnitSeen) -> Verdict<UnitChange> {
        let (runs, boots) = (self.runs(), self.boots());
        if !seen.known {
            return match runs || boots {
                true => Verdict::Refused(
                    "nobody knows a unit of this name: declare its package or file before it, or its `command`"
                        .to_owned(),
                ),
                false => Verdict::Right,
            };
        }
        let mut differences = Vec::new();
        let mut change = UnitChange::default();
        if seen.stale {
            differences.push(Difference::new("definition", "read before it changed", "read"));
            change.read_again = true;
        }
        if seen.boot == Boot::Masked && (runs || boots) {
            differences.push(Difference::new("", "masked", "allowed to start"));
            change.unmask = true;
        }
        let booted = seen.boot == Boot::Enabled;
        if booted != boots && seen.boot != Boot::Fixed && (boots || seen.boot != Boot::Masked) {
            let word = |yes| if yes { "enabled" } else { "disabled" };
            differences.push(Difference::new("start with the system", word(booted), word(boots)));
            change.enable = Some(boots);
        }
        let word = |yes| if yes { "running" } else { "stopped" };
        if seen.running != runs {
            differences.push(Difference::new("", word(seen.running), word(runs)));
            change.shove = Some(if runs { Shove::Start } else { Shove::Stop });
        } else if runs && (seen.notified || seen.stale) {
            // Who has an old definition is restarted: a reload would go on with it.
            let reload = self.on_change == OnChange::Reload && !seen.stale;
            if seen.notified {
                differences.push(Difference::new(
                    "configuration",
                    "changed",
                    if reload { "reloaded" } else { "restarted" },
                ));
            }
            change.shove = Some(if reload { Shove::Reload } else { Shove::Restart });
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

    #[test]
    fn a_template_is_no_unit() {
        for (name, problems) in
            [("getty@", 1), ("getty@.service", 1), ("getty@tty1", 0), ("cron", 0), ("a@b.timer", 0)]
        {
            let spec = UnitSpec { name: name.to_owned(), ..UnitSpec::default() };
            let mut found = Vec::new();
            spec.validate(&Place::ROOT, &mut found);
            assert_eq!(found.len(), problems, "{name}: {found:?}");
        }
    }

    fn spec(text: &str) -> UnitSpec {
        serde_json::from_str(text).unwrap()
    }
    const RIGHT: UnitSeen = UnitSeen {
        keeper: Keeper::Systemd,
        known: true,
        running: true,
        boot: Boot::Enabled,
        stale: false,
        notified: false,
    };

    #[test]
    fn what_is_seen_and_what_is_done() {
        let nothing = UnitChange::default();
        let on = r#"{"name": "u"}"#;
        let off = r#"{"name": "u", "state": "absent"}"#;
        let reload = r#"{"name": "u", "on_change": "reload"}"#;
        let shove = |shove| UnitChange { shove: Some(shove), ..nothing };
        let table = [
            (on, RIGHT, nothing),
            (on, UnitSeen { running: false, ..RIGHT }, shove(Shove::Start)),
            (on, UnitSeen { boot: Boot::Disabled, ..RIGHT }, UnitChange { enable: Some(true), ..nothing }),
            (on, UnitSeen { boot: Boot::Fixed, ..RIGHT }, nothing),
            (
                on,
                UnitSeen { boot: Boot::Masked, running: false, ..RIGHT },
                UnitChange { unmask: true, enable: Some(true), shove: Some(Shove::Start), ..nothing },
            ),
            (on, UnitSeen { notified: true, ..RIGHT }, shove(Shove::Restart)),
            (reload, UnitSeen { notified: true, ..RIGHT }, shove(Shove::Reload)),
            (reload, UnitSeen { notified: true, running: false, ..RIGHT }, shove(Shove::Start)),
            (
                reload,
                UnitSeen { stale: true, notified: true, ..RIGHT },
                UnitChange { read_again: true, shove: Some(Shove::Restart), ..nothing },
            ),
            (off, UnitSeen { known: false, running: false, boot: Boot::Disabled, ..RIGHT }, nothing),
            (off, UnitSeen { running: false, boot: Boot::Masked, ..RIGHT }, nothing),
            (off, RIGHT, UnitChange { enable: Some(false), shove: Some(Shove::Stop), ..nothing }),
        ];
        for (text, seen, wanted) in table {
            let change = match spec(text).compare(&seen) {
                Verdict::Right => nothing,
                Verdict::Wrong(wrong) => wrong.change,
                Verdict::Refused(why) => panic!("{why}"),
            };
            assert_eq!(change, wanted, "{text} {seen:?}");
        }
        let unknown = UnitSeen { known: false, ..RIGHT };
        assert!(matches!(spec(on).compare(&unknown), Verdict::Refused(_)));
    }
}
