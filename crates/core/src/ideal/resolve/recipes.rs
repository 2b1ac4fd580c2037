//! Uses of recipes: which a cloud has, in which order, with which options; and what of it cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Heritage, Level, Walk, place_of};
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::document::CloudSpec;
use crate::path::{DocPath, Part, Place};
use crate::recipe::{FileRef, Reads, Recipe, Use, UseSpec, filled_in, place_name};
use crate::resource::references::{Listed, Problem, listed, resolve};
use crate::resource::{Declaration, Resource, order};
use crate::validate::{self, nearest};

/// More uses than this on one node nobody writes; recipes that use each other twice make them.
const MOST_USES: usize = 256;

/// The recipes that a document may use.
#[derive(Clone, Debug, Default)]
pub struct Recipes {
    /// Those that were read, by name.
    pub known: BTreeMap<Name, Recipe>,
    /// The names of others that there are, for "did you mean".
    pub others: BTreeSet<Name>,
    /// The programs in the project's folder `plugins`.
    pub plugins: BTreeMap<Name, FileRef>,
}

/// What a recipe is used by: the place of the use, and the uses that led there.
struct Way<'a> {
    item: &'a Place<'a>,
    names: Vec<&'a Name>,
}

impl Recipes {
    /// What is wrong with the recipes themselves, whoever uses them.
    pub(super) fn check(&self, found: &mut Vec<Diagnostic>) {
        for (name, recipe) in &self.known {
            let root = place_name(name);
            let place = Place::ROOT.key(&root);
            validate::recipe(recipe, &place, found);
            let resources = place.key("resources");
            for (i, declaration) in recipe.document.resources.iter().enumerate() {
                validate::plugin(declaration, &self.plugins, &resources.index(i), found);
            }
            // By itself, with what it uses; its own options are said by those who use it.
            let spec = UseSpec { recipe: name.clone(), options: serde_json::Map::new() };
            let mut list = Vec::new();
            let before = found.len();
            let mut unsaid = Vec::new();
            if let Some(last) =
                self.add(&mut list, &spec, &Way { item: &place, names: Vec::new() }, &mut unsaid)
            {
                // Its own required options are not said here.
                found.extend(unsaid.into_iter().filter(|one: &Diagnostic| one.path != place.path()));
                if found.len() == before {
                    let own = |listed: &Listed<'_>| listed.list == Some(last);
                    check_references(&list, &[], &|_| None, &own, found);
                }
            } else {
                found.extend(unsaid);
            }
        }
    }

    /// Adds a use with all that it uses itself, those first; answers its place in the list. None: it cannot be.
    fn add(
        &self,
        list: &mut Vec<Arc<Use>>,
        spec: &UseSpec,
        way: &Way<'_>,
        found: &mut Vec<Diagnostic>,
    ) -> Option<usize> {
        let name = &spec.recipe;
        let at = if spec.options.is_empty() { way.item.path() } else { way.item.key(name.as_str()).path() };
        let say = |slug: &str, message: String| {
            let said = Diagnostic::error(slug, at.clone(), message);
            if spec.options.is_empty() { said } else { said.at_key() }
        };
        let Some(recipe) = self.known.get(name) else {
            let names = self.known.keys().chain(&self.others).map(Name::as_str);
            let message = format!("there is no recipe `{name}`");
            let help = match nearest(name.as_str(), names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "`ideal recipe list` shows what there is; `ideal recipe new NAME` begins one".to_owned()
                }
            };
            found.push(say("ideal/unknown-recipe", message).help(help));
            return None;
        };
        if way.names.contains(&name) {
            let names: Vec<&str> = way.names.iter().map(|name| name.as_str()).collect();
            let message = format!("recipe `{name}` uses itself: {} -> {name}", names.join(" -> "));
            found.push(say("ideal/recipe-cycle", message).help("remove one of the uses"));
            return None;
        }
        let options = filled_in(&recipe.document, spec, way.item, found);
        let said = serde_json::Value::Object(spec.options.clone()).to_string();
        // What asks for options of its user means another thing under another user.
        let same = |one: &Arc<Use>| one.recipe == *name && one.options == options;
        if (way.names.is_empty() || !said.contains("option"))
            && let Some(there) = list.iter().position(same)
        {
            return Some(there);
        }
        let root = place_name(name);
        let place = Place::ROOT.key(&root);
        let inner = place.key("recipes");
        let mut uses = Vec::new();
        let first = list.len();
        for (i, used) in recipe.document.recipes.iter().enumerate() {
            let mut names = way.names.clone();
            names.push(name);
            let item = inner.index(i);
            uses.extend(self.add(list, used, &Way { item: &item, names }, found));
        }
        let own = list.len();
        if own >= MOST_USES {
            let message = format!("more than {MOST_USES} uses of recipes on one node");
            found.push(
                say("ideal/too-large", message)
                    .help("recipes that use each other with other options each time multiply"),
            );
            return None;
        }
        for used in uses.iter().filter(|used| **used >= first) {
            Arc::make_mut(&mut list[*used]).under = Some(own);
        }
        list.push(Arc::new(Use {
            recipe: name.clone(),
            options,
            under: None,
            uses,
            resources: recipe.document.resources.clone(),
            files: recipe.files.clone(),
            reads: recipe.reads.and(Reads::of(&said)),
            secrets: recipe.secrets.clone(),
        }));
        Some(own)
    }
}

