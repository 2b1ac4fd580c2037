//! Health checks: a look every so often, and a verdict when enough of them failed in a row.

use std::rc::Rc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use ideal_core::ideal::service::Health;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::engine::EngineError;
use crate::node::Node;
use crate::services;
use ideal_resources::exec::{self, Program};

/// The first look after a start, and the shortest wait between looks until one succeeds: so that a replica is
/// known to be well soon after it is. These early looks do not count as failures.
const EAGER: Duration = Duration::from_millis(50);

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is well.
    Well,
    /// It failed, but not often enough.
    Failing(String),
    /// It failed too often.
    Unwell(String),
    /// Nobody could look, for this reason: that says nothing of the replica.
    Unseen(String),
}

/// The checks of one life of one replica.
#[derive(Debug)]
pub(crate) struct Watch {
    pub spec: Health,
    started: Instant,
    next: Instant,
    /// When a failure counts next.
    counts: Instant,
    eager: Duration,
    was_well: bool,
    failures: u32,
}

impl Watch {
    /// Of a replica that starts now, or (`was_well`) that an earlier agent left running.
    pub(crate) fn new(spec: Health, was_well: bool) -> Watch {
        let now = Instant::now();
        let counts = now + spec.every.std();
        Watch { spec, started: now, next: now + EAGER, counts, eager: EAGER, was_well, failures: 0 }
    }

    /// Waits for the time of the next look, takes it, judges. Dropping it in between loses that look only.
    /// A program looks from within the container, where there is one.
    pub(crate) async fn next(&mut self, node: &Rc<Node>, name: &str, container: Option<&str>) -> Verdict {
        tokio::time::sleep_until(self.next).await;
        let begun = Instant::now();
        let every = self.spec.every.std();
        match look(node, name, &self.spec, container).await {
            Ok(result) => self.judge(result, begun, every),
            Err(unseen) => {
                self.next = (begun + every).max(Instant::now());
                Verdict::Unseen(unseen.to_string())
            }
        }
    }

    fn judge(&mut self, result: Result<(), String>, begun: Instant, every: Duration) -> Verdict {
        let now = Instant::now();
        match result {
            Ok(()) => {
                (self.was_well, self.failures) = (true, 0);
                self.next = (begun + every).max(now);
                self.counts = self.next;
                Verdict::Well
            }
            Err(why) => {
                let counts = begun >= self.counts && begun >= self.started + self.spec.start_period.std();
                if counts {
                    self.failures += 1;
                    self.counts = begun + every;
                }
                if self.failures >= self.spec.retries.max(1) {
                    return Verdict::Unwell(why);
                }
                if self.was_well {
                    self.next = (begun + every).max(now);
                } else {
                    self.eager = (self.eager * 2).min(every);
                    self.next = now + self.eager.min(self.counts.saturating_duration_since(now).max(EAGER));
                }
                Verdict::Failing(why)
            }
        }
    }
}

/// What a look came to; the outer error is that nobody could look.
async fn look(
    node: &Rc<Node>,
    name: &str,
    spec: &Health,
    container: Option<&str>,
) -> Result<Result<(), String>, EngineError> {
    let limit = spec.timeout.std();
    if let (Some(argv), Some(container)) = (&spec.command, container) {
        return services::look::run(node, container, &argv.0, limit).await;
    }
    if let Some(argv) = &spec.command {
        let outcome = exec::run(&**node, &format!("check {name}"), &Program::new(argv.0.iter(), limit)).await;
        return Ok(if outcome.agreed() { Ok(()) } else { Err(outcome.why()) });
    }
    let what = spec.http.as_ref().or(spec.tcp.as_ref()).cloned().unwrap_or_default();
    let look = async {
        match (&spec.http, &spec.tcp) {
            (Some(url), _) => http(url).await,
            (None, Some(address)) => {
                let connected = TcpStream::connect(address.as_str()).await;
                connected.map(drop).map_err(|error| format!("{address}: {error}"))
            }
            (None, None) => Ok(()),
        }
    };
    Ok(match tokio::time::timeout(limit, look).await {
        Ok(result) => result,
        Err(_) => Err(format!("{what} did not answer within {}", spec.timeout)),
    })
}

async fn http(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("`{url}`: {error}"))?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("`{url}` is not an http:// address"));
    }
    let host = uri.host().ok_or_else(|| format!("`{url}` has no host"))?.to_owned();
    let port = uri.port_u16().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| format!("{url}: {error}"))?;
    let said = |error: hyper::Error| format!("{url}: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header("host", format!("{host}:{port}"))
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("`{url}`: {error}"))?;
    // The body is of no interest: the connection is dropped with it.
    let mut answer = std::pin::pin!(sender.send_request(request));
    let status = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    let status = status.map_err(said)?.status();
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("{url} answered {status}"))
    }
}
