//! A project folder of its own with everything that `ideal` keeps elsewhere inside it, and the real binary.
//! When it goes, every process that belongs to it is ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ideal_host::process;
use serde_json::Value as Json;

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
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
        assert!(
            self.out.contains(what) || self.err.contains(what),
            "`{what}` is not said\nstdout:\n{}\nstderr:\n{}",
            self.out,
            self.err
        );
        self
    }
    #[track_caller]
    pub(crate) fn data(&self) -> Json {
        let json: Json = serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}", self.out));
        json["data"].clone()
    }
}

/// One node with a volume that a counter appends to, and some web nodes.
pub(crate) fn file(web: u32) -> String {
    format!(
        r#"ideal: 1
providers: {{here: local}}
clouds:
  shop:
    uuid: 5f0c6f2e-0000-4000-8000-000000000001
    provider: here
    clouds:
      db:
        uuid: 5f0c6f2e-0000-4000-8000-000000000002
        nodes: 1
        mounts: {{data: {{size: 64MiB, at: /data}}}}
      web:
        uuid: 5f0c6f2e-0000-4000-8000-000000000003
        nodes: {web}
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

impl Bench {
    pub(crate) fn new(text: &str) -> Bench {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ideal-t{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("p")).unwrap();
        let bench = Bench { folder };
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(bench.folder.join("run")).unwrap();
        bench.write(text);
        bench
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
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
    pub(crate) fn end(child: Child) -> Ran {
        Ran::of(child.wait_with_output().unwrap())
    }
    pub(crate) fn status(&self) -> Json {
        self.run(&["status", "-o", "json"]).ended(0).data()
    }
    pub(crate) fn local(&self) -> PathBuf {
        self.folder.join("p/.ideal/local")
    }
    /// Everything of one kind, as its provider wrote it down.
    pub(crate) fn metas(&self, kind: &str) -> Vec<Json> {
        let Ok(entries) = std::fs::read_dir(self.local().join(kind)) else { return Vec::new() };
        let mut metas: Vec<Json> = entries
            .filter_map(|entry| {
                let text = std::fs::read(entry.unwrap().path().join("meta.json")).ok()?;
                Some(serde_json::from_slice(&text).unwrap())
            })
            .collect();
        metas.sort_by_key(|meta| meta["id"].as_str().unwrap_or_default().to_owned());
        metas
    }
    /// Machines that were not ended.
    pub(crate) fn machines(&self) -> Vec<Json> {
        self.metas("machines").into_iter().filter(|meta| meta["end"] == "not").collect()
    }
    /// The file that the counter appends to, on a volume.
    pub(crate) fn numbers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        find(&self.local().join("volumes"), "numbers", &mut found);
        find(&self.local().join("machines"), "numbers", &mut found);
        found
    }
    /// What the counter wrote, once it wrote this many lines. They are 1, 2, 3 ...: none lost, none doubled.
    pub(crate) fn counted(&self, lines: usize) -> String {
        let mut text = String::new();
        eventually(&format!("{lines} numbers"), || {
            text = self
                .numbers()
                .first()
                .and_then(|path| std::fs::read_to_string(path).ok())
                .unwrap_or_default();
            text.lines().count() >= lines
        });
        whole(&text);
        text
    }
    /// The contents of sealed snapshots, oldest life first.
    pub(crate) fn sealed(&self) -> Vec<String> {
        let mut all: Vec<(u64, String)> = self
            .metas("snapshots")
            .iter()
            .map(|meta| {
                let folder = self.local().join("snapshots").join(meta["id"].as_str().unwrap());
                let mut found = Vec::new();
                find(&folder, "numbers", &mut found);
                let text = found.first().map(|path| std::fs::read_to_string(path).unwrap());
                (meta["life"].as_u64().unwrap(), text.unwrap_or_default())
            })
            .collect();
        all.sort();
        all.into_iter().map(|(_, text)| text).collect()
    }
    /// The keeper of the living machine that carries the volume.
    pub(crate) fn keeper(&self) -> u32 {
        let mut machine = None;
        eventually("a keeper", || {
            let numbers = self.numbers();
            let mut above = numbers.first().into_iter().flat_map(|path| path.ancestors());
            machine = above.find(|folder| folder.join("keeper.json").exists()).map(Path::to_owned);
            machine.is_some()
        });
        let machine = machine.unwrap_or_default();
        let text = std::fs::read(machine.join("keeper.json")).unwrap();
        let json: Json = serde_json::from_slice(&text).unwrap();
        u32::try_from(json["process"]["pid"].as_u64().unwrap()).unwrap()
    }
    /// The keepers of all machines.
    pub(crate) fn keepers(&self) -> Vec<u32> {
        let homes = std::fs::read_dir(self.local().join("machines")).unwrap();
        let texts = homes.filter_map(|home| std::fs::read(home.unwrap().path().join("keeper.json")).ok());
        let pid = |text: Vec<u8>| {
            let json: Json = serde_json::from_slice(&text).unwrap();
            u32::try_from(json["process"]["pid"].as_u64().unwrap()).unwrap()
        };
        texts.map(pid).collect()
    }
    fn is_ours(&self) -> impl Fn(&process::Marks) -> bool {
        let folder = self.folder.clone();
        move |marks| marks.get(process::HOME).is_some_and(|home| Path::new(home).starts_with(&folder))
    }
    /// The starts of each replica of which something lives, by its address.
    pub(crate) fn copies(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut copies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for process in process::find(self.is_ours()) {
            let (Some(service), Some(start)) = (process.mark(process::SERVICE), process.mark(process::START))
            else {
                continue;
            };
            // A start is counted by its machine.
            let machine = process.mark(process::MACHINE).unwrap_or_default();
            copies.entry(service.to_owned()).or_default().insert(format!("{machine} {start}"));
        }
        copies
    }
    pub(crate) fn processes(&self) -> usize {
        process::find(self.is_ours()).len()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = process::kill_all(self.is_ours(), 200);
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Not through links: a mount is one, and its volume is found by itself.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find(&entry.path(), name, found),
            Ok(kind) if kind.is_file() && entry.file_name() == name => found.push(entry.path()),
            _ => {}
        }
    }
}

/// 1, 2, 3 ... in lines.
#[track_caller]
pub(crate) fn whole(text: &str) {
    for (index, line) in text.lines().enumerate() {
        assert_eq!(line, (index + 1).to_string(), "a number is lost or doubled");
    }
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
