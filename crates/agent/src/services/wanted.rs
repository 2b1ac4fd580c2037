//! What a replica is to be, from the slice in force and what the node knows.

use std::collections::BTreeMap;

use ideal_core::id::Name;
use ideal_core::ideal::document::Argv;
use ideal_core::ideal::service::{Health, Registry, Rung, ServiceFile, Stop};
use ideal_core::slice::{Replica, without_names};
use serde_json::Value;

use super::process;
use crate::node::Node;
use crate::render::{RenderProblem, render};

/// What a replica is to be.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// Gone: the slice does not know it.
    Gone,
    /// Down: the node is to be quiet.
    Down,
    /// Running, once something is known that it names.
    Waiting(String),
    /// Running, but what is said of it cannot be meant.
    Wrong(String),
    /// Running.
    Up(Box<Program>),
}

/// A program, rendered.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub replica: Replica,
    /// Of a container; none: a process.
    pub image: Option<String>,
    /// The program and its arguments; none: those of the image.
    pub argv: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// What runs before each start, in this order.
    pub init: Vec<Vec<String>>,
    pub env: BTreeMap<String, String>,
    pub files: Vec<FileText>,
    pub user: Option<String>,
    pub registry: Option<Registry>,
    pub ports: BTreeMap<Name, u16>,
    pub health: Option<Health>,
    pub heal: Vec<Rung>,
    pub stop: Stop,
    /// Of what cannot change while it runs, after the version of its service. Its check and its way of stopping can.
    pub hash: String,
    /// Of the slice.
    pub slice: String,
}

impl Program {
    /// The hash of all that is wanted of its node but names.
    pub(crate) fn meant(&self) -> &str {
        without_names(&self.slice)
    }
}

/// A file that a replica finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileText {
    pub path: String,
    pub text: String,
    /// Whether nobody but its owner may read it, and no disk may hold it.
    pub private: bool,
}

/// The version of a replica that `hash` is of: see [`ideal_core::slice::version`].
pub(crate) fn version_of(hash: &str) -> Option<&str> {
    hash.split_once('-').map(|(version, _)| version)
}

/// What `name` is to be now.
pub(crate) fn wanted(node: &Node, name: &str) -> Wanted {
    let Some(held) = node.slice() else { return Wanted::Gone };
    let Some(replica) = held.slice.replicas.iter().find(|replica| replica.address() == name) else {
        return Wanted::Gone;
    };
    if held.slice.quiet {
        return Wanted::Down;
    }
    if let Some(missing) = replica.spec.mounts.keys().find(|mount| node.replica_mount(name, mount).is_none())
    {
        return Wanted::Waiting(format!("its mount {missing} is not mounted"));
    }
    if replica.spec.image.is_some()
        && let Err(why) = node.containers.there()
    {
        return Wanted::Wrong(why);
    }
    if replica.spec.image.is_none()
        && let Some(why) = process::refused(&replica.spec)
    {
        return Wanted::Wrong(why);
    }
    let context = node.context(&held.slice, Some(name));
    let ports = node.state().ports.get(name).cloned().unwrap_or_default();
    match program(replica, &context, ports, &held.hash) {
        Ok(program) => Wanted::Up(Box::new(program)),
        Err(problem @ RenderProblem::Unknown { .. }) => Wanted::Waiting(problem.to_string()),
        Err(RenderProblem::Refused { why }) => Wanted::Wrong(why),
    }
}

/// How `name` is stopped, when the slice still says so.
pub(crate) fn stop_of(node: &Node, name: &str) -> Stop {
    let stop = node.slice().and_then(|held| {
        let replica = held.slice.replicas.iter().find(|replica| replica.address() == name)?;
        Some(replica.spec.stop.clone())
    });
    stop.unwrap_or_default()
}

