//! Expressions that can be evaluated when the file is read, in the tree, before its shape is looked at, so that
//! `nodes: "{{ vars.n }}"` is a number to everything after. The others are checked as far as names go and left.

use std::collections::BTreeSet;

use ideal_core::validate::MOST_PROBLEMS;
use serde_json::Value as Json;

use super::evaluate::write_text;
use super::scope::{Scope, Service, Where, keys_of};
use super::{Expression, FILTERS, MOST_OUTPUT, Piece, RenderProblem, Step, Trail, is_template, pieces};
use crate::tree::{Entry, Extent, Node, Value};
use crate::yaml::Problem;

/// What all expressions of a file together may come to: one long variable named a hundred thousand times is a
/// bomb.
const MOST_MADE: usize = 16 << 20;

/// Fields of resources whose values reach a file, a process or a plugin without being seen by others.
const SECRET_FIELDS: [&str; 7] = ["content", "line", "block", "stdin", "env", "with", "password"];

/// What part of a file a value belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Document,
    /// A mapping of clouds by name.
    Clouds,
    Cloud,
    /// The document of a recipe.
    Recipe,
    /// A mapping of options by name, and one of them.
    Options,
    Option,
    Service,
    /// Files of a service, and who asks its registry: parts of them may be a secret.
    Kept,
    /// The mounts of a cloud, one of them, and what is said of its backups.
    Mounts,
    Mount,
    Backup,
    /// A list of resources, and each of them.
    Resources,
    /// What stands under the name of a kind.
    Spec,
    /// Evaluated now; sees `vars`.
    Structure,
    /// Evaluated where it applies; sees more.
    Late(Where),
    /// The same, where a secret may stand.
    Open(Where),
    /// Holds no expressions.
    Plain,
    /// Words for people: what looks like an expression in them is one for the reader.
    Prose,
}

impl Zone {
    fn under(self, key: &str) -> Zone {
        match (self, key) {
            (Zone::Document, "vars" | "include" | "secrets") => Zone::Plain,
            (Zone::Document | Zone::Cloud, "clouds") => Zone::Clouds,
            (Zone::Cloud | Zone::Recipe, "resources") => Zone::Resources,
            (Zone::Cloud | Zone::Recipe, "recipes") => Zone::Open(Where::Use),
            (Zone::Cloud, "hooks") => Zone::Late(Where::Hook),
            (Zone::Cloud, "mounts") => Zone::Mounts,
            (Zone::Mounts, _) => Zone::Mount,
            (Zone::Mount, "backup") => Zone::Backup,
            (Zone::Backup, "before" | "after") => Zone::Late(Where::Hook),
            (Zone::Mount | Zone::Backup, _) => Zone::Structure,
            (Zone::Clouds, _) => Zone::Cloud,
            (Zone::Document | Zone::Cloud, _) => Zone::Structure,
            (Zone::Recipe, "options") => Zone::Options,
            (Zone::Options, _) => Zone::Option,
            (Zone::Option, "default") => Zone::Late(Where::Default),
            (Zone::Recipe | Zone::Option, "about") => Zone::Prose,
            (Zone::Recipe | Zone::Option, _) => Zone::Plain,
            (Zone::Service, "route") => Zone::Structure,
            (Zone::Service, "env") => Zone::Open(Where::Service),
            (Zone::Service, "files" | "registry") => Zone::Kept,
            (Zone::Kept, "content" | "password") => Zone::Open(Where::Service),
            (Zone::Kept, _) => Zone::Late(Where::Service),
            (Zone::Service, _) => Zone::Late(Where::Service),
            (Zone::Resources, "when" | "each") => Zone::Open(Where::Resource),
            (Zone::Resources, "name" | "after" | "before" | "notifies" | "tags" | "care") => {
                Zone::Late(Where::Resource)
            }
            (Zone::Resources, _) => Zone::Spec,
            (Zone::Spec, field) if SECRET_FIELDS.contains(&field) => Zone::Open(Where::Resource),
            (Zone::Spec, _) => Zone::Late(Where::Resource),
            (zone, _) => zone,
        }
    }
    /// Where an expression in it stands, and whether a secret may.
    fn place(self) -> (Where, bool) {
        match self {
            Zone::Late(place) => (place, false),
            Zone::Open(place) => (place, true),
            Zone::Resources | Zone::Spec => (Where::Resource, false),
            Zone::Service | Zone::Kept => (Where::Service, false),
            _ => (Where::Structure, false),
        }
    }
}

