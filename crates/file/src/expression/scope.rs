//! Which names an expression or a template may ask for, by the part of the file that it stands in.

use std::collections::BTreeMap;

use ideal_core::facts::Facts;
use ideal_core::validate::{name_help, nearest};
use serde_json::Value as Json;

use super::{Step, Trail};
use crate::tree::{Extent, Node};
use crate::yaml::{Problem, shortened};

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Decided before any node exists.
    Structure,
    /// In a resource.
    Resource,
    /// In an option that a use gives.
    Use,
    /// In the default of an option.
    Default,
    /// In a service.
    Service,
    /// In a hook.
    Hook,
}

/// What there is to be named.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) vars: Json,
    /// The mounts of each cloud, by its path.
    pub(crate) clouds: BTreeMap<String, Vec<String>>,
    /// The names under `services`.
    pub(crate) services: Vec<String>,
    /// The names under `secrets`.
    pub(crate) secrets: Vec<String>,
    /// Of the recipe in hand: its options, and whether each is a secret.
    pub(crate) options: Option<BTreeMap<String, bool>>,
    /// The service in hand, if it is one.
    pub(crate) service: Option<Service>,
    /// Whether the resource in hand is repeated for items.
    pub(crate) each: bool,
}

/// What the expressions of a service can ask for.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) ports: Vec<String>,
    /// Nothing when it is not known which cloud it runs on.
    pub(crate) mounts: Option<Vec<String>>,
}

/// All names that some expression may ask for.
const ALL: [&str; 12] = [
    "vars", "cloud", "node", "clouds", "services", "routes", "mount", "facts", "secret", "option", "item",
    "port",
];

impl Scope {
    /// The scope of a whole document, whose tree this is.
    pub(crate) fn of_document(root: &Node) -> Scope {
        let empty = || Json::Object(serde_json::Map::new());
        let vars = root.get("vars").map(Node::json).filter(Json::is_object).unwrap_or_else(empty);
        let mut clouds = BTreeMap::new();
        if let Some(top) = root.get("clouds") {
            cloud_paths(top, "", &mut clouds);
        }
        let services = keys_of(root.get("services"));
        Scope { vars, clouds, services, secrets: keys_of(root.get("secrets")), ..Scope::default() }
    }

