//! The container engine of this host, as a provider asks it: who calls waits, perhaps within another runtime, so each
//! call has a thread of its own.

use std::path::PathBuf;

use hyper::Method;
use ideal_core::time::Span;
use ideal_host::engine::client::{self, EngineError, Reply};
use serde_json::Value;

use crate::ProviderError;

pub(crate) use ideal_host::engine::client::escaped;

/// An engine, by its socket.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// What a provider makes of an answer.
pub(crate) trait Checked {
    /// An answer that has to be a good one.
    fn checked(self, what: &str) -> Result<Value, ProviderError>;
}

impl Checked for Reply {
    fn checked(self, what: &str) -> Result<Value, ProviderError> {
        match self.code {
            200..=299 | 304 => Ok(self.body),
            400..=499 => {
                Err(ProviderError::refused(format!("the engine did not {what}: {}", self.message())))
            }
            _ => Err(ProviderError::Unknown {
                why: format!("the engine failed to {what}: {}", self.message()),
            }),
        }
    }
}

impl Engine {
    /// The engine that listens at this socket: a path, with or without `unix://`.
    pub fn new(socket: &str) -> Engine {
        Engine { socket: socket.strip_prefix("unix://").unwrap_or(socket).into() }
    }

    /// The engine's own name and version; an error is why it cannot be used.
    pub fn version(&self) -> Result<String, ProviderError> {
        let body = self.call(Method::GET, "/version", None)?.checked("tell its version")?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        Ok(format!("{} on Linux {}", text("Version"), text("KernelVersion")))
    }
    /// Which control groups the host has: 1 or 2.
    pub(super) fn control_groups(&self) -> Result<u32, ProviderError> {
        let body = self.call(Method::GET, "/info", None)?.checked("tell about its host")?;
        // One that does not say it is older than the second kind.
        Ok(body.get("CgroupVersion").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(1))
    }
    /// Whether it has an image of this name.
    pub fn has_image(&self, image: &str) -> Result<bool, ProviderError> {
        let reply = self.call(Method::GET, &format!("/images/{}/json", escaped(image)), None)?;
        match reply.code {
            404 => Ok(false),
            _ => reply.checked("look for the image").map(|_| true),
        }
    }

    /// One call. What the engine refuses is an answer too.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply, ProviderError> {
        let ended = || ProviderError::Unknown { why: "the call to the engine failed".to_owned() };
        std::thread::scope(|threads| {
            threads.spawn(|| self.exchange(method, path, body)).join().unwrap_or_else(|_| Err(ended()))
        })
    }

    fn exchange(&self, method: Method, path: &str, body: Option<Value>) -> Result<Reply, ProviderError> {
        let changes = method != Method::GET;
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let engine = client::Engine::new(&self.socket);
        threads.block_on(engine.call(method, path, body.as_ref())).map_err(|error| match error {
            EngineError::Absent(why) => ProviderError::Retry { why, after: Some(Span::secs(1)) },
            EngineError::Silent(why) if changes => ProviderError::Unknown { why },
            EngineError::Silent(why) => ProviderError::retry(why),
            EngineError::Said(why) => ProviderError::refused(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_may_be_asked_again() {
        let engine = Engine::new("unix:///nowhere/engine.sock");
        let error = engine.version().unwrap_err();
        assert!(matches!(&error, ProviderError::Retry { why, .. } if why.contains("/nowhere/engine.sock")));
    }
}
