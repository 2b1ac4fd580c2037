//! From what is wanted as text to what is wanted of this node: loops and conditions decided, expressions and
//! templates rendered, what belongs together found.

use std::collections::BTreeMap;
use std::path::Path;

use ideal_core::recipe::{FileRef, Use};
use ideal_core::resource::declaration::Care;
use ideal_core::resource::order::{self, Graph, Thing};
use ideal_core::resource::{Declaration, Resource, Standing, references};
use ideal_file::expression::{RenderProblem, evaluate, is_template, render_fields, render_json};
use ideal_file::template::render_template;
use serde_json::{Map, Value, json};

/// A content that was given with the slice, as a prepared spec names it: hash and size.
const GIVEN: &str = "given:";

/// The hash and size of a content that a prepared spec names.
pub fn given(source: &str) -> Option<(&str, u64)> {
    let (hash, size) = source.strip_prefix(GIVEN)?.split_once(':')?;
    Some((hash, size.parse().ok()?))
}

/// One resource of this node.
#[derive(Clone, Debug)]
pub struct Item {
    /// What people call it. Two recipes may each have one of the same name.
    pub label: String,
    /// What tells it from all others of this node, also in the next life of the agent.
    pub id: String,
    /// The recipe that it came by.
    pub recipe: Option<String>,
    /// What is wanted; or how it stands already, and why.
    pub wanted: Result<Resource, (Standing, String)>,
    /// What is done when it is found wrong later.
    pub care: Care,
    /// Labels for selecting.
    pub tags: Vec<String>,
    /// Places in the list of who is told when it was changed.
    pub notifies: Vec<usize>,
    /// Places of what is changed only while this unit is stopped.
    pub while_stopped: Vec<usize>,
    /// Whether its text holds a secret, or is made of one: then no text of it is shown.
    pub secret: bool,
}

/// What stands for a secret wherever it would show.
const VEIL: &str = "***";
/// A line of a secret of several lines is a secret of its own when it is at least this long.
const LONG_LINE: usize = 8;

impl Item {
    /// The resource, when it can be looked at.
    pub fn resource(&self) -> Option<&Resource> {
        self.wanted.as_ref().ok()
    }
    /// Whether a look and a change are a few system calls and never wait.
    pub fn is_quick(&self) -> bool {
        self.resource().is_none_or(crate::pass::is_quick)
    }
    /// The paths at which a change may mean that it is no longer right.
    pub fn paths(&self) -> Vec<String> {
        let Some(resource) = self.resource() else { return Vec::new() };
        if let Resource::Command(command) = resource {
            return command.creates.iter().cloned().collect();
        }
        let provided = resource.provides();
        let used = if matches!(resource, Resource::Line(_)) { resource.uses() } else { Vec::new() };
        let paths = provided.into_iter().chain(used).filter_map(|thing| match thing {
            Thing::Path(path) => Some(path),
            _ => None,
        });
        paths.collect()
    }
}

/// All resources of this node, in order, and what waits for what.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// The resources.
    pub items: Vec<Item>,
    /// What waits for what.
    pub graph: Graph,
    /// Values that must not be seen, the longest first.
    secrets: Vec<String>,
}

impl Prepared {
    /// The text without any secret in it.
    pub fn veiled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), VEIL);
            }
        }
        text
    }
}

/// Where the contents of files are read from.
pub trait Contents {
    /// The text of a content, for templates.
    fn text(&self, hash: &str) -> std::io::Result<String>;
}

impl Contents for Path {
    fn text(&self, hash: &str) -> std::io::Result<String> {
        std::fs::read_to_string(self.join(hash))
    }
}

struct List<'a> {
    recipe: Option<&'a Use>,
    declarations: &'a [Declaration],
    context: Result<Value, (Standing, String)>,
}

