//! Units of systemd: one question for all that are declared.

use std::collections::BTreeMap;

use ideal_core::resource::unit::{Boot, Shove, UnitSeen, UnitSpec};

use super::{About, must, sysv};
use crate::eyes::{Eyes, Query, Trouble};
use crate::hands::Hands;
use crate::question::Question;

/// What systemd says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    load: String,
    active: String,
    file: String,
    stale: bool,
    main: Option<u32>,
}

/// The answer of `systemctl show`: a paragraph for each unit.
fn read(answer: &str) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    for paragraph in answer.split("\n\n") {
        let mut unit = Unit::default();
        let mut names = Vec::new();
        for line in paragraph.lines() {
            match line.split_once('=') {
                Some(("Id", id)) => names.push(id),
                Some(("Names", all)) => names.extend(all.split_whitespace()),
                Some(("LoadState", state)) => unit.load = state.to_owned(),
                Some(("ActiveState", state)) => unit.active = state.to_owned(),
                Some(("UnitFileState", state)) => unit.file = state.to_owned(),
                Some(("NeedDaemonReload", yes)) => unit.stale = yes == "yes",
                Some(("MainPID", pid)) => unit.main = pid.parse().ok().filter(|pid| *pid > 0),
                _ => {}
            }
        }
        for name in names {
            units.insert(name.to_owned(), unit.clone());
        }
    }
    units
}

async fn ask(spec: &UnitSpec, about: About<'_>, eyes: &Eyes<'_>) -> Result<Unit, Trouble> {
    let name = spec.full_name();
    let moment = eyes.moment();
    let names = {
        let units = &mut eyes.cache().said.borrow_mut().units;
        if let Some((of, units)) = &units.units
            && *of == moment
            && let Some(unit) = units.get(&name)
        {
            return Ok(unit.clone());
        }
        units.names.insert(name.clone());
        units.names.iter().cloned().collect()
    };
    let several = names != [name.clone()];
    let mut outcome = eyes.ask(about.label, Query::System(Question::Units(names), None)).await?;
    if !outcome.agreed() && several {
        // One name that systemd does not take spoils the answer for all.
        let alone = Question::Units(vec![name.clone()]);
        outcome = eyes.ask(about.label, Query::System(alone, None)).await?;
    }
    if !outcome.agreed() {
        eyes.cache().said.borrow_mut().units.names.remove(&name);
        return Err(Trouble::program(&outcome));
    }
    let units = read(&String::from_utf8_lossy(&outcome.answer));
    let unit = units.get(&name).cloned();
    eyes.cache().said.borrow_mut().units.units = Some((moment, units));
    unit.ok_or_else(|| Trouble::failed(format!("systemd did not answer for {name}")))
}

/// What the state of a unit's file means for the start of the system.
fn boot(file: &str) -> Boot {
    match file {
        "enabled" | "enabled-runtime" | "alias" => Boot::Enabled,
        "masked" | "masked-runtime" => Boot::Masked,
        // A file from elsewhere that systemd was only told of starts with nothing.
        "disabled" | "indirect" | "linked" | "linked-runtime" => Boot::Disabled,
        _ => Boot::Fixed,
    }
}

pub(super) async fn look(
    spec: &UnitSpec,
    about: About<'_>,
    eyes: &Eyes<'_>,
    seen: UnitSeen,
) -> Result<UnitSeen, Trouble> {
    let unit = ask(spec, about, eyes).await?;
    let boot = match unit.file.as_str() {
        // What is made of a script of /etc/init.d is enabled as that is.
        "generated" if sysv::knows(spec, eyes) => sysv::boot(spec, eyes),
        file => boot(file),
    };
    let boot = if unit.load == "masked" { Boot::Masked } else { boot };
    let running = matches!(unit.active.as_str(), "active" | "reloading");
    eyes.watch_process(about.id, unit.main.filter(|_| running));
    Ok(UnitSeen { known: unit.load != "not-found", running, boot, stale: unit.stale, ..seen })
}

pub(super) async fn shove(
    spec: &UnitSpec,
    shove: Shove,
    about: About<'_>,
    hands: &Hands<'_>,
) -> Result<String, Trouble> {
    let name = spec.full_name();
    let verb = match shove {
        Shove::Start => "start",
        Shove::Stop => "stop",
        Shove::Restart => "restart",
        // One that cannot read its configuration again is started again.
        Shove::Reload => "reload-or-restart",
    };
    if shove == Shove::Start {
        // One that failed too often is not started before that is forgotten. Nothing to forget is no failure.
        let _ = must(hands, about.label, &["systemctl", "reset-failed", "--", &name]).await;
    }
    must(hands, about.label, &["systemctl", verb, "--", &name]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_linked_is_not_enabled() {
        for (file, meant) in [
            ("enabled", Boot::Enabled),
            ("linked", Boot::Disabled),
            ("static", Boot::Fixed),
            ("masked", Boot::Masked),
        ] {
            assert_eq!(boot(file), meant, "{file}");
        }
    }

    #[test]
    fn an_answer_for_several() {
        let answer = "MainPID=12\nId=cron.service\nNames=cron.service\nLoadState=loaded\nActiveState=active\n\
                      UnitFileState=enabled\nNeedDaemonReload=yes\n\n\
                      MainPID=0\nId=ssh.service\nNames=ssh.service sshd.service\nLoadState=loaded\n\
                      ActiveState=inactive\nUnitFileState=disabled\nNeedDaemonReload=no\n\n\
                      Id=x.service\nNames=x.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
        let units = read(answer);
        assert_eq!(units["cron.service"].main, Some(12));
        assert!(units["cron.service"].stale && units["cron.service"].active == "active");
        assert_eq!(units["sshd.service"], units["ssh.service"]);
        assert_eq!(units["ssh.service"].main, None);
        assert_eq!(units["x.service"].load, "not-found");
    }
}
