//! `ideal converge`: on a node itself, with no engine and no agent. The machine knows which node of the file it is, by
//! the uuid of its cloud; the same file is then as good here as anywhere.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use ideal_core::id::SlotId;
use ideal_core::observed::Observed;
use ideal_core::planner::{Seats, slice_hash, slice_of};
use ideal_core::resource::{Row, Standing};
use ideal_core::secret::Secrets;
use ideal_core::slice::Slice;
use ideal_engine::Goods as _;
use ideal_host::durable::{self, Lock};
use ideal_host::{Home, Identity};
use ideal_resources::facts::{self, Known, Named, Wish};
use ideal_resources::keeper::Picked;
use ideal_resources::prepare::{Item, Prepared};
use ideal_resources::watch::Watch;
use ideal_resources::{Ground, Keeper, Machine, Mode, Pick, Wanted};
use serde_json::{Value, json};

use crate::arguments::{Converge, Global};
use crate::crew::Told;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::goods::{self, ProjectGoods};
use crate::output::Output;
use crate::project::Project;
use crate::render::matrix::Matrix;
use crate::render::{self, words};
use crate::scopes;
use crate::world::wait_for;

/// How often everything is looked at with `--watch`, whatever is noticed.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(30);
/// The same while something is not right, or cannot be watched.
const RESTLESS: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) fn run(wanted: &Converge, global: &Global, output: &Output) -> anyhow::Result<Exit> {
    let home = std::path::absolute(&wanted.home)?;
    let denied = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            let message = format!("{} cannot be written: {error}", home.display());
            anyhow::Error::from(
                Failure::new("denied", Exit::Denied, message)
                    .next("run it as root, or name another folder with --home"),
            )
        }
        _ => anyhow::Error::new(error).context(format!("failed to use {}", home.display())),
    };
    durable::private_dir(&home).map_err(denied)?;
    let lock = Lock::try_take(&home.join("converge.lock")).map_err(denied)?;
    if lock.is_none() {
        let failure = Failure::new("held", Exit::Held, "another `ideal converge` works on this machine now");
        return Err(failure.next("wait until it is done").into());
    }
    let Some((slice, hash, secrets)) = what(wanted, global, output, &home)? else {
        return Ok(Exit::BadInput);
    };
    wait_for(async {
        let machine: Rc<dyn Ground> = Rc::new(Machine::new(home.join("resources")));
        ideal_resources::plugins::install(&*machine, &slice.plugins)
            .context("failed to put a plugin in place")?;
        let keeper = Keeper::new(machine.clone()).context("failed to read what was done before")?;
        let may_ask = !wanted.dry_run || wanted.run_checks;
        let mut here = Here { machine, keeper, slice, hash, secrets, known: Known::default(), may_ask };
        match wanted.watch {
            true => here.watch(wanted, output).await,
            false => here.once(wanted, output).await,
        }
    })
}

/// What this machine is to be: by the ideal file, else by what was brought here.
fn what(
    wanted: &Converge,
    global: &Global,
    output: &Output,
    home: &Path,
) -> anyhow::Result<Option<(Slice, String, Secrets)>> {
    let project = match Project::open(global.file.as_deref()) {
        Ok(project) => project,
        Err(error) if global.file.is_none() && wanted.node.is_none() => {
            let brought =
                ideal_agent::at_hand(&Home::new(home)).context("failed to read what was brought here")?;
            return brought.map(|(hash, slice)| Some((slice, hash, Secrets::new()))).ok_or(error);
        }
        Err(error) => return Err(error),
    };
    let loaded = project.load();
    render::diagnostic::draw(&loaded, output, false);
    let Some(resolved) = loaded.resolved else { return Ok(None) };
    let mut ideal = resolved.ideal;
    let folder = project.main.parent().filter(|folder| !folder.as_os_str().is_empty());
    let declared = loaded.document.map(|document| document.secrets).unwrap_or_default();
    let secrets = goods::secrets(&declared, folder.unwrap_or(Path::new(".")), output);
    ideal.secrets = secrets.revisions;
    let goods = ProjectGoods::new(project.shelf, secrets.values);
    let slot = match &wanted.node {
        Some(text) => {
            let address = scopes::address(text)?;
            let cloud =
                ideal.cloud_at(&address.path).filter(|cloud| address.index.unwrap_or(0) < cloud.nodes);
            let cloud = cloud.ok_or_else(|| {
                let message = format!("there is no node `{text}` in the file");
                Failure::new("no-such-part", Exit::BadInput, message).next("ideal show        lists all")
            })?;
            let slot = SlotId { cloud: cloud.id, index: address.index.unwrap_or(0) };
            durable::write_json(&home.join("whoami.json"), &slot)?;
            slot
        }
        None => whoami(home)?,
    };
    let nothing = Observed::default();
    // Which replicas run where is decided for a whole cluster, not by one machine.
    let seats = Seats::default();
    let Some(slice) = slice_of(&ideal, &nothing, &seats, slot, false) else {
        let message =
            format!("this machine is node {} of cloud {}, which is not in the file", slot.index, slot.cloud);
        return Err(Failure::new("no-such-part", Exit::BadInput, message)
            .next("look whether it is the right file; the uuid of a cloud must never change")
            .next("ideal converge --as ADDR        makes it another node")
            .into());
    };
    let hash = slice_hash(&ideal, &nothing, &seats, slot, false).unwrap_or_default();
    bring(&goods, &slice, &home.join("resources/contents"))?;
    let secrets = goods.secrets(&slice.secrets);
    Ok(Some((slice, hash, secrets)))
}

