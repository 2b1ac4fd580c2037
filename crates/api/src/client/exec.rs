//! Runs a program on a node, by its agent.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::AgentLink;
use super::stream::{connect, named, words};
use crate::exec::{Decoder, Ended, Exec, Piece, Pipe};
use crate::{LinkError, routes};

/// How long an agent may be silent. It says at least once in a second that it is still there.
const SILENCE: Duration = Duration::from_secs(15);

impl AgentLink {
    /// Runs a program on the node whose agent is at `address`. It is given what comes through `stdin`; `said` is told each
    /// piece of what it says, and whether to go on: none is answered when not. Given up, the program is killed.
    pub async fn exec(
        &self,
        address: &str,
        exec: &Exec,
        stdin: Option<mpsc::Receiver<Bytes>>,
        mut said: impl AsyncFnMut(Piece) -> bool,
    ) -> Result<Option<Ended>, LinkError> {
        let unreachable = |why: String| LinkError::Unreachable { why };
        let name = named(address);
        let broke = |error: hyper::Error| format!("the connection to {name} broke: {error}");
        let broken = |error: hyper::Error| LinkError::Unknown { why: broke(error) };
        let (stream, program) = connect(address, SILENCE).await.map_err(unreachable)?;
        let mut question = serde_json::to_vec(exec).map_err(|error| LinkError::Refused {
            why: format!("the question cannot be written: {error}"),
        })?;
        question.push(b'\n');
        let request = Request::post(routes::EXEC)
            .header("host", "agent")
            .body(Pipe::new(Some(question.into()), stdin))
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(broke(error)))?;
        let is_silent = || format!("the agent at {name} is silent");
        let talk = async {
            if words(address).is_some() {
                // A program takes what it is told before it leads anywhere: what fails before this was not heard.
                let serves = serves(&mut sender);
                let came = timeout(SILENCE, serves).await.map_err(|_| unreachable(is_silent()))?;
                came.map_err(|error| unreachable(broke(error)))?;
            }
            let silent = |_| LinkError::Unknown { why: is_silent() };
            let answer = timeout(SILENCE, sender.send_request(request)).await.map_err(silent)?;
            let answer = answer.map_err(broken)?;
            if answer.status() != StatusCode::OK {
                return Err(refusal(answer.status(), answer.into_body()).await);
            }
            let (mut body, mut decoder) = (answer.into_body(), Decoder::default());
            while let Some(part) = timeout(SILENCE, body.frame()).await.map_err(silent)? {
                let Ok(mut data) = part.map_err(broken)?.into_data() else { continue };
                let garbled = |why| LinkError::Unknown { why: format!("{name}: {why}") };
                while let Some(piece) = decoder.next(&mut data).map_err(garbled)? {
                    if let Piece::Ended(ended) = piece {
                        return Ok(Some(ended));
                    }
                    if !said(piece).await {
                        return Ok(None);
                    }
                }
            }
            Err(LinkError::Unknown { why: format!("the answer of {name} broke off") })
        };
        // Driven here and not by a task of its own, so that leaving this function ends the connection.
        let mut talk = std::pin::pin!(talk);
        let ended = tokio::select! {
            biased;
            ended = &mut talk => ended,
            _ = connection => talk.await,
        };
        // A program that leads there knows better why it does not any more.
        let better = async |why| program.last().await.map_or(why, |said| format!("{name}: {said}"));
        match ended {
            Err(LinkError::Unknown { why }) => Err(LinkError::Unknown { why: better(why).await }),
            Err(LinkError::Unreachable { why }) => Err(LinkError::Unreachable { why: better(why).await }),
            ended => ended,
        }
    }
}

/// Comes back when an agent answers on a connection, whatever it says: what it is asked next it hears.
async fn serves(sender: &mut SendRequest<Pipe>) -> Result<(), hyper::Error> {
    let mut asks = Request::new(Pipe::new(None, None));
    *asks.uri_mut() = Uri::from_static(routes::HEALTH);
    asks.headers_mut().insert("host", HeaderValue::from_static("agent"));
    let mut answer = sender.send_request(asks).await?.into_body();
    while let Some(part) = answer.frame().await {
        part?;
    }
    sender.ready().await
}

async fn refusal(status: StatusCode, body: Incoming) -> LinkError {
    if status == StatusCode::NOT_FOUND {
        let why = "its agent is older than this program, and cannot do that".to_owned();
        return LinkError::Refused { why };
    }
    let body = Limited::new(body, routes::BODY_LIMIT).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    serde_json::from_slice(&body)
        .unwrap_or_else(|_| LinkError::Refused { why: format!("the agent answered {status}") })
}

#[cfg(test)]
mod tests {
    use ideal_core::id::SlotId;
    use ideal_core::slice::ForNode;

    use super::*;
    use crate::exec::What;

    /// What comes of a program's run on a node that is led to by this script.
    async fn ran(script: &str) -> Result<Option<Ended>, LinkError> {
        let address = format!("pipe:{}", serde_json::json!(["sh", "-c", script]));
        let slot = SlotId { cloud: "5f0c6f2e-0000-4000-8000-00000000000a".parse().unwrap(), index: 0 };
        let what = What::Run(vec!["true".to_owned()]);
        let node = ForNode { slot, generation: 1 };
        let exec = Exec { node, what, stdin: false, limit: None, replica: None };
        AgentLink::default().exec(&address, &exec, None, async |_| true).await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_nobody_can_have_heard_did_not_happen() {
        let shut = "echo 'connect to host web: Connection refused' >&2; exit 255";
        let Err(LinkError::Unreachable { why }) = ran(shut).await else { panic!("nobody was there") };
        assert_eq!(why, "sh: connect to host web: Connection refused");
        let hop = "echo 'Host key for hop has changed and you have requested strict checking.' >&2; echo closed >&2; exit 255";
        let Err(LinkError::Unreachable { why }) = ran(hop).await else { panic!("nobody was there") };
        assert_eq!(why, "sh: Host key for hop has changed and you have requested strict checking.");
        // Something greets, and is no agent.
        assert!(matches!(ran("echo hello").await, Err(LinkError::Unreachable { .. })));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn of_what_may_have_been_heard_nobody_knows() {
        let hears = "while read -r line && [ ${#line} -gt 1 ]; do :; done";
        let serves = "printf 'HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok'";
        let ran = ran(&format!("{hears}; {serves}; {hears}; echo 'it broke' >&2; exit 255")).await;
        let Err(LinkError::Unknown { why }) = ran else { panic!("{ran:?}") };
        assert_eq!(why, "sh: it broke");
    }
}
