//! What becomes of machines that are as they should be.

use std::path::PathBuf;

use super::rack::Rack;
use crate::bed::until;

const SERVICE: &str = "    resources:
      - file: {path: /etc/greeting, content: \"node {{ node.index }}\"}
services:
  sleeper: {on: shop, replicas: 2, command: [/bin/sleep, \"1000000\"]}
";

/// From nothing but sshd to a healthy node; what dies comes back, what is taken away is brought again, and in the end nothing
/// of ours is left.
#[test]
fn a_machine_with_only_sshd_becomes_a_node() {
    let Some(rack) = Rack::start("rack") else { return };
    let hosts = [rack.plain("m0"), rack.plain("m1")];
    rack.write(&hosts.each_ref().map(super::rack::Host::line), 2, SERVICE);
    rack.ideal(&["plan", "--to", "launched"]).ended(0).says("bring agent");
    rack.ideal(&["up", "--yes"]).ended(0).says("launched");
    for (index, host) in hosts.iter().enumerate() {
        assert_eq!(rack.within(&host.name, "cat /etc/greeting").ended(0).out, format!("node {index}"));
    }
    rack.ideal(&["status", "--check"]).ended(0);
    rack.ideal(&["plan"]).ended(0).says("nothing to do");
    assert_eq!(rack.ideal(&["nodes", "ssh", "shop[1]", "--", "uname", "-n"]).ended(0).out.trim(), "m1");
    assert_eq!(rack.ideal(&["nodes", "exec", "shop[0]", "--", "uname", "-n"]).ended(0).out.trim(), "m0");

    let log = rack.ideal(&["logs", "shop[0]"]).says("lies on its machine").says("nodes exec shop[0] -- tail");
    assert_ne!(log.code, Some(0));
    let tail = ["nodes", "exec", "shop[0]", "--", "tail", "-n", "5", "/var/lib/ideal/home/agent.log"];
    rack.ideal(&tail).ended(0).says("agent: starts as");

    // The machine stops as machines do: each process is asked, and then there is a new start.
    rack.within("m1", "pkill -TERM -f '[a]gent keep'; while pgrep -f '[a]gent keep'; do sleep 0.1; done")
        .ended(0);
    rack.ideal(&["heal", "--yes"]).ended(0);
    rack.ideal(&["status", "--check"]).ended(0);

    // All of ours on a machine is ended without a word, as after a new start of it.
    let sleeper = || rack.within("m0", "pgrep -x sleep | wc -l").out.trim().to_owned();
    let alone = sleeper();
    rack.within("m0", "pkill -9 -f '[a]gent keep'; pkill -9 -f '[a]gent run'").ended(0);
    rack.ideal(&["heal", "--yes"]).ended(0);
    rack.ideal(&["status", "--check"]).ended(0);
    assert_eq!(sleeper(), alone, "what runs is found, and not started again");
    // The program is taken away, and what keeps it running.
    rack.within("m0", "pkill -9 -f '[a]gent keep'; pkill -9 -f '[a]gent run'; rm -r /usr/local/lib/ideal")
        .ended(0);
    rack.ideal(&["heal", "--yes"]).ended(0);
    rack.ideal(&["history"]).ended(0).says("bring agent shop[0]");
    rack.ideal(&["status", "--check"]).ended(0);

    // What is written down here is lost: the machines say themselves which nodes they are.
    std::fs::remove_dir_all(rack.bed.folder.join("p/.ideal")).unwrap();
    rack.ideal(&["plan"]).ended(0).says("nothing to do");
    std::fs::remove_dir_all(rack.bed.folder.join("p/.ideal")).unwrap();
    std::fs::remove_dir_all(rack.bed.folder.join("state")).unwrap();
    rack.ideal(&["up", "--yes", "--take-over"]).ended(0);
    assert_eq!(sleeper(), alone, "what runs is found, and not started again");

    // Also what has lost its keeper ends with its node.
    rack.within("m0", "pkill -9 -f '[a]gent keep'; pkill -9 -f '[a]gent run'").ended(0);
    rack.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
    for host in &hosts {
        assert_eq!(rack.running(&host.name), Vec::<String>::new());
        assert_eq!(rack.within(&host.name, "pgrep -x sleep || true").ended(0).out, "");
        rack.within(&host.name, "! ls -d /usr/local/lib/ideal* /var/lib/ideal* /run/ideal* 2> /dev/null")
            .ended(0);
    }
    assert!(!rack.bed.folder.join("p/.ideal").exists());
}

/// Another program is another agent: one node after the other, and back where the new one does not come to answer.
#[test]
fn agents_are_renewed_node_by_node_and_come_back() {
    let Some(rack) = Rack::start("renew") else { return };
    let hosts = [rack.plain("m0"), rack.plain("m1")];
    rack.write(&hosts.each_ref().map(super::rack::Host::line), 2, SERVICE);
    rack.ideal(&["up", "--yes"]).ended(0);
    let current = |name: &str| rack.within(name, "readlink /usr/local/lib/ideal/current").ended(0).out;
    // Which of the two nodes has which replica is not said: one that is well first may have both.
    let services = |name: &str| rack.within(name, "pgrep -x sleep || true").ended(0).out;
    let (before, ran) = (current("m0"), [services("m0"), services("m1")]);
    assert_eq!(ran.concat().lines().count(), 2, "{ran:?}");
    assert_eq!(before, current("m1"));

    let bytes = std::fs::read(&rack.program).unwrap();
    let other = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = rack.bed.folder.join(name);
        std::fs::copy(&rack.program, &path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    // Its agent takes its lock in a folder that there is not.
    let lock = b"agent.lock";
    let mut bad = bytes.clone();
    let found: Vec<usize> =
        bytes.windows(lock.len()).enumerate().filter(|(_, part)| part == lock).map(|(at, _)| at).collect();
    assert!(!found.is_empty());
    for at in found {
        bad[at..at + lock.len()].copy_from_slice(b"agent/lock");
    }
    let bad = other("bad", &bad);
    let ran_bad = rack.ideal_of(&bad, &["up", "--yes", "--timeout", "40s"]);
    assert_ne!(ran_bad.code, Some(0), "{ran_bad:?}");
    ran_bad.says("the one before it is back");
    assert_eq!([current("m0"), current("m1")], [before.clone(), before.clone()], "the second was not tried");
    rack.ideal(&["status", "--check"]).ended(0);

    let good = other("good", &[bytes.as_slice(), b"\nanother"].concat());
    rack.ideal_of(&good, &["up", "--yes"]).ended(0).says("bring agent");
    assert_ne!(current("m0"), before);
    assert_eq!(current("m0"), current("m1"));
    assert_eq!([services("m0"), services("m1")], ran, "no service was touched");
    let history = rack.ideal_of(&good, &["history"]).ended(0).out;
    let renewed = history.lines().rev().filter(|line| line.contains("done  bring agent")).take(2);
    assert_eq!(renewed.filter(|line| line.contains("shop[1]")).count(), 1, "{history}");
    rack.ideal_of(&good, &["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
}

/// A unit of systemd, which comes back by itself.
#[test]
fn under_systemd_the_keeper_is_a_unit() {
    let Some(rack) = Rack::start("unit") else { return };
    let host = rack.systemd("m0");
    rack.write(&[host.line()], 1, SERVICE);
    rack.ideal(&["up", "--yes"]).ended(0);
    rack.within("m0", "systemctl is-active ideal.service && systemctl is-enabled ideal.service").ended(0);
    let slept = rack.within("m0", "pgrep -x sleep").ended(0).out;
    rack.within("m0", "systemctl kill --kill-whom=main -s KILL ideal.service").ended(0);
    let runs = || rack.ideal(&["status", "--check"]).code == Some(0);
    assert!(until(30, runs), "{:?}", rack.ideal(&["status"]));
    assert_eq!(rack.within("m0", "pgrep -x sleep").ended(0).out, slept, "what it started outlives it");
    rack.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
    rack.within("m0", "! systemctl cat ideal.service && ! pgrep -x sleep").ended(0);
}
