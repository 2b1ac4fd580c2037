//! A cluster at EC2 from nothing to put away, and back with its data.

use super::bridge::{Cloud, ask, element, items};
use crate::bed::{Bed, Ran};
use crate::ssh::rack::program;

#[test]
fn a_cluster_at_ec2_keeps_its_data() {
    let Some(bed) = Bed::with_system("aws") else { return };
    let Some(cloud) = Cloud::start(&bed) else { return };
    let program = program(&bed);
    let at = cloud.at;
    // There moto gives addresses of the network's own.
    let subnets = ask(at, "DescribeSubnets");
    let subnets = items(&subnets, "subnetSet");
    let first = subnets.iter().find(|of| element(of, "availabilityZone") == "eu-west-1a").unwrap();
    let subnet = element(first, "subnetId");
    bed.write(&format!(
        "ideal: 1
providers:
  aws:
    ec2:
      region: eu-west-1
      endpoint: \"http://{at}\"
      image: ami-785db401
      private: true
      zones: [eu-west-1a]
      subnets: {{eu-west-1a: {subnet}}}
      settle: 1s
      user_data: |
        #!/bin/sh
        echo theirs > /etc/theirs
clouds:
  shop:
    uuid: {}
    nodes: 2
    mounts:
      data: {{size: 1GiB, at: /srv/data}}
    resources:
      - file: {{path: /etc/greeting, content: \"node {{{{ node.index }}}}\"}}
services:
  writer:
    on: shop
    replicas: 2
    command: [/bin/sh, -c, \"cat /srv/data/* > /tmp/found; exec sleep 1000000\"]
",
        bed.clouds[0]
    ));
    let ideal = |words: &[&str]| {
        let mut command = bed.command_of(program.to_str().unwrap(), words);
        for (name, value) in [("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")] {
            command.env(name, value);
        }
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        Ran::of(&command.env_remove("AWS_PROFILE").output().unwrap())
    };
    let exec =
        |node: &str, script: &str| ideal(&["nodes", "exec", node, "--", "sh", "-euc", script]).ended(0).out;

    ideal(&["up", "--yes"]).ended(0).says("launched");
    ideal(&["status", "--check"]).ended(0);
    for index in 0..2 {
        let node = format!("shop[{index}]");
        assert_eq!(exec(&node, "cat /etc/greeting; cat /etc/theirs"), format!("node {index}theirs\n"));
        exec(&node, &format!("mountpoint -q /srv/data && echo kept by {index} > /srv/data/kept"));
    }
    // A person gets in as well, as who may become root.
    let said = ideal(&["nodes", "ssh", "shop[0]", "--", "sudo", "-n", "id", "-u"]).ended(0).out;
    assert_eq!(said.trim(), "0");

    ideal(&["away", "--yes"]).ended(0).says("shop is away");
    let machines = ask(at, "DescribeInstances");
    assert_eq!(machines.matches("<name>running</name>").count(), 0, "{machines}");
    let running = bed.docker(&["ps", "-q", "--filter", &format!("label=ideal.cloud={}", bed.clouds[0])]);
    assert_eq!(running.ended(0).out, "");

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
