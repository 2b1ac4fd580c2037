//! Planning: from the text of the file to the text of the plan.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ideal_core::plan::text;
use ideal_core::planner::{decide, forecast};

use crate::cluster::{self, World};
use crate::measure::{apart, best, line, report, say};
use crate::peer;

/// Sizes, in parts.
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];

/// How long a size may take.
fn target(size: usize) -> Option<Duration> {
    match size {
        10_000 => Some(Duration::from_millis(100)),
        100_000 => Some(Duration::from_millis(1500)),
        _ => None,
    }
}

pub(crate) fn bench() -> anyhow::Result<()> {
    let peers = peer::plans()?;
    for what in ["first", "no-op"] {
        let mut before = None;
        for size in SIZES {
            let ours = apart(what, size)?;
            let peer = peers.iter().find(|peer| peer.size == size);
            let peer = peer.and_then(|peer| if what == "first" { Some(peer.first) } else { peer.no_op });
            let mut line = line(&format!("plan {what}"), size, &ours, peer.as_ref(), target(size));
            if let Some(before) = before {
                let growth = ours.time.as_secs_f64() / f64::max(before, 1e-9);
                line += &format!("; {growth:.1} times the size before");
            }
            before = Some(ours.time.as_secs_f64());
            say(&line)?;
        }
    }
    Ok(())
}

/// The first plan of a cluster of which nothing is there.
pub(crate) fn first(parts: usize) -> anyhow::Result<()> {
    measure(parts, &World::empty()?)
}

/// The plan of a cluster that is as it should be.
pub(crate) fn no_op(parts: usize) -> anyhow::Result<()> {
    let ideal = cluster::ideal(&cluster::text(parts, ""))?;
    measure(parts, &World::launched(&ideal)?)
}

fn measure(parts: usize, world: &World) -> anyhow::Result<()> {
    let text = cluster::text(parts, "");
    let (time, steps) = best(|| once(&text, world));
    report(time, steps?)
}

fn once(text: &str, world: &World) -> anyhow::Result<usize> {
    let begin = Instant::now();
    let ideal = cluster::ideal(text)?;
    let read = begin.elapsed();
    let decision = world.with(&ideal, decide)?;
    let decided = begin.elapsed();
    let plan = world.with(&ideal, forecast)?;
    let planned = begin.elapsed();
    let shown = text::render(&ideal, &plan, true);
    let all = begin.elapsed();
    if std::env::var_os("IDEAL_BENCH_DETAIL").is_some() {
        let detail = [
            ("read", read),
            ("decide", decided - read),
            ("forecast", planned - decided),
            ("text", all - planned),
        ];
        let detail = detail.map(|(what, time)| format!("{what} {}", crate::measure::time(time)));
        eprint(&detail.join(", "));
    }
    ensure!(decision.parts == plan.parts, "{} parts are decided and {} planned", decision.parts, plan.parts);
    black_box(shown);
    Ok(plan.steps.len())
}

fn eprint(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
