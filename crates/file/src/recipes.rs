//! Recipes as texts: which of them an ideal uses, and what is wrong with each.
//!
//! A recipe has its own document with its own places. Its expressions and templates are looked at and left as they
//! are: they are rendered on the node.

use std::collections::{BTreeMap, BTreeSet};

use ideal_core::id::Name;
use ideal_core::ideal::Recipes;
use ideal_core::path::Place;
use ideal_core::recipe::{FileRef, Recipe, RecipeDocument, place_name};

use crate::decode::decode;
use crate::expression::{Reads, Scope, Step, Trail, Where, look};
use crate::source_map::{Source, SourceMap};
use crate::template::check_template;
use crate::tree::{Extent, Node, Value};
use crate::yaml::{self, Problem};
use crate::{read, shape};

/// The folder of a recipe, as the caller read it.
#[derive(Clone, Debug, Default)]
pub struct RecipeSource {
    /// How messages call its document: `recipes/nginx/recipe.yaml`.
    pub name: String,
    /// Its document.
    pub text: Vec<u8>,
    /// Its templates and files, as `templates/site.conf` and `files/logo.png`.
    pub files: BTreeMap<String, RecipeFile>,
    /// Whether it came with the program.
    pub shipped: bool,
}

/// A template or file of a recipe.
#[derive(Clone, Debug, Default)]
pub struct RecipeFile {
    /// Its content, by hash and size.
    pub content: FileRef,
    /// The content itself: of templates always, of files never.
    pub text: Option<Vec<u8>>,
}

/// Recipes that were read, beside the tree of the document.
pub(crate) struct ReadRecipes {
    pub(crate) recipes: Recipes,
    pub(crate) problems: Vec<Problem>,
    pub(crate) found: Vec<shape::Found>,
}

/// Reads the recipes that a document uses, those that they use, and all of the project's own. Adds their texts and
/// trees to the map.
pub(crate) fn read_recipes(
    all: &BTreeMap<Name, RecipeSource>,
    root: &Node,
    scope: &mut Scope,
    map: &mut SourceMap,
) -> ReadRecipes {
    let mut read = ReadRecipes { recipes: Recipes::default(), problems: Vec::new(), found: Vec::new() };
    let mut wanted = BTreeSet::new();
    if let Some(clouds) = root.get("clouds") {
        used_by_clouds(clouds, &mut wanted);
    }
    wanted.extend(all.iter().filter(|(_, source)| !source.shipped).map(|(name, _)| name.to_string()));
    let mut done = BTreeSet::new();
    while let Some(next) = wanted.pop_first() {
        let Some((name, source)) = Name::new(&next).ok().and_then(|name| all.get_key_value(&name)) else {
            continue;
        };
        if done.insert(next) {
            read.one(name, source, scope, map, &mut wanted);
        }
    }
    read.recipes.others =
        all.keys().filter(|name| !read.recipes.known.contains_key(*name)).cloned().collect();
    read
}

/// The names of the recipes that clouds use.
fn used_by_clouds(clouds: &Node, names: &mut BTreeSet<String>) {
    for cloud in clouds.entries() {
        used(&cloud.value, names);
        if let Some(inner) = cloud.value.get("clouds") {
            used_by_clouds(inner, names);
        }
    }
}

fn used(user: &Node, names: &mut BTreeSet<String>) {
    for item in user.get("recipes").map_or(&[][..], Node::items) {
        match &item.value {
            Value::Text(name) => _ = names.insert(name.clone()),
            _ => names.extend(item.entries().iter().map(|entry| entry.key.clone())),
        }
    }
}

