//! Where peers are installed; and Terraform on resources that do nothing, as far as it is installed here.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::measure::{Figures, peak, say};

/// What Terraform took for one size.
#[derive(Debug)]
pub(crate) struct Plans {
    pub(crate) size: usize,
    pub(crate) first: Figures,
    pub(crate) no_op: Option<Figures>,
}

/// Where those are installed that are written in Python: an environment that `make bench` makes.
pub(crate) fn environment() -> PathBuf {
    std::env::var_os("IDEAL_BENCH_PEERS").map_or_else(|| PathBuf::from("target/peers"), PathBuf::from)
}

fn is_here() -> anyhow::Result<bool> {
    let found = Command::new("terraform").arg("version").output().is_ok_and(|output| output.status.success());
    if !found {
        say("terraform is not installed here: no peer is measured")?;
    }
    Ok(found)
}

/// Plans up to a size that does not take all day; `IDEAL_BENCH_PEER_MOST=10000` asks for more.
pub(crate) fn plans() -> anyhow::Result<Vec<Plans>> {
    if !is_here()? {
        return Ok(Vec::new());
    }
    let most: usize =
        std::env::var("IDEAL_BENCH_PEER_MOST").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let mut plans = Vec::new();
    for size in [100, 1_000, 10_000].into_iter().filter(|size| *size <= most) {
        let folder = prepare(size)?;
        let first = run(folder.path(), &["plan"])?;
        // An apply writes the whole state with each resource: beyond this it takes minutes.
        let no_op = if size <= 1_000 {
            run(folder.path(), &["apply", "-auto-approve"])?;
            Some(run(folder.path(), &["plan"])?)
        } else {
            None
        };
        plans.push(Plans { size, first, no_op });
    }
    Ok(plans)
}

/// An apply of everything.
pub(crate) fn apply(size: usize) -> anyhow::Result<Option<Figures>> {
    if !is_here()? {
        return Ok(None);
    }
    let folder = prepare(size)?;
    run(folder.path(), &["apply", "-auto-approve"]).map(Some)
}

fn prepare(size: usize) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut text = String::new();
    for number in 0..size {
        let _ = writeln!(text, "resource \"terraform_data\" \"r{number}\" {{\n  input = \"{number}\"\n}}");
    }
    fs::write(folder.path().join("main.tf"), text)?;
    run(folder.path(), &["init"])?;
    Ok(folder)
}

fn run(folder: &Path, words: &[&str]) -> anyhow::Result<Figures> {
    let begin = Instant::now();
    let mut child = Command::new("terraform")
        .args(words)
        .args(["-input=false", "-no-color"])
        .current_dir(folder)
        .env("CHECKPOINT_DISABLE", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let process = child.id().to_string();
    let mut memory = 0;
    // A process that ended tells nothing of its memory: it is looked at while it runs.
    let status = loop {
        memory = peak(&process).unwrap_or(0).max(memory);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let time = begin.elapsed();
    ensure!(status.success(), "terraform {} failed", words.join(" "));
    Ok(Figures { time, memory, count: 0 })
}
