//! A client of a container engine: HTTP/1.1 and JSON on its unix socket, for the dozen calls that are made, and
//! streams of what it says. Each call has a connection of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

/// How long a call may take. Stopping is not left to the engine, so nothing waits for a program.
const LIMIT: Duration = Duration::from_secs(60);
/// More is not an answer to any call of ours: a thousand containers are some megabytes.
const ANSWER_LIMIT: usize = 64 << 20;

/// An engine, by its socket.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
}

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It cannot be asked: nothing happened. What it runs goes on.
    #[error("{0}")]
    Absent(String),
    /// It did not answer: nobody knows whether it happened.
    #[error("{0}")]
    Silent(String),
    /// It said no.
    #[error("{0}")]
    Said(String),
}

/// What an engine answered.
#[derive(Debug)]
pub struct Reply {
    /// The status of HTTP.
    pub code: u16,
    /// What came with it; null: nothing did, or no JSON.
    pub body: Value,
}

impl Reply {
    /// What the engine says about it.
    pub fn message(&self) -> String {
        match self.body.get("message").and_then(Value::as_str) {
            Some(message) => message.trim().to_owned(),
            None => format!("it answered {}", self.code),
        }
    }
    /// An answer that has to be a good one.
    pub fn good(self, what: &str) -> Result<Value, EngineError> {
        match self.code {
            200..=299 | 304 => Ok(self.body),
            _ => Err(EngineError::Said(format!("the engine did not {what}: {}", self.message()))),
        }
    }
}

/// An answer that goes on. Its connection is closed when it is dropped.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    _connection: Closing,
}

impl Stream {
    /// What comes next; none: it is over.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        while let Some(part) = self.body.frame().await {
            let part = part.map_err(|error| EngineError::Silent(format!("the engine broke off: {error}")))?;
            if let Ok(data) = part.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// What a program in a container reads and says.
#[derive(Debug)]
pub struct Line {
    /// What is written is read by the program; what is read are frames of what it says.
    pub io: TokioIo<Upgraded>,
    _connection: Closing,
}

impl Engine {
    /// The engine that listens at this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Engine {
        Engine { socket: socket.into() }
    }
    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads what lies at a path.
    pub async fn get(&self, path: &str) -> Result<Reply, EngineError> {
        self.call(Method::GET, path, None).await
    }
    /// Makes or does something.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Reply, EngineError> {
        self.call(Method::POST, path, body).await
    }
    /// Removes what lies at a path.
    pub async fn delete(&self, path: &str) -> Result<Reply, EngineError> {
        self.call(Method::DELETE, path, None).await
    }
    /// What lies at a path; none: nothing does.
    pub async fn look(&self, path: &str, what: &str) -> Result<Option<Value>, EngineError> {
        let reply = self.get(path).await?;
        if reply.code == 404 { Ok(None) } else { reply.good(what).map(Some) }
    }

    /// One call. What the engine refuses is an answer too.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, EngineError> {
        let talk = async {
            let (answer, _connection) = self.ask(method, path, body, None).await?;
            read(answer).await
        };
        match tokio::time::timeout(LIMIT, talk).await {
            Ok(answer) => answer,
            Err(_) => Err(self.silent(format!("nothing came within {LIMIT:?}"))),
        }
    }

    /// A call whose answer goes on, with credentials where it needs some. An answer that is not a good one is read
    /// and told.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        credentials: Option<&str>,
        what: &str,
    ) -> Result<Stream, EngineError> {
        let asked = tokio::time::timeout(LIMIT, self.ask(method, path, body, credentials)).await;
        let (answer, connection) =
            asked.map_err(|_| self.silent(format!("nothing came within {LIMIT:?}")))??;
        if answer.status().is_success() {
            return Ok(Stream { body: answer.into_body(), _connection: connection });
        }
        let reply = read(answer).await?;
        Err(EngineError::Said(format!("the engine did not {what}: {}", reply.message())))
    }

    /// A call after which the connection belongs to a program in a container.
    pub async fn line(&self, path: &str, body: &Value, what: &str) -> Result<Line, EngineError> {
        let head = [("connection", "Upgrade"), ("upgrade", "tcp")];
        let talk = async {
            let (answer, connection) = self.ask_with(Method::POST, path, Some(body), &head).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                let reply = read(answer).await?;
                return Err(EngineError::Said(format!("the engine did not {what}: {}", reply.message())));
            }
            let io = hyper::upgrade::on(answer).await.map_err(|error| self.silent(error))?;
            Ok(Line { io: TokioIo::new(io), _connection: connection })
        };
        match tokio::time::timeout(LIMIT, talk).await {
            Ok(line) => line,
            Err(_) => Err(self.silent(format!("nothing came within {LIMIT:?}"))),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        credentials: Option<&str>,
    ) -> Result<(Response<Incoming>, Closing), EngineError> {
        let head = credentials.map(|credentials| ("x-registry-auth", credentials));
        self.ask_with(method, path, body, head.as_slice()).await
    }

    async fn ask_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        head: &[(&str, &str)],
    ) -> Result<(Response<Incoming>, Closing), EngineError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.absent(&error))?;
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header("host", "engine");
        request = request.header("content-type", "application/json");
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(text)));
        let request = request.map_err(|error| EngineError::Said(format!("`{path}`: {error}")))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.silent(error.to_string()))?;
        let connection = Closing(tokio::spawn(connection.with_upgrades()).abort_handle());
        let answer = sender.send_request(request).await.map_err(|error| self.silent(error.to_string()))?;
        Ok((answer, connection))
    }

    fn absent(&self, error: &std::io::Error) -> EngineError {
        EngineError::Absent(format!("no engine answers at {}: {error}", self.socket.display()))
    }
    fn silent(&self, why: impl std::fmt::Display) -> EngineError {
        EngineError::Silent(format!(
            "the container engine at {} does not answer: {why}",
            self.socket.display()
        ))
    }
}

/// Closes a connection when what it was for is over or given up.
#[derive(Debug)]
struct Closing(AbortHandle);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(answer: Response<Incoming>) -> Result<Reply, EngineError> {
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|error| EngineError::Silent(format!("the engine broke off: {error}")))?;
    // Some answers are empty, and an error of a proxy is text.
    Ok(Reply { code, body: serde_json::from_slice(&body.to_bytes()).unwrap_or_default() })
}

/// A text as a part of a path or query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let one = |byte: &u8| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    text.as_bytes().iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_a_path() {
        assert_eq!(escaped("debian:12"), "debian%3A12");
        assert_eq!(escaped("a/../b?c=d"), "a%2F..%2Fb%3Fc%3Dd");
    }

    #[tokio::test]
    async fn who_is_not_there_was_told_nothing() {
        let error = Engine::new("/nowhere/engine.sock").get("/version").await.unwrap_err();
        assert!(
            matches!(&error, EngineError::Absent(why) if why.contains("/nowhere/engine.sock")),
            "{error}"
        );
    }
}