impl<'d> Walk<'d> {
    /// The recipes of a cloud: those handed down, then its own, each with all that came with it.
    pub(super) fn uses(
        &mut self,
        spec: &'d CloudSpec,
        above: &Heritage<'d>,
        level: Level,
        place: &Place<'_>,
        all: &mut Heritage<'d>,
    ) {
        all.recipes = above.recipes.clone();
        if spec.recipes.is_empty() {
            return;
        }
        let mut list: Vec<Arc<Use>> = above.recipes.iter().map(|(used, _)| Arc::clone(used)).collect();
        let items = place.key("recipes");
        for (i, used) in spec.recipes.iter().enumerate() {
            let item = items.index(i);
            let way = Way { item: &item, names: Vec::new() };
            self.recipes.add(&mut list, used, &way, &mut self.diagnostics);
            for one in list.iter().skip(all.recipes.len()).cloned().collect::<Vec<_>>() {
                self.claim(&one);
                all.recipes.push((one, (level, i)));
            }
        }
    }

    /// What a recipe declares must not contradict what holds already.
    fn claim(&mut self, used: &Use) {
        let Some(recipe) = self.recipes.known.get(&used.recipe) else { return };
        let root = place_name(&used.recipe);
        let place = Place::ROOT.key(&root);
        let list = place.key("resources");
        for (i, declaration) in recipe.document.resources.iter().enumerate() {
            self.claims.add(declaration, &list.index(i), &mut self.diagnostics);
        }
    }

    /// What the resources of a cloud say of each other, and whether they fit its provider.
    pub(super) fn check_resources(
        &mut self,
        spec: &CloudSpec,
        all: &Heritage<'_>,
        above: &Heritage<'_>,
        provider: &Name,
    ) {
        let refers =
            |one: &Declaration| !(one.after.is_empty() && one.before.is_empty() && one.notifies.is_empty());
        let news = all.recipes.len() > above.recipes.len() || all.resources.len() > above.resources.len();
        if news && all.resources.iter().any(|(one, _)| refers(one)) {
            let recipes: Vec<Arc<Use>> = all.recipes.iter().map(|(used, _)| Arc::clone(used)).collect();
            let resources: Vec<&Declaration> = all.resources.iter().map(|(one, _)| &**one).collect();
            let names = crate::address::CloudPath(self.names.clone());
            let place = |i: usize| {
                let (_, (level, own)) = all.resources.get(i)?;
                Some(place_of(&names, *level).key("resources").index(*own))
            };
            let own = |listed: &Listed<'_>| listed.list.is_none();
            check_references(&recipes, &resources, &place, &own, &mut self.diagnostics);
        }
        if spec.nodes.is_some_and(|nodes| nodes.most > 0) {
            self.check_machines(all, provider);
        }
    }

