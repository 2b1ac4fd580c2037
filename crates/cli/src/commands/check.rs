//! `ideal check`: everything that is wrong with the file, at once. Contacts nothing and, without `--fix`,
//! changes nothing.

use ideal_file::{Loaded, fix};
use uuid::Uuid;

use crate::arguments::{Check, Global};
use crate::exit::Exit;
use crate::output::Output;
use crate::project::Project;
use crate::render;

pub(crate) fn run(check: &Check, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let given = check.path.as_deref().or(global.file.as_deref());
    let mut project = Project::open(given)?;
    let mut written = Vec::new();
    if check.fix {
        written = write_uuids(&project)?;
        if !written.is_empty() {
            project = Project::open(given)?;
        }
    }
    for (name, count) in &written {
        let uuids = if *count == 1 { "uuid" } else { "uuids" };
        output.note(&format!("wrote {count} {uuids} into {name}; keep it under version control"));
    }
    let loaded = project.load();
    render::diagnostic::draw(&loaded, output, !written.is_empty());
    if output.is_json() {
        output.document("check", render::diagnostic::verdict(&loaded))?;
    } else if let Some(resolved) = &loaded.resolved {
        let clouds = &resolved.ideal.clouds;
        let nodes: u64 = clouds.iter().map(|cloud| u64::from(cloud.nodes)).sum();
        let of_nodes = clouds.iter().map(|cloud| u64::from(cloud.nodes) * cloud.mounts.len() as u64);
        let services = &resolved.ideal.services;
        let of_replicas =
            services.iter().map(|service| u64::from(service.replicas) * service.mounts.len() as u64);
        let mounts: u64 = of_nodes.chain(of_replicas).sum();
        output.result(&format!(
            "{} is good: {}, {}, {}, {}",
            project.sources.main,
            counted(clouds.len() as u64, "cloud"),
            counted(nodes, "node"),
            counted(mounts, "mount"),
            counted(services.len() as u64, "service"),
        ));
    }
    Ok(exit_of(&loaded))
}

/// The number at the end for what was found.
pub(crate) fn exit_of(loaded: &Loaded) -> Exit {
    if loaded.is_good() { Exit::Done } else { Exit::BadInput }
}

fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Writes missing uuids into all files; which, and how many.
fn write_uuids(project: &Project) -> anyhow::Result<Vec<(String, usize)>> {
    let mut written = Vec::new();
    for (name, bytes) in &project.sources.texts {
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        let (fixed, count) = fix(text, || Uuid::new_v4().to_string());
        if count > 0 {
            project.replace(name, fixed.as_bytes())?;
            written.push((name.clone(), count));
        }
    }
    Ok(written)
}
