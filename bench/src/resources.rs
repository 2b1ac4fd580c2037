//! Files, templates, lines, links and directories on this machine: the first run, and one that finds all right.
//! Beside `ansible-playbook`, `salt-call --local` and `pyinfra`, each doing the same in a folder of its own.

mod idle;
mod peers;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::measure::{say, time};
use peers::Peer;

/// Sizes, and for which peers there is time.
const SIZES: [(usize, bool); 3] = [(50, false), (100, true), (1_000, false)];
/// How often what takes milliseconds is measured; the middle counts.
const TIMES: usize = 15;

/// What is to be reached: of a size, the first run and the run that finds all right.
fn targets(size: usize) -> (Option<Duration>, Option<Duration>) {
    let millis = |ms| Some(Duration::from_millis(ms));
    match size {
        50 => (millis(100), millis(20)),
        1_000 => (None, millis(250)),
        _ => (None, None),
    }
}

pub(crate) fn bench() -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name("ideal");
    ensure!(program.exists(), "{} is not built", program.display());
    for (size, with_peers) in SIZES {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let ours = ours(&program, folder.path(), size)?;
        let (first, no_op) = targets(size);
        let peers: Vec<Peer> = if with_peers { peers::all(folder.path(), size)? } else { Vec::new() };
        line("resources-first", size, ours.0, peers.iter().map(|peer| (peer.name, peer.first)), first)?;
        line("resources-no-op", size, ours.1, peers.iter().map(|peer| (peer.name, peer.no_op)), no_op)?;
    }
    idle::bench(&program)
}

fn line(
    name: &str,
    size: usize,
    ours: Duration,
    peers: impl Iterator<Item = (&'static str, Duration)>,
    target: Option<Duration>,
) -> anyhow::Result<()> {
    let verdict = target.map(|target| {
        let verdict = if ours <= target { "reached" } else { "MISSED" };
        format!("; target {} {verdict}", time(target))
    });
    let verdict = verdict.unwrap_or_default();
    let mut any = false;
    for (peer, took) in peers {
        any = true;
        let ratio = took.as_secs_f64() / ours.as_secs_f64().max(1e-9);
        say(&format!(
            "{name} {size}: ours {}, {peer} {}, ratio {ratio:.0}{verdict}",
            time(ours),
            time(took)
        ))?;
    }
    if !any {
        say(&format!("{name} {size}: ours {}, peer not measured at this size{verdict}", time(ours)))?;
    }
    Ok(())
}

/// The first run and the middle of the later ones, each a process of its own from start to end.
fn ours(program: &Path, folder: &Path, size: usize) -> anyhow::Result<(Duration, Duration)> {
    let project = folder.join("ours");
    write_project(&project, size)?;
    let mut firsts = Vec::new();
    for _ in 0..5 {
        for made in ["site", "home"] {
            let path = project.join(made);
            if path.exists() {
                fs::remove_dir_all(path)?;
            }
        }
        firsts.push(converge(program, &project)?);
    }
    let mut later = (0..TIMES).map(|_| converge(program, &project)).collect::<anyhow::Result<Vec<_>>>()?;
    firsts.sort();
    later.sort();
    Ok((firsts[firsts.len() / 2], later[later.len() / 2]))
}

fn converge(program: &Path, project: &Path) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let status = Command::new(program)
        .args(["converge", "-q", "--as", "lab[0]", "--home"])
        .arg(project.join("home"))
        .current_dir(project)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "`ideal converge` failed");
    Ok(begin.elapsed())
}

/// The five kinds by turns, all below one folder.
fn write_project(project: &Path, size: usize) -> anyhow::Result<()> {
    let at = project.join("site");
    let at = at.display();
    let recipe = project.join("recipes/bench");
    fs::create_dir_all(recipe.join("templates"))?;
    fs::write(recipe.join("templates/page"), "page {{ item }} of {{ node.name }}\n")?;
    let mut text = String::from("recipe: 1\nresources:\n");
    text.push_str(&format!("  - directory: {{path: {at}}}\n"));
    let mut pages = Vec::new();
    for number in 0..size {
        match number % 5 {
            0 => {
                text.push_str(&format!("  - file: {{path: {at}/f{number}, content: \"file {number}\\n\"}}\n"))
            }
            1 => pages.push(number.to_string()),
            2 => text.push_str(&format!(
                "  - line: {{path: {at}/lines, line: \"line {number}\", create: true}}\n"
            )),
            3 => text.push_str(&format!("  - link: {{path: {at}/l{number}, to: \"f{}\"}}\n", number - 3)),
            _ => text.push_str(&format!("  - directory: {{path: {at}/d{number}}}\n")),
        }
    }
    text.push_str(&format!(
        "  - file: {{path: \"{at}/t{{{{ item }}}}\", template: page}}\n    each: [{}]\n",
        pages.join(", ")
    ));
    fs::write(recipe.join("recipe.yaml"), text)?;
    let ideal = "ideal: 1\nproviders: {here: local}\nclouds:\n  lab:\n    uuid: 3c1f0a52-6c39-4a7e-9d6b-5a0e6b3f7a10\n    nodes: 1\n    recipes: [bench]\n";
    Ok(fs::write(project.join("ideal.yaml"), ideal)?)
}
