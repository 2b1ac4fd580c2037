//! Whole commands: what they print, where, and the number at the end. `UPDATE_GOLDEN=1` writes the snapshots
//! anew.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of its own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ideal-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|why| panic!("{why}"));
        Folder(path)
    }
    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).unwrap_or_else(|why| panic!("{why}"));
        }
        std::fs::write(path, text).unwrap_or_else(|why| panic!("{why}"));
    }
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
    /// One command as it looks: arguments, what came out of both ends, and the number.
    fn run(&self, arguments: &[&str]) -> String {
        let ran = Command::new(env!("CARGO_BIN_EXE_ideal"))
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("IDEAL_FILE")
            .env_remove("IDEAL_OUTPUT")
            .env_remove("CLICOLOR_FORCE")
            .output();
        let ran = ran.unwrap_or_else(|why| panic!("{why}"));
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&*self.0.to_string_lossy(), "FOLDER");
            text.lines().map(|line| format!("  {}\n", line.trim_end())).collect::<String>()
        };
        let code = ran.status.code().map_or("killed".to_owned(), |code| code.to_string());
        let (out, err) = (text(&ran.stdout), text(&ran.stderr));
        format!("$ ideal {}\nexit {code}\nstdout:\n{out}stderr:\n{err}\n", arguments.join(" "))
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn snapshot(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, seen).unwrap_or_else(|why| panic!("{why}"));
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(wanted, seen, "{}", path.display());
}

/// uuids differ from run to run.
fn without_uuids(text: &str) -> String {
    let is_uuid = |word: &str| {
        word.len() == 36
            && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
            && word.matches('-').count() == 4
    };
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n', '"', ',']) {
        let bare = word.trim_end_matches([' ', '\n', '"', ',']);
        if is_uuid(bare) { out.push_str(&word.replace(bare, "UUID")) } else { out.push_str(word) }
    }
    out
}

const BAD: &str = r#"ideal: 1
vars: {n: 2}
providers: {here: local}
clouds:
  shop:
    uuid: 5f0c6f2e-0000-4000-8000-000000000001
    provider: here
    nodse: 3
    clouds:
      web:
        uuid: 5f0c6f2e-0000-4000-8000-000000000002
        nodes: three
      db:
        uuid: 5f0c6f2e-0000-4000-8000-000000000003
        nodes: "{{ vars.m }}"
"#;

#[test]
fn init_then_check_then_show() {
    let folder = Folder::new("init");
    let mut seen = folder.run(&["init"]);
    seen += &folder.run(&["check"]);
    seen += &folder.run(&["show"]);
    seen += &folder.run(&["show", "shop.web", "-o", "json"]);
    seen += &folder.run(&["show", "shop.wbe"]);
    seen += &folder.run(&["show", "Shop["]);
    seen += &folder.run(&["init"]);
    seen += &folder.run(&["init", "lab", "--name", "Bad_Name"]);
    seen += &folder.run(&["init", "lab", "--name", "lab", "-q"]);
    seen += &folder.run(&["check", "lab/ideal.yaml", "-o", "json"]);
    snapshot("init", &without_uuids(&seen));
}

#[test]
fn check_says_everything_at_once() {
    let folder = Folder::new("check");
    folder.write("ideal.yaml", BAD);
    let mut seen = folder.run(&["check"]);
    seen += &folder.run(&["check", "-o", "plain"]);
    seen += &folder.run(&["check", "-o", "json"]);
    seen += &folder.run(&["show"]);
    folder.write("warn.yaml", "ideal: 1\nvars: {release: 1.10}\n");
    seen += &folder.run(&["check", "warn.yaml"]);
    folder.write("long.yaml", &format!("ideal: 1\nvars: {{a: '{}', b: *x}}\n", "\u{202e}\t".repeat(5000)));
    seen += &folder.run(&["check", "long.yaml"]);
    snapshot("check", &seen);
}

#[test]
fn check_writes_uuids_and_nothing_else() {
    let folder = Folder::new("fix");
    folder.write(
        "ideal.yaml",
        "ideal: 1\ninclude: [more/web.yaml]\nclouds:\n  # ours\n  shop: # note\n    nodes: 1\n",
    );
    folder.write("more/web.yaml", "clouds: {web: {nodes: 2}}\n");
    let mut seen = folder.run(&["check"]);
    seen += &folder.run(&["check", "--fix"]);
    seen += &folder.run(&["check", "--fix"]);
    seen += &folder.read("ideal.yaml");
    seen += &folder.read("more/web.yaml");
    let left = std::fs::read_dir(&folder.0).map_or(0, Iterator::count);
    assert_eq!(left, 2, "nothing lies about afterwards");
    snapshot("fix", &without_uuids(&seen.replace("uuid: ", "uuid:  ").replace(", nodes", " , nodes")));
}

#[test]
fn only_files_of_the_project_are_read() {
    let folder = Folder::new("project");
    folder.write("secret.yaml", "vars: {password: hidden}\n");
    folder.write("project/ideal.yaml", "ideal: 1\ninclude: [link.yaml, pipe, ../secret.yaml, none.yaml]\n");
    folder.write("project/.git/HEAD", "");
    folder.write("project/deep/er/x", "");
    let project = folder.0.join("project");
    std::os::unix::fs::symlink("../secret.yaml", project.join("link.yaml"))
        .unwrap_or_else(|why| panic!("{why}"));
    std::os::unix::fs::symlink("/dev/zero", project.join("pipe")).unwrap_or_else(|why| panic!("{why}"));
    let mut seen = folder.run(&["check", "project/ideal.yaml", "-o", "plain"]);
    assert!(!seen.contains("hidden"));
    seen += &folder.run(&["check"]);
    seen += &folder.run(&["check", "-f", "nowhere.yaml"]);
    seen += &folder.run(&["check", "-f", "/dev/zero"]);
    let inner = Folder(project.join("deep/er"));
    seen += &inner.run(&["check", "-o", "plain"]).replace(&*folder.0.to_string_lossy(), "FOLDER");
    folder.write("large.yaml", &"x".repeat(5 << 20));
    seen += &folder.run(&["check", "large.yaml", "-o", "plain"]);
    snapshot("project", &seen);
}

