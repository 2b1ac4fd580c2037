//! A cluster at EC2 from nothing to put away, and back with its data.

use super::bridge::{Cloud, ask, element, ideal, items};
use crate::bed::{Bed, until};
use crate::ssh::rack::program;

#[test]
fn a_cluster_at_ec2_keeps_its_data() {
    let Some(bed) = Bed::with_system("aws") else { return };
    let Some(cloud) = Cloud::start(&bed) else { return };
    let program = program(&bed);
    let at = cloud.at;
    let more = "user_data: |\n  #!/bin/sh\n  echo theirs > /etc/theirs\n";
    let below = "    nodes: 2
    mounts:
      data: {size: 1GiB, at: /srv/data}
    resources:
      - file: {path: /etc/greeting, content: \"node {{ node.index }}\"}
services:
  writer:
    on: shop
    replicas: 2
    command: [/bin/sh, -c, \"cat /srv/data/* > /tmp/found; exec sleep 1000000\"]
";
    bed.write(&cloud.file(&bed, at, more, below));
    let ideal = |words: &[&str]| ideal(&bed, &program, words);
    let exec =
        |node: &str, script: &str| ideal(&["nodes", "exec", node, "--", "sh", "-euc", script]).ended(0).out;

    ideal(&["up", "--yes"]).ended(0).says("launched");
    ideal(&["status", "--check"]).ended(0);
    for index in 0..2 {
        let node = format!("shop[{index}]");
        assert_eq!(exec(&node, "cat /etc/greeting; cat /etc/theirs"), format!("node {index}theirs\n"));
        exec(&node, &format!("mountpoint -q /srv/data && echo kept by {index} > /srv/data/kept"));
    }
    // With EC2 showing what they opened, the private halves of host keys are gone.
    let hosts = bed.folder.join("p/.ideal/ec2/hosts");
    let forgotten = || {
        ideal(&["status"]);
        std::fs::read_dir(&hosts).unwrap().all(|file| file.unwrap().file_name() == "lock")
    };
    assert!(until(30, forgotten));
    // A person gets in as well, as who may become root.
    let said = ideal(&["nodes", "ssh", "shop[0]", "--", "sudo", "-n", "id", "-u"]).ended(0).out;
    assert_eq!(said.trim(), "0");

    ideal(&["away", "--yes"]).ended(0).says("shop is away");
    let machines = ask(at, "DescribeInstances");
    assert_eq!(machines.matches("<name>running</name>").count(), 0, "{machines}");
    // The bridge follows what the server says.
    let ours = format!("label=ideal.cloud={}", bed.clouds[0]);
    assert!(until(30, || bed.docker(&["ps", "-q", "--filter", &ours]).ended(0).out.is_empty()));

    ideal(&["wake", "--yes"]).ended(0).says("launched");
    for index in 0..2 {
        let node = format!("shop[{index}]");
        assert_eq!(exec(&node, "cat /srv/data/kept"), format!("kept by {index}\n"));
    }
    // Somebody ends a machine: another takes its place, and its volume.
    let answer = ask(at, "DescribeInstances");
    let reservations = items(&answer, "reservationSet");
    let mut all = reservations.iter().flat_map(|one| items(one, "instancesSet"));
    let running = all.find(|of| of.contains("<name>running</name>")).unwrap();
    let id = element(running, "instanceId");
    ask(at, &format!("TerminateInstances&InstanceId.1={id}"));
    ideal(&["heal", "--yes"]).ended(0);
    ideal(&["status", "--check"]).ended(0);
    for index in 0..2 {
        assert_eq!(exec(&format!("shop[{index}]"), "cat /srv/data/kept"), format!("kept by {index}\n"));
    }
    ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
}
