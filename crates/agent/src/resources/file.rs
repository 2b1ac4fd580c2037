//! A file with this content.

use ideal_core::ideal::resource::FileSpec;
use rustix::fs::FileType;
use serde_json::Value;

use super::{Known, Look, Seal, mode, mode_of, path};
use crate::node::Node;
use crate::render::render;

pub(crate) fn look(node: &Node, spec: &FileSpec, context: &Value, known: &mut Known) -> Result<Look, Look> {
    let path = path(&spec.path, context)?;
    let content = render(&spec.content, context)?;
    let bits = mode(&spec.mode)?;
    let hash = blake3::hash(content.as_bytes());
    let spot = node.spot(&path, true)?;
    let why = match spot.stat()? {
        None => "it was not there".to_owned(),
        Some(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let as_before = known.get(&path) == Some(&(hash, Seal::of(&stat)));
                if as_before && mode_of(&stat) == bits {
                    return Ok(Look::Right);
                }
                let length = content.len() as u64;
                let same =
                    as_before || (stat.st_size as u64 == length && spot.read(length)? == content.as_bytes());
                if same && mode_of(&stat) == bits {
                    known.insert(path, (hash, Seal::of(&stat)));
                    return Ok(Look::Right);
                }
                if same {
                    spot.set_mode(bits)?;
                    remember(&spot, path, hash, known)?;
                    return Ok(Look::Changed(format!("its mode was {:04o}", mode_of(&stat).bits())));
                }
                "its content was another".to_owned()
            }
            FileType::Symlink => "a link was in its place".to_owned(),
            FileType::Directory => return Err(Look::Wrong("a folder is in its place".to_owned())),
            _ => return Err(Look::Wrong("something that is no file is in its place".to_owned())),
        },
    };
    spot.put(content.as_bytes(), bits)?;
    remember(&spot, path, hash, known)?;
    Ok(Look::Changed(why))
}

fn remember(
    spot: &crate::root::Spot,
    path: String,
    hash: blake3::Hash,
    known: &mut Known,
) -> Result<(), Look> {
    if let Some(stat) = spot.stat()? {
        known.insert(path, (hash, Seal::of(&stat)));
    }
    Ok(())
}