#[test]
fn small_ones() {
    let folder = Folder::new("small");
    let mut seen = folder.run(&["explain", "ideal/unknown-key"]);
    seen += &folder.run(&["explain", "unknwn-key"]);
    seen += &folder.run(&["explain", "unknwn-key", "-o", "json"]);
    seen += &folder.run(&["version"]);
    seen += &folder.run(&["chek"]);
    seen += &folder.run(&["xyzzy"]);
    seen += &folder.run(&["check", "--fx"]);
    seen += &folder.run(&["--help"]);
    snapshot("small", &seen);
    let schema = folder.run(&["schema", "file"]);
    assert!(schema.starts_with("$ ideal schema file\nexit 0"), "{schema}");
    assert_eq!(schema, folder.run(&["schema", "file"]));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(folder.run(&["completions", shell]).contains("exit 0"), "{shell}");
    }
}

#[test]
fn recipes_are_listed_and_shown() {
    let folder = Folder::new("recipes");
    folder.write(
        "ideal.yaml",
        "ideal: 1\nproviders: {test: sim}\nclouds:\n  shop:\n    uuid: 5f0c6f2e-0000-4000-8000-00000000000a\n    \
         nodes: 1\n    recipes: [nginx, {hardening: {sysctl: false}}, docker, postgresql]\n",
    );
    let mut seen = folder.run(&["check"]);
    seen += &folder.run(&["recipe", "list"]);
    seen += &folder.run(&["recipe", "show", "hardening"]);
    seen += &folder.run(&["recipe", "show", "ngnix"]);
    seen += &folder.run(&["recipe", "new", "Nginx"]);
    seen += &folder.run(&["recipe", "new", "nginx"]);
    seen += &folder.run(&["recipe", "new", "nginx"]);
    seen += &folder.run(&["recipe", "show", "nginx"]);
    seen += &folder.run(&["recipe", "show", "nginx", "-o", "json"]);
    seen += &folder.run(&["check"]);
    seen += &folder.run(&["show", "shop"]);
    snapshot("recipes", &seen);
}

#[test]
fn files_of_older_systems_become_ideal_files() {
    let folder = Folder::new("import");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("../file/tests/import");
    for name in ["gibbon.wucluster.yaml", "gibbon.cloudera.json"] {
        folder.write(name, &std::fs::read_to_string(old.join(name)).unwrap_or_default());
    }
    let printed = folder.run(&["import", "wucluster", "gibbon.wucluster.yaml"]);
    assert!(printed.contains("exit 0") && printed.contains("from: {volume: vol-8d8d1c47}"), "{printed}");
    let remark = "gibbon.wucluster.yaml:3: `aws_secret_access_key` is not carried over: credentials";
    assert!(printed.contains(remark) && !printed.to_lowercase().contains("never-shown"), "{printed}");
    // What is written is good, and is written once.
    let wrote = folder.run(&[
        "import",
        "cloudera",
        "gibbon.cloudera.json",
        "--name",
        "old",
        "--to",
        "new/ideal.yaml",
    ]);
    assert!(wrote.contains("exit 0") && wrote.contains("  wrote new/ideal.yaml"), "{wrote}");
    let before = folder.read("new/ideal.yaml");
    let check = folder.run(&["check", "new/ideal.yaml"]);
    assert!(check.contains("exit 0") && check.contains("6 clouds, 4 nodes, 5 mounts"), "{check}");
    let again = folder.run(&["import", "wucluster", "gibbon.wucluster.yaml", "--to", "new/ideal.yaml"]);
    assert!(again.contains("exit 1") && again.contains("is there already"), "{again}");
    assert_eq!(folder.read("new/ideal.yaml"), before);
    // Uuids are new each time; all else is told to scripts as well.
    let json = folder.run(&["import", "wucluster", "gibbon.wucluster.yaml", "-o", "json"]);
    assert!(json.contains("\"good\": true") && json.contains("\"line\": 3"), "{json}");
    // What was allowed there and is a mistake here is shown, and comes out all the same.
    folder.write(
        "twice.json",
        r#"{"a": [[{"mount_point": "/data", "size": 1}, {"mount_point": "/data", "size": 1}]]}"#,
    );
    let twice = folder.run(&["import", "cloudera", "twice.json", "--name", "a", "-o", "plain"]);
    assert!(
        twice.contains("exit 2") && twice.contains("mounts-overlap") && twice.contains("data-2:"),
        "{twice}"
    );
    let nameless = folder.run(&["import", "cloudera", "twice.json"]);
    assert!(nameless.contains("exit 2") && nameless.contains("--name NAME"), "{nameless}");
    let wrong = folder.run(&["import", "wucluster", "twice.json"]);
    assert!(wrong.contains("exit 2") && wrong.contains("twice.json: line 1, column 1"), "{wrong}");
    let none = folder.run(&["import", "wucluster", "none.yaml"]);
    assert!(none.contains("exit 2") && none.contains("cannot read none.yaml"), "{none}");
}
