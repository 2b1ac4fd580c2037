//! Machines in which nothing runs but sshd, and a project that lists them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bed::{Bed, Ran, SYSTEM, until};

/// A machine of the rack.
pub(crate) struct Host {
    /// The container that it is.
    pub(crate) name: String,
    pub(crate) address: String,
    /// Its public host key.
    pub(crate) host_key: String,
}

/// Machines, and the project on them.
pub(crate) struct Rack {
    pub(crate) bed: Bed,
    /// The program that is brought to machines.
    pub(crate) program: PathBuf,
}

/// The program that is brought to machines: the one that is shipped, or this one.
pub(crate) fn program(bed: &Bed) -> PathBuf {
    let Some(shipped) = std::env::var_os("IDEAL_SHIPPED") else { return own_program(bed, "ideal") };
    let program = bed.folder.join("ideal");
    std::fs::copy(shipped, &program).unwrap();
    program
}

/// The program that was built with these tests, with its crash points; without what a debugger wants, a fifth as large.
pub(crate) fn own_program(bed: &Bed, name: &str) -> PathBuf {
    let program = bed.folder.join(name);
    let stripped = Command::new("strip").arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_ideal")).status();
    assert!(stripped.unwrap().success());
    program
}

impl Rack {
    /// None where there can be no containers and that is allowed.
    pub(crate) fn start(name: &str) -> Option<Rack> {
        let bed = Bed::with_system(name)?;
        let label = format!("ideal.cloud={}", bed.clouds[0]);
        bed.docker(&["network", "create", "--label", &label, "rack"]).ended(0);
        let key = bed.folder.join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).output();
        Ran::of(&made.unwrap()).ended(0);
        let program = program(&bed);
        Some(Rack { bed, program })
    }

    fn key(&self) -> PathBuf {
        self.bed.folder.join("key")
    }

    /// A machine. `more`: what its engine is told besides; `first`: what runs before sshd, and `sshd` what it is started by.
    pub(crate) fn host(&self, name: &str, more: &[&str], first: &str, sshd: &str) -> Host {
        let public = std::fs::read_to_string(self.key().with_extension("pub")).unwrap();
        let script = format!(
            "mkdir -p /run/sshd /root/.ssh && echo '{}' > /root/.ssh/authorized_keys && ssh-keygen -q -A\n{first}\nexec \
             {sshd} /usr/sbin/sshd -D -e",
            public.trim()
        );
        let label = format!("ideal.cloud={}", self.bed.clouds[0]);
        let words = ["run", "-d", "--name", name, "--hostname", name, "--network", "rack", "--label", &label];
        let words = [&words, more, &[SYSTEM, "sh", "-ec", &script]].concat();
        self.bed.docker(&words).ended(0);
        let serves = || self.within(name, "ssh-keyscan -t ed25519 127.0.0.1").out.contains("ssh-ed25519");
        assert!(until(30, serves), "{:?}", self.bed.docker(&["logs", name]));
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.bed.docker(&["inspect", "-f", format, name]).ended(0).out.trim().to_owned();
        let key = self.within(name, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub").ended(0).out;
        Host { name: name.to_owned(), address, host_key: key.trim().to_owned() }
    }

    /// A machine as any other.
    pub(crate) fn plain(&self, name: &str) -> Host {
        self.host(name, &[], "", "")
    }

    /// One in which systemd runs.
    pub(crate) fn systemd(&self, name: &str) -> Host {
        let may = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
        let has = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"];
        let more = [may.as_slice(), &has].concat();
        self.host(name, &more, "systemctl enable -q ssh; exec /lib/systemd/systemd", "")
    }

    /// Runs a script in a machine.
    pub(crate) fn within(&self, name: &str, script: &str) -> Ran {
        self.bed.docker(&["exec", name, "sh", "-euc", script])
    }

    /// The fingerprint of a machine's host key, as it says it itself.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let said = self.within(name, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").ended(0).out;
        said.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// What of ours runs in a machine: the command line of each.
    pub(crate) fn running(&self, name: &str) -> Vec<String> {
        let script = "for at in /proc/[0-9]*; do tr '\\0' ' ' < $at/cmdline 2> /dev/null || true; echo; done";
        let all = self.within(name, script).ended(0).out;
        all.lines().filter(|line| line.contains("/usr/local/lib/ideal/")).map(str::to_owned).collect()
    }

    /// Writes the ideal file: a line for each machine, and what stands below the cloud.
    pub(crate) fn write(&self, machines: &[String], nodes: usize, below: &str) {
        let (key, cloud) = (self.key(), &self.bed.clouds[0]);
        let list: String = machines.iter().map(|machine| format!("        - {{{machine}}}\n")).collect();
        self.bed.write(&format!(
            "ideal: 1\nproviders:\n  rack:\n    ssh:\n      login: {{user: root, key: {}}}\n      machines:\n{list}clouds:\n  \
             shop:\n    uuid: {cloud}\n    nodes: {nodes}\n{below}",
            key.display()
        ));
    }

    pub(crate) fn ideal(&self, words: &[&str]) -> Ran {
        self.ideal_of(&self.program, words)
    }

    /// The same by another file of the program.
    pub(crate) fn ideal_of(&self, program: &Path, words: &[&str]) -> Ran {
        let mut command = self.bed.command_of(program.to_str().unwrap(), words);
        Ran::of(&command.output().unwrap())
    }
}

impl Host {
    /// As it stands in the list.
    pub(crate) fn line(&self) -> String {
        format!("address: {}, host_key: {}", self.address, self.host_key)
    }
}