/// Which node this machine is, as it was remembered or as its provider wrote it down.
fn whoami(home: &Path) -> anyhow::Result<SlotId> {
    let identity: Option<Identity> = durable::read_json(&Home::new(home).identity())?;
    let own: Option<SlotId> = durable::read_json(&home.join("whoami.json"))?;
    let slot = identity.map(|identity| identity.slot).or(own);
    slot.ok_or_else(|| {
        Failure::new("who-am-i", Exit::BadInput, "it is not known which node of the file this machine is")
            .next("ideal converge --as shop.web[0]        says it, once and for all")
            .into()
    })
}

/// Puts the contents that a slice names where resources find them.
fn bring(goods: &ProjectGoods, slice: &Slice, folder: &Path) -> anyhow::Result<()> {
    let files = slice.recipes.iter().flat_map(|used| used.files.values()).chain(slice.plugins.values());
    for file in files {
        let at: PathBuf = folder.join(&file.hash);
        if at.exists() {
            continue;
        }
        durable::private_dir(folder)?;
        let content = goods.content(&file.hash)?.context("a file of a recipe is gone")?;
        durable::write(&at, &content).with_context(|| format!("failed to write {}", at.display()))?;
    }
    Ok(())
}

struct Here {
    machine: Rc<dyn Ground>,
    keeper: Keeper,
    slice: Slice,
    hash: String,
    secrets: Secrets,
    known: Known,
    /// Whether programs of the author may be run to know how things are.
    may_ask: bool,
}

impl Here {
    async fn context(&self) -> Value {
        let place = self.slice.context.clone();
        let mut context = match place {
            Value::Object(context) => context,
            _ => serde_json::Map::new(),
        };
        let wish = Wish { custom: self.may_ask, assets: Vec::<Named>::new(), ..Wish::default() };
        let facts = facts::gather(&*self.machine, &self.known, &wish).await;
        let address = facts.addresses.values().flatten().next().cloned();
        if let Some(Value::Object(node)) = context.get_mut("node") {
            node.insert("root".to_owned(), json!("/"));
            node.entry("address").or_insert_with(|| json!(address.unwrap_or_else(|| "127.0.0.1".to_owned())));
        }
        context.insert("facts".to_owned(), facts.for_texts());
        let secrets = self.secrets.iter().map(|(name, secret)| (name.to_string(), json!(secret.reveal())));
        context.insert("secret".to_owned(), Value::Object(secrets.collect()));
        Value::Object(context)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { hash: &self.hash, recipes: &self.slice.recipes, resources: &self.slice.resources }
    }

    async fn prepared(&mut self) -> Rc<Prepared> {
        let context = self.context().await;
        self.keeper.prepare(self.wanted(), &context)
    }

