//! Disks that are full, an engine that goes away in the middle, and what there is beside ext4 on a loop device: each
//! trouble has a name and a way on, and no data is lost.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bed::{Bed, Ran, SYSTEM, until};
use crate::cluster::{EXT4, file};

/// A folder on a small disk of its own.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    fn new(at: PathBuf, image: PathBuf, size: u64) -> SmallDisk {
        std::fs::create_dir_all(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image).output().unwrap();
        Ran::of(&made).ended(0);
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at).output().unwrap();
        Ran::of(&mounted).ended(0);
        SmallDisk { at }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Its device goes with it, once no container uses it any more.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

/// The usual file, with a service that writes a file for each number and ends when it cannot.
fn careful(bed: &Bed, mount: &str) -> String {
    let text = file(bed, 0, mount);
    let (before, _) = text.split_once("services:").unwrap();
    format!(
        r#"{before}services:
  counter:
    on: shop.db
    command:
      - /bin/sh
      - -euc
      - |
        cd "$0"
        mkdir -p done
        n=$(ls done | wc -l)
        while true; do
          n=$((n + 1))
          dd if=/dev/zero of=new bs=8192 count=1 conv=fsync 2> /dev/null || {{ echo "number $n: no space"; exit 3; }}
          mv new "done/$n"
          sleep 0.1
        done
      - "{{{{ mount.data }}}}"
"#
    )
}

