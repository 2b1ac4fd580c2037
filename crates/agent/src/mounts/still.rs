//! Filesystems held still while a snapshot is taken of their device.
//!
//! What is written down of each says who must let it go: this agent when its time is over, the next one when it starts
//! or mounts it again, the provider when the agent has died and when it takes the device away.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ideal_core::id::VolumeId;
use ideal_core::ideal::Hook;
use ideal_core::time::{Span, Time};
use ideal_host::home::{Device, Still};
use ideal_host::{durable, now};
use ideal_resources::exec::{self, Program};

use super::device::{aside, run};
use super::table;
use crate::hooks::USUAL;
use crate::node::Node;
use crate::render::render;

/// No order holds a filesystem longer than this.
const LONGEST: Span = Span::mins(5);

/// Runs `before`, and holds the filesystem of a mounted volume still.
pub(crate) async fn freeze(
    node: &Rc<Node>,
    volume: &VolumeId,
    at_most: Span,
    before: Option<Hook>,
    after: Option<Hook>,
) -> Result<(), String> {
    let mount = match node.state().mounts.get(volume) {
        Some(mount) if mount.mounted => mount.clone(),
        _ => return Err(format!("{volume} is not mounted here")),
    };
    // One of before whose engine has died.
    thaw(node, volume).await?;
    let at_most = at_most.min(LONGEST);
    let patience = before.as_ref().map_or(Span::ZERO, |hook| hook.timeout.unwrap_or(LONGEST));
    let held = Still { id: node.next_start(), until: now() + patience + at_most, at: None, after };
    durable::private_dir(&node.home.still()).map_err(|error| error.to_string())?;
    // First: what `before` stopped goes on again whatever happens to us.
    durable::write_json(&node.home.held(volume), &held).map_err(|error| error.to_string())?;
    let mut done = match before {
        Some(hook) => hooked(node, "before", &hook).await,
        None => Ok(()),
    };
    if done.is_ok() {
        done = hold(node, volume, mount.device, &held, at_most).await;
    }
    if let Err(why) = done {
        let undone = thaw(node, volume).await.err().map(|why| format!("; {why}")).unwrap_or_default();
        return Err(format!("{why}{undone}"));
    }
    Ok(())
}

/// Holds a filesystem still, if its note is still the one of this order. Nobody mounts, unmounts or lets go meanwhile,
/// and it is looked at once more: were it gone from there, the filesystem below would be held, which may be that of
/// the whole system.
async fn hold(
    node: &Rc<Node>,
    volume: &VolumeId,
    device: Option<Device>,
    held: &Still,
    at_most: Span,
) -> Result<(), String> {
    let _alone = node.mounting.lock().await;
    if read(node, volume)?.is_none_or(|known| known.id != held.id) {
        return Err("somebody let it go on before it was held".to_owned());
    }
    let mount = node.state().mounts.get(volume).filter(|mount| mount.mounted).cloned();
    let at = mount.map(|mount| mount.at).ok_or_else(|| format!("{volume} is not mounted any more"))?;
    if let Some(device) = device {
        let points = table::points(device).map_err(|error| error.to_string())?;
        if !points.contains(&at) {
            return Err(format!("{volume} is not mounted at {at} any more"));
        }
    }
    let until = now() + at_most;
    let held = Still { until, at: device.map(|_| at.clone()), ..held.clone() };
    durable::write_json(&node.home.held(volume), &held).map_err(|error| error.to_string())?;
    let (in_time, of) = (node.clone(), volume.clone());
    tokio::task::spawn_local(async move { thaw_at(&in_time, &of, until).await });
    match device {
        Some(_) => freezer("-f", at).await,
        None => Ok(()),
    }
}

fn read(node: &Node, volume: &VolumeId) -> Result<Option<Still>, String> {
    durable::read_json(&node.home.held(volume)).map_err(|error| error.to_string())
}

/// Lets a filesystem go on, and runs what was to run afterwards. Nothing when it is not held.
pub(crate) async fn thaw(node: &Rc<Node>, volume: &VolumeId) -> Result<(), String> {
    {
        let _alone = node.mounting.lock().await;
        let_go(node, volume).await?;
    }
    finish(node, volume).await
}

