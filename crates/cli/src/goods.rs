//! What a project holds beside its ideal file: the folders of its recipes, and the programs of its plugins. Their
//! contents are known by hash, and read when a node lacks them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ideal_core::id::Name;
use ideal_core::recipe::FileRef;
use ideal_core::secret::Secrets;
use ideal_file::{RecipeFile, RecipeSource};

/// The largest file that a recipe may hold: it is read whole.
const LARGEST: u64 = 256 << 20;

/// Where a content is.
#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Shipped(&'static [u8]),
}

/// Contents by hash, and secrets by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goods {
    places: BTreeMap<String, Place>,
    /// The values of the secrets that the ideal names.
    pub(crate) secrets: Secrets,
}

impl ideal_engine::Goods for Goods {
    fn content(&self, hash: &str) -> io::Result<Option<Vec<u8>>> {
        match self.places.get(hash) {
            None => Ok(None),
            Some(Place::Shipped(bytes)) => Ok(Some(bytes.to_vec())),
            Some(Place::File(path)) => {
                let content = fs::read(path)?;
                if blake3::hash(&content).to_hex().as_str() != hash {
                    let why = format!("{} has changed meanwhile; run the command again", path.display());
                    return Err(io::Error::other(why));
                }
                Ok(Some(content))
            }
        }
    }
    fn secrets(&self, names: &BTreeSet<Name>) -> Secrets {
        let wanted = self.secrets.iter().filter(|(name, _)| names.contains(*name));
        wanted.map(|(name, secret)| (name.clone(), secret.clone())).collect()
    }
}

impl Goods {
    /// A content that came with the program.
    pub(crate) fn ship(&mut self, content: &'static [u8]) -> FileRef {
        let file = file_ref(content);
        self.places.insert(file.hash.clone(), Place::Shipped(content));
        file
    }
    fn take(&mut self, path: &Path) -> io::Result<(FileRef, Vec<u8>)> {
        let meta = fs::metadata(path)?;
        if !meta.is_file() || meta.len() > LARGEST {
            return Err(io::Error::other(format!("{} is no file, or one of more than 256 MiB", path.display())));
        }
        let content = fs::read(path)?;
        let file = file_ref(&content);
        self.places.insert(file.hash.clone(), Place::File(path.to_owned()));
        Ok((file, content))
    }

    /// The recipes in a project's folder `recipes`, by name. What is no recipe is passed over.
    pub(crate) fn recipes(&mut self, project: &Path) -> io::Result<BTreeMap<Name, RecipeSource>> {
        let mut recipes = BTreeMap::new();
        for (name, folder) in named(&project.join("recipes"))? {
            let document = folder.join("recipe.yaml");
            let Ok(text) = fs::read(&document) else { continue };
            let mut files = BTreeMap::new();
            for part in ["templates", "files"] {
                self.folder(&folder.join(part), part, &mut files)?;
            }
            recipes.insert(
                name,
                RecipeSource { name: document.display().to_string(), text, files, shipped: false },
            );
        }
        Ok(recipes)
    }

    /// All files below a folder, each by its path from there.
    fn folder(&mut self, folder: &Path, name: &str, files: &mut BTreeMap<String, RecipeFile>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.folder(&entry.path(), &inner, files)?;
                continue;
            }
            let (content, bytes) = self.take(&entry.path())?;
            let text = inner.starts_with("templates/").then_some(bytes);
            files.insert(inner, RecipeFile { content, text });
        }
        Ok(())
    }

    /// The programs in a project's folder `plugins`, by name without an ending.
    pub(crate) fn plugins(&mut self, project: &Path) -> io::Result<BTreeMap<Name, FileRef>> {
        let mut plugins = BTreeMap::new();
        for (name, path) in named(&project.join("plugins"))? {
            if path.is_file() {
                plugins.insert(name, self.take(&path)?.0);
            }
        }
        Ok(plugins)
    }
}

fn file_ref(content: &[u8]) -> FileRef {
    FileRef { hash: blake3::hash(content).to_hex().to_string(), size: content.len() as u64 }
}

/// The entries of a folder whose names, without an ending, can be names; none when there is no folder.
fn named(folder: &Path) -> io::Result<Vec<(Name, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| Name::new(&name.to_string_lossy()).ok());
        all.extend(name.map(|name| (name, path)));
    }
    all.sort();
    Ok(all)
}