    async fn once(&mut self, wanted: &Converge, output: &Output) -> anyhow::Result<Exit> {
        let pick = Pick {
            only: wanted.which.only.iter().cloned().collect(),
            tags: wanted.which.tags.iter().cloned().collect(),
        };
        let mode = match wanted.dry_run {
            true => Mode::Diagnose { run_checks: wanted.run_checks },
            false => Mode::Converge { asked_for: true },
        };
        let prepared = self.prepared().await;
        if let Some(label) =
            pick.only.iter().find(|label| !prepared.items.iter().any(|item| item.label == **label))
        {
            let failure =
                Failure::new("no-such-part", Exit::BadInput, format!("there is no resource `{label}` here"));
            return Err(failure.next("ideal converge --dry-run -v        lists all").into());
        }
        let named = !pick.only.is_empty();
        let Some(rows) = self.pass(&prepared, mode, &|_, item| pick.takes(item), named, output).await else {
            return Ok(Exit::Stopped);
        };
        let told: Told = vec![(self.slice.name.clone(), Ok(rows))];
        let matrix = Matrix::of(&told);
        if output.is_json() {
            output.document("convergence", matrix.for_scripts())?;
        } else {
            output.result(&format!("{}{}", matrix.render(wanted.verbose), matrix.summary()));
        }
        Ok(match (wanted.dry_run, matrix.is_good()) {
            (true, false) => Exit::Differs,
            (true, true) => Exit::Done,
            _ => matrix.exit(),
        })
    }

    /// None: Ctrl-C ended it, after the programs under way or at once.
    async fn pass(
        &mut self,
        prepared: &Prepared,
        mode: Mode,
        picked: &dyn Fn(usize, &Item) -> bool,
        named: bool,
        output: &Output,
    ) -> Option<Vec<Row>> {
        let progress = |_: usize, row: &Row| {
            let mark = match row.standing {
                Standing::Healed => "\u{2713}",
                Standing::Failed | Standing::Blocked | Standing::Suspended => "\u{2717}",
                _ => return,
            };
            let why = words::line(row.why.as_deref().unwrap_or_default(), 160);
            output.note(&format!(
                "  {mark} {:<8} {}  {why}",
                row.standing.word(),
                words::line(&row.label, 80)
            ));
        };
        let stop = Cell::new(false);
        let picked = Picked { picked, named, paused: &|_| None, progress: &progress, stop: &stop };
        let mut pass = std::pin::pin!(self.keeper.pass(prepared, mode, picked));
        tokio::select! {
            rows = &mut pass => return Some(rows),
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.set(true);
        output.problem("stopping after the programs under way; Ctrl-C again stops at once");
        tokio::select! {
            _ = pass => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        output.problem("stopped; `ideal converge` goes on");
        None
    }

    async fn watch(&mut self, wanted: &Converge, output: &Output) -> anyhow::Result<Exit> {
        if !wanted.which.only.is_empty() || !wanted.which.tags.is_empty() {
            let failure = Failure::new("bad-flags", Exit::BadInput, "--watch keeps everything right");
            return Err(failure.next("leave --only and --tags away").into());
        }
        output.note("making right what is not, until Ctrl-C");
        let mode = Mode::Converge { asked_for: false };
        let mut places: Option<BTreeSet<usize>> = None;
        let mut watch = Watch::none();
        type Watched = (Rc<Prepared>, BTreeMap<String, BTreeSet<u32>>);
        let mut watched: Option<Watched> = None;
        loop {
            let prepared = self.prepared().await;
            let which = |i: usize, _: &Item| places.as_ref().is_none_or(|these| these.contains(&i));
            if self.pass(&prepared, mode, &which, false, output).await.is_none() {
                return Ok(Exit::Stopped);
            }
            let processes = self.keeper.processes();
            let same = |(before, of): &(Rc<Prepared>, _)| Rc::ptr_eq(before, &prepared) && *of == processes;
            if !watched.as_ref().is_some_and(same) {
                watch = Watch::new(&*self.machine, &prepared, &processes);
                watched = Some((prepared, processes));
                // What changed between the look and the watch is found by another look.
                places = None;
                continue;
            }
            let bad = self.keeper.standings().values().any(|standing| !standing.is_good());
            let pause = if bad || !watch.unwatched().is_empty() { RESTLESS } else { SWEEP };
            places = tokio::select! {
                noticed = watch.noticed() => {
                    if noticed.all {
                        watched = None;
                    }
                    (!noticed.all).then_some(noticed.places)
                }
                () = tokio::time::sleep(pause) => None,
                _ = tokio::signal::ctrl_c() => {
                    output.note("stopped; what is right stays so until somebody changes it");
                    return Ok(Exit::Stopped);
                }
            };
        }
    }
}
