//! Resources across nodes: one line for each resource with how many nodes it is right on, healed on, or not; and
//! below it each reason once, with the nodes that gave it.

use std::collections::BTreeMap;

use ideal_core::resource::{Row, Standing};
use serde_json::{Value as Json, json};

use crate::crew::Told;
use crate::exit::Exit;
use crate::render::words;

/// How many nodes are named with one reason.
const NAMED: usize = 6;

/// All rows of all nodes, put together.
#[derive(Debug)]
pub(crate) struct Matrix<'t> {
    told: &'t Told,
}

/// Why something is not right, and on which nodes.
struct Reason<'r> {
    why: String,
    diff: Option<&'r str>,
    /// What a program said when it failed.
    said: Option<&'r str>,
    nodes: Vec<&'r str>,
}

/// The columns, and which standings each counts.
const COLUMNS: [(&str, &[Standing]); 5] = [
    ("right", &[Standing::Right]),
    ("healed", &[Standing::Healed]),
    ("wrong", &[Standing::Wrong, Standing::Asks, Standing::Suspended]),
    ("failed", &[Standing::Failed, Standing::Blocked]),
    ("other", &[Standing::Waiting, Standing::NotLookedAt, Standing::NotHere, Standing::Paused]),
];

impl<'t> Matrix<'t> {
    pub(crate) fn of(told: &'t Told) -> Matrix<'t> {
        Matrix { told }
    }

    fn rows(&self) -> impl Iterator<Item = (&'t str, &'t Row)> {
        let rows = |(node, rows): &'t (String, Result<Vec<Row>, String>)| {
            rows.iter().flatten().map(move |row| (node.as_str(), row))
        };
        self.told.iter().flat_map(rows)
    }
    fn count(&self, standings: &[Standing]) -> usize {
        self.rows().filter(|(_, row)| standings.contains(&row.standing)).count()
    }
    fn silent(&self) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.told.iter().filter_map(|(node, rows)| Some((node.as_str(), rows.as_ref().err()?.as_str())))
    }
    /// Whether every resource of every node is right.
    pub(crate) fn is_good(&self) -> bool {
        self.silent().next().is_none()
            && self.rows().all(|(_, row)| row.standing.is_good() || row.standing == Standing::NotLookedAt)
    }

    /// The number at the end of a command that was to make things right.
    pub(crate) fn exit(&self) -> Exit {
        if self.count(&[Standing::Failed, Standing::Blocked]) > 0 {
            return Exit::Failed;
        }
        if self.silent().next().is_some() {
            return Exit::Unreachable;
        }
        let left = [Standing::Suspended, Standing::Asks, Standing::Waiting, Standing::Paused];
        if self.count(&left) > 0 { Exit::Suspended } else { Exit::Done }
    }

    /// As text. `all`: also what is right everywhere.
    pub(crate) fn render(&self, all: bool) -> String {
        let mut order: Vec<&str> = Vec::new();
        let mut by_label: BTreeMap<&str, Vec<(&str, &Row)>> = BTreeMap::new();
        for (node, row) in self.rows() {
            let rows = by_label.entry(&row.label).or_default();
            if rows.is_empty() {
                order.push(&row.label);
            }
            rows.push((node, row));
        }
        let shown = |label: &&str| {
            all || by_label[*label]
                .iter()
                .any(|(_, row)| !matches!(row.standing, Standing::Right | Standing::NotHere))
        };
        let labels: Vec<&str> = order.into_iter().filter(shown).collect();
        let mut out = String::new();
        if !labels.is_empty() {
            let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).clamp(8, 60);
            out.push_str(&format!("{:width$}", "resource"));
            COLUMNS.iter().for_each(|(name, _)| out.push_str(&format!("  {name:>6}")));
            out.push('\n');
            for label in labels {
                self.line(label, &by_label[label], width, &mut out);
            }
        }
        for (node, why) in self.silent() {
            out.push_str(&format!("{node}: {why}\n"));
        }
        out
    }

    fn line(&self, label: &str, rows: &[(&str, &Row)], width: usize, out: &mut String) {
        out.push_str(&format!("{:width$}", words::line(label, 60)));
        for (_, standings) in COLUMNS {
            match rows.iter().filter(|(_, row)| standings.contains(&row.standing)).count() {
                0 => out.push_str("       \u{b7}"),
                count => out.push_str(&format!("  {count:>6}")),
            }
        }
        out.push('\n');
        let mut reasons: Vec<Reason<'_>> = Vec::new();
        for (node, row) in
            rows.iter().filter(|(_, row)| !matches!(row.standing, Standing::Right | Standing::NotHere))
        {
            let why = format!("{}: {}", row.standing.word(), row.why.as_deref().unwrap_or("it says no more"));
            let (diff, said) = (row.diff.as_deref(), row.output.as_deref());
            match reasons.iter_mut().find(|other| other.why == why && other.diff == diff) {
                Some(reason) => reason.nodes.push(node),
                None => {
                    let said = said.filter(|_| row.standing == Standing::Failed);
                    reasons.push(Reason { why, diff, said, nodes: vec![node] });
                }
            }
        }
        for Reason { why, diff, said, nodes } in reasons {
            let more = nodes.len().saturating_sub(NAMED);
            let named = nodes[..nodes.len() - more].join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            out.push_str(&format!("  {named}{more}  {}\n", words::line(&why, 300)));
            for line in diff.into_iter().chain(said).flat_map(str::lines) {
                out.push_str(&format!("    | {}\n", words::line(line, 200)));
            }
        }
    }

    /// The last line: `2 nodes, 28 resources: 26 right, 1 healed, 1 failed`.
    pub(crate) fn summary(&self) -> String {
        let total = self.rows().count();
        let mut parts = Vec::new();
        let mut by: BTreeMap<Standing, usize> = BTreeMap::new();
        self.rows().for_each(|(_, row)| *by.entry(row.standing).or_default() += 1);
        parts.extend(by.into_iter().map(|(standing, count)| format!("{count} {}", standing.word())));
        let silent = self.silent().count();
        if silent > 0 {
            parts.push(format!("{} did not answer", words::counted(silent, "node")));
        }
        if parts.is_empty() {
            parts.push("nothing is kept right".to_owned());
        }
        let nodes = words::counted(self.told.len(), "node");
        format!("{nodes}, {}: {}", words::counted(total, "resource"), parts.join(", "))
    }

    /// For scripts.
    pub(crate) fn for_scripts(&self) -> Json {
        let node = |(name, rows): &(String, Result<Vec<Row>, String>)| match rows {
            Ok(rows) => json!({"node": name, "rows": rows}),
            Err(why) => json!({"node": name, "error": why}),
        };
        json!({"good": self.is_good(), "nodes": self.told.iter().map(node).collect::<Vec<_>>()})
    }
}
