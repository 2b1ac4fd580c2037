//! Machines that make their own host keys, which are read from what `cloud-init` itself prints on their consoles; and a
//! login key that is lost.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::bridge::{Cloud, ask, element, ideal, items};
use super::front::Front;
use crate::bed::{Bed, Ran};
use crate::ssh::rack::program;

/// What the server says of each machine that runs: its id, its tags.
fn machines(cloud: &Cloud) -> Vec<(String, String)> {
    let answer = ask(cloud.at, "DescribeInstances");
    let all = items(&answer, "reservationSet").into_iter().flat_map(|one| items(one, "instancesSet"));
    let running = all.filter(|of| of.contains("<name>running</name>"));
    running.map(|of| (element(of, "instanceId").to_owned(), of.to_owned())).collect()
}

fn tag(machine: &str, name: &str) -> Option<String> {
    let tags = items(machine, "tagSet");
    let own = tags.into_iter().find(|tag| element(tag, "key") == name)?;
    Some(element(own, "value").to_owned())
}

#[test]
fn each_machine_makes_its_own_host_key() {
    let Some(bed) = Bed::with_system("keys") else { return };
    let Some(cloud) = Cloud::start(&bed) else { return };
    let front = Front::start(&bed, cloud.at);
    let program = program(&bed);
    let text = cloud.file(&bed, front.at, "host_keys: console\n", "    nodes: 2\n");
    bed.write(&text);
    let here = |words: &[&str]| ideal(&bed, &program, words);
    let within = |id: &str, script: &str| bed.docker(&["exec", id, "sh", "-ec", script]).ended(0).out;
    here(&["up", "--yes"]).ended(0).says("launched");
    here(&["status", "--check"]).ended(0);

    let first = machines(&cloud);
    let mut keys = BTreeSet::new();
    for (id, machine) in &first {
        let own = within(id, "cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub").trim().to_owned();
        assert_eq!(tag(machine, "ideal:host-key").as_deref(), Some(own.as_str()));
        assert!(tag(machine, "ideal:login").unwrap().starts_with("SHA256:"), "{machine}");
        let data = ask(cloud.at, &format!("DescribeInstanceAttribute&Attribute=userData&InstanceId={id}"));
        let data = BASE64_STANDARD.decode(element(element(&data, "userData"), "value").trim()).unwrap();
        assert!(!String::from_utf8(data).unwrap().contains("PRIVATE"));
        assert!(front.asked().contains(id));
        keys.insert(own);
    }
    assert_eq!((first.len(), keys.len()), (2, 2), "no two have the same");

    // Another computer gets in by the tags, once it has the login key.
    let asked = front.asked().len();
    let other = bed.beside(1);
    other.write(&text);
    let there = |words: &[&str]| ideal(&other, &program, words);
    let own = bed.folder.join("p/.ideal/ec2");
    let id = ["nodes", "ssh", "shop[0]", "--", "sudo", "-n", "id", "-u"];
    assert_ne!(there(&id).code, Some(0));
    std::fs::create_dir_all(other.folder.join("p/.ideal/ec2")).unwrap();
    for name in ["login", "login.pub"] {
        std::fs::copy(own.join(name), other.folder.join("p/.ideal/ec2").join(name)).unwrap();
    }
    assert_eq!(there(&id).ended(0).out.trim(), "0");

    // A machine that has another key now is not believed, whatever its console shows.
    let (changed, machine) = &first[0];
    within(changed, "rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; kill -HUP 1");
    let show = "{ echo '-----BEGIN SSH HOST KEY KEYS-----'; cat /etc/ssh/ssh_host_*_key.pub; \
                echo '-----END SSH HOST KEY KEYS-----'; } > /dev/console";
    within(changed, show);
    let said = here(&["up", "--yes", "--timeout", "15s"]);
    assert_ne!(said.code, Some(0), "{said:?}");
    said.says("has changed (");
    let after = machines(&cloud).into_iter().find(|(id, _)| id == changed).unwrap().1;
    assert_eq!(tag(&after, "ideal:host-key"), tag(machine, "ideal:host-key"));
    assert_eq!(front.asked().len(), asked, "nobody asks for what is known");

    // Without the login key nobody gets in, and it is said what that was: whole in the events, which are never cut.
    let lost = |ran: Ran| {
        assert_ne!(ran.code, Some(0), "{ran:?}");
        let login = tag(&first[1].1, "ideal:login").unwrap();
        ran.says(&format!("it was made to let in the key {login}, which is looked for at"))
            .says("nodes replace")
    };
    std::fs::rename(own.join("login"), own.join("kept")).unwrap();
    lost(here(&["up", "--yes", "--timeout", "15s", "-o", "jsonl"])).says("there is no such file");
    // A machine that is made meanwhile makes another, which opens only that.
    bed.write(&text.replace("nodes: 2", "nodes: 3"));
    lost(here(&["up", "--yes", "--timeout", "45s", "-o", "jsonl"])).says("the key there is SHA256:");
    assert_eq!(machines(&cloud).len(), 3);
    assert_eq!(there(&["nodes", "ssh", "shop[1]", "--", "id", "-un"]).ended(0).out.trim(), "ideal");
}
