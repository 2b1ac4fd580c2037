//! `ideal version`.

use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(output: &Output) -> anyhow::Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    if output.is_json() {
        output.document("version", serde_json::json!({"version": version, "file_format": 1}))?;
    } else {
        output.result(&format!("ideal {version}"));
    }
    Ok(Exit::Done)
}
