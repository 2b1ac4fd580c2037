//! Image files: sparse ones, their copies and their checksums. Holes are neither read nor written.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::SeekFrom;

/// In which pieces files are read. Also what checksums are made of, so it never changes.
const BLOCK: usize = 64 << 10;

/// Makes a file of this many zeros.
pub(super) fn blank(to: &Path, size: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    file.set_len(size)?;
    file.sync_all()
}

/// Copies a file to where nothing is, and syncs it.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    // What a device wrote is in memory perhaps, and a clone is of what is on disk.
    source.sync_all()?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        target.set_len(source.metadata()?.len())?;
        each_block(&source, &mut |at, block| target.write_all_at(block, at))?;
    }
    target.sync_all()
}

/// Makes a file larger; never smaller.
pub(super) fn fit(at: &Path, size: u64) -> io::Result<()> {
    if fs::metadata(at)?.len() < size {
        let file = OpenOptions::new().write(true).open(at)?;
        file.set_len(size)?;
        file.sync_all()?;
    }
    Ok(())
}

/// A checksum over the length and over each block that is not all zeros, with its place: a hole and zeros are
/// the same content.
pub(super) fn checksum(at: &Path) -> io::Result<String> {
    let file = File::open(at)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file.metadata()?.len().to_le_bytes());
    each_block(&file, &mut |at, block| {
        hasher.update(&at.to_le_bytes());
        hasher.update(block);
        Ok(())
    })?;
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

/// Gives every block that is not all zeros, in order.
fn each_block(file: &File, give: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let length = file.metadata()?.len();
    let block = BLOCK as u64;
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    while at < length {
        match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = data - data % block,
            // Nothing but a hole from here on.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            // A filesystem that knows no holes.
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        let size = usize::try_from((length - at).min(block)).map_err(io::Error::other)?;
        let part = &mut buffer[..size];
        file.read_exact_at(part, at)?;
        if part.iter().any(|byte| *byte != 0) {
            give(at, part)?;
        }
        at += block;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_and_a_hole_is_as_good_as_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        blank(&a, (5 << 20) + 17).unwrap();
        let file = OpenOptions::new().write(true).open(&a).unwrap();
        file.write_all_at(b"in the middle", (3 << 20) + 5).unwrap();
        file.write_all_at(b"end", (5 << 20) + 14).unwrap();
        copy(&a, &b).unwrap();
        assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap());
        // The same with every zero written.
        fs::write(&c, fs::read(&a).unwrap()).unwrap();
        let sums = [&a, &b, &c].map(|path| checksum(path).unwrap());
        assert_eq!((&sums[0], &sums[0]), (&sums[1], &sums[2]));
        file.write_all_at(b"!", 0).unwrap();
        assert_ne!(checksum(&a).unwrap(), sums[0], "a changed byte");
        file.set_len((5 << 20) + 18).unwrap();
        fit(&b, (5 << 20) + 18).unwrap();
        assert_ne!(checksum(&b).unwrap(), sums[0], "another length");
    }
}
