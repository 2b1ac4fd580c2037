//! What can be wrong with a document whose shape is right. Each check answers diagnostics, never an error, and
//! all are run, so that a person sees every problem at once.
//!
//! Text that holds an expression (`{{ ... }}`) is known only where it applies; such text is checked as far as
//! its plain part goes.

mod machines;
mod mounts;
mod recipes;
mod services;
pub(crate) mod text;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::id::{CloudId, Name};
use crate::ideal::document::{CloudSpec, Document, Hook};
use crate::ideal::{Ec2Spec, MachineSize, ProviderSpec};
use crate::path::{DocPath, Place};

pub(crate) use machines::machines;
pub(crate) use recipes::{needs_machine, plugin, recipe, recipe_file};
pub(crate) use services::services;

/// The only version of the format so far.
const VERSION: u32 = 1;
/// More slots than this in one cloud, or replicas in one service, is a typing error: the largest clusters we
/// have seen hold some ten thousand machines.
const MOST_NODES: u32 = 100_000;

/// More problems than this nobody reads; looking for the rest would take time for nothing.
pub const MOST_PROBLEMS: usize = 500;

/// Whether enough was found.
pub(crate) fn is_enough(found: &[Diagnostic]) -> bool {
    found.len() > MOST_PROBLEMS
}

/// The nearest of some names to one that is not among them, when it is near enough to be meant.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long text is no misspelt name, and the distance costs the product of both lengths.
    if wanted.len() > 256 {
        return None;
    }
    let limit = (wanted.chars().count() / 2).clamp(1, 4);
    // Nor is a typing error worth a search through tens of thousands of generated names.
    let scored = names.into_iter().take(2000).filter(|name| name.len() <= 256 && !name.is_empty());
    let scored = scored.map(|name| (strsim::osa_distance(wanted, name), name));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// "did you mean `x`?", or the list of what there is.
