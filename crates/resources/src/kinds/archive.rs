//! The content of an archive. Every path of it is resolved within the directory that it is unpacked in, so that
//! neither `..` nor a link of the archive's own leads out; each file is put whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::read::MultiGzDecoder;
use ideal_core::resource::archive::{ArchiveSeen, ArchiveSpec};
use ideal_host::crash_point;
use rustix::fs::{FileType, Gid, Mode, Uid};
use sha2::{Digest, Sha256};

use super::{About, Keep};
use crate::eyes::{Eyes, Seal, Trouble};
use crate::hands::Hands;
use crate::prepare::given;
use crate::root::Attributes;
use crate::tarball::{Made, each, unpack};

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

/// Whether work that was put aside is still waited for.
#[derive(Clone, Debug, Default)]
struct Awaited(Arc<AtomicBool>);

impl Awaited {
    fn check(&self) -> Result<(), Trouble> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Trouble::failed("it was broken off")),
            false => Ok(()),
        }
    }
}

/// Does what keeps a thread busy on one of its own, so that the agent answers meanwhile. It ends soon after nobody
/// waits for it any more.
async fn aside<T: Send + 'static>(
    does: impl FnOnce(&Awaited) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    struct GivenUp(Awaited);
    impl Drop for GivenUp {
        fn drop(&mut self) {
            self.0.0.store(true, Ordering::Relaxed);
        }
    }
    let awaited = Awaited::default();
    let _given_up = GivenUp(awaited.clone());
    let done = tokio::task::spawn_blocking(move || does(&awaited)).await;
    done.map_err(|error| Trouble::failed(error.to_string()))?
}

