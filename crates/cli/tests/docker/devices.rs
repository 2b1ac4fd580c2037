//! Devices that cannot be mounted or unmounted as they are: each case has a name and a way on, and no data is lost.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::bed::{Bed, Ran};
use crate::cluster::{EXT4, file};

impl Bed {
    /// The image file of the only volume.
    pub(crate) fn image(&self) -> PathBuf {
        let volumes = self.metas("volumes");
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        self.data().join("volumes").join(volumes[0]["id"].as_str().unwrap()).join("data")
    }
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) {
        let image = std::fs::OpenOptions::new().write(true).open(self.image()).unwrap();
        image.write_all_at(bytes, offset).unwrap();
    }
    /// How large the filesystem is, in KiB.
    pub(crate) fn room(&self) -> u64 {
        let text = self.within("df -k /var/lib/data | tail -n 1").ended(0).out;
        text.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    /// Brings the node to a state, and no further.
    pub(crate) fn to(&self, state: &str) -> Ran {
        self.ideal(&["demand", "shop.db", state]).ended(0);
        self.ideal(&["heal", "--yes", "--timeout", "20s"])
    }
}

#[test]
fn a_volume_in_use_stays_mounted() {
    let Some(bed) = Bed::start("busy") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    bed.docker(&["exec", "-d", "-w", "/var/lib/data", &bed.container(), "sleep", "3600"]).ended(0);
    let refused = bed.ideal(&["away", "--yes", "--timeout", "10s"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("(sleep) works in it");
    assert!(bed.within("mount").ended(0).out.contains("/dev/ideal/data"));
    assert!(bed.numbers() >= seen);
    bed.within("kill $(busybox pidof sleep)").ended(0);
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
}

#[test]
fn foreign_data_is_not_touched() {
    let Some(bed) = Bed::start("foreign") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes", "--to", "attached"]).ended(0);
    bed.write_at(40 << 20, b"not in the first nor in the last part");
    bed.write_at(70_000, b"somebody's data");
    let refused = bed.ideal(&["up", "--yes", "--timeout", "15s"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("data of an unknown kind");
    let mut text = [0; 15];
    std::fs::File::open(bed.image()).unwrap().read_exact_at(&mut text, 70_000).unwrap();
    assert_eq!(&text, b"somebody's data");
    // It was the person's own mistake, who takes the data away.
    bed.write_at(70_000, &[0; 15]);
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.numbers_rise_above(5);
}

#[test]
fn a_filesystem_that_needs_a_person_is_left_as_it_is() {
    let Some(bed) = Bed::start("repair") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.numbers_rise_above(5);
    bed.to("separated").ended(0);
    assert!(bed.loops().is_empty(), "a volume that is detached has no device");
    let whole = std::fs::read(bed.image()).unwrap();
    // Behind the superblock: tables of blocks, of inodes, and the first folder.
    bed.write_at(8192, &vec![0xa5; 2 << 20]);
    let broken = std::fs::read(bed.image()).unwrap();
    let refused = bed.to("launched");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("its filesystem needs a person");
    assert!(!bed.within("mount").ended(0).out.contains("/var/lib/data"));
    let differ = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    // The check itself writes into the superblock that there are errors; nothing else.
    assert!(differ(&broken, &std::fs::read(bed.image()).unwrap()) < 4096);
    // What a person restored is mounted again.
    std::fs::write(bed.image(), whole).unwrap();
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.numbers_rise_above(5);
}

#[test]
fn another_filesystem_and_a_cut_device_are_refused() {
    let Some(bed) = Bed::start("another") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    bed.to("separated").ended(0);
    let whole = std::fs::read(bed.image()).unwrap();
    let made = std::process::Command::new("mkfs.ext4").args(["-q", "-F"]).arg(bed.image()).status().unwrap();
    assert!(made.success());
    let refused = bed.to("launched");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("was there before");
    bed.to("separated").ended(0);
    std::fs::write(bed.image(), &whole[..whole.len() / 2]).unwrap();
    let refused = bed.to("launched");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("it was cut");
    bed.to("separated").ended(0);
    std::fs::write(bed.image(), whole).unwrap();
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
}

#[test]
fn a_file_that_was_taken_away_is_told() {
    let Some(bed) = Bed::start("gone") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    bed.to("separated").ended(0);
    let aside = bed.folder.join("aside");
    std::fs::rename(bed.image(), &aside).unwrap();
    let refused = bed.to("launched");
    assert_ne!(refused.code, Some(0), "no blank volume takes its place: {refused:?}");
    assert_eq!(bed.metas("volumes").len(), 1);
    std::fs::rename(&aside, bed.image()).unwrap();
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
}

#[test]
fn a_volume_comes_back_larger_when_it_is_wanted_larger() {
    let Some(bed) = Bed::start("larger") else { return };
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    let before = bed.room();
    bed.ideal(&["away", "--yes"]).ended(0);
    bed.write(&file(&bed, 0, "{size: 192MiB, at: /var/lib/data}"));
    bed.ideal(&["wake", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
    assert!(before < 64 << 10 && bed.room() > 150 << 10, "{before} and {} KiB", bed.room());
    bed.ideal(&["logs", "shop.db[0]"]).ended(0).says("grew the filesystem");
}