/// Lets a filesystem go on. For who keeps others from mounting and unmounting meanwhile.
pub(super) async fn let_go(node: &Rc<Node>, volume: &VolumeId) -> Result<(), String> {
    let Some(held) = read(node, volume)? else { return Ok(()) };
    let is_mounted = node.state().mounts.get(volume).is_some_and(|mount| mount.mounted);
    // Of one that is not mounted any more the note stays as it is: it is held until it is mounted somewhere again.
    let Some(at) = held.at.clone().filter(|_| is_mounted) else { return Ok(()) };
    freezer("-u", at).await?;
    durable::write_json(&node.home.held(volume), &Still { at: None, ..held })
        .map_err(|error| error.to_string())
}

/// Runs what was to run once a filesystem goes on, and forgets that it was held. Should this agent die in the middle,
/// the next one runs it again.
pub(super) async fn finish(node: &Rc<Node>, volume: &VolumeId) -> Result<(), String> {
    let Some(held) = read(node, volume)?.filter(|held| held.at.is_none()) else { return Ok(()) };
    // Of what is not mounted now it runs when it is again: it may be about what is on it.
    if !node.state().mounts.get(volume).is_some_and(|mount| mount.mounted) {
        return Ok(());
    }
    if !node.seen.borrow_mut().finishing.insert(volume.clone()) {
        return Ok(());
    }
    let done = match &held.after {
        Some(hook) => hooked(node, "after", hook).await,
        None => Ok(()),
    };
    node.seen.borrow_mut().finishing.remove(volume);
    if read(node, volume)?.is_some_and(|known| known.id == held.id) {
        durable::remove(&node.home.held(volume)).map_err(|error| error.to_string())?;
    }
    done.inspect_err(|why| node.log.say(why))
}

/// Sees to it that what an agent of before held still goes on in time.
pub(crate) async fn thaw_in_time(node: Rc<Node>) {
    let Ok(entries) = std::fs::read_dir(node.home.still()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(volume) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
        let volume = VolumeId::new(volume);
        let held = read(&node, &volume).ok().flatten();
        // What is not held any more only waits for what runs afterwards.
        let until = held.filter(|held| held.at.is_some()).map_or_else(now, |held| held.until);
        let node = node.clone();
        tokio::task::spawn_local(async move { thaw_at(&node, &volume, until).await });
    }
}

async fn thaw_at(node: &Rc<Node>, volume: &VolumeId, until: Time) {
    tokio::time::sleep(until.since(now()).std()).await;
    // Let go meanwhile, and perhaps held anew for longer.
    let late = |held: &Still| held.at.is_none() || held.until <= until;
    let Some(held) = read(node, volume).ok().flatten().filter(late) else { return };
    match thaw(node, volume).await {
        Ok(()) if held.at.is_none() => {}
        Ok(()) => node.log.say(format_args!("{volume} was held still for too long, and goes on")),
        Err(why) => node.log.say(format_args!("{volume}: {why}")),
    }
}

/// `fsfreeze` asks the kernel; a filesystem that is not held is as good as one that was let go.
async fn freezer(flag: &'static str, at: String) -> Result<(), String> {
    let ran = aside(move || run("fsfreeze", &[flag], Path::new(&at))).await??;
    let is_free = flag == "-u" && ran.said.contains("Invalid argument");
    if ran.code == 0 || is_free { Ok(()) } else { Err(format!("fsfreeze {flag} failed: {}", ran.said)) }
}

/// Runs a program of the file. Without a slice there is nothing to read its texts with.
async fn hooked(node: &Rc<Node>, word: &str, hook: &Hook) -> Result<(), String> {
    let label = format!("backup {word}");
    let slice = node.slice().map(|held| held.slice.clone());
    let slice = slice.ok_or_else(|| format!("{label}: there is no slice yet"))?;
    let context = node.context(&slice, None);
    let words = hook.run.0.iter().map(|word| render(word, &context)).collect::<Result<Vec<_>, _>>();
    let words = words.map_err(|problem| format!("{label}: {problem}"))?;
    let limit: Duration = hook.timeout.map_or(USUAL, |limit| limit.std());
    let outcome = exec::run(&**node, &label, &Program::new(words, limit)).await;
    if outcome.agreed() {
        return Ok(());
    }
    let failed = outcome.failed.clone().unwrap_or_else(|| "it refused".to_owned());
    let output = outcome.output.lines().last().unwrap_or_default();
    Err(format!("{label}: {failed} {output}").trim_end().to_owned())
}
