//! `ideal recipe`: begin one, list them, show what one takes.

mod run;

use ideal_core::id::Name;
use ideal_core::recipe::Recipe as Read;
use ideal_core::validate::nearest;
use ideal_file::{Loaded, RecipeSource, Sources, load};
use serde_json::json;

use crate::arguments::{Global, Recipe, RecipeAction};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::project::Project;
use crate::recipes::{DOCUMENT, FOLDER};
use crate::render;
use crate::write_new::{name_of, write_new};

pub(crate) fn run(wanted: &Recipe, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &wanted.action {
        RecipeAction::New { name } => new(name, global, output),
        RecipeAction::List => list(global, output),
        RecipeAction::Show { name } => show(name, global, output),
        RecipeAction::Run(wanted) => run::run(wanted, global, output),
    }
}

fn new(name: &str, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let name = name_of(name)?;
    let project = Project::open(global.file.as_deref())?;
    let folder = project.beside(FOLDER).join(name.as_str());
    let document = SKELETON.replace("NAME", name.as_str());
    write_new(&folder.join(DOCUMENT), document.as_bytes(), 0o644)?;
    write_new(&folder.join("templates/page.html"), TEMPLATE.as_bytes(), 0o644)?;
    write_new(&folder.join("files/robots.txt"), FILE.as_bytes(), 0o644)?;
    if output.is_json() {
        output.document("recipe", json!({"name": name, "folder": folder}))?;
    } else {
        output.result(&format!("wrote {}", folder.display()));
        output.note(&format!("next: read it, add `recipes: [{name}]` to a cloud, then `ideal check`"));
    }
    Ok(Exit::Done)
}

/// A project with the recipes of which something is wanted, also those that it does not use.
fn opened(global: &Global, also: &[Name]) -> anyhow::Result<(Project, Loaded)> {
    let mut project = Project::open(global.file.as_deref())?;
    for name in also {
        if let Some(source) = project.sources.recipes.get_mut(name) {
            // What is shipped is read only when it is used; the project's own always.
            source.shipped = false;
        }
    }
    let loaded = load(&project.sources);
    Ok((project, loaded))
}

fn list(global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let project = Project::open(global.file.as_deref())?;
    let mut rows = Vec::new();
    for (name, source) in &project.sources.recipes {
        let about = read_alone(name, source).map(|recipe| recipe.document.about);
        rows.push((name, source.shipped, about));
    }
    if output.is_json() {
        let all: Vec<_> = rows
            .iter()
            .map(|(name, shipped, about)| json!({"name": name, "shipped": shipped, "about": about}))
            .collect();
        output.document("recipes", all)?;
        return Ok(Exit::Done);
    }
    let widest = rows.iter().map(|(name, ..)| name.as_str().len()).max().unwrap_or(0);
    for (name, shipped, about) in rows {
        let origin = if shipped { "shipped" } else { "project" };
        let about = about.unwrap_or_else(|| "(something is wrong with it: ideal check)".to_owned());
        output.result(&format!("{name:widest$}  {origin}  {about}", name = name.as_str()));
    }
    for name in &project.shelf.hidden {
        output.note(&format!("the project's `{name}` stands before the one that came with the program"));
    }
    Ok(Exit::Done)
}

/// A recipe by itself; nothing when something is wrong with it.
fn read_alone(name: &Name, source: &RecipeSource) -> Option<Read> {
    let mut sources = Sources::one("ideal.yaml", "ideal: 1\n");
    sources.recipes.insert(name.clone(), RecipeSource { shipped: false, ..source.clone() });
    load(&sources).recipes.known.remove(name)
}

fn show(wanted: &str, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let name = name_of(wanted)?;
    let (project, loaded) = opened(global, std::slice::from_ref(&name))?;
    let Some(source) = project.sources.recipes.get(&name) else {
        let failure = Failure::new("no-such-recipe", Exit::BadInput, format!("there is no recipe `{name}`"));
        let near = nearest(name.as_str(), project.sources.recipes.keys().map(Name::as_str));
        return Err(match near {
            Some(near) => failure.next(format!("ideal recipe show {near}")),
            None => failure.next("ideal recipe list        lists all"),
        }
        .into());
    };
    let Some(recipe) = loaded.recipes.known.get(&name) else {
        render::diagnostic::draw(&loaded, output, false);
        return Ok(Exit::BadInput);
    };
    let shipped = project.shelf.sources.get(&name).is_some_and(|source| source.shipped);
    if output.is_json() {
        let document = &recipe.document;
        let resources: Vec<String> =
            document.resources.iter().map(ideal_core::resource::Declaration::label).collect();
        output.document(
            "recipe",
            json!({
                "name": name, "about": document.about, "at": source.name, "shipped": shipped,
                "stands_before_shipped": project.shelf.hidden.contains(&name), "options": document.options,
                "recipes": document.recipes, "resources": resources, "files": recipe.files,
            }),
        )?;
        return Ok(Exit::Done);
    }
    output.result(&shown(&name, recipe, source, shipped));
    if project.shelf.hidden.contains(&name) {
        output.note(&format!("it stands before the recipe `{name}` that came with the program"));
    }
    Ok(Exit::Done)
}

