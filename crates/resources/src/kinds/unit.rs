//! A unit: of systemd, of a script in /etc/init.d, or of our own.

mod own;
mod systemd;
mod sysv;

use std::collections::{BTreeMap, BTreeSet};

use ideal_core::resource::unit::{Boot, Keeper, Shove, UnitChange, UnitSeen, UnitSpec};
use ideal_host::crash_point;

use super::{About, Keep};
use crate::exec::Program;
use crate::eyes::{Eyes, Trouble};
use crate::hands::Hands;

/// How long a unit may take to start or stop.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// What is known of units, and until when that holds.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Every unit that was ever asked for, so that one question asks for all.
    names: BTreeSet<String>,
    /// What systemd said at a moment.
    units: Option<(u64, BTreeMap<String, systemd::Unit>)>,
}

/// Who keeps this unit on this node.
fn keeper(spec: &UnitSpec, eyes: &Eyes<'_>) -> Keeper {
    if eyes.exists("/run/systemd/system") {
        Keeper::Systemd
    } else if spec.command.is_some() && !sysv::knows(spec, eyes) {
        Keeper::Own
    } else {
        Keeper::SysV
    }
}

/// A program that must do what it was asked.
async fn must(hands: &Hands<'_>, label: &str, argv: &[&str]) -> Result<String, Trouble> {
    let program = Program::new(argv.iter().copied(), LIMIT);
    let outcome = hands.run(label, &program).await;
    crash_point("unit-program");
    if outcome.agreed() { Ok(outcome.output) } else { Err(Trouble::program(&outcome)) }
}

async fn shove(
    spec: &UnitSpec,
    shove: Shove,
    about: About<'_>,
    hands: &Hands<'_>,
) -> Result<String, Trouble> {
    match keeper(spec, hands) {
        Keeper::Systemd => systemd::shove(spec, shove, about, hands).await,
        Keeper::SysV => sysv::shove(spec, shove, about, hands).await,
        Keeper::Own => own::shove(spec, shove, about, hands).await,
    }
}

/// Stops the unit if it runs, so that something may be changed; its own turn starts it again.
pub(crate) async fn stop_for_a_change(
    spec: &UnitSpec,
    about: About<'_>,
    hands: &Hands<'_>,
) -> Result<(), Trouble> {
    shove(spec, Shove::Stop, about, hands).await.map(drop)
}

/// Whether the unit runs now.
pub(crate) async fn runs(spec: &UnitSpec, about: About<'_>, eyes: &Eyes<'_>) -> Result<bool, Trouble> {
    let seen = spec.look(about, eyes).await?;
    Ok(seen.known && seen.running)
}

impl Keep for UnitSpec {
    async fn look(&self, about: About<'_>, eyes: &Eyes<'_>) -> Result<UnitSeen, Trouble> {
        let keeper = keeper(self, eyes);
        let seen = UnitSeen {
            keeper,
            known: true,
            running: false,
            boot: Boot::Fixed,
            stale: false,
            notified: about.notified,
        };
        match keeper {
            Keeper::Systemd => systemd::look(self, about, eyes, seen).await,
            Keeper::SysV => sysv::look(self, about, eyes, seen).await,
            Keeper::Own => Ok(own::look(self, about, eyes, seen)?),
        }
    }

    async fn apply(
        &self,
        change: &UnitChange,
        about: About<'_>,
        hands: &Hands<'_>,
    ) -> Result<Option<String>, Trouble> {
        let name = self.full_name();
        let keeper = keeper(self, hands);
        if keeper == Keeper::Systemd {
            if change.read_again {
                must(hands, about.label, &["systemctl", "daemon-reload"]).await?;
            }
            if change.unmask {
                must(hands, about.label, &["systemctl", "unmask", "--", &name]).await?;
            }
        }
        match (change.enable, keeper) {
            (Some(enable), Keeper::Systemd) => {
                let verb = if enable { "enable" } else { "disable" };
                must(hands, about.label, &["systemctl", verb, "--", &name]).await?;
            }
            (Some(enable), Keeper::SysV) => sysv::enable(self, enable, about, hands).await?,
            // What is of our own is started by us, whenever we are.
            (Some(_), Keeper::Own) | (None, _) => {}
        }
        let Some(what) = change.shove else { return Ok(None) };
        let said = shove(self, what, about, hands).await?;
        Ok(Some(said).filter(|said| !said.is_empty()))
    }
}
