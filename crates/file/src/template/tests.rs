//! What templates come to, and what they are refused for.

use serde_json::json;

use super::*;

fn render(text: &str) -> Result<String, RenderProblem> {
    let context = json!({
        "option": {"port": 8080, "sites": ["a", "b"], "users": {"u": {"n": 1}, "v": {"n": 2}}, "none": null},
        "clouds": {"shop.db": {"nodes": [{"address": "10.0.0.1"}, {"address": null}]}},
        "secret": {"token": "hunter2"},
    });
    render_template("site.conf", text, &context)
}

#[test]
fn what_templates_come_to() {
    let table = [
        ("plain {\n", "plain {\n"),
        ("listen {{ option.port }};\n", "listen 8080;\n"),
        (
            "{% for site in option.sites %}\n  {{ loop.index }} {{ site | upper }}\n{% endfor %}\n",
            "  1 A\n  2 B\n",
        ),
        ("{% for name, user in option.users | items %}{{ name }}={{ user.n }} {% endfor %}", "u=1 v=2 "),
        ("{% if option.none is defined %}x{% else %}y{% endif %}", "y"),
        ("{{ option.none | default('z') }}", "z"),
        ("{{ option.sites | join(',') }} {{ option.sites | length }}", "a,b 2"),
        ("{{ clouds['shop.db'].nodes[0].address }}", "10.0.0.1"),
        ("{{ option.users | tojson }}", "{\"u\": {\"n\": 1}, \"v\": {\"n\": 2}}"),
        ("<{{ '<&>' }}>", "<<&>>"),
        ("{% set n = 1 %}{{ n + option.port }}", "8081"),
    ];
    for (text, wanted) in table {
        assert_eq!(render(text).unwrap(), wanted, "{text}");
    }
}

#[test]
fn what_is_not_known_yet_has_a_name() {
    let table = [
        ("{{ clouds['shop.db'].nodes[1].address }}", "clouds['shop.db'].nodes[1].address"),
        ("{{ clouds['shop.db'].nodes[2].address }}", "clouds['shop.db'].nodes[2]"),
        ("{{ option.none }}", "option.none"),
        ("{% for x in option.none %}{% endfor %}", "option.none"),
        ("{% if option.none %}{% endif %}", "option.none"),
        ("{{ option.none | upper }}", "option.none"),
    ];
    for (text, name) in table {
        assert_eq!(render(text), Err(RenderProblem::Unknown { name: name.to_owned() }), "{text}");
    }
}

#[test]
fn what_is_refused_shows_no_value() {
    let table = [
        ("{{ secret.token / 2 }}", "template site.conf, line 1: a value cannot be used in this way"),
        ("\n{{ secret.token | int }}", "template site.conf, line 2: a value cannot be used in this way"),
        ("{{ secret.token | nope }}", "template site.conf, line 1: there is no filter `nope`"),
        (
            "{{ secret.token",
            "template site.conf, line 1: it cannot be read as a template: unexpected end of input, expected end of variable block",
        ),
        (
            "{% include 'x' %}",
            "template site.conf, line 1: it cannot be read as a template: unknown statement include",
        ),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
            "template site.conf, line 1: it runs for too long",
        ),
        (
            "{% for a in range(999) %}{{ 'x' * 20000 }}{% endfor %}",
            "template site.conf comes to more than 8 MiB",
        ),
    ];
    for (text, why) in table {
        let said = render(text).unwrap_err();
        assert_eq!(said, RenderProblem::Refused { why: why.to_owned() }, "{text}");
        assert!(!format!("{said:?}").contains("hunter2"));
    }
}

#[test]
fn what_a_template_asks_for() {
    let text = "{% for s in option.sites %}{{ s.name }} {{ loop.index }}\n{{ secret['a-b'] }}{% endfor %}
        {% set x = vars %}{{ x.y }} {{ range(3) }} {{ clouds[option.cloud].nodes | length }}";
    let asked = check_template("t", text).unwrap();
    let all: Vec<_> = asked.iter().map(|one| (one.root.as_str(), one.key.as_deref(), one.line)).collect();
    assert_eq!(
        all,
        [
            ("clouds", None, 3),
            ("option", Some("cloud"), 3),
            ("option", Some("sites"), 1),
            ("secret", Some("a-b"), 2),
            ("vars", None, 3),
        ]
    );
    let table = [
        ("a\n{{ x | nope }}", 2, "there is no filter `nope`"),
        ("{{ x is nope }}", 1, "there is no test `nope`"),
        ("{{ nope() }}", 1, "there is no function `nope`"),
        ("a\n\n{% if %}", 3, "it cannot be read as a template: unexpected end of block"),
    ];
    for (text, line, why) in table {
        let wanted = TemplateProblem { line, why: why.to_owned() };
        assert_eq!(check_template("t", text).unwrap_err(), wanted, "{text}");
    }
}
