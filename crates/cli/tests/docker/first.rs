//! Machines whose first process is the image's own: systemd with its units, sshd that lets a person in.

use std::process::Command;

use crate::bed::{Bed, IMAGE, Ran, SYSTEM, until};

/// One node with this first process, a volume that a counter appends to, and these resources.
fn file(bed: &Bed, init: &str, resources: &str) -> String {
    let socket = &bed.socket;
    let [shop, db, _] = &bed.clouds;
    format!(
        r#"ideal: 1
providers: {{box: {{docker: {{image: "{SYSTEM}", socket: "{socket}", init: {init}}}}}}}
clouds:
  shop:
    uuid: {shop}
    clouds:
      db:
        uuid: {db}
        nodes: 1
        mounts: {{data: {{size: 64MiB, at: /var/lib/data}}}}
        resources:
{resources}
services:
  counter:
    on: shop.db
    command:
      - /bin/sh
      - -c
      - 'n=$(tail -n 1 "$0" 2>/dev/null); while true; do n=$((n + 1)); echo "$n" >> "$0"; sleep 0.02; done'
      - "{{{{ mount.data }}}}/numbers"
"#
    )
}

const UNITS: &str = r#"          - file: {path: /etc/systemd/system/tick.service, content: "[Service]\nExecStart=/bin/sleep 1000000\n"}
            name: text
          - unit: {name: tick}
            after: [text]
"#;

impl Bed {
    /// A life with each way that a machine stops; what is particular to a first process is looked at after each.
    fn stops_and_comes_back(&self, is_right: &dyn Fn(&Bed)) {
        self.ideal(&["up", "--yes"]).ended(0);
        is_right(self);
        let mut seen = self.numbers_rise_above(5);
        // The keeper dies: what it started goes on, and so does a keeper.
        let keeper = "/var/lib/ideal/home/keeper.json";
        let first = self.within(&format!("cat {keeper}")).ended(0).out;
        self.within(&format!("kill -KILL $(grep -o '\"pid\":[ 0-9]*' {keeper} | grep -o '[0-9]*')")).ended(0);
        let another = || {
            let now = self.within(&format!("cat {keeper}"));
            now.code == Some(0) && now.out != first
        };
        assert!(until(20, another), "no keeper follows the one that was killed");
        assert!(until(20, || self.ideal(&["status", "--check"]).code == Some(0)));
        seen = self.numbers_rise_above(seen);
        for (how, said) in [("kill", "start machine"), ("stop", "start machine"), ("rm", "create machine")] {
            let words: &[&str] = if how == "rm" { &["-f"] } else { &[] };
            self.docker(&[&[how], words, &[&self.container()[..]]].concat()).ended(0);
            self.ideal(&["up", "--yes"]).ended(0).says(said);
            is_right(self);
            seen = self.numbers_rise_above(seen);
        }
        self.ideal(&["away", "--yes"]).ended(0);
        assert_eq!(self.left(), Vec::<String>::new());
        self.ideal(&["wake", "--yes"]).ended(0);
        is_right(self);
        self.numbers_rise_above(seen);
        let id = self.docker(&["inspect", "-f", "{{.Id}}", &self.container()]).ended(0).out;
        self.ideal(&["destroy", "--snapshots", "--yes", "--name", "shop"]).ended(0);
        assert_eq!(self.left(), Vec::<String>::new());
        assert!(!self.data().exists());
        let groups = Command::new("find").args(["/sys/fs/cgroup", "-name", id.trim()]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&groups.stdout), "", "control groups are left");
    }
}

#[test]
fn with_systemd_as_the_first_process() {
    let Some(bed) = Bed::with_system("systemd") else { return };
    bed.write(&file(&bed, "systemd", UNITS));
    bed.stops_and_comes_back(&|bed| {
        assert_eq!(bed.within("cat /proc/1/comm").ended(0).out.trim(), "systemd");
        bed.within("systemctl is-active --quiet ideal tick").ended(0);
        // Also told by hand it comes back.
        bed.within("systemctl restart ideal").ended(0);
        assert!(until(20, || bed.ideal(&["status", "--check"]).code == Some(0)));
    });
    let ran = refused(&bed, "systemd");
    ran.says("has no /lib/systemd/systemd").says("leave `init` out");
}

#[test]
fn with_sshd_as_the_first_process() {
    let Some(bed) = Bed::with_system("sshd") else { return };
    let key = bed.folder.join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let resource = format!("          - authorized_key: {{user: root, key: \"{}\"}}\n", public.trim());
    bed.write(&file(&bed, "sshd", &resource));
    bed.stops_and_comes_back(&|bed| {
        assert_eq!(bed.within("cat /proc/1/comm").ended(0).out.trim(), "sshd");
        let found = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = bed.docker(&["inspect", "-f", found, &bed.container()]).ended(0).out;
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-i"]).arg(&key);
        ssh.arg(format!("root@{}", address.trim())).arg("id -un; cat /var/lib/data/numbers | head -n 1");
        let ran = Ran::of(&ssh.output().unwrap()).ended(0);
        assert_eq!(ran.out, "root\n1\n");
    });
    refused(&bed, "sshd").says("has no /usr/sbin/sshd").says("a server of OpenSSH");
}

/// With an image that does not have it: what is said of that, before anything is made.
fn refused(bed: &Bed, init: &str) -> Ran {
    bed.write(&file(bed, init, UNITS).replace(SYSTEM, IMAGE));
    let told = bed.ideal(&["doctor"]).says("has no /").says(&format!("init: {init}"));
    assert_ne!(told.code, Some(0));
    let ran = bed.ideal(&["up", "--yes", "--timeout", "10s"]);
    assert_ne!(ran.code, Some(0));
    assert_eq!((bed.left(), bed.docker(&["ps", "-aq"]).out), (Vec::new(), String::new()));
    ran
}
