//! The effective ideal: what holds for each cloud and service after inheritance, and where each value was said.

use std::fmt::Write;

use ideal_core::address::Address;
use ideal_core::id::Name;
use ideal_core::ideal::{Cloud, Level, Lost, Origins, Resolved, Service, ServiceSpec, place_of};
use ideal_core::path::DocPath;
use serde::Serialize;

use crate::SourceMap;

/// A cloud or service with what holds for it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// `cloud` or `service`.
    pub kind: &'static str,
    /// Its address.
    pub name: String,
    /// What holds for it.
    pub values: Vec<ShownValue>,
}

/// One value and where it was said.
#[derive(Clone, Debug, Serialize)]
pub struct ShownValue {
    /// What it is, as the file calls it.
    pub key: String,
    /// How it stands.
    pub value: String,
    /// File and line; nothing for a default.
    pub origin: Option<String>,
    /// Whether a cloud above said it.
    pub inherited: bool,
}

/// All clouds and services, or those that an address covers.
pub fn show(resolved: &Resolved, map: &SourceMap, only: Option<&Address>) -> Vec<Shown> {
    let ideal = &resolved.ideal;
    let mut all = Vec::new();
    for (cloud, origins) in ideal.clouds.iter().zip(&resolved.origins) {
        if only.is_none_or(|address| cloud.path.is_within(&address.path)) {
            all.push(Shown {
                kind: "cloud",
                name: cloud.path.to_string(),
                values: of_cloud(cloud, origins, map),
            });
        }
    }
    for service in &ideal.services {
        let wanted = |address: &Address| match (&address.path.0[..], ideal.cloud(service.cloud)) {
            ([name], _) if *name == service.name => true,
            (_, Some(cloud)) => cloud.path.is_within(&address.path),
            _ => false,
        };
        if only.is_none_or(wanted) {
            all.push(Shown {
                kind: "service",
                name: service.name.to_string(),
                values: of_service(service, map),
            });
        }
    }
    all
}

struct Values<'a> {
    map: &'a SourceMap,
    list: Vec<ShownValue>,
}

impl Values<'_> {
    fn add(&mut self, key: &str, value: impl ToString, said: Option<DocPath>, inherited: bool) {
        let origin = said.and_then(|path| self.map.locate(&path, ideal_core::diagnostic::Points::Value));
        let origin = origin.map(|spot| format!("{}:{}", self.map.source(&spot).name, spot.line));
        self.list.push(ShownValue { key: key.to_owned(), value: value.to_string(), origin, inherited });
    }
}

