//! Inputs that want to hurt: bombs, deep nesting, floods, cut and scrambled files. Each is answered within a
//! second, with diagnostics or with an ideal, and never with a panic.
#![expect(clippy::disallowed_methods, reason = "a test measures time")]

use std::time::{Duration, Instant};

use ideal_file::{Sources, load, render_plain};
use proptest::prelude::*;

const GOOD: &str = include_str!("good.yaml");

fn answered(name: &str, text: impl Into<Vec<u8>>) -> bool {
    let sources = Sources::one("ideal.yaml", text);
    let start = Instant::now();
    let loaded = load(&sources);
    let picture = render_plain(&loaded);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 }), "{name} took {took:?}");
    assert_eq!(loaded.is_good(), loaded.errors() == 0, "{name}");
    assert!(picture.len() < 2 << 20, "{name}: the answer has {} bytes", picture.len());
    let shown = picture.chars().all(|c| c == '\n' || !c.is_control());
    assert!(shown, "{name}: the answer would control a terminal");
    loaded.is_good()
}

#[test]
fn bombs_and_floods_are_refused() {
    let cloud = "clouds:\n  a:\n    uuid: 5f0c6f2e-0000-4000-8000-00000000000a\n";
    let laughs: String =
        (0..30).map(|i| format!("a{}: &a{} [*a{i}, *a{i}, *a{i}]\n", i + 1, i + 1)).collect();
    let big_var = "x".repeat(60_000);
    let refer: String = (0..20_000)
        .map(|i| format!("      - file: {{path: /f{i}, content: \"{{{{ vars.x }}}}\"}}\n"))
        .collect();
    let words = |n: usize, f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<String>();
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("laughs", laughs.into()),
        ("flow nesting", "[".repeat(20_000).into()),
        ("flow mappings", "{a: ".repeat(20_000).into()),
        ("balanced nesting", format!("vars: {}{}", "[".repeat(20_000), "]".repeat(20_000)).into()),
        ("block nesting", words(2000, &|i| format!("{}a:\n", " ".repeat(i))).into()),
        ("dashes", "- ".repeat(20_000).into()),
        ("questions", "? ".repeat(20_000).into()),
        ("a very long text", vec![b'x'; 100 << 20]),
        ("a long text", format!("ideal: 1\nvars: {{x: {}}}\n", "x".repeat(3 << 20)).into()),
        ("keys", words(400_000, &|i| format!("k{i}: \n")).into()),
        (
            "keys in vars",
            format!("ideal: 1\nvars:\n{}nodes: 1", words(300_000, &|i| format!(" k{i}: \n"))).into(),
        ),
        ("a million items", format!("ideal: 1\nvars: {{a: [{}]}}", "1,".repeat(1_100_000)).into()),
        ("documents", "---\n".repeat(100_000).into()),
        ("duplicate keys", "a: 1\n".repeat(100_000).into()),
        ("merge", "a: &a\n  <<: *a\n".into()),
        ("variables", format!("ideal: 1\nvars: {{x: {big_var}}}\n{cloud}    resources:\n{refer}").into()),
        (
            "a text of expressions",
            format!("ideal: 1\n{cloud}    image: \"{}\"\n", "{{ vars }}".repeat(50_000)).into(),
        ),
        ("an open expression", format!("ideal: 1\n{cloud}    image: \"{}\"\n", "{{ '".repeat(50_000)).into()),
        (
            "a web page",
            "<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>".into(),
        ),
        ("nothing", "".into()),
        ("a comment", "# nothing\n".into()),
        ("null", "~".into()),
        ("a list", "[1, 2]".into()),
        ("a word", "word".into()),
        ("a key of a megabyte", format!("? {}\n: 1\n", "k".repeat(1 << 20)).into()),
        ("an unknown key of a megabyte", format!("\"{}\": 1\n", "k".repeat(1 << 20)).into()),
        ("control characters in keys", "\"\\e[2J\\u202e\": 1\nideal: \"\\e]0;x\\a\"\n".into()),
        ("utf-16", "ideal: 1".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("random bytes", (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ];
    for (name, text) in table {
        assert!(!answered(name, text), "{name} was taken");
    }
}

#[test]
fn injected_strings_stay_strings() {
    let table = [
        "; rm -rf /",
        "$(reboot)",
        "`reboot`",
        "-oProxyCommand=x",
        "--privileged",
        "a\\nHost: x",
        "%0d%0a",
        "${jndi:ldap://x}",
        "<img onerror=x>",
        "'; DROP TABLE x",
        "../../etc",
        "..%2f",
        "C:\\\\x",
        "\\u202e",
        "\\0",
    ];
    for text in table {
        let cloud = "uuid: 5f0c6f2e-0000-4000-8000-00000000000a";
        for place in ["image", "provider", "nodes", "tags", "protect"] {
            answered(text, format!("ideal: 1\nclouds:\n  a:\n    {cloud}\n    {place}: \"{text}\"\n"));
        }
        assert!(
            !answered(text, format!("ideal: 1\nclouds:\n  \"{text}\":\n    {cloud}\n")),
            "{text} as a name"
        );
        let mount = format!("mounts: {{d: {{size: 1GiB, at: \"{text}\"}}}}");
        assert!(
            !answered(text, format!("ideal: 1\nclouds:\n  a:\n    {cloud}\n    {mount}\n")),
            "{text} as a path"
        );
    }
}

#[test]
fn the_good_one_is_good() {
    let loaded = load(&Sources::one("ideal.yaml", GOOD));
    assert_eq!(render_plain(&loaded), "");
    for end in 0..GOOD.len() {
        answered("cut", &GOOD.as_bytes()[..end]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn scrambled_files_are_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, any::<u8>()), 1..12),
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, kind, byte) in edits {
            bytes.push(b'\n');
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b"{}[]:,-\"'#&*!|> \n\t%@"[byte as usize % 20]),
                2 => _ = bytes.remove(at),
                _ => bytes.truncate(at.max(1)),
            }
        }
        answered("scrambled", bytes);
    }
    #[test]
    fn any_text_is_answered(text in "(?s).{0,200}") {
        answered("any", text);
    }
    #[test]
    fn any_expression_is_answered(text in "[ a-z0-9.\\[\\]'\"|()+*~<>=-]{0,40}") {
        let context = serde_json::json!({"vars": {"a": 1, "b": "x", "c": [1, 2]}});
        let _ = ideal_file::expression::render(&format!("{{{{ {text} }}}}"), &context);
        let _ = ideal_file::expression::render(&format!("{{{{ vars.{text} }}}}"), &context);
    }
}

