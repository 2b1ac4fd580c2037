//! A container as its engine shows it.

use std::collections::BTreeMap;

use ideal_core::time::{Bytes, Time};
use serde_json::Value;

/// A container as its engine shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerSeen {
    pub id: String,
    /// Without the stroke that the engine puts before it.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub status: String,
    /// The number of its first process, as the engine's host has it.
    pub pid: Option<u32>,
    pub exit: i64,
    /// Whether the kernel killed something in it for want of memory.
    pub out_of_memory: bool,
    /// What the engine says of its start.
    pub error: String,
    pub started: Time,
    /// When it ended last.
    pub ended: Time,
    /// What its own check says: `starting`, `healthy`, `unhealthy`; none: it has none.
    pub health: Option<String>,
    /// The last line of that check.
    pub health_says: String,
    pub memory: Bytes,
    /// The image, as the engine counts it.
    pub image: String,
}

impl ContainerSeen {
    /// From the engine's answer about one container.
    pub(crate) fn read(value: &Value) -> Option<ContainerSeen> {
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = value.pointer("/Config/Labels").and_then(Value::as_object);
        let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let pid = value.pointer("/State/Pid").and_then(Value::as_u64).filter(|pid| *pid > 0);
        let health = text("/State/Health/Status");
        let said = value.pointer("/State/Health/Log").and_then(Value::as_array).and_then(|log| log.last());
        let said = said.and_then(|look| look.get("Output")?.as_str()).unwrap_or_default();
        Some(ContainerSeen {
            id: value.get("Id")?.as_str()?.to_owned(),
            name: text("/Name").trim_start_matches('/').to_owned(),
            labels: labels.into_iter().flatten().filter_map(label).collect(),
            status: text("/State/Status"),
            pid: pid.and_then(|pid| u32::try_from(pid).ok()),
            exit: value.pointer("/State/ExitCode").and_then(Value::as_i64).unwrap_or_default(),
            out_of_memory: value.pointer("/State/OOMKilled").and_then(Value::as_bool).unwrap_or_default(),
            error: text("/State/Error"),
            started: instant(&text("/State/StartedAt")),
            ended: instant(&text("/State/FinishedAt")),
            health: (!health.is_empty() && health != "none").then_some(health),
            health_says: said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned(),
            memory: Bytes(value.pointer("/HostConfig/Memory").and_then(Value::as_u64).unwrap_or_default()),
            image: text("/Image"),
        })
    }
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
    /// Whether a program of it runs, or is held still.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }
    /// How it ended, in words.
    pub(crate) fn how(&self) -> String {
        if self.out_of_memory && self.memory.0 > 0 {
            return format!("it was killed for using more than {}", self.memory);
        }
        if !self.error.is_empty() {
            return format!("it did not start: {}", self.error);
        }
        match self.exit {
            code @ 129..=192 => format!("it ended with {code} (signal {})", code - 128),
            code => format!("it ended with {code}"),
        }
    }
}

/// An instant as an engine writes it; the beginning of time when it cannot be read, or when it never was.
fn instant(text: &str) -> Time {
    let instant = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
    Time(instant.ok().and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_end_is_told_in_words() {
        let read = |state: Value| {
            ContainerSeen::read(&json!({
                "Id": "c", "Name": "/one", "State": state, "HostConfig": {"Memory": 64 << 20},
            }))
            .unwrap()
        };
        let cases = [
            (json!({"Status": "exited", "ExitCode": 3}), "it ended with 3"),
            (json!({"Status": "exited", "ExitCode": 137}), "it ended with 137 (signal 9)"),
            (
                json!({"Status": "exited", "ExitCode": 137, "OOMKilled": true}),
                "it was killed for using more than 64MiB",
            ),
            (
                json!({"Status": "created", "ExitCode": 127, "Error": "no such file"}),
                "it did not start: no such file",
            ),
        ];
        for (state, said) in cases {
            assert_eq!(read(state).how(), said);
        }
        let seen = read(json!({"Status": "running", "Pid": 7, "StartedAt": "1970-01-01T00:00:01.5Z",
            "Health": {"Status": "unhealthy", "Log": [{"Output": "one"}, {"Output": "two\nthree\n"}]}}));
        assert!(seen.is_up());
        assert_eq!((seen.pid, seen.started, &*seen.name), (Some(7), Time(1500), "one"));
        assert_eq!((seen.health.as_deref(), &*seen.health_says), (Some("unhealthy"), "three"));
    }
}
