//! `ideal services scale`: another number of replicas, in the file first, for the file is what is wanted.

use ideal_core::demand::{Ending, Scope, State};
use ideal_core::planner::Consent;
use ideal_file::{Scaled, load, scale};
use serde_json::json;

use crate::arguments::{Global, ServicesScale};
use crate::ask::{self, Losses};
use crate::commands::up;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::project::Project;
use crate::render::{self, words};
use crate::replicas;
use crate::world::{World, wait_for};

/// One line of a file, before and after.
struct Edit {
    at: String,
    before: Option<String>,
    after: String,
}

pub(crate) fn run(wanted: &ServicesScale, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::read(global, output)? else { return Ok(Exit::BadInput) };
    let (_, service) = replicas::service(&world.ideal, &wanted.service)?;
    let (name, was) = (service.name.clone(), service.replicas);
    if was == wanted.replicas && wanted.up {
        return pursue(wanted, global, output);
    }
    if was == wanted.replicas {
        output
            .result(&format!("the file wants {} of {name} already", words::counted(was as usize, "replica")));
        return Ok(Exit::Done);
    }
    let Some(edit) = write(global, &name, wanted.replicas, output)? else { return Ok(Exit::BadInput) };
    if output.is_json() && !wanted.up {
        let Edit { at, before, after } = &edit;
        let data = json!({"service": name, "from": was, "to": wanted.replicas, "at": at, "before": before, "after": after});
        output.document("scaled", data)?;
        return Ok(Exit::Done);
    }
    output.note(&edit.at);
    if let Some(before) = &edit.before {
        output.note(&format!("  - {before}"));
    }
    output.note(&format!("  + {}", edit.after));
    if wanted.up {
        return pursue(wanted, global, output);
    }
    output.result(&format!(
        "the file wants {} of {name}, and wanted {was}; ideal up applies it",
        wanted.replicas
    ));
    Ok(Exit::Done)
}

/// Writes the number into whichever file has the service, once it is known that the whole is good with it. None: it
/// would not be, and that was said.
fn write(
    global: &Global,
    name: &ideal_core::id::Name,
    replicas: u32,
    output: &Output,
) -> anyhow::Result<Option<Edit>> {
    let project = Project::open(global.file.as_deref())?;
    for (source, bytes) in &project.sources.texts {
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        let (text, line, before, after) = match scale(text, name.as_str(), replicas) {
            Scaled::NotHere => continue,
            Scaled::NotPlain { line } => return Err(by_hand(source, line, name, replicas).into()),
            Scaled::Written { text, line, before, after } => (text, line, before, after),
        };
        let mut sources = project.sources.clone();
        sources.texts.insert(source.clone(), text.clone().into_bytes());
        let loaded = load(&sources);
        let Some(resolved) = &loaded.resolved else {
            render::diagnostic::draw(&loaded, output, false);
            output.problem(&format!(
                "nothing was written: with {replicas} of {name} the file would not be good"
            ));
            return Ok(None);
        };
        let is_so = resolved.ideal.services.iter().any(|own| own.name == *name && own.replicas == replicas);
        if !is_so {
            return Err(by_hand(source, line, name, replicas).into());
        }
        project.replace(source, text.as_bytes())?;
        return Ok(Some(Edit { at: format!("{source}:{line}"), before, after }));
    }
    let main = &project.sources.main;
    Err(by_hand(main, 1, name, replicas).into())
}

fn by_hand(source: &str, line: usize, name: &ideal_core::id::Name, replicas: u32) -> Failure {
    let message = format!("`replicas` of {name} is not written as a plain number: {source}:{line}");
    let failure = Failure::new("not-plain", Exit::BadInput, message);
    failure.next(format!("write `replicas: {replicas}` there by hand, then ideal up"))
}

/// As `ideal up` of the cloud that the service is on.
fn pursue(wanted: &ServicesScale, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let (_, service) = replicas::service(&world.ideal, &wanted.service)?;
    let covered: Vec<Scope> = service.clouds.iter().map(|cloud| Scope::Cloud(*cloud)).collect();
    let pursuit = &wanted.pursuit;
    wait_for(async {
        let glance = world.glance().await?;
        // What is up already need not be demanded anew.
        let demands = &glance.standing.demands;
        let is_up = demands.of_cloud(service.cloud) == Some(State::Launched) && !demands.is_hold();
        let demand = (!is_up).then(|| (covered.clone(), State::Launched, Ending::No));
        let wished = match &demand {
            Some((scopes, state, ending)) => crate::scopes::demands_if(&glance, scopes, *state, *ending),
            None => demands.clone(),
        };
        let plan = glance.plan(&wished, &Consent::default());
        let losses = Losses::of(&glance, &wished, &plan);
        up::show(&world, &plan, output);
        if !ask::agree(&losses, &world.name(), &up::agreed(pursuit), output)? {
            return Ok(Exit::Failed);
        }
        let what = format!("services scale {} {}", wanted.service, wanted.replicas);
        let errand = crate::errand::Errand {
            demand,
            ..up::with_flags(&what, losses.consent(Consent::default()), pursuit)
        };
        let pursued = errand.run(&world, output).await?;
        let met = format!(
            "{} has {}   {}",
            wanted.service,
            words::counted(wanted.replicas as usize, "replica"),
            words::span(pursued.took)
        );
        pursued.tell(&world, output, "ideal up", &met)
    })
}
