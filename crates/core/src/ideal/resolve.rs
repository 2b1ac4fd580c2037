//! From the file as written to the ideal as the planner reads it: inheritance, defaults, references.
//!
//! It never fails: it answers the best ideal it can together with all that is wrong. An ideal with an error
//! among its diagnostics must not be acted on.

mod recipes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address::CloudPath;
use crate::diagnostic::{Diagnostic, Severity};
use crate::id::Name;
use crate::ideal::document::{CloudSpec, Document, Hook, Hooks, MachineSize, MountSpec};
use crate::ideal::{Cloud, Ideal, Mount, ProviderSpec, Service};
use crate::path::{DocPath, Part, Place};
use crate::recipe::Use;
use crate::resource::{Claims, Declaration};
use crate::validate;

pub use recipes::Recipes;

/// How many inherited things (tags, resources, sixteen bytes of a hook or image) all clouds may hold together.
/// A file of 4 MiB could otherwise ask for 40,000 clouds with 40,000 inherited resources each.
const MOST_INHERITED: usize = 4_000_000;

/// The ideal of a document, with all that is wrong with it and where its values came from.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// What is wanted; to be acted on only when [`Resolved::is_good`].
    pub ideal: Ideal,
    /// All that is wrong, in the order of the document.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the values of each cloud came from, in the order of `ideal.clouds`.
    pub origins: Vec<Origins>,
}

impl Resolved {
    /// Whether nothing was found that forbids acting on it.
    pub fn is_good(&self) -> bool {
        self.diagnostics.iter().all(|d| d.severity < Severity::Error)
    }
}

/// How far down from the root a cloud lies that said something; the root's own level is 0.
pub type Level = usize;

/// Where the values of one cloud came from: the level of the cloud, of itself or above it, that said them.
/// `None`: nobody said it, the default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Of the provider.
    pub provider: Option<Level>,
    /// Of the image.
    pub image: Option<Level>,
    /// Of the size.
    pub size: Option<Level>,
    /// Of the protection.
    pub protect: Option<Level>,
    /// Of the three hooks, in the order of [`Hooks`].
    pub hooks: [Option<Level>; 3],
    /// Of each tag: the level, and which of its tags.
    pub tags: Vec<(Level, usize)>,
    /// Of each recipe: the level and which of its recipes, also of those that came with it.
    pub recipes: Vec<(Level, usize)>,
    /// Of each resource: the level, and which of its resources.
    pub resources: Vec<(Level, usize)>,
}

/// The place of the cloud at `level` on the way to `path`.
pub fn place_of(path: &CloudPath, level: Level) -> DocPath {
    let names = path.0.iter().take(level + 1);
    DocPath(names.flat_map(|name| [Part::Key("clouds".into()), Part::Key(name.to_string())]).collect())
}

/// The ideal that a document without recipes describes.
pub fn resolve(document: &Document) -> Resolved {
    resolve_with(document, &Recipes::default())
}

/// The ideal that a document describes, with the recipes that it may use.
pub fn resolve_with(document: &Document, recipes: &Recipes) -> Resolved {
    let mut diagnostics = Vec::new();
    validate::document(document, &mut diagnostics);
    recipes.check(&mut diagnostics);
    let mut providers = document.providers.clone();
    if providers.is_empty()
        && let Ok(here) = Name::new("here")
    {
        providers.insert(here, ProviderSpec::Local);
    }
    let mut walk = Walk {
        providers: &providers,
        recipes,
        clouds: Vec::new(),
        origins: Vec::new(),
        diagnostics,
        uuids: BTreeMap::new(),
        claims: Claims::default(),
        machineless: BTreeSet::new(),
        names: Vec::new(),
        inherited: 0,
        full: false,
    };
    let top = Place::ROOT.key("clouds");
    for (name, spec) in &document.clouds {
        walk.cloud(name, spec, &Heritage::default(), &top.key(name.as_str()));
    }
    let Walk { clouds, origins, mut diagnostics, .. } = walk;
    let services = services(document, &clouds);
    validate::services(document, &clouds, &mut diagnostics);
    validate::machines(document, &clouds, &mut diagnostics);
    recipes::say_once(&mut diagnostics);
    let (vars, policy) = (document.vars.clone(), document.policy.clone());
    let ideal = Ideal {
        providers,
        clouds,
        services,
        vars,
        policy,
        plugins: recipes.plugins.clone(),
        secrets: BTreeMap::new(),
    };
    Resolved { ideal, diagnostics, origins }
}