fn of_cloud(cloud: &Cloud, origins: &Origins, map: &SourceMap) -> Vec<ShownValue> {
    let own = cloud.path.0.len() - 1;
    let place = |level: Level| place_of(&cloud.path, level);
    let here = place(own);
    let mut values = Values { map, list: Vec::new() };
    let at = |level: Option<Level>, key: &str| level.map(|level| place(level).key(key));
    let above = |level: Option<Level>| level.is_some_and(|level| level < own);
    values.add("uuid", cloud.id, Some(here.key("uuid")), false);
    values.add("provider", &cloud.provider, at(origins.provider, "provider"), above(origins.provider));
    let nodes = map.tree.find(&here.key("nodes")).exact.then(|| here.key("nodes"));
    let count = ideal_core::ideal::Nodes { least: cloud.nodes, most: cloud.most };
    values.add("nodes", count, nodes, false);
    if !cloud.image.is_empty() {
        values.add("image", &cloud.image, at(origins.image, "image"), above(origins.image));
    }
    if let Some(cpus) = cloud.size.cpus {
        values.add("size.cpus", cpus, at(origins.size, "size"), above(origins.size));
    }
    if let Some(memory) = cloud.size.memory {
        values.add("size.memory", memory, at(origins.size, "size"), above(origins.size));
    }
    values.add("protect", cloud.protect, at(origins.protect, "protect"), above(origins.protect));
    for (tag, (level, i)) in cloud.tags.iter().zip(&origins.tags) {
        values.add("tag", tag, Some(place(*level).key("tags").index(*i)), *level < own);
    }
    for mount in &cloud.mounts {
        let value = format!("{} at {}", mount.size, mount.at);
        let said = here.key("mounts").key(mount.name.as_str());
        values.add(&format!("mount {}", mount.name), value, Some(said.key("at")), false);
        if mount.lost == Lost::Newest {
            values.add(&format!("lost {}", mount.name), "newest", Some(said.key("lost")), false);
        }
        if let Some(backup) = &mount.backup {
            let value = format!("every {}, {} kept", backup.every, backup.keep);
            let said = said.key("backup").key("every");
            values.add(&format!("backup {}", mount.name), value, Some(said), false);
        }
    }
    let hooks = [
        ("launched", &cloud.hooks.launched),
        ("unmountable", &cloud.hooks.unmountable),
        ("haltable", &cloud.hooks.haltable),
    ];
    for ((name, hook), level) in hooks.into_iter().zip(origins.hooks) {
        if let Some(hook) = hook {
            let said = level.map(|level| place(level).key("hooks").key(name).key("run"));
            values.add(&format!("hook {name}"), one_line(&hook.run.0.join(" ")), said, above(level));
        }
    }
    for (used, (level, i)) in cloud.recipes.iter().zip(&origins.recipes) {
        let said = place(*level).key("recipes").index(*i);
        let name = match used.under.and_then(|user| cloud.recipes.get(user)) {
            Some(user) => format!("{}, for {}", used.recipe, user.recipe),
            None => used.recipe.to_string(),
        };
        values.add("recipe", name, Some(said), *level < own);
    }
    for (resource, (level, i)) in cloud.resources.iter().zip(&origins.resources) {
        let said = place(*level).key("resources").index(*i);
        values.add("resource", one_line(&resource.label()), Some(said), *level < own);
    }
    values.list
}

fn of_service(service: &Service, map: &SourceMap) -> Vec<ShownValue> {
    let here = DocPath::root().key("services").key(service.name.as_str());
    let spec = &service.spec;
    let mut values = Values { map, list: Vec::new() };
    let said = |key: &str| {
        let path = key.split('.').fold(here.clone(), |path, key| path.key(key));
        map.tree.find(&path).exact.then_some(path)
    };
    values.add("on", &spec.on, said("on"), false);
    values.add("replicas", service.replicas, said("replicas"), false);
    if let Some(was) = &spec.was {
        values.add("was", was, said("was"), false);
    }
    if let Some(image) = &spec.image {
        values.add("image", one_line(image), said("image"), false);
    }
    for (key, argv) in [("command", &spec.command), ("entrypoint", &spec.entrypoint)] {
        if let Some(argv) = argv {
            values.add(key, one_line(&argv.0.join(" ")), said(key), false);
        }
    }
    for (i, argv) in spec.init.iter().enumerate() {
        values.add("init", one_line(&argv.0.join(" ")), Some(here.key("init").index(i)), false);
    }
    for (i, file) in spec.files.iter().enumerate() {
        values.add("file", one_line(&file.path), Some(here.key("files").index(i)), false);
    }
    for (name, port) in &spec.ports {
        values.add(&format!("port {name}"), port.to_string(), said(&format!("ports.{name}")), false);
    }
    // Only the names: values of the environment may be secrets.
    for name in spec.env.keys() {
        values.add("env", name, Some(here.key("env").key(name)), false);
    }
    if let Some(health) = &spec.health {
        let how = match (&health.command, &health.http, &health.tcp) {
            (Some(command), ..) => command.0.join(" "),
            (_, Some(target), _) | (_, _, Some(target)) => target.clone(),
            _ => String::new(),
        };
        values.add("health", one_line(&how), said("health"), false);
        values.add("health.every", health.every, said("health.every"), false);
        values.add("health.timeout", health.timeout, said("health.timeout"), false);
        values.add("health.retries", health.retries, said("health.retries"), false);
        values.add("health.start_period", health.start_period, said("health.start_period"), false);
    }
    for mount in &service.mounts {
        let value = format!("{} at {}", mount.size, mount.at);
        let place = here.key("mounts").key(mount.name.as_str());
        values.add(&format!("mount {}", mount.name), value, Some(place.key("at")), false);
    }
    limits(spec, &said, &mut values);
    for (i, first) in spec.after.iter().enumerate() {
        values.add("after", first, Some(here.key("after").index(i)), false);
    }
    let heal: Vec<String> = spec.heal.iter().map(word).collect();
    values.add("heal", heal.join(", "), said("heal"), false);
    values.add("stop.signal", word(&spec.stop.signal), said("stop.signal"), false);
    values.add("stop.grace", spec.stop.grace, said("stop.grace"), false);
    placing(spec, &here, &said, &mut values);
    let change = &spec.change;
    values.add("change.unavailable", change.unavailable, said("change.unavailable"), false);
    values.add("change.within", change.within, said("change.within"), false);
    values.add("change.on_failure", word(&change.on_failure), said("change.on_failure"), false);
    values.list
}

