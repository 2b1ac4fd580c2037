//! What addresses cover, and what is demanded of it.

use ideal_core::address::Address;
use ideal_core::demand::{Demands, Ending, Scope, State};
use ideal_core::id::SlotId;
use ideal_core::ideal::Ideal;
use ideal_core::plan::{Plan, Planned};
use ideal_core::planner::How;
use ideal_core::validate::nearest;
use ideal_engine::Glance;

use crate::exit::Exit;
use crate::failure::Failure;

/// What addresses cover: a cloud and all below, one slot, or without any everything.
pub(crate) fn of(ideal: &Ideal, addresses: &[String]) -> anyhow::Result<Vec<Scope>> {
    let mut scopes = Vec::new();
    for text in addresses {
        scopes.extend(of_one(ideal, text)?);
    }
    if scopes.is_empty() {
        scopes.push(Scope::Whole);
    }
    Ok(scopes)
}

fn of_one(ideal: &Ideal, text: &str) -> anyhow::Result<Vec<Scope>> {
    let address = address(text)?;
    if address.mount.is_some() {
        let message = format!("a state is demanded of nodes; `{text}` is a mount");
        let node = text.split(':').next().unwrap_or_default();
        return Err(Failure::new("bad-address", Exit::BadInput, message)
            .next(format!("`{node}` is its node"))
            .into());
    }
    let Some(index) = address.index else {
        let scopes: Vec<Scope> = ideal.covered(&address).map(|cloud| Scope::Cloud(cloud.id)).collect();
        return if scopes.is_empty() { Err(no_such(ideal, &address)) } else { Ok(scopes) };
    };
    match ideal.cloud_at(&address.path) {
        Some(cloud) => Ok(vec![Scope::Slot(SlotId { cloud: cloud.id, index })]),
        None => Err(no_such(ideal, &address)),
    }
}

/// An address as people write it.
pub(crate) fn address(text: &str) -> anyhow::Result<Address> {
    let parsed = text.parse::<Address>();
    Ok(parsed.map_err(|why| Failure::new("bad-address", Exit::BadInput, why.to_string()))?)
}

fn no_such(ideal: &Ideal, address: &Address) -> anyhow::Error {
    let message = format!("there is no cloud `{}`", address.path);
    let failure = Failure::new("no-such-part", Exit::BadInput, message);
    let names: Vec<String> = ideal.clouds.iter().map(|cloud| cloud.path.to_string()).collect();
    match nearest(&address.path.to_string(), names.iter().map(String::as_str)) {
        Some(near) => failure.next(format!("did you mean `{near}`?")).into(),
        None => failure.next("ideal show        lists all").into(),
    }
}

/// Whether a slot is in one of the scopes.
pub(crate) fn holds(scopes: &[Scope], slot: SlotId) -> bool {
    scopes.iter().any(|scope| match scope {
        Scope::Whole => true,
        Scope::Cloud(cloud) => slot.cloud == *cloud,
        Scope::Slot(own) => slot == *own,
    })
}

/// The demands as they would be if this were demanded. What is only inferred does not count.
pub(crate) fn demands_if(glance: &Glance, scopes: &[Scope], state: State, ending: Ending) -> Demands {
    let standing = &glance.standing;
    let mut demands = match standing.how {
        How::Recorded | How::Mirrored => standing.demands.clone(),
        How::SeenRunning | How::SeenNothing => {
            let mut none = Demands::none();
            (none.epoch, none.count) = standing.demands.version();
            none
        }
    };
    demand(&mut demands, scopes, state, ending);
    demands
}

/// Demands a state of scopes, in the epoch that there is.
pub(crate) fn demand(demands: &mut Demands, scopes: &[Scope], state: State, ending: Ending) {
    for scope in scopes {
        let epoch = demands.epoch;
        demands.demand(*scope, state, epoch, |other| within(other, *scope));
    }
    demands.ending = ending;
}

fn within(inner: Scope, outer: Scope) -> bool {
    match (inner, outer) {
        (_, Scope::Whole) => true,
        (Scope::Slot(slot), Scope::Cloud(cloud)) => slot.cloud == cloud,
        (inner, outer) => inner == outer,
    }
}

/// What is demanded, in words: `launched`, or `launched; shop.web away`.
pub(crate) fn words(ideal: &Ideal, demands: &Demands) -> String {
    let mut words = Vec::new();
    for (scope, state) in demands.iter() {
        words.push(match scope {
            Scope::Whole => state.to_string(),
            Scope::Cloud(id) => match ideal.cloud(id) {
                Some(cloud) => format!("{} {state}", cloud.path),
                None => format!("{id} {state}"),
            },
            Scope::Slot(slot) => format!("{} {state}", ideal.address(slot)),
        });
    }
    match demands.ending {
        Ending::No => {}
        Ending::KeepSnapshots => words.push("ending, snapshots stay".to_owned()),
        Ending::Everything => words.push("ending, snapshots too".to_owned()),
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// How a demand is known, in words.
pub(crate) fn how(how: How) -> &'static str {
    match how {
        How::Recorded => "recorded",
        How::Mirrored => "read from tags and agents; the store did not have it",
        How::SeenRunning => "nothing is demanded; something runs",
        How::SeenNothing => "nothing is demanded; nothing runs",
    }
}

/// The steps of a plan that are within the scopes.
pub(crate) fn only(plan: &Plan, scopes: &[Scope]) -> Plan {
    let mut at = Vec::with_capacity(plan.steps.len());
    let mut steps: Vec<Planned> = Vec::new();
    for planned in &plan.steps {
        let kept = holds(scopes, planned.step.part.slot);
        at.push(kept.then(|| u32::try_from(steps.len()).unwrap_or(u32::MAX)));
        if kept {
            let after = planned.after.iter().filter_map(|after| at.get(*after as usize).copied().flatten());
            let after = after.collect();
            steps.push(Planned { after, ..planned.clone() });
        }
    }
    let waiting = plan.waiting.iter().filter(|waiting| holds(scopes, waiting.part.slot)).cloned().collect();
    Plan { steps, waiting, ..plan.clone() }
}
