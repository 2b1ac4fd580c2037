//! Speaks to agents: HTTP/1.1 and JSON, on a unix socket or through a program that leads to one.
//!
//! The socket is the authentication of this transport: only its owner can enter the folder that it lies in, and
//! the agent asks the kernel who connected. On this host each question has a connection of its own: they are few, and a
//! connection that died unnoticed would make answers unknown. Ways through programs are kept open: see `ways`.

mod exec;
mod stream;
mod ways;

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use stream::{connect, named, words};
use ways::Ways;

use crate::routes;
use crate::{Asking, LinkError, NodeLink, Order, Reply, Verb};

/// The way to agents.
#[derive(Debug)]
pub struct AgentLink {
    /// How long a report may take. An agent has it in memory: more means that it hangs.
    pub report_timeout: Duration,
    /// How long work on resources may take: packages are fetched and installed in it.
    pub work_timeout: Duration,
    /// How long all else may take.
    pub order_timeout: Duration,
    ways: Ways,
}

impl Default for AgentLink {
    fn default() -> AgentLink {
        AgentLink {
            report_timeout: Duration::from_secs(2),
            work_timeout: Duration::from_secs(1800),
            order_timeout: Duration::from_secs(60),
            ways: Ways::default(),
        }
    }
}

/// How long a way through a program may take to come about.
const OPENS_WITHIN: Duration = Duration::from_secs(15);

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

impl NodeLink for AgentLink {
    fn forget(&self, address: &str) {
        self.ways.went(address, None);
    }
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
            let answer = self.exchange(address, Method::POST, routes::ORDERS, body, limit).await;
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

impl AgentLink {
    /// The last lines of a replica's log.
    pub async fn logs(&self, address: &str, service: &str, lines: usize) -> Result<String, LinkError> {
        let path = routes::logs(service, lines);
        let answer = self.exchange(address, Method::GET, &path, Vec::new(), self.order_timeout).await;
        let (status, body) = answer.map_err(|failure| failure.into_error(false))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status == StatusCode::OK { Ok(text) } else { Err(LinkError::Refused { why: text }) }
    }
}

fn garbled(error: &serde_json::Error) -> Failure {
    Failure::After(format!("the answer of the agent cannot be read: {error}"))
}

/// A question as it is sent.
fn question(method: Method, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Failure> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failure::Before(error.to_string()))
}

async fn whole(address: &str, answer: Response<Incoming>) -> Result<(StatusCode, Bytes), Failure> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), routes::BODY_LIMIT).collect().await;
    let body =
        body.map_err(|error| Failure::After(format!("the answer of {} broke off: {error}", named(address))))?;
    Ok((status, body.to_bytes()))
}

/// On a connection of its own.
async fn once(
    address: &str,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), Failure> {
    let (stream, _) = connect(address, limit).await.map_err(Failure::Before)?;
    let broken = |error: hyper::Error| Failure::After(format!("the connection to {address} broke: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Driven here and not by a task of its own, so that leaving this function ends the connection.
    let answer = async { whole(address, sender.send_request(request).await.map_err(broken)?).await };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

impl AgentLink {
    async fn exchange(
        &self,
        address: &str,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let deadline = tokio::time::Instant::now() + limit;
        let request = question(method, path, body)?;
        let late =
            || Failure::After(format!("the agent at {} did not answer within {limit:?}", named(address)));
        if words(address).is_none() {
            let answer = tokio::time::timeout_at(deadline, once(address, request, limit)).await;
            return answer.unwrap_or_else(|_| Err(late()));
        }
        let mut way = match self.ways.kept(address) {
            Some(way) => way,
            None => self.open(address).await.map_err(Failure::Before)?,
        };
        let talk = async {
            let answer = way.sender.send_request(request).await;
            let answer = answer.map_err(|error| Failure::After(broke(address, &error.to_string())))?;
            whole(address, answer).await
        };
        // A new way takes its time; the question has all of its own.
        let deadline = deadline.max(tokio::time::Instant::now() + limit);
        let answer = tokio::time::timeout_at(deadline, talk).await.unwrap_or_else(|_| Err(late()))?;
        self.ways.keep(address, way);
        Ok(answer)
    }

    /// A new way through a program. It was asked whether the agent serves, and nothing else: why there is none is said
    /// before anything was heard.
    async fn open(&self, address: &str) -> Result<ways::Open, String> {
        if let Some(why) = self.ways.closed(address) {
            return Err(why);
        }
        let opened = async {
            let mut way = ways::open(address, OPENS_WITHIN).await?;
            let asked =
                question(Method::GET, routes::HEALTH, Vec::new()).map_err(|failure| match failure {
                    Failure::Before(why) | Failure::After(why) => why,
                })?;
            let answer = match way.sender.send_request(asked).await {
                Ok(answer) => whole(address, answer).await,
                Err(error) => Err(Failure::Before(error.to_string())),
            };
            match answer {
                Ok((StatusCode::OK, _)) => Ok(way),
                Ok((status, _)) => Err(format!("the agent answered {status}")),
                Err(Failure::Before(why) | Failure::After(why)) => Err(way.said.last().await.unwrap_or(why)),
            }
        };
        let late = || format!("it did not come about within {} s", OPENS_WITHIN.as_secs());
        let opened = tokio::time::timeout(OPENS_WITHIN, opened).await.unwrap_or_else(|_| Err(late()));
        let opened = opened.map_err(|why| format!("no agent is reached at {}: {why}", named(address)));
        self.ways.went(address, opened.as_ref().err().map(String::as_str));
        opened
    }
}

fn broke(address: &str, why: &str) -> String {
    format!("the connection to {} broke: {why}", named(address))
}
