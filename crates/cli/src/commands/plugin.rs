//! `ideal plugin`: begin one with a small working program, and ask one on nodes.

use ideal_api::{Reply, Verb};
use serde_json::json;

use crate::arguments::{Global, Plugin, PluginAction};
use crate::crew;
use crate::exit::Exit;
use crate::output::Output;
use crate::project::Project;
use crate::recipes::PLUGINS;
use crate::world::{World, wait_for};
use crate::write_new::{name_of, write_new};

pub(crate) fn run(wanted: &Plugin, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    match &wanted.action {
        PluginAction::New { name } => new(name, global, output),
        PluginAction::Ask { label, question, addresses } => ask(label, question, addresses, global, output),
    }
}

/// What the program of a plugin says on each node.
fn ask(
    label: &str,
    question: &str,
    addresses: &[String],
    global: &Global,
    output: &Output,
) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::slots(&world, addresses)?;
    let verb = Verb::Query { label: label.to_owned(), question: question.to_owned() };
    wait_for(async {
        let answers =
            crew::with_engine(&world, false, async |engine| engine.tell(&slots, &verb).await).await?;
        let mut good = false;
        let mut all = Vec::new();
        for (slot, answer) in answers {
            let node = world.ideal.address(slot);
            let answer = match answer {
                Ok(Reply::Answer(answer)) => Ok(*answer),
                Ok(_) => Err("it answered something else".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            good |= answer.is_ok();
            match (&answer, output.is_json()) {
                (Ok(answer), true) => all.push(json!({"node": node, "answer": answer})),
                (Err(why), true) => all.push(json!({"node": node, "error": why})),
                (Ok(answer), false) => output.result(&format!("{node}  {answer}")),
                (Err(why), false) => output.problem(&format!("\u{2717} {node}: {why}")),
            }
        }
        if output.is_json() {
            output.document("answers", all)?;
        }
        Ok(if good { Exit::Done } else { Exit::Failed })
    })
}

fn new(name: &str, global: &Global, output: &Output) -> anyhow::Result<Exit> {
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
