//! A node that is a folder, and passes over its resources, each by an agent that has just started.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ideal_core::recipe::Use;
use ideal_core::resource::{Declaration, Row};
use ideal_resources::ground::clean_environment;
use ideal_resources::keeper::Picked;
use ideal_resources::root::Root;
use ideal_resources::{Ground, Keeper, Mode, Wanted};
use serde_json::{Value, json};

/// A node that is a folder.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Ground for Folder {
    fn below(&self, path: &str) -> io::Result<(Root, String)> {
        Ok((Root::open(&self.0.join("root"))?, path.to_owned()))
    }
    fn root(&self) -> PathBuf {
        self.0.join("root")
    }
    fn environment(&self) -> BTreeMap<String, String> {
        clean_environment()
    }
    fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }
    fn is_mount(&self, _: &str) -> bool {
        false
    }
    fn is_machine(&self) -> bool {
        false
    }
}

/// One pass over a list. `stop_after`: broken off after so many rows.
pub(crate) fn pass(at: &Path, resources: &[Value], mode: Mode, stop_after: usize) -> Vec<Row> {
    whole(at, &[], resources, &json!({"vars": {"n": 7}}), mode, stop_after)
}

/// One pass over recipes and a list, with these values for texts.
pub(crate) fn whole(
    at: &Path,
    recipes: &[Use],
    resources: &[Value],
    context: &Value,
    mode: Mode,
    stop_after: usize,
) -> Vec<Row> {
    fs::create_dir_all(at.join("root")).unwrap();
    let resources: Vec<Declaration> = serde_json::from_value(json!(resources)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let keeper = Keeper::new(Rc::new(Folder(at.to_owned()))).unwrap();
        let wanted = Wanted { hash: "text", recipes, resources: &resources };
        let prepared = keeper.prepare(wanted, context);
        let (stop, rows) = (Cell::new(false), Cell::new(0));
        let progress = |_: usize, _: &Row| {
            rows.set(rows.get() + 1);
            stop.set(rows.get() >= stop_after);
        };
        let picked = Picked {
            picked: &|_, _| true,
            named: false,
            paused: &|_| None,
            progress: &progress,
            stop: &stop,
        };
        keeper.pass(&prepared, mode, picked).await
    })
}

pub(crate) const CONVERGE: Mode = Mode::Converge { asked_for: true };
pub(crate) const DIAGNOSE: Mode = Mode::Diagnose { run_checks: true };
pub(crate) const ALL: usize = usize::MAX;
