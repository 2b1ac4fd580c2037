//! `ideal volumes restore`: back to an older snapshot. What is there now goes away first, sealed, so that the way back
//! is open too.

use ideal_core::demand::{Ending, Scope, State};
use ideal_core::id::{MountId, SnapshotId};
use ideal_core::ideal::Keep;
use ideal_core::observed::SnapshotState;
use ideal_core::planner::Consent;
use ideal_engine::Glance;

use super::kind;
use crate::arguments::{Global, data};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::mounts::{self, View};
use crate::output::Output;
use crate::render::words;
use crate::scopes;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::Restore, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let view = mounts::one(&glance, &wanted.address)?;
        let chosen = chosen(&view, &wanted.from)?;
        can_be_restored(&view)?;
        tried(&world, &glance, &view, &chosen).await?;
        let (address, slot) = (view.address(), view.part.slot);
        let node = glance.ideal.address(slot);
        let covered = vec![Scope::Slot(slot)];
        let pursuit = &wanted.pursuit;
        let what = format!("volumes restore {address} --from {chosen}");
        let mount = MountId { slot, name: view.name.clone() };
        let restore = Consent { restore: vec![(mount, chosen.clone())], ..Consent::default() };
        let mut agreed_already = false;
        if view.volume().is_some() {
            output.note(&format!(
                "{node} goes away first: what is on {address} now is sealed, and can be restored as well"
            ));
            let demands = scopes::demands_if(&glance, &covered, State::Away, Ending::No);
            let plan = glance.plan(&demands, &Consent::default());
            let losses = Losses::of(&glance, &demands, &plan);
            up::show(&world, &plan, output);
            if !ask::agree(&losses, &world.name(), &up::agreed(pursuit), output)? {
                return Ok(Exit::Failed);
            }
            agreed_already = true;
            let demand = (covered.clone(), State::Away, Ending::No);
            let consent = losses.consent(Consent::default());
            let away = up::errand(&what, demand, consent, pursuit).run(&world, output).await?;
            if away.exit() != Exit::Done {
                return away.tell(&world, output, &format!("ideal {what}"), "");
            }
        }
        let question = format!("{address} is made of {chosen} again. Go on?");
        if !agreed_already && !ask::question(&question, pursuit.yes, output)? {
            return Ok(Exit::Failed);
        }
        // As far up as it was wanted before; all the way, when it was wanted down.
        let before = glance.standing.demands.of(slot).filter(|state| state.is_up());
        let demand = (covered, before.unwrap_or(State::Launched), Ending::No);
        let back = up::errand(&what, demand, restore, pursuit).run(&world, output).await?;
        let seen = back.observed.slots.get(&slot);
        let made =
            seen.is_some_and(|seen| seen.volumes.iter().any(|own| own.origin.as_ref() == Some(&chosen)));
        if back.exit() == Exit::Done && !made {
            let message = format!("{address} was not made of {chosen}: something else is there by now");
            let failure = Failure::new("not-restored", Exit::Failed, message);
            return Err(failure.next(format!("ideal volumes show {address}")).into());
        }
        let met = format!("{address} is what {chosen} holds   {}", words::span(back.took));
        back.tell(&world, output, &format!("ideal {what}"), &met)
    })
}

/// Before anything ends: one that would not bring back what was taken is of no use.
async fn tried(world: &World, glance: &Glance, view: &View<'_>, chosen: &SnapshotId) -> anyhow::Result<()> {
    let verdict = glance.verify(&world.outside_to_look()?, view.part.slot, chosen).await;
    let why = match verdict {
        Ok(verdict) if verdict.holds() => return Ok(()),
        Ok(_) => format!("{chosen} is damaged: it would not bring back what was taken"),
        Err(error) => error.to_string(),
    };
    let failure = Failure::new("not-whole", Exit::Failed, format!("{why}; nothing was changed"));
    Err(failure.next(format!("ideal volumes verify {} --all        tries the others", view.address())).into())
}

/// Only a mount that the file wants is made again, and only one that is sealed when it is put away makes room.
fn can_be_restored(view: &View<'_>) -> anyhow::Result<()> {
    let address = view.address();
    let failure = match view.wanted {
        None => {
            Failure::new("not-wanted", Exit::BadInput, format!("the file has no mount {address} any more"))
                .next("write it into the file again, then the same")
        }
        Some(mount) if mount.keep == Keep::Delete && view.volume().is_some() => {
            let message = format!("{address} says `keep: delete`: what is there now would not be sealed");
            Failure::new("not-kept", Exit::BadInput, message)
                .next("take `keep: delete` from the file for the time, then the same")
        }
        Some(_) => return Ok(()),
    };
    Err(failure.into())
}

/// The snapshot that was named: of this mount, and whole.
fn chosen(view: &View<'_>, id: &str) -> anyhow::Result<SnapshotId> {
    let whole = || view.snapshots().into_iter().filter(|own| own.state == SnapshotState::Completed);
    if let Some(own) = whole().find(|own| own.id.as_str() == id) {
        return Ok(own.id.clone());
    }
    let message = format!("`{id}` is no whole snapshot of {}", view.address());
    let mut failure = Failure::new("no-snapshot", Exit::BadInput, message);
    for own in whole().take(3) {
        let age = words::span(view.glance.observed.at.since(own.at));
        failure =
            failure.next(format!("--from {}        {}, life {}, {age} old", own.id, kind(own), own.life));
    }
    Err(failure.into())
}
