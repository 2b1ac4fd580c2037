//! `ideal recipe run`: a recipe is made right once on some nodes, without being a part of what they are to be.

use std::collections::BTreeMap;
use std::path::Path;

use ideal_api::{LinkError, Reply, Verb, Work, WorkMode};
use ideal_core::id::SlotId;
use ideal_core::planner::seen_by_texts;
use ideal_core::recipe::{Reads, Use};
use ideal_engine::Goods;
use ideal_engine::orders::Answers;
use serde_json::{Map, Value, json};

use crate::arguments::{Global, RecipeRun};
use crate::crew;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::project::Project;
use crate::render;
use crate::render::matrix::Matrix;
use crate::world::{World, wait_for};

/// The cloud that stands for the nodes while the use of the recipe is read. No file has it, and no provider sees it.
const STAND_IN: &str = "recipe-run";
/// Its uuid.
const STAND_IN_UUID: &str = "00000000-0000-4000-8000-000000000001";

pub(crate) fn run(wanted: &RecipeRun, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let slots = crew::slots(&world, &wanted.on)?;
    let Some(first) = slots.first() else {
        let failure = Failure::new("no-such-part", Exit::BadInput, "no node is meant");
        return Err(failure.next("ideal show        lists all").into());
    };
    let Some(uses) = uses(wanted, &world, *first, global, output)? else { return Ok(Exit::BadInput) };
    let reads = uses.iter().fold(Reads::default(), |all, used| all.and(used.reads));
    let routes = world.ideal.services.iter().filter_map(|service| service.spec.route.as_ref());
    let served = routes.filter(|_| reads.routes).flat_map(|route| route.secrets().cloned());
    let names = uses.iter().flat_map(|used| used.secrets.iter().cloned()).chain(served).collect();
    let plugins: BTreeMap<_, _> = uses
        .iter()
        .flat_map(|used| &used.resources)
        .filter_map(|declaration| {
            let name = &declaration.plugin.as_ref()?.uses;
            Some((name.clone(), world.ideal.plugins.get(name)?.clone()))
        })
        .collect();
    let work = Work {
        mode: match wanted.dry_run {
            true => WorkMode::Diagnose { run_checks: false },
            false => WorkMode::Converge,
        },
        only: Vec::new(),
        tags: Vec::new(),
        secrets: world.goods.secrets(&names),
        plugins: plugins.clone(),
        beyond: Default::default(),
        recipes: Some(uses.clone()),
    };
    let files = uses.iter().flat_map(|used| used.files.values()).chain(plugins.values());
    let contents: Vec<String> = files.map(|file| file.hash.clone()).collect();
    wait_for(async {
        let answers = crew::with_engine(&world, wanted.take_over, async |engine| {
            let mut answers = engine.bring(&slots, &contents).await?;
            let ready: Vec<SlotId> =
                slots.iter().copied().filter(|slot| matches!(answers.get(slot), Some(Ok(_)))).collect();
            let beyond = seen_by_texts(&world.ideal, engine.observed(), &engine.seats(), reads);
            answers.extend(engine.tell(&ready, &Verb::Work(Work { beyond, ..work.clone() })).await?);
            Ok(answers)
        })
        .await?;
        tell(&world, &slots, answers, wanted.verbose, output)
    })
}

fn tell(
    world: &World,
    slots: &[SlotId],
    answers: Answers,
    all: bool,
    output: &Output,
) -> anyhow::Result<Exit> {
    let wrong = |answer: Result<Reply, LinkError>| match answer {
        Ok(Reply::Accepted) => Err(LinkError::Unknown { why: "it did not say what came of it".to_owned() }),
        other => other,
    };
    let answers = answers.into_iter().map(|(slot, answer)| (slot, wrong(answer))).collect();
    let told = crew::told(world, slots, answers);
    let matrix = Matrix::of(&told);
    if output.is_json() {
        output.document("recipe-run", matrix.for_scripts())?;
    } else {
        output.result(&format!("{}{}", matrix.render(all), matrix.summary()));
    }
    Ok(matrix.exit())
}

/// The recipe with its options, and those that it uses. None: something is wrong with it, and that was said.
fn uses(
    wanted: &RecipeRun,
    world: &World,
    slot: SlotId,
    global: &Global,
    output: &Output,
) -> anyhow::Result<Option<Vec<Use>>> {
    let mut project = Project::open(global.file.as_deref())?;
    let provider = world.ideal.cloud(slot.cloud).map(|cloud| cloud.provider.clone());
    let given = options(&wanted.set)?;
    let one = if given.is_empty() { json!(wanted.name) } else { json!({&wanted.name: given}) };
    // Read as a cloud of the same file, so that whatever a file may say of a recipe holds here too.
    let file = Path::new(&project.sources.main);
    let included = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let named: Vec<_> = world.ideal.providers.keys().collect();
    let cloud = match provider.filter(|_| named.len() > 1) {
        Some(provider) => json!({"uuid": STAND_IN_UUID, "nodes": 1, "recipes": [one], "provider": provider}),
        None => json!({"uuid": STAND_IN_UUID, "nodes": 1, "recipes": [one]}),
    };
    let text = json!({"ideal": 1, "include": [included], "clouds": {STAND_IN: cloud}});
    let main = file.with_file_name("the command line").to_string_lossy().into_owned();
    project.sources.texts.insert(main.clone(), text.to_string().into_bytes());
    project.sources.main = main;
    let loaded = project.load();
    render::diagnostic::draw(&loaded, output, false);
    let Some(resolved) = loaded.resolved else { return Ok(None) };
    let cloud = resolved.ideal.clouds.iter().find(|cloud| cloud.path.to_string() == STAND_IN);
    Ok(cloud.map(|cloud| cloud.recipes.iter().map(|used| (**used).clone()).collect()))
}

/// `port=8080`: a value is read as JSON where it is some, else it is text.
fn options(set: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut options = Map::new();
    for one in set {
        let Some((name, value)) = one.split_once('=') else {
            let failure =
                Failure::new("bad-flags", Exit::BadInput, format!("`{one}` is no option of a recipe"));
            return Err(failure.next("write --set NAME=VALUE").into());
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        options.insert(name.to_owned(), value);
    }
    Ok(options)
}
