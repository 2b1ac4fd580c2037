//! Keeps the names of replicas resolvable: as lines of its own in the machine's list of names, `/etc/hosts`, and as a
//! list that its containers are shown in place of theirs.
//!
//! Lines that are not its own are never touched. A node that is a folder shares the list of its host with others, and
//! leaves it alone.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ideal_core::id::Name;
use ideal_core::observed::Problem;
use ideal_core::resource::Resource;
use ideal_core::slice::Slice;
use ideal_host::durable;

use crate::node::Node;

/// Where a machine looks for names.
pub(crate) const LIST: &str = "/etc/hosts";
/// What ends each line of ours, by which it is known again.
const OURS: &str = " # kept by ideal";
/// What a container's own list begins with, as its engine would write it.
const ITSELF: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// Puts the names of the slice in force where they are looked for. What cannot be is told with the node.
pub(crate) fn put(node: &Node) {
    if !node.identity.whole {
        return;
    }
    let Some(held) = node.slice().map(|held| held.clone()) else { return };
    let slice = &held.slice;
    let lines = lines(slice, &BTreeSet::new());
    // Who wants the whole list to be as the file says has the last word on it.
    let machine = if is_wanted_whole(slice) { Ok(()) } else { put_into(Path::new(LIST), &lines) };
    let inside = list_of_containers(node);
    let containers = match inside.exists() {
        true => show_containers(node).map(drop),
        false => Ok(()),
    };
    let problem = machine.and(containers).err().map(|error| Problem {
        what: "names".to_owned(),
        why: format!("names of replicas cannot be put into {LIST}: {error}"),
        waiting: false,
    });
    let mut seen = node.seen.borrow_mut();
    if let Some(problem) = problem.as_ref().filter(|problem| seen.names.as_ref() != Some(problem)) {
        node.log.say(&problem.why);
    }
    seen.names = problem;
}

/// Puts them there again whenever something may have changed, and when somebody took them away.
pub(crate) async fn keep(node: Rc<Node>) {
    let mut versions = node.versions();
    loop {
        versions.mark_unchanged();
        put(&node);
        tokio::select! {
            changed = versions.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(node.pace.sweep) => {}
        }
    }
}

/// Writes the list that containers of this node are shown, and says where it is. It stays the same file for as long as
/// the machine lives: a container goes on seeing the file that it was shown first.
pub(crate) fn show_containers(node: &Node) -> io::Result<PathBuf> {
    let at = list_of_containers(node);
    let held = node.slice().map(|held| held.clone());
    let lines = held.map(|held| lines(&held.slice, &own_containers(&held.slice))).unwrap_or_default();
    if !at.exists() {
        durable::write(&at, ITSELF.as_bytes())?;
    }
    // Whoever runs in a container reads it, whichever user that is.
    fs::set_permissions(&at, Permissions::from_mode(0o644))?;
    write_within(&at, &format!("{ITSELF}{lines}"))?;
    Ok(at)
}

fn list_of_containers(node: &Node) -> PathBuf {
    node.home.path().join("names")
}

/// The replicas that are containers here. These are known to each other by their engine, with the ports that they have
/// inside; a list of names would stand before it.
fn own_containers(slice: &Slice) -> BTreeSet<(&Name, u32)> {
    let own = slice.replicas.iter().filter(|replica| replica.spec.image.is_some());
    own.map(|replica| (&replica.service, replica.index)).collect()
}

fn is_wanted_whole(slice: &Slice) -> bool {
    let all = slice.recipes.iter().flat_map(|used| &used.resources).chain(&slice.resources);
    let mut all = all.filter_map(|declaration| declaration.resource());
    all.any(|resource| matches!(resource, Resource::File(file) if file.path == LIST))
}

/// A line for each replica: its address and its names. `without`: these, and the common name of their services.
fn lines(slice: &Slice, without: &BTreeSet<(&Name, u32)>) -> String {
    let mut lines = String::new();
    for (service, replicas) in &slice.names {
        let shared = !without.iter().any(|(own, _)| *own == service);
        let shared = if shared { format!(" {service}") } else { String::new() };
        for (index, address) in replicas.iter().filter(|(index, _)| !without.contains(&(service, **index))) {
            lines.push_str(&format!(
                "{address} {service}-{index} {service}-{index}.{service}{shared}{OURS}\n"
            ));
        }
    }
    lines
}

/// Puts lines into a list of names, in place of those that were put there before.
fn put_into(list: &Path, lines: &str) -> io::Result<()> {
    let before = match fs::read_to_string(list) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && lines.is_empty() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let after = with_lines(&before, lines);
    if after == before {
        return Ok(());
    }
    // One that is a link stays one.
    let at = fs::canonicalize(list).unwrap_or_else(|_| list.to_owned());
    match replace(&at, &after) {
        // Of a container it is a mount, which nothing can take the place of.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => write_within(&at, &after),
        done => done,
    }
}

