//! Expressions that can be evaluated when the file is read, in the tree, before its shape is looked at, so that
//! `nodes: "{{ vars.n }}"` is a number to everything after. The others are checked as far as names go and left.

use std::collections::BTreeMap;

use ideal_core::validate::{MOST_PROBLEMS, name_help, nearest};
use serde_json::Value as Json;

use super::evaluate::write_text;
use super::{Expression, FILTERS, MOST_OUTPUT, Piece, RenderProblem, Step, Trail, is_template, pieces};
use crate::tree::{Entry, Extent, Node, Value};
use crate::yaml::{Problem, shortened};

/// What may be asked for where a resource, service or hook applies.
const LATE_NAMES: [&str; 6] = ["vars", "cloud", "node", "clouds", "port", "mount"];
/// What all expressions of a file together may come to: one long variable named a hundred thousand times is a
/// bomb.
const MOST_MADE: usize = 16 << 20;

/// What part of the file a value belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Document,
    /// A mapping of clouds by name.
    Clouds,
    Cloud,
    /// Evaluated now; sees `vars`.
    Structure,
    /// Evaluated where it applies; sees more.
    Late,
    /// Holds no expressions.
    Plain,
}

impl Zone {
    fn under(self, key: &str) -> Zone {
        match (self, key) {
            (Zone::Document, "vars" | "include") => Zone::Plain,
            (Zone::Document | Zone::Cloud, "clouds") => Zone::Clouds,
            (Zone::Document, "services") | (Zone::Cloud, "resources" | "hooks") => Zone::Late,
            (Zone::Clouds, _) => Zone::Cloud,
            (Zone::Document | Zone::Cloud, _) => Zone::Structure,
            (zone, _) => zone,
        }
    }
}

struct Apply<'a> {
    /// `{"vars": ...}`.
    context: Json,
    /// The mounts of each cloud, by its path.
    clouds: BTreeMap<String, Vec<String>>,
    /// The service in hand, if it is one.
    service: Option<Service>,
    made: usize,
    texts: &'a dyn Fn(Extent) -> &'a str,
    problems: &'a mut Vec<Problem>,
}

/// What the expressions of a service can ask for.
struct Service {
    ports: Vec<String>,
    /// Nothing when it is not known which cloud it runs on.
    mounts: Option<Vec<String>>,
}