async fn sha256(eyes: &Eyes<'_>, key: String, mut file: File) -> Result<String, Trouble> {
    let seal = Seal::of(&rustix::fs::fstat(&file)?);
    if let Some((of, hash)) = eyes.cache().said.borrow().archives.get(&key)
        && *of == seal
    {
        return Ok(hash.clone());
    }
    let hash = aside(move |awaited| {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            awaited.check()?;
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    })
    .await?;
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

/// The largest content that is unpacked, in bytes.
const LARGEST: u64 = 64 << 30;
/// The most entries that an archive may have.
const MOST: usize = 1_000_000;

/// How many bytes are free where a path is or would be.
fn room(eyes: &Eyes<'_>, to: &str) -> Result<u64, Trouble> {
    let to = eyes.host_path(to);
    let there = to.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(there)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Reads all of an archive, within bounds; how many directories it holds.
fn looked_through(file: File, strip: usize, room: u64, awaited: &Awaited) -> Result<usize, Trouble> {
    let (mut folders, mut entries, mut size) = (0usize, 0usize, 0u64);
    each(stream(file)?, strip, |mut found| {
        awaited.check()?;
        entries += 1;
        size = size.saturating_add(found.entry.size());
        if entries > MOST {
            return Err(Trouble::failed(format!("the archive has more than {MOST} entries")));
        }
        // Before it is read: a few bytes may unpack to any number of them.
        if size > LARGEST.min(room) {
            let why =
                format!("the archive unpacks to {size} bytes or more; {room} are free, {LARGEST} the most");
            return Err(Trouble::failed(why));
        }
        folders += usize::from(found.entry.header().entry_type().is_dir());
        io::copy(&mut found.entry, &mut io::sink())?;
        Ok(())
    })?;
    Ok(folders)
}

impl Keep for ArchiveSpec {
    async fn look(&self, _: About<'_>, eyes: &Eyes<'_>) -> Result<ArchiveSeen, Trouble> {
        let key = self.source.clone().or_else(|| self.path.clone()).unwrap_or_default();
        let archive = match open(self, eyes)? {
            Some(file) => Some(sha256(eyes, key, file).await?),
            None => None,
        };
        let unpacked = eyes.ledger().notes.get(&note(self)).cloned();
        let is_there = eyes.exists(&self.to) && self.creates.as_ref().is_none_or(|path| eyes.exists(path));
        Ok(ArchiveSeen { archive, unpacked, is_there })
    }

    async fn apply(&self, (): &(), about: About<'_>, hands: &Hands<'_>) -> Result<Option<String>, Trouble> {
        let file = || open(self, hands)?.ok_or_else(|| Trouble::failed("the archive does not exist"));
        let strip = self.strip;
        let (whole, room) = (file()?, room(hands, &self.to)?);
        // All of it is looked through first: of an archive that is refused, or cut off, nothing is unpacked.
        let folders = aside(move |awaited| looked_through(whole, strip, room, awaited)).await?;
        // From here on, until all is there, what is there is neither the old nor the new.
        hands.note(|ledger| {
            ledger.notes.remove(&note(self));
        })?;
        let root = hands.root_at(&self.to)?;
        let accounts = (self.owner.as_deref(), self.group.as_deref());
        let owner = accounts.0.map(|name| hands.uid(name)).transpose()?.map(Uid::from_raw);
        let group = accounts.1.map(|name| hands.gid(name)).transpose()?.map(Gid::from_raw);
        let whole = file()?;
        let put = aside(move |awaited| {
            let mut later: Vec<(PathBuf, Attributes)> = Vec::with_capacity(folders);
            let mut put = 0usize;
            each(stream(whole)?, strip, |found| {
                awaited.check()?;
                let mode = found.entry.header().mode()? & 0o777;
                let attributes = Attributes { mode: Mode::from_raw_mode(mode), owner, group };
                let path = found.path.clone();
                match unpack(&root, found, attributes, strip)? {
                    // A directory that may not be written is made so after what lies in it.
                    Made::Folder => later.push((path, attributes)),
                    Made::Other => put += 1,
                }
                Ok(())
            })?;
            for (path, attributes) in later.iter().rev() {
                root.spot(path)?.set_attributes(*attributes)?;
            }
            Ok(put)
        })
        .await?;
        crash_point("archive-unpacked");
        hands.flush(&self.to)?;
        let archive = self.look(about, hands).await?.archive.unwrap_or_default();
        hands.note(|ledger| {
            ledger.notes.insert(note(self), archive);
        })?;
        Ok(Some(format!("{put} files and links, {folders} directories")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::LONGEST_HEADER;
    use tar::EntryType;

    #[test]
    fn no_header_fills_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        for (length, good) in [(100, true), (LONGEST_HEADER, false)] {
            let mut archive = tar::Builder::new(File::create(&path).unwrap());
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            header.set_size(length);
            header.set_cksum();
            archive.append(&header, io::repeat(0).take(length)).unwrap();
            let mut header = tar::Header::new_ustar();
            header.set_size(2 * LONGEST_HEADER);
            archive.append_data(&mut header, "large", io::repeat(1).take(2 * LONGEST_HEADER)).unwrap();
            archive.into_inner().unwrap();
            for strip in [0, 1] {
                let looked = looked_through(File::open(&path).unwrap(), strip, u64::MAX, &Awaited::default());
                assert_eq!(looked.is_ok(), good, "{length} {strip} {looked:?}");
            }
        }
    }

    #[test]
    fn what_has_no_room_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(1000);
        header.set_cksum();
        archive.append_data(&mut header, "a", &[7u8; 1000][..]).unwrap();
        // The second says that it is large, and nothing of it is there.
        header.set_size(LARGEST);
        header.set_cksum();
        archive.append_data(&mut header, "b", &[][..]).unwrap();
        archive.into_inner().unwrap();
        let look = |room, awaited: &Awaited| {
            looked_through(File::open(&path).unwrap(), 0, room, awaited)
                .map_err(|trouble| format!("{trouble:?}"))
        };
        let awaited = Awaited::default();
        assert!(look(999, &awaited).unwrap_err().contains("to 1000 bytes or more; 999 are free"));
        assert!(look(u64::MAX, &awaited).unwrap_err().contains("the most"));
        awaited.0.store(true, Ordering::Relaxed);
        assert!(look(u64::MAX, &awaited).unwrap_err().contains("broken off"));
    }
}
