//! Runs a program to its end: marked, bounded in time and in what is kept of its output.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ideal_host::process;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::ground::Ground;

/// How much of the output is kept: its end, where the reason is.
const KEPT: usize = 4 << 10;
/// How much of the standard output is kept of a program that is asked something: the answer is all of it.
const ANSWER: usize = 16 << 20;

/// A program to be run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Added to the environment of the node's programs.
    pub env: BTreeMap<String, String>,
    /// What it reads.
    pub stdin: Option<Vec<u8>>,
    /// Where it runs, as a path of the host. Else in the node's root.
    pub at: Option<PathBuf>,
    /// As whom it runs.
    pub user: Option<RunAs>,
    /// How long it may take.
    pub limit: Duration,
}

/// As whom a program runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub uid: u32,
    /// The user's first group.
    pub gid: u32,
    /// All others.
    pub groups: Vec<u32>,
}

/// Where the program is that gives another one its groups. The standard library only takes them all away, and what
/// would give them is not to be had without unsafe code.
const SETPRIV: [&str; 2] = ["/usr/bin/setpriv", "/bin/setpriv"];

impl RunAs {
    /// The words that come before those of a program; none when it needs no others.
    pub fn words(&self) -> Result<Vec<String>, String> {
        if self.groups.is_empty() || !rustix::process::geteuid().is_root() {
            return Ok(Vec::new());
        }
        let there = SETPRIV.iter().find(|path| std::path::Path::new(path).exists());
        let setpriv = there.ok_or_else(|| {
            format!("user {} is in groups that only setpriv can give it; install util-linux", self.uid)
        })?;
        let groups: Vec<String> = [self.gid].iter().chain(&self.groups).map(u32::to_string).collect();
        Ok(vec![
            (*setpriv).to_owned(),
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            format!("--groups={}", groups.join(",")),
            "--".to_owned(),
        ])
    }
}

impl Program {
    /// Of these words, with this much time.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>, limit: Duration) -> Program {
        Program { argv: argv.into_iter().map(Into::into).collect(), limit, ..Program::default() }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In words, when it did not exit with 0.
    pub failed: Option<String>,
    /// The end of what it said, on both channels.
    pub output: String,
    /// What it said on its standard output, when it was asked something.
    pub answer: Vec<u8>,
}

impl Outcome {
    /// Whether it exited with 0.
    pub fn agreed(&self) -> bool {
        self.failed.is_none()
    }
    /// Why it failed, with its last line; or with the last one that is an error as apt marks them, for which of two channels
    /// is heard first is chance.
    pub fn why(&self) -> String {
        let failed = self.failed.clone().unwrap_or_default();
        let last = |is: fn(&str) -> bool| self.output.lines().rfind(|line| is(line));
        match last(|line| line.starts_with("E: ")).or(last(|line| !line.trim().is_empty())) {
            Some(line) => format!("{failed}: {}", line.trim()),
            None => failed,
        }
    }
}

/// The group of processes that a program leads. It is killed when this is dropped, unless it was let go: so also when
/// nobody waits for the program any more.
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// Of a program that was just started as the leader of its group.
    pub fn of(child: &Child) -> Group {
        Group(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }
    /// The program ended by itself: what it left running may stay.
    pub fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs `program`; `label` is the mark by which people find it.
pub async fn run(ground: &dyn Ground, label: &str, program: &Program) -> Outcome {
    let failed = |why: String| Outcome { failed: Some(why), output: String::new(), answer: Vec::new() };
    let Some(name) = program.argv.first() else {
        return failed("there is no program".to_owned());
    };
    let mut argv = match program.user.as_ref().map_or(Ok(Vec::new()), RunAs::words) {
        Ok(words) => words,
        Err(why) => return failed(why),
    };
    let by_another = !argv.is_empty();
    argv.extend(program.argv.iter().cloned());
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(program.at.clone().unwrap_or_else(|| ground.root()));
    command.env_clear().envs(ground.environment()).env(process::RUN, label).envs(&program.env);
    let stdin = if program.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(user) = program.user.as_ref().filter(|_| !by_another) {
        command.uid(user.uid).gid(user.gid);
    }
    command.process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot start {name}: {error}")),
    };
    let group = Group::of(&child);
    let feeding = child.stdin.take().zip(program.stdin.clone()).map(|(mut pipe, text)| async move {
        // A program that does not read all of it may still succeed.
        let _ = pipe.write_all(&text).await;
    });
    let mut feeding = std::pin::pin!(futures_util::future::OptionFuture::from(feeding));
    let mut fed = program.stdin.is_none();
    let (mut output, mut answer) = (Vec::new(), Vec::new());
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let deadline = tokio::time::Instant::now() + program.limit;
    let mut ended = None;
    // Until it has ended and has nothing more to say. What it left running may hold the pipes open for ever, so
    // after its end they get only a moment.
    let mut until = deadline;
    let (mut from_out, mut from_err) = (vec![0; 16 << 10], vec![0; 4 << 10]);
    while ended.is_none() || out.is_some() || err.is_some() {
        tokio::select! {
            count = read(&mut out, &mut from_out), if out.is_some() => {
                if answer.len() < ANSWER {
                    answer.extend_from_slice(&from_out[..count]);
                }
                keep(&mut output, &mut out, &from_out, count);
            }
            count = read(&mut err, &mut from_err), if err.is_some() => keep(&mut output, &mut err, &from_err, count),
            _ = &mut feeding, if !fed => fed = true,
            status = child.wait(), if ended.is_none() => {
                ended = Some(status);
                until = deadline.min(tokio::time::Instant::now() + Duration::from_millis(100));
            }
            () = tokio::time::sleep_until(until) => break,
        }
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    let failed = match ended {
        None => Some(format!("{name} took longer than {:?} and was killed", program.limit)),
        Some(Err(error)) => Some(format!("{name} cannot be waited for: {error}")),
        Some(Ok(status)) => {
            group.let_go();
            (!status.success()).then(|| format!("{name} ended with {status}"))
        }
    };
    Outcome { failed, output, answer }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_whatever_is_heard_after_it() {
        let of = |output: &str| {
            let failed = Some("apt-get ended with 100".to_owned());
            Outcome { failed, output: output.to_owned(), answer: Vec::new() }.why()
        };
        let (error, other) = ("E: Unable to locate package a", "Reading state information...");
        for output in [format!("{other}\n{error}\n"), format!("{error}\n{other}\n\n")] {
            assert_eq!(of(&output), format!("apt-get ended with 100: {error}"));
        }
        assert_eq!(of("one\ntwo\n"), "apt-get ended with 100: two");
        assert_eq!(of(""), "apt-get ended with 100");
    }
}
