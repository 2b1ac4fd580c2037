//! What nodes are given beside their slices: templates, files and programs by what they hash to, and secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ideal_core::id::Name;
use ideal_core::secret::{SecretSource, Secrets};
use ideal_engine::outside::Goods;
use ideal_secrets::{Identity, Origin, Resolved};

use crate::output::Output;
use crate::recipes::Shelf;

/// The goods of a project.
#[derive(Debug)]
pub(crate) struct ProjectGoods {
    shelf: Shelf,
    secrets: Secrets,
}

impl ProjectGoods {
    pub(crate) fn new(shelf: Shelf, secrets: Secrets) -> ProjectGoods {
        ProjectGoods { shelf, secrets }
    }
}

impl Goods for ProjectGoods {
    fn content(&self, hash: &str) -> std::io::Result<Option<Vec<u8>>> {
        self.shelf.content(hash)
    }
    fn secrets(&self, names: &BTreeSet<Name>) -> Secrets {
        let known = self.secrets.iter().filter(|(name, _)| names.contains(*name));
        known.map(|(name, secret)| (name.clone(), secret.clone())).collect()
    }
}

/// The secrets that an ideal declares. What is missing is said: the nodes that need it wait.
pub(crate) fn secrets(declared: &BTreeMap<Name, SecretSource>, folder: &Path, output: &Output) -> Resolved {
    if declared.is_empty() {
        return Resolved::default();
    }
    let identity = identity();
    if Identity::is_open_to_others(&identity) {
        let path = identity.display();
        output.problem(&format!("! others can read your private key: chmod 600 {path}"));
    }
    let env = |variable: &str| std::env::var(variable).ok();
    let resolved = ideal_secrets::resolve(declared, Origin { folder, identity: &identity, env });
    for (name, why) in &resolved.missing {
        output.problem(&format!("! secret `{name}` is missing: {why}"));
    }
    resolved
}

/// The file of this person's private key.
pub(crate) fn identity() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = || set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    set("IDEAL_IDENTITY").unwrap_or_else(|| config().unwrap_or_default().join("ideal/identity.txt"))
}
