//! How a service is kept well and where its replicas are: its ladder, what it comes after, its places, its changes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{name_help, zero};
use super::container::twice;
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::Cloud;
use crate::ideal::document::Document;
use crate::ideal::service::{Rung, ServiceSpec};
use crate::path::Place;

/// Checks of what is done about a replica that is not well.
pub(super) fn heal(spec: &ServiceSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let list = place.key("heal");
    let mut wrong = |here: crate::path::DocPath, message: &str, help: &str| {
        found.push(Diagnostic::error("ideal/bad-heal", here, message.to_owned()).help(help.to_owned()));
    };
    if spec.heal.is_empty() {
        wrong(
            list.path(),
            "nothing is done about a replica that is not well",
            "write `heal: [ask]` to be asked at once, or leave it out",
        );
    }
    for (i, rung) in spec.heal.iter().enumerate() {
        if spec.heal[..i].contains(rung) {
            wrong(
                list.index(i).path(),
                "this was tried already",
                "each thing stands once: it is tried several times by itself",
            );
        } else if *rung != Rung::Ask && spec.heal[..i].contains(&Rung::Ask) {
            wrong(list.index(i).path(), "nothing follows `ask`: a person has it then", "put `ask` last");
        }
    }
}

/// Checks of the names of other services.
pub(super) fn others(
    own: &Name,
    spec: &ServiceSpec,
    document: &Document,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let places = place.key("place");
    let lists = [
        (&spec.after, place.key("after")),
        (&spec.place.near, places.key("near")),
        (&spec.place.apart, places.key("apart")),
    ];
    for (names, list) in lists {
        twice(names, &list, found);
        for (i, name) in names.iter().enumerate() {
            if !document.services.contains_key(name) {
                let message = format!("there is no service `{name}`");
                let help = name_help(name.as_str(), document.services.keys().map(Name::as_str), "services");
                let unknown = Diagnostic::error("ideal/unknown-service", list.index(i).path(), message);
                found.push(unknown.help(help));
            }
        }
    }
    let list = place.key("after");
    for (i, name) in spec.after.iter().enumerate() {
        if waits_for(document, name, own) {
            let message = match name == own {
                true => "a service that waits for itself never starts".to_owned(),
                false => format!("`{name}` waits for `{own}` in turn, so neither would ever start"),
            };
            let wrong = Diagnostic::error("ideal/after-itself", list.index(i).path(), message);
            found.push(wrong.help("remove one of the two"));
        }
    }
    if let Some(was) = &spec.was {
        let here = place.key("was");
        let message = match (was == own, document.services.contains_key(was)) {
            (true, _) => format!("service `{own}` cannot have been renamed from its own name"),
            (false, true) => format!("`{was}` is a service still, so it cannot have become `{own}`"),
            _ => return,
        };
        found.push(Diagnostic::error("ideal/bad-was", here.path(), message));
    }
}

/// Whether `service` is `wanted`, or comes after it.
fn waits_for(document: &Document, service: &Name, wanted: &Name) -> bool {
    let mut seen = BTreeSet::new();
    let mut ahead = vec![service];
    while let Some(next) = ahead.pop() {
        if next == wanted {
            return true;
        }
        if seen.insert(next) {
            ahead.extend(document.services.get(next).into_iter().flat_map(|spec| &spec.after));
        }
    }
    false
}

/// Checks of where replicas are. `nodes`: the clouds that may carry them; `replicas`: how many there are.
pub(super) fn places(
    spec: &ServiceSpec,
    nodes: &[&Cloud],
    replicas: u32,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let places = place.key("place");
    if spec.place.most_per_node == Some(0) {
        found.push(zero(&places.key("most_per_node"), "no node could carry one"));
    }
    let list = places.key("pin");
    let mut taken: BTreeMap<u32, &str> = BTreeMap::new();
    for (number, address) in &spec.place.pin {
        let here = list.key(number);
        let wrong = |message: String| Diagnostic::error("ideal/bad-pin", here.path(), message);
        let replica = match number.parse::<u32>() {
            Ok(replica) if replica < replicas => replica,
            Ok(_) => {
                let help = format!("there are {replicas} of them, and the first is 0");
                found.push(wrong(format!("there is no replica {number}")).at_key().help(help));
                continue;
            }
            Err(_) => {
                let help = "write the number of a replica: {0: \"shop.web[2]\"}";
                found.push(wrong(format!("{number:?} is not the number of a replica")).at_key().help(help));
                continue;
            }
        };
        if let Some(other) = taken.insert(replica, number) {
            found.push(wrong(format!("replica {replica} has its node already, as {other:?}")).at_key());
        }
        let cloud = nodes.iter().find(|cloud| cloud.path == address.path);
        let problem = match (cloud, address.index, &address.mount) {
            (_, _, Some(_)) | (_, None, _) => "this is not a node".to_owned(),
            (None, ..) => format!("{address} is no node of {}", spec.on),
            (Some(cloud), Some(index), _) if index >= cloud.most => {
                format!("{} has {} nodes, and the first is 0", cloud.path, cloud.most)
            }
            _ => continue,
        };
        found.push(wrong(problem).help("write a node on which the service runs, such as shop.web[2]"));
    }
}

/// Checks of how a version takes the place of another.
pub(super) fn change(spec: &ServiceSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let here = place.key("change");
    if spec.change.unavailable == 0 {
        found.push(zero(&here.key("unavailable"), "one at least must be down to be changed"));
    }
    if spec.change.within.0 == 0 {
        found.push(zero(&here.key("within"), "a replica needs time to become well"));
    }
}
