//! What must not be forgotten between two lives of the agent: what was done once and for all, and what is owed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ideal_core::resource::Heal;
use ideal_host::durable;
use serde::{Deserialize, Serialize};

/// What is remembered for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Hashes of commands that were run once and for all.
    pub done: BTreeSet<String>,
    /// Who is to be told of a change: the id of a unit or command, and of what changed. Written before the
    /// change, so that a crash between the two tells once too often, never too seldom.
    pub owed: BTreeMap<String, BTreeSet<String>>,
    /// Units, by id, that were stopped so that something could be changed, and are to be started again.
    pub stopped: BTreeSet<String>,
    /// The hash of what was wanted when all of it was first looked at: what is made right after that is drift.
    pub settled: Option<String>,
    /// Free notes of kinds, by label.
    pub notes: BTreeMap<String, String>,
}

impl Ledger {
    fn at(memory: &Path) -> PathBuf {
        memory.join("ledger.json")
    }
    /// As it is on disk; empty when there is none.
    pub fn read(memory: &Path) -> io::Result<Ledger> {
        Ok(durable::read_json(&Ledger::at(memory))?.unwrap_or_default())
    }
    /// Changes it. In force only once it is on disk.
    pub fn change(
        ledger: &RefCell<Ledger>,
        memory: &Path,
        change: impl FnOnce(&mut Ledger),
    ) -> io::Result<()> {
        let mut next = ledger.borrow().clone();
        change(&mut next);
        if *ledger.borrow() == next {
            return Ok(());
        }
        durable::private_dir(memory)?;
        durable::write_json(&Ledger::at(memory), &next)?;
        *ledger.borrow_mut() = next;
        Ok(())
    }
}

/// Where heals are written, one a line.
const HEALS: &str = "heals.jsonl";
/// How large that file may grow before its older half is dropped.
const LIMIT: u64 = 512 << 10;

/// The heals that were remembered, oldest first. A line that a crash left half is passed over.
pub(crate) fn read_heals(memory: &Path) -> io::Result<VecDeque<Heal>> {
    let text = match std::fs::read_to_string(memory.join(HEALS)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        Err(error) => return Err(error),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Adds heals to those that are remembered.
pub(crate) fn append_heals(memory: &Path, heals: &[Heal]) -> io::Result<()> {
    durable::private_dir(memory)?;
    let path = memory.join(HEALS);
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > LIMIT) {
        let all = read_heals(memory)?;
        let kept: Vec<String> =
            all.iter().skip(all.len() / 2).filter_map(|heal| serde_json::to_string(heal).ok()).collect();
        durable::write(&path, format!("{}\n", kept.join("\n")).as_bytes())?;
    }
    // A line that a crash left half ends here, and swallows none of these.
    let mut lines = String::from("\n");
    for heal in heals {
        lines.push_str(&serde_json::to_string(heal)?);
        lines.push('\n');
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(lines.as_bytes())
}
