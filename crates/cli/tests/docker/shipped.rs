//! The program as it is shipped: one static file, that runs where nothing is but a kernel and a shell.

use crate::bed::{BARE, Bed, Ran};

#[test]
fn the_shipped_program_needs_nothing_of_its_image() {
    let Some(shipped) = std::env::var_os("IDEAL_SHIPPED") else {
        assert!(std::env::var_os("CI").is_none(), "IDEAL_SHIPPED does not name the program as it is shipped");
        return eprintln!("NOT TESTED: IDEAL_SHIPPED names no program; `make test` builds it and names it");
    };
    let Some(bed) = Bed::start("shipped") else { return };
    bed.import_bare();
    let (socket, [shop, db, _]) = (&bed.socket, &bed.clouds);
    bed.write(&format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{BARE}", socket: "{socket}"}}}}}}
clouds:
  shop:
    uuid: {shop}
    clouds:
      db:
        uuid: {db}
        nodes: 1
        resources:
          - file: {{path: /etc/motd, content: "of a machine"}}
services:
  sleeper:
    on: shop.db
    command: [/bin/sleep, "1000000"]
"#
    ));
    let shipped = shipped.to_str().unwrap();
    let ideal = |arguments: &[&str]| Ran::of(&bed.command_of(shipped, arguments).output().unwrap());
    ideal(&["up", "--yes"]).ended(0).says("launched");
    assert_eq!(bed.within("cat /etc/motd").ended(0).out, "of a machine");
    bed.docker(&["kill", &bed.container()]).ended(0);
    ideal(&["up", "--yes"]).ended(0).says("start machine");
    ideal(&["status", "--check"]).ended(0);
    // That it is static is what makes the difference: this one was built for tests, and finds no library there.
    let dynamic = env!("CARGO_BIN_EXE_ideal");
    let own = format!("{dynamic}:/ideal:ro");
    let ran = bed.docker(&["run", "--rm", "--network", "none", "-v", &own, BARE, "/ideal", "version"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    ideal(&["destroy", "--yes", "--name", "shop"]).ended(0);
    assert_eq!(bed.left(), Vec::<String>::new());
}