impl ReadRecipes {
    fn one(
        &mut self,
        name: &Name,
        source: &RecipeSource,
        scope: &mut Scope,
        map: &mut SourceMap,
        wanted: &mut BTreeSet<String>,
    ) {
        let number = u32::try_from(map.sources.len()).unwrap_or(u32::MAX);
        let text = match decode(number, &source.text) {
            Ok(text) => text,
            Err(wrong) => {
                let (shown, problem) = *wrong;
                map.sources.push(Source::new(source.name.clone(), shown));
                self.problems.push(problem);
                return;
            }
        };
        map.sources.push(Source::new(source.name.clone(), text.to_owned()));
        let (root, problems) = yaml::parse(number, text);
        let before = self.problems.len() + self.found.len();
        self.problems.extend(problems);
        let Some(mut root) = root else { return };
        used(&root, wanted);
        scope.options = Some(options_of(&root));
        let texts = |at: Extent| text.get(at.range()).unwrap_or("");
        let mut reads = look(&mut root, scope, &texts, &mut self.problems);
        for (file, content) in source.files.iter().filter(|(file, _)| file.starts_with("templates/")) {
            self.template(file, content, source, scope, map, &mut reads);
        }
        scope.options = None;
        let place = place_name(name);
        shape::check_recipe(&root, &Place::ROOT.key(&place), &mut self.found);
        if self.problems.iter().filter(|one| !one.warning).count() + self.found.len() == before {
            match read::read::<RecipeDocument>(&root) {
                Ok(document) => {
                    let files = source
                        .files
                        .iter()
                        .map(|(name, file)| (name.clone(), file.content.clone()))
                        .collect();
                    let secrets = reads.secrets.iter().filter_map(|name| Name::new(name).ok()).collect();
                    let recipe = Recipe { document, files, reads: reads.beyond, secrets };
                    self.recipes.known.insert(name.clone(), recipe);
                }
                Err(error) => {
                    let at = error.at.unwrap_or(root.at);
                    self.problems.push(Problem::new("ideal/bad-value", at, error.message));
                }
            }
        }
        map.recipes.insert(name.to_string(), root);
    }

    /// What is wrong with a template: that it cannot be read, or asks for what there is not.
    fn template(
        &mut self,
        name: &str,
        file: &RecipeFile,
        source: &RecipeSource,
        scope: &mut Scope,
        map: &mut SourceMap,
        reads: &mut Reads,
    ) {
        let number = u32::try_from(map.sources.len()).unwrap_or(u32::MAX);
        let folder = source.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let shown = format!("{folder}/{name}");
        let text = match decode(number, file.text.as_deref().unwrap_or_default()) {
            Ok(text) => text,
            Err(wrong) => {
                let (text, problem) = *wrong;
                map.sources.push(Source::new(shown, text));
                self.problems.push(problem);
                return;
            }
        };
        let line = |line: usize| {
            let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            let end = start + text[start..].lines().next().map_or(0, str::len);
            Extent { source: number, start: yaml::narrow(start), end: yaml::narrow(end) }
        };
        // Which resource uses it, and whether that has items, is known only on the node.
        scope.each = true;
        let before = self.problems.len();
        match check_template(name, text) {
            Ok(asked) => {
                for one in asked {
                    let steps = one.key.iter().map(|key| Step::Key(key.clone())).collect();
                    let trail = Trail { root: one.root, steps, at: 0, may_miss: false };
                    match (trail.root.as_str(), &one.key) {
                        ("secret", Some(key)) => _ = reads.secrets.insert(key.clone()),
                        (root, _) => reads.beyond.note(root),
                    }
                    // A template may go through all options or variables.
                    let whole =
                        trail.steps.is_empty() && matches!(trail.root.as_str(), "vars" | "option" | "facts");
                    let problem = scope.check(&trail, Where::Resource, true, line(one.line));
                    self.problems.extend(problem.filter(|_| !whole));
                }
            }
            Err(problem) => {
                let why: String = problem.why.chars().take(160).collect();
                let help = "the language of templates is Jinja's; `ideal explain bad-template` tells more";
                let at = line(problem.line);
                self.problems.push(Problem::new("ideal/bad-template", at, why).help(help));
            }
        }
        // The text of a good template is of no more use.
        if self.problems.len() > before {
            map.sources.push(Source::new(shown, text.to_owned()));
        }
    }
}

/// The options that a document declares, as far as it can be read; of each, whether it is a secret.
fn options_of(root: &Node) -> BTreeMap<String, bool> {
    let is_secret = |option: &Node| match option.get("type").map(|kind| &kind.value) {
        Some(Value::Text(kind)) => kind == "secret",
        _ => false,
    };
    let all = root.get("options").map_or(&[][..], Node::entries);
    all.iter().map(|entry| (entry.key.clone(), is_secret(&entry.value))).collect()
}
