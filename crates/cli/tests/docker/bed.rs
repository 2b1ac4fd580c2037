//! An engine of our own with a small image, and a project whose machines are its containers. Nothing of it is left
//! when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// The image of every machine.
pub(crate) const IMAGE: &str = "ideal-test:small";

pub(crate) struct Bed {
    engine: Child,
    pub(crate) socket: String,
    /// Everything of this test: the project, its store, its sockets, the engine.
    pub(crate) folder: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Ran {
        let said = self.out.contains(what) || self.err.contains(what);
        assert!(said, "`{what}` is not said\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// Why there can be no engine here, if so. Where everything must be tested that is an error.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make containers".to_owned());
    }
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let there = |name: &&&str| path.split(':').any(|at| Path::new(at).join(name).exists());
    let wanted = ["docker", "dockerd", "busybox", "losetup", "mkfs.ext4"];
    let missing: Vec<&&str> = wanted.iter().filter(|name| !there(name)).collect();
    (!missing.is_empty()).then(|| format!("{missing:?} are missing; install docker.io and busybox-static"))
}

impl Bed {
    /// Starts one; none where that is impossible and allowed to be.
    pub(crate) fn start(name: &str) -> Option<Bed> {
        if let Some(why) = missing() {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("NOT TESTED: {why}");
            return None;
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/testbed");
        // Short: the path of a socket has at most 108 characters.
        let folder = std::env::temp_dir().join(format!("ideal-d{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("p")).unwrap();
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(folder.join("run")).unwrap();
        let program = env!("CARGO_BIN_EXE_ideal");
        let made = Command::new(scripts.join("small.sh")).arg(&folder).arg(program).output().unwrap();
        let image = Ran::of(&made).ended(0).out.trim().to_owned();
        let engine = folder.join("e");
        let socket = format!("{}/engine.sock", engine.display());
        let mut command = Command::new(scripts.join("engine.sh"));
        let engine = command.arg(&engine).stdin(Stdio::piped()).spawn().unwrap();
        let bed = Bed { engine, socket, folder };
        let ready = bed.until(60, || bed.docker(&["info"]).code == Some(0));
        let log = || std::fs::read_to_string(bed.folder.join("e/engine.log")).unwrap_or_default();
        assert!(ready, "the engine did not start: {}", log());
        bed.docker(&["import", &image, IMAGE]).ended(0);
        Some(bed)
    }

    pub(crate) fn until(&self, seconds: u64, holds: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            if holds() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
    pub(crate) fn docker(&self, words: &[&str]) -> Ran {
        let socket = format!("unix://{}", self.socket);
        Ran::of(&Command::new("docker").args(["-H", &socket]).args(words).output().unwrap())
    }
    /// Runs a script in the only container of a cloud.
    pub(crate) fn within(&self, cloud: &str, script: &str) -> Ran {
        self.docker(&["exec", &self.container(cloud), "sh", "-euc", script])
    }
    /// The only container of a cloud.
    pub(crate) fn container(&self, cloud: &str) -> String {
        let filter = format!("label=ideal.cloud={cloud}");
        let listed = self.docker(&["ps", "-aq", "--filter", &filter]).ended(0).out;
        let ids: Vec<&str> = listed.lines().collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        ids[0].to_owned()
    }

    /// Writes the ideal file.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.folder.join("p/ideal.yaml"), text).unwrap();
    }
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ideal"));
        command.args(arguments).current_dir(self.folder.join("p")).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        command.env("XDG_RUNTIME_DIR", self.folder.join("run"));
        for name in ["IDEAL_FILE", "IDEAL_OUTPUT", "IDEAL_CRASH_AT", "IDEAL_CRASH_TRACE", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }
    pub(crate) fn ideal(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }
    /// The data folder of the provider.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("p/.ideal/docker")
    }
    /// Everything of one kind, as the provider wrote it down.
    pub(crate) fn metas(&self, kind: &str) -> Vec<Json> {
        let Ok(entries) = std::fs::read_dir(self.data().join(kind)) else { return Vec::new() };
        let read = |path: PathBuf| std::fs::read(path.join("meta.json")).ok();
        let texts = entries.filter_map(|entry| read(entry.unwrap().path()));
        texts.map(|text| serde_json::from_slice(&text).unwrap()).collect()
    }
    /// Loop devices on files of this test: each with its file.
    pub(crate) fn loops(&self) -> Vec<(String, String)> {
        let listed = Command::new("losetup").args(["-nO", "NAME,BACK-FILE"]).output().unwrap();
        let of = |line: &str| {
            let (name, file) = line.trim().split_once(' ')?;
            let file = file.trim();
            file.starts_with(&*self.folder.to_string_lossy()).then(|| (name.to_owned(), file.to_owned()))
        };
        Ran::of(&listed).ended(0).out.lines().filter_map(of).collect()
    }
    /// All of ours that is on the host: containers, networks, loop devices.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = self.loops().into_iter().map(|(name, _)| name).collect();
        for words in [
            ["ps", "-a", "-q", "--filter", "label=ideal.owner"],
            ["network", "ls", "--no-trunc", "-q", "--filter=label=ideal.owner"],
        ] {
            left.extend(self.docker(&words).ended(0).out.lines().map(str::to_owned));
        }
        left
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let listed = self.docker(&["ps", "-aq"]).out;
        for container in listed.lines() {
            self.docker(&["rm", "-f", "-v", container]);
        }
        for (device, _) in self.loops() {
            let _ = Command::new("losetup").args(["-d", &device]).output();
        }
        let listed = self.docker(&["network", "ls", "-q", "--filter", "driver=bridge"]).out;
        for network in listed.lines() {
            self.docker(&["network", "rm", network]);
        }
        // The engine ends when its input does.
        drop(self.engine.stdin.take());
        let _ = self.engine.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
