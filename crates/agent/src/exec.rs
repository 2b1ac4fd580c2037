//! Programs that a person runs on the node by hand: in its root, with its marks and a clean environment. What one says
//! goes out as it is said. It is killed, with its group, when its time is over and when nobody listens any more.
//!
//! No lease is asked for: whoever may enter the folder of the socket could as well run a program there.

mod inside;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use ideal_api::LinkError;
use ideal_api::exec::{Ended, Exec, HEAD, LONGEST_QUESTION, Pipe, What, frame, head, kind};
use ideal_host::home::is_of;
use ideal_host::{AgentCommand, Home, Identity, process};
use ideal_resources::Ground;
use ideal_resources::exec::Group;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::node::Node;
use crate::services;

/// The most that is read of a program at once.
const PART: usize = 64 << 10;
/// How many parts wait for a slow reader.
const PARTS: usize = 4;
/// How often a listener is told that somebody is still there. So it is noticed that it is gone, too.
const BEAT: Duration = Duration::from_secs(1);
/// How long a program that has ended is still listened to: what it left running may hold its pipes open for ever.
const MOMENT: Duration = Duration::from_millis(100);
/// The most that is taken of what is said after its end: more than a pipe holds.
const AFTERWARDS: usize = 2 << 20;
/// How long one that takes files has to clean up when nobody gives any more, and how long a hearer has to hang up.
const GRACE: Duration = Duration::from_secs(2);

/// Where programs run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    identity: Identity,
    home: Home,
    own: AgentCommand,
    root: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Place {
    /// On this node.
    pub(crate) fn of(node: &Node) -> Place {
        Place {
            identity: node.identity.clone(),
            home: node.home.clone(),
            own: node.own.clone(),
            root: node.root(),
            environment: node.environment(),
        }
    }

    fn command(&self, what: &What) -> Option<Command> {
        let mut command = Command::new(&self.own.program);
        let own = |command: &mut Command, verb: &str| {
            command.args(&self.own.args).arg(verb).arg("--home").arg(self.home.path());
        };
        match what {
            What::Run(argv) => {
                command = Command::new(argv.first()?);
                command.args(&argv[1..]);
            }
            What::Give(path) => {
                own(&mut command, "give");
                command.arg("--").arg(path);
            }
            What::Take { path, many } => {
                own(&mut command, "take");
                command.args(many.then_some("--many")).arg("--").arg(path);
            }
        }
        command.current_dir(&self.root).env_clear().envs(&self.environment).env(process::RUN, "exec");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        Some(command)
    }
}

impl Place {
    /// The environment that a replica was started with, without what marks a process as its own: what is run beside it
    /// is not of it, and is not ended with it.
    fn environment_of(&self, replica: &str) -> Option<Vec<(OsString, OsString)>> {
        let ours = process::find(|marks| is_of(marks, &self.identity.machine, &self.home));
        let main = services::main_of(&ours, replica)?;
        let text = std::fs::read(format!("/proc/{}/environ", main.id.pid)).ok()?;
        // Read after it was found: the number may have passed to another meanwhile.
        if !main.id.is_alive() {
            return None;
        }
        let pair = |entry: &[u8]| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let own = |part: &[u8]| OsStr::from_bytes(part).to_owned();
            (!entry.starts_with(b"IDEAL_")).then(|| (own(&entry[..at]), own(&entry[at + 1..])))
        };
        Some(text.split(|byte| *byte == 0).filter_map(pair).collect())
    }
}

/// The question, read as it comes.
struct Question {
    body: Body,
    read: Bytes,
}

impl Question {
    async fn more(&mut self) -> Result<Option<Bytes>, axum::Error> {
        if !self.read.is_empty() {
            return Ok(Some(std::mem::take(&mut self.read)));
        }
        while let Some(part) = self.body.frame().await {
            if let Ok(data) = part?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The line that it begins with.
    async fn line(&mut self) -> Result<Exec, String> {
        let mut line = Vec::new();
        while let Some(mut part) = self.more().await.map_err(|error| error.to_string())? {
            let end = part.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&part.split_to(end.unwrap_or(part.len())));
            if line.len() > LONGEST_QUESTION {
                return Err(format!("the question has more than {LONGEST_QUESTION} bytes"));
            }
            if end.is_some() {
                self.read = part.slice(1..);
                break;
            }
        }
        serde_json::from_slice(&line).map_err(|error| format!("the question cannot be read: {error}"))
    }
}

/// Starts what is asked for, and answers what it says.
pub(crate) async fn answer(place: &Place, body: Body) -> Result<Body, LinkError> {
    let refused = |why: String| LinkError::Refused { why };
    let mut question = Question { body, read: Bytes::new() };
    let exec = question.line().await.map_err(refused)?;
    let own = (place.identity.slot, place.identity.generation);
    if (exec.node.slot, exec.node.generation) != own {
        return Err(refused(format!("this is {}, and another is meant", place.identity.node_mark())));
    }
    let (frames, body) = mpsc::channel(PARTS);
    let answer = Body::new(Pipe::new(None, Some(body)));
    // Processes first: what runs as one is reached also while the container engine is silent.
    let beside = exec.replica.as_ref().and_then(|replica| place.environment_of(replica));
    if let Some(replica) = exec.replica.as_ref().filter(|_| beside.is_none()) {
        let inside = inside::find(place, replica).await?;
        let inside = inside.ok_or_else(|| refused(format!("{replica} does not run here")))?;
        match inside.begin(&exec).await? {
            Ok(begun) => tokio::spawn(begun.attend(exec, question, frames)),
            Err(ended) => tokio::spawn(end(ended, question, frames)),
        };
        return Ok(answer);
    }
    let mut command = place.command(&exec.what).ok_or_else(|| refused("there is no program".to_owned()))?;
    command.envs(beside.into_iter().flatten());
    command.stdin(if exec.stdin { Stdio::piped() } else { Stdio::null() });
    match command.spawn() {
        Ok(child) => {
            tokio::spawn(attend(exec, child, question, frames));
        }
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            let name = command.as_std().get_program().display();
            let why = format!("{name} cannot be started: {error}");
            tokio::spawn(end(Ended::NotStarted { code, why }, question, frames));
        }
    }
    Ok(answer)
}

