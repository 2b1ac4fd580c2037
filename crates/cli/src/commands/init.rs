//! `ideal init`: writes a starter file, and never over another.

use std::io::Write;

use ideal_core::id::{CloudId, Name};
use ideal_file::starter;
use uuid::Uuid;

use crate::arguments::Init;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::project::FILE;

pub(crate) fn run(init: &Init, output: &Output) -> anyhow::Result<Exit> {
    let name = Name::new(&init.name).map_err(|why| {
        Failure::new("bad-name", Exit::BadInput, format!("`{}` cannot be a name: {why}", init.name))
    })?;
    let path = if init.dir.as_os_str() == "." { FILE.into() } else { init.dir.join(FILE) };
    let cannot = |error: std::io::Error| {
        let failure = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there already; it was not touched", path.display());
                Failure::new("file-exists", Exit::Failed, message).next("ideal check       looks at it")
            }
            _ => Failure::new(
                "cannot-write",
                Exit::Failed,
                format!("cannot write {}: {error}", path.display()),
            ),
        };
        anyhow::Error::from(failure)
    };
    std::fs::create_dir_all(&init.dir).map_err(cannot)?;
    let text = starter(&name, [(); 3].map(|()| CloudId(Uuid::new_v4())));
    let mut file = std::fs::File::create_new(&path).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)?;
    if output.is_json() {
        output.document("init", serde_json::json!({"file": path}))?;
    } else {
        output
            .result(&format!("wrote {}: a cloud `{name}` with three nodes on this machine", path.display()));
        output.note("next: read it, then `ideal check`, `ideal plan`, `ideal up`");
    }
    Ok(Exit::Done)
}
