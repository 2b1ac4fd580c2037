//! A check of a replica by a program in its container.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::engine::EngineError;
use crate::engine::frames::Frames;
use crate::engine::program;
use crate::node::Node;

/// How much of what a check says is kept: its end, where the reason is.
const KEPT: usize = 4 << 10;

/// Runs a program in a container. The error of the inner answer is why it failed, that of the outer one that the
/// engine could not be asked.
pub(crate) async fn run(
    node: &Node,
    container: &str,
    argv: &[String],
    limit: Duration,
) -> Result<Result<(), String>, EngineError> {
    let engine = &node.containers.engine;
    let name = argv.first().cloned().unwrap_or_default();
    let body = json!({"Cmd": argv, "AttachStdout": true, "AttachStderr": true});
    let made = engine.post(&format!("/containers/{container}/exec"), Some(&body)).await?;
    let made = match made.good("run the check") {
        Ok(made) => made,
        // It is held still, or was removed.
        Err(EngineError::Said(why)) => return Ok(Err(why)),
        Err(silent) => return Err(silent),
    };
    let id = made.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let run = async {
        let begin = json!({"Detach": false, "Tty": false});
        let path = format!("/exec/{id}/start");
        let mut stream = engine.open(Method::POST, &path, Some(&begin), None, "run the check").await?;
        let (mut frames, mut said) = (Frames::default(), Vec::new());
        while let Some(part) = stream.next().await? {
            frames.add(&part);
            while let Some(text) = frames.next().map_err(EngineError::Said)? {
                said.extend_from_slice(&text);
                let surplus = said.len().saturating_sub(KEPT);
                said.drain(..surplus);
            }
        }
        let ended = engine.get(&format!("/exec/{id}/json")).await?.good("tell how the check ended")?;
        Ok((ended.get("ExitCode").and_then(Value::as_i64), said))
    };
    match tokio::time::timeout(limit, run).await {
        Ok(Ok((Some(0), _))) => Ok(Ok(())),
        Ok(Ok((code, said))) => {
            let said = String::from_utf8_lossy(&said);
            let last =
                said.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim()));
            let code = code.map_or_else(|| "without a code".to_owned(), |code| format!("with {code}"));
            Ok(Err(format!("{name} ended {code}{}", last.unwrap_or_default())))
        }
        Ok(Err(EngineError::Said(why))) => Ok(Err(why)),
        Ok(Err(silent)) => Err(silent),
        Err(_) => {
            program::kill(engine, container, &id).await;
            Ok(Err(format!("{name} took longer than {limit:?} and was killed")))
        }
    }
}
