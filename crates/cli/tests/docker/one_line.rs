//! The file of the page that tells the way from this machine to containers: as it stands there, and with its line
//! changed.

use crate::bed::{Bed, IMAGE, until};

#[test]
fn the_way_from_this_machine_to_containers_is_one_line() {
    let Some(bed) = Bed::start("line") else { return };
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/one-line.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, text) = page.split_once("```yaml\n").unwrap();
    let (text, _) = text.split_once("```\n").unwrap();
    let text = text.replace("0000-4000-8000-00000000000", "0000-4000-8000-00000100000");
    let dates = || {
        let folder = bed.folder.join("p/.ideal/local");
        let found = std::process::Command::new("find").arg(folder).args(["-name", "dates"]).output().unwrap();
        !found.stdout.is_empty()
    };
    bed.write(&text);
    bed.ideal(&["up", "--yes"]).ended(0).says("launched");
    assert!(until(20, dates), "it writes, below a folder");
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);

    let socket = &bed.socket;
    let line = format!("here: {{docker: {{image: \"{IMAGE}\", socket: \"{socket}\"}}}}");
    let changed = text.replace("here: local", &line);
    let differ = text.lines().zip(changed.lines()).filter(|(a, b)| a != b).count();
    assert_eq!(differ, 1);
    bed.write(&changed);
    bed.ideal(&["up", "--yes"]).ended(0).says("launched");
    let [container] = &bed.containers("ideal.slot=0")[..] else { panic!("one node is one container") };
    let writes = || bed.docker(&["exec", container, "test", "-s", "/data/dates"]).code == Some(0);
    assert!(until(20, writes), "it writes, on a block device");
    let mounted = bed.docker(&["exec", container, "mount"]).ended(0).out;
    assert!(mounted.contains("/dev/ideal/data on /data type ext4"), "{mounted}");
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.containers("ideal.slot=0"), Vec::<String>::new());
}
