//! The service model that AWS publishes: which fields an action takes and answers, and of which types.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::form::Form;

/// The service model of EC2.
pub(crate) struct Model(Value);

impl Model {
    pub(crate) fn read(environment: &Path) -> Model {
        let mut packages = std::fs::read_dir(environment.join("lib")).unwrap();
        let python = packages.find_map(|entry| {
            let path = entry.unwrap().path();
            path.join("site-packages/botocore").exists().then_some(path)
        });
        let file = python.unwrap().join("site-packages/botocore/data/ec2/2016-11-15/service-2.json.gz");
        let mut text = String::new();
        let packed = std::fs::File::open(file).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        Model(serde_json::from_str(&text).unwrap())
    }

    fn shape(&self, name: &str) -> &Value {
        &self.0["shapes"][name]
    }

    /// What is wrong with a request.
    pub(crate) fn request(&self, form: &Form) -> Vec<String> {
        let action = form.action();
        let mut wrong = Vec::new();
        let version = self.0["metadata"]["apiVersion"].as_str().unwrap();
        if form.get("Version") != version {
            wrong.push(format!("{action}: version {}, not {version}", form.get("Version")));
        }
        let Some(input) = self.0["operations"][action]["input"]["shape"].as_str() else {
            return vec![format!("there is no action {action}")];
        };
        for (name, value) in form.0.iter().filter(|(name, _)| !["Action", "Version"].contains(&name.as_str()))
        {
            let parts: Vec<&str> = name.split('.').collect();
            if let Err(why) = self.field(input, &parts, value) {
                wrong.push(format!("{action}: {name}={value}: {why}"));
            }
        }
        for needed in self.shape(input)["required"].as_array().into_iter().flatten() {
            let member = needed.as_str().unwrap();
            let wire = wire_name(member, &self.shape(input)["members"][member]);
            let given = form.0.keys().any(|name| *name == wire || name.starts_with(&format!("{wire}.")));
            if !given {
                wrong.push(format!("{action} lacks {wire}"));
            }
        }
        wrong
    }

    fn field(&self, shape: &str, parts: &[&str], value: &str) -> Result<(), String> {
        let of = self.shape(shape);
        match (of["type"].as_str().unwrap(), parts) {
            ("structure", [first, rest @ ..]) => {
                let members = of["members"].as_object().unwrap();
                let found = members.iter().find(|(name, member)| wire_name(name, member) == *first);
                let (_, member) = found.ok_or_else(|| format!("{shape} has no {first}"))?;
                self.field(member["shape"].as_str().unwrap(), rest, value)
            }
            ("list", [index, rest @ ..]) => {
                let index: u32 = index.parse().map_err(|_| format!("{index} is no place in {shape}"))?;
                if index == 0 {
                    return Err("lists begin at 1".to_owned());
                }
                self.field(of["member"]["shape"].as_str().unwrap(), rest, value)
            }
            (_, []) => scalar(of, value),
            (kind, rest) => Err(format!("{shape} is a {kind}, and {rest:?} is left")),
        }
    }

    /// Every path of elements that an answer to this action may have, down to texts: `volumeSet/item/volumeId`.
    pub(crate) fn answer(&self, action: &str, xml: &crate::shaped::Shaped) -> Vec<String> {
        let Some(output) = self.0["operations"][action]["output"]["shape"].as_str() else {
            return Vec::new();
        };
        let mut wrong = BTreeSet::new();
        for child in xml.children.iter().filter(|child| child.name != "requestId") {
            self.element(output, child, action, &mut wrong);
        }
        wrong.into_iter().collect()
    }

    fn element(&self, shape: &str, at: &crate::shaped::Shaped, path: &str, wrong: &mut BTreeSet<String>) {
        let path = format!("{path}/{}", at.name);
        let members = self.shape(shape)["members"].as_object().unwrap();
        let named = |(name, member): &(&String, &Value)| {
            member["locationName"].as_str().unwrap_or(name.as_str()) == at.name
        };
        let Some((_, member)) = members.iter().find(named) else {
            wrong.insert(format!("{path}: {shape} has no such field"));
            return;
        };
        self.value(member["shape"].as_str().unwrap(), at, &path, wrong);
    }

    fn value(&self, shape: &str, at: &crate::shaped::Shaped, path: &str, wrong: &mut BTreeSet<String>) {
        let of = self.shape(shape);
        match of["type"].as_str().unwrap() {
            "structure" => at.children.iter().for_each(|child| self.element(shape, child, path, wrong)),
            "list" => {
                for item in &at.children {
                    let name = of["member"]["locationName"].as_str().unwrap_or("item");
                    if item.name != name {
                        wrong.insert(format!("{path}/{}: an item is called {name}", item.name));
                    }
                    self.value(of["member"]["shape"].as_str().unwrap(), item, &format!("{path}/item"), wrong);
                }
            }
            _ => {
                let text = at.text.trim();
                if let Err(why) = scalar(of, text)
                    && !text.is_empty()
                {
                    wrong.insert(format!("{path}={text}: {why}"));
                }
            }
        }
    }
}

fn scalar(of: &Value, value: &str) -> Result<(), String> {
    let kind = of["type"].as_str().unwrap();
    let fits = match kind {
        "integer" | "long" => value.parse::<i64>().is_ok(),
        "float" | "double" => value.parse::<f64>().is_ok(),
        "boolean" => ["true", "false"].contains(&value),
        "timestamp" => value.contains('T') && value.ends_with('Z'),
        "string" => match of["enum"].as_array() {
            Some(known) => known.iter().any(|one| one == value),
            None => true,
        },
        "blob" => value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)),
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("this is no {kind}")) }
}

/// The name of a field of a request: as the protocol of EC2 has it, with its first letter large.
fn wire_name(name: &str, member: &Value) -> String {
    if let Some(own) = member["queryName"].as_str() {
        return own.to_owned();
    }
    let name = member["locationName"].as_str().unwrap_or(name);
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
