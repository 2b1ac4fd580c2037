//! Runs a program on a node, by its agent.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::AgentLink;
use super::stream::{connect, named};
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
        let broken = |error: hyper::Error| LinkError::Unknown {
            why: format!("the connection to {name} broke: {error}"),
        };
        let (stream, program) = connect(address, SILENCE).await.map_err(unreachable)?;
        let mut question = serde_json::to_vec(exec).map_err(|error| LinkError::Refused {
            why: format!("the question cannot be written: {error}"),
        })?;
        question.push(b'\n');
        let request = Request::post(routes::EXEC)
            .header("host", "agent")
            .body(Pipe::new(Some(question.into()), stdin))
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let talk = async {
            let silent = |_| LinkError::Unknown { why: format!("the agent at {name} is silent") };
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
        match ended {
            Err(LinkError::Unknown { why }) => {
                let why = program.last().await.map_or(why, |said| format!("{name}: {said}"));
                Err(LinkError::Unknown { why })
            }
            ended => ended,
        }
    }
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
