//! Scripts in /etc/init.d.

use ideal_core::resource::unit::{Boot, Shove, UnitSeen, UnitSpec};
use rustix::fs::FileType;

use super::{About, must};
use crate::eyes::{Eyes, Query, Trouble};
use crate::hands::Hands;
use crate::question::Question;

/// Where links stand for what starts with the system.
const LEVELS: [&str; 4] = ["/etc/rc2.d", "/etc/rc3.d", "/etc/rc4.d", "/etc/rc5.d"];

fn name(spec: &UnitSpec) -> &str {
    spec.name.strip_suffix(".service").unwrap_or(&spec.name)
}

/// Whether there is a script of this name.
pub(super) fn knows(spec: &UnitSpec, eyes: &Eyes<'_>) -> bool {
    let stat = eyes.stat(&format!("/etc/init.d/{}", name(spec))).ok().flatten();
    stat.is_some_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) != FileType::Directory && stat.st_mode & 0o111 != 0
    })
}

/// Whether it is started with the system.
pub(super) fn boot(spec: &UnitSpec, eyes: &Eyes<'_>) -> Boot {
    let is_start = |link: &std::ffi::OsString| {
        // `S`, two digits, the name.
        let link = link.to_string_lossy();
        link.starts_with('S') && link.get(3..) == Some(name(spec))
    };
    let enabled = LEVELS.iter().any(|level| {
        let sight = eyes.sight(level).ok().flatten();
        sight.is_some_and(|sight| sight.names().unwrap_or_default().iter().any(is_start))
    });
    if enabled { Boot::Enabled } else { Boot::Disabled }
}

pub(super) async fn look(
    spec: &UnitSpec,
    about: About<'_>,
    eyes: &Eyes<'_>,
    seen: UnitSeen,
) -> Result<UnitSeen, Trouble> {
    if !knows(spec, eyes) {
        return Ok(UnitSeen { known: false, boot: Boot::Disabled, ..seen });
    }
    let outcome = eyes.ask(about.label, Query::System(Question::Script(name(spec).to_owned()), None)).await?;
    let running = outcome.agreed();
    let pid = eyes.text(&format!("/run/{}.pid", name(spec)), 64)?.and_then(|text| text.trim().parse().ok());
    eyes.watch_process(about.id, pid.filter(|_| running));
    Ok(UnitSeen { running, boot: boot(spec, eyes), ..seen })
}

pub(super) async fn enable(
    spec: &UnitSpec,
    enable: bool,
    about: About<'_>,
    hands: &Hands<'_>,
) -> Result<(), Trouble> {
    let name = name(spec);
    if hands.exists("/usr/sbin/update-rc.d") {
        // Without links there is nothing to enable.
        must(hands, about.label, &["update-rc.d", name, "defaults"]).await?;
        must(hands, about.label, &["update-rc.d", name, if enable { "enable" } else { "disable" }]).await?;
    } else {
        must(hands, about.label, &["chkconfig", name, if enable { "on" } else { "off" }]).await?;
    }
    Ok(())
}

pub(super) async fn shove(
    spec: &UnitSpec,
    shove: Shove,
    about: About<'_>,
    hands: &Hands<'_>,
) -> Result<String, Trouble> {
    let script = format!("/etc/init.d/{}", name(spec));
    let verb = match shove {
        Shove::Start => "start",
        Shove::Stop => "stop",
        Shove::Restart => "restart",
        Shove::Reload => "reload",
    };
    match must(hands, about.label, &[&script, verb]).await {
        // Not every script can; what it was asked for is that the new configuration counts.
        Err(_) if shove == Shove::Reload => must(hands, about.label, &[&script, "restart"]).await,
        other => other,
    }
}
