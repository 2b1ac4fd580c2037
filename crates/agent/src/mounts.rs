//! Mounts: of a volume that is a folder by a symlink, of one that is a block device by the kernel.
//!
//! Which of them a volume is, its provider wrote down when it attached it.

mod cloud;
mod device;
mod folder;
mod still;
mod superblock;
mod table;

use std::path::PathBuf;
use std::rc::Rc;

use ideal_core::id::VolumeId;
use ideal_core::observed::Problem;
use ideal_core::slice::MountOrder;
use ideal_core::time::Bytes;
use ideal_host::home::{Attached, Device};
use ideal_host::{durable, now, process};

use crate::node::Node;
use crate::state::Mounted;

pub(crate) use still::{freeze, thaw, thaw_in_time};

/// A filesystem with less room than this, and less than a hundredth, is full for all that matters.
const LEFT: u64 = 64 << 20;

/// Mounts a volume that is attached. Again is as good as once. The error is the reason of a refusal.
pub(crate) async fn mount(node: &Rc<Node>, order: &MountOrder) -> Result<(), String> {
    // One at a time: an order that was given up by its giver may still be at work when it comes again.
    let _alone = node.mounting.lock().await;
    let attached: Option<Attached> = durable::read_json(&node.home.attachment(&order.volume))
        .map_err(|error| format!("what is said of {} cannot be read: {error}", order.volume))?;
    if let Some(attached) = attached.as_ref().filter(|attached| attached.life != order.life) {
        return Err(format!("{} is in life {}, not in {}", order.volume, attached.life, order.life));
    }
    let at = order.at.trim_end_matches('/').to_owned();
    let taken = node.state().mounts.iter().find_map(|(other, mount)| {
        let same_place = mount.mounted && *other != order.volume && mount.at == at;
        let moved = mount.mounted && *other == order.volume && mount.at != at;
        (same_place.then(|| format!("{other} is mounted there")))
            .or(moved.then(|| format!("it is mounted at {}", mount.at)))
    });
    let refused = |why: String| format!("{} cannot be mounted at {at}: {why}", order.volume);
    if let Some(why) = taken {
        return Err(refused(why));
    }
    let device = match attached {
        Some(attached) => attached.device,
        // Nobody but the machine itself knows what a cloud has given it.
        None if node.is_of_a_cloud() => {
            let device = cloud::device_of(&order.volume);
            Some(device.ok_or_else(|| refused("its device is not here yet".to_owned()))?)
        }
        None => None,
    };
    let on = match device {
        Some(device) => Some(device::mount(node, order, &at, device).await.map_err(refused)?),
        None => {
            folder::mount(node, order, &at)?;
            None
        }
    };
    let (name, replica, life) = (order.name.clone(), order.replica.clone(), order.life);
    let since = match node.state().mounts.get(&order.volume) {
        Some(known) if known.mounted && known.life == life => known.since,
        _ => Some(now()),
    };
    let (filled, small) = on.as_ref().map_or((None, None), |on| (on.filled, on.small.clone()));
    let filesystem = on.map(|on| on.filesystem);
    let mounted =
        Mounted { name, replica, life, at, mounted: true, since, device, filesystem, filled, small };
    // The mount first: a crash between the two leaves one that the same order finds right.
    let kept = node.change(|state| {
        state.mounts.insert(order.volume.clone(), mounted);
    });
    kept.map_err(|error| format!("the mount cannot be kept in mind: {error}"))?;
    node.seen.borrow_mut().busy.remove(&order.volume);
    // One that was held still when this machine stopped goes on now.
    still::let_go(node, &order.volume).await?;
    finish_aside(node, &order.volume);
    node.log.say(format_args!("mounted {} at {}", order.volume, order.at));
    Ok(())
}

/// Unmounts a volume once nothing uses it. Again is as good as once.
pub(crate) async fn unmount(node: &Rc<Node>, volume: &VolumeId) -> Result<(), String> {
    let _alone = node.mounting.lock().await;
    let mount = match node.state().mounts.get(volume) {
        Some(mount) if mount.mounted => mount.clone(),
        _ => return Ok(()),
    };
    // What is held still could not be written out.
    still::let_go(node, volume).await.map_err(|why| format!("{volume} cannot be unmounted: {why}"))?;
    // That it failed is in the log.
    _ = still::finish(node, volume).await;
    // The kernel would let go of a device here that a container still has.
    let shown = mount.device.and_then(|_| process::shown_to(std::path::Path::new(&mount.at)));
    let done = match mount.device {
        _ if shown.is_some() => Err(Kept::Busy(shown.unwrap_or_default())),
        Some(device) => device::unmount(volume, &mount, device).await,
        None => folder::unmount(node, volume, &mount),
    };
    match done {
        Ok(()) => {}
        Err(Kept::Busy(busy)) => {
            let why = format!("{volume} is busy: {busy}");
            node.seen.borrow_mut().busy.insert(volume.clone(), busy);
            return Err(why);
        }
        Err(Kept::Failed(why)) => return Err(format!("{volume} cannot be unmounted: {why}")),
    }
    let kept = node.change(|state| {
        if let Some(mount) = state.mounts.get_mut(volume) {
            mount.mounted = false;
        }
    });
    kept.map_err(|error| format!("that {volume} is unmounted cannot be kept in mind: {error}"))?;
    node.seen.borrow_mut().busy.remove(volume);
    node.log.say(format_args!("unmounted {volume}"));
    Ok(())
}

/// What runs after a backup holds no mount up; that it failed is in the log.
fn finish_aside(node: &Rc<Node>, volume: &VolumeId) {
    let (node, volume) = (node.clone(), volume.clone());
    tokio::task::spawn_local(async move { still::finish(&node, &volume).await });
}

/// Why a volume stays mounted.
enum Kept {
    /// Something uses it.
    Busy(String),
    /// The world said no.
    Failed(String),
}

/// What people should know of the mounts: those on which nothing more can be written.
pub(crate) fn full(node: &Node) -> Vec<Problem> {
    let state = node.state();
    let mounted = state.mounts.iter().filter(|(_, mount)| mount.mounted);
    let full = mounted.filter_map(|(volume, mount)| {
        let at = match mount.device {
            Some(_) => PathBuf::from(&mount.at),
            None => node.home.volume(volume),
        };
        let room = rustix::fs::statvfs(&at).ok()?;
        let (all, left) = (room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize);
        let is_full = left < (all / 100).min(LEFT);
        let what = format!("mount {}", mount.name);
        let why = format!("it is full: {} of {} are left", Bytes(left >> 10 << 10), Bytes(all >> 20 << 20));
        is_full.then_some(Problem { what, why, waiting: false })
    });
    full.collect()
}

/// Forgets mounts that ended with the machine's last run: a machine that was stopped comes up without them.
pub(crate) fn forget_ended(node: &Node) -> std::io::Result<()> {
    let is_there =
        |mount: &Mounted, device: Device| table::points(device).is_ok_and(|at| at.contains(&mount.at));
    node.change(|state| {
        for mount in state.mounts.values_mut() {
            if let Some(device) = mount.device.filter(|_| mount.mounted) {
                mount.mounted = is_there(mount, device);
            }
        }
    })
}
