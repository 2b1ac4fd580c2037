//! `ideal volumes verify`: would a snapshot bring back what was sealed? It is tried, not believed.

use ideal_core::observed::{Snapshot, SnapshotState};
use serde_json::json;

use crate::arguments::{Global, data};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::mounts::{self, View};
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &data::Verify, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let outside = world.outside_to_look()?;
        let views = mounts::of(&glance, &wanted.addresses)?;
        let tries: Vec<(&View<'_>, &Snapshot)> = views
            .iter()
            .flat_map(|view| chosen(view, wanted).into_iter().map(move |own| (view, own)))
            .collect();
        unknown(&tries, &wanted.snapshot)?;
        let (mut rows, mut bad) = (Vec::new(), 0);
        for (view, own) in &tries {
            let begun = ideal_host::now();
            let verdict = glance.verify(&outside, view.part.slot, &own.id).await;
            let took = ideal_host::now().since(begun);
            let (address, id) = (view.address(), &own.id);
            let holds = verdict.as_ref().is_ok_and(|verdict| verdict.holds());
            let why = match &verdict {
                Ok(verdict) if verdict.holds() => None,
                Ok(verdict) => {
                    Some(format!("it holds {} now, and {} was taken", verdict.restored, verdict.taken))
                }
                Err(error) => Some(error.to_string()),
            };
            bad += usize::from(!holds);
            if !output.is_json() {
                match &why {
                    None => output.result(&format!(
                        "\u{2713} {address:<22} {id}   restored, read back and the same   {}",
                        words::span(took)
                    )),
                    Some(why) => output.problem(&format!("\u{2717} {address:<22} {id}   {why}")),
                }
            }
            rows.push(
                json!({"address": address, "snapshot": id, "holds": holds, "why": why, "took_ms": took.0}),
            );
        }
        if output.is_json() {
            output.document("verdicts", rows)?;
        } else if bad > 0 {
            let all = words::counted(tries.len(), "snapshot");
            output.problem(&format!("\u{2717} {bad} of {all} would not bring back what was taken"));
            output.problem("  next: ideal volumes snapshot        takes new ones of what is there");
        } else {
            output.result(&format!(
                "{} would bring back what was taken",
                words::counted(tries.len(), "snapshot")
            ));
        }
        world.sweep();
        Ok(if bad == 0 { Exit::Done } else { Exit::Failed })
    })
}

fn chosen<'g>(view: &View<'g>, wanted: &data::Verify) -> Vec<&'g Snapshot> {
    let whole = view.snapshots().into_iter().filter(|own| own.state == SnapshotState::Completed);
    if !wanted.snapshot.is_empty() {
        return whole.filter(|own| wanted.snapshot.iter().any(|id| own.id.as_str() == id)).collect();
    }
    whole.take(if wanted.all { usize::MAX } else { 1 }).collect()
}

/// A snapshot that was named and is not there, and a question that nothing answers.
fn unknown(tries: &[(&View<'_>, &Snapshot)], named: &[String]) -> anyhow::Result<()> {
    let known = |id: &&String| tries.iter().any(|(_, own)| own.id.as_str() == **id);
    let message = match named.iter().find(|id| !known(id)) {
        Some(id) => format!("there is no whole snapshot `{id}` there"),
        None if tries.is_empty() => "there is no whole snapshot there yet".to_owned(),
        None => return Ok(()),
    };
    let failure = Failure::new("no-snapshot", Exit::BadInput, message);
    Err(failure.next("ideal snapshots list        shows those that there are").into())
}