/// What each replica may use and do, as far as anything is said of it.
fn limits(spec: &ServiceSpec, said: &impl Fn(&str) -> Option<DocPath>, values: &mut Values<'_>) {
    let plain = [
        ("memory", spec.memory.map(|own| own.to_string())),
        ("cpus", spec.cpus.map(|own| own.to_string())),
        ("pids", spec.pids.map(|own| own.to_string())),
        ("user", spec.user.as_ref().map(|own| one_line(own))),
        ("read_only", spec.read_only.then(|| "true".to_owned())),
        ("pull", spec.image.is_some().then(|| word(&spec.pull))),
        ("registry.user", spec.registry.as_ref().map(|own| one_line(&own.user))),
    ];
    for (key, value) in plain {
        if let Some(value) = value {
            values.add(key, value, said(key), false);
        }
    }
    let lists =
        [("capabilities.add", &spec.capabilities.add), ("capabilities.drop", &spec.capabilities.drop)];
    for (key, list) in lists {
        if !list.is_empty() {
            values.add(key, one_line(&list.join(", ")), said(key), false);
        }
    }
    if !spec.networks.is_empty() {
        values.add("networks", names(&spec.networks), said("networks"), false);
    }
}

/// Which nodes may carry it, as far as anything is said of that.
fn placing(
    spec: &ServiceSpec,
    here: &DocPath,
    said: &impl Fn(&str) -> Option<DocPath>,
    values: &mut Values<'_>,
) {
    let place = &spec.place;
    for (key, list) in
        [("place.tags", &place.tags), ("place.near", &place.near), ("place.apart", &place.apart)]
    {
        if !list.is_empty() {
            values.add(key, names(list), said(key), false);
        }
    }
    if let Some(most) = place.most_per_node {
        values.add("place.most_per_node", most, said("place.most_per_node"), false);
    }
    for (index, node) in &place.pin {
        let path = here.key("place").key("pin").key(index);
        values.add(&format!("place.pin {index}"), node, Some(path), false);
    }
}

fn names(list: &[Name]) -> String {
    list.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

/// A choice as the file writes it.
fn word(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().map(crate::visible).take(72).collect();
    if text.chars().count() > 72 { line + "..." } else { line }
}

/// The same as lines of text: key, value, and where it was said.
pub fn show_text(all: &[Shown]) -> String {
    let mut out = String::new();
    for shown in all {
        _ = writeln!(out, "{} {}", shown.kind, shown.name);
        let keys = shown.values.iter().map(|value| value.key.chars().count()).max().unwrap_or(0);
        let widest = shown.values.iter().map(|value| value.value.chars().count()).max().unwrap_or(0).min(48);
        for value in &shown.values {
            let origin = match (&value.origin, value.inherited) {
                (Some(origin), true) => format!("{origin} (inherited)"),
                (Some(origin), false) => origin.clone(),
                (None, _) => "default".to_owned(),
            };
            _ = writeln!(out, "  {:keys$}  {:widest$}  {origin}", value.key, value.value);
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}
