//! What can be wrong with a recipe by itself, and with its use where nodes are no machines.

use std::collections::BTreeMap;

use super::{VERSION, nearest};
use crate::diagnostic::Diagnostic;
use crate::id::Name;
use crate::ideal::ProviderSpec;
use crate::path::{DocPath, Place};
use crate::recipe::{self, FileRef, Recipe};
use crate::resource::Declaration;

/// A recipe's own fields; what its uses of other recipes say is checked where these are known.
pub(crate) fn recipe(recipe: &Recipe, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let document = &recipe.document;
    if document.recipe != VERSION {
        let message =
            format!("version {} of the recipe format is not known to this program", document.recipe);
        let help = "write `recipe: 1`; if the recipe is newer, use a newer `ideal`";
        found.push(Diagnostic::error("ideal/version", place.key("recipe").path(), message).help(help));
    }
    recipe::declared(document, place, found);
    let list = place.key("resources");
    for (i, declaration) in document.resources.iter().enumerate() {
        let item = list.index(i);
        declaration.validate(&item, found);
        recipe_file(declaration, Some(recipe), &item, found);
    }
}

/// The files of its recipe that a declaration names: kind, field, folder and name.
fn named_files(declaration: &Declaration) -> Vec<(&'static str, &'static str, &'static str, &str)> {
    let file = declaration.file.as_ref();
    let fields = [
        ("file", "template", "templates", file.and_then(|file| file.template.as_deref())),
        ("file", "source", "files", file.and_then(|file| file.source.as_deref())),
        (
            "archive",
            "source",
            "files",
            declaration.archive.as_ref().and_then(|archive| archive.source.as_deref()),
        ),
        (
            "repo",
            "key_source",
            "files",
            declaration.repo.as_ref().and_then(|repo| repo.key_source.as_deref()),
        ),
    ];
    fields.into_iter().filter_map(|(kind, field, folder, name)| Some((kind, field, folder, name?))).collect()
}

/// Whether the template or file that a declaration names is in its recipe. `of`: none for a cloud's own.
pub(crate) fn recipe_file(
    declaration: &Declaration,
    of: Option<&Recipe>,
    item: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for (kind, key, folder, name) in named_files(declaration) {
        let wanted = format!("{folder}/{name}");
        if name.contains("{{") && of.is_some() || of.is_some_and(|recipe| recipe.files.contains_key(&wanted))
        {
            continue;
        }
        let spec = item.key(kind);
        let place = spec.key(key).path();
        let missing = match of {
            None => {
                let message = format!("only a recipe has {folder}");
                let help =
                    "write the text as `content`, or move the resource into a recipe: ideal recipe new NAME";
                Diagnostic::error("ideal/missing-recipe-file", place, message).help(help)
            }
            Some(recipe) => {
                let message = format!("this recipe has no {wanted}");
                let beside =
                    recipe.files.keys().filter_map(|file| file.strip_prefix(folder)?.strip_prefix('/'));
                let help = match nearest(name, beside) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("put the file into the recipe's folder `{folder}`"),
                };
                Diagnostic::error("ideal/missing-recipe-file", place, message).help(help)
            }
        };
        found.push(missing);
    }
}

/// Whether the program of a plugin is in the project.
pub(crate) fn plugin(
    declaration: &Declaration,
    known: &BTreeMap<Name, FileRef>,
    item: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(spec) = declaration.plugin.as_ref().filter(|spec| !known.contains_key(&spec.uses)) else {
        return;
    };
    let message = format!("there is no plugin `{}`", spec.uses);
    let help = match nearest(spec.uses.as_str(), known.keys().map(Name::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!("put the program into the project's folder `plugins`: ideal plugin new {}", spec.uses)
        }
    };
    let place = item.key("plugin");
    found.push(Diagnostic::error("ideal/unknown-plugin", place.key("use").path(), message).help(help));
}

/// A kind that needs a whole machine, on a provider whose nodes are folders of this one. `by`: the recipe that
/// declares it, when the place is that of its use.
pub(crate) fn needs_machine(
    declaration: &Declaration,
    by: Option<&Name>,
    provider: (&Name, &ProviderSpec),
    item: &DocPath,
) -> Option<Diagnostic> {
    let resource = declaration.resource().filter(|resource| resource.needs_machine())?;
    let (name, ProviderSpec::Local) = provider else { return None };
    let kind = resource.kind();
    let message = match by {
        Some(recipe) => {
            format!("recipe `{recipe}` declares a `{kind}`, and nodes of `{name}` are no machines")
        }
        None => format!("a `{kind}` needs a whole machine, and nodes of `{name}` are no machines"),
    };
    let help = format!(
        "nodes of `local` are folders and processes: files, links and commands fit them, `{kind}` does not"
    );
    let place = if by.is_some() { item.clone() } else { item.key(kind) };
    let wrong = Diagnostic::error("ideal/needs-machine", place, message).help(help);
    Some(if by.is_some() { wrong } else { wrong.at_key() })
}
