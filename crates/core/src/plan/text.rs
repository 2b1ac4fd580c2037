//! A plan as text for people: one line a step, each with its reason; then what waits, and a count.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::id::CloudId;
use crate::ideal::Ideal;
use crate::plan::{Act, Danger, Part, Plan, Planned, Waiting};

/// How a part is called: by the present name of its cloud.
pub fn address(ideal: &Ideal, part: &Part) -> String {
    match &part.mount {
        None => ideal.address(part.slot),
        Some(mount) => format!("{}:{mount}", ideal.address(part.slot)),
    }
}

/// The addresses of many parts: the name of each cloud is looked up and written once.
struct Addresses<'a> {
    ideal: &'a Ideal,
    paths: BTreeMap<CloudId, String>,
}

impl<'a> Addresses<'a> {
    fn new(ideal: &'a Ideal) -> Addresses<'a> {
        let paths = ideal.clouds.iter().map(|cloud| (cloud.id, cloud.path.to_string()));
        Addresses { ideal, paths: paths.collect() }
    }

    fn of(&self, part: &Part) -> String {
        match (self.paths.get(&part.slot.cloud), &part.mount) {
            (None, _) => address(self.ideal, part),
            (Some(path), None) => format!("{path}[{}]", part.slot.index),
            (Some(path), Some(mount)) => format!("{path}[{}]:{mount}", part.slot.index),
        }
    }
}

/// What a step does, in words: `restore volume`, `end machine`.
pub fn words(act: &Act) -> String {
    match act {
        Act::RunHook { hook, .. } => format!("ask hook {}", hook.word()),
        Act::Apply { quiet: true, .. } => "stop services".to_owned(),
        Act::Retire { .. } => "retire volume".to_owned(),
        Act::Grow { .. } => "grow volume".to_owned(),
        Act::Prune { .. } => "delete snapshot".to_owned(),
        other => other.verb().replace('-', " "),
    }
}

/// `+` makes, `~` changes, `-` ends.
pub fn sign(planned: &Planned) -> char {
    match (&planned.step.act, planned.step.danger) {
        (Act::CreateMachine { .. } | Act::CreateVolume { .. } | Act::Seal { .. } | Act::Backup { .. }, _) => {
            '+'
        }
        (_, Danger::None) => '~',
        _ => '-',
    }
}

/// How many steps make, change and end, mirrors left out.
pub fn counts(plan: &Plan) -> (usize, usize, usize) {
    let mut counts = (0, 0, 0);
    for planned in plan.steps.iter().filter(|planned| !is_quiet(&planned.step.act)) {
        match sign(planned) {
            '+' => counts.0 += 1,
            '~' => counts.1 += 1,
            _ => counts.2 += 1,
        }
    }
    counts
}

/// Steps that are book-keeping: shown with `-v` only.
pub fn is_quiet(act: &Act) -> bool {
    matches!(act, Act::Mirror { .. })
}

/// Above this many steps, the lines of a cloud are summed up.
const MOST_LINES: usize = 120;

/// The plan, whole (`verbose`), or with long clouds summed up.
pub fn render(ideal: &Ideal, plan: &Plan, verbose: bool) -> String {
    let mut text = String::new();
    let shown: Vec<&Planned> =
        plan.steps.iter().filter(|planned| verbose || !is_quiet(&planned.step.act)).collect();
    if shown.len() > MOST_LINES && !verbose {
        sum_up(&mut text, ideal, &shown);
    } else {
        lines(&mut text, ideal, &shown);
    }
    for waiting in &plan.waiting {
        let _ = writeln!(text, "  {}", waiting_line(ideal, waiting));
    }
    for note in &plan.notes {
        let _ = writeln!(text, "  i  {note}");
    }
    if plan.right > 0 {
        let _ = writeln!(text, "  =  {} of {} parts already as wanted", plan.right, plan.parts);
    }
    let _ = writeln!(text, "{}", verdict(plan));
    text
}

/// One waiting part as a line.
pub fn waiting_line(ideal: &Ideal, waiting: &Waiting) -> String {
    let mark = if waiting.overdue || waiting.cause.needs_person() { '!' } else { '.' };
    format!("{mark}  {:<22} {}", address(ideal, &waiting.part), waiting.cause)
}

fn lines(text: &mut String, ideal: &Ideal, shown: &[&Planned]) {
    let addresses = Addresses::new(ideal);
    for planned in shown {
        let address = addresses.of(&planned.step.part);
        let words = words(&planned.step.act);
        let _ = writeln!(text, "  {}  {words:<16} {address:<22} {}", sign(planned), planned.step.reason);
    }
}

fn sum_up(text: &mut String, ideal: &Ideal, shown: &[&Planned]) {
    let addresses = Addresses::new(ideal);
    let mut counts: BTreeMap<(String, u32, String, char), usize> = BTreeMap::new();
    for planned in shown {
        let address = addresses.of(&planned.step.part);
        let cloud = address.split('[').next().unwrap_or_default().to_owned();
        let key = (cloud, planned.round, words(&planned.step.act), sign(planned));
        *counts.entry(key).or_default() += 1;
    }
    for ((cloud, _, words, sign), count) in counts {
        let _ = writeln!(text, "  {sign}  {words:<16} {cloud:<22} {count} times   (-v lists them)");
    }
}

/// The last line: how much of what, and whether data is destroyed.
pub fn verdict(plan: &Plan) -> String {
    let (made, changed, ended) = counts(plan);
    if made + changed + ended == 0 {
        return match plan.waiting.len() {
            0 => "nothing to do: all is as demanded".to_owned(),
            1 => "nothing can be done: 1 part waits".to_owned(),
            n => format!("nothing can be done: {n} parts wait"),
        };
    }
    let data = plan.steps.iter().filter(|planned| planned.step.danger == Danger::EndsData).count();
    let data = match data {
        0 => "no data is destroyed".to_owned(),
        1 => "DATA IS DESTROYED by 1 step".to_owned(),
        n => format!("DATA IS DESTROYED by {n} steps"),
    };
    let old = plan.steps.iter().filter(|planned| planned.step.danger == Danger::EndsOldSnapshot).count();
    let data = match old {
        0 => data,
        1 => format!("{data} · 1 old snapshot goes"),
        n => format!("{data} · {n} old snapshots go"),
    };
    let waits = match plan.waiting.len() {
        0 => String::new(),
        n => format!(" · {n} waiting"),
    };
    format!("{made} to make · {changed} to change · {ended} to end{waits} · {data}")
}
