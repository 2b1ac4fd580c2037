//! What a container says, brought into the log of its replica: each line once, whoever dies in between.
//!
//! Beside the log lies a note: until when it is brought, and how long the log was then. What is in the log beyond
//! that was written by an agent that died before it could say so; it is cut off and brought again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use hyper::Method;
use ideal_host::durable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NotStarted;
use crate::engine::frames::Frames;
use crate::engine::{EngineError, escaped};
use crate::log;
use crate::node::Node;

/// How far a log is brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Mark {
    /// When the last line of it was said, as the engine wrote it.
    at: String,
    /// How many lines of that very instant are in it.
    same: u32,
    /// How long the log was.
    length: u64,
}

impl Mark {
    /// From when on the engine is to tell, as it wants to be told.
    fn since(&self) -> Option<String> {
        let nanos = self.at.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
        Some(format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000)))
    }
}

/// A log that is brought from an engine.
struct Brought {
    log: PathBuf,
    note: PathBuf,
    mark: Mark,
    /// How many lines of the instant of the mark come again, and are passed over.
    again: u32,
}

impl Brought {
    fn open(log: PathBuf) -> io::Result<Brought> {
        let note = log.with_extension("at");
        let length = || fs::metadata(&log).map_or(0, |meta| meta.len());
        let mut mark = durable::read_json::<Mark>(&note)
            .unwrap_or_default()
            .unwrap_or_else(|| Mark { length: length(), ..Mark::default() });
        if length() > mark.length {
            OpenOptions::new().write(true).open(&log)?.set_len(mark.length)?;
        }
        mark.length = mark.length.min(length());
        let again = mark.same;
        Ok(Brought { log, note, mark, again })
    }

    /// Takes one line as the engine tells it: an instant, a blank, the text. None: it is here already.
    fn take<'t>(&mut self, told: &'t [u8]) -> Option<&'t [u8]> {
        let blank = told.iter().position(|byte| *byte == b' ')?;
        let (at, text) = (String::from_utf8_lossy(&told[..blank]), &told[blank + 1..]);
        if at == self.mark.at {
            if self.again > 0 {
                self.again -= 1;
                return None;
            }
            self.mark.same += 1;
        } else {
            (self.mark.at, self.mark.same, self.again) = (at.into_owned(), 1, 0);
        }
        Some(text)
    }

    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log)?;
        file.write_all(text)?;
        self.mark.length = file.metadata()?.len();
        durable::write_json_volatile(&self.note, &self.mark)?;
        if self.mark.length > log::LIMIT {
            log::rotate(&self.log)?;
            self.mark.length = 0;
            durable::write_json_volatile(&self.note, &self.mark)?;
        }
        Ok(())
    }
}

/// Brings what a container says until it has ended, or the engine is silent.
pub(super) async fn follow(node: &Rc<Node>, replica: &str, id: &str) {
    if let Err(why) = bring(node, replica, id).await {
        node.log.say(format_args!("service {replica}: its log is not brought: {why}"));
    }
}

async fn bring(node: &Node, replica: &str, id: &str) -> Result<(), String> {
    let mut brought = Brought::open(node.home.service_log(replica)).map_err(|error| error.to_string())?;
    let mut path = format!("/containers/{id}/logs?follow=1&stdout=1&stderr=1&timestamps=1");
    if let Some(since) = brought.mark.since() {
        path.push_str(&format!("&since={since}"));
    }
    let engine = &node.containers.engine;
    let mut stream = match engine.open(Method::GET, &path, None, None, "tell its log").await {
        Ok(stream) => stream,
        // Who waits for it starts this again.
        Err(EngineError::Absent(_) | EngineError::Silent(_)) => return Ok(()),
        Err(EngineError::Said(why)) => return Err(why),
    };
    let mut frames = Frames::default();
    while let Ok(Some(part)) = stream.next().await {
        frames.add(&part);
        let mut text = Vec::new();
        while let Some(told) = frames.next()? {
            text.extend_from_slice(brought.take(&told).unwrap_or_default());
        }
        if !text.is_empty() {
            brought.add(&text).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Runs a container that does one thing, brings what it said, and removes it. Answers how it failed, if it did.
pub(super) async fn run_once(
    node: &Node,
    replica: &str,
    name: &str,
    body: &Value,
) -> Result<Option<String>, NotStarted> {
    let engine = &node.containers.engine;
    // One that an agent left which died meanwhile.
    node.containers.remove(name).await?;
    let made = engine.post(&format!("/containers/create?name={}", escaped(name)), Some(body)).await?;
    let made = made.good("make a container for an init command")?;
    let id = made.get("Id").and_then(Value::as_str).unwrap_or_default();
    let run = async {
        engine.post(&format!("/containers/{id}/start"), None).await?.good("start an init command")?;
        let path = format!("/containers/{id}/logs?follow=1&stdout=1&stderr=1");
        let mut stream = engine.open(Method::GET, &path, None, None, "tell what it says").await?;
        let mut frames = Frames::default();
        // This ends when the command does.
        while let Some(part) = stream.next().await? {
            frames.add(&part);
            while let Some(text) = frames.next().map_err(EngineError::Said)? {
                let added = Brought::open(node.home.service_log(replica)).and_then(|mut log| log.add(&text));
                added.map_err(|error| EngineError::Said(format!("its log: {error}")))?;
            }
        }
        let ended = engine.post(&format!("/containers/{id}/wait"), None).await?.good("wait for it")?;
        let code = ended.get("StatusCode").and_then(Value::as_i64).unwrap_or(-1);
        Ok::<_, EngineError>((code != 0).then(|| format!("it ended with {code}")))
    };
    let ran = run.await;
    node.containers.remove(id).await?;
    Ok(ran?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bring(log: &std::path::Path, told: &[&str]) -> Brought {
        let mut brought = Brought::open(log.to_owned()).unwrap();
        for line in told {
            if let Some(text) = brought.take(line.as_bytes()).map(<[u8]>::to_vec) {
                brought.add(&text).unwrap();
            }
        }
        brought
    }

    #[test]
    fn a_line_is_brought_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("pub[0].log");
        let lines =
            ["2026-01-01T00:00:00.1Z a\n", "2026-01-01T00:00:00.2Z b\n", "2026-01-01T00:00:00.2Z c\n"];
        bring(&log, &lines[..2]);
        // The engine tells again from the instant of the last one on.
        let brought = bring(&log, &lines[1..]);
        assert_eq!(fs::read_to_string(&log).unwrap(), "a\nb\nc\n");
        assert_eq!(brought.mark.since().unwrap(), "1767225600.200000000");
        // Written, and died before it could be noted.
        OpenOptions::new().append(true).open(&log).unwrap().write_all(b"d\n").unwrap();
        bring(
            &log,
            &["2026-01-01T00:00:00.2Z b\n", "2026-01-01T00:00:00.2Z c\n", "2026-01-01T00:00:00.3Z d\n"],
        );
        assert_eq!(fs::read_to_string(&log).unwrap(), "a\nb\nc\nd\n");
    }

    #[test]
    fn what_was_there_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("pub[0].log");
        fs::write(&log, "of a process\n").unwrap();
        bring(&log, &["2026-01-01T00:00:00.1Z a\n"]);
        assert_eq!(fs::read_to_string(&log).unwrap(), "of a process\na\n");
    }
}
