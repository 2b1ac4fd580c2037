//! Times and memory, and how they are printed.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What one process measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) time: Duration,
    /// Peak resident memory, in KiB.
    pub(crate) memory: u64,
    /// What else it counted.
    pub(crate) count: u64,
}

/// A line for people.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("could not print")
}

/// The best of several runs, for at most about three seconds.
pub(crate) fn best<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let mut answer = run();
    let mut best = begin.elapsed();
    for _ in 0..9 {
        if begin.elapsed() > Duration::from_secs(3) {
            break;
        }
        let start = Instant::now();
        answer = run();
        best = best.min(start.elapsed());
    }
    (best, answer)
}

/// Measures a size in a process of its own.
pub(crate) fn apart(what: &str, parts: usize) -> anyhow::Result<Figures> {
    let program = std::env::current_exe().context("this program is nowhere")?;
    let output = Command::new(program).args(["one", what, &parts.to_string()]).output()?;
    if !output.status.success() {
        bail!("{what} of {parts} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [micros, memory, count] => {
            Ok(Figures { time: Duration::from_micros(*micros), memory: *memory, count: *count })
        }
        _ => bail!("{what} of {parts} printed {text}"),
    }
}

/// What a process apart prints at its end.
pub(crate) fn report(time: Duration, count: usize) -> anyhow::Result<()> {
    say(&format!("{} {} {count}", time.as_micros(), peak("self").unwrap_or(0)))
}

/// The peak resident memory of a process, in KiB.
pub(crate) fn peak(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `1.23 s` or `4.5 ms`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.2} ms", seconds * 1000.0) }
}

/// `12 MB`.
pub(crate) fn memory(kib: u64) -> String {
    format!("{:.0} MB", kib as f64 / 1024.0)
}

/// One line of comparison.
pub(crate) fn line(
    name: &str,
    size: usize,
    ours: &Figures,
    peer: Option<&Figures>,
    target: Option<Duration>,
) -> String {
    let mut line = format!("{name} {size}: ours {}, {}", time(ours.time), memory(ours.memory));
    match peer {
        Some(peer) => {
            let faster = peer.time.as_secs_f64() / ours.time.as_secs_f64().max(1e-9);
            let smaller = peer.memory as f64 / ours.memory.max(1) as f64;
            line += &format!(
                "; peer {}, {}; ratio {faster:.0} in time, {smaller:.1} in memory",
                time(peer.time),
                memory(peer.memory)
            );
        }
        None => line += "; peer not measured",
    }
    if let Some(target) = target {
        let verdict = if ours.time <= target { "reached" } else { "MISSED" };
        line += &format!("; target {} {verdict}", time(target));
    }
    line
}
