//! Several files as one: which files a file names, and how their contents become one tree. Reading them is the
//! caller's, for this crate does no I/O.

use std::collections::BTreeMap;

use ideal_core::id::Name;
use ideal_core::recipe::FileRef;

use crate::decode::{MOST_BYTES, decode};
use crate::recipes::RecipeSource;
use crate::source_map::Source;
use crate::tree::{Entry, Extent, Node, Value};
use crate::yaml::{self, Problem, shortened};

/// How many files may name each other in a row. Nobody needs more; a mistake in a generator does.
const DEEPEST: usize = 8;

/// The texts that make an ideal.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The name of the file that is asked about.
    pub main: String,
    /// Every file by its name. Included files are named as seen from where the main file is named:
    /// `lab/ideal.yaml` includes `web.yaml` as `lab/web.yaml`.
    pub texts: BTreeMap<String, Vec<u8>>,
    /// Every recipe that there is, of the project and of the program.
    pub recipes: BTreeMap<Name, RecipeSource>,
    /// The programs in the project's folder `plugins`.
    pub plugins: BTreeMap<Name, FileRef>,
}

impl Sources {
    /// One file that includes no other.
    pub fn one(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Sources {
        let main = name.into();
        Sources { texts: BTreeMap::from([(main.clone(), text.into())]), main, ..Sources::default() }
    }
}

/// The names of the files that a text includes, as keys for [`Sources::texts`]. What cannot be a name is left
/// out here and reported by [`crate::load`].
pub fn includes_of(name: &str, text: &[u8]) -> Vec<String> {
    let Ok(text) = decode(0, text) else { return Vec::new() };
    // Most files include nothing, and need not be parsed twice to know it.
    if !text.contains("include") {
        return Vec::new();
    }
    let (Some(root), _) = yaml::parse(0, text) else { return Vec::new() };
    let named = root.get("include").map_or(&[][..], Node::items);
    named.iter().filter_map(|item| text_of(item).and_then(|path| beside(name, path).ok())).collect()
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The name of a file that another one names, or why it is not taken.
fn beside(name: &str, path: &str) -> Result<String, &'static str> {
    if path.is_empty() {
        return Err("the name is empty");
    }
    if path.starts_with('/') || path.starts_with('~') {
        return Err("only files inside the project folder can be included");
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("the name has characters that no file of an ideal needs");
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => return Err("an included file cannot be named with `..`: it must lie beside or below"),
            "" | "." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// All sources and the tree that they make together.
pub(crate) struct Merged {
    pub(crate) sources: Vec<Source>,
    pub(crate) root: Option<Node>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads the main file and all that it includes, each once.
pub(crate) fn merge(input: &Sources) -> Merged {
    let mut merge = Merge {
        input,
        merged: Merged { sources: Vec::new(), root: None, problems: Vec::new() },
        bytes: 0,
        done: Vec::new(),
        broken: false,
    };
    merge.file(&input.main, &mut Vec::new(), Extent::default());
    if merge.broken {
        merge.merged.root = None;
    }
    merge.merged
}

struct Merge<'i> {
    input: &'i Sources,
    merged: Merged,
    bytes: usize,
    done: Vec<String>,
    /// Some file could not be read: what the others lack may stand there.
    broken: bool,
}

impl Merge<'_> {
    fn refuse(&mut self, problem: Problem) {
        self.broken = true;
        self.merged.problems.push(problem);
    }

    /// Reads one file; `way` are the files that led here, `named_at` is where the last of them names this one.
    fn file(&mut self, name: &str, way: &mut Vec<String>, named_at: Extent) {
        if way.iter().any(|other| other == name) {
            let message = format!("{} includes itself: {} -> {name}", shortened(name), way.join(" -> "));
            return self.refuse(
                Problem::new("ideal/include-cycle", named_at, message).help("remove one of the lines"),
            );
        }
        if way.len() > DEEPEST {
            let message = format!("more than {DEEPEST} files include each other in a row");
            return self.refuse(Problem::new("ideal/include-cycle", named_at, message));
        }
        if self.done.iter().any(|other| other == name) {
            return;
        }
        self.done.push(name.to_owned());
        let Some(bytes) = self.input.texts.get(name) else {
            let message = format!("the file {} could not be read", shortened(name));
            let help = "the name is looked for beside the file that includes it";
            if self.merged.sources.is_empty() {
                self.merged.sources.push(Source::new(name.to_owned(), String::new()));
            }
            return self.refuse(Problem::new("ideal/include-missing", named_at, message).help(help));
        };
        self.bytes += bytes.len();
        let source = u32::try_from(self.merged.sources.len()).unwrap_or(u32::MAX);
        let decoded = if self.bytes > MOST_BYTES && bytes.len() <= MOST_BYTES {
            let at = Extent { source, ..Extent::default() };
            let message = format!("all files of this ideal together have more than {MOST_BYTES} bytes");
            Err(Box::new((String::new(), Problem::new("ideal/too-large", at, message))))
        } else {
            decode(source, bytes)
        };
        let text = match decoded {
            Ok(text) => text,
            Err(wrong) => {
                let (shown, problem) = *wrong;
                self.merged.sources.push(Source::new(name.to_owned(), shown));
                return self.refuse(problem);
            }
        };
        self.merged.sources.push(Source::new(name.to_owned(), text.to_owned()));
        let (root, problems) = yaml::parse(source, text);
        self.merged.problems.extend(problems);
        let Some(root) = root else {
            self.broken = true;
            return;
        };
        let named = self.named(name, &root);
        self.join(root);
        way.push(name.to_owned());
        for (next, at) in named {
            self.file(&next, way, at);
        }
        way.pop();
    }

    /// The files that a file includes.
    fn named(&mut self, name: &str, root: &Node) -> Vec<(String, Extent)> {
        let mut named = Vec::new();
        let list = root.get("include");
        if let Some(list) = list
            && !matches!(list.value, Value::List(_))
            && self.merged.sources.len() > 1
        {
            // Of the main file the shape check says it.
            self.refuse(Problem::new(
                "ideal/wrong-type",
                list.at,
                "`include` wants a list of names of files",
            ));
        }
        for item in list.map_or(&[][..], Node::items) {
            let Some(path) = text_of(item) else {
                if self.merged.sources.len() > 1 {
                    self.refuse(Problem::new("ideal/wrong-type", item.at, "`include` wants names of files"));
                }
                continue;
            };
            match beside(name, path) {
                Ok(next) => named.push((next, item.at)),
                Err(why) => {
                    let problem = Problem::new("ideal/bad-include", item.at, why);
                    self.refuse(
                        problem.help("write a path from the folder of this file, such as clouds/web.yaml"),
                    );
                }
            }
        }
        named
    }

    /// Adds the content of a file to that of those before it.
    fn join(&mut self, root: Node) {
        let Some(main) = &mut self.merged.root else {
            self.merged.root = Some(root);
            return;
        };
        let entries = match root.value {
            Value::Map(entries) => entries,
            Value::Null => return,
            _ => {
                let message = "an included file is a mapping with the keys of an ideal file";
                return self.refuse(Problem::new("ideal/wrong-type", root.at, message));
            }
        };
        let Value::Map(all) = &mut main.value else { return };
        for entry in entries {
            match entry.key.as_str() {
                // Said once, by the main file; the included ones may repeat it so that they can be checked alone.
                "ideal" | "include" => {}
                _ => join_entry(all, entry, &mut self.merged.problems),
            }
        }
    }
}

fn join_entry(all: &mut Vec<Entry>, entry: Entry, problems: &mut Vec<Problem>) {
    let Some(there) = all.iter_mut().find(|other| other.key == entry.key) else {
        all.push(entry);
        return;
    };
    match (&mut there.value.value, entry.value.value) {
        (Value::Map(ours), Value::Map(theirs)) => {
            let known: BTreeMap<String, Extent> =
                ours.iter().map(|one| (one.key.clone(), one.key_at)).collect();
            for one in theirs {
                if let Some(first) = known.get(&one.key) {
                    let message = format!("`{}` is defined in two files", shortened(&one.key));
                    let mut problem = Problem::new("ideal/defined-twice", one.key_at, message);
                    problem.related = Some((*first, "first here"));
                    problems.push(problem.help("keep one of them"));
                } else {
                    ours.push(one);
                }
            }
        }
        (_, Value::Null) => {}
        (ours @ Value::Null, theirs) => {
            *ours = theirs;
            there.value.at = entry.value.at;
        }
        _ => {
            let message = format!("`{}` must be a mapping in every file", shortened(&entry.key));
            problems.push(Problem::new("ideal/wrong-type", entry.value.at, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn names_of_included_files() {
        assert_eq!(beside("ideal.yaml", "a.yaml").unwrap(), "a.yaml");
        assert_eq!(beside("clouds/a.yaml", "./b//c.yaml").unwrap(), "clouds/b/c.yaml");
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "~/x", "a\nb", "a\\b"] {
            assert!(beside("ideal.yaml", bad).is_err(), "{bad:?}");
        }
    }
}
