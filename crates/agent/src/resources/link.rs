//! A symbolic link. Where it leads is its own affair: resources never follow it out of the root.

use ideal_core::ideal::resource::LinkSpec;
use rustix::fs::FileType;
use serde_json::Value;

use super::{Look, path};
use crate::node::Node;
use crate::render::render;

pub(crate) fn look(node: &Node, spec: &LinkSpec, context: &Value) -> Result<Look, Look> {
    let path = path(&spec.path, context)?;
    let to = render(&spec.to, context)?;
    let spot = node.spot(&path, true)?;
    let why = match spot.stat()? {
        None => "it was not there".to_owned(),
        Some(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => match spot.read_link()? {
                found if found == to => return Ok(Look::Right),
                found => format!("it led to {found}"),
            },
            FileType::Directory => return Err(Look::Wrong("a folder is in its place".to_owned())),
            _ => "something else was in its place".to_owned(),
        },
    };
    spot.put_link(&to)?;
    Ok(Look::Changed(why))
}
