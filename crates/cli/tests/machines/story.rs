//! What every case goes through.

use std::collections::BTreeSet;

use ideal_core::resource::{Row, Standing};
use serde_json::{Value, json};

use crate::bed::{Bed, FILE};

/// One thing to be kept right.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What must be there before.
    pub(crate) before: &'static str,
    /// What is declared.
    pub(crate) wanted: Value,
    /// Fails unless it is right.
    pub(crate) right: &'static str,
    /// Makes it wrong; empty: it cannot be.
    pub(crate) spoil: &'static str,
    /// What is declared to be rid of it.
    pub(crate) gone: Value,
    /// Fails unless it is gone.
    pub(crate) away: &'static str,
    /// Whether it is told what happens when it dies at each point at which power could fail.
    pub(crate) dies: bool,
}

/// Everything that a change would show in, but what the system itself changes all the time, the marks of those who
/// read the database of rpm, and our own memory.
const WALK: &str = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/log \
                    -o -path /var/lib/systemd -o -path /var/lib/ideal -o -name 'rpmdb.sqlite-*' \\) -prune -o -printf \
                    '%p %y %m %U %G %s %T@ %C@ %l\\n' | sort";

/// Lines of one text that are not in the other.
fn differing(before: &str, after: &str) -> Vec<String> {
    let (one, other): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), after.lines().collect());
    one.symmetric_difference(&other).take(12).map(|line| (*line).to_owned()).collect()
}

fn rows(output: &std::process::Output) -> Option<Vec<Row>> {
    let document: Value = serde_json::from_slice(&output.stdout).ok()?;
    serde_json::from_value(document["data"]["nodes"][0]["rows"].clone()).ok()
}