/// Evaluates what can be in the whole tree. `texts` gives the source text of an extent.
pub(crate) fn apply<'a>(
    root: &mut Node,
    texts: &'a dyn Fn(Extent) -> &'a str,
    problems: &'a mut Vec<Problem>,
) {
    let vars = match root.get("vars") {
        Some(vars) if matches!(vars.value, Value::Map(_)) => vars.json(),
        _ => Json::Object(serde_json::Map::new()),
    };
    let mut clouds = BTreeMap::new();
    if let Some(top) = root.get("clouds") {
        cloud_paths(top, "", &mut clouds);
    }
    let context = Json::Object([("vars".to_owned(), vars)].into_iter().collect());
    let mut apply = Apply { context, clouds, service: None, made: 0, texts, problems };
    apply.node(root, Zone::Document);
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

fn keys_of(node: Option<&Node>) -> Vec<String> {
    node.map_or(&[][..], Node::entries).iter().map(|entry| entry.key.clone()).collect()
}

impl Apply<'_> {
    fn node(&mut self, node: &mut Node, zone: Zone) {
        match &mut node.value {
            Value::Text(text) => {
                if is_template(text) {
                    let text = std::mem::take(text);
                    node.value = self.text(text, node.at, zone);
                } else if text.contains("{%") && text.contains("%}") && zone != Zone::Plain {
                    self.no_statements(node.at);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item, zone)),
            Value::Map(entries) => {
                for entry in entries {
                    self.entry(entry, zone);
                }
            }
            _ => {}
        }
    }

    fn entry(&mut self, entry: &mut Entry, zone: Zone) {
        let under = zone.under(&entry.key);
        if zone == Zone::Document && entry.key == "services" {
            if let Value::Map(services) = &mut entry.value.value {
                for service in services {
                    let on = match service.value.get("on").map(|on| &on.value) {
                        Some(Value::Text(on)) => self.clouds.get(on),
                        _ => None,
                    };
                    let ports = keys_of(service.value.get("ports"));
                    self.service = Some(Service { ports, mounts: on.cloned() });
                    self.node(&mut service.value, under);
                }
                self.service = None;
            }
            return;
        }
        self.node(&mut entry.value, under);
    }

    fn no_statements(&mut self, at: Extent) {
        let message = "statements {% ... %} are not evaluated; they stay in the text as they are";
        let mut problem = Problem::new("ideal/no-statements", at, message);
        problem.warning = true;
        self.problems.push(problem.help("only {{ expressions }} are evaluated in an ideal file"));
    }

    /// What a text with an expression is to everything after.
    fn text(&mut self, text: String, at: Extent, zone: Zone) -> Value {
        if self.problems.len() > MOST_PROBLEMS {
            return Value::Broken;
        }
        let pieces = match pieces(&text) {
            Ok(pieces) => pieces,
            Err(open) => {
                let at = self.within(at, &text[open..], 0, 2);
                let problem = Problem::new(
                    "ideal/bad-expression",
                    at,
                    "this expression is not closed with }}, or there are too many",
                );
                self.problems.push(problem.help(LITERAL));
                return Value::Broken;
            }
        };
        if zone == Zone::Plain {
            let message = "expressions are not evaluated here";
            let problem = Problem::new("ideal/expression-not-here", at, message);
            self.problems.push(problem.help("`vars` and `include` are plain data; write the value itself"));
            return Value::Broken;
        }
        let before = self.problems.len();
        let mut parsed = Vec::new();
        let mut late = false;
        for piece in &pieces {
            let Piece::Expression(source) = piece else { continue };
            match Expression::parse(source) {
                Err(wrong) => {
                    let at = self.within(at, source, wrong.at, 1);
                    let help = if wrong.why.contains("filter") {
                        format!("filters: {}", FILTERS.join(", "))
                    } else {
                        LITERAL.to_owned()
                    };
                    self.problems.push(Problem::new("ideal/bad-expression", at, wrong.why).help(help));
                }
                Ok(expression) => {
                    for trail in expression.trails() {
                        late |= trail.root != "vars";
                        self.check(&trail, source, at, zone);
                    }
                    parsed.push(expression);
                }
            }
        }
        if self.problems.len() > before {
            return Value::Broken;
        }
        if text.contains("{%") && text.contains("%}") {
            self.no_statements(at);
        }
        if late {
            drop(pieces);
            return Value::Text(text);
        }
        match self.evaluate(&pieces, &parsed, at) {
            // To be evaluated once, not twice: what came out would be taken for an expression again.
            Ok(Value::Text(made)) if is_template(&made) && zone == Zone::Late => Value::Text(text),
            Ok(value) => value,
            Err(problem) => {
                let why = match problem {
                    RenderProblem::Unknown { name } => format!("{name} has no value"),
                    RenderProblem::Refused { why } => why,
                };
                self.problems.push(Problem::new("ideal/bad-expression", at, why));
                Value::Broken
            }
        }
    }

    fn evaluate(
        &mut self,
        pieces: &[Piece<'_>],
        parsed: &[Expression],
        at: Extent,
    ) -> Result<Value, RenderProblem> {
        if let ([Piece::Expression(_)], [only]) = (pieces, parsed) {
            let value = only.evaluate(&self.context)?;
            let size = size_of(&value);
            if size > MOST_OUTPUT {
                return Err(super::refused("the expression comes to more than 64 KiB"));
            }
            let value = value.into_owned();
            self.spend(size)?;
            return Ok(Node::of_json(value, at).value);
        }
        let mut out = String::new();
        let mut made = 0;
        let mut expressions = parsed.iter();
        for piece in pieces {
            match piece {
                Piece::Plain(plain) => out.push_str(plain),
                Piece::Expression(_) => {
                    let Some(expression) = expressions.next() else { continue };
                    let value = expression.evaluate(&self.context)?;
                    let before = out.len();
                    write_text(&value, expression, &mut out)?;
                    made += out.len() - before;
                    if made > MOST_OUTPUT {
                        return Err(super::refused("the expressions of this text come to more than 64 KiB"));
                    }
                }
            }
        }
        self.spend(made)?;
        Ok(Value::Text(out))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), RenderProblem> {
        self.made = self.made.saturating_add(bytes);
        if self.made > MOST_MADE {
            return Err(super::refused("the expressions of this file together come to more than 16 MiB"));
        }
        Ok(())
    }

    /// Where a stretch of an expression stands. The text may have been folded or unescaped by YAML, so the
    /// stretch is looked for in the source; when it is not there, the whole scalar is the place.
    fn within(&self, at: Extent, source: &str, offset: usize, len: usize) -> Extent {
        let raw = (self.texts)(at);
        let Some(found) = raw.find(source).filter(|_| source.is_char_boundary(offset)) else { return at };
        let start = at.start as usize + found + offset;
        let end = (start + len.max(1)).min(at.end as usize);
        Extent {
            source: at.source,
            start: u32::try_from(start).unwrap_or(at.start),
            end: u32::try_from(end).unwrap_or(at.end),
        }
    }

    fn check(&mut self, trail: &Trail, source: &str, at: Extent, zone: Zone) {
        let at = self.within(at, source, trail.at, trail.to_string().len().min(source.len() - trail.at));
        let root = trail.root.as_str();
        if root == "secret" {
            let problem =
                Problem::new("ideal/secrets-not-yet", at, "secrets are not read yet by this version");
            self.problems
                .push(problem.help("let the program read it from a file that you put on the node yourself"));
            return;
        }
        let names: &[&str] = if zone == Zone::Late { &LATE_NAMES } else { &LATE_NAMES[..1] };
        if !names.contains(&root) {
            let problem = if LATE_NAMES.contains(&root) {
                let message = format!("`{root}` is not known here: this is decided before any node exists");
                Problem::new("ideal/undefined-name", at, message)
                    .help("only `vars` can be used outside of resources, hooks and services")
            } else {
                let help = match nearest(root, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if matches!(&self.context["vars"], Json::Object(vars) if vars.contains_key(root)) => {
                        format!("did you mean `vars.{root}`?")
                    }
                    None => format!("names that can be used here: {}", names.join(", ")),
                };
                let message = format!("there is no `{}` to be used in an expression", shortened(root));
                Problem::new("ideal/undefined-name", at, message).help(help)
            };
            self.problems.push(problem);
            return;
        }
        if trail.may_miss {
            return;
        }
        let Some(Step::Key(key)) = trail.steps.first() else {
            if root == "vars" && trail.steps.is_empty() {
                let problem = Problem::new("ideal/undefined-name", at, "`vars` alone is not a value");
                self.problems.push(problem.help("name one of the variables: vars.name"));
            }
            return;
        };
        match root {
            "vars" => self.check_vars(trail, at),
            "clouds" if !self.clouds.contains_key(key) => {
                let message = format!("there is no cloud `{}`", shortened(key));
                let help = name_help(key, self.clouds.keys().map(String::as_str), "clouds");
                self.problems.push(Problem::new("ideal/undefined-name", at, message).help(help));
            }
            "port" | "mount" => self.check_own(root, key, at),
            _ => {}
        }
    }

    /// A port of the service, or a mount of the cloud that it runs on.
    fn check_own(&mut self, root: &str, key: &str, at: Extent) {
        let Some(service) = &self.service else {
            if root == "port" {
                let problem = Problem::new("ideal/undefined-name", at, "only services have ports");
                self.problems.push(problem.help("`port` can be used in the texts of a service"));
            }
            return;
        };
        let (known, message) = match root {
            "port" => (Some(&service.ports), "this service has no port"),
            _ => (service.mounts.as_ref(), "the cloud that this service runs on has no mount"),
        };
        if let Some(known) = known
            && !known.iter().any(|name| name == key)
        {
            let help = name_help(key, known.iter().map(String::as_str), &format!("{root}s"));
            let message = format!("{message} `{}`", shortened(key));
            self.problems.push(Problem::new("ideal/undefined-name", at, message).help(help));
        }
    }

    fn check_vars(&mut self, trail: &Trail, at: Extent) {
        let mut here = &self.context["vars"];
        for step in &trail.steps {
            let next = match step {
                Step::Key(key) => here.get(key),
                Step::Index(index) => usize::try_from(*index).map_or(Some(here), |index| here.get(index)),
                Step::Computed => return,
            };
            if matches!(step, Step::Index(index) if *index < 0) {
                return;
            }
            let Some(next) = next else {
                let message = format!("there is no {}", shortened(&trail.to_string()));
                let mut problem = Problem::new("ideal/undefined-name", at, message);
                if let (Step::Key(key), Json::Object(known)) = (step, here) {
                    problem = problem.help(name_help(key, known.keys().map(String::as_str), "variables"));
                }
                self.problems.push(problem);
                return;
            };
            here = next;
        }
    }
}

const LITERAL: &str = "to have two braces in the text itself, write {{ '{{' }}";

fn size_of(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(|item| 16 + size_of(item)).sum(),
        Json::Object(entries) => entries.iter().map(|(key, value)| 16 + key.len() + size_of(value)).sum(),
        _ => 8,
    }
}
