//! A container engine of our own, and one container in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where the ideal file is in the container. Not on its disk, so that the disk stays as it is.
pub(crate) const FILE: &str = "/run/ideal.yaml";

/// What runs as process 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Systemd,
    Plain,
}

/// A running system. Ends with its engine when it is dropped.
pub(crate) struct Bed {
    pub(crate) system: System,
    engine: Child,
    socket: String,
    folder: PathBuf,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Where images and engines are kept.
fn folder() -> PathBuf {
    let named = std::env::var_os("IDEAL_TESTBED").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let target = std::env::current_exe().unwrap();
        // target/PROFILE/deps/machines-HASH
        target.ancestors().nth(3).unwrap().join("testbed")
    })
}

/// Why such a system cannot be had here, if so. Where everything must be tested that is an error.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make containers".to_owned());
    }
    let there = |name: &&&str| {
        let path = std::env::var("PATH").unwrap_or_default();
        path.split(':').chain(["/usr/sbin", "/sbin"]).any(|at| Path::new(at).join(name).exists())
    };
    let missing: Vec<&&str> =
        ["docker", "dockerd", "debootstrap"].iter().filter(|name| !there(name)).collect();
    (!missing.is_empty()).then(|| format!("{missing:?} are missing; install docker.io and debootstrap"))
}

impl Bed {
    /// Starts one; none where that is impossible and allowed to be.
    pub(crate) fn start(system: System) -> Option<Bed> {
        if let Some(why) = missing() {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("NOT TESTED: {why}");
            return None;
        }
        let scripts = repository().join("scripts/testbed");
        let made = Command::new(scripts.join("image.sh")).arg(folder()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let image = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        // The path of a socket has at most 108 characters.
        let folder = folder().join(if system == System::Systemd { "full" } else { "plain" });
        let log = folder.join("engine.log");
        let engine =
            Command::new(scripts.join("engine.sh")).arg(&folder).stdin(Stdio::piped()).spawn().unwrap();
        let socket = format!("unix://{}/engine.sock", folder.display());
        let bed = Bed { system, engine, socket, folder };
        let ready = bed.until(Duration::from_secs(60), || bed.docker(&["info"]).status.success());
        assert!(ready, "the engine did not start: {}", std::fs::read_to_string(log).unwrap_or_default());
        bed.make_container(&image);
        // Its own folder is there from the first time on; what is compared begins after that.
        bed.pass("converge", &serde_json::json!([{"command": {"run": ["true"]}}])).unwrap();
        Some(bed)
    }

    fn make_container(&self, image: &str) {
        let tag = Path::new(image).file_stem().unwrap().to_str().unwrap();
        let tag = format!("ideal-test:{tag}");
        if !self.docker(&["image", "inspect", &tag]).status.success() {
            // What an older text of the image was made into is of no use to anybody.
            self.docker(&["image", "prune", "-a", "-f"]);
            let imported = self.docker(&["import", image, &tag]);
            assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        }
        self.docker(&["rm", "-f", "-v", "node"]);
        let own = format!("{}:/usr/bin/ideal:ro", env!("CARGO_BIN_EXE_ideal"));
        let common = [
            "run",
            "-d",
            "--name",
            "node",
            "--network",
            "host",
            "--cap-add",
            "SYS_ADMIN",
            "--cap-add",
            "MKNOD",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
            "--device",
            "/dev/loop-control",
            "--device-cgroup-rule",
            "b 7:* rmw",
            "--tmpfs",
            "/run",
            "-v",
            &own,
        ];
        let full = [
            "--tmpfs",
            "/run/lock",
            "--tmpfs",
            "/tmp",
            "-v",
            "/sys/fs/cgroup:/sys/fs/cgroup:rw",
            &tag,
            "/sbin/init",
        ];
        // Something must bury the dead that daemons leave to process 1.
        let plain = [&tag[..], "bash", "-c", "while :; do sleep 1000000 & wait $!; done"];
        let rest = if self.system == System::Systemd { &full[..] } else { &plain[..] };
        let run = self.docker(&[&common[..], rest].concat());
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        if self.system == System::Systemd {
            let running = self.until(Duration::from_secs(60), || {
                let said = self.docker(&["exec", "node", "systemctl", "is-system-running"]).stdout;
                matches!(String::from_utf8_lossy(&said).trim(), "running" | "degraded")
            });
            assert!(running, "systemd did not come up");
        }
    }

    fn until(&self, limit: Duration, holds: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if holds() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn docker(&self, words: &[&str]) -> Output {
        Command::new("docker").args(["-H", &self.socket]).args(words).output().unwrap()
    }

    /// Runs a script in the container; what it said, or what it said when it failed.
    pub(crate) fn shell(&self, script: &str) -> Result<String, String> {
        let output = self.docker(&["exec", "node", "sh", "-euc", script]);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(said(&output.stdout));
        }
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        Err(format!("{} of\n{script}\nsaid\n{out}{err}", output.status))
    }

    /// `ideal converge` in the container, with these arguments and variables more.
    pub(crate) fn ideal(&self, arguments: &[&str], env: &[(&str, &str)]) -> Output {
        let mut words = vec!["exec".to_owned()];
        for (name, value) in env {
            words.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
        let command = ["node", "ideal", "converge", "-f", FILE, "--as", "a", "-o", "jsonl"];
        words.extend(command.iter().chain(arguments).map(|word| (*word).to_owned()));
        self.docker(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Does something while `ideal converge --watch` goes on in the container.
    pub(crate) fn watching(&self, does: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let command = format!("ideal converge -f {FILE} --as a --watch > /run/watching 2>&1");
        self.docker(&["exec", "-d", "node", "sh", "-c", &command]);
        let begun = self.until(Duration::from_secs(20), || {
            // Two threads: the program itself, and the one that waits for what is noticed.
            self.shell("[ \"$(ls /proc/$(pidof ideal)/task | wc -l)\" -ge 2 ]").is_ok()
        });
        let done = if begun { does() } else { Err("it does not watch".to_owned()) };
        let said = self.shell("cat /run/watching").unwrap_or_default();
        let ended = self.shell(
            "kill -INT $(pidof ideal); for _ in $(seq 500); do pidof ideal > /dev/null || exit 0; sleep 0.02; done
             kill -KILL $(pidof ideal); echo 'it did not stop when it was told to'; exit 1",
        );
        done.and(ended.map(|_| ())).map_err(|error| format!("{error}; it said\n{said}"))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // A loop device is the host's, and outlives the container.
        let _ = self.shell("! [ -e /run/test-disk.loop ] || { umount /srv/data || :; losetup -d $(cat /run/test-disk.loop); }");
        self.docker(&["rm", "-f", "-v", "node"]);
        // The engine ends when its input does.
        drop(self.engine.stdin.take());
        let _ = self.engine.wait();
        let _ = std::fs::remove_dir_all(self.folder.join("run"));
    }
}