pub fn name_help<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone, noun: &str) -> String {
    if let Some(name) = nearest(wanted, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let shown: Vec<&str> = names.clone().take(8).collect();
    match shown.len() {
        0 => format!("there are no {noun} in this file"),
        8 => format!("{noun} in this file: {} ...", shown.join(", ")),
        _ => format!("{noun} in this file: {}", shown.join(", ")),
    }
}

/// Checks of the document's own fields.
pub(crate) fn document(document: &Document, found: &mut Vec<Diagnostic>) {
    let root = Place::ROOT;
    if document.ideal != VERSION {
        let message = format!("version {} of the file format is not known to this program", document.ideal);
        found.push(
            Diagnostic::error("ideal/version", root.key("ideal").path(), message)
                .help("write `ideal: 1`; if the file is newer, use a newer `ideal`"),
        );
    }
    policy(document, found);
}

fn policy(document: &Document, found: &mut Vec<Diagnostic>) {
    let root = Place::ROOT;
    let place = root.key("policy");
    let policy = &document.policy;
    let mut check = |good: bool, key: &str, wanted: &str| {
        if !good {
            let message = format!("`{key}` must be {wanted}");
            found.push(Diagnostic::error("ideal/bad-policy", place.key(key).path(), message));
        }
    };
    check(policy.blast_percent <= 100, "blast_percent", "from 0 to 100");
    check(policy.patience.0 > 0, "patience", "longer than nothing");
    check(policy.node_patience.0 > 0, "node_patience", "longer than nothing");
    check((1..=1000).contains(&policy.attempts), "attempts", "from 1 to 1000");
    check((1..=1024).contains(&policy.concurrency), "concurrency", "from 1 to 1024");
}

/// Whether a uuid may identify a cloud: real, and no other cloud's. `first`: where another cloud has it.
pub(crate) fn uuid(
    id: CloudId,
    cloud: &Place<'_>,
    first: Option<DocPath>,
    found: &mut Vec<Diagnostic>,
) -> bool {
    let place = cloud.key("uuid");
    if id.0.is_nil() {
        let message = "the uuid of all zeros cannot tell this cloud from others";
        let help = "remove the line and run `ideal check --fix`, which writes a new one";
        found.push(Diagnostic::error("ideal/nil-uuid", place.path(), message).help(help));
        return false;
    }
    let Some(first) = first else { return true };
    let message = format!("the uuid {id} belongs to another cloud already");
    let help = "if this cloud is a copy, remove its `uuid` line and run `ideal check --fix`";
    let twice = Diagnostic::error("ideal/duplicate-uuid", place.path(), message);
    found.push(twice.help(help).related(first, "first used here"));
    false
}

/// Checks of one cloud's own fields.
pub(crate) fn cloud(spec: &CloudSpec, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    if spec.nodes.is_some_and(|nodes| nodes.most > MOST_NODES) {
        found.push(too_many(&place.key("nodes"), "nodes"));
    }
    let size = place.key("size");
    if spec.size.is_some_and(|size| size.cpus == Some(0)) {
        found.push(zero(&size.key("cpus"), "a machine needs at least one processor"));
    }
    if spec.size.is_some_and(|size| size.memory.is_some_and(|memory| memory.0 == 0)) {
        found.push(zero(&size.key("memory"), "a machine needs memory"));
    }
    if let Some(image) = &spec.image {
        text::argument(image, &place.key("image"), found);
        text::not_a_flag(image, &place.key("image"), "an image", found);
    }
    if is_enough(found) {
        return;
    }
    let owner = mounts::Owner {
        one: spec.nodes.is_some_and(|nodes| nodes.most == 1),
        noun: "cloud",
        one_key: "nodes: 1",
    };
    mounts::mounts(&spec.mounts, owner, place, found);
    let hooks = place.key("hooks");
    let own = [
        ("launched", &spec.hooks.launched),
        ("unmountable", &spec.hooks.unmountable),
        ("haltable", &spec.hooks.haltable),
    ];
    for (name, hook) in own {
        if let Some(hook) = hook {
            self::hook(hook, &hooks.key(name), found);
        }
    }
    let list = place.key("resources");
    for (i, resource) in spec.resources.iter().enumerate() {
        resource.validate(&list.index(i), found);
        recipe_file(resource, None, &list.index(i), found);
    }
}

fn hook(hook: &Hook, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    text::argv(&hook.run, &place.key("run"), found);
    if hook.timeout.is_some_and(|timeout| timeout.0 == 0) {
        found.push(zero(&place.key("timeout"), "a hook without time can never succeed"));
    }
}

/// A provider that is named but not declared.
pub(crate) fn unknown_provider(
    name: &Name,
    providers: &BTreeMap<Name, ProviderSpec>,
    place: &Place<'_>,
) -> Diagnostic {
    let help = name_help(name.as_str(), providers.keys().map(Name::as_str), "providers");
    Diagnostic::error("ideal/unknown-provider", place.path(), format!("there is no provider `{name}`"))
        .help(help)
}

/// Nodes on a provider that has no image of its own, and none is named.
pub(crate) fn no_image(
    spec: &CloudSpec,
    image: Option<&str>,
    (name, provider): (&Name, &ProviderSpec),
    place: &Place<'_>,
) -> Option<Diagnostic> {
    let ProviderSpec::Docker(docker) = provider else { return None };
    let wanted = spec.nodes.is_some_and(|nodes| nodes.most > 0);
    if !wanted || image.or(docker.image.as_deref()).is_some_and(|image| !image.is_empty()) {
        return None;
    }
    let message = format!("nodes of `{name}` are containers, and no image is named for them");
    let help = format!(
        "write `image: debian:12` here or in a cloud above, or `{name}: {{docker: {{image: debian:12}}}}`"
    );
    Some(Diagnostic::error("ideal/no-image", place.path(), message).at_key().help(help))
}

/// Nodes of an image that their provider has no meaning for.
pub(crate) fn unknown_image(
    spec: &CloudSpec,
    image: Option<&str>,
    (name, provider): (&Name, &ProviderSpec),
    place: &Place<'_>,
) -> Option<Diagnostic> {
    let ProviderSpec::Ec2(ec2) = provider else { return None };
    let wanted = spec.nodes.is_some_and(|nodes| nodes.most > 0);
    let image = image.filter(|image| !image.is_empty()).or(ec2.image.as_deref())?;
    if !wanted || ec2.knows_image(image) {
        return None;
    }
    let message = format!("`{image}` is no image that is known for machines of `{name}`");
    let known = Ec2Spec::IMAGES.into_iter().chain(ec2.images.keys().map(String::as_str));
    let all = known.clone().collect::<Vec<_>>().join(", ");
    let help = nearest(image, known).map(|name| format!("did you mean `{name}`?"));
    let help = help.unwrap_or_else(|| format!("known are {all}, and every `ami-…`"));
    Some(Diagnostic::error("ideal/unknown-image", place.path(), message).at_key().help(help))
}

/// Nodes with volumes on types of machines that could not find them.
pub(crate) fn no_serials(
    spec: &CloudSpec,
    size: Option<MachineSize>,
    (name, provider): (&Name, &ProviderSpec),
    place: &Place<'_>,
) -> Option<Diagnostic> {
    let ProviderSpec::Ec2(ec2) = provider else { return None };
    let wanted = spec.nodes.is_some_and(|nodes| nodes.most > 0) && !spec.mounts.is_empty();
    // A size means other types than those that the provider lists.
    if !wanted || size.is_some_and(|size| size != MachineSize::default()) {
        return None;
    }
    let old = ec2.types.iter().find(|one| !Ec2Spec::finds_volumes(one))?;
    let message = format!(
        "`{old}`, of the types of `{name}`, shows no serial numbers of volumes, by which a node finds its mounts"
    );
    let help = "list newer types with the provider, such as m6i.large, or give this cloud a `size`";
    Some(Diagnostic::error("ideal/no-serials", place.path(), message).at_key().help(help))
}

/// Several providers and a cloud that names none.
pub(crate) fn which_provider(providers: &BTreeMap<Name, ProviderSpec>, place: &Place<'_>) -> Diagnostic {
    let names: Vec<&str> = providers.keys().take(8).map(Name::as_str).collect();
    let message = "several providers are declared and this cloud names none";
    let help = format!("add `provider:` here or in a cloud above, one of: {}", names.join(", "));
    Diagnostic::error("ideal/no-provider", place.path(), message).at_key().help(help)
}

fn too_many(place: &Place<'_>, noun: &str) -> Diagnostic {
    Diagnostic::error("ideal/too-many", place.path(), format!("more than {MOST_NODES} {noun} in one place"))
        .help("if it is meant, divide them among several clouds")
}

pub(crate) fn zero(place: &Place<'_>, message: &str) -> Diagnostic {
    Diagnostic::error("ideal/zero", place.path(), message)
        .help("write a number greater than zero, or leave it out")
}
