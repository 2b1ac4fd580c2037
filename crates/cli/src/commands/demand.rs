//! `ideal demand`: what is demanded; or another demand, recorded and not pursued.

use ideal_core::demand::{Ending, Scope, State};
use ideal_engine::Engine;
use ideal_engine::progress::Silent;
use serde_json::json;

use crate::arguments::{Demand, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::scopes;
use crate::world::{World, settings, wait_for};

pub(crate) fn run(wanted: &Demand, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let Some(world) = World::open(global, output)? else { return Ok(Exit::BadInput) };
    let Some(text) = &wanted.address else {
        let glance = wait_for(world.glance())?;
        world.sweep();
        let standing = &glance.standing;
        let (words, how) = (scopes::words(&world.ideal, &standing.demands), scopes::how(standing.how));
        if output.is_json() {
            let (epoch, count) = standing.demands.version();
            let data = json!({"demanded": words, "known": how, "epoch": epoch, "count": count});
            output.document("demand", data)?;
        } else {
            output.result(&format!("{}: {words} ({how})", world.name()));
        }
        return Ok(Exit::Done);
    };
    // `ideal demand away` is of everything.
    let (covered, state) = match (text.parse::<State>(), wanted.state) {
        (_, Some(state)) => (scopes::of(&world.ideal, std::slice::from_ref(text))?, state),
        (Ok(state), None) => (vec![Scope::Whole], state),
        (Err(why), None) => return Err(Failure::new("bad-state", Exit::BadInput, why.to_string()).into()),
    };
    wait_for(async {
        let outside = world.outside_to_act(std::rc::Rc::new(Silent))?;
        let settings = settings(false);
        let failure = |error| world.engine_failure(error);
        let mut engine = Engine::open(outside, world.ideal.clone(), settings).await.map_err(failure)?;
        engine.demand(&covered, state, Ending::No).await.map_err(failure)?;
        let words = scopes::words(&world.ideal, &engine.standing().demands);
        engine.release().await.map_err(failure)?;
        if output.is_json() {
            output.document("demand", json!({"demanded": words, "known": "recorded"}))?;
        } else {
            output.result(&format!("{}: {words} (recorded)", world.name()));
            output.note("nothing was done about it; `ideal plan` shows what would be, `ideal heal` does it");
        }
        Ok(Exit::Done)
    })
}
