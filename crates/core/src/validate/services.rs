//! What runs across the nodes of a cloud.

mod care;
mod container;
mod names;
mod route;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mounts::Owner;
use super::{MOST_NODES, name_help, text, too_many, zero};
use crate::address::CloudPath;
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::Cloud;
use crate::ideal::document::Document;
use crate::ideal::service::{Health, ServiceSpec};
use crate::path::{DocPath, Place};

/// Checks of all services of a document, against its clouds.
pub(crate) fn services(document: &Document, clouds: &[Arc<Cloud>], found: &mut Vec<Diagnostic>) {
    let by_path: BTreeMap<&CloudPath, &Cloud> = clouds.iter().map(|cloud| (&cloud.path, &**cloud)).collect();
    let mut ports: BTreeMap<(&CloudPath, u16), (&Name, DocPath)> = BTreeMap::new();
    let mut hosts = route::Hosts::new();
    let root = Place::ROOT;
    let list = root.key("services");
    names::names(document, &by_path, &list, found);
    for (name, spec) in &document.services {
        if super::is_enough(found) {
            return;
        }
        let place = list.key(name.as_str());
        service(spec, &place, found);
        container::container(spec, &place, found);
        container::files(spec, document, &place, found);
        route::route(name, spec, document, &mut hosts, &place, found);
        care::heal(spec, &place, found);
        care::others(name, spec, document, &place, found);
        care::change(spec, &place, found);
        match by_path.get(&spec.on) {
            None => found.push(unknown_cloud(spec, clouds, &place)),
            Some(cloud) => {
                let covered: Vec<&Cloud> = clouds
                    .iter()
                    .map(AsRef::as_ref)
                    .filter(|other| other.path.is_within(&cloud.path))
                    .collect();
                let nodes = covered.iter().map(|cloud| cloud.nodes).fold(0, u32::saturating_add);
                let most = covered.iter().map(|cloud| cloud.most).fold(0, u32::saturating_add);
                on_cloud(spec, cloud, most, &place, found);
                care::places(spec, &covered, spec.replicas.unwrap_or(nodes), &place, found);
                let one = spec.replicas.unwrap_or(nodes) == 1;
                super::mounts::mounts(
                    &spec.mounts,
                    Owner { one, noun: "service", one_key: "replicas: 1" },
                    &place,
                    found,
                );
            }
        }
        let port_list = place.key("ports");
        for (port_name, port) in &spec.ports {
            let Some(number) = port.fixed() else { continue };
            let here = port_list.key(port_name.as_str());
            if let Some((other, first)) = ports.get(&(&spec.on, number)) {
                let message =
                    format!("port {number} on the nodes of {} belongs to service `{other}`", spec.on);
                found.push(
                    Diagnostic::error("ideal/port-taken", here.path(), message)
                        .help("choose another number, or `auto` for a free one")
                        .related(first.clone(), "taken here"),
                );
            } else {
                ports.insert((&spec.on, number), (name, here.path()));
            }
        }
    }
}

fn unknown_cloud(spec: &ServiceSpec, clouds: &[Arc<Cloud>], place: &Place<'_>) -> Diagnostic {
    let wanted = spec.on.to_string();
    let paths: Vec<String> = clouds.iter().map(|cloud| cloud.path.to_string()).collect();
    // `web` for `shop.web`: the last name alone is the most common slip.
    let tail = paths.iter().find(|path| path.rsplit('.').next() == Some(&wanted));
    let help = match tail {
        Some(path) => format!("did you mean `{path}`? A cloud inside another is named with its whole path"),
        None => name_help(&wanted, paths.iter().map(String::as_str), "clouds"),
    };
    Diagnostic::error("ideal/unknown-cloud", place.key("on").path(), format!("there is no cloud `{wanted}`"))
        .help(help)
}

