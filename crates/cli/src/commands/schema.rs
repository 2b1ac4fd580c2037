//! `ideal schema`: for editors and other people's tools.

use crate::arguments::{Schema, SchemaOf};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(wanted: &Schema, output: &Output) -> anyhow::Result<Exit> {
    let schema = match wanted.of {
        SchemaOf::File => ideal_file::schema(),
        SchemaOf::Recipe => ideal_file::recipe_schema(),
        SchemaOf::Facts => ideal_file::facts_schema(),
        SchemaOf::Plugin => ideal_file::plugin_schema(),
    };
    output.result(&serde_json::to_string_pretty(&schema)?);
    Ok(Exit::Done)
}