impl Bed {
    /// What the careful service has done: every number once, and each whole.
    #[track_caller]
    fn done(&self) -> usize {
        let text = self.within("cd /var/lib/data/done && stat -c '%n %s' *").ended(0).out;
        let mut numbers: Vec<usize> = Vec::new();
        for line in text.lines() {
            let (name, size) = line.split_once(' ').unwrap();
            assert_eq!(size, "8192", "{name}");
            numbers.push(name.parse().unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "a number is lost");
        numbers.len()
    }
    #[track_caller]
    fn does_more(&self, before: usize) -> usize {
        // Longer than the longest wait of a service that failed.
        assert!(until(60, || self.done() > before), "the service does not go on");
        self.done()
    }
}

#[test]
fn a_full_volume_is_told_and_put_away_whole() {
    let Some(bed) = Bed::start("full") else { return };
    bed.write(&careful(&bed, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let node = bed.container();
    let mut seen = bed.does_more(0);
    let fill = "dd if=/dev/zero of=/var/lib/data/fill bs=65536 2> /dev/null || true; sync";
    bed.within(fill).ended(0);
    let wanted = "counter[0] on shop.db[0]: it ended with exit status: 3";
    let told = || bed.ideal(&["status"]).out.contains(wanted);
    assert!(until(30, told), "{:?}", bed.ideal(&["status"]));
    bed.ideal(&["status"]).ended(0).says("mount data: it is full");
    assert_ne!(bed.ideal(&["status", "--check"]).code, Some(0));
    bed.ideal(&["logs", "counter[0]"]).ended(0).says("no space");
    assert_eq!(bed.container(), node, "a node with a full volume stays");
    bed.within("rm /var/lib/data/fill; sync").ended(0);
    seen = bed.does_more(seen);
    bed.ideal(&["up", "--yes"]).ended(0);
    assert_eq!(bed.container(), node);

    bed.within(fill).ended(0);
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!((bed.left(), bed.seals_are_right()), (Vec::new(), 1));
    bed.ideal(&["wake", "--yes", "--timeout", "10s", "--to", "mounted"]).ended(0);
    let size = bed.within("stat -c %s /var/lib/data/fill").ended(0).out;
    assert!(size.trim().parse::<u64>().unwrap() > 32 << 20, "{size}");
    assert!(bed.done() >= seen);
    bed.within("rm /var/lib/data/fill").ended(0);
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.does_more(seen);
}

#[test]
fn a_host_without_room_for_a_seal_keeps_the_volume() {
    let Some(bed) = Bed::start("noroom") else { return };
    // Beside the project, so that its own device is not taken for one of a volume.
    let image = bed.folder.with_file_name("disk.img");
    let disk = SmallDisk::new(bed.folder.join("p/.ideal"), image, 192 << 20);
    let ballast = disk.at.join("ballast");
    bed.write(&file(&bed, 0, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    let seen = bed.numbers_rise_above(5);
    bed.within("dd if=/dev/urandom of=/var/lib/data/much bs=1048576 count=40 2> /dev/null; sync").ended(0);
    let before = bed.within("sha256sum < /var/lib/data/much").ended(0).out;
    std::fs::write(&ballast, vec![1; 110 << 20]).unwrap();
    let refused = bed.ideal(&["away", "--yes", "--timeout", "15s"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("No space left on device");
    assert_eq!(bed.metas("volumes").len(), 1, "what is not sealed is not deleted");
    bed.ideal(&["status"]).says("shop.db[0]");
    std::fs::remove_file(&ballast).unwrap();
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!((bed.left(), bed.metas("volumes").len(), bed.seals_are_right()), (Vec::new(), 0, 1));
    bed.ideal(&["wake", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
    assert_eq!(bed.within("sha256sum < /var/lib/data/much").ended(0).out, before);
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
}

/// Begins a command and takes the engine away after a while; how the command ended. `dies`: without a word.
fn without_engine(bed: &Bed, arguments: &[&str], after: Duration, dies: bool) -> Ran {
    let mut command = bed.command(arguments);
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(after);
    if dies {
        bed.engine_dies();
    } else {
        bed.engine_stops();
    }
    Ran::of(&child.wait_with_output().unwrap())
}

#[test]
fn an_engine_that_stops_in_the_middle() {
    let Some(bed) = Bed::start("middle") else { return };
    bed.write(&file(&bed, 0, EXT4));
    let mut seen = 0;
    for (number, millis) in [100, 200, 300, 400].into_iter().enumerate() {
        for (other, act) in ["up", "away"].into_iter().enumerate() {
            let limit = ["--yes", "--timeout", "8s"];
            let dies = (number + other) % 2 == 0;
            let ran =
                without_engine(&bed, &[&[act][..], &limit].concat(), Duration::from_millis(millis), dies);
            match ran.code {
                Some(0) => eprintln!("{act} was over after {millis} ms"),
                Some(_) => assert!(
                    [&ran.out, &ran.err].iter().any(|text| text.contains("engine")),
                    "{act}, {millis} ms: {ran:?}"
                ),
                None => panic!("{act} died: {ran:?}"),
            }
            bed.engine_runs_again();
            bed.ideal(&[act, "--yes"]).ended(0);
            if act == "up" {
                assert_eq!((bed.metas("volumes").len(), bed.loops().len()), (1, 1));
                seen = bed.numbers_rise_above(seen);
            } else {
                assert_eq!((bed.left(), bed.seals_are_right()), (Vec::new(), number + 1));
            }
        }
    }
}

#[test]
fn xfs_on_a_device() {
    let Some(bed) = Bed::with_system("xfs") else { return };
    let mount = |size: &str| format!("{{size: {size}, at: /var/lib/data, filesystem: xfs}}");
    let text = |size: &str| file(&bed, 0, &mount(size)).replace(crate::bed::IMAGE, SYSTEM);
    bed.write(&text("320MiB"));
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.ideal(&["logs", "shop.db[0]"]).ended(0).says("made xfs");
    let mut seen = bed.numbers_rise_above(5);
    // With a log that nobody wrote out.
    bed.docker(&["kill", &bed.container()]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0);
    seen = bed.numbers_rise_above(seen);
    bed.docker(&["rm", "-f", &bed.container()]).ended(0);
    bed.ideal(&["up", "--yes"]).ended(0);
    seen = bed.numbers_rise_above(seen);

    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!((bed.left(), bed.seals_are_right()), (Vec::new(), 1));
    bed.write(&text("640MiB"));
    bed.ideal(&["wake", "--yes"]).ended(0);
    seen = bed.numbers_rise_above(seen);
    bed.ideal(&["logs", "shop.db[0]"]).ended(0).says("grew the filesystem");
    let size = bed.within("df -k --output=size /var/lib/data | tail -n 1").ended(0).out;
    assert!(size.trim().parse::<u64>().unwrap() > 500 << 10, "{size}");

    // In use, it grows and is copied while the counter goes on.
    bed.ideal(&["volumes", "grow", "shop.db[0]:data", "960MiB", "--yes"]).ended(0).says("has 960MiB");
    let size = bed.within("df -k --output=size /var/lib/data | tail -n 1").ended(0).out;
    assert!(size.trim().parse::<u64>().unwrap() > 800 << 10, "{size}");
    let history = bed.ideal(&["history", "--limit", "200", "-v"]).ended(0).out;
    let (_, since) = history.rsplit_once("volumes grow").unwrap();
    assert!(!since.contains("unmount"), "xfs grows while it is mounted: {since}");
    bed.ideal(&["volumes", "snapshot"]).ended(0).says("1 snapshot taken");
    bed.ideal(&["volumes", "verify"]).ended(0);
    seen = bed.numbers_rise_above(seen);

    // Behind the superblock: what the first group of blocks is free to give.
    bed.to("separated").ended(0);
    let whole = std::fs::read(bed.image()).unwrap();
    bed.write_at(512, &[0xa5; 16 << 10]);
    let refused = bed.to("launched");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says("its filesystem needs a person").says("xfs_repair");
    std::fs::write(bed.image(), whole).unwrap();
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
}

#[test]
fn folders_as_volumes() {
    let Some(bed) = Bed::start("folders") else { return };
    let text = file(&bed, 1, EXT4);
    bed.write(&text.replace("{docker: {", "{docker: {volumes: folder, "));
    bed.ideal(&["up", "--yes"]).ended(0);
    let mut seen = bed.numbers_rise_above(5);
    let inspected = bed.docker(&["inspect", "-f", "{{json .HostConfig.CapAdd}}", &bed.container()]);
    assert_eq!(inspected.ended(0).out.trim(), "null", "who mounts no device needs no right to");
    for how in [&["kill"][..], &["stop"], &["rm", "-f"]] {
        bed.docker(&[how, &[&bed.container()[..]]].concat()).ended(0);
        bed.ideal(&["up", "--yes"]).ended(0);
        seen = bed.numbers_rise_above(seen);
    }
    bed.ideal(&["away", "--yes"]).ended(0);
    assert_eq!((bed.left(), bed.metas("volumes").len(), bed.metas("snapshots").len()), (Vec::new(), 0, 1));
    bed.ideal(&["wake", "--yes"]).ended(0);
    bed.numbers_rise_above(seen);
    assert_eq!(bed.loops(), Vec::new());
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
    assert!(!bed.data().exists());
}
