//! The reference pages are what the program says, and their examples are good.
#![expect(clippy::disallowed_methods, reason = "a test reads the pages")]

use std::path::Path;

use ideal_core::id::Name;
use ideal_core::recipe::FileRef;
use ideal_file::{Sources, load, reference, render_plain};

#[test]
fn the_pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/resources");
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut old = Vec::new();
    for (name, text) in reference::pages() {
        let path = folder.join(&name);
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
            old.push(name);
        }
    }
    assert!(old.is_empty(), "not current: {old:?}; write them anew with UPDATE_GOLDEN=1");
    let pages: Vec<String> = reference::pages().into_iter().map(|(name, _)| name).collect();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(pages.contains(&name), "{name} is of no kind");
    }
}

#[test]
fn every_example_passes_the_check() {
    for (page, text) in reference::pages() {
        if page == "README.md" {
            continue;
        }
        let examples: Vec<&str> =
            text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty(), "{page} has no example");
        for example in examples {
            let item: String = example.lines().map(|line| format!("      {line}\n")).collect();
            let ideal = format!(
                "ideal: 1\nvars: {{tools_key: -----BEGIN PGP PUBLIC KEY BLOCK-----}}\nproviders: {{test: sim}}\nsecrets: {{password: age}}\nclouds:\n  shop:\n    \
                 uuid: 5f0c6f2e-0000-4000-8000-00000000000a\n    nodes: 1\n    resources:\n{item}"
            );
            let mut sources = Sources::one("ideal.yaml", ideal);
            sources.plugins.insert(Name::new("greeting").unwrap(), FileRef::default());
            let loaded = load(&sources);
            // What is of a recipe is said of in its own examples; here it has none.
            let wrong: Vec<_> = loaded
                .diagnostics
                .iter()
                .filter(|one| {
                    !["ideal/missing-recipe-file", "ideal/unknown-resource"]
                        .contains(&one.diagnostic.slug.as_str())
                })
                .collect();
            assert!(wrong.is_empty(), "{page}:\n{}", render_plain(&loaded));
        }
    }
}
