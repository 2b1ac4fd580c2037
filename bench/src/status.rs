//! `ideal status` of a launched quickstart on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::measure::{say, time};

pub(crate) fn bench() -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name("ideal");
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart/ideal.yaml");
    if !program.exists() || !example.exists() {
        return say("status: skipped, `ideal` or its quickstart is not there");
    }
    let folder = tempfile::tempdir().context("no temporary folder")?;
    fs::copy(example, folder.path().join("ideal.yaml"))?;
    let launched = run(&program, folder.path(), &["up", "--yes"]);
    let measured =
        launched.and_then(|_| (0..20).map(|_| run(&program, folder.path(), &["status"])).collect());
    let measured: anyhow::Result<Vec<Duration>> = measured;
    // Whatever came of it, nothing stays behind.
    let ended = run(&program, folder.path(), &["away", "--yes"]);
    let mut times = measured?;
    times.sort();
    let (best, middle, worst) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    say(&format!(
        "status of the quickstart: best {}, median {}, worst {} of 20",
        time(best),
        time(middle),
        time(worst)
    ))?;
    ended.map(drop)
}

fn run(program: &Path, folder: &Path, words: &[&str]) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let state = folder.join("state");
    let status = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("XDG_STATE_HOME", state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "`ideal {}` failed", words.join(" "));
    Ok(begin.elapsed())
}
