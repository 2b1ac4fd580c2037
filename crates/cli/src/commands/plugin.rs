//! `ideal plugin new`: a small working plugin to begin with.

use crate::arguments::{Global, Plugin, PluginAction};
use crate::exit::Exit;
use crate::output::Output;
use crate::project::Project;
use crate::recipes::PLUGINS;
use crate::write_new::{name_of, write_new};

pub(crate) fn run(wanted: &Plugin, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let PluginAction::New { name } = &wanted.action;
    let name = name_of(name)?;
    let path = Project::open(global.file.as_deref())?.beside(PLUGINS).join(name.as_str());
    write_new(&path, SKELETON.replace("NAME", name.as_str()).as_bytes(), 0o755)?;
    if output.is_json() {
        output.document("plugin", serde_json::json!({"name": name, "file": path}))?;
    } else {
        output.result(&format!("wrote {}", path.display()));
        output.note(&format!(
            "next: read it, then add to a cloud's resources: - plugin: {{use: {name}, key: /srv/greeting, with: {{text: Hello}}}}"
        ));
    }
    Ok(Exit::Done)
}

/// Keeps a file that holds one text. No interpreter but the shell that every node has.
const SKELETON: &str = include_str!("plugin/skeleton.sh");
