//! Programs that a person runs in the container of a replica: as its user, with its environment, and under its limits.

use hyper::body::Bytes;
use ideal_api::LinkError;
use ideal_api::exec::{Ended, Exec, What, frame, kind};
use ideal_host::engine::client::Line;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{BEAT, PART, Place, Question, end, feed};
use crate::engine::frames::Frames;
use crate::engine::seen::ContainerSeen;
use crate::engine::{Engine, EngineError, escaped, program};
use crate::services::{container_name, is_of};

/// On which channel a frame of the engine is an error's.
const STDERR: u8 = 2;

/// The container of a replica, at its engine.
pub(super) struct Inside {
    engine: Engine,
    container: String,
}

/// Where a replica runs as a container; none: it does not.
pub(super) async fn find(place: &Place, replica: &str) -> Result<Option<Inside>, LinkError> {
    let Ok(socket) = std::fs::read_to_string(place.home.engine()) else { return Ok(None) };
    let engine = Engine::new(socket.trim());
    let machine = place.identity.machine.as_str();
    let name = container_name(machine, replica);
    let found = engine.look(&format!("/containers/{}/json", escaped(&name)), "look at it").await;
    let found = found.map_err(|error| LinkError::Refused { why: error.to_string() })?;
    let seen = found.as_ref().and_then(ContainerSeen::read).filter(ContainerSeen::is_up);
    // The name alone is not enough: a copy of a data folder has the same machines.
    let own = seen.filter(|seen| is_of(&seen.labels, machine, &place.home));
    Ok(own.map(|seen| Inside { engine, container: seen.id }))
}

/// A program that was started.
pub(super) struct Begun {
    inside: Inside,
    id: String,
    line: Line,
}

impl Inside {
    /// Starts what is asked for. The inner error is how it ended without a start.
    pub(super) async fn begin(self, exec: &Exec) -> Result<Result<Begun, Ended>, LinkError> {
        let refused = |why: String| LinkError::Refused { why };
        let What::Run(argv) = &exec.what else {
            return Err(refused("files are brought to nodes, and not into containers".to_owned()));
        };
        let body = json!({
            "Cmd": argv, "AttachStdin": exec.stdin, "AttachStdout": true, "AttachStderr": true,
        });
        let made = self.engine.post(&format!("/containers/{}/exec", self.container), Some(&body)).await;
        let made =
            made.and_then(|reply| reply.good("take the program")).map_err(|e| refused(e.to_string()))?;
        let id = made.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let begin = json!({"Detach": false, "Tty": false});
        match self.engine.line(&format!("/exec/{id}/start"), &begin, "run it").await {
            Ok(line) => Ok(Ok(Begun { inside: self, id, line })),
            Err(EngineError::Said(why)) => Ok(Err(Ended::NotStarted { code: 126, why })),
            Err(error) => Err(refused(error.to_string())),
        }
    }
}

/// Why a program is not listened to any more.
enum Over {
    Ended,
    TimedOut,
    /// Nobody listens any more.
    Gone,
    /// The engine says no more, and not how it ended.
    Lost(String),
}

impl Begun {
    /// Brings what is said in both directions until the program ends, its time is over, or nobody listens.
    pub(super) async fn attend(self, exec: Exec, mut question: Question, said: mpsc::Sender<Bytes>) {
        let Begun { inside, id, line } = self;
        let (mut from, to) = split(line.io);
        let deadline = exec.limit.map(|limit| Instant::now() + limit.std());
        let mut last = Vec::new();
        let over = {
            let mut feeding = std::pin::pin!(feed(&mut question, exec.stdin.then_some(to)));
            let mut fed = false;
            let mut beat = tokio::time::interval(BEAT);
            let (mut frames, mut part) = (Frames::default(), vec![0; PART]);
            let late = async |deadline: Option<Instant>| match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            };
            'all: loop {
                tokio::select! {
                    read = from.read(&mut part) => match read {
                        Ok(count @ 1..) => frames.add(&Bytes::copy_from_slice(&part[..count])),
                        Ok(0) => break Over::Ended,
                        Err(error) => break Over::Lost(format!("the engine broke off: {error}")),
                    },
                    () = said.closed() => break Over::Gone,
                    whole = &mut feeding, if !fed => match whole {
                        true => fed = true,
                        false => break Over::Gone,
                    },
                    () = late(deadline) => break Over::TimedOut,
                    // Where there is no room, something is on its way that tells as much.
                    _ = beat.tick() => {
                        _ = said.try_send(frame(kind::ALIVE, b""));
                    }
                }
                loop {
                    let (channel, text) = match frames.next_of() {
                        Ok(Some(next)) => next,
                        Ok(None) => break,
                        Err(why) => break 'all Over::Lost(why),
                    };
                    let kind = if channel == STDERR { kind::ERR } else { kind::OUT };
                    last.clone_from(&text);
                    // Who is slow to listen does not stretch the time that it has.
                    tokio::select! {
                        sent = said.send(frame(kind, &text)) => if sent.is_err() { break 'all Over::Gone },
                        () = late(deadline) => break 'all Over::TimedOut,
                    }
                }
            }
        };
        let how = match over {
            Over::Ended => inside.ended(&id, &last).await,
            Over::TimedOut => {
                program::kill(&inside.engine, &inside.container, &id).await;
                Ended::TimedOut
            }
            Over::Gone => return program::kill(&inside.engine, &inside.container, &id).await,
            Over::Lost(why) => {
                program::kill(&inside.engine, &inside.container, &id).await;
                Ended::NotStarted { code: 126, why }
            }
        };
        end(how, question, said).await;
    }
}

impl Inside {
    /// How a program ended that says no more.
    async fn ended(&self, id: &str, last: &[u8]) -> Ended {
        let lost = |why: String| Ended::NotStarted { code: 126, why };
        let told = self.engine.get(&format!("/exec/{id}/json")).await;
        let told = match told.and_then(|reply| reply.good("tell how it ended")) {
            Ok(told) => told,
            Err(error) => return lost(error.to_string()),
        };
        match told.get("ExitCode").and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok()) {
            // So the engine ends what it could not start, and says why on the same line.
            Some(126 | 127) if last.starts_with(b"OCI runtime exec failed") => {
                let why = String::from_utf8_lossy(last).trim().to_owned();
                let code = if why.contains("not found") { 127 } else { 126 };
                Ended::NotStarted { code, why }
            }
            Some(code) => Ended::Exited(code),
            None => lost("the engine does not say how it ended".to_owned()),
        }
    }
}
