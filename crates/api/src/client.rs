//! Speaks to agents: HTTP/1.1 and JSON on a unix socket.
//!
//! The socket is the authentication of this transport: only its owner can enter the folder that it lies in, and
//! the agent asks the kernel who connected. Each question has a connection of its own: they are few, and a
//! connection that died unnoticed would make answers unknown.

mod exec;

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::routes;
use crate::{Asking, LinkError, NodeLink, Order, Reply, Verb};

/// The way to agents on this host.
#[derive(Clone, Debug)]
pub struct UnixLink {
    /// How long a report may take. An agent has it in memory: more means that it hangs.
    pub report_timeout: Duration,
    /// How long work on resources may take: packages are fetched and installed in it.
    pub work_timeout: Duration,
    /// How long all else may take.
    pub order_timeout: Duration,
}

impl Default for UnixLink {
    fn default() -> UnixLink {
        UnixLink {
            report_timeout: Duration::from_secs(2),
            work_timeout: Duration::from_secs(1800),
            order_timeout: Duration::from_secs(60),
        }
    }
}

/// How far a question came before it failed.
enum Failure {
    /// It was not sent.
    Before(String),
    /// It was, and whether it was heeded is not known.
    After(String),
}

impl Failure {
    fn into_error(self, changes: bool) -> LinkError {
        match self {
            Failure::After(why) if changes => LinkError::Unknown { why },
            Failure::After(why) | Failure::Before(why) => LinkError::Unreachable { why },
        }
    }
}

impl NodeLink for UnixLink {
    fn ask<'a>(&'a self, address: &'a str, order: &'a Order) -> Asking<'a> {
        Box::pin(async move {
            let changes = !order.verb.only_asks();
            let limit = match &order.verb {
                Verb::Report | Verb::Lacks { .. } => self.report_timeout,
                Verb::Work(_) | Verb::Facts { .. } => self.work_timeout,
                // What runs first has a time of its own, and so has what runs afterwards, which is not known here.
                Verb::Freeze { before: Some(hook), .. } => {
                    self.order_timeout + hook.timeout.map_or(self.order_timeout, |limit| limit.std())
                }
                _ => self.order_timeout,
            };
            let body = serde_json::to_vec(order).map_err(|error| LinkError::Refused {
                why: format!("the order cannot be written: {error}"),
            })?;
            let answer = exchange(address, Method::POST, routes::ORDERS, body, limit).await;
            let (status, body) = answer.map_err(|failure| failure.into_error(changes))?;
            if status == StatusCode::OK {
                return serde_json::from_slice::<Reply>(&body)
                    .map_err(|error| garbled(&error).into_error(changes));
            }
            Err(match serde_json::from_slice::<LinkError>(&body) {
                Ok(error) => error,
                // Not our agent's words: the HTTP layer refused it before the agent saw it.
                Err(_) if status.is_client_error() => {
                    LinkError::Refused { why: format!("the agent answered {status}") }
                }
                Err(error) => garbled(&error).into_error(changes),
            })
        })
    }
}

impl UnixLink {
    /// The last lines of a replica's log.
    pub async fn logs(&self, address: &str, service: &str, lines: usize) -> Result<String, LinkError> {
        let path = routes::logs(service, lines);
        let answer = exchange(address, Method::GET, &path, Vec::new(), self.order_timeout).await;
        let (status, body) = answer.map_err(|failure| failure.into_error(false))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status == StatusCode::OK { Ok(text) } else { Err(LinkError::Refused { why: text }) }
    }
}

fn garbled(error: &serde_json::Error) -> Failure {
    Failure::After(format!("the answer of the agent cannot be read: {error}"))
}

/// A connection to an agent, or why there is none.
async fn connect(address: &str, limit: Duration) -> Result<UnixStream, String> {
    let Some(socket) = address.strip_prefix("unix:") else {
        return Err(format!("`{address}` is not the address of an agent on this host"));
    };
    match tokio::time::timeout(limit, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("no agent answers at {address}: {error}")),
        Err(_) => Err(format!("no agent answers at {address} within {limit:?}")),
    }
}

async fn exchange(
    address: &str,
    method: Method,
    path: &str,
    body: Vec<u8>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), Failure> {
    let deadline = tokio::time::Instant::now() + limit;
    let stream = connect(address, limit).await.map_err(Failure::Before)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failure::Before(error.to_string()))?;
    let talk = async {
        let broken =
            |error: hyper::Error| Failure::After(format!("the connection to {address} broke: {error}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Driven here and not by a task of its own, so that leaving this function ends the connection.
        let answer = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), routes::BODY_LIMIT).collect().await;
            let body =
                body.map_err(|error| Failure::After(format!("the answer of {address} broke off: {error}")))?;
            Ok((status, body.to_bytes()))
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
        Err(_) => Err(Failure::After(format!("the agent at {address} did not answer within {limit:?}"))),
    }
}
