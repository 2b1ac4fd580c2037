//! The content of an archive. Every path of it is resolved within the directory that it is unpacked in, so that
//! neither `..` nor a link of the archive's own leads out; each file is put whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ideal_core::resource::archive::{ArchiveSeen, ArchiveSpec};
use ideal_host::crash_point;
use rustix::fs::{FileType, Gid, Mode, Uid};
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::{About, Keep};
use crate::eyes::{Eyes, Seal, Trouble};
use crate::hands::Hands;
use crate::prepare::given;
use crate::root::{Attributes, Root};

/// What archives were found to be, for as long as they are the same file.
pub(crate) type Said = BTreeMap<String, (Seal, String)>;

/// The archive itself; none when it is missing.
fn open(spec: &ArchiveSpec, eyes: &Eyes<'_>) -> Result<Option<File>, Trouble> {
    match (&spec.source, &spec.path) {
        (Some(source), _) => {
            let (hash, _) =
                given(source).ok_or_else(|| Trouble::failed(format!("`{source}` was not given")))?;
            Ok(Some(eyes.content(hash)?))
        }
        (None, path) => {
            let path = path.as_deref().unwrap_or_default();
            let Some(sight) = eyes.sight(path)? else { return Ok(None) };
            match sight.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                None => Ok(None),
                Some(FileType::RegularFile) => Ok(Some(sight.open()?)),
                Some(_) => Err(Trouble::failed(format!("{path} is no file"))),
            }
        }
    }
}

fn sha256(eyes: &Eyes<'_>, key: String, file: &mut File) -> Result<String, Trouble> {
    let seal = Seal::of(&rustix::fs::fstat(&*file)?);
    if let Some((of, hash)) = eyes.cache().said.borrow().archives.get(&key)
        && *of == seal
    {
        return Ok(hash.clone());
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    eyes.cache().said.borrow_mut().archives.insert(key, (seal, hash.clone()));
    Ok(hash)
}

/// Where the note lies that says what was unpacked.
fn note(spec: &ArchiveSpec) -> String {
    format!("archive {}", ideal_core::resource::Kind::key(spec))
}

/// The archive's stream, uncompressed.
fn stream(mut file: File) -> Result<Box<dyn Read>, Trouble> {
    let mut magic = [0; 6];
    let count = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    let magic = &magic[..count];
    if magic.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(BufReader::new(file))));
    }
    let others: [(&[u8], &str); 4] =
        [(b"PK", "zip"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd")];
    match others.iter().find(|(begin, _)| magic.starts_with(begin)) {
        Some((_, name)) => {
            Err(Trouble::failed(format!("it is packed as {name}; pack it as .tar or .tar.gz")))
        }
        None => Ok(Box::new(BufReader::new(file))),
    }
}

/// Where a path of the archive goes; none when nothing of it is left. A path that climbs is refused.
fn place(path: &Path, strip: usize) -> Result<Option<PathBuf>, Trouble> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => {
                let why = format!("the archive names {}, which lies outside of it", path.display());
                return Err(Trouble::failed(why));
            }
        }
    }
    Ok((parts.len() > strip).then(|| parts[strip..].iter().collect()))
}

/// One entry of an archive.
struct Found<'e, R: Read> {
    entry: tar::Entry<'e, R>,
    path: PathBuf,
}

/// Goes through an archive. Special files and paths that climb are refused.
fn each(
    file: File,
    strip: usize,
    mut does: impl FnMut(Found<'_, Box<dyn Read>>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut archive = tar::Archive::new(stream(file)?);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        let known = matches!(
            kind,
            EntryType::Regular
                | EntryType::Continuous
                | EntryType::Directory
                | EntryType::Symlink
                | EntryType::Link
        );
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            continue;
        }
        if !known {
            let why =
                format!("the archive holds {}, which is neither file, directory nor link", path.display());
            return Err(Trouble::failed(why));
        }
        if let Some(path) = place(&path, strip)? {
            does(Found { entry, path })?;
        }
    }
    Ok(())
}