fn told_of(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let output = row.output.as_deref().unwrap_or_default();
        format!(
            "  {}: {} {} {output}",
            row.label,
            row.standing.word(),
            row.why.as_deref().unwrap_or_default()
        )
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Bed {
    /// One pass.
    pub(crate) fn pass(&self, mode: &str, wanted: &Value) -> Result<Vec<Row>, String> {
        self.declare(wanted)?;
        let arguments: &[&str] = if mode == "diagnose" { &["--dry-run"] } else { &[] };
        let output = self.ideal(arguments, &[]);
        rows(&output).ok_or_else(|| {
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            format!("{mode}: {}\n{out}{err}", output.status)
        })
    }

    fn declare(&self, wanted: &Value) -> Result<(), String> {
        // Nodes of `local` are no machines; of which provider this one is matters to nobody here.
        let file = json!({"ideal": 1, "providers": {"there": "sim"}, "clouds": {"a": {
            "uuid": "5f0c6f2e-7d3c-4a53-9f0e-0b7a4a3f6c11", "provider": "there", "nodes": 1, "resources": wanted,
        }}});
        let text = file.to_string().replace('\'', "'\\''");
        self.shell(&format!("printf %s '{text}' > {FILE}")).map(|_| ())
    }

    /// A pass after which all is well; whether anything was changed.
    pub(crate) fn converges(&self, wanted: &Value) -> Result<bool, String> {
        let rows = self.pass("converge", wanted)?;
        if rows.iter().all(|row| row.standing.is_good()) {
            return Ok(rows.iter().any(|row| row.standing == Standing::Healed));
        }
        Err(format!("not all was made right:\n{}", told_of(&rows)))
    }

    /// A pass that changes nothing and finds all right.
    pub(crate) fn is_right(&self, wanted: &Value) -> Result<(), String> {
        for mode in ["converge", "diagnose"] {
            let before = self.shell(WALK)?;
            let rows = self.pass(mode, wanted)?;
            let after = self.shell(WALK)?;
            let fine = |row: &Row| match row.standing {
                Standing::Right | Standing::NotHere => true,
                Standing::NotLookedAt => mode == "diagnose",
                _ => false,
            };
            if !rows.iter().all(fine) {
                return Err(format!("a second {mode} found:\n{}", told_of(&rows)));
            }
            if before != after {
                return Err(format!("a second {mode} changed:\n{}", differing(&before, &after).join("\n")));
            }
        }
        Ok(())
    }

    /// A look that finds something wrong and changes nothing.
    fn is_wrong(&self, wanted: &Value) -> Result<(), String> {
        let before = self.shell(WALK)?;
        let rows = self.pass("diagnose", wanted)?;
        let after = self.shell(WALK)?;
        if before != after {
            return Err(format!("a diagnosis changed:\n{}", differing(&before, &after).join("\n")));
        }
        if rows.iter().all(|row| row.standing.is_good()) {
            return Err(format!("a diagnosis found nothing wrong:\n{}", told_of(&rows)));
        }
        Ok(())
    }

    /// Dies at this point.
    pub(crate) fn dies_at(&self, wanted: &Value, point: &str) -> Result<(), String> {
        self.declare(wanted)?;
        let output = self.ideal(&[], &[("IDEAL_CRASH_AT", point)]);
        // 128 and the number of SIGABRT.
        if output.status.code() == Some(134) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Err(format!("it did not die at {point}: {}\n{said}", output.status))
    }

    /// Dies at each point at which power could fail, and comes to the same end each time.
    fn dies_everywhere(&self, case: &Case) -> Result<usize, String> {
        const TRACE: &str = "/run/ideal-test-points";
        self.shell(&format!("rm -f {TRACE}"))?;
        self.declare(&case.wanted)?;
        self.ideal(&[], &[("IDEAL_CRASH_TRACE", TRACE)]);
        let points = self.shell(&format!("cat {TRACE}"))?;
        for point in points.lines() {
            let at = |error: String| format!("killed at {point}: {error}");
            self.converges(&case.gone).map_err(at)?;
            self.shell(case.before).map_err(at)?;
            self.dies_at(&case.wanted, point).map_err(at)?;
            self.converges(&case.wanted).map_err(at)?;
            self.shell(case.right).map_err(at)?;
            if self.converges(&case.wanted).map_err(at)? {
                return Err(at("it was not right after it was made right".to_owned()));
            }
        }
        Ok(points.lines().count())
    }
}

/// The whole story of one case.
pub(crate) fn told(bed: &Bed, case: &Case) -> Result<(), String> {
    let begun = std::time::Instant::now();
    let step = |step: &str| {
        let step = step.to_owned();
        move |error: String| format!("{:?}, {}, {step}: {error}", bed.system, case.name)
    };
    bed.shell(case.before).map_err(step("before"))?;
    bed.is_wrong(&case.wanted).map_err(step("from nothing"))?;
    bed.converges(&case.wanted).map_err(step("from nothing"))?;
    bed.shell(case.right).map_err(step("from nothing"))?;
    bed.is_right(&case.wanted).map_err(step("from right"))?;
    if !case.spoil.is_empty() {
        bed.shell(case.spoil).map_err(step("spoiled"))?;
        bed.is_wrong(&case.wanted).map_err(step("from wrong"))?;
        bed.converges(&case.wanted).map_err(step("from wrong"))?;
        bed.shell(case.right).map_err(step("from wrong"))?;
    }
    bed.converges(&case.gone).map_err(step("to be gone"))?;
    bed.shell(case.away).map_err(step("to be gone"))?;
    bed.is_right(&case.gone).map_err(step("gone"))?;
    let mut points = 0;
    if case.dies {
        bed.shell(case.before).map_err(step("before dying"))?;
        points = bed.dies_everywhere(case).map_err(step("dying"))?;
        bed.converges(&case.gone).map_err(step("gone at last"))?;
    }
    eprintln!("{:?}: {}: right, dead at {points} points, {:?}", bed.system, case.name, begun.elapsed());
    Ok(())
}
