//! The files that a replica finds. Those that hold a secret are in memory only, in a folder that nobody else can
//! enter; they are shown in a container by a mount, and to a process by a link.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ideal_host::durable;
use ideal_resources::Ground;
use ideal_resources::root::Attributes;
use rustix::fs::{Access, Mode};

use super::wanted::FileText;
use crate::node::Node;

/// Where memory is a filesystem, as systems have it.
const MEMORY: [&str; 2] = ["/run", "/dev/shm"];
/// The kinds of filesystem that are memory: tmpfs and ramfs.
const KINDS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whose a file is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Puts the files of a container where it can be shown them. Answers the place of each.
pub(crate) fn lay(
    node: &Node,
    replica: &str,
    files: &[FileText],
    owner: Owner,
) -> Result<Vec<PathBuf>, String> {
    let mut places = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let folder = match file.private {
            true => vault(node)?.join(replica),
            false => node.home.path().join("files").join(replica),
        };
        let said = |error: io::Error| format!("file {}: {error}", file.path);
        durable::private_dir(&folder).map_err(said)?;
        let place = folder.join(i.to_string());
        let mode = if file.private { 0o400 } else { 0o444 };
        put(&place, file.text.as_bytes(), mode, file.private.then_some(owner)).map_err(said)?;
        places.push(place);
    }
    Ok(places)
}

/// Writes a file as it is to be, unless it is that already: a container that runs has it open.
fn put(place: &Path, text: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let is_right = |meta: fs::Metadata| {
        let owned = owner.is_none_or(|owner| (meta.uid(), meta.gid()) == (owner.uid, owner.gid));
        owned && meta.mode() & 0o7777 == mode && fs::read(place).is_ok_and(|there| there == text)
    };
    if fs::symlink_metadata(place).is_ok_and(is_right) {
        return Ok(());
    }
    let temporary = durable::unfinished(place);
    durable::remove(&temporary)?;
    fs::write(&temporary, b"")?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::write(&temporary, text)?;
    if let Some(owner) = owner {
        let own = fs::metadata(&temporary)?;
        if (own.uid(), own.gid()) != (owner.uid, owner.gid) {
            chown(&temporary, Some(owner.uid), Some(owner.gid))?;
        }
    }
    fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
    fs::rename(&temporary, place)
}

/// Puts the files of a process where it looks for them: in the node's root. A secret is a link into memory.
pub(crate) fn lay_in_root(
    node: &Node,
    replica: &str,
    files: &[FileText],
    owner: Owner,
) -> Result<(), String> {
    let places = lay(node, replica, files, owner)?;
    for (file, place) in files.iter().zip(places) {
        let said = |error: io::Error| format!("file {}: {error}", file.path);
        let (root, path) = node.below(&file.path).map_err(said)?;
        if let Some(folder) = Path::new(&path).parent() {
            root.made_within(folder).map_err(said)?;
        }
        let spot = root.spot(&path).map_err(said)?;
        if file.private {
            // Whoever it belongs to must be able to walk there.
            open_for(node, &place, owner).map_err(said)?;
            spot.put_link(&place).map_err(said)?;
        } else {
            let attributes = Attributes { mode: Mode::from_raw_mode(0o644), owner: None, group: None };
            spot.put_now(&mut file.text.as_bytes(), attributes).map_err(said)?;
        }
    }
    Ok(())
}

/// The folder of a replica is its owner's, and the one around it can be walked through but not read.
fn open_for(node: &Node, place: &Path, owner: Owner) -> io::Result<()> {
    let Some(folder) = place.parent() else { return Ok(()) };
    let own = fs::metadata(folder)?;
    if (own.uid(), own.gid()) != (owner.uid, owner.gid) {
        chown(folder, Some(owner.uid), Some(owner.gid))?;
        let around = fs::read_to_string(node.home.vault())?;
        fs::set_permissions(around, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}

/// Removes the files of a replica that is gone.
pub(crate) fn forget(node: &Node, replica: &str) {
    let vault = fs::read_to_string(node.home.vault()).ok().map(PathBuf::from);
    for folder in [Some(node.home.path().join("files")), vault].into_iter().flatten() {
        if let Err(error) = durable::remove(&folder.join(replica)) {
            node.log.say(format_args!("service {replica}: its files stay in {}: {error}", folder.display()));
        }
    }
}

/// Whether a folder is one in memory that can be written to.
fn is_memory(at: &str) -> bool {
    let is_one = |stat: rustix::fs::StatFs| KINDS.into_iter().any(|kind| stat.f_type == kind);
    rustix::fs::statfs(at).is_ok_and(is_one) && rustix::fs::access(at, Access::WRITE_OK).is_ok()
}

/// The folder in memory of this machine, made when it is not there.
fn vault(node: &Node) -> Result<PathBuf, String> {
    let at = MEMORY.into_iter().find(|at| is_memory(at)).ok_or_else(|| {
        format!(
            "no secret can be a file here: none of {} is a folder in memory that can be written to",
            MEMORY.join(", ")
        )
    })?;
    let who = format!("{}\0{}", node.identity.machine, node.home.path().display());
    let folder = Path::new(at).join(format!("ideal-{}", &blake3::hash(who.as_bytes()).to_hex()[..16]));
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    // Written down first: who ends the machine removes it.
    if fs::read(node.home.vault()).ok().as_deref() != Some(folder.as_os_str().as_encoded_bytes()) {
        durable::write(&node.home.vault(), folder.as_os_str().as_encoded_bytes()).map_err(said)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(said(error)),
        _ => {}
    }
    // The folder around it is everybody's: somebody else may have been there first.
    let meta = fs::symlink_metadata(&folder).map_err(said)?;
    let own = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != own || meta.mode() & 0o066 != 0 {
        return Err(format!("{} is not this agent's own: remove it", folder.display()));
    }
    Ok(folder)
}

/// Gives an empty mount to the user of its replica: a new filesystem is root's. One that holds anything stays as it is.
pub(crate) fn hand_over(mount: &Path, owner: Owner) -> io::Result<()> {
    let meta = fs::metadata(mount)?;
    let own = rustix::process::geteuid().as_raw();
    if (meta.uid(), meta.gid()) == (owner.uid, owner.gid) || meta.uid() != own || owner == Owner::default() {
        return Ok(());
    }
    let holds = fs::read_dir(mount)?.flatten().any(|entry| entry.file_name() != "lost+found");
    if holds { Ok(()) } else { chown(mount, Some(owner.uid), Some(owner.gid)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_private_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("0");
        put(&place, b"one", 0o400, None).unwrap();
        let first = fs::metadata(&place).unwrap();
        put(&place, b"one", 0o400, None).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().ino(), first.ino(), "not written again");
        put(&place, b"two", 0o400, None).unwrap();
        let now = fs::metadata(&place).unwrap();
        assert_eq!((now.mode() & 0o7777, fs::read(&place).unwrap()), (0o400, b"two".to_vec()));
    }
}
