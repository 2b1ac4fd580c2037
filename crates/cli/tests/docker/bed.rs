//! An engine of our own with a small image, and a project whose machines are its containers. Nothing of it is left
//! when it is dropped.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// The image of every machine.
pub(crate) const IMAGE: &str = "ideal-test:small";
/// Busybox and nothing else; see `Bed::import_bare`.
pub(crate) const BARE: &str = "ideal-test:bare";
/// A whole Debian, where one is needed; see `Bed::with_system`.
pub(crate) const SYSTEM: &str = "ideal-test:system";

/// An engine, for as long as anything here is on it.
struct Engine {
    process: Mutex<Option<Child>>,
    /// Everything of this test.
    folder: PathBuf,
    socket: String,
}

/// A project of its own, and the engine that its machines are on.
pub(crate) struct Bed {
    engine: Arc<Engine>,
    pub(crate) socket: String,
    /// The project, its store, its sockets.
    pub(crate) folder: PathBuf,
    /// Clouds: the outermost one, and the two in it.
    pub(crate) clouds: [String; 3],
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Ran {
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
    let wanted = ["docker", "dockerd", "busybox", "debootstrap", "losetup", "mkfs.ext4", "ssh"];
    let missing: Vec<&&str> = wanted.iter().filter(|name| !there(name)).collect();
    (!missing.is_empty()).then(|| {
        format!("{missing:?} are missing; install docker.io, busybox-static, debootstrap and openssh-client")
    })
}

/// Where the scripts are that make what tests run on.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/testbed")
}