    /// The names that may be asked for.
    fn names(&self, place: Where) -> Vec<&'static str> {
        let is_there = |name: &&&str| match (**name, place) {
            ("vars", _) => true,
            (_, Where::Structure) => false,
            ("cloud" | "node" | "clouds" | "mount", _) => true,
            ("facts" | "services" | "routes", _) => place != Where::Hook,
            ("secret", _) => !matches!(place, Where::Hook | Where::Default),
            ("option", _) => self.options.is_some() && place != Where::Default,
            ("item", _) => self.each && place == Where::Resource,
            ("port", _) => matches!(place, Where::Service),
            _ => false,
        };
        ALL.iter().filter(is_there).copied().collect()
    }

    /// What is wrong with asking for a trail. `may_show`: whether a secret may stand there.
    pub(crate) fn check(&self, trail: &Trail, place: Where, may_show: bool, at: Extent) -> Option<Problem> {
        let root = trail.root.as_str();
        let names = self.names(place);
        if !names.contains(&root) {
            return Some(self.not_here(root, &names, place, at));
        }
        let key = match trail.steps.first() {
            Some(Step::Key(key)) => Some(key.as_str()),
            _ => None,
        };
        let is_secret = match root {
            "secret" => true,
            "option" => {
                key.is_some_and(|key| self.options.as_ref().is_some_and(|all| all.get(key) == Some(&true)))
            }
            // A route has its certificate and key with it; only what is named and is neither may be seen.
            "routes" if place == Where::Service => !matches!(
                &trail.steps[..],
                [_, Step::Key(key), ..] if !matches!(key.as_str(), "key" | "certificate")
            ),
            _ => false,
        };
        if is_secret && !may_show {
            let message = "a secret cannot stand here: what is run, named or logged can be seen by others";
            let help = match place {
                Where::Service => "give it to the program in `env`, or in a file that a resource writes",
                _ => "give it to the program on `stdin`, in `env`, or in a file of mode \"0600\"",
            };
            return Some(Problem::new("ideal/secret-in-argument", at, message).help(help));
        }
        let missing = |message: String, help: String| {
            Some(Problem::new("ideal/undefined-name", at, message).help(help))
        };
        match (root, key) {
            ("vars" | "secret" | "option" | "facts", None) if trail.steps.is_empty() => {
                missing(format!("`{root}` alone is not a value"), format!("name one of it: {root}.name"))
            }
            ("secret", None) => missing(
                "which secret it is must stand here as it is".to_owned(),
                "write secret.name or secret['name']".to_owned(),
            ),
            ("secret", Some(key)) if !self.secrets.iter().any(|name| name == key) => {
                let message = format!("there is no secret `{}`", shortened(key));
                // `secret.app-db` is the difference of two names.
                let cut = self
                    .secrets
                    .iter()
                    .find(|name| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('-')));
                let near =
                    cut.map(String::as_str).or_else(|| nearest(key, self.secrets.iter().map(String::as_str)));
                let help = match near {
                    Some(near) if near.contains('-') => format!("did you mean secret['{near}']?"),
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declare it in the ideal file: secrets: {{{}: age}}", shortened(key)),
                };
                Some(Problem::new("ideal/unknown-secret", at, message).help(help))
            }
            _ if trail.may_miss => None,
            ("vars", _) => self.check_vars(trail, at),
            ("option", Some(key)) => {
                let known = self.options.as_ref()?;
                (!known.contains_key(key)).then(|| {
                    let help = name_help(key, known.keys().map(String::as_str), "options");
                    let message = format!("this recipe has no option `{}`", shortened(key));
                    Problem::new("ideal/undefined-name", at, message).help(help)
                })
            }
            ("facts", Some(key)) if !Facts::NAMES.contains(&key) => {
                let help = match nearest(key, Facts::NAMES.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("facts: {}", Facts::NAMES.join(", ")),
                };
                missing(format!("there are no facts about `{}`", shortened(key)), help)
            }
            ("clouds", Some(key)) if !self.clouds.contains_key(key) => {
                let help = name_help(key, self.clouds.keys().map(String::as_str), "clouds");
                missing(format!("there is no cloud `{}`", shortened(key)), help)
            }
            ("services", Some(key)) if !self.services.iter().any(|name| name == key) => {
                let help = name_help(key, self.services.iter().map(String::as_str), "services");
                missing(format!("there is no service `{}`", shortened(key)), help)
            }
            ("port" | "mount", Some(key)) => self.check_own(root, key, at),
            _ => None,
        }
    }

    fn not_here(&self, root: &str, names: &[&'static str], place: Where, at: Extent) -> Problem {
        let (message, help) = match (root, place) {
            ("port", _) if place != Where::Structure => (
                "only services have ports".to_owned(),
                "`port` can be used in the texts of a service".to_owned(),
            ),
            ("option", _) if place != Where::Structure && place != Where::Default => (
                "only recipes have options".to_owned(),
                "`option` can be used in the texts of a recipe; here, write the value or a variable"
                    .to_owned(),
            ),
            ("item", Where::Resource) => (
                "there is no `item` here".to_owned(),
                "it is the item of `each`: add `each:` with a list beside the resource".to_owned(),
            ),
            (root, Where::Structure) if ALL.contains(&root) => (
                format!("`{root}` is not known here: this is decided before any node exists"),
                "only `vars` can be used outside of recipes, resources, hooks and services".to_owned(),
            ),
            _ => {
                let help = match nearest(root, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if self.vars.get(root).is_some() => format!("did you mean `vars.{root}`?"),
                    None if self.options.as_ref().is_some_and(|options| options.contains_key(root)) => {
                        format!("did you mean `option.{root}`?")
                    }
                    None => format!("names that can be used here: {}", names.join(", ")),
                };
                (format!("there is no `{}` to be used in an expression", shortened(root)), help)
            }
        };
        Problem::new("ideal/undefined-name", at, message).help(help)
    }

    /// A port of the service, or a mount of the cloud that it runs on.
    fn check_own(&self, root: &str, key: &str, at: Extent) -> Option<Problem> {
        let service = self.service.as_ref()?;
        let (known, message) = match root {
            "port" => (Some(&service.ports), "this service has no port"),
            _ => (service.mounts.as_ref(), "neither this service nor the cloud that it runs on has a mount"),
        };
        let known = known?;
        if known.iter().any(|name| name == key) {
            return None;
        }
        let help = name_help(key, known.iter().map(String::as_str), &format!("{root}s"));
        let message = format!("{message} `{}`", shortened(key));
        Some(Problem::new("ideal/undefined-name", at, message).help(help))
    }

    fn check_vars(&self, trail: &Trail, at: Extent) -> Option<Problem> {
        let mut here = &self.vars;
        for step in &trail.steps {
            let next = match step {
                Step::Key(key) => here.get(key),
                Step::Index(index) if *index < 0 => return None,
                Step::Index(index) => usize::try_from(*index).map_or(Some(here), |index| here.get(index)),
                Step::Computed => return None,
            };
            let Some(next) = next else {
                let message = format!("there is no {}", shortened(&trail.to_string()));
                let mut problem = Problem::new("ideal/undefined-name", at, message);
                if let (Step::Key(key), Json::Object(known)) = (step, here) {
                    problem = problem.help(name_help(key, known.keys().map(String::as_str), "variables"));
                }
                return Some(problem);
            };
            here = next;
        }
        None
    }
}

fn cloud_paths(clouds: &Node, above: &str, paths: &mut BTreeMap<String, Vec<String>>) {
    for entry in clouds.entries() {
        let path = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        if let Some(inner) = entry.value.get("clouds") {
            cloud_paths(inner, &path, paths);
        }
        paths.insert(path, keys_of(entry.value.get("mounts")));
    }
}

pub(crate) fn keys_of(node: Option<&Node>) -> Vec<String> {
    node.map_or(&[][..], Node::entries).iter().map(|entry| entry.key.clone()).collect()
}
