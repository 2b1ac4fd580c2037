//! A guard: on a host with nothing but a container engine, sees to it that labelled containers that are not well are
//! stopped or started again. It needs no ideal file, and leaves proof that it lives.

mod beat;
mod decide;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hyper::Method;
use ideal_core::time::{Span, Time};
use ideal_host::engine::SERVICE;
use ideal_host::now;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::AgentError;
use crate::engine::frames::Lines;
use crate::engine::seen::ContainerSeen;
use crate::engine::{Engine, EngineError, escaped};
use crate::pace::Pace;
use crate::services::Storm;
pub use beat::Beat;
use decide::{Do, Heal, Patience, Record, Said, Seen};

/// The label that says what is done about a container: `none`, `stop` or `restart`.
pub const LABEL: &str = "ideal.heal";
/// How often everything is looked at, whatever is heard, and the heartbeat is renewed when the engine answers.
const EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// How long a silent engine is left alone.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What a guard is told.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// Where the engine listens; none: where it does on this host.
    pub socket: Option<PathBuf>,
    /// The file that proves that the guard lives and its engine answers.
    pub heartbeat: PathBuf,
    /// How long a container that is not well has to end by itself.
    pub grace: Span,
}

/// Something that a guard did, or that is to be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// When.
    pub at: Time,
    /// The container's name; none: it is of the guard itself.
    pub container: Option<String>,
    /// `watch`, `restart`, `start`, `stop`, `leave`, `hold`, `fail` or `silent`.
    pub did: &'static str,
    /// Why.
    pub why: String,
}

/// Guards until it is told to end. Each thing that it does is told.
pub fn guard(options: GuardOptions, tell: impl FnMut(&Told)) -> Result<(), AgentError> {
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AgentError::io("starting the guard"))?;
    let engine = Engine::new(options.socket.clone().unwrap_or_else(ideal_host::engine::socket));
    let (done, finished) = mpsc::unbounded_channel();
    let guard = Guard {
        engine,
        options,
        tell,
        known: BTreeMap::new(),
        storm: Storm::default(),
        wake: None,
        silent: false,
        done,
    };
    LocalSet::new().block_on(&threads, guard.run(finished))
}

/// Something that was begun has ended: the container, and why it did not work.
type Finished = (String, Option<String>);

struct Guard<T> {
    engine: Engine,
    options: GuardOptions,
    tell: T,
    /// By the engine's id.
    known: BTreeMap<String, Record>,
    storm: Storm,
    /// When something that waits is to be looked at again.
    wake: Option<Time>,
    silent: bool,
    done: mpsc::UnboundedSender<Finished>,
}

impl<T: FnMut(&Told)> Guard<T> {
    async fn run(mut self, mut finished: mpsc::UnboundedReceiver<Finished>) -> Result<(), AgentError> {
        let hear = |kind| signal(kind).map_err(AgentError::io("listening for signals"));
        let (mut term, mut int) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
        loop {
            let ended = tokio::select! {
                ended = self.listen(&mut finished) => ended,
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
            };
            if let Err(GuardError::Beat(error)) = ended {
                return Err(error);
            }
            if let Err(GuardError::Engine(error)) = ended
                && !std::mem::replace(&mut self.silent, true)
            {
                self.say(None, "silent", error.to_string());
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
            }
        }
    }

    /// Guards until the engine falls silent.
    async fn listen(&mut self, finished: &mut mpsc::UnboundedReceiver<Finished>) -> Result<(), GuardError> {
        let filter = json!({"type": ["container"], "label": [LABEL]}).to_string();
        let path = format!("/events?filters={}", escaped(&filter));
        let mut news = self.engine.open(Method::GET, &path, None, None, "tell its news").await?;
        let watched = self.look_at_all().await?;
        self.silent = false;
        self.say(None, "watch", format!("{watched} containers with the label {LABEL} are watched"));
        let mut lines = Lines::default();
        let mut next = Instant::now() + EVERY;
        loop {
            let wake = self.wake.map(|at| Instant::now() + at.since(now()).std());
            tokio::select! {
                part = news.next() => {
                    let silent = || EngineError::Silent("the container engine ended".to_owned());
                    lines.add(&part?.ok_or_else(silent)?);
                    while let Some(line) = lines.next() {
                        self.heed(&serde_json::from_slice(&line).unwrap_or_default()).await?;
                    }
                }
                Some((id, failed)) = finished.recv() => {
                    if let Some(record) = self.known.get_mut(&id) {
                        record.busy = false;
                    }
                    if let Some(why) = failed {
                        self.say(Some(&id), "fail", why);
                    }
                    self.look(&id).await?;
                }
                () = sleep_until(next) => {
                    self.look_at_all().await?;
                    next = Instant::now() + EVERY;
                }
                () = sleep_until(wake.unwrap_or(next)), if wake.is_some() => {
                    self.wake = None;
                    self.look_at_all().await?;
                }
            }
        }
    }

    /// One piece of news.
    async fn heed(&mut self, news: &Value) -> Result<(), GuardError> {
        let text = |at: &str| news.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let (id, action) = (text("/Actor/ID").to_owned(), text("/Action"));
        match action {
            // A person, or a program of his, asked the engine: that is meant so. It is told after the end; that it
            // was asked to end is told before.
            "stop" => {
                let record = self.known.entry(id.clone()).or_default();
                record.stopped_by_hand |= !record.busy;
            }
            "kill" if ["15", "2", "3"].contains(&text("/Actor/Attributes/signal")) => {
                let record = self.known.entry(id.clone()).or_default();
                record.asked = Some(now()).filter(|_| !record.busy).or(record.asked);
            }
            "start" => {
                let record = self.known.entry(id.clone()).or_default();
                if !record.busy {
                    decide::is_well(record);
                }
            }
            "destroy" => {
                self.known.remove(&id);
                return Ok(());
            }
            action if action.starts_with("exec_") => return Ok(()),
            _ => {}
        }
        self.look(&id).await
    }

