//! `ideal services restart`, `pause` and `resume`: a person's word in the change of a service to another version.

use std::time::{Duration, Instant};

use ideal_api::{Reply, Verb};
use ideal_core::observed::ServiceState;
use ideal_core::planner::Consent;
use ideal_core::time::Span;
use ideal_engine::{ChangeWish, Request};
use serde_json::json;

use crate::arguments::{Global, ServicesChange, ServicesPause};
use crate::commands::up;
use crate::crew;
use crate::errand::{self, Errand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::list::plain;
use crate::render::words;
use crate::replicas::{self, Change, View};
use crate::world::{World, wait_for};

/// All replicas are started again, a few at a time, each only when enough others are well; or one of them, at once.
pub(crate) fn restart(wanted: &ServicesChange, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        if wanted.service.ends_with(']') {
            return one_again(&world, &replicas::one(&glance, &wanted.service)?, wanted, output).await;
        }
        let (_, service) = replicas::service(&glance.ideal, &wanted.service)?;
        let name = &service.name;
        if let Change::Paused { .. } = replicas::change(&glance, service) {
            let message = format!("the change of {name} is paused, so nothing of it is started again");
            let failure = Failure::new("paused", Exit::BadInput, message);
            return Err(failure.next(format!("ideal services resume {name}        goes on with it")).into());
        }
        let request = Request::Change { service: service.id, wish: ChangeWish::Again };
        let all = words::counted(service.replicas as usize, "replica");
        let met = format!("{name} is started again: {all} well");
        pursue(&world, &format!("services restart {name}"), request, wanted, &met, output).await
    })
}

/// How often it is looked whether a replica runs again.
const LOOK: Duration = Duration::from_millis(100);

/// Its node starts it again; it is waited for.
async fn one_again(
    world: &World,
    view: &View<'_>,
    wanted: &ServicesChange,
    output: &Output,
) -> anyhow::Result<Exit> {
    let (begun, replica) = (Instant::now(), view.address());
    let Some((node, before)) = view.seen() else {
        let message = format!("{replica} is nowhere now: it is {}", view.state());
        let failure = Failure::new("not-running", Exit::Unreachable, message);
        return Err(failure.next(format!("ideal services show {replica}        tells why")).into());
    };
    let verb = Verb::Restart { replica: replica.clone() };
    let take_over = wanted.pursuit.take_over;
    let told = crew::with_engine(world, take_over, async |engine| engine.tell(&[node], &verb).await).await?;
    if let Some(Err(error)) = told.get(&node) {
        return Err(crew::out_of_reach(&world.ideal.address(node), error));
    }
    let limit = wanted.pursuit.timeout.unwrap_or(view.service.spec.change.within);
    let outside = world.outside_to_look()?;
    let mut last = "it was not seen again".to_owned();
    while begun.elapsed() < limit.std() {
        let answers = view.glance.ask(&outside, &[node], &Verb::Report).await;
        if let Some(Ok(Reply::Report(report))) = answers.get(&node)
            && let Some(seen) = report.services.get(&replica)
        {
            let other = (&seen.pid, &seen.container) != (&before.pid, &before.container);
            if seen.state == ServiceState::Running && other {
                let at = world.ideal.address(node);
                let took = words::span(Span(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)));
                match output.is_json() {
                    true => output.document("restarted", json!({"replica": replica, "node": at}))?,
                    false => output.result(&format!("{replica} is started again on {at}, and well   {took}")),
                }
                return Ok(Exit::Done);
            }
            last = seen.why.clone().unwrap_or_else(|| plain(&json!(seen.state)).replace('_', " "));
        }
        tokio::time::sleep(LOOK).await;
    }
    let message = format!("{replica} is not well within {}: {last}", words::span(limit));
    let failure = Failure::new("not-well", Exit::TimedOut, message);
    Err(failure.next(format!("ideal logs {replica}        shows what it said")).into())
}

/// Recorded for whoever pursues next; nothing is pursued.
pub(crate) fn pause(wanted: &ServicesPause, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let (_, service) = replicas::service(&glance.ideal, &wanted.service)?;
        let name = &service.name;
        let told = match replicas::change(&glance, service) {
            Change::Ahead => 0,
            Change::Under { told } | Change::Paused { told } => told,
            Change::None | Change::Back { .. } => {
                let message = format!("{name} does not change now, so there is nothing to pause");
                let failure = Failure::new("no-change", Exit::BadInput, message);
                return Err(failure.next(format!("ideal services show {name}")).into());
            }
        };
        let request = Request::Change { service: service.id, wish: ChangeWish::Pause };
        errand::record(&world, &format!("services pause {name}"), &[request], wanted.take_over).await?;
        match output.is_json() {
            true => output.document("paused", json!({"service": name, "told": told}))?,
            false => output.result(&format!(
                "{name} is not changed any further: {told} of {} are told of the new version\n\
                 go on: ideal services resume {name}",
                service.replicas
            )),
        }
        Ok(Exit::Done)
    })
}

/// The change goes on; one that was given up is tried again.
pub(crate) fn resume(wanted: &ServicesChange, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let (_, service) = replicas::service(&glance.ideal, &wanted.service)?;
        let name = &service.name;
        if !matches!(replicas::change(&glance, service), Change::Paused { .. } | Change::Back { .. }) {
            let message = format!("no change of {name} is paused or given up");
            let failure = Failure::new("no-change", Exit::BadInput, message);
            return Err(failure.next(format!("ideal services show {name}")).into());
        }
        let to_be = replicas::wanted(&glance, service);
        // One that its node has given up is started again as another version only.
        let anew = replicas::of(&glance, std::slice::from_ref(&wanted.service))?.iter().any(|view| {
            let own = view.seen().map(|(_, own)| own);
            own.is_some_and(|own| {
                let given_up = own.state == ServiceState::Suspended || own.asks.is_some();
                given_up && own.version.as_ref() == Some(&to_be)
            })
        });
        let request = Request::Change { service: service.id, wish: ChangeWish::Resume { anew } };
        let met = format!(
            "{name} is of the version of the file: {} well",
            words::counted(service.replicas as usize, "replica")
        );
        pursue(&world, &format!("services resume {name}"), request, wanted, &met, output).await
    })
}

async fn pursue(
    world: &World,
    what: &str,
    request: Request,
    wanted: &ServicesChange,
    met: &str,
    output: &Output,
) -> anyhow::Result<Exit> {
    let errand =
        Errand { requests: vec![request], ..up::with_flags(what, Consent::default(), &wanted.pursuit) };
    let pursued = errand.run(world, output).await?;
    let met = format!("{met}   {}", words::span(pursued.took));
    pursued.tell(world, output, "ideal heal", &met)
}