/// What is wanted of a node. `context`: the values of expressions, with `secret` among them.
pub fn prepare(
    uses: &[Use],
    resources: &[Declaration],
    context: &Value,
    contents: &dyn Contents,
) -> Prepared {
    let mut lists: Vec<List<'_>> = Vec::new();
    let mut options: Vec<Result<Value, (Standing, String)>> =
        vec![Err((Standing::Failed, String::new())); uses.len()];
    // A recipe stands before its user, but its options are those that the user gives.
    for i in (0..uses.len()).rev() {
        options[i] = options_of(uses, i, &options, context);
    }
    for (one, options) in uses.iter().zip(options) {
        let context = options.map(|options| with(context, "option", options));
        lists.push(List { recipe: Some(one), declarations: &one.resources, context });
    }
    lists.push(List { recipe: None, declarations: resources, context: Ok(context.clone()) });
    let secrets = secrets_of(context);
    let mut all =
        Assembly { items: Vec::new(), declared: Vec::new(), secrets, ids: BTreeMap::new(), contents };
    for (place, list) in lists.iter().enumerate() {
        for declaration in list.declarations {
            all.declaration(place, list, declaration);
        }
    }
    let used: Vec<Vec<usize>> = uses.iter().map(|one| one.uses.clone()).collect();
    all.connected(&used)
}

fn options_of(
    uses: &[Use],
    i: usize,
    options: &[Result<Value, (Standing, String)>],
    context: &Value,
) -> Result<Value, (Standing, String)> {
    let context = match uses[i].under {
        Some(under) if under > i && under < uses.len() => with(context, "option", options[under].clone()?),
        _ => context.clone(),
    };
    render_json(&Value::Object(uses[i].options.clone()), &context).map_err(stands)
}

fn with(context: &Value, name: &str, value: Value) -> Value {
    let mut context = match context {
        Value::Object(context) => context.clone(),
        _ => Map::new(),
    };
    context.insert(name.to_owned(), value);
    Value::Object(context)
}

fn stands(problem: RenderProblem) -> (Standing, String) {
    match problem {
        RenderProblem::Unknown { .. } => (Standing::Waiting, problem.to_string()),
        RenderProblem::Refused { why } => (Standing::Failed, why),
    }
}

/// The values that must not be seen, and the long lines of those that have several. One of a letter or two would
/// hide half of every text and protect nothing.
fn secrets_of(context: &Value) -> Vec<String> {
    let Some(Value::Object(secrets)) = context.get("secret") else { return Vec::new() };
    let mut all: Vec<String> = Vec::new();
    for secret in secrets.values().filter_map(Value::as_str).map(str::trim) {
        all.extend(Some(secret).filter(|text| text.len() > 3).map(str::to_owned));
        all.extend(secret.lines().map(str::trim).filter(|line| line.len() >= LONG_LINE).map(str::to_owned));
    }
    all.sort_by_key(|text| std::cmp::Reverse(text.len()));
    all.dedup();
    all
}

/// An item and the declaration that it came from.
struct Declared<'a> {
    list: usize,
    declaration: &'a Declaration,
}

struct Assembly<'a> {
    items: Vec<Item>,
    declared: Vec<Declared<'a>>,
    secrets: Vec<String>,
    ids: BTreeMap<String, u32>,
    contents: &'a dyn Contents,
}

fn text_of(resource: &Resource) -> String {
    serde_json::to_string(&Declaration::from(resource.clone())).unwrap_or_default()
}

impl<'a> Assembly<'a> {
    fn declaration(&mut self, place: usize, list: &List<'a>, declaration: &'a Declaration) {
        let context = match &list.context {
            Ok(context) => context,
            Err((standing, why)) => {
                return self.push(
                    place,
                    list,
                    declaration,
                    declaration.label(),
                    Err((*standing, why.clone())),
                );
            }
        };
        let Some(each) = &declaration.each else {
            let (label, wanted) = self.one(list, declaration, context);
            return self.push(place, list, declaration, label, wanted);
        };
        let items = match each {
            Value::String(text) => evaluate(text, context),
            other => render_json(other, context),
        };
        let problem = match items {
            // Who names it waits for nothing.
            Ok(Value::Array(items)) if items.is_empty() => {
                (Standing::NotHere, "there is nothing in its `each` here".to_owned())
            }
            Ok(Value::Array(items)) => {
                for item in items {
                    let (label, wanted) = self.one(list, declaration, &with(context, "item", item));
                    self.push(place, list, declaration, label, wanted);
                }
                return;
            }
            Ok(_) => (Standing::Failed, "`each` did not come to a list".to_owned()),
            Err(problem) => stands(problem),
        };
        self.push(place, list, declaration, declaration.label(), Err(problem));
    }

