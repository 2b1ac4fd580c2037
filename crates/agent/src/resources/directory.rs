//! A directory.

use ideal_core::ideal::resource::DirectorySpec;
use rustix::fs::FileType;
use serde_json::Value;

use super::{Look, mode, mode_of, path};
use crate::node::Node;

pub(crate) fn look(node: &Node, spec: &DirectorySpec, context: &Value) -> Result<Look, Look> {
    let path = path(&spec.path, context)?;
    let bits = mode(&spec.mode)?;
    // The place of a mount is the volume's own root: there, and with the bits that its content brought.
    if node.state().mounts.values().any(|mount| mount.mounted && mount.at == path.trim_end_matches('/')) {
        return Ok(Look::Right);
    }
    let spot = node.spot(&path, true)?;
    match spot.stat()? {
        None => {
            spot.make_folder(bits)?;
            Ok(Look::Changed("it was not there".to_owned()))
        }
        Some(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
            Err(Look::Wrong("something that is no folder is in its place".to_owned()))
        }
        Some(stat) if mode_of(&stat) != bits => {
            spot.set_mode(bits)?;
            Ok(Look::Changed(format!("its mode was {:04o}", mode_of(&stat).bits())))
        }
        Some(_) => Ok(Look::Right),
    }
}
