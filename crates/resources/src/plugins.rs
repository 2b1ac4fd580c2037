//! The programs of plugins: contents like others, but ones that can be run, found by the plugin's name.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ideal_core::id::Name;
use ideal_core::recipe::FileRef;
use ideal_host::durable;

use crate::ground::Ground;

/// Where the program of a plugin is.
pub(crate) fn program(ground: &dyn Ground, name: &Name) -> PathBuf {
    ground.memory().join("plugins").join(name.as_str())
}

/// Puts the programs in place, each under its plugin's name. Their contents must be here.
pub fn install(ground: &dyn Ground, plugins: &BTreeMap<Name, FileRef>) -> io::Result<()> {
    for (name, file) in plugins {
        let (content, at) = (ground.blob(&file.hash), program(ground, name));
        if fs::read_link(&at).is_ok_and(|to| to == content) {
            continue;
        }
        fs::set_permissions(&content, Permissions::from_mode(0o700))?;
        if let Some(folder) = at.parent() {
            durable::private_dir(folder)?;
        }
        let unfinished = durable::unfinished(&at);
        durable::remove(&unfinished)?;
        std::os::unix::fs::symlink(&content, &unfinished)?;
        fs::rename(&unfinished, &at)?;
    }
    Ok(())
}
