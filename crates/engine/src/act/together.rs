//! Steps that are taken together: one call for many of them.

use futures_util::future::join_all;
use ideal_api::Verb;
use ideal_core::journal::Outcome;
use ideal_core::plan::Act;
use ideal_providers::{Answer, Call, ObjectId, ProviderError};

use super::{Common, Doing, Ended, Stop, Task, act, made};
use crate::lease;

/// Mirrors the demands of many steps at one provider in one call, then tells the agents.
pub(crate) async fn mirror(common: &Common, tasks: &[Task]) -> Vec<Ended> {
    let mut objects = Vec::new();
    for task in tasks {
        if let Act::Mirror { machines, volumes, snapshots, .. } = &task.step.act {
            objects.extend(machines.iter().cloned().map(ObjectId::Machine));
            objects.extend(volumes.iter().cloned().map(ObjectId::Volume));
            objects.extend(snapshots.iter().cloned().map(ObjectId::Snapshot));
        }
    }
    let mut shared = Ok(());
    if let (Some(first), false) = (tasks.first(), objects.is_empty()) {
        let doing = Doing { common, task: first };
        let demand = (**common.demands.borrow()).clone();
        let epoch = common.authority.borrow().epoch;
        shared = doing.call(&Call::Mirror { objects, demand, epoch }).await.map(|_| ());
    }
    let mut ended = Vec::with_capacity(tasks.len());
    for task in tasks {
        ended.push(match &shared {
            Ok(()) => tell_agent(common, task).await,
            Err(Stop::Outcome(outcome)) => Ended::Outcome(outcome.clone()),
            Err(Stop::Overtaken(_)) => {
                Ended::Outcome(Outcome::Failed { why: "the lease was lost".to_owned(), after: None })
            }
        });
    }
    if let (Err(Stop::Overtaken(error)), Some(first)) = (shared, ended.first_mut()) {
        *first = Ended::Overtaken(error);
    }
    ended
}

/// Makes machines of one provider together, between the two boundaries of one call.
pub(crate) async fn create(common: &Common, tasks: &[Task]) -> Vec<Ended> {
    let calls: Vec<Call> = tasks.iter().filter_map(|task| Doing { common, task }.creation()).collect();
    let outside = &common.outside;
    let (Some(first), Ok(_)) = (tasks.first(), lease::hold(outside, &common.authority)) else {
        // Each says for itself that the lease is lost.
        return join_all(tasks.iter().map(|task| act(common, task))).await;
    };
    let answers = outside.effect("create-machine", first.provider.issue_together(&calls)).await;
    let ended = |answer: Result<Answer, ProviderError>| match answer.map_err(Stop::from) {
        Ok(answer) => Ended::Outcome(made(answer)),
        Err(Stop::Outcome(outcome)) => Ended::Outcome(outcome),
        Err(Stop::Overtaken(error)) => Ended::Overtaken(error),
    };
    answers.into_iter().map(ended).collect()
}

async fn tell_agent(common: &Common, task: &Task) -> Ended {
    let Act::Mirror { agent: true, .. } = &task.step.act else {
        return Ended::Outcome(Outcome::Accepted { made: None });
    };
    let demand = (**common.demands.borrow()).clone();
    let doing = Doing { common, task };
    match doing.order(Verb::Note { demand }).await {
        Ok(_) => Ended::Outcome(Outcome::Accepted { made: None }),
        Err(Stop::Outcome(outcome)) => Ended::Outcome(outcome),
        Err(Stop::Overtaken(error)) => Ended::Overtaken(error),
    }
}
