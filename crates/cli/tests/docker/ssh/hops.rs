//! A machine that is reached only by way of another.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rack::{Host, Rack};
use crate::bed::Ran;

/// A network of its own, into which this host has no way, and a person with a configuration of `ssh`.
struct Behind {
    rack: Rack,
    /// The home of the person.
    home: PathBuf,
    hop: Host,
}

impl Behind {
    fn start(name: &str) -> Option<Behind> {
        let rack = Rack::start(name)?;
        let label = format!("ideal.cloud={}", rack.bed.clouds[0]);
        let no_way = "com.docker.network.bridge.inhibit_ipv4=true";
        // The engine cannot see that networks of this kind are in use, and must not give the same to two.
        let subnet = format!("10.213.{}.0/24", std::process::id() % 250);
        rack.bed
            .docker(&["network", "create", "--label", &label, "-o", no_way, "--subnet", &subnet, "behind"])
            .ended(0);
        let hop = rack.plain("hop");
        assert!(greets(&hop.address));
        rack.bed.docker(&["network", "connect", "behind", "hop"]).ended(0);
        let home = rack.bed.folder.join("home");
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        Some(Behind { rack, home, hop })
    }

    /// A machine in that network alone.
    fn host(&self, name: &str) -> Host {
        let host = self.rack.plain(name);
        for words in [["connect", "behind"], ["disconnect", "rack"]] {
            self.rack.bed.docker(&[&["network"], words.as_slice(), &[name]].concat()).ended(0);
        }
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.rack.bed.docker(&["inspect", "-f", format, name]).ended(0).out.trim().to_owned();
        assert!(!greets(&address), "{address} is within reach");
        Host { address, ..host }
    }

    /// Writes a file of the person's.
    fn person_has(&self, name: &str, text: &str) {
        let path = self.home.join(".ssh").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs the program as that person. `ssh` asks the system where home is, so it is put there, for this program alone.
    fn ideal(&self, words: &[&str]) -> Ran {
        let Rack { bed, program, .. } = &self.rack;
        let script = "mount --bind \"$0\" ~root && exec \"$@\"";
        let (home, program): (&Path, &Path) = (&self.home, program);
        let first = ["-m", "sh", "-ec", script, home.to_str().unwrap(), program.to_str().unwrap()];
        Ran::of(&bed.command_of("unshare", &[&first, words].concat()).output().unwrap())
    }
}

/// Whether sshd is there. That something takes the connection says nothing: a gateway may take all of them.
fn greets(address: &str) -> bool {
    let greets = || -> std::io::Result<bool> {
        let at: SocketAddr = format!("{address}:22").parse().map_err(std::io::Error::other)?;
        let limit = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&at, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        Ok(&greeting == b"SSH-")
    };
    greets().unwrap_or(false)
}

#[test]
fn a_machine_behind_another_is_a_node_and_both_must_be_known() {
    let Some(behind) = Behind::start("hop") else { return };
    let (rack, hop) = (&behind.rack, &behind.hop);
    let (one, two) = (behind.host("m0"), behind.host("m1"));
    // The one by what the ideal file says, the other by what the person's own configuration says.
    let machines =
        [format!("{}, login: {{jump: hop}}", one.line()), format!("address: {}, host: second", two.address)];
    rack.write(&machines, 2, "    resources: [{file: {path: /etc/greeting, content: hello}}]\n");
    let key = rack.bed.folder.join("key");
    let config = format!(
        "Host hop\n  HostName {}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\nHost second\n  HostName {}\n  ProxyJump \
         hop\n",
        hop.address,
        key.display(),
        two.address
    );
    behind.person_has("config", &config);
    let nothing_there = || {
        for name in ["m0", "m1", "hop"] {
            rack.within(name, "! ls -d /var/lib/ideal /usr/local/lib/ideal 2> /dev/null").ended(0);
        }
    };

    // Nobody knows the host on the way.
    let ran = behind.ideal(&["up", "--yes", "--timeout", "15s"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let of_hop = |name: &str| format!("the host key of {}, on the way to {name},", hop.address);
    let ran = ran.says(&format!("{} is not known", of_hop(&one.address))).says(&of_hop("second"));
    ran.says(&format!("ssh-ed25519 {} is offered", rack.fingerprint("hop")));
    nothing_there();

    // It is another than the person knows.
    behind.person_has("known_hosts", &format!("{} {}\n", hop.address, one.host_key));
    let ran = behind.ideal(&["up", "--yes", "--timeout", "15s"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    ran.says(&format!("{} has changed (", of_hop(&one.address))).says(&rack.fingerprint("hop"));
    nothing_there();

    // It is known, and the machine behind it that the file says no key of is not.
    behind.person_has("known_hosts", &format!("{} {}\n", hop.address, hop.host_key));
    let ran = behind.ideal(&["up", "--yes", "--timeout", "40s"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    ran.says(&format!("ssh-ed25519 {} is offered", rack.fingerprint("m1")));
    assert_eq!(rack.within("m0", "cat /etc/greeting").ended(0).out, "hello");
    rack.within("m1", "! ls -d /var/lib/ideal /usr/local/lib/ideal 2> /dev/null").ended(0);

    let known = format!("{} {}\n{} {}\n", hop.address, hop.host_key, two.address, two.host_key);
    behind.person_has("known_hosts", &known);
    behind.ideal(&["up", "--yes"]).ended(0).says("launched");
    behind.ideal(&["status", "--check"]).ended(0);
    assert_eq!(rack.within("m1", "cat /etc/greeting").ended(0).out, "hello");
    for (node, name) in [("shop[0]", "m0"), ("shop[1]", "m1")] {
        for by in ["ssh", "exec"] {
            let said = behind.ideal(&["nodes", by, node, "--", "uname", "-n"]).ended(0).out;
            assert_eq!(said.trim(), name);
        }
    }

    // Where the host on the way is another all at once, nothing is heard and nothing is said.
    let keys = "/etc/ssh/ssh_host_ed25519_key";
    rack.within(
        "hop",
        &format!("mkdir /k; mv {keys}* /k/; ssh-keygen -q -t ed25519 -N '' -f {keys}; kill -HUP 1"),
    )
    .ended(0);
    behind
        .ideal(&["nodes", "exec", "shop[0]", "--", "touch", "/touched"])
        .says("has changed and you have requested");
    let status = behind.ideal(&["status", "--check"]);
    assert_ne!(status.code, Some(0), "{status:?}");
    rack.within("m0", "! ls /touched 2> /dev/null").ended(0);
    rack.within("hop", "mv /k/* /etc/ssh/; kill -HUP 1").ended(0);
    behind.ideal(&["heal", "--yes"]).ended(0);

    behind.ideal(&["destroy", "--yes", "--name", "shop", "--snapshots"]).ended(0);
    nothing_there();
    for name in ["m0", "m1", "hop"] {
        assert_eq!(rack.running(name), Vec::<String>::new());
    }
}
