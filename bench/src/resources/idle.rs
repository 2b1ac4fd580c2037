//! What an agent costs that watches a thousand resources while nothing happens.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::measure::say;

/// How many resources are watched.
const WATCHED: usize = 1_000;
/// For how long: long enough for two sweeps.
const WHILE: Duration = Duration::from_secs(65);
/// Ticks of the kernel's clock in a second, as it counts the time of processes.
const TICKS: f64 = 100.0;

pub(crate) fn bench(program: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut text = String::from(
        "ideal: 1\nproviders: {here: local}\nclouds:\n  lab:\n    uuid: 8f0b5e1e-08f2-4bd0-8b6a-1d0d7c3a2b11\n    nodes: 1\n    resources:\n",
    );
    for number in 0..WATCHED {
        text.push_str(&format!("      - file: {{path: /site/f{number}, content: \"file {number}\\n\"}}\n"));
    }
    fs::write(folder.path().join("ideal.yaml"), text)?;
    let measured = run(program, folder.path(), &["up", "--yes"]).and_then(|()| measure(folder.path()));
    // Whatever came of it, nothing stays behind.
    let ended = run(program, folder.path(), &["destroy", "--yes", "--snapshots", "--name", "lab"]);
    let (memory, share) = measured?;
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    say(&format!(
        "resources-idle {WATCHED}: ours {:.1} MB resident, {:.3} % of a core, peer not measured; target 15 MB {}, 0.1 % {}",
        memory / 1024.0,
        share * 100.0,
        verdict(memory <= 15.0 * 1024.0),
        verdict(share <= 0.001),
    ))?;
    ended
}

/// Resident memory in KiB, and the share of a core.
fn measure(folder: &Path) -> anyhow::Result<(f64, f64)> {
    let pid = agent(folder)?;
    let ticks = || -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after = stat.rsplit_once(')').context("no such process")?.1;
        let words: Vec<&str> = after.split_whitespace().collect();
        Ok(words[11].parse::<f64>()? + words[12].parse::<f64>()?)
    };
    let before = ticks()?;
    std::thread::sleep(WHILE);
    let share = (ticks()? - before) / TICKS / WHILE.as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory is shown")?;
    Ok((resident.trim().trim_end_matches(" kB").trim().parse()?, share))
}

/// The process of the agent whose home lies in a folder.
fn agent(folder: &Path) -> anyhow::Result<u32> {
    let folder = folder.canonicalize()?.display().to_string();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&folder) && words.contains("agent run") {
            return Ok(pid);
        }
    }
    anyhow::bail!("the agent of the node was not found")
}

fn run(program: &Path, folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "`ideal {}` failed", words.join(" "));
    Ok(())
}
