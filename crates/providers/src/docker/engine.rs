//! A thin client of the Docker Engine API: HTTP/1.1 and JSON on a unix socket, for the dozen calls that are made.
//!
//! Each call has a connection and a thread of its own: who calls waits, perhaps within another runtime.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use ideal_core::time::Span;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::ProviderError;

/// How long a call may take: an engine that stops a container waits for it, and this is longer.
const LIMIT: Duration = Duration::from_secs(60);
/// More is not an answer to any call of ours: a thousand containers are some megabytes.
const ANSWER_LIMIT: usize = 64 << 20;

/// An engine, by its socket.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// What an engine answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub code: u16,
    pub body: Value,
}

impl Reply {
    /// What the engine says about it.
    pub(crate) fn message(&self) -> String {
        match self.body.get("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => format!("it answered {}", self.code),
        }
    }
    /// An answer that has to be a good one.
    pub(crate) fn good(self, what: &str) -> Result<Value, ProviderError> {
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
        let body = self.call(Method::GET, "/version", None)?.good("tell its version")?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        Ok(format!("{} on Linux {}", text("Version"), text("KernelVersion")))
    }
    /// Which control groups the host has: 1 or 2.
    pub(super) fn control_groups(&self) -> Result<u32, ProviderError> {
        let body = self.call(Method::GET, "/info", None)?.good("tell about its host")?;
        // One that does not say it is older than the second kind.
        Ok(body.get("CgroupVersion").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(1))
    }
    /// Whether it has an image of this name.
    pub fn has_image(&self, image: &str) -> Result<bool, ProviderError> {
        let reply = self.call(Method::GET, &format!("/images/{}/json", escaped(image)), None)?;
        match reply.code {
            404 => Ok(false),
            _ => reply.good("look for the image").map(|_| true),
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
        let broken = |why: String| match changes {
            true => ProviderError::Unknown { why },
            false => ProviderError::retry(why),
        };
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        threads.block_on(async {
            let deadline = tokio::time::Instant::now() + LIMIT;
            let stream = UnixStream::connect(&self.socket).await.map_err(|error| ProviderError::Retry {
                why: format!("no engine answers at {}: {error}", self.socket.display()),
                after: Some(Span::secs(1)),
            })?;
            let text = body.map(|body| body.to_string()).unwrap_or_default();
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "engine")
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(text)))
                .map_err(|error| ProviderError::refused(error.to_string()))?;
            let failed = |error: String| broken(format!("the connection to the engine broke: {error}"));
            let talk = async {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                let answer = async {
                    let answer =
                        sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
                    let code = answer.status().as_u16();
                    let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
                    let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
                    // Some answers are empty, and an error of a proxy is text.
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    Ok(Reply { code, body })
                };
                let mut answer = std::pin::pin!(answer);
                tokio::select! {
                    biased;
                    answer = &mut answer => answer,
                    _ = connection => answer.await,
                }
            };
            match tokio::time::timeout_at(deadline, talk).await {
                Ok(answer) => answer,
                Err(_) => Err(broken(format!("the engine did not answer within {LIMIT:?}"))),
            }
        })
    }
}

/// A text as a part of a path or query.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.as_bytes()
        .iter()
        .map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        assert_eq!(escaped("debian:12"), "debian%3A12");
        assert_eq!(escaped("a/../b?c=d"), "a%2F..%2Fb%3Fc%3Dd");
    }

    #[test]
    fn who_does_not_answer_may_be_asked_again() {
        let engine = Engine::new("unix:///nowhere/engine.sock");
        let error = engine.version().unwrap_err();
        assert!(matches!(&error, ProviderError::Retry { why, .. } if why.contains("/nowhere/engine.sock")));
    }
}
