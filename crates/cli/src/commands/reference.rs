//! `ideal reference FOLDER`: the reference pages of resources, from the comments and types of the program itself.

use crate::arguments::Reference;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(wanted: &Reference, output: &Output) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&wanted.folder)?;
    for (name, text) in ideal_file::reference::pages() {
        let path = wanted.folder.join(name);
        std::fs::write(&path, text)?;
        output.note(&format!("wrote {}", path.display()));
    }
    Ok(Exit::Done)
}
