//! The program that is brought to machines: this one, or the one beside it for other processors.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use ideal_core::build::Build;
use ideal_host::durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

/// How much is read at once.
const CHUNK: usize = 1 << 20;
/// Everything that goes with a program into a file.
const MAGIC: &[u8] = b"ideal-program-1\n";

/// The program as it is sent.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Compressed by gzip.
    pub bytes: Vec<u8>,
    /// SHA-256 of what it unpacks to, in hex.
    pub sum: String,
    /// How large that is.
    pub size: u64,
}

/// The program that is brought to machines.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    /// Where what was packed is kept for the next time.
    cache: Option<PathBuf>,
    build: Build,
    own: OnceCell<Arc<Packed>>,
    others: Mutex<Vec<(String, Arc<Packed>)>>,
}

impl Program {
    /// The program at this path. `cache`: a folder in which it is kept as it is sent.
    pub fn new(path: &Path, cache: Option<PathBuf>) -> io::Result<Program> {
        let build = match &cache {
            Some(cache) => known_build(path, &cache.join("build.json"))?,
            None => build_of(path)?,
        };
        let (own, others) = (OnceCell::new(), Mutex::default());
        Ok(Program { path: path.to_owned(), cache, build, own, others })
    }

    /// Which build it is.
    pub fn build(&self) -> Build {
        self.build
    }

    /// Whether there is a program for processors of this kind, as `uname -m` calls them; an error says what is missing.
    pub fn is_there_for(&self, machine: &str) -> Result<(), String> {
        self.path_for(machine).map(|_| ())
    }

    /// Where the program for processors of this kind is, as `uname -m` calls them; an error says what is missing.
    pub(crate) fn path_for(&self, machine: &str) -> Result<PathBuf, String> {
        let machine = match machine {
            "arm64" => "aarch64",
            "amd64" => "x86_64",
            other => other,
        };
        if machine == std::env::consts::ARCH {
            return Ok(self.path.clone());
        }
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let name = format!("ideal-{machine}");
        let beside = self.path.with_file_name(&name);
        if machine.chars().all(plain) && beside.is_file() {
            return Ok(beside);
        }
        Err(format!(
            "it is a machine of {machine}, and there is no `{name}` beside {}: put the program for it there",
            self.path.display()
        ))
    }

    /// The program for processors of this kind, packed. It is packed once.
    pub(crate) async fn packed(&self, machine: &str) -> Result<Arc<Packed>, String> {
        let path = self.path_for(machine)?;
        if path == self.path {
            let own = self.own.get_or_try_init(|| self.pack(path, "own")).await?;
            return Ok(own.clone());
        }
        let mut others = self.others.lock().await;
        if let Some((_, packed)) = others.iter().find(|(kind, _)| kind == machine) {
            return Ok(packed.clone());
        }
        let packed = self.pack(path, machine).await?;
        others.push((machine.to_owned(), packed.clone()));
        Ok(packed)
    }

    async fn pack(&self, path: PathBuf, kind: &str) -> Result<Arc<Packed>, String> {
        // Another program for other processors may lie beside the same one of ours.
        let cache = self.cache.as_ref().filter(|_| kind == "own").map(|to| to.join(self.build.to_string()));
        let work = move || {
            if let Some(known) = cache.as_deref().and_then(|cache| read(cache).ok()) {
                return Ok(known);
            }
            let packed = pack(&path)?;
            if let Some(cache) = &cache {
                // Only time is lost where it cannot be kept.
                _ = keep(cache, &packed);
            }
            Ok(packed)
        };
        let packed = tokio::task::spawn_blocking(work).await;
        let packed = packed.map_err(|error| error.to_string())?;
        packed.map(Arc::new).map_err(|error: io::Error| format!("this program cannot be read: {error}"))
    }
}

/// A build and the file that it was found to be: reading the whole program costs more than most commands.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownBuild {
    path: PathBuf,
    size: u64,
    changed: (i64, i64),
    inode: u64,
    build: Build,
}

fn known_build(path: &Path, note: &Path) -> io::Result<Build> {
    let meta = fs::metadata(path)?;
    let (size, changed, inode) = (meta.len(), (meta.ctime(), meta.ctime_nsec()), meta.ino());
    let known: Option<KnownBuild> = durable::read_json(note).unwrap_or_default();
    if let Some(known) = known.filter(|known| {
        (&*known.path, known.size, known.changed, known.inode) == (path, size, changed, inode)
    }) {
        return Ok(known.build);
    }
    let build = build_of(path)?;
    let known = KnownBuild { path: path.to_owned(), size, changed, inode, build };
    // Only time is lost where it cannot be kept.
    _ = note.parent().map_or(Ok(()), durable::private_dir).and_then(|()| durable::write_json(note, &known));
    Ok(build)
}

fn build_of(path: &Path) -> io::Result<Build> {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs::File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hasher.update(&chunk[..read]),
        };
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Ok(Build(u64::from_be_bytes(first)))
}

fn pack(path: &Path) -> io::Result<Packed> {
    let mut file = fs::File::open(path)?;
    let mut packing = GzEncoder::new(Vec::new(), Compression::default());
    let (mut sum, mut size, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        sum.update(&chunk[..read]);
        packing.write_all(&chunk[..read])?;
        size += read as u64;
    }
    let sum = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Packed { bytes: packing.finish()?, sum, size })
}

fn keep(path: &Path, packed: &Packed) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        durable::private_dir(folder)?;
        // Of older builds nobody will ask again.
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.parse::<Build>().is_ok()) {
                durable::remove(&entry.path())?;
            }
        }
    }
    let head = format!("{} {}\n", packed.sum, packed.size);
    durable::write(path, &[MAGIC, head.as_bytes(), &packed.bytes].concat())
}

fn read(path: &Path) -> io::Result<Packed> {
    let bytes = fs::read(path)?;
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(wrong)?;
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(wrong)?;
    let head = std::str::from_utf8(&rest[..end]).map_err(|_| wrong())?;
    let (sum, size) = head.split_once(' ').ok_or_else(wrong)?;
    let size = size.parse().map_err(|_| wrong())?;
    Ok(Packed { bytes: rest[end + 1..].to_vec(), sum: sum.to_owned(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_packed_is_kept_and_unpacks_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
        fs::write(&path, &content).unwrap();
        let cache = folder.path().join("cache");
        let program = Program::new(&path, Some(cache.clone())).unwrap();
        let packed = program.packed(std::env::consts::ARCH).await.unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.bytes[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((unpacked, packed.size), (content, 3_000_000));
        let kept = read(&cache.join(program.build().to_string())).unwrap();
        assert_eq!((kept.bytes, kept.sum), (packed.bytes.clone(), packed.sum.clone()));
        let why = program.packed("sparc64").await.unwrap_err();
        assert!(why.contains("there is no `ideal-sparc64` beside"), "{why}");
        assert!(program.packed("../x").await.is_err());
        fs::write(folder.path().join("ideal-riscv64"), "other").unwrap();
        assert_eq!(program.packed("riscv64").await.unwrap().size, 5);
    }
}
