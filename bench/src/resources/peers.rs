//! The peers, each with the same files, templates, lines, links and directories.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::measure::say;
use crate::peer::environment;

/// What one peer took.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) first: Duration,
    pub(crate) no_op: Duration,
}

/// Every peer that is installed; one that is not is said.
pub(crate) fn all(folder: &Path, size: usize) -> anyhow::Result<Vec<Peer>> {
    let mut peers = Vec::new();
    type Prepare = fn(&Path, usize) -> anyhow::Result<Vec<String>>;
    let known: [(&'static str, &str, Prepare); 3] = [
        ("ansible", "ansible-playbook", ansible),
        ("salt", "salt-call", salt),
        ("pyinfra", "pyinfra", pyinfra),
    ];
    for (name, program, prepare) in known {
        let program = std::path::absolute(environment().join("bin").join(program))?;
        if !program.exists() {
            say(&format!("resources {size}: {name} is not installed here, so it is not measured"))?;
            continue;
        }
        let own = folder.join(name);
        fs::create_dir_all(own.join("site"))?;
        let words = prepare(&own, size)?;
        let first = run(&program, &words, &own)?;
        let no_op = run(&program, &words, &own)?;
        // Else it would be measured how fast it does nothing at all.
        let made = fs::read_dir(own.join("site"))?.count();
        ensure!(made > size * 3 / 5, "{name} made only {made} of {size}");
        peers.push(Peer { name, first, no_op });
    }
    Ok(peers)
}

fn run(program: &Path, words: &[String], own: &Path) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let output = Command::new(program)
        .args(words)
        .current_dir(own)
        .env("HOME", own)
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_NOCOWS", "1")
        .stdin(Stdio::null())
        .output()?;
    let took = begin.elapsed();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let end: Vec<&str> = said.lines().rev().take(12).collect();
    ensure!(output.status.success(), "{} failed: {}", program.display(), end.join(" | "));
    Ok(took)
}

fn ansible(own: &Path, size: usize) -> anyhow::Result<Vec<String>> {
    let at = own.join("site");
    let at = at.display();
    fs::write(own.join("page.j2"), "page {{ item }}\n")?;
    let mut text = String::from("- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n");
    for number in 0..size {
        let task = match number % 5 {
            0 => format!("copy: {{dest: {at}/f{number}, content: \"file {number}\\n\", mode: \"0644\"}}"),
            1 => format!(
                "template: {{dest: {at}/t{number}, src: page.j2, mode: \"0644\"}}\n      vars: {{item: {number}}}"
            ),
            2 => format!("lineinfile: {{path: {at}/lines, line: \"line {number}\", create: true}}"),
            3 => format!("file: {{path: {at}/l{number}, src: \"f{}\", state: link}}", number - 3),
            _ => format!("file: {{path: {at}/d{number}, state: directory, mode: \"0755\"}}"),
        };
        let _ = writeln!(text, "    - {task}");
    }
    fs::write(own.join("site.yaml"), text)?;
    // The same Python for its modules as for itself.
    let python = std::path::absolute(environment().join("bin/python3"))?;
    let python = format!("ansible_python_interpreter={}", python.display());
    Ok(["-i", "localhost,", "-e", &python, "site.yaml"].map(str::to_owned).to_vec())
}

fn salt(own: &Path, size: usize) -> anyhow::Result<Vec<String>> {
    let at = own.join("site");
    let at = at.display();
    let states = own.join("states");
    fs::create_dir_all(&states)?;
    fs::write(states.join("page.j2"), "page {{ number }}\n")?;
    let mut text = String::new();
    for number in 0..size {
        let _ = match number % 5 {
            0 => writeln!(text, "{at}/f{number}:\n  file.managed:\n    - contents: file {number}"),
            1 => writeln!(
                text,
                "{at}/t{number}:\n  file.managed:\n    - source: salt://page.j2\n    - template: jinja\n    - context: {{number: {number}}}"
            ),
            2 => writeln!(
                text,
                "line {number}:\n  file.append:\n    - name: {at}/lines\n    - text: line {number}"
            ),
            3 => writeln!(text, "{at}/l{number}:\n  file.symlink:\n    - target: f{}", number - 3),
            _ => writeln!(text, "{at}/d{number}:\n  file.directory: []"),
        };
    }
    fs::write(states.join("bench.sls"), text)?;
    let config = own.join("config");
    fs::create_dir_all(&config)?;
    let root = own.join("root");
    fs::write(
        config.join("minion"),
        format!(
            "file_client: local\nfile_roots: {{base: [{}]}}\nroot_dir: {}\n",
            states.display(),
            root.display()
        ),
    )?;
    let config = config.display().to_string();
    let words = [
        "--local",
        "--config-dir",
        &config,
        "--retcode-passthrough",
        "--out",
        "quiet",
        "state.apply",
        "bench",
    ];
    Ok(words.map(str::to_owned).to_vec())
}

fn pyinfra(own: &Path, size: usize) -> anyhow::Result<Vec<String>> {
    let at = own.join("site");
    let at = at.display();
    fs::write(own.join("page.j2"), "page {{ number }}\n")?;
    let mut text = String::from("from io import StringIO\nfrom pyinfra.operations import files\n");
    for number in 0..size {
        let _ = match number % 5 {
            0 => writeln!(text, "files.put(src=StringIO('file {number}\\n'), dest='{at}/f{number}')"),
            1 => writeln!(text, "files.template(src='page.j2', dest='{at}/t{number}', number={number})"),
            2 => writeln!(text, "files.line(path='{at}/lines', line='line {number}')"),
            3 => writeln!(text, "files.link(path='{at}/l{number}', target='f{}')", number - 3),
            _ => writeln!(text, "files.directory(path='{at}/d{number}')"),
        };
    }
    fs::write(own.join("deploy.py"), text)?;
    fs::write(own.join("site/lines"), "")?;
    Ok(["-y", "@local", "deploy.py"].map(str::to_owned).to_vec())
}
