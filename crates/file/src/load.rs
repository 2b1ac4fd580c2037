//! From texts to the ideal: the order of the checks, and what stops at which.

use ideal_core::diagnostic::{Diagnostic, Severity};
use ideal_core::ideal::{Document, Recipes, Resolved, resolve_with};
use ideal_core::path::{DocPath, Part};
use ideal_core::recipe::place_name;
use ideal_core::validate::MOST_PROBLEMS;

use crate::expression::Scope;
use crate::include::{Merged, Sources, merge};
use crate::recipes::read_recipes;
use crate::source_map::{Located, SourceMap};
use crate::tree::{Entry, Extent, Node, Value};
use crate::yaml::Problem;
use crate::{expression, read, shape};

/// What came of reading an ideal.
#[derive(Debug)]
pub struct Loaded {
    /// The file as written, when its shape is right.
    pub document: Option<Document>,
    /// The ideal, when nothing at all is wrong with it: it may be acted on.
    pub resolved: Option<Resolved>,
    /// All that is wrong, by place.
    pub diagnostics: Vec<Located>,
    /// The recipes that it uses and those of the project, as far as nothing is wrong with them.
    pub recipes: Recipes,
    /// The texts, and where in them each value stands.
    pub map: SourceMap,
}

impl Loaded {
    /// Whether it may be acted on.
    pub fn is_good(&self) -> bool {
        self.resolved.is_some()
    }
    /// How many diagnostics forbid acting on it.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|one| one.diagnostic.severity == Severity::Error).count()
    }
}

/// Reads an ideal and finds everything that is wrong with it.
pub fn load(input: &Sources) -> Loaded {
    let Merged { sources, root, problems } = merge(input);
    let mut map = SourceMap::empty();
    map.sources = sources;
    let mut diagnostics: Vec<Located> =
        problems.into_iter().map(|problem| locate(&map, problem, root.as_ref())).collect();
    let Some(mut root) = root else {
        let (recipes, diagnostics) = (Recipes::default(), sorted(diagnostics));
        return Loaded { document: None, resolved: None, diagnostics, recipes, map };
    };

    let mut problems = Vec::new();
    let mut scope = Scope::of_document(&root);
    let texts = |at: Extent| {
        let source = map.sources.get(at.source as usize);
        source.and_then(|source| source.text.get(at.range())).unwrap_or("")
    };
    expression::apply(&mut root, &mut scope, &texts, &mut problems);
    let mut found = Vec::new();
    shape::check(&root, &mut found);
    let mut read = read_recipes(&input.recipes, &root, &mut scope, &mut map);
    read.recipes.plugins.clone_from(&input.plugins);
    problems.extend(read.problems);
    found.extend(read.found);
    diagnostics.extend(problems.into_iter().map(|problem| locate(&map, problem, Some(&root))));
    // A missing uuid is mended by a command; what else is wrong is worth knowing at once.
    let only_uuids = found.iter().all(|(diagnostic, _)| diagnostic.slug == "ideal/missing-uuid");
    for (diagnostic, at) in found {
        let spot = map.spot(at);
        diagnostics.push(Located { diagnostic, spot, related: Vec::new() });
    }
    let errors = count_errors(&diagnostics);
    let readable = if errors == 0 {
        true
    } else {
        let mut next = 0;
        only_uuids && errors == diagnostics_of(&diagnostics, "ideal/missing-uuid") && {
            if let Some(clouds) = root.get_mut("clouds") {
                stand_in_uuids(clouds, &mut next);
            }
            true
        }
    };
    map.tree = root;
    let (document, resolved) =
        if readable { understand(&map, &read.recipes, &mut diagnostics) } else { (None, None) };
    let good = count_errors(&diagnostics) == 0;
    Loaded {
        document: document.filter(|_| errors == 0),
        resolved: resolved.filter(|_| good),
        diagnostics: sorted(diagnostics),
        recipes: read.recipes,
        map,
    }
}