fn shown(name: &Name, recipe: &Read, source: &RecipeSource, shipped: bool) -> String {
    let document = &recipe.document;
    let mut out = format!("recipe {name}\n");
    if !document.about.is_empty() {
        out += &format!("  {}\n", document.about);
    }
    out += &match shipped {
        true => "  came with the program\n".to_owned(),
        false => format!("  {}\n", source.name),
    };
    if !document.options.is_empty() {
        out += "\noptions\n";
        let widest = document.options.keys().map(String::len).max().unwrap_or(0);
        for (name, option) in &document.options {
            let holds = match (&option.default, option.required) {
                (_, true) => "required".to_owned(),
                (Some(default), _) => format!("default {}", short(&default.to_string())),
                (None, _) => String::new(),
            };
            out += &format!("  {name:widest$}  {:6}  {holds}\n", option.kind.word());
            if !option.choices.is_empty() {
                let choices: Vec<String> = option.choices.iter().map(ToString::to_string).collect();
                out += &format!("  {:widest$}          one of {}\n", "", choices.join(", "));
            }
            if !option.about.is_empty() {
                out += &format!("  {:widest$}          {}\n", "", option.about);
            }
        }
    }
    if !document.recipes.is_empty() {
        let names: Vec<&str> = document.recipes.iter().map(|used| used.recipe.as_str()).collect();
        out += &format!("\nuses {}\n", names.join(", "));
    }
    out += "\nresources\n";
    for one in &document.resources {
        let kind = one.kinds().first().copied().unwrap_or_default();
        let key = one.resource().map(|resource| resource.key()).unwrap_or_default();
        let name = one.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        out += &format!("  {name}{kind} {}\n", short(&key));
    }
    if !recipe.files.is_empty() {
        out += "\nfiles\n";
        for (name, file) in &recipe.files {
            out += &format!("  {name}  {} bytes\n", file.size);
        }
    }
    out
}

fn short(text: &str) -> String {
    let line: String = text.chars().map(ideal_file::visible).collect();
    if line.chars().count() <= 72 { line } else { line.chars().take(71).chain(['\u{2026}']).collect() }
}

const SKELETON: &str = r#"# What this recipe keeps right, and what a use of it may say. `ideal recipe show NAME` tells it to others;
# `ideal check` finds mistakes in it.
recipe: 1
about: A folder with a page of its own.

# A use says them: `recipes: [{NAME: {title: Hello}}]`. Types are text, number, flag, list, map and secret.
options:
  title: {type: text, default: Welcome, about: What the page says.}
  path: {type: text, default: /srv/NAME, about: Where the folder is.}
  links: {type: list, about: "Addresses that the page leads to: [https://example.org]."}

# Other recipes that this one uses; they come before it.
recipes: []

# Kept right in this order. A text may ask for `option`, `vars`, `node`, `cloud`, `clouds`, `mount`, `facts` and
# `secret`; it is rendered on the node.
resources:
  - directory: {path: "{{ option.path }}"}
    name: folder
  # Its content is templates/page.html.
  - file: {path: "{{ option.path }}/index.html", template: page.html}
    name: page
    after: [folder]
    notifies: [say]
  # Its content is files/robots.txt, as it is.
  - file: {path: "{{ option.path }}/robots.txt", source: robots.txt}
    after: [folder]
  # Run when the page was changed.
  - command: {run: [echo, the page was changed], notified: true}
    name: say
"#;

const TEMPLATE: &str = "<!doctype html>
<title>{{ option.title }}</title>
<h1>{{ option.title }}</h1>
<p>This is {{ node.name }}.</p>
{% for link in option.links %}
<p><a href=\"{{ link }}\">{{ link }}</a></p>
{% endfor %}
";

const FILE: &str = "User-agent: *\nDisallow:\n";
