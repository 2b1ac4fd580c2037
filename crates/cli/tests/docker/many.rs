//! Many nodes at once: everything is where it was, and each act's time is told.

use std::time::Instant;

use crate::bed::{Bed, IMAGE};

const NODES: usize = 20;
const MOUNTS: [&str; 2] = ["left", "right"];

fn file(bed: &Bed) -> String {
    let (socket, [shop, db, _]) = (&bed.socket, &bed.clouds);
    format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{IMAGE}", socket: "{socket}"}}}}}}
clouds:
  shop:
    uuid: {shop}
    clouds:
      db:
        uuid: {db}
        nodes: {NODES}
        mounts:
          left: {{size: 16MiB, at: /srv/left}}
          right: {{size: 16MiB, at: /srv/right}}
"#
    )
}

/// Does something on every node, with its number among all.
fn each(bed: &Bed, does: impl Fn(&str, &str)) {
    let containers = bed.containers(&format!("ideal.cloud={}", bed.clouds[1]));
    assert_eq!(containers.len(), NODES);
    for container in containers {
        let slot = "{{index .Config.Labels \"ideal.slot\"}}";
        let slot = bed.docker(&["inspect", "-f", slot, &container]).ended(0).out;
        does(&container, slot.trim());
    }
}

#[test]
fn twenty_nodes_with_forty_volumes() {
    let Some(bed) = Bed::start("many") else { return };
    bed.write(&file(&bed));
    let act = |arguments: &[&str]| {
        let begun = Instant::now();
        bed.ideal(arguments).ended(0);
        eprintln!("{NODES} nodes, {} volumes: {} took {:.1?}", NODES * 2, arguments[0], begun.elapsed());
    };
    act(&["up", "--yes"]);
    assert_eq!((bed.loops().len(), bed.metas("volumes").len()), (NODES * 2, NODES * 2));
    each(&bed, |container, slot| {
        for mount in MOUNTS {
            let script = format!("echo {mount} of {slot} > /srv/{mount}/own");
            bed.docker(&["exec", container, "sh", "-euc", &script]).ended(0);
        }
    });
    act(&["away", "--yes"]);
    assert_eq!((bed.left(), bed.metas("volumes").len()), (Vec::new(), 0));
    assert_eq!(bed.seals_are_right(), NODES * 2);
    act(&["wake", "--yes"]);
    each(&bed, |container, slot| {
        for mount in MOUNTS {
            let text = bed.docker(&["exec", container, "cat", &format!("/srv/{mount}/own")]).ended(0).out;
            assert_eq!(text, format!("{mount} of {slot}\n"));
        }
    });
    act(&["destroy", "--snapshots", "--yes", "--name", "shop"]);
    assert_eq!(bed.left(), Vec::<String>::new());
    assert!(!bed.data().exists());
}
