//! Runs a program of a hook, a check or a command to its end: in the node's root, marked, bounded in time and
//! in what is kept of its output.

use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

use ideal_host::process;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::node::Node;

/// How much of the output is kept: its end, where the reason is.
const KEPT: usize = 4 << 10;

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// In words, when it did not exit with 0.
    pub failed: Option<String>,
    /// The end of what it said.
    pub output: String,
}

impl Outcome {
    pub(crate) fn agreed(&self) -> bool {
        self.failed.is_none()
    }
    /// Why it failed, with its last line.
    pub(crate) fn why(&self) -> String {
        let failed = self.failed.clone().unwrap_or_default();
        match self.output.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!("{failed}: {}", line.trim()),
            None => failed,
        }
    }
}

/// Kills a group of processes unless it is told not to: also when the future that waits for it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs `argv`; `label` is the mark by which people find it.
pub(crate) async fn run(node: &Node, label: &str, argv: &[String], limit: Duration) -> Outcome {
    let failed = |why: String| Outcome { failed: Some(why), output: String::new() };
    let Some((program, args)) = argv.split_first() else { return failed("there is no program".to_owned()) };
    let mut command = Command::new(program);
    command.args(args).current_dir(node.root_path()).env_clear().envs(crate::keep::clean_environment());
    command.envs(&node.marks).env(process::RUN, label);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot start {program}: {error}")),
    };
    let mut group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw));
    let mut output = Vec::new();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let deadline = tokio::time::Instant::now() + limit;
    let mut ended = None;
    // Until it has ended and has nothing more to say. What it left running may hold the pipes open for ever, so
    // after its end they get only a moment.
    let mut until = deadline;
    while ended.is_none() || out.is_some() || err.is_some() {
        let (mut from_out, mut from_err) = ([0; 1024], [0; 1024]);
        tokio::select! {
            count = read(&mut out, &mut from_out), if out.is_some() => keep(&mut output, &mut out, &from_out, count),
            count = read(&mut err, &mut from_err), if err.is_some() => keep(&mut output, &mut err, &from_err, count),
            status = child.wait(), if ended.is_none() => {
                ended = Some(status);
                until = deadline.min(tokio::time::Instant::now() + Duration::from_millis(100));
            }
            () = tokio::time::sleep_until(until) => break,
        }
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    let failed = match ended {
        None => Some(format!("{program} took longer than {limit:?} and was killed")),
        Some(Err(error)) => Some(format!("{program} cannot be waited for: {error}")),
        Some(Ok(status)) => {
            group.0 = None;
            (!status.success()).then(|| format!("{program} ended with {status}"))
        }
    };
    Outcome { failed, output }
}

async fn read<R: AsyncRead + AsFd + Unpin>(from: &mut Option<R>, into: &mut [u8]) -> usize {
    match from {
        Some(pipe) => pipe.read(into).await.unwrap_or(0),
        None => 0,
    }
}

fn keep<R>(output: &mut Vec<u8>, pipe: &mut Option<R>, read: &[u8], count: usize) {
    if count == 0 {
        *pipe = None;
    }
    output.extend_from_slice(&read[..count]);
    let surplus = output.len().saturating_sub(KEPT);
    output.drain(..surplus);
}
