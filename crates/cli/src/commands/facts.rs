//! `ideal facts`: what is known of nodes.

use ideal_api::{Reply, Verb};
use ideal_core::facts::Facts;
use ideal_resources::Machine;
use ideal_resources::facts::{Known, Wish, gather};
use serde_json::{Value as Json, json};

use crate::arguments::{self, Global};
use crate::crew;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::words;
use crate::world::{World, wait_for};

pub(crate) fn run(wanted: &arguments::Facts, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    if wanted.here {
        return wait_for(async {
            let wish = Wish { custom: true, sizes: true, checksums: wanted.checksums, ..Wish::default() };
            let facts = gather(&Machine::new("/var/lib/ideal/resources"), &Known::default(), &wish).await;
            show(&[("this machine".to_owned(), Ok(facts))], output)
        });
    }
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::slots(&world, &wanted.addresses)?;
    wait_for(async {
        let mut answers = crew::ask(&world, &slots, &Verb::Facts { checksums: wanted.checksums }).await?;
        let one = |slot| {
            let facts = match answers.remove(slot) {
                Some(Ok(Reply::Facts(facts))) => {
                    serde_json::from_value(*facts).map_err(|error| error.to_string())
                }
                Some(Err(error)) => Err(error.to_string()),
                _ => Err("it answered something else".to_owned()),
            };
            (world.ideal.address(*slot), facts)
        };
        show(&slots.iter().map(one).collect::<Vec<_>>(), output)
    })
}

fn show(all: &[(String, Result<Facts, String>)], output: &Output) -> anyhow::Result<Exit> {
    if output.is_json() {
        let one = |(node, facts): &(String, Result<Facts, String>)| match facts {
            Ok(facts) => json!({"node": node, "facts": facts}),
            Err(why) => json!({"node": node, "error": why}),
        };
        output.document("facts", all.iter().map(one).collect::<Vec<Json>>())?;
    } else {
        for (node, facts) in all {
            match facts {
                Ok(facts) => output.result(&text(node, facts)),
                Err(why) => output.problem(&format!("\u{2717} {node}: {why}")),
            }
        }
    }
    Ok(if all.iter().all(|(_, facts)| facts.is_ok()) { Exit::Done } else { Exit::Unreachable })
}

fn text(node: &str, facts: &Facts) -> String {
    let mut out = format!("{node}\n");
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            out.push_str(&format!("  {name:<10} {value}\n"));
        }
    };
    let bytes = |size: u64| ideal_core::time::Bytes(size >> 20 << 20).to_string();
    line("host", facts.hostname.clone());
    line(
        "system",
        format!(
            "{}, {} {}, started by {}",
            facts.os.name, facts.kernel.release, facts.architecture, facts.os.init
        ),
    );
    line(
        "machine",
        format!("{}, {} of memory", words::counted(facts.cpus as usize, "cpu"), bytes(facts.memory.total)),
    );
    for (name, disk) in &facts.disks {
        line("disk", format!("{name}  {}", bytes(disk.size)));
    }
    for (name, addresses) in &facts.addresses {
        line("address", format!("{}  ({name})", addresses.join(", ")));
    }
    for (at, mounted) in &facts.mounts {
        let (size, free) = (bytes(mounted.size), bytes(mounted.free));
        line("mount", format!("{at}  {} of {size}, {free} free ({})", mounted.filesystem, mounted.device));
    }
    line("packages", facts.packages.len().to_string());
    line("services", facts.services.keys().cloned().collect::<Vec<_>>().join(", "));
    line("containers", facts.containers.keys().cloned().collect::<Vec<_>>().join(", "));
    for (name, asset) in &facts.assets {
        let sum = asset.checksum.as_ref().map(|sum| format!(", sum {}", &sum[..16])).unwrap_or_default();
        let changed = words::date(asset.changed);
        line(
            "data",
            format!("{name}  {} {} at {}, changed {changed}{sum}", asset.kind, bytes(asset.size), asset.path),
        );
    }
    for (name, value) in &facts.custom {
        line("custom", format!("{name} = {value}"));
    }
    out
}
