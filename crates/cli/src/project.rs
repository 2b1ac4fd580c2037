//! Which ideal file is meant, and reading it with all that it includes: inside its folder only, and never more
//! than an ideal can have.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ideal_file::{Loaded, MOST_BYTES, Sources, includes_of, load};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::recipes::{FOLDER, Shelf};

/// The usual name.
pub(crate) const FILE: &str = "ideal.yaml";

/// An ideal file and what it includes.
#[derive(Debug)]
pub(crate) struct Project {
    /// The file itself; everything that it includes lies in its folder.
    pub(crate) main: PathBuf,
    /// What was read.
    pub(crate) sources: Sources,
    /// The recipes that it may use.
    pub(crate) shelf: Shelf,
}

impl Project {
    /// Finds and reads the file: the one given, else of the environment, else the nearest upwards.
    pub(crate) fn open(given: Option<&Path>) -> anyhow::Result<Project> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => match std::env::var_os("IDEAL_FILE").filter(|name| !name.is_empty()) {
                Some(path) => path.into(),
                None => nearest(&std::env::current_dir()?).ok_or_else(no_file)?,
            },
        };
        let text = read(&path).map_err(|error| cannot_read(&path, &error))?;
        // Sources are named as they are reached from here, so that a place in a message can be opened.
        let name = path.to_string_lossy().into_owned();
        let sources = Sources { main: name.clone(), ..Sources::default() };
        let mut project = Project { main: path, sources, shelf: Shelf::default() };
        let shown = project.main.parent().unwrap_or(Path::new(""));
        let shelf = Shelf::open(project.folder(), shown);
        project.shelf = shelf.map_err(|error| cannot_read(&project.folder().join(FOLDER), &error))?;
        project.sources.recipes = project.shelf.sources.clone();
        project.sources.plugins = project.shelf.plugins.clone();
        project.read_all(name, text);
        Ok(project)
    }

    /// What the file says and what is wrong with it.
    pub(crate) fn load(&self) -> Loaded {
        load(&self.sources)
    }

    /// The folder that it lies in.
    pub(crate) fn folder(&self) -> &Path {
        let folder = self.main.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// Something in that folder, as one would write it from here.
    pub(crate) fn beside(&self, inner: impl AsRef<Path>) -> PathBuf {
        self.main.parent().unwrap_or(Path::new("")).join(inner)
    }

    /// Where a source lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if name == self.sources.main { self.main.clone() } else { name.into() }
    }

    /// Writes a source anew: the whole new text or the whole old one, also when the power fails in between.
    pub(crate) fn replace(&self, name: &str, text: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        let failed = || format!("failed to write {}", path.display());
        // A link stays a link: what it points at is replaced.
        let real = path.canonicalize().with_context(failed)?;
        let mut beside = real.clone().into_os_string();
        beside.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
        let beside = PathBuf::from(beside);
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create_new(&beside)?;
            file.set_permissions(std::fs::metadata(&real)?.permissions())?;
            file.write_all(text)?;
            file.sync_all()?;
            std::fs::rename(&beside, &real)
        };
        write().inspect_err(|_| _ = std::fs::remove_file(&beside)).with_context(failed)
    }

    /// Included files that cannot be read are left out; the check says so at the line that names them.
    fn read_all(&mut self, main: String, text: Vec<u8>) {
        let root = self.folder().canonicalize().ok();
        let mut bytes = 0;
        let mut wanted = vec![(main, Some(text))];
        while let Some((name, text)) = wanted.pop() {
            if self.sources.texts.contains_key(&name) || bytes > MOST_BYTES {
                continue;
            }
            let inside = || {
                let real = self.path(&name).canonicalize().ok()?;
                real.starts_with(root.as_ref()?).then(|| read(&real).ok())?
            };
            let Some(text) = text.or_else(inside) else { continue };
            bytes += text.len();
            wanted.extend(includes_of(&name, &text).into_iter().map(|name| (name, None)));
            self.sources.texts.insert(name, text);
        }
    }
}

/// A file, or of one that is too large just enough to see that it is.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not an ordinary file"));
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The nearest ideal file upwards, to the root of the repository. Outside of a repository only this folder
/// counts: above it anyone may have put one.
fn nearest(from: &Path) -> Option<PathBuf> {
    let repository = from.ancestors().find(|folder| folder.join(".git").exists());
    for folder in from.ancestors() {
        let file = folder.join(FILE);
        if file.is_file() {
            // As it would be written from here, when that is short.
            return Some(if folder == from { PathBuf::from(FILE) } else { file });
        }
        if repository.is_none_or(|root| root == folder) {
            break;
        }
    }
    None
}

fn no_file() -> anyhow::Error {
    let failure = Failure::new("no-file", Exit::BadInput, format!("there is no {FILE} here"));
    failure.next("ideal init        writes one to begin with").next("ideal -f FILE ... names another").into()
}

fn cannot_read(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let message = format!("cannot read {}: {error}", path.display());
    let failure = Failure::new("cannot-read", Exit::BadInput, message);
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            failure.next("look at the name; `ideal init` writes a new one").into()
        }
        _ => failure.into(),
    }
}
