//! `ideal services show`: a service with all of its replicas, or one replica; and why each is where it is.

use ideal_core::ideal::Service;
use ideal_core::placement::{Answer, Explanation};
use ideal_core::planner::Ground;
use ideal_engine::Glance;
use serde_json::{Value as Json, json};

use super::list::row;
use crate::arguments::{Global, ServicesShow};
use crate::exit::Exit;
use crate::mounts;
use crate::output::Output;
use crate::render::words;
use crate::replicas::{self, View};
use crate::world::{World, wait_for};

/// So many replicas of a service are explained; of one more, the command for one tells.
const EXPLAINED: usize = 12;
/// So many nodes that were not chosen are told.
const OTHERS: usize = 20;

pub(crate) fn run(wanted: &ServicesShow, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    wait_for(async {
        let glance = world.glance().await?;
        let ground = glance.ground();
        let is_one = wanted.service.contains('[');
        let views = match is_one {
            true => vec![replicas::one(&glance, &wanted.service)?],
            false => {
                replicas::service(&glance.ideal, &wanted.service)?;
                replicas::of(&glance, std::slice::from_ref(&wanted.service))?
            }
        };
        let (at, service) = match views.first() {
            Some(view) => (view.at, view.service),
            None => replicas::service(&glance.ideal, &wanted.service)?,
        };
        match (output.is_json(), is_one) {
            (true, true) => output.document("replica", for_scripts(&views[0], &ground))?,
            (true, false) => {
                let all: Vec<Json> = views.iter().map(|view| for_scripts(view, &ground)).collect();
                output.document("service", service_for_scripts(&glance, at, service, all))?;
            }
            (false, _) => {
                let mut text = head(&glance, at, service);
                for view in views.iter().take(EXPLAINED) {
                    text += &card(view, &ground);
                }
                if views.len() > EXPLAINED {
                    let more = views.len() - EXPLAINED;
                    text += &format!(
                        "  and {more} more: ideal services list {name}; ideal services show {name}[N] explains one\n",
                        name = service.name
                    );
                }
                output.result(&text);
            }
        }
        world.sweep();
        Ok(Exit::Done)
    })
}

/// What is wanted of a service, and how far it is.
fn head(glance: &Glance, at: u32, service: &Service) -> String {
    let well = replicas::well(glance, at, service);
    let demanded = glance.standing.demands.of_cloud(service.cloud);
    let demanded = demanded.map_or("nothing".to_owned(), |state| state.to_string());
    let spec = &service.spec;
    let mut text = format!(
        "{}   {well}/{} well on {}   demanded: {demanded}\n",
        service.name, service.replicas, spec.on
    );
    let mut line = |name: &str, value: String| text += &format!("  {name:<9} {value}\n");
    let image = spec.image.as_deref().map(|image| format!("{image} "));
    let command = spec.command.as_ref().map(|argv| argv.0.join(" "));
    let runs = format!("{}{}", image.unwrap_or_default(), command.unwrap_or_default());
    let version = replicas::short(&replicas::wanted(glance, service));
    line("wanted", format!("{}   version {version}", words::line(runs.trim(), 80)));
    if let Some(route) = &spec.route {
        let scheme = if route.tls.is_some() { "https" } else { "http" };
        let port = route.port_of(spec).map(|port| format!(" to port {port}")).unwrap_or_default();
        let takers = takers(glance).join(", ");
        let by = match takers.is_empty() {
            true => "taken by no node: give one the recipe `proxy`".to_owned(),
            false => format!("taken by {takers}"),
        };
        line("route", format!("{scheme}://{}{port}   {by}", route.host));
    }
    if let Some(change) = replicas::change(glance, service).words(service) {
        line("change", change);
    }
    text
}

/// The clouds whose nodes take requests from outside.
fn takers(glance: &Glance) -> Vec<String> {
    let clouds = glance.ideal.clouds.iter().filter(|cloud| cloud.nodes > 0);
    let takes = clouds.filter(|cloud| cloud.recipes.iter().any(|used| used.reads.routes));
    takes.map(|cloud| cloud.path.to_string()).collect()
}

