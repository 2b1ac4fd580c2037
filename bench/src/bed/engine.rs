//! A container engine of its own, and what it says that happened on it.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::{IMAGE, LOOP, kill, scripts, text, until};

/// What is done to a replica.
#[derive(Clone, Copy)]
pub(crate) enum How {
    Killed,
    Unhealthy,
    Hung,
}

/// Something that happened on the engine.
pub(crate) struct Event {
    /// Nanoseconds.
    at: u64,
    what: String,
    container: String,
    code: String,
}

/// A container engine of its own, which ends with this.
pub(crate) struct Engine {
    process: Child,
    events: Option<Child>,
    folder: tempfile::TempDir,
    /// Where it listens.
    pub(crate) socket: String,
}

/// It ends when its input does.
fn serve(folder: &tempfile::TempDir) -> anyhow::Result<Child> {
    let script =
        Command::new(scripts().join("engine.sh")).arg(folder.path().join("e")).stdin(Stdio::piped()).spawn();
    script.context("the engine cannot be started")
}

impl Engine {
    pub(crate) fn start() -> anyhow::Result<Engine> {
        // Short: the path of a socket has at most 108 characters.
        let folder = tempfile::Builder::new().prefix("ideal-heal").tempdir()?;
        let socket = format!("{}/e/engine.sock", folder.path().display());
        let process = serve(&folder)?;
        let mut engine = Engine { process, events: None, folder, socket };
        engine.answers()?;
        let made = Command::new(scripts().join("small.sh")).arg(engine.folder.path()).output()?;
        engine.docker(&["import", text(&made.stdout).trim(), IMAGE])?;
        engine.listen()?;
        Ok(engine)
    }
    fn answers(&self) -> anyhow::Result<()> {
        until(60, || self.docker(&["info"]).ok())
            .map(drop)
            .context("the engine did not start: is this root, with dockerd?")
    }
    fn listen(&mut self) -> anyhow::Result<()> {
        let format = "{{.TimeNano}}|{{.Action}}|{{.Actor.ID}}|{{index .Actor.Attributes \"ideal.service\"}}|\
                      {{index .Actor.Attributes \"com.docker.swarm.task.name\"}}|\
                      {{index .Actor.Attributes \"exitCode\"}}";
        let host = format!("unix://{}", self.socket);
        let heard = File::options().create(true).append(true).open(self.folder.path().join("events"))?;
        let events = Command::new("docker")
            .args(["-H", &host, "events", "--filter=type=container", "--format", format])
            .stdin(Stdio::null())
            .stdout(heard)
            .spawn()?;
        self.events = Some(events);
        Ok(())
    }
    /// It is killed.
    pub(crate) fn dies(&mut self) -> anyhow::Result<()> {
        let pid = fs::read_to_string(self.folder.path().join("e/engine.pid"))?;
        kill(pid.trim().parse()?)?;
        self.process.wait()?;
        if let Some(mut events) = self.events.take() {
            events.wait()?;
        }
        Ok(())
    }
    /// It runs again, and answers.
    pub(crate) fn runs(&mut self) -> anyhow::Result<()> {
        self.process = serve(&self.folder)?;
        self.answers()?;
        self.listen()
    }
    pub(crate) fn docker(&self, words: &[&str]) -> anyhow::Result<String> {
        let output =
            Command::new("docker").args(["-H", &format!("unix://{}", self.socket)]).args(words).output()?;
        if !output.status.success() {
            bail!("docker {} failed: {}", words.join(" "), text(&output.stderr).trim());
        }
        Ok(text(&output.stdout))
    }
    pub(crate) fn events(&self, replica: &str) -> Vec<Event> {
        let all = fs::read_to_string(self.folder.path().join("events")).unwrap_or_default();
        let event = |line: &str| {
            let [at, what, container, ours, task, code] =
                line.split('|').collect::<Vec<_>>().try_into().ok()?;
            // A task is named after its service, its number and itself.
            let task = task.rsplit_once('.').map_or("", |(slot, _)| slot);
            let of = if ours.is_empty() { task } else { ours };
            (of == replica).then(|| Event {
                at: at.parse().unwrap_or(0),
                what: what.to_owned(),
                container: container.to_owned(),
                code: code.to_owned(),
            })
        };
        // A line that is being written has no end yet.
        all.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| event(line.trim_end()))
            .collect()
    }
    /// When something last happened to a replica.
    pub(crate) fn last(&self, replica: &str) -> u64 {
        self.events(replica).last().map_or(0, |event| event.at)
    }
    /// Waits until a replica is back: how long from the first event `gone` after `since` until it was started, or was
    /// found well by its check.
    pub(crate) fn gone_for(
        &self,
        replica: &str,
        since: u64,
        gone: &str,
        to_well: bool,
    ) -> anyhow::Result<Duration> {
        let look = || {
            let mut events = self.events(replica).into_iter().filter(|event| event.at > since);
            let gone =
                events.find(|event| event.what == gone && (gone != "exec_die" || event.code != "0"))?;
            let started = events.find(|event| event.what == "start")?;
            let back = match to_well {
                false => started,
                // Another one, or the same one again: it is its check that tells.
                true => events.find(|event| {
                    event.what == "exec_die" && event.code == "0" && event.container == started.container
                })?,
            };
            Some(Duration::from_nanos(back.at - gone.at))
        };
        until(60, look).with_context(|| {
            let seen: Vec<String> = self.events(replica).into_iter().map(|event| event.what).collect();
            format!("{replica} is not back: {}", seen[seen.len().saturating_sub(12)..].join(", "))
        })
    }
    /// Does it to each of these once, when it is well; how long each was gone.
    pub(crate) fn trials(
        &self,
        replicas: &[String],
        how: How,
        in_turn: bool,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut hurt = Vec::new();
        for replica in replicas {
            let events = until(60, || {
                let events = self.events(replica);
                let last = events.iter().rposition(|event| event.what == "start")?;
                let well = matches!(how, How::Killed)
                    || events[last..].iter().any(|event| event.what == "exec_die" && event.code == "0");
                well.then_some(events)
            });
            let events = events.with_context(|| format!("{replica} is never well"))?;
            let last = events.last().context("nothing happened")?;
            let container = &events.iter().rfind(|event| event.what == "start").unwrap_or(last).container;
            match how {
                How::Killed => self.docker(&["kill", container])?,
                How::Unhealthy => self.docker(&["exec", container, "touch", "/bad"])?,
                How::Hung => self.docker(&["kill", "--signal=STOP", container])?,
            };
            let since = last.at;
            if in_turn {
                self.back(replica, since, how)?;
            }
            hurt.push((replica, since));
        }
        hurt.into_iter().map(|(replica, since)| self.back(replica, since, how)).collect()
    }
    /// Waits until a replica that was hurt is back; how long it was gone.
    fn back(&self, replica: &str, since: u64, how: How) -> anyhow::Result<Duration> {
        match how {
            How::Killed => self.gone_for(replica, since, "die", false),
            How::Unhealthy => self.gone_for(replica, since, "exec_die", true),
            How::Hung => self.gone_for(replica, since, "kill", true),
        }
    }
    /// How often one was started, from its first start on.
    pub(crate) fn starts(&self, replica: &str) -> anyhow::Result<usize> {
        let all = || -> Vec<u64> {
            self.events(replica).iter().filter(|event| event.what == "start").map(|event| event.at).collect()
        };
        let first =
            until(60, || all().first().copied()).with_context(|| format!("{replica} never starts"))?;
        // This is the span that is asked about, not a wait for an answer.
        std::thread::sleep(LOOP);
        let last = first + u64::try_from(LOOP.as_nanos())?;
        Ok(all().into_iter().filter(|at| *at <= last).count())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.docker(&["swarm", "leave", "--force"]);
        for container in self.docker(&["ps", "-aq"]).unwrap_or_default().lines() {
            let _ = self.docker(&["rm", "-f", "-v", container]);
        }
        for network in
            self.docker(&["network", "ls", "-q", "--filter=driver=bridge"]).unwrap_or_default().lines()
        {
            let _ = self.docker(&["network", "rm", network]);
        }
        if let Some(events) = &mut self.events {
            let _ = events.kill();
            let _ = events.wait();
        }
        // It ends when its input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