/// Services whose cloud exists; the others are among the diagnostics.
fn services(document: &Document, clouds: &[Arc<Cloud>]) -> Vec<Arc<Service>> {
    let by_path: BTreeMap<&CloudPath, &Arc<Cloud>> =
        clouds.iter().map(|cloud| (&cloud.path, cloud)).collect();
    let mut services = Vec::new();
    for (name, spec) in &document.services {
        let Some(cloud) = by_path.get(&spec.on) else { continue };
        let covered = clouds.iter().filter(|other| other.path.is_within(&cloud.path));
        let nodes = covered.clone().map(|cloud| cloud.nodes).sum();
        services.push(Arc::new(Service {
            id: Service::identity(cloud.id, spec.was.as_ref().unwrap_or(name)),
            name: name.clone(),
            cloud: cloud.id,
            clouds: covered.map(|cloud| cloud.id).collect(),
            replicas: spec.replicas.unwrap_or(nodes),
            mounts: spec.mounts.iter().map(|(name, mount)| resolved_mount(name, mount)).collect(),
            spec: spec.clone(),
        }));
    }
    services
}

/// What a cloud gets from those above it, each with the level that said it.
#[derive(Clone, Default)]
struct Heritage<'d> {
    provider: Option<(&'d Name, Level)>,
    image: Option<(&'d str, Level)>,
    size: Option<(MachineSize, Level)>,
    protect: Option<(bool, Level)>,
    hooks: [Option<(&'d Hook, Level)>; 3],
    tags: Vec<(&'d Name, (Level, usize))>,
    recipes: Vec<(Arc<Use>, (Level, usize))>,
    resources: Vec<(Arc<Declaration>, (Level, usize))>,
}

struct Walk<'d> {
    providers: &'d BTreeMap<Name, ProviderSpec>,
    recipes: &'d Recipes,
    clouds: Vec<Arc<Cloud>>,
    origins: Vec<Origins>,
    diagnostics: Vec<Diagnostic>,
    /// Who has a uuid first, by its place in `clouds`.
    uuids: BTreeMap<crate::id::CloudId, usize>,
    /// What is declared on the way down to the cloud in hand.
    claims: Claims<'d>,
    /// Where it was said already that something needs a machine.
    machineless: BTreeSet<DocPath>,
    names: Vec<Name>,
    inherited: usize,
    full: bool,
}

impl<'d> Walk<'d> {
    fn cloud(&mut self, name: &Name, spec: &'d CloudSpec, above: &Heritage<'d>, place: &Place<'_>) {
        self.names.push(name.clone());
        let level = self.names.len() - 1;
        let first = self.uuids.get(&spec.uuid).and_then(|first| self.clouds.get(*first));
        let first = first.map(|cloud| place_of(&cloud.path, cloud.path.0.len()).key("uuid"));
        if validate::uuid(spec.uuid, place, first, &mut self.diagnostics) {
            self.uuids.insert(spec.uuid, self.clouds.len());
        }
        validate::cloud(spec, place, &mut self.diagnostics);
        let mark = self.claims.mark();
        let all = self.heritage(spec, above, level, place);
        let provider = self.provider(spec, &all, place);
        let image = all.image.map(|(image, _)| image);
        let of = self.providers.get(&provider);
        let wrong = of.and_then(|of| {
            let of = (&provider, of);
            let missing = validate::no_image(spec, image, of, place);
            let size = all.size.map(|(size, _)| size);
            let wrong = missing.or_else(|| validate::unknown_image(spec, image, of, place));
            wrong.or_else(|| validate::no_serials(spec, size, of, place))
        });
        self.diagnostics.extend(wrong);
        self.check_resources(spec, &all, above, &provider);
        let hooks = all.hooks.map(|hook| hook.map(|(hook, _)| hook.clone()));
        let [launched, unmountable, haltable] = hooks;
        self.clouds.push(Arc::new(Cloud {
            id: spec.uuid,
            path: CloudPath(self.names.clone()),
            provider,
            nodes: spec.nodes.unwrap_or_default().least,
            most: spec.nodes.unwrap_or_default().most,
            image: all.image.map(|(image, _)| image.to_owned()).unwrap_or_default(),
            size: all.size.map(|(size, _)| size).unwrap_or_default(),
            tags: all.tags.iter().map(|(tag, _)| (*tag).clone()).collect(),
            protect: all.protect.is_some_and(|(protect, _)| protect),
            mounts: spec.mounts.iter().map(|(name, mount)| resolved_mount(name, mount)).collect(),
            hooks: Hooks { launched, unmountable, haltable },
            recipes: all.recipes.iter().map(|(used, _)| Arc::clone(used)).collect(),
            resources: all.resources.iter().map(|(resource, _)| Arc::clone(resource)).collect(),
        }));
        self.origins.push(Origins {
            provider: all.provider.map(|(_, level)| level),
            image: all.image.map(|(_, level)| level),
            size: all.size.map(|(_, level)| level),
            protect: all.protect.map(|(_, level)| level),
            hooks: all.hooks.map(|hook| hook.map(|(_, level)| level)),
            tags: all.tags.iter().map(|(_, origin)| *origin).collect(),
            recipes: all.recipes.iter().map(|(_, origin)| *origin).collect(),
            resources: all.resources.iter().map(|(_, origin)| *origin).collect(),
        });
        let children = place.key("clouds");
        for (name, child) in &spec.clouds {
            self.cloud(name, child, &all, &children.key(name.as_str()));
        }
        self.claims.forget(mark);
        self.names.pop();
    }

    /// What holds for this cloud and is handed on to those in it.
    fn heritage(
        &mut self,
        spec: &'d CloudSpec,
        above: &Heritage<'d>,
        level: Level,
        place: &Place<'_>,
    ) -> Heritage<'d> {
        let mut all = Heritage {
            provider: spec.provider.as_ref().map(|name| (name, level)).or(above.provider),
            image: spec.image.as_deref().map(|image| (image, level)).or(above.image),
            size: spec.size.map(|size| (size, level)).or(above.size),
            protect: spec.protect.map(|protect| (protect, level)).or(above.protect),
            ..Heritage::default()
        };
        let own = [&spec.hooks.launched, &spec.hooks.unmountable, &spec.hooks.haltable];
        for ((to, own), above) in all.hooks.iter_mut().zip(own).zip(above.hooks) {
            *to = own.as_ref().map(|hook| (hook, level)).or(above);
        }
        if !self.has_room_for(&all, above, place) {
            return all;
        }
        all.tags = above.tags.clone();
        let mut seen: std::collections::BTreeSet<&Name> = all.tags.iter().map(|(tag, _)| *tag).collect();
        for (i, tag) in spec.tags.iter().enumerate() {
            if seen.insert(tag) {
                all.tags.push((tag, (level, i)));
            }
        }
        self.uses(spec, above, level, place, &mut all);
        all.resources = above.resources.clone();
        let list = place.key("resources");
        for (i, resource) in spec.resources.iter().enumerate() {
            validate::plugin(resource, &self.recipes.plugins, &list.index(i), &mut self.diagnostics);
            if !self.claims.add(resource, &list.index(i), &mut self.diagnostics) {
                all.resources.push((Arc::new(resource.clone()), (level, i)));
            }
        }
        all
    }

    /// Whether what this cloud inherits still fits under [`MOST_INHERITED`]; says so once when it does not.
    fn has_room_for(&mut self, all: &Heritage<'d>, above: &Heritage<'d>, place: &Place<'_>) -> bool {
        let texts =
            all.hooks.iter().flatten().flat_map(|(hook, _)| &hook.run.0).map(String::len).sum::<usize>();
        let texts = texts + all.image.map_or(0, |(image, _)| image.len());
        self.inherited += above.tags.len() + above.recipes.len() + above.resources.len() + texts / 16;
        if self.inherited <= MOST_INHERITED {
            return true;
        }
        if !self.full {
            self.full = true;
            let message = "the clouds of this file inherit more than four million things together";
            let help = "name fewer tags, resources and hooks in clouds that hold many others";
            self.diagnostics
                .push(Diagnostic::error("ideal/too-large", place.path(), message).at_key().help(help));
        }
        false
    }

    fn provider(&mut self, spec: &CloudSpec, all: &Heritage<'d>, place: &Place<'_>) -> Name {
        match all.provider {
            Some((name, level)) => {
                // A name that is unknown is said once, where it stands.
                if level + 1 == self.names.len() && !self.providers.contains_key(name) {
                    self.diagnostics.push(validate::unknown_provider(
                        name,
                        self.providers,
                        &place.key("provider"),
                    ));
                }
                name.clone()
            }
            None => {
                let mut names = self.providers.keys();
                let first = names.next();
                // A cloud that only holds others needs no provider.
                if names.next().is_some() && spec.nodes.is_some_and(|nodes| nodes.most > 0) {
                    self.diagnostics.push(validate::which_provider(self.providers, place));
                }
                first.cloned().unwrap_or_else(|| self.names[0].clone())
            }
        }
    }
}

fn resolved_mount(name: &Name, spec: &MountSpec) -> Mount {
    Mount {
        name: name.clone(),
        was: spec.was.clone(),
        size: spec.size,
        at: spec.at.clone(),
        filesystem: spec.filesystem,
        keep: spec.keep,
        from: spec.from.clone(),
        backup: spec.backup.clone(),
        lost: spec.lost,
    }
}

#[cfg(test)]
mod tests;