    fn push(
        &mut self,
        list: usize,
        of: &List<'a>,
        declaration: &'a Declaration,
        label: String,
        wanted: Result<Resource, (Standing, String)>,
    ) {
        let secret = self.is_made_of_a_secret(of, declaration, wanted.as_ref().ok());
        let wanted = wanted.and_then(|resource| match self.shows(&resource) {
            true => Err((Standing::Failed, "a secret would show in its arguments or its name".to_owned())),
            false => Ok(resource),
        });
        // What it is called when it is rendered may hold a secret.
        let label = if secret { declaration.label() } else { label };
        let id = self.id(of, &label);
        self.items.push(Item {
            label,
            id,
            recipe: of.recipe.map(|recipe| recipe.recipe.to_string()),
            wanted,
            care: declaration.care,
            tags: declaration.tags.iter().map(ToString::to_string).collect(),
            notifies: Vec::new(),
            while_stopped: Vec::new(),
            secret,
        });
        self.declared.push(Declared { list, declaration });
    }

    /// Kind and key, within the recipe and the options that it came by; counted where that is not enough.
    fn id(&mut self, of: &List<'_>, label: &str) -> String {
        let mut id = match of.recipe {
            Some(recipe) => {
                let options = serde_json::to_vec(&recipe.options).unwrap_or_default();
                format!("{} {}: {label}", recipe.recipe, &blake3::hash(&options).to_hex()[..8])
            }
            None => label.to_owned(),
        };
        let count = self.ids.entry(id.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            id.push_str(&format!(" #{count}"));
        }
        id
    }

    /// Whether a text holds a secret as it is, or was made of one: a filter may have changed it beyond recognition.
    fn is_made_of_a_secret(&self, of: &List<'_>, declaration: &Declaration, made: Option<&Resource>) -> bool {
        let raw = serde_json::to_string(declaration).unwrap_or_default();
        let names_it = |text: &str| text.contains("secret.") || text.contains("secret[");
        // What a recipe that is given secrets renders from its options or its templates may be any of them.
        let given = of.recipe.is_some_and(|recipe| !recipe.secrets.is_empty())
            && (raw.contains("option") || raw.contains("\"template\""));
        names_it(&raw) || given || made.is_some_and(|made| self.holds_one(&text_of(made)))
    }
    fn holds_one(&self, text: &str) -> bool {
        // In JSON a value may be written with escapes; it is looked for as it is written there.
        let quoted = |secret: &String| serde_json::to_string(secret).unwrap_or_default();
        self.secrets.iter().any(|secret| text.contains(quoted(secret).trim_matches('"')))
    }
    /// Whether a secret would be seen by others on the machine: in the arguments of a program, or in a name.
    fn shows(&self, resource: &Resource) -> bool {
        let holds = |text: &str| self.secrets.iter().any(|secret| text.contains(secret.as_str()));
        match resource {
            Resource::Command(command) => {
                let unless = command.unless.iter().flat_map(|argv| &argv.0);
                command.argv().iter().chain(unless).any(|word| holds(word))
            }
            Resource::Line(line) => holds(&line.path),
            other => holds(&other.key()),
        }
    }

    /// One resource, and what people call it.
    fn one(
        &self,
        list: &List<'_>,
        declaration: &Declaration,
        context: &Value,
    ) -> (String, Result<Resource, (Standing, String)>) {
        let here = match &declaration.when {
            None => Ok(true),
            Some(when) => evaluate(when, context).map(|value| is_true(&value)),
        };
        let raw = declaration.label();
        match here {
            Ok(true) => {}
            Ok(false) => {
                return (raw, Err((Standing::NotHere, "its condition does not hold here".to_owned())));
            }
            Err(problem) => return (raw, Err(stands(problem))),
        }
        match self.rendered(list, declaration, context) {
            Ok(resource) => {
                let named = declaration.name.as_ref().filter(|_| declaration.each.is_none());
                (named.map_or_else(|| resource.label(), ToString::to_string), Ok(resource))
            }
            Err(problem) => (raw, Err(problem)),
        }
    }

