//! What is on a block device, read from its own bytes: blank, a filesystem of ours, or something else.
//!
//! Nothing here guesses in favour of formatting: what is not provably blank holds data.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ideal_core::ideal::Filesystem;
use ideal_core::observed::FilesystemSeen;
use ideal_core::time::Bytes;

/// How much of the beginning and of the end must be zero: every filesystem, volume manager and table of partitions
/// that we know of writes there.
const EDGE: u64 = 1 << 20;
/// Where ext4 has its superblock.
const EXT4_AT: usize = 1024;

/// What is on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Provably nothing.
    Blank,
    /// A filesystem that we mount.
    Known(FilesystemSeen),
    /// Something else, in words.
    Foreign(&'static str),
}

/// Reads a device; also says how large the device is, in bytes.
pub(super) fn read(device: &Path) -> io::Result<(Content, u64)> {
    let mut device = File::open(device)?;
    let size = device.seek(SeekFrom::End(0))?;
    let edge = size.min(EDGE);
    let mut first = vec![0; usize::try_from(edge).map_err(io::Error::other)?];
    let mut last = first.clone();
    device.read_exact_at(&mut first, 0)?;
    device.read_exact_at(&mut last, size - edge)?;
    Ok((content(&first, &last), size))
}

fn content(first: &[u8], last: &[u8]) -> Content {
    if let Some(known) = ext4(first).or_else(|| xfs(first)) {
        return Content::Known(known);
    }
    if let Some(name) = signature(first) {
        return Content::Foreign(name);
    }
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    if size_is_too_small(first) || !is_zero(first) || !is_zero(last) {
        return Content::Foreign("data of an unknown kind");
    }
    Content::Blank
}

/// Less than any filesystem needs proves nothing.
fn size_is_too_small(first: &[u8]) -> bool {
    first.len() < 64 << 10
}

fn ext4(first: &[u8]) -> Option<FilesystemSeen> {
    let block = first.get(EXT4_AT..EXT4_AT + 1024)?;
    (block.get(0x38..0x3a)? == [0x53, 0xef]).then_some(())?;
    let low = u64::from(u32::from_le_bytes(block.get(0x04..0x08)?.try_into().ok()?));
    let high = u64::from(u32::from_le_bytes(block.get(0x150..0x154)?.try_into().ok()?));
    let shift = u32::from_le_bytes(block.get(0x18..0x1c)?.try_into().ok()?);
    let is_64bit = u32::from_le_bytes(block.get(0x60..0x64)?.try_into().ok()?) & 0x80 != 0;
    let blocks = if is_64bit { low | high << 32 } else { low };
    let size = 1024_u64.checked_shl(shift)?.checked_mul(blocks)?;
    Some(FilesystemSeen { kind: Filesystem::Ext4, uuid: uuid(block.get(0x68..0x78)?), size: Bytes(size) })
}

fn xfs(first: &[u8]) -> Option<FilesystemSeen> {
    (first.get(..4)? == b"XFSB").then_some(())?;
    let block = u64::from(u32::from_be_bytes(first.get(4..8)?.try_into().ok()?));
    let blocks = u64::from_be_bytes(first.get(8..16)?.try_into().ok()?);
    let size = block.checked_mul(blocks)?;
    Some(FilesystemSeen { kind: Filesystem::Xfs, uuid: uuid(first.get(32..48)?), size: Bytes(size) })
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// What else is known by its first bytes: for a better word than "unknown".
fn signature(first: &[u8]) -> Option<&'static str> {
    let known: [(usize, &[u8], &str); 10] = [
        (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
        (512, b"LABELONE", "a volume of LVM"),
        (512, b"EFI PART", "a table of partitions (GPT)"),
        (0x10040, b"_BHRfS_M", "btrfs"),
        (0x8001, b"CD001", "a disk image (ISO 9660)"),
        (4086, b"SWAPSPACE2", "swap space"),
        (0x1000, b"\xfc\x4e\x2b\xa9", "a member of a RAID"),
        (3, b"NTFS    ", "NTFS"),
        (82, b"FAT32   ", "FAT"),
        (510, b"\x55\xaa", "a table of partitions"),
    ];
    let has = |at: usize, magic: &[u8]| first.get(at..at + magic.len()) == Some(magic);
    known.into_iter().find(|(at, magic, _)| has(*at, magic)).map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> Vec<u8> {
        vec![0; EDGE as usize]
    }

    #[test]
    fn only_zeros_are_blank() {
        assert_eq!(content(&edge(), &edge()), Content::Blank);
        for at in [0, 511, 4096, EDGE as usize - 1] {
            let mut part = edge();
            part[at] = 1;
            let foreign = Content::Foreign("data of an unknown kind");
            assert_eq!(content(&part, &edge()), foreign, "in the first part, at {at}");
            assert_eq!(content(&edge(), &part), foreign, "in the last part, at {at}");
        }
        assert_ne!(content(&[0; 512], &[0; 512]), Content::Blank, "too small to prove anything");
    }

    #[test]
    fn filesystems_tell_their_uuid_and_size() {
        let mut part = edge();
        part[EXT4_AT + 0x38..EXT4_AT + 0x3a].copy_from_slice(&[0x53, 0xef]);
        part[EXT4_AT + 4..EXT4_AT + 8].copy_from_slice(&16384_u32.to_le_bytes());
        part[EXT4_AT + 0x18..EXT4_AT + 0x1c].copy_from_slice(&2_u32.to_le_bytes());
        part[EXT4_AT + 0x68..EXT4_AT + 0x78].copy_from_slice(&[0xab; 16]);
        let uuid = "abababab-abab-abab-abab-abababababab".to_owned();
        let known = FilesystemSeen { kind: Filesystem::Ext4, uuid: uuid.clone(), size: Bytes(64 << 20) };
        assert_eq!(content(&part, &edge()), Content::Known(known));
        let mut part = edge();
        part[..4].copy_from_slice(b"XFSB");
        part[4..8].copy_from_slice(&4096_u32.to_be_bytes());
        part[8..16].copy_from_slice(&131072_u64.to_be_bytes());
        part[32..48].copy_from_slice(&[0xab; 16]);
        let known = FilesystemSeen { kind: Filesystem::Xfs, uuid, size: Bytes(512 << 20) };
        assert_eq!(content(&part, &edge()), Content::Known(known));
    }

    #[test]
    fn what_is_foreign_is_named() {
        for (at, magic, name) in [
            (0, &b"LUKS\xba\xbe"[..], "LUKS"),
            (510, b"\x55\xaa", "partitions"),
            (0x10040, b"_BHRfS_M", "btrfs"),
        ] {
            let mut part = edge();
            part[at..at + magic.len()].copy_from_slice(magic);
            assert!(matches!(content(&part, &edge()), Content::Foreign(said) if said.contains(name)));
        }
    }
}
