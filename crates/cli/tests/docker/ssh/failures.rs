//! Machines that cannot be nodes: each is named with its cause, and the rest is unharmed.

use super::rack::Rack;

#[test]
fn each_machine_that_cannot_be_a_node_is_named() {
    let Some(rack) = Rack::start("odd") else { return };
    let good = rack.plain("good");
    let changed = rack.plain("changed");
    rack.within("changed", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; kill -HUP 1").ended(0);
    let unknown = rack.plain("unknown");
    let locked = rack.host("locked", &[], "rm /root/.ssh/authorized_keys", "");
    let user = "useradd -m anna && cp -r /root/.ssh /home/anna/ && chown -R anna /home/anna/.ssh";
    let powerless = rack.host("powerless", &[], user, "");
    let mighty = format!("{user} && echo 'anna ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/anna");
    let mighty = rack.host("mighty", &[], &mighty, "");
    let full = rack.host("full", &["--tmpfs", "/usr/local:size=4m"], "", "");
    let old = rack.host("old", &[], "", "setarch --uname-2.6");
    let closed = rack.plain("closed");
    let machines = [
        good.line(),
        changed.line(),
        format!("address: {}", unknown.address),
        locked.line(),
        format!("{}, login: {{user: anna}}", powerless.line()),
        format!("{}, login: {{user: anna}}", mighty.line()),
        full.line(),
        old.line(),
        format!("{}, login: {{port: 2}}", closed.line()),
    ];
    let resources = "    resources: [{file: {path: /etc/greeting, content: hello}}]\n";
    rack.write(&machines, machines.len(), resources);
    let ran = rack.ideal(&["up", "--yes", "--timeout", "60s"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let ran = ran
        .says("the host key of")
        .says("has changed (")
        .says(&format!("is not known, and ssh-ed25519 {} is offered", rack.fingerprint("unknown")))
        .says("does not let us in")
        .says("may not become root")
        .says("its disk is full")
        .says("and an agent needs 5.6 or newer")
        .says("Connection refused");
    // Those that can be nodes are, by root's own login and by sudo.
    for name in ["good", "mighty"] {
        assert_eq!(rack.within(name, "cat /etc/greeting").ended(0).out, "hello", "{ran:?}");
    }
    // Nothing was left on the others.
    for name in ["changed", "unknown", "locked", "powerless", "full", "old", "closed"] {
        rack.within(name, "! ls -d /var/lib/ideal /etc/greeting 2> /dev/null").ended(0);
        rack.within(name, "! find /usr/local/lib/ideal -type f 2> /dev/null | grep .").ended(0);
    }
    // What is mended joins.
    rack.within("powerless", "echo 'anna ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/anna").ended(0);
    rack.ideal(&["up", "--yes", "--timeout", "60s"]);
    assert_eq!(rack.within("powerless", "cat /etc/greeting").ended(0).out, "hello");
}

/// A machine is one node of one cluster.
#[test]
fn a_machine_of_another_cluster_is_left_alone() {
    let Some(rack) = Rack::start("mine") else { return };
    let host = rack.plain("m0");
    rack.write(&[host.line()], 1, "");
    rack.ideal(&["up", "--yes"]).ended(0);
    let cloud = &rack.bed.clouds[1];
    let text = std::fs::read_to_string(rack.bed.folder.join("p/ideal.yaml")).unwrap();
    let other = rack.bed.beside(1);
    other.write(&text.replace(&rack.bed.clouds[0], cloud).replace("shop:", "other:"));
    let of_other = |words: &[&str]| {
        let mut command = other.command_of(rack.program.to_str().unwrap(), words);
        crate::bed::Ran::of(&command.output().unwrap())
    };
    let ran = of_other(&["up", "--yes", "--timeout", "10s"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    ran.says("already");
    rack.ideal(&["status", "--check"]).ended(0);
    rack.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
    of_other(&["up", "--yes"]).ended(0);
    of_other(&["destroy", "--yes", "--name", "other", "--snapshots"]).ended(0);
}