/// Why a program is not waited for any more.
enum Over {
    Ended(io::Result<std::process::ExitStatus>),
    TimedOut,
    Gone,
}

/// Brings what is said in both directions until the program ends, its time is over, or nobody listens.
async fn attend(exec: Exec, mut child: Child, mut question: Question, frames: mpsc::Sender<Bytes>) {
    let group = Group::of(&child);
    let (tell, ended) = watch::channel(false);
    let out =
        child.stdout.take().map(|pipe| tokio::spawn(listen(pipe, kind::OUT, frames.clone(), ended.clone())));
    let err = child.stderr.take().map(|pipe| tokio::spawn(listen(pipe, kind::ERR, frames.clone(), ended)));
    let deadline = exec.limit.map(|limit| Instant::now() + limit.std());
    let over = {
        let mut feeding = std::pin::pin!(feed(&mut question, child.stdin.take()));
        let mut fed = false;
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                status = child.wait() => break Over::Ended(status),
                () = frames.closed() => break Over::Gone,
                whole = &mut feeding, if !fed => match whole {
                    true => fed = true,
                    false => break Over::Gone,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break Over::TimedOut,
                // Where there is no room, something is on its way that tells as much.
                _ = beat.tick() => {
                    _ = frames.try_send(frame(kind::ALIVE, b""));
                }
            }
        }
    };
    let how = match over {
        Over::Ended(Ok(status)) => {
            group.let_go();
            use std::os::unix::process::ExitStatusExt;
            match status.code().and_then(|code| u8::try_from(code).ok()) {
                Some(code) => Ended::Exited(code),
                None => Ended::Killed(status.signal().unwrap_or_default()),
            }
        }
        Over::Ended(Err(error)) => {
            Ended::NotStarted { code: 126, why: format!("it cannot be waited for: {error}") }
        }
        Over::TimedOut => {
            drop(group);
            _ = child.wait().await;
            Ended::TimedOut
        }
        Over::Gone => {
            // Its input has ended with `feeding`, in the middle of a file perhaps: it takes back what is not whole.
            if matches!(exec.what, What::Take { .. }) {
                _ = timeout(GRACE, child.wait()).await;
            }
            drop(group);
            _ = child.wait().await;
            return;
        }
    };
    _ = tell.send(true);
    for pump in [out, err].into_iter().flatten() {
        _ = pump.await;
    }
    end(how, question, frames).await;
}

/// Says how it ended. Who does not listen any more need not be told.
async fn end(how: Ended, mut question: Question, frames: mpsc::Sender<Bytes>) {
    _ = frames.send(frame(kind::ENDED, &serde_json::to_vec(&how).unwrap_or_default())).await;
    // What was not read of the question is read now: a connection that is closed before is reset, and the end of the
    // answer may be lost with it. Who has heard the end hangs up.
    tokio::select! {
        _ = feed(&mut question, None::<ChildStdin>) => {}
        () = frames.closed() => {}
        () = sleep(GRACE) => {}
    }
}

/// Gives a program what it is to read. False when it broke off: its end must not be taken for the end of the whole.
async fn feed<W: AsyncWrite + Unpin>(question: &mut Question, mut stdin: Option<W>) -> bool {
    loop {
        match question.more().await {
            Ok(Some(part)) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&part).await.is_err()
                {
                    // It reads no more, and may still have something to say.
                    stdin = None;
                }
            }
            Ok(None) => {
                if let Some(pipe) = &mut stdin {
                    _ = pipe.shutdown().await;
                }
                return true;
            }
            Err(_) => return false,
        }
    }
}

/// Sends what comes through a pipe, until its end or a moment after that of the program.
async fn listen(
    mut pipe: impl AsyncRead + Unpin,
    kind: u8,
    frames: mpsc::Sender<Bytes>,
    mut ended: watch::Receiver<bool>,
) {
    let mut afterwards = AFTERWARDS;
    loop {
        let mut part = vec![0; HEAD + PART];
        let over = async {
            // An error is the end of who would tell.
            _ = ended.wait_for(|ended| *ended).await;
            sleep(MOMENT).await;
        };
        let count = tokio::select! {
            biased;
            count = pipe.read(&mut part[HEAD..]) => count.unwrap_or(0),
            () = over => 0,
        };
        if *ended.borrow() {
            afterwards = afterwards.saturating_sub(count);
        }
        if count == 0 || afterwards == 0 {
            return;
        }
        part[..HEAD].copy_from_slice(&head(kind, count));
        part.truncate(HEAD + count);
        if frames.send(part.into()).await.is_err() {
            return;
        }
    }
}
