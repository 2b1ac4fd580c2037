//! Containers of a Docker engine on this node, asked over its socket.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::ground::Ground;

/// Where an engine listens.
const SOCKET: &str = "/run/docker.sock";
/// An engine that takes longer is not waited for: a fact is not worth it.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const LONGEST: u64 = 8 << 20;

/// Every container by name, and how it is; none where there is no engine.
pub(super) async fn all(ground: &dyn Ground) -> BTreeMap<String, String> {
    if !ground.is_machine() {
        return BTreeMap::new();
    }
    match tokio::time::timeout(LIMIT, ask()).await {
        Ok(Ok(answer)) => read(&answer),
        _ => BTreeMap::new(),
    }
}

async fn ask() -> std::io::Result<Vec<u8>> {
    let mut socket = UnixStream::connect(SOCKET).await?;
    // HTTP/1.0, so that the answer comes in one piece and ends with the connection.
    socket.write_all(b"GET /containers/json?all=true HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    socket.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn read(answer: &[u8]) -> BTreeMap<String, String> {
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(&[][..], |at| &answer[at + 4..]);
    let Ok(Value::Array(containers)) = serde_json::from_slice(body) else { return BTreeMap::new() };
    let one = |container: &Value| {
        let name = container["Names"][0].as_str()?.trim_start_matches('/').to_owned();
        Some((name, container["State"].as_str().unwrap_or("unknown").to_owned()))
    };
    containers.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_read() {
        let answer = b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n[{\"Names\": [\"/web\"], \"State\": \"running\"}]";
        assert_eq!(read(answer), BTreeMap::from([("web".to_owned(), "running".to_owned())]));
        assert_eq!(read(b"HTTP/1.0 500 No\r\n\r\nsorry"), BTreeMap::new());
        assert_eq!(read(b""), BTreeMap::new());
    }
}
