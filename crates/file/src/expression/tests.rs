//! What expressions come to, and what is refused.

use serde_json::json;

use super::*;

fn context() -> serde_json::Value {
    json!({
        "vars": {"n": 3, "name": "Shop", "list": ["a", "b"], "f": 1.5, "long": "x".repeat(60_000)},
        "node": {"name": "web-0", "address": null},
        "clouds": {"shop.db": {"nodes": [{"address": "10.0.0.1"}, {"address": null}]}},
    })
}

#[test]
fn what_expressions_come_to() {
    let table = [
        ("plain", "plain"),
        ("{{ vars.n }}", "3"),
        ("a {{ vars.n + 1 }} b", "a 4 b"),
        ("{{ clouds['shop.db'].nodes[0].address }}:{{ vars.n }}", "10.0.0.1:3"),
        ("{{ vars.name | lower }}", "shop"),
        ("{{ vars.list | join(',') }}", "a,b"),
        ("{{ vars.list[-1] }}", "b"),
        ("{{ node.address | default('none') }}", "none"),
        ("{{ 'yes' if vars.n > 2 else 'no' }}", "yes"),
        ("{{ 'x' ~ vars.n }}", "x3"),
        ("{{ '{{' }}", "{{"),
        ("{{ \"}}\" }}", "}}"),
        ("{{ node.address is defined }}", "false"),
        ("{{ 'a' in vars.list and not false }}", "true"),
        ("{{ -vars.n * 2 }}", "-6"),
        ("{{ vars.name | replace('S', 's') | length }}", "4"),
        ("{{ '7' | int + 1 }}", "8"),
        ("{{ vars.list | first }}{{ vars.list | last | upper }}", "aB"),
    ];
    for (text, made) in table {
        assert_eq!(render(text, &context()).as_deref(), Ok(made), "{text}");
    }
}

#[test]
fn what_is_not_known_yet() {
    let table = [
        ("{{ clouds['shop.db'].nodes[1].address }}", "clouds['shop.db'].nodes[1].address"),
        ("{{ clouds['shop.db'].nodes[7].address }}", "clouds['shop.db'].nodes[7]"),
        ("{{ node.address ~ ':80' }}", "node.address"),
        ("{{ node.address == '' }}", "node.address"),
        ("{{ facts.cpus }}", "facts"),
    ];
    for (text, name) in table {
        assert_eq!(render(text, &context()), Err(RenderProblem::Unknown { name: name.to_owned() }), "{text}");
    }
}

#[test]
fn what_is_refused() {
    let long_sum = format!("{{{{ {} }}}}", vec!["1"; 5000].join("+"));
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(400), ")".repeat(400));
    let wide = format!("{{{{ {} }}}}", vec!["1"; 250].join(" + "));
    let table = [
        "{{ range(10) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 2 ** 100 }}",
        "{{ vars.list }}",
        "{{ vars.name | safe }}",
        "{{ vars.name.upper() }}",
        "{{ vars.name[1:2] }}",
        "{{ {'a': 1} }}",
        "{{ vars.long ~ vars.long }}",
        "{{ vars.long }}{{ vars.long }}",
        "{{ vars.long | replace('x', 'xx') }}",
        "{{ 1 // 0 }}",
        "{{ 1 / 0 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ vars.n",
        "{{ }}",
        "{{ 1 +",
        "{{ 1 + }}",
        "{{ vars.name < 1 }}",
        "{{ vars.name | int }}",
        &long_sum,
        &deep,
    ];
    for text in table {
        assert!(matches!(render(text, &context()), Err(RenderProblem::Refused { .. })), "{text}");
    }
    assert_eq!(render(&wide, &context()).as_deref(), Ok("250"));
}

#[test]
fn names_are_found() {
    let all = names("{{ vars.a }} {{ clouds[node.name].x | default(facts.y) }} {{ 'port' }}");
    assert_eq!(all.into_iter().collect::<Vec<_>>(), ["clouds", "facts", "node", "vars"]);
}

#[test]
fn types_are_kept_where_they_are_wanted() {
    let context = context();
    assert_eq!(evaluate("{{ vars.n }}", &context), Ok(json!(3)));
    assert_eq!(evaluate("{{ vars.list }}", &context), Ok(json!(["a", "b"])));
    assert_eq!(evaluate("n is {{ vars.n }}", &context), Ok(json!("n is 3")));
    assert!(matches!(evaluate("{{ node.address }}", &context), Err(RenderProblem::Unknown { .. })));
    let options = json!({"port": "{{ vars.n }}", "names": ["{{ vars.name }}", 1, null]});
    assert_eq!(render_json(&options, &context), Ok(json!({"port": 3, "names": ["Shop", 1, null]})));
    let spec = json!({"command": {"run": ["a", "-p", "{{ vars.n }}"]}, "with": {"n": "{{ vars.n }}"}});
    let wanted = json!({"command": {"run": ["a", "-p", "3"]}, "with": {"n": 3}});
    assert_eq!(render_fields(&spec, &context), Ok(wanted));
}
