//! Mounts of the folder kind: an attached volume is a folder in the machine's home, mounted by a symlink.

use std::fs;
use std::path::Path;

use ideal_core::id::VolumeId;
use ideal_core::slice::MountOrder;
use ideal_host::process::user_of;
use ideal_resources::Ground;
use ideal_resources::root::Spot;
use rustix::fs::FileType;

use super::Kept;
use crate::node::Node;
use crate::state::Mounted;

/// Puts the link. What must hold before was looked at.
pub(super) fn mount(node: &Node, order: &MountOrder, at: &str) -> Result<(), String> {
    let volume = node.home.volume(&order.volume);
    if !volume.is_dir() {
        return Err(format!("{} is not attached to this machine", order.volume));
    }
    link(node, at, &volume).map_err(|why| format!("{} cannot be mounted at {at}: {why}", order.volume))
}

fn spot(node: &Node, at: &str) -> std::io::Result<Spot> {
    let (root, at) = node.below(at)?;
    root.spot(&at)
}

fn link(node: &Node, at: &str, volume: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let target = volume.display().to_string();
    let spot = spot(node, at).map_err(said)?;
    if let Some(stat) = spot.stat().map_err(said)? {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink if spot.read_link().map_err(said)? == target => return Ok(()),
            // A link of ours to a volume that has left the machine may go, any other may not.
            FileType::Symlink if is_stale(node, &spot.read_link().map_err(said)?) => {
                spot.remove().map_err(said)?
            }
            FileType::Directory => {
                let in_use = |error: std::io::Error| match error.kind() {
                    std::io::ErrorKind::DirectoryNotEmpty => {
                        "a folder that is not empty is in the way".to_owned()
                    }
                    _ => error.to_string(),
                };
                spot.remove_folder().map_err(in_use)?;
            }
            _ => return Err("something else is in the way".to_owned()),
        }
    }
    spot.put_link(&target).map_err(said)?;
    spot.sync().map_err(said)
}

fn is_stale(node: &Node, target: &str) -> bool {
    Path::new(target).starts_with(node.home.volumes()) && !Path::new(target).exists()
}

/// Removes the link once nothing uses the volume.
pub(super) fn unmount(node: &Node, volume: &VolumeId, mount: &Mounted) -> Result<(), Kept> {
    let path = node.home.volume(volume);
    if let Some(busy) = user_of(&path) {
        return Err(Kept::Busy(busy));
    }
    let said = |error: std::io::Error| Kept::Failed(error.to_string());
    // Synced before the link goes: "unmounted" is what a seal will rest on.
    match fs::File::open(&path) {
        Ok(folder) => rustix::fs::syncfs(&folder).map_err(|error| said(error.into()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(said(error)),
    }
    // The mount itself must not be taken for the place that its link lies in, which `spot` does not.
    if let Ok(spot) = spot(node, &mount.at)
        && let Ok(Some(stat)) = spot.stat()
        && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
        && spot.read_link().is_ok_and(|to| Path::new(&to) == path)
    {
        spot.remove().map_err(said)?;
        spot.sync().map_err(said)?;
    }
    // Between the look and the removal of the link somebody may have gone in: looked at again, and mounted again.
    if let Some(busy) = user_of(&path) {
        link(node, &mount.at, &path)
            .map_err(|why| Kept::Failed(format!("it is busy ({busy}), and its link is lost: {why}")))?;
        return Err(Kept::Busy(busy));
    }
    Ok(())
}