#[test]
fn large_and_good_is_fast() {
    let words = |n: usize, f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<String>();
    let cloud = |i: usize| {
        format!(
            "  c{i}:\n    uuid: 5f0c6f2e-0000-4000-8000-{i:012x}\n    nodes: 1\n    mounts: {{d: {{size: 1GiB, at: /d}}}}\n"
        )
    };
    let text = format!("ideal: 1\nclouds:\n{}", words(10_000, &cloud));
    assert!(answered("10,000 clouds", text.as_str()));
    let start = Instant::now();
    let loaded = load(&Sources::one("ideal.yaml", text));
    eprintln!("10,000 clouds in {:?}", start.elapsed());
    assert!(loaded.is_good());
    let unknown = |i: usize| format!("  s{i}: {{on: x{i}, command: ./s}}\n");
    let services = words(20_000, &unknown);
    assert!(!answered(
        "20,000 unknown clouds",
        format!("ideal: 1\nclouds:\n{}services:\n{services}", words(5000, &cloud))
    ));
    let names = words(20_000, &|i| format!("  c{i}: {{nodes: \"{{{{ vars.y{i} }}}}\"}}\n"));
    let vars = words(20_000, &|i| format!("  v{i}: {i}\n"));
    assert!(!answered("20,000 unknown variables", format!("ideal: 1\nvars:\n{vars}clouds:\n{names}")));
}
