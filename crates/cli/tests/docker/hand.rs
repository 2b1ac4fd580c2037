//! A person's own hand on a container: programs, files, a way in.

use crate::bed::Bed;
use crate::cluster::{EXT4, file};

#[test]
fn a_hand_on_a_container() {
    let Some(bed) = Bed::start("hand") else { return };
    bed.write(&file(&bed, 1, EXT4));
    bed.ideal(&["up", "--yes"]).ended(0);
    bed.ideal(&["nodes", "list"]).ended(0).says("shop.db[0]   launched").says("128MiB");
    assert_eq!(
        bed.ideal(&["nodes", "exec", "shop.db[0]", "--", "cat", "/etc/motd"]).ended(0).out,
        "of a machine"
    );
    bed.ideal(&["nodes", "exec", "shop.db[0]", "--", "sh", "-c", "exit 5"]).ended(5);

    // Both a place of the container and its volume, which is a block device.
    std::fs::create_dir(bed.folder.join("p/site")).unwrap();
    std::fs::write(bed.folder.join("p/site/page"), vec![7; 3 << 20]).unwrap();
    for place in ["/srv/", "/var/lib/data/"] {
        bed.ideal(&["nodes", "copy", "site", &format!("shop.db[0]:{place}")]).ended(0).says("3MiB");
        let sum = bed.within(&format!("wc -c < {place}site/page")).ended(0).out;
        assert_eq!(sum.trim(), (3 << 20).to_string());
        let back = format!("back{}", place.replace('/', "-"));
        bed.ideal(&["nodes", "copy", &format!("shop.db[0]:{place}site"), &back]).ended(0);
        assert_eq!(std::fs::read(bed.folder.join("p").join(back).join("page")).unwrap(), vec![7; 3 << 20]);
    }

    bed.ideal(&["nodes", "ssh", "shop.db[0]", "--", "cat", "/etc/motd"]).ended(0).says("of a machine");
    bed.ideal(&["nodes", "ssh", "shop.db[0]", "--", "sh", "-c", "exit 6"]).ended(6);
    // Without the client of the engine it is said what is missing.
    let without = bed.command(&["nodes", "ssh", "shop.db[0]"]).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(without.status.code(), Some(127));
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(said.contains("`docker` cannot be started") && said.contains("ideal nodes exec"), "{said}");
    bed.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
}
