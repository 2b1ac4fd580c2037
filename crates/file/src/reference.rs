//! The reference of resources as pages of Markdown, made from the comments and types of the domain: what is said
//! there is what holds.

use ideal_core::resource::Resource;
use serde_json::{Map, Value as Json};

use crate::schema::schema;

/// Every page by its name: one for each kind, and a table of contents with what all kinds share.
pub fn pages() -> Vec<(String, String)> {
    let schema = schema();
    let all = &schema["$defs"];
    let declaration = &all["Declaration"]["properties"];
    let mut pages = Vec::new();
    let mut contents = String::from(HEAD);
    for kind in Resource::KINDS {
        let of_kind = &declaration[*kind];
        let name = reference(of_kind).unwrap_or_default();
        contents += &format!("- [`{kind}`]({kind}.md): {}\n", one_line(text(of_kind, "description")));
        pages.push((format!("{kind}.md"), page(kind, &all[name], all)));
    }
    contents += BESIDE;
    if let Some(fields) = declaration.as_object() {
        let beside = fields.iter().filter(|(name, _)| !Resource::KINDS.contains(&name.as_str()));
        contents += &table(beside, &[], all);
    }
    pages.push(("README.md".to_owned(), contents));
    pages
}

const HEAD: &str = "# Resources

What is kept right on a node, one page for each kind. `ideal schema file` has the same for programs.

";

const BESIDE: &str = "
## What may stand beside a kind

An item of `resources` names exactly one kind. These stand beside it, whatever the kind:

```yaml
- file: {path: /etc/site.conf, template: site.conf}
  name: config
  when: \"{{ facts.os.family == 'debian' }}\"
  notifies: [unit nginx]
```

";

fn page(kind: &str, spec: &Json, all: &Json) -> String {
    let mut out = format!("# {kind}\n\n{}\n\n## Fields\n\n", text(spec, "description"));
    let required: Vec<&str> =
        spec["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if let Some(fields) = spec["properties"].as_object() {
        out += &table(fields.iter(), &required, all);
    }
    out += "\nWhat may stand beside it, such as `when` and `notifies`, is told [for all kinds](README.md).\n";
    out
}

fn table<'j>(fields: impl Iterator<Item = (&'j String, &'j Json)>, required: &[&str], all: &Json) -> String {
    let mut out = String::from("| field | value | default | meaning |\n|---|---|---|---|\n");
    for (name, field) in fields {
        let default = match field.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            None | Some(Json::Null) => String::new(),
            Some(Json::Array(items)) if items.is_empty() => String::new(),
            Some(Json::Object(entries)) if entries.is_empty() => String::new(),
            Some(Json::String(text)) => format!("`{}`", cell(text)),
            Some(other) => format!("`{}`", cell(&other.to_string())),
        };
        let meaning = cell(&one_line(text(field, "description")));
        out += &format!("| `{name}` | {} | {default} | {meaning} |\n", cell(&kind_of(field, all)));
    }
    out
}

/// A text of the schema.
fn text<'j>(of: &'j Json, key: &str) -> &'j str {
    of[key].as_str().unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Within a table a bar would begin the next column.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The name of the definition that a field is of.
fn reference(field: &Json) -> Option<&str> {
    let direct = field["$ref"].as_str();
    let mut any = field["anyOf"].as_array().into_iter().flatten();
    direct
        .or_else(|| any.find_map(|one| one["$ref"].as_str()))
        .map(|name| name.trim_start_matches("#/$defs/"))
}

/// What values a field takes, in words.
fn kind_of(field: &Json, all: &Json) -> String {
    if let Some(name) = reference(field) {
        return match name {
            "Span" => "a length of time: `30s`".to_owned(),
            "Bytes" => "an amount: `20GiB`".to_owned(),
            "Name" => "a name".to_owned(),
            "Argv" => "a program, or a list with its arguments".to_owned(),
            name => choices(&all[name]).unwrap_or_else(|| "a mapping".to_owned()),
        };
    }
    let kind = match &field["type"] {
        Json::String(kind) => kind.as_str(),
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    };
    match kind {
        "string" => "a text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "array" => match reference(&field["items"]) {
            Some("Name") => "a list of names".to_owned(),
            _ => "a list of texts".to_owned(),
        },
        "object" => "a mapping".to_owned(),
        _ => "anything".to_owned(),
    }
}

/// The words of a choice.
fn choices(definition: &Json) -> Option<String> {
    let of_map =
        |one: &Map<String, Json>| one.get("const").and_then(Json::as_str).map(|word| format!("`{word}`"));
    let words: Vec<String> = match (&definition["oneOf"], &definition["enum"]) {
        (Json::Array(all), _) => all.iter().filter_map(Json::as_object).filter_map(of_map).collect(),
        (_, Json::Array(all)) => {
            all.iter().filter_map(Json::as_str).map(|word| format!("`{word}`")).collect()
        }
        _ => return None,
    };
    Some(words.join(", "))
}
