//! What the shape check lets pass, serde reads: on random documents that are mostly right.

use ideal_core::ideal::Document;
use ideal_core::recipe::RecipeDocument;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// Bytes that decide; when they run out, everything is small and right.
struct Dice<'b>(std::slice::Iter<'b, u8>);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |byte| *byte as usize % sides)
    }
    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())].clone()
    }
}

fn junk(dice: &mut Dice<'_>) -> Json {
    dice.pick(&[
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(70_000),
        json!(1u64 << 40),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("x"),
        json!("auto"),
        json!("9999999999d"),
        json!("99999999999d"),
        json!("999999TiB"),
        json!("9999999TiB"),
        json!("Local"),
        json!("{5f0c6f2e-0000-4000-8000-000000000001}"),
        json!([]),
        json!([1]),
        json!({}),
        json!({"file": null}),
        json!({"local": null}),
    ])
}

fn make(shapes: &Shapes, id: Id, depth: usize, dice: &mut Dice<'_>) -> Json {
    if dice.roll(24) == 23 {
        return junk(dice);
    }
    match shapes.get(id) {
        Shape::Any => junk(dice),
        Shape::Text { .. } => dice.pick(&["a", "/data", "x y"]).into(),
        Shape::Known(Known::Name) => dice.pick(&["a", "b-1", "here"]).into(),
        Shape::Known(Known::Span) => dice.pick(&["1s", "0ms", "9999999999d"]).into(),
        Shape::Known(Known::Bytes) => dice.pick(&["1GiB", "0B", "999999TiB"]).into(),
        Shape::Known(Known::CloudPath) => dice.pick(&["a", "a.b"]).into(),
        Shape::Known(Known::Address) => dice.pick(&["a[0]", "a.b[2]"]).into(),
        Shape::Known(Known::Port) => dice.pick(&["auto", "8080:80", "auto:80"]).into(),
        Shape::Known(Known::Nodes) => dice.pick(&["2..10", "0..0"]).into(),
        Shape::Known(Known::Uuid) => "5f0c6f2e-0000-4000-8000-000000000001".into(),
        Shape::Choice(words) => dice.pick(words).into(),
        Shape::Whole { least, most } => dice.pick(&[*least as i64, *most as i64, 1]).into(),
        Shape::Number { .. } => 1.5.into(),
        Shape::Flag => true.into(),
        Shape::List { item, .. } => {
            (0..=dice.roll(2)).map(|_| make(shapes, *item, depth + 1, dice)).collect()
        }
        Shape::Names { value, .. } => {
            let count = if depth > 6 { 0 } else { dice.roll(3) };
            let names = ["a", "b", "Bad_Name"];
            let entries = (0..count).map(|i| (names[i].to_owned(), make(shapes, *value, depth + 1, dice)));
            Json::Object(entries.collect())
        }
        Shape::Fields(fields) => {
            let mut entries = serde_json::Map::new();
            for (key, (id, required)) in fields {
                if (*required && dice.roll(30) != 29) || dice.roll(3) == 2 {
                    entries.insert(key.clone(), make(shapes, *id, depth + 1, dice));
                }
            }
            if dice.roll(60) == 59 {
                entries.insert("unknown".to_owned(), junk(dice));
            }
            Json::Object(entries)
        }
        Shape::Variants { words, tagged } => {
            let keys: Vec<&String> = tagged.keys().collect();
            if !words.is_empty() && dice.roll(2) == 1 {
                return dice.pick(words).into();
            }
            let key = dice.pick(&keys);
            json!({key: make(shapes, tagged[key], depth + 1, dice)})
        }
        Shape::AnyOf(all) => {
            let id = dice.pick(all);
            make(shapes, id, depth + 1, dice)
        }
        Shape::Nullable(inner) => make(shapes, *inner, depth + 1, dice),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_has_the_right_shape_of_a_recipe_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let shapes = Shapes::of_recipe();
        let json = make(shapes, shapes.root, 0, &mut Dice(bytes.iter()));
        let node = Node::of_json(json.clone(), Extent::default());
        let mut found = Vec::new();
        check_recipe(&node, &Place::ROOT, &mut found);
        let read = crate::read::read::<RecipeDocument>(&node);
        prop_assert!(!found.is_empty() || read.is_ok(), "{}: {json}", read.unwrap_err());
    }
    #[test]
    fn what_has_the_right_shape_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let shapes = Shapes::of_document();
        let json = make(shapes, shapes.root, 0, &mut Dice(bytes.iter()));
        let node = Node::of_json(json.clone(), Extent::default());
        let mut found = Vec::new();
        check(&node, &mut found);
        let read = crate::read::read::<Document>(&node);
        if found.is_empty() {
            prop_assert!(read.is_ok(), "{}: {json}", read.unwrap_err());
            // The answer to a document is never a panic either.
            let _ = ideal_core::ideal::resolve(&read.unwrap());
        } else {
            // And the other way round: nothing is refused that is a document, but for what is stricter on purpose.
            let strict = |one: &Found| one.0.slug == "ideal/bad-value" || one.0.slug == "ideal/wrong-type";
            prop_assert!(read.is_err() || found.iter().all(strict), "{:?}: {json}", found[0].0);
        }
    }
}
