//! Ways through programs, kept open: a connection by `ssh` costs more than a hundred questions on it.
//!
//! One that has just come about is first asked whether the agent serves: what fails before that was never heard. A way
//! that did not come about is not tried again at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::stream::{Said, connect};

/// The first pause after a way that did not come about; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// More than this many to one agent are not kept.
const KEPT: usize = 4;

/// An open way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) said: Said,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A way that did not come about.
#[derive(Debug)]
struct Closed {
    until: Instant,
    pause: Duration,
    why: String,
}

/// Ways that are open, and ways that did not come about.
#[derive(Debug, Default)]
pub(super) struct Ways {
    open: RefCell<HashMap<String, Vec<Open>>>,
    closed: RefCell<HashMap<String, Closed>>,
}

impl Ways {
    /// A way that was used before and may be used again.
    pub(super) fn kept(&self, address: &str) -> Option<Open> {
        let mut open = self.open.borrow_mut();
        let kept = open.get_mut(address)?;
        while let Some(one) = kept.pop() {
            if one.sender.is_ready() {
                return Some(one);
            }
        }
        None
    }

    /// Keeps a way for the next question.
    pub(super) fn keep(&self, address: &str, way: Open) {
        let mut open = self.open.borrow_mut();
        let kept = open.entry(address.to_owned()).or_default();
        if kept.len() < KEPT && !way.sender.is_closed() {
            kept.push(way);
        }
    }

    /// Why no new one is to be tried yet.
    pub(super) fn closed(&self, address: &str) -> Option<String> {
        let closed = self.closed.borrow();
        closed.get(address).filter(|closed| Instant::now() < closed.until).map(|closed| closed.why.clone())
    }

    /// Takes note of how a new one went.
    pub(super) fn went(&self, address: &str, why: Option<&str>) {
        let mut closed = self.closed.borrow_mut();
        let Some(why) = why else {
            closed.remove(address);
            return;
        };
        let pause = closed.get(address).map_or(FIRST_PAUSE, |closed| (closed.pause * 2).min(LONGEST_PAUSE));
        let until = Instant::now() + pause;
        closed.insert(address.to_owned(), Closed { until, pause, why: why.to_owned() });
    }
}

/// Opens a way. Nothing was asked on it yet.
pub(super) async fn open(address: &str, limit: Duration) -> Result<Open, String> {
    let (stream, said) = connect(address, limit).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(async move {
        // How it ended is told to who waits for an answer.
        _ = connection.await;
    });
    Ok(Open { sender, said, driver: driver.abort_handle() })
}
