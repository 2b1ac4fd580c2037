//! Mounts of the local kind: an attached volume is a folder in the machine's home, mounted by a symlink.

use std::fs;
use std::path::Path;

use ideal_core::id::VolumeId;
use ideal_core::slice::MountOrder;
use ideal_host::durable;
use ideal_host::home::Attached;
use ideal_host::process::user_of;
use ideal_resources::Ground;
use ideal_resources::root::Spot;
use rustix::fs::FileType;

use crate::node::Node;
use crate::state::Mounted;

/// Mounts a volume that is attached. Again is as good as once. The error is the reason of a refusal.
pub(crate) fn mount(node: &Node, order: &MountOrder) -> Result<(), String> {
    let volume = node.home.volume(&order.volume);
    if !volume.is_dir() {
        return Err(format!("{} is not attached to this machine", order.volume));
    }
    let attached: Option<Attached> = durable::read_json(&node.home.attachment(&order.volume))
        .map_err(|error| format!("what is said of {} cannot be read: {error}", order.volume))?;
    if let Some(attached) = attached.filter(|attached| attached.life != order.life) {
        return Err(format!("{} is in life {}, not in {}", order.volume, attached.life, order.life));
    }
    let at = order.at.trim_end_matches('/').to_owned();
    let taken = node.state().mounts.iter().find_map(|(other, mount)| {
        let same_place = mount.mounted && *other != order.volume && mount.at == at;
        let moved = mount.mounted && *other == order.volume && mount.at != at;
        (same_place.then(|| format!("{other} is mounted there")))
            .or(moved.then(|| format!("it is mounted at {}", mount.at)))
    });
    if let Some(why) = taken {
        return Err(format!("{} cannot be mounted at {at}: {why}", order.volume));
    }
    link(node, &at, &volume).map_err(|why| format!("{} cannot be mounted at {at}: {why}", order.volume))?;
    let mounted = Mounted { name: order.name.clone(), life: order.life, at, mounted: true };
    // The link first: a crash between the two leaves a link that the same order finds right.
    let kept = node.change(|state| {
        state.mounts.insert(order.volume.clone(), mounted);
    });
    kept.map_err(|error| format!("the mount cannot be kept in mind: {error}"))?;
    node.seen.borrow_mut().busy.remove(&order.volume);
    node.log.say(format_args!("mounted {} at {}", order.volume, order.at));
    Ok(())
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

/// Unmounts a volume once nothing uses it. Again is as good as once.
pub(crate) fn unmount(node: &Node, volume: &VolumeId) -> Result<(), String> {
    let mount = match node.state().mounts.get(volume) {
        Some(mount) if mount.mounted => mount.clone(),
        _ => return Ok(()),
    };
    let path = node.home.volume(volume);
    if let Some(busy) = user_of(&path) {
        let why = format!("{volume} is busy: {busy}");
        node.seen.borrow_mut().busy.insert(volume.clone(), busy);
        return Err(why);
    }
    let said = |error: std::io::Error| format!("{volume} cannot be unmounted: {error}");
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
            .map_err(|why| format!("{volume} is busy ({busy}), and its link is lost: {why}"))?;
        node.seen.borrow_mut().busy.insert(volume.clone(), busy.clone());
        return Err(format!("{volume} is busy: {busy}"));
    }
    let kept = node.change(|state| {
        if let Some(mount) = state.mounts.get_mut(volume) {
            mount.mounted = false;
        }
    });
    kept.map_err(said)?;
    node.seen.borrow_mut().busy.remove(volume);
    node.log.say(format_args!("unmounted {volume}"));
    Ok(())
}
