//! `ideal sim`: plays a seed of the simulation and tells what happened.

use ideal_engine::simulation::{run as play, scenarios, seed_options};
use serde_json::json;

use crate::arguments::Sim;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(wanted: &Sim, output: &Output) -> anyhow::Result<Exit> {
    let (mut scenario, mut options) = seed_options(wanted.seed);
    if let Some(name) = &wanted.scenario {
        let all = scenarios();
        let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
        let names = names.join(", ");
        scenario = all.into_iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let message = format!("there is no scenario `{name}`");
            Failure::new("no-such-part", Exit::BadInput, message).next(format!("one of: {names}"))
        })?;
    }
    options.log = true;
    let result = play(&scenario, &options);
    let exit = if result.violations.is_empty() { Exit::Done } else { Exit::Failed };
    if output.is_json() {
        let data = json!({
            "seed": wanted.seed, "scenario": scenario.name, "log": result.log, "violations": result.violations,
            "trace": format!("{:016x}", result.trace), "boundaries": result.boundaries,
        });
        output.document("sim", data)?;
        return Ok(exit);
    }
    for line in &result.log {
        output.result(line);
    }
    for violation in &result.violations {
        output.problem(&format!("\u{2717} {violation}"));
    }
    output.result(&format!(
        "seed {}, scenario {}: {} events, {} boundaries, trace {:016x}: {}",
        wanted.seed,
        scenario.name,
        result.log.len(),
        result.boundaries,
        result.trace,
        if exit == Exit::Done { "no invariant was broken" } else { "BROKEN" }
    ));
    Ok(exit)
}