fn program(
    replica: &Replica,
    context: &Value,
    ports: BTreeMap<Name, u16>,
    slice: &str,
) -> Result<Program, RenderProblem> {
    let spec = &replica.spec;
    let words = |argv: &Argv| argv.0.iter().map(|word| render(word, context)).collect::<Result<Vec<_>, _>>();
    let text = |text: &Option<String>| text.as_ref().map(|text| render(text, context)).transpose();
    let image = text(&spec.image)?;
    let argv = spec.command.as_ref().map(&words).transpose()?;
    if image.is_none() && argv.is_none() {
        return Err(RenderProblem::Refused { why: "it has neither an image nor a command".to_owned() });
    }
    let entrypoint = spec.entrypoint.as_ref().map(&words).transpose()?;
    let init = spec.init.iter().map(&words).collect::<Result<Vec<_>, _>>()?;
    let mut env = BTreeMap::new();
    for (name, value) in &spec.env {
        env.insert(name.clone(), render(value, context)?);
    }
    let files = spec.files.iter().map(|file| self::file(file, context)).collect::<Result<Vec<_>, _>>()?;
    let user = text(&spec.user)?;
    let registry = match &spec.registry {
        Some(registry) => Some(Registry {
            user: render(&registry.user, context)?,
            password: render(&registry.password, context)?,
        }),
        None => None,
    };
    let health = match &spec.health {
        Some(health) => {
            let command = health.command.as_ref().map(&words).transpose()?.map(Argv);
            Some(Health { command, http: text(&health.http)?, tcp: text(&health.tcp)?, ..health.clone() })
        }
        None => None,
    };
    // A container has its ports from its making on; a process is told them in its words.
    let published = image.as_ref().map(|_| &ports);
    let texts: Vec<_> = files.iter().map(|file| (&file.path, &file.text)).collect();
    let said = (&image, &argv, &entrypoint, &init, &env, texts, &user, published);
    let said = serde_json::to_vec(&said).unwrap_or_default();
    let hash = format!("{}-{}", replica.version(), &blake3::hash(&said).to_hex()[..16]);
    Ok(Program {
        replica: replica.clone(),
        image,
        argv,
        entrypoint,
        init,
        env,
        files,
        user,
        registry,
        ports,
        health,
        heal: spec.heal.clone(),
        stop: spec.stop.clone(),
        hash,
        slice: slice.to_owned(),
    })
}

fn file(file: &ServiceFile, context: &Value) -> Result<FileText, RenderProblem> {
    let text = match (&file.content, &file.secret) {
        (Some(content), _) => content.clone(),
        (None, Some(secret)) => format!("{{{{ secret['{secret}'] }}}}"),
        (None, None) => String::new(),
    };
    // What only may hold a secret is kept like one; routes have their keys with them.
    let private = file.secret.is_some() || ["secret", "routes"].iter().any(|word| text.contains(word));
    Ok(FileText { path: render(&file.path, context)?, text: render(&text, context)?, private })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ideal_core::ideal::service::Port;
    use serde_json::json;

    /// A replica's program where nothing is to be rendered; ports without a number are 4000.
    pub(crate) fn program(replica: Replica) -> Program {
        let number = |port: &Port| port.fixed().unwrap_or(4000);
        let ports = replica.spec.ports.iter().map(|(name, port)| (name.clone(), number(port))).collect();
        super::program(&replica, &json!({}), ports, "slice").unwrap()
    }

    fn hash(spec: Value, context: Value) -> String {
        let spec = serde_json::from_value(spec).unwrap();
        let replica = Replica { service: Name::new("pub").unwrap(), index: 0, spec, again: 0 };
        super::program(&replica, &context, BTreeMap::new(), "slice").unwrap().hash
    }

    #[test]
    fn what_cannot_change_while_it_runs_is_in_its_hash() {
        let spec = |key: &str, value: Value| {
            let mut spec = json!({"on": "shop", "image": "a", "env": {"A": "{{ vars.a }}"}});
            spec[key] = value;
            spec
        };
        let context = json!({"vars": {"a": 1}});
        let first = hash(spec("image", json!("a")), context.clone());
        for (key, value) in [
            ("image", json!("b")),
            ("command", json!(["x"])),
            ("memory", json!("1GiB")),
            ("files", json!([{"path": "/a", "content": "b"}])),
            ("user", json!("7")),
        ] {
            assert_ne!(hash(spec(key, value), context.clone()), first, "{key}");
        }
        assert_ne!(hash(spec("image", json!("a")), json!({"vars": {"a": 2}})), first, "what is rendered");
        for (key, value) in [
            ("health", json!({"tcp": "127.0.0.1:1"})),
            ("stop", json!({"grace": "1s"})),
            ("heal", json!(["ask"])),
            ("replicas", json!(7)),
        ] {
            assert_eq!(hash(spec(key, value), context.clone()), first, "{key}");
        }
        let spec: ideal_core::ideal::ServiceSpec = serde_json::from_value(spec("image", json!("a"))).unwrap();
        assert_eq!(version_of(&first), Some(&*spec.version()));
    }

    #[test]
    fn a_file_with_a_secret_is_private() {
        let context = json!({"secret": {"key": "k"}, "vars": {"a": "b"}});
        let check = |value: Value| {
            let file: ServiceFile = serde_json::from_value(value).unwrap();
            let file = super::file(&file, &context).unwrap();
            (file.text, file.private)
        };
        assert_eq!(check(json!({"path": "/a", "secret": "key"})), ("k".to_owned(), true));
        assert_eq!(check(json!({"path": "/a", "content": "a={{ secret.key }}"})), ("a=k".to_owned(), true));
        assert_eq!(check(json!({"path": "/a", "content": "{{ vars.a }}"})), ("b".to_owned(), false));
    }
}
