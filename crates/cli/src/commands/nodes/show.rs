//! `ideal nodes show`: everything of one node.

use ideal_core::observed::Volume;
use serde_json::{Value as Json, json};

use super::view::{View, view};
use crate::arguments::{Global, NodesShow};
use crate::crew;
use crate::exit::Exit;
use crate::ladder;
use crate::output::Output;
use crate::render::list::plain;
use crate::render::words;
use crate::world::{World, wait_for};

/// How many heals are shown: the newest.
const HEALS: usize = 10;

pub(crate) fn run(wanted: &NodesShow, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slot = crew::node(&world, &wanted.address)?;
    wait_for(async {
        let glance = world.glance().await?;
        let view = view(&glance, slot, &ladder::states(&glance));
        match output.is_json() {
            true => output.document("node", for_scripts(&view))?,
            false => output.result(&card(&view)),
        }
        world.sweep();
        Ok(Exit::Done)
    })
}

fn card(view: &View<'_>) -> String {
    let demanded = view.demanded().map_or("nothing".to_owned(), |state| state.to_string());
    let mut text = format!("{}   {}   demanded: {demanded}\n", view.address(), view.state());
    let mut line = |name: &str, value: String| text += &format!("  {name:<9} {value}\n");
    for machine in view.machines() {
        let state = plain(&json!(machine.state));
        let retired = if machine.retired { ", retired" } else { "" };
        let address = machine.address.as_deref().filter(|own| !own.is_empty());
        let address = address.map(|address| format!("   {address}")).unwrap_or_default();
        let made: Vec<&str> =
            [&*machine.image, &machine.size].into_iter().filter(|own| !own.is_empty()).collect();
        let made = if made.is_empty() { String::new() } else { format!("   {}", made.join(", ")) };
        let generation = machine.tags.generation;
        let provider = view.provider().unwrap_or_default();
        line(
            "machine",
            format!(
                "{} at {provider}   {state}{retired}, generation {generation}{address}{made}",
                machine.id
            ),
        );
    }
    if view.is_cordoned() {
        line("cordoned", format!("it takes no more replicas; ideal nodes uncordon {}", view.address()));
    }
    line(
        "agent",
        match view.agent() {
            (word, None) => word.to_owned(),
            (word, Some(why)) => format!("{word}: {why}"),
        },
    );
    for (volume, seen) in view.volumes() {
        let mounted = match seen {
            Some(seen) if seen.mounted => format!("mounted, life {}", seen.life),
            _ => attachment(volume),
        };
        let busy = seen.and_then(|seen| seen.busy.as_deref()).map(|busy| format!(", busy: {busy}"));
        let filesystem = seen.and_then(|seen| seen.filesystem.as_ref());
        let kind = filesystem.map(|own| format!(" {}", plain(&json!(own.kind)))).unwrap_or_default();
        let name = view.mount_of(volume);
        let (id, size) = (&volume.id, words::bytes(volume.size));
        line("volume", format!("{name}   {id}   {size}{kind}, {mounted}{}", busy.unwrap_or_default()));
    }
    let Some(report) = view.report() else { return text };
    for (address, service) in &report.services {
        let pid = service.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        let since = words::span(report.at.since(service.since));
        let ports: String = service.ports.iter().map(|(name, port)| format!(", {name} {port}")).collect();
        let restarts = words::again(service.restarts).unwrap_or_default();
        let why =
            service.why.as_deref().map(|why| format!(": {}", words::line(why, 100))).unwrap_or_default();
        let state = plain(&json!(service.state)).replace('_', " ");
        line("service", format!("{address}   {state} for {since}{pid}{ports}{restarts}{why}"));
    }
    for problem in &report.problems {
        let word = if problem.waiting { "waits" } else { "problem" };
        line(word, format!("{}: {}", problem.what, words::line(&problem.why, 160)));
    }
    for left in &report.left {
        line("left", format!("{}: {}", left.what, words::line(&left.why, 160)));
    }
    for pause in &report.pauses {
        let what = if pause.only.is_empty() { "its resources".to_owned() } else { pause.only.join(", ") };
        let (until, why) = (words::date(pause.until), words::line(&pause.why, 100));
        line("paused", format!("{what} by {} until {until}: {why}", pause.who));
    }
    for heal in report.heals.iter().skip(report.heals.len().saturating_sub(HEALS)) {
        let (at, why) = (words::date(heal.at), words::line(&heal.why, 100));
        line(heal.standing.word(), format!("{at}   {}: {why}", heal.label));
    }
    text
}

fn attachment(volume: &Volume) -> String {
    match (&volume.attachment, volume.retired) {
        (_, Some(mark)) => format!("retired, goes after {}", words::date(mark.until)),
        (Some(attachment), None) => format!("{} to {}", plain(&json!(attachment.state)), attachment.machine),
        (None, None) => "detached".to_owned(),
    }
}

fn for_scripts(view: &View<'_>) -> Json {
    let mut node = view.row();
    let report = view.report();
    let volume = |(volume, seen): (&Volume, Option<_>)| json!({"volume": volume, "mount": seen});
    let more = json!({
        "demanded": view.demanded(),
        "machines": view.machines(),
        "volumes": view.volumes().into_iter().map(volume).collect::<Vec<_>>(),
        "report": report,
    });
    if let (Json::Object(node), Json::Object(more)) = (&mut node, more) {
        node.extend(more);
    }
    node
}
