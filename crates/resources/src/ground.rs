//! What resources stand on: the filesystem of a node, its environment, and a folder for what is remembered.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use crate::root::Root;

/// A node as its resources see it.
pub trait Ground: Debug {
    /// In which root a path of the node lies, and as which path of that root: mounts of a node that is a folder
    /// lie outside of the folder.
    fn below(&self, path: &str) -> io::Result<(Root, String)>;
    /// The node's root as a path of the host: where programs run.
    fn root(&self) -> PathBuf;
    /// The environment of programs.
    fn environment(&self) -> BTreeMap<String, String>;
    /// The folder for notes and contents. Private to us, and outlives the agent.
    fn memory(&self) -> PathBuf;
    /// Whether a volume is mounted at exactly this path by the node's agent.
    fn is_mount(&self, path: &str) -> bool;
    /// Whether this is a whole machine, with packages, users and units of its own.
    fn is_machine(&self) -> bool;

    /// Where a content is kept, by its hash.
    fn blob(&self, hash: &str) -> PathBuf {
        self.memory().join("contents").join(hash)
    }
    /// A path of the node as one of the host, for programs that are given it.
    fn host_path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }
}

/// This machine itself: its root is `/`.
#[derive(Clone, Debug)]
pub struct Machine {
    memory: PathBuf,
}

impl Machine {
    /// With this folder for what is remembered.
    pub fn new(memory: impl Into<PathBuf>) -> Machine {
        Machine { memory: memory.into() }
    }
}

impl Ground for Machine {
    fn below(&self, path: &str) -> io::Result<(Root, String)> {
        Ok((Root::open(Path::new("/"))?, path.to_owned()))
    }
    fn root(&self) -> PathBuf {
        PathBuf::from("/")
    }
    fn environment(&self) -> BTreeMap<String, String> {
        clean_environment()
    }
    fn memory(&self) -> PathBuf {
        self.memory.clone()
    }
    fn is_mount(&self, _: &str) -> bool {
        false
    }
    fn is_machine(&self) -> bool {
        true
    }
}

/// What every program of ours finds in its environment: nothing that this process was given but these.
pub fn clean_environment() -> BTreeMap<String, String> {
    let kept = |name: &str, default: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        (name.to_owned(), value.unwrap_or_else(|| default.to_owned()))
    };
    BTreeMap::from([
        kept("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        kept("HOME", "/"),
        kept("LANG", "C.UTF-8"),
    ])
}
