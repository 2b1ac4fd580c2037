//! Several files as one ideal.

use ideal_file::{Loaded, Sources, includes_of, load};

fn loaded(texts: &[(&str, &str)]) -> Loaded {
    let mut sources = Sources { main: texts[0].0.to_owned(), ..Sources::default() };
    for (name, text) in texts {
        sources.texts.insert((*name).to_owned(), text.as_bytes().to_vec());
    }
    load(&sources)
}

fn slugs(loaded: &Loaded) -> Vec<&str> {
    loaded.diagnostics.iter().map(|one| one.diagnostic.slug.as_str()).collect()
}

const SHOP: &str =
    "clouds:\n  shop:\n    uuid: 5f0c6f2e-0000-4000-8000-000000000001\n    nodes: \"{{ vars.n }}\"\n";

#[test]
fn what_the_files_say_is_joined() {
    let all = loaded(&[
        ("lab/ideal.yaml", "ideal: 1\ninclude: [more/a.yaml, more/b.yaml]\n"),
        ("lab/more/a.yaml", "ideal: 1\ninclude: [b.yaml]\nvars: {n: 2}\n"),
        ("lab/more/b.yaml", SHOP),
    ]);
    assert_eq!(slugs(&all), [""; 0]);
    assert_eq!(all.resolved.as_ref().map(|resolved| resolved.ideal.clouds[0].nodes), Some(2));
    assert_eq!(includes_of("lab/ideal.yaml", b"include: [more/a.yaml, ../x, /y]"), ["lab/more/a.yaml"]);
}

#[test]
fn problems_are_said_in_the_file_that_has_them() {
    let all = loaded(&[
        ("ideal.yaml", "ideal: 1\ninclude: [a.yaml]\n"),
        (
            "a.yaml",
            "# first\nclouds:\n  shop:\n    uuid: 5f0c6f2e-0000-4000-8000-000000000001\n    nodse: 1\n",
        ),
    ]);
    assert_eq!(slugs(&all), ["ideal/unknown-key"]);
    let spot = all.diagnostics[0].spot.clone().into_iter().next();
    let place =
        spot.map(|spot| (all.map.source(&spot).name.clone(), spot.line, all.map.text(&spot).to_owned()));
    assert_eq!(place, Some(("a.yaml".to_owned(), 5, "nodse".to_owned())));
}

#[test]
fn chains_end() {
    let names: Vec<String> = (0..12).map(|i| format!("{i}.yaml")).collect();
    let texts: Vec<String> = (0..12).map(|i| format!("ideal: 1\ninclude: [{}.yaml]\n", i + 1)).collect();
    let all: Vec<(&str, &str)> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(slugs(&loaded(&all)), ["ideal/include-cycle"]);
    let short = [all[0], all[1], all[2], ("3.yaml", "vars: {a: 1}\n")];
    assert_eq!(slugs(&loaded(&short)), [""; 0]);
    assert_eq!(slugs(&loaded(&[("a", "include: [a]\nideal: 1\n")])), ["ideal/include-cycle"]);
}

#[test]
fn what_cannot_be_joined_is_said() {
    let main = ("ideal.yaml", "ideal: 1\ninclude: [a.yaml]\nvars: {n: 1}\n");
    assert_eq!(slugs(&loaded(&[main, ("a.yaml", "vars: [1]\n")])), ["ideal/wrong-type"]);
    assert_eq!(slugs(&loaded(&[main, ("a.yaml", "[1]\n")])), ["ideal/wrong-type"]);
    assert_eq!(slugs(&loaded(&[main, ("a.yaml", "include: b.yaml\n")])), ["ideal/wrong-type"]);
    assert_eq!(slugs(&loaded(&[main, ("a.yaml", "vars: {n: 2}\n")])), ["ideal/defined-twice"]);
    assert_eq!(slugs(&loaded(&[main, ("a.yaml", "")])), [""; 0]);
    assert_eq!(slugs(&loaded(&[main, ("a.yaml", "a: [")])), ["ideal/syntax"]);
    assert_eq!(slugs(&loaded(&[main])), ["ideal/include-missing"]);
    assert_eq!(slugs(&loaded(&[("none", "")][..1])), ["ideal/missing-key"]);
    assert_eq!(
        slugs(&load(&Sources { main: "gone".to_owned(), ..Sources::default() })),
        ["ideal/include-missing"]
    );
}
