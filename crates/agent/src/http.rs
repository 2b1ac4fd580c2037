//! The edge: one axum router on a unix socket.
//!
//! Who may connect is decided twice: the folder of the socket can be entered by its owner only, and the kernel is
//! asked who connected.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ideal_api::{LinkError, Order, Reply, routes};
use ideal_core::observed::Report;
use ideal_host::Home;
use serde::Deserialize;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::exec::{self, Place};

/// Something asked of the node, which lives on one thread.
#[derive(Debug)]
pub(crate) enum Asked {
    Order(Box<Order>, oneshot::Sender<Result<Reply, LinkError>>),
    Report(oneshot::Sender<Report>),
}

#[derive(Clone, Debug)]
struct Edge {
    node: mpsc::Sender<Asked>,
    home: Home,
    place: Place,
}

/// The paths and what serves them.
pub(crate) fn router(node: mpsc::Sender<Asked>, home: Home, place: Place) -> Router {
    Router::new()
        .route(routes::ORDERS, post(order))
        .route(routes::REPORT, get(report))
        .route(routes::LOGS, get(logs))
        .route(routes::EXEC, post(exec))
        .route(routes::HEALTH, get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(routes::BODY_LIMIT))
        .with_state(Edge { node, home, place })
}

fn refusal(error: &LinkError) -> Response {
    let code = match error {
        LinkError::Refused { .. } => StatusCode::CONFLICT,
        LinkError::Stale { .. } => StatusCode::PRECONDITION_FAILED,
        LinkError::Unreachable { .. } | LinkError::Unknown { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(error)).into_response()
}

fn ending() -> Response {
    refusal(&LinkError::Unreachable { why: "the agent is ending".to_owned() })
}

async fn order(State(edge): State<Edge>, Json(order): Json<Order>) -> Response {
    let (reply, answer) = oneshot::channel();
    if edge.node.send(Asked::Order(Box::new(order), reply)).await.is_err() {
        return ending();
    }
    match answer.await {
        Ok(Ok(reply)) => Json(reply).into_response(),
        Ok(Err(error)) => refusal(&error),
        Err(_) => refusal(&LinkError::Unknown { why: "the agent failed while it did this".to_owned() }),
    }
}

async fn report(State(edge): State<Edge>) -> Response {
    let (reply, answer) = oneshot::channel();
    if edge.node.send(Asked::Report(reply)).await.is_err() {
        return ending();
    }
    match answer.await {
        Ok(report) => Json(report).into_response(),
        Err(_) => ending(),
    }
}

/// Without the node: it has its hands full, and a person may be looking why.
async fn exec(State(edge): State<Edge>, request: Request) -> Response {
    match exec::answer(&edge.place, request.into_body()).await {
        Ok(body) => body.into_response(),
        Err(error) => refusal(&error),
    }
}

#[derive(Debug, Deserialize)]
struct Lines {
    #[serde(default = "hundred")]
    lines: usize,
}
fn hundred() -> usize {
    100
}

async fn logs(
    State(edge): State<Edge>,
    UrlPath(service): UrlPath<String>,
    Query(query): Query<Lines>,
) -> Response {
    // The name becomes a part of a path, so nothing but the address of a replica will do.
    let address = service.parse::<ideal_core::address::Address>();
    let is_replica = |address: &ideal_core::address::Address| {
        address.path.0.len() == 1 && address.index.is_some() && address.mount.is_none()
    };
    let Some(address) = address.ok().filter(is_replica) else {
        return (StatusCode::BAD_REQUEST, "the address of a replica is meant, like pub[0]\n").into_response();
    };
    match crate::log::last_lines(&edge.home.service_log(&address.to_string()), query.lines.min(100_000)) {
        Ok(text) => text.into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (StatusCode::NOT_FOUND, "there is no log of it here\n").into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Listens at `socket`. The caller holds the agent's lock, so whatever lies there belongs to nobody alive.
pub(crate) fn listen(socket: &Path) -> io::Result<Listener> {
    let folder = socket.parent().ok_or_else(|| io::Error::other("the socket has no folder"))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let own = rustix::process::geteuid().as_raw();
    let meta = fs::metadata(folder)?;
    if meta.uid() != own {
        return Err(io::Error::other(format!("{} belongs to somebody else", folder.display())));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(Listener { listener, own })
}

/// Lets in this user and root.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    own: u32,
}

impl axum::serve::Listener for Listener {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let peer = stream.peer_cred().map(|peer| peer.uid());
                    if peer.is_ok_and(|uid| uid == self.own || uid == 0) {
                        return (stream, address);
                    }
                }
                // Out of descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
