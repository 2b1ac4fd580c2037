//! What waits, with its cause and what to do about it.

use ideal_core::ideal::Ideal;
use ideal_core::plan::text::address;
use ideal_core::plan::{Cause, Waiting};
use serde_json::{Value as Json, json};

use crate::render::words;

/// More cards than this are only counted.
const MOST: usize = 12;

/// A card for each part that waits: those for a person first.
pub(crate) fn cards(ideal: &Ideal, waiting: &[Waiting]) -> String {
    let mut order: Vec<&Waiting> = waiting.iter().collect();
    order.sort_by_key(|waiting| !(waiting.cause.needs_person() || waiting.overdue));
    let mut text = String::new();
    for waiting in order.iter().take(MOST) {
        text += &card(ideal, waiting);
    }
    if order.len() > MOST {
        text += &format!("  and {} more, see ideal status\n", words::counted(order.len() - MOST, "part"));
    }
    text
}

fn card(ideal: &Ideal, waiting: &Waiting) -> String {
    let part = address(ideal, &waiting.part);
    let mut lines = vec![format!("  \u{25b2} {part}   {}   [{}]", waiting.cause, waiting.cause.slug())];
    for next in next(ideal, waiting) {
        lines.push(format!("      next: {next}"));
    }
    lines.join("\n") + "\n"
}

/// What a person can do about it, most likely first.
pub(crate) fn next(ideal: &Ideal, waiting: &Waiting) -> Vec<String> {
    let part = address(ideal, &waiting.part);
    let node = ideal.address(waiting.part.slot);
    match &waiting.cause {
        Cause::Consent { .. } => vec!["ideal up        shows what ends, and asks".to_owned()],
        Cause::LostData { candidates, .. } if candidates.is_empty() => {
            vec![format!("ideal up --blank {part}        begins with an empty volume")]
        }
        Cause::LostData { candidates, .. } => vec![
            "bring back what is missing, then the same again".to_owned(),
            {
                let newest = candidates.first().and_then(|text| text.split(' ').next()).unwrap_or("SNAPSHOT");
                format!("ideal up --restore {part}={newest}        goes back to an older snapshot")
            },
            format!("ideal up --blank {part}        begins with an empty volume, and keeps the rest"),
        ],
        Cause::Unclaimed { names } => {
            let name = names.first().map_or("NAME", String::as_str);
            vec![
                format!("write `was: {name}` under the mount, if it is the same data"),
                format!("ideal up --blank {part}        if it is not"),
            ]
        }
        Cause::Spent { .. } => vec!["mend the cause; ideal up tries again from here".to_owned()],
        Cause::Hook { .. } => vec!["when it would agree: the same again".to_owned()],
        Cause::Busy { .. } => vec!["end what uses it; the same again goes on from here".to_owned()],
        Cause::Protected => vec!["take `protect: true` from the file, if it is meant".to_owned()],
        Cause::AttachedElsewhere { machine, .. } => {
            vec![format!("look at {machine}; take the volume from it by hand, then the same again")]
        }
        Cause::Agent { .. } => {
            let says = format!("ideal logs {node}        shows what its agent said");
            let dead = format!("ideal nodes confirm-dead {node}        when its machine is dead for sure");
            [says].into_iter().chain(waiting.part.mount.is_none().then_some(dead)).collect()
        }
        Cause::Converging { .. } => vec![format!("ideal logs {node}        shows what its agent did")],
        Cause::Broken { .. } | Cause::Sight { .. } => vec!["ideal doctor        looks closer".to_owned()],
        _ => Vec::new(),
    }
}

/// The same for scripts.
pub(crate) fn for_scripts(ideal: &Ideal, waiting: &[Waiting]) -> Json {
    let one = |waiting: &Waiting| {
        json!({
            "part": address(ideal, &waiting.part),
            "cause": waiting.cause.slug(),
            "message": waiting.cause.to_string(),
            "needs_person": waiting.cause.needs_person() || waiting.overdue,
            "next": next(ideal, waiting),
        })
    };
    waiting.iter().map(one).collect()
}
