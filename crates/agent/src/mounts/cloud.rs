//! Which device of a cloud's machine a volume is. A cloud gives devices names of its own choice; only their serial number
//! says which volume they are.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ideal_core::id::VolumeId;
use ideal_host::home::Device;

/// What udev calls a volume of EC2, before its id without the dash (NVMe's serial number of it, see "Map EBS volumes to NVMe
/// device names" in EC2's documents).
const BY_ID: &str = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_";

/// Where the kernel says the serial number of a device.
const SERIALS: [&str; 2] = ["device/serial", "serial"];

/// The device of a volume, when it is there.
pub(super) fn device_of(volume: &VolumeId) -> Option<Device> {
    let serial = volume.as_str().replace('-', "");
    by_serial(Path::new("/sys/block"), &serial).or_else(|| by_link(Path::new(&format!("{BY_ID}{serial}"))))
}

/// Where the kernel says no serial number. A link beside one that it says was made for another device and is late.
fn by_link(path: &Path) -> Option<Device> {
    let meta = fs::metadata(path).ok().filter(|meta| meta.file_type().is_block_device())?;
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let sys = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    let says = SERIALS.iter().any(|at| sys.join(at).exists());
    (!says).then_some(Device { major, minor })
}

/// As the kernel itself says it.
fn by_serial(all: &Path, wanted: &str) -> Option<Device> {
    for entry in fs::read_dir(all).ok()?.flatten() {
        let says = SERIALS.into_iter().any(|at| {
            fs::read_to_string(entry.path().join(at)).is_ok_and(|text| text.trim().replace('-', "") == wanted)
        });
        if says {
            let numbers = fs::read_to_string(entry.path().join("dev")).ok()?;
            let (major, minor) = numbers.trim().split_once(':')?;
            return Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()? });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_known_by_its_serial_number() {
        let sys = std::env::temp_dir().join(format!("ideal-serial-{}", std::process::id()));
        for (disk, serial, dev) in [("nvme0n1", "vol0aaa", "259:0"), ("nvme1n1", "vol0bbb ", "259:3")] {
            fs::create_dir_all(sys.join(disk).join("device")).unwrap();
            fs::write(sys.join(disk).join("device/serial"), format!("{serial}\n")).unwrap();
            fs::write(sys.join(disk).join("dev"), format!("{dev}\n")).unwrap();
        }
        assert_eq!(by_serial(&sys, "vol0bbb"), Some(Device { major: 259, minor: 3 }));
        assert_eq!(by_serial(&sys, "vol0b"), None);
        fs::remove_dir_all(&sys).unwrap();
        assert_eq!(by_link(Path::new("/dev/null")), None, "no block device");
    }
}
