//! Crash points: places where a test makes this process die, as if the power had gone.

/// Dies here, without any clean-up, when `IDEAL_CRASH_AT` is `name#k` and this is the `k`-th passing (from 1).
/// Appends the name to the file that `IDEAL_CRASH_TRACE` names, so that a test can learn all points first.
///
/// Put one after every durable sub-step: what a crash can leave behind is exactly what lies between two of them.
#[cfg(debug_assertions)]
pub fn crash_point(name: &str) {
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    static PASSED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = passed.entry(name.to_owned()).or_default();
    *count += 1;
    if let Some(trace) = std::env::var_os("IDEAL_CRASH_TRACE") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(trace);
        let _ = file.and_then(|mut file| writeln!(file, "{name}#{count}"));
    }
    if std::env::var("IDEAL_CRASH_AT").is_ok_and(|at| at == format!("{name}#{count}")) {
        std::process::abort();
    }
}

/// Nothing, in a release.
#[cfg(not(debug_assertions))]
pub fn crash_point(_: &str) {}
