//! Who notices drift: the kernel tells when something changes at a path that matters, and when a process ends.
//!
//! A notice is never more than a reason to look. One too many costs a look; should one be missed, the sweep finds
//! what it would have told. One small thread waits for the kernel, for all that is watched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use tokio::sync::Notify;

use crate::ground::Ground;
use crate::prepare::Prepared;

/// What comes in a burst is looked at together: a program that saves a file does so in several steps.
const BURST: Duration = Duration::from_millis(20);

/// What was noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Resources to be looked at, by place.
    pub places: BTreeSet<usize>,
    /// Whether the paths themselves moved, so that all is to be looked at and watched anew.
    pub all: bool,
}

/// Watches the paths of prepared resources, and the processes of some.
#[derive(Debug)]
pub struct Watch {
    notices: Option<Arc<Slot>>,
    /// Written to when nobody waits any more.
    stop: Option<OwnedFd>,
    unwatched: BTreeSet<usize>,
}

/// What was noticed and not yet heard: merged, so that a busy writer fills no memory while nobody listens.
#[derive(Debug, Default)]
struct Slot {
    noticed: Mutex<Noticed>,
    came: Notify,
}

impl Slot {
    fn put(&self, new: Noticed) {
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        noticed.all |= new.all;
        noticed.places.extend(new.places);
        drop(noticed);
        self.came.notify_one();
    }
    fn take(&self) -> Noticed {
        std::mem::take(&mut *self.noticed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            let _ = rustix::io::write(stop, &1u64.to_ne_bytes());
        }
    }
}

impl Watch {
    /// Of nothing.
    pub fn none() -> Watch {
        Watch { notices: None, stop: None, unwatched: BTreeSet::new() }
    }

    /// Of all that the resources name, and of these processes by label.
    pub fn new(
        ground: &dyn Ground,
        prepared: &Prepared,
        processes: &BTreeMap<String, BTreeSet<u32>>,
    ) -> Watch {
        let all = (0..prepared.items.len()).collect();
        let nothing = Watch { notices: None, stop: None, unwatched: all };
        Watch::begin(ground, prepared, processes).unwrap_or(nothing)
    }

    fn begin(
        ground: &dyn Ground,
        prepared: &Prepared,
        processes: &BTreeMap<String, BTreeSet<u32>>,
    ) -> io::Result<Watch> {
        let files = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut watched = Watched { files, folders: BTreeMap::new(), processes: Vec::new() };
        let mut unwatched = BTreeSet::new();
        for (i, item) in prepared.items.iter().enumerate() {
            for path in item.paths() {
                if watched.path(ground, &path, i).is_err() {
                    unwatched.insert(i);
                }
            }
            for pid in processes.get(&item.id).into_iter().flatten() {
                // It has ended already: the next look tells.
                if watched.process(*pid, i).is_err() {
                    unwatched.insert(i);
                }
            }
        }
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stopped = stop.try_clone()?;
        let notices: Arc<Slot> = Arc::default();
        let slot = notices.clone();
        std::thread::Builder::new()
            .name("watch".to_owned())
            .stack_size(64 << 10)
            .spawn(move || watched.tell(&stopped, &slot))?;
        Ok(Watch { notices: Some(notices), stop: Some(stop), unwatched })
    }

    /// What could not be watched, by place, and must be looked at again and again.
    pub fn unwatched(&self) -> &BTreeSet<usize> {
        &self.unwatched
    }

    /// Waits until something is noticed, and a moment longer for what comes with it.
    pub async fn noticed(&mut self) -> Noticed {
        let Some(notices) = &self.notices else { return std::future::pending().await };
        loop {
            notices.came.notified().await;
            tokio::time::sleep(BURST).await;
            let noticed = notices.take();
            // What came during the burst was taken with it, and its notice is left over.
            if noticed != Noticed::default() {
                return noticed;
            }
        }
    }
}

/// What the thread waits for.
#[derive(Debug)]
struct Watched {
    files: OwnedFd,
    /// By watch: for each name in that folder, the resources that it may concern.
    folders: BTreeMap<i32, BTreeMap<Vec<u8>, BTreeSet<usize>>>,
    processes: Vec<(OwnedFd, usize)>,
}

impl Watched {
    /// Watches the folder of a path, or the nearest one above that is there.
    fn path(&mut self, ground: &dyn Ground, path: &str, place: usize) -> io::Result<()> {
        let mut path = path.trim_end_matches('/');
        loop {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let above = if above.is_empty() { "/" } else { above };
            // Within the folder: what is mounted there has its own root.
            let (root, within) = ground.below(&format!("{}/.", above.trim_end_matches('/')))?;
            if let Some(folder) = root.folder(&within)? {
                let flags = WatchFlags::CREATE
                    | WatchFlags::DELETE
                    | WatchFlags::MOVE
                    | WatchFlags::MODIFY
                    | WatchFlags::ATTRIB
                    | WatchFlags::DELETE_SELF
                    | WatchFlags::MOVE_SELF
                    | WatchFlags::ONLYDIR;
                let real = format!("/proc/self/fd/{}", folder.as_raw_fd());
                let id = inotify::add_watch(&self.files, real, flags)?;
                let names = self.folders.entry(id).or_default();
                names.entry(name.as_bytes().to_vec()).or_default().insert(place);
                return Ok(());
            }
            if above == "/" {
                return Ok(());
            }
            path = above;
        }
    }

    fn process(&mut self, pid: u32, place: usize) -> io::Result<()> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        self.processes.push((rustix::process::pidfd_open(pid, PidfdFlags::empty())?, place));
        Ok(())
    }

    /// Waits and tells until nobody listens.
    fn tell(mut self, stop: &OwnedFd, slot: &Slot) {
        loop {
            let mut waits = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(&self.files, PollFlags::IN)];
            waits.extend(self.processes.iter().map(|(process, _)| PollFd::new(process, PollFlags::IN)));
            match poll(&mut waits, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            let came: Vec<bool> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
            if came[0] {
                return;
            }
            let mut noticed = Noticed::default();
            if came[1] {
                drain(&self.files, &self.folders, &mut noticed);
            }
            // Heard once: a process ends only once.
            let mut ended = came[2..].iter();
            self.processes.retain(|(_, place)| {
                let gone = ended.next() == Some(&true);
                if gone {
                    noticed.places.insert(*place);
                }
                !gone
            });
            if noticed != Noticed::default() {
                slot.put(noticed);
            }
        }
    }
}

fn drain(
    notices: &OwnedFd,
    folders: &BTreeMap<i32, BTreeMap<Vec<u8>, BTreeSet<usize>>>,
    noticed: &mut Noticed,
) {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut reader = inotify::Reader::new(notices, &mut buffer);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(_) => return,
        };
        let flags = event.events();
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            noticed.all = true;
            continue;
        }
        let Some(names) = folders.get(&event.wd()) else { continue };
        if flags.intersects(
            ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED | ReadFlags::UNMOUNT,
        ) {
            noticed.all = true;
            continue;
        }
        let name = event.file_name().map(|name| name.to_bytes().to_vec()).unwrap_or_default();
        if let Some(places) = names.get(&name) {
            noticed.places.extend(places);
            // A folder that comes or goes moves what is to be watched.
            noticed.all |= flags.contains(ReadFlags::ISDIR)
                && flags.intersects(
                    ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO,
                );
        }
    }
}
