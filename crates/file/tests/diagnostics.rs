//! Every diagnostic has a file that shows it, with its picture beside it: messages are reviewed like a user
//! interface. `UPDATE_GOLDEN=1` writes the pictures anew.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its fixtures and fails loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ideal_core::id::Name;
use ideal_core::recipe::FileRef;
use ideal_file::explain::pages;
use ideal_file::{RecipeFile, RecipeSource, Sources, includes_of, load, render_plain};

/// These need more text than a fixture should have; `generated` makes it.
const GENERATED: [&str; 2] = ["ideal/too-large", "ideal/too-many-problems"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

/// A fixture and what it includes.
fn sources(file: &str) -> Sources {
    let mut sources = Sources { main: file.to_owned(), ..Sources::default() };
    let mut wanted = vec![file.to_owned()];
    while let Some(name) = wanted.pop() {
        if sources.texts.contains_key(&name) {
            continue;
        }
        if let Ok(text) = std::fs::read(folder().join(&name)) {
            wanted.extend(includes_of(&name, &text));
            sources.texts.insert(name, text);
        }
    }
    sources.recipes = recipes(&file.replace(".yaml", ".recipes"));
    sources
}

/// The recipes beside a fixture: `unknown-option.recipes/nginx/recipe.yaml`.
fn recipes(folder_name: &str) -> BTreeMap<Name, RecipeSource> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder().join(folder_name)).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut source = RecipeSource {
            name: format!("{folder_name}/{name}/recipe.yaml"),
            text: std::fs::read(path.join("recipe.yaml")).unwrap(),
            ..RecipeSource::default()
        };
        for kind in ["templates", "files"] {
            for file in std::fs::read_dir(path.join(kind)).into_iter().flatten() {
                let file = file.unwrap();
                let bytes = std::fs::read(file.path()).unwrap();
                let name = format!("{kind}/{}", file.file_name().to_str().unwrap());
                let file = RecipeFile { content: FileRef::of(&bytes), text: Some(bytes) };
                source.files.insert(name, file);
            }
        }
        all.insert(Name::new(name).unwrap(), source);
    }
    all
}

#[test]
fn every_slug_has_a_fixture_and_every_fixture_its_picture() {
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut with_fixture: BTreeSet<String> = GENERATED.iter().map(|slug| (*slug).to_owned()).collect();
    let mut said = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let slug = format!("ideal/{}", name.trim_end_matches(".yaml"));
        let loaded = load(&sources(name));
        said.extend(loaded.diagnostics.iter().map(|one| one.diagnostic.slug.clone()));
        assert!(
            loaded.diagnostics.iter().any(|one| one.diagnostic.slug == slug),
            "{name} does not show {slug}"
        );
        let picture = render_plain(&loaded);
        let golden = path.with_extension("txt");
        if update {
            std::fs::write(&golden, &picture).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != picture {
            wrong.push(format!("{name} now gives:\n{picture}"));
        }
        with_fixture.insert(slug);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let pages: BTreeSet<String> = pages().map(|page| page.slug.to_owned()).collect();
    assert_eq!(pages, with_fixture, "explained, and shown by a fixture");
    assert!(said.is_subset(&pages), "said but not explained: {:?}", said.difference(&pages));
}

#[test]
fn every_slug_of_the_source_is_explained() {
    let pages: BTreeSet<String> = pages().map(|page| page.slug.to_owned()).collect();
    let mut wanted = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src"),
    ];
    let mut found = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if path.is_dir() {
            wanted.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = std::fs::read_to_string(&path)
            && !path.parent().is_some_and(|folder| folder.ends_with("explain"))
            && !path.to_string_lossy().contains("tests")
        {
            for (at, _) in text.match_indices("\"ideal/") {
                let slug: String = text[at + 1..].chars().take_while(|c| *c != '"').collect();
                if slug.len() > "ideal/".len() {
                    found.insert(slug);
                }
            }
        }
    }
    found.remove("ideal/unknown-thing");
    let unknown: Vec<_> = found.difference(&pages).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let unsaid: Vec<_> = pages.difference(&found).collect();
    assert!(unsaid.is_empty(), "explained but never said: {unsaid:?}");
}

#[test]
fn the_generated_ones() {
    let many: String = (0..600).map(|i| format!("key{i}: x\n")).collect();
    let large = format!("ideal: 1\nvars:\n  x: {}\n", "x".repeat(2 << 20));
    for (text, slug) in [(many, "ideal/too-many-problems"), (large, "ideal/too-large")] {
        let loaded = load(&Sources::one("ideal.yaml", text));
        assert!(loaded.diagnostics.iter().any(|one| one.diagnostic.slug == slug), "{slug}");
    }
}