/// Reads the document and resolves it; what is wrong goes to the diagnostics.
fn understand(
    map: &SourceMap,
    recipes: &Recipes,
    diagnostics: &mut Vec<Located>,
) -> (Option<Document>, Option<Resolved>) {
    match read::read::<Document>(&map.tree) {
        Ok(document) => {
            let mut resolved = resolve_with(&document, recipes);
            let found = std::mem::take(&mut resolved.diagnostics);
            diagnostics.extend(found.into_iter().map(|diagnostic| map.locate_diagnostic(diagnostic)));
            (Some(document), Some(resolved))
        }
        Err(error) => {
            let diagnostic = Diagnostic::error("ideal/bad-value", DocPath::root(), error.message);
            let spot = error.at.and_then(|at| map.spot(at));
            diagnostics.push(Located { diagnostic, spot, related: Vec::new() });
            (None, None)
        }
    }
}

fn harmless(text: &str) -> String {
    text.chars().map(crate::visible).collect()
}

fn count_errors(diagnostics: &[Located]) -> usize {
    diagnostics.iter().filter(|one| one.diagnostic.severity == Severity::Error).count()
}

fn diagnostics_of(diagnostics: &[Located], slug: &str) -> usize {
    diagnostics.iter().filter(|one| one.diagnostic.slug == slug).count()
}

/// Gives clouds without a uuid one that no other has, so that the rest can be checked. It never leaves here.
fn stand_in_uuids(clouds: &mut Node, next: &mut u32) {
    let Value::Map(entries) = &mut clouds.value else { return };
    for cloud in entries {
        let at = cloud.value.at;
        if cloud.value.get("uuid").is_none()
            && let Value::Map(fields) = &mut cloud.value.value
        {
            *next += 1;
            let text = format!("ffffffff-ffff-ffff-ffff-{next:012x}");
            let value = Node { at, value: Value::Text(text) };
            fields.push(Entry { key: "uuid".to_owned(), key_at: at, value });
        }
        if let Some(inner) = cloud.value.get_mut("clouds") {
            stand_in_uuids(inner, next);
        }
    }
}

/// The path of what stands at an extent, in the document or in a recipe's.
fn path_of(map: &SourceMap, at: Extent, root: Option<&Node>) -> DocPath {
    for (name, recipe) in &map.recipes {
        if recipe.at.source == at.source {
            let inner = recipe.path_at(at);
            let first = place_name(name);
            return DocPath([vec![Part::Key(first)], inner.0].concat());
        }
    }
    root.map_or_else(DocPath::root, |root| root.path_at(at))
}

fn locate(map: &SourceMap, problem: Problem, root: Option<&Node>) -> Located {
    let path = path_of(map, problem.at, root);
    let mut diagnostic = Diagnostic::error(problem.slug, path, problem.message);
    diagnostic.help = problem.help;
    if problem.warning {
        diagnostic = diagnostic.warning();
    }
    let related = problem.related.and_then(|(at, why)| Some((map.spot(at)?, why.to_owned())));
    Located { spot: map.spot(problem.at), related: related.into_iter().collect(), diagnostic }
}

/// By place, as a person reads; the order in which the checks ran says nothing to them.
fn sorted(mut diagnostics: Vec<Located>) -> Vec<Located> {
    // Messages quote the file; what would control a terminal must not come through.
    for one in &mut diagnostics {
        let diagnostic = &mut one.diagnostic;
        diagnostic.message = harmless(&diagnostic.message);
        diagnostic.help = diagnostic.help.as_deref().map(harmless);
    }
    diagnostics.sort_by_key(|one| one.spot.as_ref().map(|spot| (spot.source, spot.bytes.start)));
    if diagnostics.len() > MOST_PROBLEMS {
        diagnostics.truncate(MOST_PROBLEMS);
        let message = format!("there are more than {MOST_PROBLEMS} problems; these are the first");
        let last = Diagnostic::error("ideal/too-many-problems", DocPath::root(), message);
        let last = last.help("is this an ideal file at all?");
        let spot = diagnostics.last().and_then(|one| one.spot.clone());
        diagnostics.push(Located { diagnostic: last, spot, related: Vec::new() });
    }
    diagnostics
}