    fn rendered(
        &self,
        list: &List<'_>,
        declaration: &Declaration,
        context: &Value,
    ) -> Result<Resource, (Standing, String)> {
        let failed = |why: String| (Standing::Failed, why);
        let resource = declaration.resource().ok_or_else(|| failed("nothing is declared".to_owned()))?;
        let mut value =
            serde_json::to_value(Declaration::from(resource)).map_err(|error| failed(error.to_string()))?;
        if is_template(&value.to_string()) {
            value = render_fields(&value, context).map_err(stands)?;
        }
        let read: Declaration = serde_json::from_value(value).map_err(|error| {
            failed(format!("rendered, it is no longer a {}: {error}", declaration.label()))
        })?;
        let mut resource = read.resource().ok_or_else(|| failed("nothing is declared".to_owned()))?;
        let files = list.recipe.map(|recipe| &recipe.files);
        match &mut resource {
            Resource::File(file) => {
                if let Some(name) = file.template.take() {
                    let text = self.template(files, &name)?;
                    file.content = Some(render_template(&name, &text, context).map_err(stands)?);
                }
                file.source =
                    file.source.take().map(|name| found(files, "files", &name).map(in_words)).transpose()?;
            }
            other => kinds_with_files(other, files)?,
        }
        let mut problems = Vec::new();
        resource.validate(&ideal_core::path::Place::ROOT, &mut problems);
        match problems.into_iter().find(|one| one.severity == ideal_core::diagnostic::Severity::Error) {
            Some(problem) => Err(failed(problem.message)),
            None => Ok(resource),
        }
    }

    fn template(
        &self,
        files: Option<&BTreeMap<String, FileRef>>,
        name: &str,
    ) -> Result<String, (Standing, String)> {
        let file = found(files, "templates", name)?;
        self.contents.text(&file.hash).map_err(|error| {
            (Standing::Failed, format!("the template {name} is not on this node: {error}; push it again"))
        })
    }

    /// Finds who is named by whom, and in which order all goes.
    fn connected(mut self, uses: &[Vec<usize>]) -> Prepared {
        let mut names: BTreeMap<(usize, String), Vec<usize>> = BTreeMap::new();
        for (i, one) in self.declared.iter().enumerate() {
            let mut called = vec![one.declaration.label(), self.items[i].label.clone()];
            called.extend(one.declaration.resource().map(|resource| resource.label()));
            called.sort();
            called.dedup();
            for name in called {
                names.entry((one.list, name)).or_default().push(i);
            }
        }
        // A list speaks of itself; a recipe also of those that it uses, the cloud's own list of all of them.
        let named = |list: usize, name: &str| -> Vec<usize> {
            let inside = names.get(&(list, name.to_owned())).cloned().unwrap_or_default();
            if !inside.is_empty() {
                return inside;
            }
            let recipe = (list < uses.len()).then_some(list);
            references::lists_seen(recipe, uses)
                .into_iter()
                .flat_map(|list| names.get(&(list, name.to_owned())).cloned().unwrap_or_default())
                .collect()
        };
        // Two that are alike are one: what is said of the second is said of the first.
        let one = self.twice();
        let count = self.items.len();
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut told: Vec<Vec<usize>> = vec![Vec::new(); count];
        for i in 0..count {
            let Declared { list, declaration } = &self.declared[i];
            let mut missing = None;
            let mut look_up = |names: &[String]| -> Vec<usize> {
                let mut found = Vec::new();
                for name in names {
                    let hits = named(*list, name);
                    if hits.is_empty() {
                        missing = Some(name.clone());
                    }
                    found.extend(hits.into_iter().map(|hit| one[hit]).filter(|hit| *hit != one[i]));
                }
                found
            };
            let own = one[i];
            after[own].extend(look_up(&declaration.after));
            for later in look_up(&declaration.before) {
                after[later].push(own);
            }
            let notified = look_up(&declaration.notifies);
            for target in &notified {
                told[*target].push(own);
            }
            let stopped = look_up(self.items[own].resource().map_or(&[][..], while_stopped));
            for target in &stopped {
                told[own].push(*target);
            }
            self.items[own].notifies.extend(notified);
            self.items[own].while_stopped.extend(stopped);
            if let Some(name) = missing {
                self.items[own].wanted =
                    Err((Standing::Failed, format!("it names `{name}`, which is not declared")));
            }
        }
        let nothing = Resource::Command(Box::default());
        let items: Vec<order::Item<'_>> = (0..count)
            .map(|i| order::Item {
                resource: self.items[i].resource().unwrap_or(&nothing),
                after: std::mem::take(&mut after[i]),
            })
            .collect();
        let mut graph = order::graph(&items);
        // Who is told goes after who tells, whether or not all went well.
        for (target, tellers) in told.into_iter().enumerate() {
            let new: Vec<usize> =
                tellers.into_iter().filter(|one| !graph.needs[target].contains(one)).collect();
            graph.follows[target].extend(new);
        }
        drop(items);
        while let Some(circle) = order::circle(&graph) {
            let names: Vec<String> = circle.iter().map(|i| self.items[*i].label.clone()).collect();
            for i in circle {
                let why = format!("these wait for each other: {}", names.join(", "));
                self.items[i].wanted = Err((Standing::Failed, why));
                graph.needs[i].clear();
                graph.follows[i].clear();
            }
        }
        order::forget_contradictions(&mut graph);
        Prepared { items: self.items, graph, secrets: self.secrets }
    }

