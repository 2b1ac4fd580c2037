//! A plan as a graph in the DOT language, for pictures.

use std::fmt::Write;

use crate::ideal::Ideal;
use crate::plan::Plan;
use crate::plan::text::{address, is_quiet, sign, words};

/// The plan as DOT: one lane for each part, an arrow from each step to those that come after it.
pub fn render(ideal: &Ideal, plan: &Plan) -> String {
    let mut text = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans\"];\n");
    for (index, planned) in plan.steps.iter().enumerate() {
        if is_quiet(&planned.step.act) {
            continue;
        }
        let color = match sign(planned) {
            '+' => "darkgreen",
            '~' => "navy",
            _ => "firebrick",
        };
        let label = format!("{}\\n{}", words(&planned.step.act), address(ideal, &planned.step.part));
        let tip = planned.step.reason.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "  s{index} [label=\"{label}\", color={color}, tooltip=\"{tip}\"];");
        let shown = |at: &&u32| plan.steps.get(**at as usize).is_some_and(|other| !is_quiet(&other.step.act));
        for before in planned.after.iter().filter(shown) {
            let _ = writeln!(text, "  s{before} -> s{index};");
        }
    }
    text.push_str("}\n");
    text
}