fn card(view: &View<'_>, ground: &Ground) -> String {
    let glance = view.glance;
    let own = view.seen().map(|(_, own)| own);
    let node = view.node().map(|node| format!(" on {}", glance.ideal.address(node))).unwrap_or_default();
    let mut how = Vec::new();
    if let Some(own) = own {
        how.push(format!(" for {}", words::span(glance.observed.at.since(own.since))));
        how.extend(own.pid.map(|pid| format!(", process {pid}")));
        how.extend(own.container.as_ref().map(|id| format!(", container {}", words::line(id, 12))));
        how.extend(own.ports.iter().map(|(name, port)| format!(", {name} {port}")));
        how.extend(words::again(own.restarts));
    }
    let version = row(view)["version"].as_str().map(|own| format!(", version {own}"));
    let age = row(view)["change"].as_str().map(|age| format!(" ({age})"));
    how.extend(version);
    how.extend(age);
    let mut text = format!("  {:<9} {}{node}{}\n", view.address(), view.state(), how.concat());
    let mut line = |name: &str, value: String| text += &format!("    {name:<9} {value}\n");
    if let Some(why) = view.why() {
        line("why", words::line(&why, 200));
    }
    for mount in mounts::of_slot(glance, view.slot()) {
        let volume = mount.volume().map(|own| format!("   {}, {}, life {}", own.id, own.size, own.life));
        line("mount", format!("{}   {}{}", mount.name, mount.state(), volume.unwrap_or_default()));
    }
    if let Some(explained) = ground.explain(view.at, view.index) {
        for (name, words) in reasons(&explained) {
            line(name, words);
        }
    }
    text
}

/// Why a replica is where it is and not elsewhere, a line for each node.
fn reasons(explained: &Explanation) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for verdict in &explained.verdicts {
        if explained.here == Some(verdict.host) {
            let stays = match (explained.best == explained.here, &verdict.answer) {
                (false, Answer::Scored(_)) => "; another would score more, but what is well placed stays",
                _ => "",
            };
            lines.insert(0, ("here", format!("{}: {}{stays}", verdict.name, verdict.answer)));
        } else {
            lines.push(("not", format!("{}: {}", verdict.name, verdict.answer)));
        }
    }
    let more = lines.len().saturating_sub(OTHERS + 1);
    if more > 0 {
        lines.truncate(OTHERS + 1);
        lines.push(("not", format!("{} more", words::counted(more, "node"))));
    }
    lines
}

fn for_scripts(view: &View<'_>, ground: &Ground) -> Json {
    let mut all = row(view);
    let mounts = mounts::of_slot(view.glance, view.slot());
    let mounts = mounts.iter().map(|mount| {
        json!({
            "name": mount.name, "address": mount.address(), "state": mount.state(),
            "volume": mount.volume().map(|own| &own.id), "life": mount.volume().map(|own| own.life),
        })
    });
    let more = json!({
        "seen": view.seen().map(|(_, own)| own),
        "mounts": mounts.collect::<Vec<_>>(),
        "placing": ground.explain(view.at, view.index).map(|own| explained(&own)),
    });
    if let (Json::Object(all), Json::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn explained(own: &Explanation) -> Vec<Json> {
    let one = |verdict: &ideal_core::placement::Verdict| {
        let mut one = json!({
            "node": verdict.name,
            "here": own.here == Some(verdict.host),
            "best": own.best == Some(verdict.host),
        });
        match &verdict.answer {
            Answer::Refused(why) => {
                one["refused"] = why.iter().map(|(constraint, why)| {
                    json!({"constraint": format!("{constraint:?}").to_lowercase(), "why": why})
                }).collect();
            }
            Answer::Scored(score) => {
                one["total"] = score.total.into();
                one["carries"] = score.carries.into();
                one["lines"] = score
                    .lines
                    .iter()
                    .map(|line| json!({"name": line.name, "points": line.points, "why": line.why}))
                    .collect();
            }
        }
        one
    };
    own.verdicts.iter().map(one).collect()
}

fn service_for_scripts(glance: &Glance, at: u32, service: &Service, replicas: Vec<Json>) -> Json {
    let change = replicas::change(glance, service);
    json!({
        "name": service.name,
        "on": service.spec.on,
        "route": service.spec.route,
        "taken_by": service.spec.route.as_ref().map(|_| takers(glance)),
        "wanted": service.replicas,
        "well": replicas::well(glance, at, service),
        "version": replicas::short(&replicas::wanted(glance, service)),
        "change": change.word(),
        "change_why": change.words(service),
        "memory": glance.view.services.get(&service.id).map(|memory| json!({
            "next": memory.next, "bad": memory.bad, "paused": memory.paused, "restarts": memory.restarts,
        })),
        "replicas": replicas,
    })
}
