//! Recipes as folders: those of the project, `recipes/NAME` beside the ideal file, and those that came with this
//! program. A project's own wins over a shipped one of the same name. And the programs of plugins, `plugins/NAME`.

mod shipped;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use ideal_core::id::Name;
use ideal_core::recipe::FileRef;
use ideal_file::{MOST_BYTES, RecipeFile, RecipeSource};

/// The folder of recipes in a project, and the document of each.
pub(crate) const FOLDER: &str = "recipes";
pub(crate) const DOCUMENT: &str = "recipe.yaml";
/// The folder of programs that know kinds of their own.
pub(crate) const PLUGINS: &str = "plugins";
/// More files than this in one recipe are a folder that was put there by mistake.
const MOST_FILES: usize = 1000;
/// How deep folders nest in `templates` and `files`.
const DEEPEST: usize = 8;

/// Recipes with the way to what is in them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Every recipe.
    pub(crate) sources: BTreeMap<Name, RecipeSource>,
    /// The programs of plugins.
    pub(crate) plugins: BTreeMap<Name, FileRef>,
    /// All templates, files and programs, by the hash of their content.
    contents: BTreeMap<String, Content>,
    /// Shipped recipes that one of the project stands before.
    pub(crate) hidden: Vec<Name>,
}

/// Where a content lies.
#[derive(Debug)]
enum Content {
    At(PathBuf),
    Shipped(&'static [u8]),
}

impl Shelf {
    /// Reads the recipes of a project folder and adds the shipped ones. `shown`: the folder as messages call it.
    pub(crate) fn open(folder: &Path, shown: &Path) -> std::io::Result<Shelf> {
        let mut shelf = Shelf::default();
        let root = folder.canonicalize()?;
        shelf.add_plugins(&folder.join(PLUGINS))?;
        let entries = match std::fs::read_dir(folder.join(FOLDER)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                shelf.add_shipped();
                return Ok(shelf);
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().and_then(|name| Name::new(name).ok()) else {
                continue;
            };
            // A link out of the project would make the recipe another one on each machine.
            let Ok(path) = entry.path().canonicalize() else { continue };
            let document = path.join(DOCUMENT);
            if !path.starts_with(&root) || !document.is_file() {
                continue;
            }
            let shown = shown.join(FOLDER).join(name.as_str());
            let mut source = RecipeSource {
                name: shown.join(DOCUMENT).to_string_lossy().into_owned(),
                text: read_at_most(&document, MOST_BYTES)?,
                ..RecipeSource::default()
            };
            for kind in ["templates", "files"] {
                shelf.add_files(&path.join(kind), kind, 0, &mut source)?;
            }
            shelf.sources.insert(name, source);
        }
        shelf.add_shipped();
        Ok(shelf)
    }

    /// The content of a hash, when a recipe has it. An error says that the file was changed since it was read.
    pub(crate) fn content(&self, hash: &str) -> std::io::Result<Option<Vec<u8>>> {
        let path = match self.contents.get(hash) {
            Some(Content::At(path)) => path,
            Some(Content::Shipped(bytes)) => return Ok(Some(bytes.to_vec())),
            None => return Ok(None),
        };
        let bytes = std::fs::read(path)?;
        if FileRef::of(&bytes).hash != hash {
            let message =
                format!("{} was changed while it was used; the next run takes the new one", path.display());
            return Err(std::io::Error::other(message));
        }
        Ok(Some(bytes))
    }

    fn add_plugins(&mut self, folder: &Path) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().and_then(|name| Name::new(name).ok()) else {
                continue;
            };
            if entry.file_type()?.is_file() {
                let content = FileRef::of(&std::fs::read(entry.path())?);
                self.contents.insert(content.hash.clone(), Content::At(entry.path()));
                self.plugins.insert(name, content);
            }
        }
        Ok(())
    }

    fn add_files(
        &mut self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        source: &mut RecipeSource,
    ) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            let kind = entry.file_type()?;
            let key = format!("{prefix}/{name}");
            if kind.is_dir() && depth < DEEPEST {
                self.add_files(&path, &key, depth + 1, source)?;
            }
            // Editors leave hidden files behind; links lead anywhere.
            if !kind.is_file() || name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            if source.files.len() >= MOST_FILES {
                let message =
                    format!("{} has more than {MOST_FILES} files", source.name.trim_end_matches(DOCUMENT));
                return Err(std::io::Error::other(message));
            }
            let file = if prefix.starts_with("templates") {
                let text = read_at_most(&path, MOST_BYTES)?;
                RecipeFile { content: FileRef::of(&text), text: Some(text) }
            } else {
                RecipeFile { content: FileRef::of(&std::fs::read(&path)?), text: None }
            };
            self.contents.insert(file.content.hash.clone(), Content::At(path));
            source.files.insert(key, file);
        }
        Ok(())
    }

    fn add_shipped(&mut self) {
        for recipe in shipped::ALL {
            let Ok(name) = Name::new(recipe.name) else { continue };
            if self.sources.contains_key(&name) {
                self.hidden.push(name);
                continue;
            }
            let mut source = RecipeSource {
                name: format!("(shipped) {FOLDER}/{name}/{DOCUMENT}"),
                text: recipe.document.as_bytes().to_vec(),
                shipped: true,
                ..RecipeSource::default()
            };
            for (key, text) in recipe.files {
                let bytes = text.as_bytes();
                let content = FileRef::of(bytes);
                self.contents.insert(content.hash.clone(), Content::Shipped(bytes));
                let text = key.starts_with("templates/").then(|| bytes.to_vec());
                source.files.insert((*key).to_owned(), RecipeFile { content, text });
            }
            self.sources.insert(name, source);
        }
    }
}

/// A file, or of one that is too large just enough to see that it is.
fn read_at_most(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(most as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