    /// Two that are the same thing on this node: alike they are one, unlike both are wrong. Answers for each place the
    /// place of the one that stands for it.
    fn twice(&mut self) -> Vec<usize> {
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        let mut one: Vec<usize> = Vec::with_capacity(self.items.len());
        for i in 0..self.items.len() {
            one.push(i);
            let Ok(resource) = &self.items[i].wanted else { continue };
            let Some(thing) = Declaration::from(resource.clone()).claims() else { continue };
            let Some(other) = first.insert(thing.clone(), i) else { continue };
            if self.items[other].wanted == self.items[i].wanted {
                self.items[i].wanted = Err((Standing::NotHere, "it is declared before, alike".to_owned()));
                one.pop();
                one.push(other);
                first.insert(thing, other);
            } else {
                let why = format!("{thing} is wanted in two ways on this node");
                self.items[other].wanted = Err((Standing::Failed, why.clone()));
                self.items[i].wanted = Err((Standing::Failed, why));
            }
        }
        one
    }
}

/// Kinds other than `file` that name a file of the recipe.
fn kinds_with_files(
    resource: &mut Resource,
    files: Option<&BTreeMap<String, FileRef>>,
) -> Result<(), (Standing, String)> {
    let name = match resource {
        Resource::Archive(archive) => &mut archive.source,
        Resource::Repo(repo) => &mut repo.key_source,
        _ => return Ok(()),
    };
    *name = name.take().map(|name| found(files, "files", &name).map(in_words)).transpose()?;
    Ok(())
}

/// What a unit wants changed only while it is stopped.
fn while_stopped(resource: &Resource) -> &[String] {
    match resource {
        Resource::Unit(unit) => &unit.while_stopped,
        _ => &[],
    }
}

fn found<'f>(
    files: Option<&'f BTreeMap<String, FileRef>>,
    folder: &str,
    name: &str,
) -> Result<&'f FileRef, (Standing, String)> {
    files.and_then(|files| files.get(&format!("{folder}/{name}"))).ok_or_else(|| {
        (Standing::Failed, format!("there is no file `{folder}/{name}` in a recipe that it could mean"))
    })
}

fn in_words(file: &FileRef) -> String {
    format!("{GIVEN}{}:{}", file.hash, file.size)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => *value != json!({}) && !entries.is_empty(),
    }
}
