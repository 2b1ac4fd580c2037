//! What runs in a container: one pass over the resources of a file, as rows on standard output.

use std::cell::Cell;
use std::rc::Rc;

use ideal_core::resource::Declaration;
use ideal_resources::keeper::Picked;
use ideal_resources::{Keeper, Machine, Mode, Wanted};
use serde_json::json;

/// The variable that names the mode; the declarations are in [`FILE`].
pub(crate) const MODE: &str = "IDEAL_TEST_MODE";
/// Where the declarations are, as JSON.
pub(crate) const FILE: &str = "/run/ideal-test.json";
/// Begins each line that is a row.
pub(crate) const ROW: &str = "row ";

pub(crate) fn pass_if_asked() {
    let Ok(mode) = std::env::var(MODE) else { return };
    let mode = match mode.as_str() {
        "converge" => Mode::Converge { asked_for: true },
        _ => Mode::Diagnose { run_checks: false },
    };
    let text = std::fs::read(FILE).unwrap();
    let resources: Vec<Declaration> = serde_json::from_slice(&text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let mut keeper = Keeper::new(Rc::new(Machine::new("/var/lib/ideal"))).unwrap();
        let wanted =
            Wanted { hash: blake3::hash(&text).to_hex().to_string(), recipes: Vec::new(), resources };
        let context = json!({"node": {"name": "shop.web[0]", "address": "127.0.0.1", "root": "/"}});
        let prepared = keeper.prepare(&wanted, &context);
        let stop = Cell::new(false);
        let picked = Picked { picked: &|_, _| true, paused: &|_| None, progress: &|_, _| (), stop: &stop };
        keeper.pass(&prepared, mode, picked).await
    });
    for row in rows {
        println!("{ROW}{}", serde_json::to_string(&row).unwrap());
    }
}
