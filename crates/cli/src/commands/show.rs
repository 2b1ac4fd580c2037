//! `ideal show`: the effective ideal, each value with where it was said.

use ideal_core::address::Address;
use ideal_core::validate::nearest;
use ideal_file::show::{show, show_text};

use crate::arguments::{Global, Show};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::project::Project;
use crate::render;

pub(crate) fn run(wanted: &Show, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let address = wanted.address.as_deref().map(str::parse::<Address>).transpose();
    let address = address.map_err(|why| Failure::new("bad-address", Exit::BadInput, why.to_string()))?;
    let loaded = Project::open(global.file.as_deref())?.load();
    render::diagnostic::draw(&loaded, output, false);
    let Some(resolved) = &loaded.resolved else { return Ok(Exit::BadInput) };
    let shown = show(resolved, &loaded.map, address.as_ref());
    if let (Some(address), true) = (&address, shown.is_empty()) {
        let all = show(resolved, &loaded.map, None);
        let failure =
            Failure::new("no-such-part", Exit::BadInput, format!("there is no `{address}` in the ideal"));
        let near = nearest(&address.path.to_string(), all.iter().map(|one| one.name.as_str()));
        return Err(match near {
            Some(near) => failure.next(format!("ideal show {near}")),
            None => failure.next("ideal show        lists all"),
        }
        .into());
    }
    if output.is_json() {
        output.document("ideal", &shown)?;
    } else {
        output.result(&show_text(&shown));
    }
    Ok(Exit::Done)
}
