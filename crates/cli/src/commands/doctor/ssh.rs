//! What is checked of machines that exist: that each lets us in, is known, and can have an agent.

use ideal_core::ideal::SshSpec;
use ideal_providers::registry;

use super::Check;
use crate::world::{World, wait_for};

pub(super) fn ssh(world: &World, spec: &SshSpec) -> Vec<Check> {
    let provider = match registry::ssh(spec, &world.around) {
        Ok(provider) => provider,
        Err(error) => {
            return vec![Check::bad("provider", format!("ssh: {error}"), "see who owns this program")];
        }
    };
    let asked = wait_for(async { Ok(provider.reachable().await) }).unwrap_or_default();
    let checks = asked.into_iter().map(|(address, found)| match found {
        Ok(()) => Check::good("machine", format!("{address}: it lets us in, and can have an agent")),
        Err(error) => {
            let next = format!("mend it there, and try `ssh {address} sudo -n true`");
            Check::bad("machine", format!("{address}: {error}"), next)
        }
    });
    checks.collect()
}