impl Engine {
    fn run(&self) {
        let mut command = Command::new(scripts().join("engine.sh"));
        let process = command.arg(self.folder.join("e")).stdin(Stdio::piped()).spawn().unwrap();
        *self.process.lock().unwrap() = Some(process);
        let ready = until(60, || self.docker(&["info"]).code == Some(0));
        let log = || std::fs::read_to_string(self.folder.join("e/engine.log")).unwrap_or_default();
        assert!(ready, "the engine did not start: {}", log());
    }
    fn stop(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            // It ends when its input does.
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
    /// Brings a small image there: busybox, and unless it is to have nothing else, what this program needs.
    fn import_small(&self, program: &[&str], name: &str) {
        let made = Command::new(scripts().join("small.sh")).arg(&self.folder).args(program).output().unwrap();
        self.docker(&["import", Ran::of(&made).ended(0).out.trim(), name]).ended(0);
    }
    fn docker(&self, words: &[&str]) -> Ran {
        let socket = format!("unix://{}", self.socket);
        Ran::of(&Command::new("docker").args(["-H", &socket]).args(words).output().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for container in self.docker(&["ps", "-aq"]).out.lines() {
            self.docker(&["rm", "-f", "-v", container]);
        }
        for network in self.docker(&["network", "ls", "-q", "--filter", "driver=bridge"]).out.lines() {
            self.docker(&["network", "rm", network]);
        }
        for (device, _) in loops(&self.folder) {
            let _ = Command::new("losetup").args(["-d", &device]).output();
        }
        self.stop();
        // One that was killed has forgotten who watched over its containers.
        let address = format!("{}/e/run/containerd/containerd.sock", self.folder.display());
        for pid in ideal_host::process::numbers() {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if words.split(|byte| *byte == 0).any(|word| word == address.as_bytes()) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits for a condition; false when it does not come in time.
pub(crate) fn until(seconds: u64, holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Loop devices on files below a folder: each with its file.
fn loops(folder: &Path) -> Vec<(String, String)> {
    let listed = Command::new("losetup").args(["-nO", "NAME,BACK-FILE"]).output().unwrap();
    let of = |line: &str| {
        let (name, file) = line.trim().split_once(' ')?;
        let file = file.trim();
        Path::new(file).starts_with(folder).then(|| (name.to_owned(), file.to_owned()))
    };
    Ran::of(&listed).ended(0).out.lines().filter_map(of).collect()
}

/// The checksum that a seal of this image file has to have, worked out here once more: over the length, and each
/// block of 64 KiB that is not all zeros, with its place.
pub(crate) fn sum_of(image: &Path) -> String {
    let mut file = std::fs::File::open(image).unwrap();
    let length = file.metadata().unwrap().len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length.to_le_bytes());
    let mut block = Vec::new();
    for at in (0..length).step_by(64 << 10) {
        block.clear();
        std::io::Read::take(&mut file, 64 << 10).read_to_end(&mut block).unwrap();
        if block.iter().any(|byte| *byte != 0) {
            hasher.update(&at.to_le_bytes());
            hasher.update(&block);
        }
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

impl Bed {
    /// Starts an engine, with a project on it; none where that is impossible and allowed to be.
    pub(crate) fn start(name: &str) -> Option<Bed> {
        if let Some(why) = missing() {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("NOT TESTED: {why}");
            return None;
        }
        // Short: the path of a socket has at most 108 characters.
        let folder = std::env::temp_dir().join(format!("ideal-d{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let socket = format!("{}/e/engine.sock", folder.display());
        let engine = Engine { process: Mutex::new(None), folder, socket };
        engine.run();
        engine.import_small(&[env!("CARGO_BIN_EXE_ideal")], IMAGE);
        Some(Bed::on(Arc::new(engine), 0))
    }
    /// Gives an image another name, and with it what an instruction of a recipe for images says.
    pub(crate) fn derive(&self, from: &str, name: &str, instruction: &str) {
        let made = self.docker(&["create", from, "true"]).ended(0).out;
        self.docker(&["commit", "--change", instruction, made.trim(), name]).ended(0);
        self.docker(&["rm", made.trim()]).ended(0);
    }
    /// Brings an image there in which is nothing but busybox.
    pub(crate) fn import_bare(&self) {
        self.engine.import_small(&[], BARE);
    }
    /// The same, with a whole Debian among the images.
    pub(crate) fn with_system(name: &str) -> Option<Bed> {
        let bed = Bed::start(name)?;
        // target/PROFILE/deps/docker-HASH
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("testbed");
        let target = std::env::var_os("IDEAL_TESTBED").map_or(target, PathBuf::from);
        let made = Command::new(scripts().join("image.sh")).arg(target).output().unwrap();
        let image = Ran::of(&made).ended(0).out.trim().to_owned();
        bed.docker(&["import", &image, SYSTEM]).ended(0);
        Some(bed)
    }
    /// Another project on the same engine.
    pub(crate) fn beside(&self, number: usize) -> Bed {
        Bed::on(self.engine.clone(), number)
    }
    fn on(engine: Arc<Engine>, number: usize) -> Bed {
        let folder = engine.folder.join(number.to_string());
        std::fs::create_dir_all(folder.join("p")).unwrap();
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(folder.join("run")).unwrap();
        let clouds = [1, 2, 3].map(|cloud| format!("5f0c6f2e-0000-4000-8000-{number:06}00000{cloud}"));
        Bed { socket: engine.socket.clone(), engine, folder, clouds }
    }

    pub(crate) fn engine_stops(&self) {
        self.engine.stop();
    }
    /// Without a word: what it started runs on.
    pub(crate) fn engine_dies(&self) {
        let text = std::fs::read_to_string(self.engine.folder.join("e/engine.pid")).unwrap();
        let pid = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        self.engine.stop();
    }
    pub(crate) fn engine_runs_again(&self) {
        self.engine.run();
    }
    pub(crate) fn docker(&self, words: &[&str]) -> Ran {
        self.engine.docker(words)
    }
    /// Runs a script in the only container of the cloud `db`.
    pub(crate) fn within(&self, script: &str) -> Ran {
        self.docker(&["exec", &self.container(), "sh", "-euc", script])
    }
    /// The only container of the cloud `db`.
    pub(crate) fn container(&self) -> String {
        let ids = self.containers(&format!("ideal.cloud={}", self.clouds[1]));
        assert_eq!(ids.len(), 1, "{ids:?}");
        ids[0].clone()
    }
    /// Containers with a label.
    pub(crate) fn containers(&self, label: &str) -> Vec<String> {
        let filter = format!("label={label}");
        let listed = self.docker(&["ps", "-aq", "--filter", &filter]).ended(0).out;
        listed.lines().map(str::to_owned).collect()
    }

    /// Writes the ideal file.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.folder.join("p/ideal.yaml"), text).unwrap();
    }
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_ideal"), arguments)
    }
    /// The same of another file of the program.
    pub(crate) fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.join("p")).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        command.env("XDG_RUNTIME_DIR", self.folder.join("run"));
        command.env("XDG_CACHE_HOME", self.folder.join("cache"));
        // Where agents of nodes on this host make containers.
        command.env("DOCKER_HOST", format!("unix://{}", self.socket));
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
    /// The image file of each thing of one kind, with what is known of it.
    pub(crate) fn images(&self, kind: &str) -> Vec<(PathBuf, Json)> {
        let at = |meta: &Json| self.data().join(kind).join(meta["id"].as_str().unwrap()).join("data");
        self.metas(kind).into_iter().map(|meta| (at(&meta), meta)).collect()
    }
    /// Checks that each seal has the checksum that was written down for it; how many there are.
    #[track_caller]
    pub(crate) fn seals_are_right(&self) -> usize {
        let seals = self.images("snapshots");
        for (image, meta) in &seals {
            assert_eq!(meta["checksum"], sum_of(image), "{meta}");
        }
        seals.len()
    }
    /// Loop devices on files of this project: each with its file.
    pub(crate) fn loops(&self) -> Vec<(String, String)> {
        loops(&self.folder)
    }
    /// All of this project that is on the host: loop devices, containers, networks.
    pub(crate) fn left(&self) -> Vec<String> {
        let labels = self.clouds.iter().map(|cloud| format!("ideal.cloud={cloud}"));
        let listed = labels.flat_map(|label| self.labelled(&label));
        self.loops().into_iter().map(|(name, _)| name).chain(listed).collect()
    }
    /// Containers and networks with a label.
    pub(crate) fn labelled(&self, label: &str) -> Vec<String> {
        let filter = format!("--filter=label={label}");
        let networks = self.docker(&["network", "ls", "-q", &filter]).ended(0).out;
        self.containers(label).into_iter().chain(networks.lines().map(str::to_owned)).collect()
    }
}
