//! What is read, as what, and what is refused.

use serde_json::{Value as Json, json};

use super::*;

fn json_of(text: &str) -> Json {
    let (tree, problems) = parse(0, text);
    assert!(problems.is_empty(), "{text:?}: {problems:?}");
    tree.unwrap().json()
}

fn slugs(text: &str) -> Vec<&'static str> {
    parse(0, text).1.iter().map(|problem| problem.slug).collect()
}

#[test]
fn words_are_text_unless_they_are_plainly_something_else() {
    for text in [
        "no",
        "off",
        "yes",
        "on",
        "22:22",
        "08",
        "0644",
        "1e",
        "1.2.3",
        "0b1",
        "1_000",
        "y",
        "-",
        "2026-01-01",
    ] {
        assert_eq!(json_of(&format!("x: '{text}'")), json!({"x": text}));
        if text != "-" {
            assert_eq!(json_of(&format!("x: {text}")), json!({"x": text}), "{text}");
        }
    }
    let table = [
        ("~", json!(null)),
        ("", json!(null)),
        ("true", json!(true)),
        ("12", json!(12)),
        ("-3", json!(-3)),
        ("0x10", json!(16)),
        ("0o17", json!(15)),
        ("1e3", json!(1000.0)),
        ("1.5", json!(1.5)),
        ("18446744073709551615", json!(u64::MAX)),
    ];
    for (text, value) in table {
        assert_eq!(json_of(&format!("x: {text}")), json!({"x": value}), "{text}");
    }
}

#[test]
fn marks_and_line_ends_are_accepted() {
    assert_eq!(decode(0, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").unwrap(), "a: 1\r\nb: 2\r\n");
    assert_eq!(json_of("a: 1\r\nb: |\r\n  x\r\n"), json!({"a": 1, "b": "x\n"}));
    assert_eq!(json_of(""), json!(null));
    assert_eq!(json_of("# only this\n"), json!(null));
}

#[test]
fn what_is_refused() {
    let deep_flow = "[".repeat(20_000);
    let deep_block: String = (0..2000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let deep_dashes = "- ".repeat(20_000);
    let long = format!("a: {}", "x".repeat(LONGEST_SCALAR + 1));
    let table = [
        ("a: &x 1\nb: *x", "ideal/alias"),
        ("a: *x", "ideal/alias"),
        ("<<: {a: 1}", "ideal/alias"),
        ("a: !!python/object x", "ideal/tag"),
        ("a: !x", "ideal/tag"),
        ("a: 1\n---\nb: 2", "ideal/many-documents"),
        ("a: 1\na: 2", "ideal/duplicate-key"),
        ("a:\n\t- b", "ideal/tab"),
        ("a: [", "ideal/syntax"),
        ("{a: 1}: 2", "ideal/syntax"),
        ("a: {{ vars.x }}", "ideal/syntax"),
        ("<html>\n<body a: b", "ideal/syntax"),
        ("a: \"\\ud800\"", "ideal/syntax"),
        ("%YAML 1.1\n---\na: 1", "ideal/syntax"),
        ("a: .nan", "ideal/bad-number"),
        ("a: 99999999999999999999999", "ideal/bad-number"),
        ("a: 1e999", "ideal/bad-number"),
        ("a: 1.10", "ideal/number-changes"),
        (&"{a: ".repeat(20_000), "ideal/too-deep"),
        (&deep_flow, "ideal/too-deep"),
        (&deep_block, "ideal/too-deep"),
        (&deep_dashes, "ideal/too-deep"),
        (&long, "ideal/too-large"),
    ];
    for (text, slug) in table {
        assert_eq!(slugs(text), [slug], "{:?}", shortened(text));
    }
    let bytes: [(&[u8], &str); 5] = [
        (b"a: \xff", "ideal/not-utf8"),
        (b"a: \0", "ideal/not-utf8"),
        (b"\xff\xfea\0", "ideal/not-utf8"),
        (b"i\0d\0e\0a\0l\0:\0 \0", "ideal/not-utf8"),
        (&vec![b'x'; MOST_BYTES + 1], "ideal/too-large"),
    ];
    for (bytes, slug) in bytes {
        assert_eq!(decode(0, bytes).unwrap_err().1.slug, slug);
    }
}

#[test]
fn positions_are_exact() {
    let text = "ünï: [a, 'b c']\nmap:\n  key: value\nnone:\n";
    let (tree, _) = parse(0, text);
    let tree = tree.unwrap();
    let slice = |at: Extent| &text[at.range()];
    let list = tree.get("ünï").unwrap();
    assert_eq!(slice(tree.entries()[0].key_at), "ünï");
    assert_eq!(slice(list.at), "[a, 'b c']");
    assert_eq!(slice(list.items()[1].at), "'b c'");
    assert_eq!(slice(tree.get("map").unwrap().at), "key: value");
    assert_eq!(tree.get("none").unwrap().at.start, tree.entries()[2].key_at.end);
}
