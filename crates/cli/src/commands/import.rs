//! `ideal import`: the file of an older system, as an ideal file. It is printed, or written where no file is yet; what
//! could not be carried over is said on standard error, and stands in the text as comments.

use std::io::Read;
use std::path::Path;

use ideal_core::id::{CloudId, Name};
use ideal_file::import::{Format, import};
use ideal_file::{MOST_BYTES, Sources, load};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::arguments::{Import, ImportFormat};
use crate::commands::check::exit_of;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::render;
use crate::write_new::{name_of, write_new};

pub(crate) fn run(wanted: &Import, output: &Output) -> anyhow::Result<Exit> {
    let (format, from) = match &wanted.format {
        ImportFormat::Wucluster { from } => (Format::Wucluster, from),
        ImportFormat::Cloudera { from, name } => {
            (Format::Cloudera(cluster(name.as_deref(), &from.old)?), from)
        }
    };
    let old = from.old.display();
    let bytes = read(&from.old).map_err(|error| {
        Failure::new("cannot-read", Exit::BadInput, format!("cannot read {old}: {error}"))
            .next("name the older file, or - for standard input")
    })?;
    let imported = import(&format, &bytes, || CloudId(Uuid::new_v4())).map_err(|why| {
        let failure = Failure::new("not-imported", Exit::BadInput, format!("{old}: {why}"));
        why.help.into_iter().fold(failure, Failure::next)
    })?;
    // What an older system allowed, such as two volumes at one place, may be a mistake here: said at once.
    let name = from.to.as_deref().map_or("ideal.yaml".to_owned(), |to| to.display().to_string());
    let loaded = load(&Sources::one(name, imported.text.clone()));
    if let Some(to) = &from.to {
        write_new(to, imported.text.as_bytes(), 0o644)?;
    }
    if output.is_json() {
        let remarks: Vec<Json> =
            imported.remarks.iter().map(|one| json!({"line": one.line, "text": one.text})).collect();
        let text = from.to.is_none().then_some(&imported.text);
        output.document(
            "import",
            json!({
                "file": from.to, "text": text, "remarks": remarks,
                "problems": render::diagnostic::verdict(&loaded)["problems"], "good": loaded.is_good(),
            }),
        )?;
        return Ok(exit_of(&loaded));
    }
    for remark in &imported.remarks {
        let line = if remark.line > 0 { format!(":{}", remark.line) } else { String::new() };
        output.problem(&format!("{old}{line}: {}", remark.text));
    }
    render::diagnostic::draw(&loaded, output, from.to.is_some());
    match &from.to {
        Some(to) => {
            output.result(&format!("wrote {}", to.display()));
            output.note("next: read it, then `ideal check`, `ideal plan`");
        }
        None => output.result(&imported.text),
    }
    Ok(exit_of(&loaded))
}

/// One byte more than may be, so that too much is seen to be too much.
fn read(old: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MOST_BYTES as u64 + 1;
    if old.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(old)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The name of a cluster of which the file says none.
fn cluster(name: Option<&str>, old: &Path) -> anyhow::Result<Name> {
    if let Some(name) = name {
        return name_of(name);
    }
    let file = old.file_name().map(|name| name.to_string_lossy().to_lowercase().replace('_', "-"));
    let name = file.as_deref().and_then(|name| name.strip_prefix("ec2-storage-")?.strip_suffix(".json"));
    name.and_then(|name| Name::new(name).ok()).ok_or_else(|| {
        let message = format!("{} does not say how the cluster is called", old.display());
        Failure::new("no-name", Exit::BadInput, message).next("ideal import cloudera FILE --name NAME").into()
    })
}
