//! A recipe: a named set of resources with options, templates and files, that clouds and other recipes use.
//!
//! [`RecipeDocument`] is `recipes/NAME/recipe.yaml` as people write it, [`Recipe`] the whole folder as it was read,
//! [`Use`] one use of it with its options filled in, as a node is given it. What the options mean is in `options`.
//!
//! Contents of templates and files are not here: they are named by what they hash to, and fetched by it.

mod options;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::Name;
use crate::resource::Declaration;

pub(crate) use options::{declared, filled_in};

/// What `recipes/NAME/recipe.yaml` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeDocument {
    /// The version of this format: 1.
    pub recipe: u32,
    /// What it is for, in a line.
    #[serde(default)]
    pub about: String,
    /// What a use of it may say: `{{ option.NAME }}` in its texts and templates.
    #[serde(default)]
    pub options: BTreeMap<String, OptionSpec>,
    /// Other recipes that this one uses. They come before it.
    #[serde(default)]
    pub recipes: Vec<UseSpec>,
    /// What it keeps right.
    #[serde(default)]
    pub resources: Vec<Declaration>,
}

/// One option of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// What kind of value it takes.
    #[serde(rename = "type")]
    pub kind: OptionType,
    /// What holds when a use does not say it. Without one: an empty text, list or map, or false; a number or a
    /// secret is then not defined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for, in a line.
    #[serde(default)]
    pub about: String,
    /// The only values that it may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// Whether each use must say it.
    #[serde(default)]
    pub required: bool,
}

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptionType {
    /// A text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A list.
    List,
    /// A mapping.
    Map,
    /// A secret: `"{{ secret.NAME }}"`.
    Secret,
}

/// A use of a recipe as it is written: its name alone, or its name with options.
#[derive(Clone, Debug, PartialEq)]
pub struct UseSpec {
    /// The recipe.
    pub recipe: Name,
    /// What is said of its options. Texts may hold expressions; they are rendered on the node.
    pub options: Map<String, Value>,
}

impl Serialize for UseSpec {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.options.is_empty() {
            return self.recipe.serialize(to);
        }
        to.collect_map([(&self.recipe, &self.options)])
    }
}
impl<'de> Deserialize<'de> for UseSpec {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<UseSpec, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = UseSpec;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a recipe, or a mapping of its name to its options")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<UseSpec, E> {
                let recipe = Name::new(text).map_err(E::custom)?;
                Ok(UseSpec { recipe, options: Map::new() })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<UseSpec, A::Error> {
                let first: Option<(Name, Option<Map<String, Value>>)> = entries.next_entry()?;
                let (Some((recipe, options)), None) = (first, entries.next_key::<String>()?) else {
                    return Err(serde::de::Error::custom("one name with its options is wanted here"));
                };
                Ok(UseSpec { recipe, options: options.unwrap_or_default() })
            }
        }
        from.deserialize_any(Reader)
    }
}
impl JsonSchema for UseSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UseSpec".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let name = generator.subschema_for::<Name>();
        let mut options = generator.subschema_for::<BTreeMap<Name, Option<Map<String, Value>>>>();
        options.insert("minProperties".to_owned(), 1.into());
        options.insert("maxProperties".to_owned(), 1.into());
        schemars::json_schema!({
            "description": "The name of a recipe, or its name with options: {nginx: {port: 8080}}.",
            "anyOf": [name, options],
        })
    }
}

/// A template or a file of a recipe, by its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// The BLAKE3 hash of its bytes, in hex.
    pub hash: String,
    /// How many bytes it has.
    pub size: u64,
}

impl FileRef {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> FileRef {
        FileRef { hash: blake3::hash(bytes).to_hex().to_string(), size: bytes.len() as u64 }
    }
}

/// The folder of a recipe as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// What its `recipe.yaml` says.
    pub document: RecipeDocument,
    /// Its templates and files: `templates/site.conf`, `files/logo.png`.
    pub files: BTreeMap<String, FileRef>,
    /// What its texts and templates ask for of the whole cluster.
    pub reads: Reads,
    /// The secrets that its texts and templates name.
    pub secrets: BTreeSet<Name>,
}

/// What texts ask for that lies beyond their node. A node is told it only then, so that a change elsewhere changes the
/// slices that ask for it and no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reads {
    /// The nodes of other clouds.
    pub clouds: bool,
    /// Where replicas are.
    pub services: bool,
    /// Which hosts reach which replicas.
    pub routes: bool,
}

impl Reads {
    /// What a text may ask for: whatever has its name in it. With routes come the keys to their certificates, so a word
    /// alone is not enough: it must stand in an expression.
    pub fn of(text: &str) -> Reads {
        let has = |name: &str| text.contains(name);
        let mut expressions = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        Reads {
            clouds: has("clouds"),
            services: has("services"),
            routes: expressions.any(|expression| expression.contains("routes")),
        }
    }
    /// Notes that this name is asked for.
    pub fn note(&mut self, root: &str) {
        match root {
            "clouds" => self.clouds = true,
            "services" => self.services = true,
            "routes" => self.routes = true,
            _ => {}
        }
    }
    /// What either asks for.
    #[must_use]
    pub fn and(self, other: Reads) -> Reads {
        Reads {
            clouds: self.clouds || other.clouds,
            services: self.services || other.services,
            routes: self.routes || other.routes,
        }
    }
}

/// One use of a recipe on the nodes of a cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// The recipe.
    pub recipe: Name,
    /// Every option, defaults filled in. Texts may hold expressions.
    pub options: Map<String, Value>,
    /// Which use of the same list uses this one: the options are rendered where that one's texts are. None: a
    /// cloud does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<usize>,
    /// Which uses of the same list this one uses itself; all stand before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<usize>,
    /// What it keeps right, with expressions.
    pub resources: Vec<Declaration>,
    /// Its templates and files: `templates/site.conf`, `files/logo.png`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileRef>,
    /// What its texts, templates and options ask for of the whole cluster.
    #[serde(default)]
    pub reads: Reads,
    /// The secrets that its texts and templates name; those of its options stand in these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<Name>,
}

/// The root of the places in a recipe: `recipes/nginx`, so that a path says which document it is of.
pub fn place_name(recipe: impl std::fmt::Display) -> String {
    format!("recipes/{recipe}")
}

/// The recipe whose document a path leads into, by the name that [`place_name`] gave it.
pub fn recipe_of_place(first: &str) -> Option<&str> {
    first.strip_prefix("recipes/")
}