impl Keep for ArchiveSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<ArchiveSeen, Trouble> {
        let key = self.source.clone().or_else(|| self.path.clone()).unwrap_or_default();
        let archive = match open(self, eyes)? {
            Some(mut file) => Some(sha256(eyes, key, &mut file)?),
            None => None,
        };
        let unpacked = eyes.ledger().notes.get(&note(self)).cloned();
        let is_there = eyes.exists(&self.to) && self.creates.as_ref().is_none_or(|path| eyes.exists(path));
        Ok(ArchiveSeen { archive, unpacked, is_there })
    }

    async fn apply(&self, (): &(), about: About<'_>, hands: &Hands<'_>) -> Result<Option<String>, Trouble> {
        let file = || open(self, hands)?.ok_or_else(|| Trouble::failed("the archive does not exist"));
        // All of it is looked through first: of an archive that is refused, or cut off, nothing is unpacked.
        let mut folders = 0usize;
        each(file()?, self.strip, |mut found| {
            folders += usize::from(found.entry.header().entry_type().is_dir());
            io::copy(&mut found.entry, &mut io::sink())?;
            Ok(())
        })?;
        // From here on, until all is there, what is there is neither the old nor the new.
        hands.note(|ledger| {
            ledger.notes.remove(&note(self));
        })?;
        let root = hands.root_at(&self.to)?;
        let accounts = (self.owner.as_deref(), self.group.as_deref());
        let owner = accounts.0.map(|name| hands.uid(name)).transpose()?.map(Uid::from_raw);
        let group = accounts.1.map(|name| hands.gid(name)).transpose()?.map(Gid::from_raw);
        let mut later: Vec<(PathBuf, Attributes)> = Vec::with_capacity(folders);
        let mut put = Vec::new();
        each(file()?, self.strip, |found| {
            let mode = found.entry.header().mode()? & 0o777;
            let attributes = Attributes { mode: Mode::from_raw_mode(mode), owner, group };
            let path = found.path.clone();
            match unpack(&root, found, attributes, self.strip)? {
                // A directory that may not be written is made so after what lies in it.
                Made::Folder => later.push((path, attributes)),
                Made::Other => put.push(path),
            }
            Ok(())
        })?;
        for (path, attributes) in later.iter().rev() {
            root.spot(&path.to_string_lossy())?.set_attributes(*attributes)?;
        }
        crash_point("archive-unpacked");
        hands.flush(&self.to)?;
        let archive = self.look(about, hands).await?.archive.unwrap_or_default();
        hands.note(|ledger| {
            ledger.notes.insert(note(self), archive);
        })?;
        Ok(Some(format!("{} files and links, {folders} directories", put.len())))
    }
}

enum Made {
    Folder,
    Other,
}

/// Puts one entry in its place, in place of whatever file or link is there.
fn unpack(
    root: &Root,
    found: Found<'_, Box<dyn Read>>,
    attributes: Attributes,
    strip: usize,
) -> Result<Made, Trouble> {
    let Found { mut entry, path } = found;
    let at = path.to_string_lossy().into_owned();
    let spot = root.spot(&at)?;
    let kind = spot.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode));
    let to = entry.link_name()?.map(std::borrow::Cow::into_owned);
    match (entry.header().entry_type(), to) {
        (EntryType::Directory, _) => {
            match kind {
                Some(FileType::Directory) => {}
                None => spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o700), ..attributes })?,
                // A link to a directory would lead elsewhere than the archive says.
                Some(_) => {
                    spot.remove()?;
                    spot.make_folder(Attributes { mode: Mode::from_raw_mode(0o700), ..attributes })?;
                }
            }
            return Ok(Made::Folder);
        }
        _ if kind == Some(FileType::Directory) => {
            return Err(Trouble::failed(format!("a directory is in the place of {at}")));
        }
        (EntryType::Symlink, Some(to)) => spot.put_link(&to.to_string_lossy())?,
        (EntryType::Link, Some(to)) => {
            // Another name of a file that came before: a copy is as good, and cannot tie two files of the node.
            let from =
                place(&to, strip)?.ok_or_else(|| Trouble::failed(format!("{at} links to nothing here")))?;
            let from = root.sight(&from.to_string_lossy())?;
            let from = from.ok_or_else(|| Trouble::failed(format!("{at} links to nothing here")))?;
            spot.put_now(&mut from.open()?, attributes)?;
        }
        _ => spot.put_now(&mut entry, attributes)?,
    }
    Ok(Made::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_climbs() {
        let at = |path: &str, strip| {
            place(Path::new(path), strip).map(|place| place.map(|path| path.display().to_string()))
        };
        assert_eq!(at("./a/b", 0), Ok(Some("a/b".into())));
        assert_eq!(at("a/b", 1), Ok(Some("b".into())));
        assert_eq!(at("a", 1), Ok(None));
        assert!(at("../a", 0).is_err() && at("/etc/x", 0).is_err() && at("a/../../b", 1).is_err());
    }
}