    /// Kinds that need a whole machine, where nodes are none.
    fn check_machines(&mut self, all: &Heritage<'_>, provider: &Name) {
        let Some(spec) = self.providers.get(provider) else { return };
        let names = crate::address::CloudPath(self.names.clone());
        let at = |level: Level, key: &str, i: usize| place_of(&names, level).key(key).index(i);
        let mut found = Vec::new();
        for (used, (level, i)) in &all.recipes {
            let path = at(*level, "recipes", *i);
            let mut all = used.resources.iter();
            let by = Some(&used.recipe);
            found.extend(all.find_map(|one| validate::needs_machine(one, by, (provider, spec), &path)));
        }
        for (one, (level, i)) in &all.resources {
            let path = at(*level, "resources", *i);
            found.extend(validate::needs_machine(one, None, (provider, spec), &path));
        }
        found.retain(|one| self.machineless.insert(one.path.clone()));
        self.diagnostics.extend(found);
    }
}

/// References that lead nowhere and circles, of what is `asked` about. `place_of_own`: the path of a cloud's own
/// resource by its place in `resources`.
fn check_references(
    recipes: &[Arc<Use>],
    resources: &[&Declaration],
    place_of_own: &dyn Fn(usize) -> Option<DocPath>,
    asked: &dyn Fn(&Listed<'_>) -> bool,
    found: &mut Vec<Diagnostic>,
) {
    let all = listed(recipes.iter().map(AsRef::as_ref), resources.iter().copied());
    let uses: Vec<Vec<usize>> = recipes.iter().map(|used| used.uses.clone()).collect();
    let references = resolve(&all, &uses);
    let firsts: Vec<usize> = recipes
        .iter()
        .scan(0, |next, used| {
            let first = *next;
            *next += used.resources.len();
            Some(first)
        })
        .collect();
    let after_recipes: usize = recipes.iter().map(|used| used.resources.len()).sum();
    let place = |i: usize| match all[i].list {
        Some(list) => {
            let root = DocPath::root().key(place_name(&recipes[list].recipe));
            Some(root.key("resources").index(i - firsts[list]))
        }
        None => place_of_own(i - after_recipes),
    };
    let say = |problem: &Problem| Some(problem.diagnostic(&place(problem.of)?));
    found.extend(references.problems.iter().filter(|problem| asked(&all[problem.of])).filter_map(say));

    let kinds: Vec<Option<Resource>> = all.iter().map(|one| one.declaration.resource()).collect();
    // Something that declares nothing was said already, and nothing can be said of its order.
    let Some(kinds) = kinds.into_iter().collect::<Option<Vec<Resource>>>() else { return };
    let mut items: Vec<order::Item<'_>> =
        kinds.iter().map(|resource| order::Item { resource, after: Vec::new() }).collect();
    for (of, needs) in &references.needs {
        items[*of].after.push(*needs);
    }
    let Some(round) = order::circle(&order::graph(&items)) else { return };
    let Some(first) = round.iter().find(|one| asked(&all[**one])) else { return };
    let labels: Vec<String> =
        round.iter().chain(round.first()).map(|one| format!("`{}`", all[*one].declaration.label())).collect();
    let Some(path) = place(*first) else { return };
    let message = format!("these wait for each other for ever: {}", labels.join(" after "));
    let mut wrong = Diagnostic::error("ideal/resource-cycle", path, message).help(
        "remove one `after` or `before`; a file also waits for the directory it lies in and for its owner",
    );
    for other in round.iter().filter(|other| *other != first) {
        if let Some(path) = place(*other) {
            wrong = wrong.related(path, "waits here");
        }
    }
    found.push(wrong);
}

/// Says each thing once: a recipe that many clouds use is looked at with each of them.
pub(super) fn say_once(found: &mut Vec<Diagnostic>) {
    let mut said = BTreeSet::new();
    found.retain(|one| {
        let of_recipe =
            |part: &Part| matches!(part, Part::Key(key) if crate::recipe::recipe_of_place(key).is_some());
        !one.path.0.first().is_some_and(of_recipe)
            || said.insert((one.path.clone(), one.slug.clone(), one.message.clone()))
    });
}