/// The same text with other lines of ours.
fn with_lines(text: &str, lines: &str) -> String {
    let mut others: String =
        text.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(OURS)).collect();
    if !others.is_empty() && !others.ends_with('\n') && !lines.is_empty() {
        others.push('\n');
    }
    others + lines
}

/// Another file takes the place of this one at once, with the same owner and mode.
fn replace(at: &Path, text: &str) -> io::Result<()> {
    let temporary = durable::unfinished(at);
    durable::remove(&temporary)?;
    let made = || {
        fs::write(&temporary, text)?;
        match fs::metadata(at) {
            Ok(meta) => {
                chown(&temporary, Some(meta.uid()), Some(meta.gid()))?;
                fs::set_permissions(&temporary, Permissions::from_mode(meta.mode() & 0o7777))?;
            }
            Err(_) => fs::set_permissions(&temporary, Permissions::from_mode(0o644))?,
        }
        fs::File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, at)
    };
    let made: io::Result<()> = made();
    if made.is_err() {
        durable::remove(&temporary)?;
    }
    made
}

/// Writes into the file that is there. Whoever reads it meanwhile finds no half of a line of before: what the old text
/// had more is blank before it is cut off.
fn write_within(at: &Path, text: &str) -> io::Result<()> {
    let before = fs::read(at)?;
    if before == text.as_bytes() {
        return Ok(());
    }
    let mut padded = text.as_bytes().to_vec();
    padded.resize(before.len().max(text.len()), b'\n');
    let file = OpenOptions::new().write(true).open(at)?;
    file.write_all_at(&padded, 0)?;
    file.set_len(text.len() as u64)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice() -> Slice {
        let spec = |image: Option<&str>| json!({"on": "shop", "image": image, "command": ["x"]});
        let replica = |service: &str, index: u32, image| json!({"service": service, "index": index, "spec": spec(image)});
        serde_json::from_value(json!({
            "slot": {"cloud": "5f0c6f2e-0000-4000-8000-000000000001", "index": 0}, "name": "shop[0]", "quiet": false,
            "resources": [], "hooks": {}, "context": {},
            "replicas": [replica("pub", 0, Some("pub:1")), replica("db", 0, None)],
            "names": {"pub": {"0": "10.0.0.1", "1": "10.0.0.2"}, "db": {"0": "10.0.0.1"}},
        }))
        .unwrap()
    }

    #[test]
    fn each_replica_has_a_line_with_all_its_names() {
        let all = lines(&slice(), &BTreeSet::new());
        assert_eq!(
            all,
            "10.0.0.1 db-0 db-0.db db # kept by ideal\n10.0.0.1 pub-0 pub-0.pub pub # kept by ideal\n10.0.0.2 pub-1 \
             pub-1.pub pub # kept by ideal\n"
        );
        // `pub-0` is known to its neighbours by the engine, and so is `pub`.
        let slice = slice();
        let inside = lines(&slice, &own_containers(&slice));
        assert_eq!(
            inside,
            "10.0.0.1 db-0 db-0.db db # kept by ideal\n10.0.0.2 pub-1 pub-1.pub # kept by ideal\n"
        );
    }

    #[test]
    fn only_lines_of_ours_change() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("hosts");
        let own = "127.0.0.1 localhost\n\n# 10.9.9.9 pub-0\n10.0.0.9\tprinter # kept by hand\nlast";
        fs::write(&list, own).unwrap();
        fs::set_permissions(&list, Permissions::from_mode(0o640)).unwrap();
        let check = |lines: &str, expected: &str| {
            put_into(&list, lines).unwrap();
            assert_eq!(fs::read_to_string(&list).unwrap(), expected);
        };
        let line = |address: &str| format!("{address} pub-0{OURS}\n");
        check("", own);
        check(&line("10.0.0.1"), &format!("{own}\n{}", line("10.0.0.1")));
        let inode = fs::metadata(&list).unwrap().ino();
        check(&line("10.0.0.1"), &format!("{own}\n{}", line("10.0.0.1")));
        assert_eq!(fs::metadata(&list).unwrap().ino(), inode, "what is right is not written");
        // What somebody adds below stays too.
        let below = format!("{}10.0.0.8 later\n", fs::read_to_string(&list).unwrap());
        fs::write(&list, below).unwrap();
        check(&line("10.0.0.2"), &format!("{own}\n10.0.0.8 later\n{}", line("10.0.0.2")));
        check("", &format!("{own}\n10.0.0.8 later\n"));
        assert_eq!(fs::metadata(&list).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_written_within_stays_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("names");
        fs::write(&list, "a long text of before\n").unwrap();
        let inode = fs::metadata(&list).unwrap().ino();
        for text in ["short\n", "a text that is longer than all before\n"] {
            write_within(&list, text).unwrap();
            assert_eq!(fs::read_to_string(&list).unwrap(), text);
        }
        assert_eq!(fs::metadata(&list).unwrap().ino(), inode);
    }
}