    /// Looks at every labelled container, and says that it did where others look. Answers how many there are.
    async fn look_at_all(&mut self) -> Result<usize, GuardError> {
        let filter = json!({"label": [LABEL]}).to_string();
        let path = format!("/containers/json?all=1&filters={}", escaped(&filter));
        let listed = self.engine.get(&path).await?.good("list containers")?;
        let id = |one: &Value| Some(one.get("Id")?.as_str()?.to_owned());
        let ids: Vec<String> = listed.as_array().into_iter().flatten().filter_map(id).collect();
        self.known.retain(|id, _| ids.contains(id));
        for id in &ids {
            self.known.entry(id.clone()).or_default();
        }
        for id in &ids {
            self.look(id).await?;
        }
        let beat = Beat { at: now(), pid: std::process::id(), watched: ids.len() };
        beat.write(&self.options.heartbeat).map_err(GuardError::Beat)?;
        Ok(ids.len())
    }

    /// Looks at one container, and does what is to be done about it.
    async fn look(&mut self, id: &str) -> Result<(), GuardError> {
        let path = format!("/containers/{}/json", escaped(id));
        let Some(found) = self.engine.look(&path, "look at a container").await? else { return Ok(()) };
        let Some((container, seen)) = read(&found) else { return Ok(()) };
        let (patience, at) = (Patience::default(), now());
        let all = self.known.len();
        let record = self.known.entry(id.to_owned()).or_default();
        if seen.status == "running" && !seen.unhealthy && record.told.is_some() {
            decide::is_well(record);
        }
        let what = decide::decide(&seen, record, &patience, at);
        let name = container.name.clone();
        match what {
            Do::Nothing => {}
            Do::Wait(next) => return self.look_later(next),
            Do::Tell(said, why) => {
                record.told = Some(said);
                self.say(Some(&name), if said == Said::GivenUp { "leave" } else { "watch" }, why);
            }
            Do::Stop(why) => {
                record.busy = true;
                let path = format!("/containers/{id}/stop?t={}", self.options.grace.0.div_ceil(1000));
                self.say(Some(&name), "stop", why);
                self.begin(id, path);
            }
            Do::Restart(_) | Do::Start(_) => {
                if let Some(until) = self.storm.held("", at) {
                    return self.look_later(until);
                }
                if record.in_a_row > 0 && seen.life(at) < patience.lived {
                    let pace = Pace::default();
                    if let Some(many) = self.storm.note(id, all, "", &pace, at) {
                        let why = format!(
                            "{many} of {all} containers failed again within {:?}: what they share is the cause, \
                             perhaps; none is started again for {:?}",
                            pace.storm, pace.pause
                        );
                        self.say(None, "hold", why);
                        return self.look_later(at + Span::secs(1));
                    }
                }
                let Some(record) = self.known.get_mut(id) else { return Ok(()) };
                record.busy = true;
                decide::did(record, &seen, &patience, at);
                let (did, why, path) = match what {
                    Do::Restart(why) => {
                        let grace = self.options.grace.0.div_ceil(1000);
                        ("restart", why, format!("/containers/{id}/restart?t={grace}"))
                    }
                    Do::Start(why) => ("start", why, format!("/containers/{id}/start")),
                    _ => return Ok(()),
                };
                self.say(Some(&name), did, why);
                self.begin(id, path);
            }
        }
        Ok(())
    }

    fn look_later(&mut self, at: Time) -> Result<(), GuardError> {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        Ok(())
    }

    /// Asks the engine for something that may take as long as a grace, and goes on meanwhile.
    fn begin(&self, id: &str, path: String) {
        let (engine, done, id) = (self.engine.clone(), self.done.clone(), id.to_owned());
        spawn_local(async move {
            let reply = engine.post(&path, None).await;
            let failed = reply.and_then(|reply| reply.good("do it")).err().map(|error| error.to_string());
            // Who would hear it has ended.
            _ = done.send((id, failed));
        });
    }

    fn say(&mut self, container: Option<&str>, did: &'static str, why: String) {
        (self.tell)(&Told { at: now(), container: container.map(str::to_owned), did, why });
    }
}

/// Why a guard stops listening.
enum GuardError {
    /// The engine is silent.
    Engine(EngineError),
    /// Nobody could notice that it died: better to end at once.
    Beat(AgentError),
}

impl From<EngineError> for GuardError {
    fn from(error: EngineError) -> GuardError {
        GuardError::Engine(error)
    }
}

/// A container that is a guard's: labelled so, and no agent's.
fn read(found: &Value) -> Option<(ContainerSeen, Seen)> {
    let container = ContainerSeen::read(found)?;
    let heal = container.label(LABEL).and_then(Heal::read)?;
    if container.label(SERVICE).is_some() {
        return None;
    }
    let policy = found.pointer("/HostConfig/RestartPolicy/Name").and_then(Value::as_str).unwrap_or_default();
    let failed = !container.is_up() && (container.exit != 0 || container.out_of_memory);
    let seen = Seen {
        heal,
        unhealthy: container.health.as_deref() == Some("unhealthy"),
        failed: failed.then(|| container.how()),
        says: container.health_says.clone(),
        started: container.started,
        ended: (!container.is_up()).then_some(container.ended),
        engine_restarts: !matches!(policy, "" | "no"),
        status: container.status.clone(),
    };
    Some((container, seen))
}