/// `nodes`: how many it and the clouds in it have.
fn on_cloud(spec: &ServiceSpec, cloud: &Cloud, nodes: u32, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let Some(replicas) = spec.replicas else { return };
    if replicas > 0 && nodes == 0 {
        let message = format!("cloud {} has no nodes for {replicas} replicas", cloud.path);
        let help = "give the cloud `nodes`, or run the service on one of the clouds in it";
        found.push(Diagnostic::error("ideal/no-nodes", place.key("replicas").path(), message).help(help));
    } else if replicas > nodes
        && let Some((port, number)) = spec.ports.iter().find_map(|(name, port)| Some((name, port.fixed()?)))
    {
        let message =
            format!("{replicas} replicas on {nodes} nodes cannot each have port {number} (`{port}`)");
        found.push(
            Diagnostic::error("ideal/port-taken", place.key("replicas").path(), message)
                .help("write `auto` for the port, or at most one replica for each node")
                .related(place.key("ports").key(port.as_str()).path(), "this port"),
        );
    }
}

fn service(spec: &ServiceSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    if spec.replicas.is_some_and(|replicas| replicas > MOST_NODES) {
        found.push(too_many(&place.key("replicas"), "replicas"));
    }
    match (&spec.command, &spec.image) {
        (Some(command), _) => text::argv(command, &place.key("command"), found),
        (None, Some(_)) => {}
        (None, None) => {
            let message = "this service runs nothing";
            let what = Diagnostic::error("ideal/service-runs-nothing", place.path(), message).at_key();
            found.push(what.help("write `command` for a process, or `image` for a container"));
        }
    }
    let env = place.key("env");
    for (name, value) in &spec.env {
        let here = env.key(name);
        let good =
            |(i, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
        if name.is_empty() || !name.char_indices().all(good) {
            let message = format!("{name:?} cannot name a variable of the environment");
            let help = "letters, digits and underscores, not starting with a digit";
            found.push(Diagnostic::error("ideal/bad-env-name", here.path(), message).at_key().help(help));
        }
        text::argument(value, &here, found);
    }
    if let Some(health) = &spec.health {
        self::health(health, &place.key("health"), found);
    }
    if spec.stop.grace.0 == 0 {
        let here = place.key("stop");
        found.push(zero(&here.key("grace"), "without time to stop every stop is a kill"));
    }
}

fn health(health: &Health, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let ways = [health.command.is_some(), health.http.is_some(), health.tcp.is_some()];
    let count = ways.iter().filter(|way| **way).count();
    if count != 1 {
        let message =
            if count == 0 { "this health check looks at nothing" } else { "more than one way to look" };
        let health = Diagnostic::error("ideal/health-needs-one", place.path(), message).at_key();
        found.push(health.help("write exactly one of `command`, `http` and `tcp`"));
    }
    if let Some(command) = &health.command {
        text::argv(command, &place.key("command"), found);
    }
    for (key, target) in [("http", &health.http), ("tcp", &health.tcp)] {
        let Some(target) = target else { continue };
        let here = place.key(key);
        text::argument(target, &here, found);
        let expression = text::has_expression(target);
        let (good, help) = match key {
            "http" => (target.starts_with("http://"), "write http://127.0.0.1:8080/path"),
            _ => (is_host_and_port(target), "write 127.0.0.1:5432"),
        };
        if !good && !(expression && (key == "tcp" || target.starts_with("{{"))) {
            let message = format!("this is not what a {key} check can ask");
            found.push(Diagnostic::error("ideal/bad-health-target", here.path(), message).help(help));
        }
    }
    for (key, span) in [("every", health.every), ("timeout", health.timeout)] {
        if span.0 == 0 {
            found.push(zero(&place.key(key), &format!("`{key}` of a health check cannot be nothing")));
        }
    }
    if health.retries == 0 {
        found.push(zero(&place.key("retries"), "a replica cannot be unhealthy before its first failure"));
    }
}

fn is_host_and_port(target: &str) -> bool {
    let Some((host, port)) = target.rsplit_once(':') else { return false };
    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
}