/// What the texts of a recipe ask for.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) beyond: ideal_core::recipe::Reads,
    pub(crate) secrets: BTreeSet<String>,
}

struct Apply<'a> {
    scope: &'a mut Scope,
    /// `{"vars": ...}`; nothing where all is left for the node.
    context: Option<Json>,
    reads: Reads,
    made: usize,
    texts: &'a dyn Fn(Extent) -> &'a str,
    problems: &'a mut Vec<Problem>,
}

/// Evaluates what can be in the whole tree of a document. `texts` gives the source text of an extent.
pub(crate) fn apply<'a>(
    root: &mut Node,
    scope: &'a mut Scope,
    texts: &'a dyn Fn(Extent) -> &'a str,
    problems: &'a mut Vec<Problem>,
) {
    let context = Json::Object([("vars".to_owned(), scope.vars.clone())].into_iter().collect());
    let reads = Reads::default();
    Apply { scope, context: Some(context), reads, made: 0, texts, problems }.node(root, Zone::Document);
}

/// Looks at the expressions of a recipe; all are left for the node.
pub(crate) fn look<'a>(
    root: &mut Node,
    scope: &'a mut Scope,
    texts: &'a dyn Fn(Extent) -> &'a str,
    problems: &'a mut Vec<Problem>,
) -> Reads {
    let mut apply = Apply { scope, context: None, reads: Reads::default(), made: 0, texts, problems };
    apply.node(root, Zone::Recipe);
    apply.reads
}

impl Apply<'_> {
    fn node(&mut self, node: &mut Node, zone: Zone) {
        match &mut node.value {
            Value::Text(_) if zone == Zone::Prose => {}
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
                let repeated = zone == Zone::Resources && entries.iter().any(|entry| entry.key == "each");
                for entry in entries {
                    if zone == Zone::Resources {
                        self.scope.each = repeated && entry.key != "each";
                    }
                    self.entry(entry, zone);
                }
            }
            _ => {}
        }
    }

    fn entry(&mut self, entry: &mut Entry, zone: Zone) {
        if zone == Zone::Document && entry.key == "services" {
            if let Value::Map(services) = &mut entry.value.value {
                for service in services {
                    let on = match service.value.get("on").map(|on| &on.value) {
                        Some(Value::Text(on)) => self.scope.clouds.get(on),
                        _ => None,
                    };
                    let ports = keys_of(service.value.get("ports"));
                    let own = keys_of(service.value.get("mounts"));
                    let mounts = on.cloned().map(|all| all.into_iter().chain(own).collect());
                    self.scope.service = Some(Service { ports, mounts });
                    self.node(&mut service.value, Zone::Service);
                }
                self.scope.service = None;
            }
            return;
        }
        let under = zone.under(&entry.key);
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
            self.problems.push(
                problem.help(
                    "this is plain data, read before anything can be evaluated; write the value itself",
                ),
            );
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
                        self.note(&trail);
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
        let Some(context) = self.context.take() else {
            drop(pieces);
            return Value::Text(text);
        };
        let outcome = self.evaluate(&pieces, &parsed, &context, at);
        self.context = Some(context);
        match outcome {
            // To be evaluated once, not twice: what came out would be taken for an expression again.
            Ok(Value::Text(made)) if is_template(&made) && zone.place().0 != Where::Structure => {
                Value::Text(text)
            }
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
        context: &Json,
        at: Extent,
    ) -> Result<Value, RenderProblem> {
        if let ([Piece::Expression(_)], [only]) = (pieces, parsed) {
            let value = only.evaluate(context)?;
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
                    let value = expression.evaluate(context)?;
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
        let (place, may_show) = zone.place();
        self.problems.extend(self.scope.check(trail, place, may_show, at));
    }

    /// What a recipe asks for, so that nodes are told when it changes.
    fn note(&mut self, trail: &Trail) {
        match (trail.root.as_str(), trail.steps.first()) {
            ("secret", Some(Step::Key(name))) => _ = self.reads.secrets.insert(name.clone()),
            (root, _) => self.reads.beyond.note(root),
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
