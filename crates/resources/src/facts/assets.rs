//! Data that is worth keeping: how much of it there is, whose it is, how old, and what it sums to.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ideal_core::facts::Asset;
use ideal_core::time::Time;

use super::{Named, Wish};
use crate::digest::digest;
use crate::ground::Ground;

/// Where databases keep their data, by what is found there.
const DATABASES: [(&str, &str, &str); 4] = [
    ("postgresql", "/var/lib/postgresql", "PG_VERSION"),
    ("mysql", "/var/lib/mysql", "ibdata1"),
    ("redis", "/var/lib/redis", "dump.rdb"),
    ("sqlite", "/var/lib/sqlite", "main.db"),
];
/// No more files than this are counted for one asset unless its checksum is wanted.
const MOST: usize = 20_000;
/// How deep below its usual place a database may be: version and cluster.
const DEEP: usize = 3;

/// Where the author names paths that are worth keeping.
const NAMED: &str = "/etc/ideal/assets";
/// That file is not read beyond this, in bytes.
const LONGEST: u64 = 1 << 20;

/// The paths that a text names: a line for each, `NAME: PATH` or only the path, which is then its name too. Comments
/// and what is no absolute path are passed over.
fn named(text: &str) -> Vec<Named> {
    let line = |line: &str| {
        let line = line.trim();
        let (name, path) = match line.starts_with('/') {
            true => (line, line),
            false => line.split_once(':').map(|(name, path)| (name.trim(), path.trim()))?,
        };
        let good = path.starts_with('/') && !name.is_empty() && !name.starts_with('#');
        good.then(|| Named { name: name.to_owned(), kind: "path", path: path.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

fn named_by_the_author(ground: &dyn Ground) -> io::Result<Vec<Named>> {
    let (root, path) = ground.below(NAMED)?;
    let Some(sight) = root.sight(&path)? else { return Ok(Vec::new()) };
    Ok(named(&String::from_utf8_lossy(&sight.read(LONGEST)?)))
}

/// All assets by name. How much there is of each is counted aside: there may be very many files, and those who heal
/// the node wait for nobody.
pub(super) async fn all(ground: &dyn Ground, wish: &Wish) -> BTreeMap<String, Asset> {
    let mut assets = BTreeMap::new();
    let by_the_author = named_by_the_author(ground).unwrap_or_default();
    // Of two of one name the later counts: what is mounted by that name is no path of the author's choice.
    let all = databases(ground).into_iter().chain(by_the_author).chain(wish.assets.iter().cloned());
    for named in all {
        let Ok((root, within)) = real(ground, &named.path) else { continue };
        let path = root.join(within.trim_start_matches('/'));
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let mut asset = Asset {
            kind: named.kind.to_owned(),
            path: named.path.clone(),
            owner: meta.uid().to_string(),
            ..Asset::default()
        };
        if wish.sizes || wish.checksums {
            let checksums = wish.checksums;
            let counted = tokio::task::spawn_blocking(move || counted(&path, &meta, checksums)).await;
            if let Ok((size, changed, checksum)) = counted {
                (asset.size, asset.changed, asset.checksum) = (size, changed, checksum);
            }
        }
        assets.insert(named.name, asset);
    }
    assets
}

/// How much there is, when it last changed, and what it sums to, when that is wanted.
fn counted(path: &Path, meta: &Metadata, checksums: bool) -> (u64, Time, Option<String>) {
    let mut sum = Sum { size: 0, changed: meta.mtime(), files: 0 };
    sum.add(path, meta, if checksums { usize::MAX } else { MOST });
    let changed = Time(u64::try_from(sum.changed).unwrap_or_default() * 1000);
    (sum.size, changed, if checksums { checksum(path).ok() } else { None })
}

fn real(ground: &dyn Ground, path: &str) -> io::Result<(PathBuf, String)> {
    let (root, within) = ground.below(&format!("{}/.", path.trim_end_matches('/')))?;
    Ok((root.path()?, within))
}

fn databases(ground: &dyn Ground) -> Vec<Named> {
    let mut found = Vec::new();
    for (name, at, sign) in DATABASES {
        if let Some(folder) = find(&ground.host_path(at), sign, DEEP) {
            let path = folder.strip_prefix(ground.root()).unwrap_or(&folder);
            let path = format!("/{}", path.display());
            found.push(Named { name: name.to_owned(), kind: "database", path });
        }
    }
    found
}

fn find(folder: &Path, sign: &str, deep: usize) -> Option<PathBuf> {
    if folder.join(sign).exists() {
        return Some(folder.to_owned());
    }
    let mut inner: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    inner.sort();
    let deep = deep.checked_sub(1)?;
    inner.iter().filter(|path| path.is_dir()).find_map(|path| find(path, sign, deep))
}

struct Sum {
    size: u64,
    changed: i64,
    files: usize,
}

impl Sum {
    fn add(&mut self, path: &Path, meta: &Metadata, most: usize) {
        self.files += 1;
        self.changed = self.changed.max(meta.mtime());
        if !meta.is_dir() {
            self.size += meta.len();
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if self.files > most {
                return;
            }
            // Not beyond this filesystem: what is mounted below is an asset of its own.
            if let Ok(inner) = entry.metadata()
                && inner.dev() == meta.dev()
            {
                self.add(&entry.path(), &inner, most);
            }
        }
    }
}

/// One hash over all files of a folder: their names in order, their modes, and what is in them.
pub fn checksum(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    sum(path, Path::new(""), &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn sum(path: &Path, name: &Path, hasher: &mut blake3::Hasher) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let meta = fs::symlink_metadata(path)?;
    let name_bytes = name.as_os_str().as_bytes();
    hasher
        .update(&(name_bytes.len() as u64).to_le_bytes())
        .update(name_bytes)
        .update(&meta.mode().to_le_bytes());
    if meta.is_dir() {
        let mut inner: Vec<_> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
        inner.sort_by_key(fs::DirEntry::file_name);
        for entry in inner {
            sum(&entry.path(), &name.join(entry.file_name()), hasher)?;
        }
    } else if meta.is_symlink() {
        hasher.update(fs::read_link(path)?.as_os_str().as_bytes());
    } else if meta.is_file() {
        hasher.update(digest(File::open(path)?)?.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_somebody_named() {
        let text =
            "# what we would miss\nuploads: /srv/up loads\n/srv/keys\n\nnot/absolute\n x : y\n#a: /b\n";
        let all: Vec<(String, String)> = named(text).into_iter().map(|one| (one.name, one.path)).collect();
        let wanted = [("uploads", "/srv/up loads"), ("/srv/keys", "/srv/keys")];
        assert_eq!(all, wanted.map(|(name, path)| (name.to_owned(), path.to_owned())));
    }

    #[test]
    fn a_checksum_sees_names_modes_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::write(at.join("a"), "one").unwrap();
        let first = checksum(at).unwrap();
        assert_eq!(first, checksum(at).unwrap());
        fs::write(at.join("a"), "two").unwrap();
        let second = checksum(at).unwrap();
        assert_ne!(first, second);
        fs::rename(at.join("a"), at.join("b")).unwrap();
        assert_ne!(second, checksum(at).unwrap());
    }
}
