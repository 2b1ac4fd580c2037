//! What the documents claim: the tutorial is run for real, and the references name all that there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const IDEAL: &str = env!("CARGO_BIN_EXE_ideal");

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or_else(|why| panic!("{}: {why}", root.display()))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn ideal(arguments: &[&str]) -> String {
    let ran = Command::new(IDEAL).args(arguments).env_remove("IDEAL_OUTPUT").output();
    let ran = ran.unwrap_or_else(|why| panic!("{why}"));
    assert!(ran.status.success(), "ideal {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The blocks of code of one kind: the line on which each begins, and its text.
fn blocks(text: &str, kind: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside: Option<(usize, String)> = None;
    let mut other = false;
    for (i, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut inside) {
            (Some(_), Some(_)) => found.extend(inside.take()),
            (Some(_), None) if other => other = false,
            (Some(own), None) if own == kind => inside = Some((i + 2, String::new())),
            (Some(_), None) => other = true,
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

/// The words that stand between back-ticks, outside of blocks of code.
fn marked(text: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut words = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            for span in line.split('`').skip(1).step_by(2) {
                let parts = span.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'));
                words.extend(parts.filter(|word| !word.is_empty()).map(str::to_owned));
            }
        }
    }
    words
}

/// A folder with state and sockets of its own. Whatever happens, nothing of it runs afterwards.
struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Bench {
        // Short, for the path of a socket has at most 107 bytes.
        let path = std::env::temp_dir().join(format!("ideal-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&path);
        for folder in ["shop", "state", "run", "bin"] {
            std::fs::create_dir_all(path.join(folder)).unwrap_or_else(|why| panic!("{why}"));
        }
        std::os::unix::fs::symlink(IDEAL, path.join("bin/ideal")).unwrap_or_else(|why| panic!("{why}"));
        Bench(path.canonicalize().unwrap_or(path))
    }

    fn sh(&self, script: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let ran = Command::new("/bin/sh")
            .args(["-eu", "-c", script])
            .current_dir(self.0.join("shop"))
            .env("PATH", format!("{}:{path}", self.0.join("bin").display()))
            .env("XDG_STATE_HOME", self.0.join("state"))
            .env("XDG_RUNTIME_DIR", self.0.join("run"))
            .env_remove("IDEAL_FILE")
            .env_remove("IDEAL_OUTPUT")
            .stdin(std::process::Stdio::null())
            .output();
        ran.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Processes of machines below this folder, which carry it in their environment.
    fn processes(&self) -> Vec<String> {
        let mark = format!("IDEAL_HOME={}/", self.0.display());
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = entries.filter(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|own| own.starts_with(mark.as_bytes()))
        });
        ours.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Keepers may start something while the others are ended.
        for _ in 0..20 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            _ = Command::new("kill").arg("-9").args(left).output();
        }
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A line that says how it ends is tried for some seconds until it ends so: a reader types slower than a process
/// dies. One that never does fails the script.
fn script(block: &str) -> String {
    let mut script = String::new();
    for line in block.lines() {
        match line.split_once("# exits with ") {
            None => script.push_str(line),
            Some((command, code)) => {
                let command = command.trim();
                script.push_str(&format!(
                    "end=$(($(date +%s) + 5)); while :; do code=0; {command} || code=$?; \
                     [ $code -eq {code} ] && break; \
                     [ $(date +%s) -lt $end ] || {{ echo \"{command}: $code\" >&2; exit 99; }}; done"
                ));
            }
        }
        script.push('\n');
    }
    script
}

#[test]
fn the_tutorial_is_true() {
    is_true("tutorial", 10);
}

#[test]
fn the_page_on_data_is_true() {
    is_true("data", 5);
}

#[test]
fn the_page_on_services_is_true() {
    is_true("services", 5);
}

#[test]
fn the_page_on_placement_is_true() {
    is_true("placement", 8);
}

/// Runs every block of a page, in one folder that begins with the file of the quickstart.
fn is_true(page: &str, most: usize) {
    let bench = Bench::new(page);
    std::fs::copy(root().join("examples/quickstart/ideal.yaml"), bench.0.join("shop/ideal.yaml"))
        .unwrap_or_else(|why| panic!("{why}"));
    let page = format!("docs/{page}.md");
    let blocks = blocks(&read(&page), "sh");
    assert!(blocks.len() > most, "{page} has {} blocks", blocks.len());
    for (line, block) in blocks {
        let ran = bench.sh(&script(&block));
        assert!(
            ran.status.success(),
            "{page}:{line}: {}\n{block}\n{}{}",
            ran.status,
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    assert_eq!(bench.processes(), Vec::<String>::new(), "nothing is left running");
}

#[test]
fn the_reference_names_every_key() {
    fn walk(value: &serde_json::Value, keys: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(entries) => {
                if let Some(serde_json::Value::Object(properties)) = entries.get("properties") {
                    keys.extend(properties.keys().cloned());
                }
                keys.extend(entries.get("const").and_then(|value| value.as_str()).map(str::to_owned));
                entries.values().for_each(|value| walk(value, keys));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| walk(value, keys)),
            _ => {}
        }
    }
    let schema = serde_json::from_str(&ideal(&["schema", "file"])).unwrap_or_else(|why| panic!("{why}"));
    let mut keys = BTreeSet::new();
    walk(&schema, &mut keys);
    assert!(keys.len() > 50, "the schema has {} keys", keys.len());
    let mut named = marked(&read("docs/file.md"));
    // The pages of resources are made from the schema; another test says that they are current.
    for page in
        std::fs::read_dir(root().join("docs/reference/resources")).unwrap_or_else(|why| panic!("{why}"))
    {
        let page = page.unwrap_or_else(|why| panic!("{why}")).path();
        named.extend(marked(&std::fs::read_to_string(page).unwrap_or_else(|why| panic!("{why}"))));
    }
    let missing: Vec<_> = keys.difference(&named).collect();
    assert!(missing.is_empty(), "neither docs/file.md nor the pages of resources name {missing:?}");
}

#[test]
fn the_command_line_is_described() {
    let help = ideal(&["--help"]);
    let list =
        help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let text = read("docs/cli.md");
    let named = marked(&text);
    let commands: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 15, "`ideal --help` lists {commands:?}");
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for command in commands {
        if !text.contains(&format!("| `ideal {command}")) {
            missing.insert(command.to_owned());
        }
        let help = ideal(&[command, "--help"]);
        let flags = help.lines().filter_map(|line| {
            let line = line.trim_start();
            let long = line.starts_with('-').then(|| line.split("--").nth(1)).flatten()?;
            long.split([' ', ',']).next()
        });
        // The short ones of all commands are described together.
        let all = ["help", "file", "output", "quiet", "verbose", "lines", "follow"];
        let flags = flags.filter(|flag| !all.contains(flag) && !named.contains(&format!("--{flag}")));
        missing.extend(flags.map(|flag| format!("{command} --{flag}")));
    }
    assert!(missing.is_empty(), "docs/cli.md does not name {missing:?}");
    // The numbers are those of the program.
    let exits = read("crates/cli/src/exit.rs");
    let arms = exits.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" => "));
    let numbers: Vec<&str> =
        arms.map(|(_, number)| number).filter(|number| number.parse::<u8>().is_ok()).collect();
    assert!(numbers.len() > 5, "exit codes {numbers:?}");
    for number in numbers {
        assert!(text.contains(&format!("| {number} |")), "docs/cli.md does not name exit code {number}");
    }
}

#[test]
fn examples_are_good() {
    let folders = std::fs::read_dir(root().join("examples")).unwrap_or_else(|why| panic!("{why}"));
    let files: Vec<PathBuf> = folders.flatten().map(|entry| entry.path().join("ideal.yaml")).collect();
    assert!(files.len() > 1, "examples: {files:?}");
    for file in files {
        ideal(&["check", "--file", &file.to_string_lossy()]);
    }
}

/// An ideal file in a document is a good one.
#[test]
fn files_in_documents_are_good() {
    let bench = Bench::new("files");
    let documents = [
        "README.md",
        "docs/file.md",
        "docs/recipes.md",
        "docs/secrets.md",
        "docs/plugins.md",
        "docs/one-line.md",
        "docs/services.md",
    ];
    for document in documents.into_iter().chain(["docs/coming-from-ideal-rb.md"]) {
        let whole =
            blocks(&read(document), "yaml").into_iter().filter(|(_, text)| text.starts_with("ideal: 1"));
        for (line, text) in whole {
            let path = bench.0.join("shop/ideal.yaml");
            std::fs::write(&path, text).unwrap_or_else(|why| panic!("{why}"));
            let made = "rm -rf recipes plugins && ideal recipe new site && ideal plugin new greeting";
            let ran = bench.sh(&format!("{made} && ideal check"));
            assert!(ran.status.success(), "{document}:{line}: {}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}
