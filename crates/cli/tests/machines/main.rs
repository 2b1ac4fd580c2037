//! Resources on real systems: a Debian with systemd as process 1 and one without, each in a container of an engine
//! that is started for this and ends with it.
//!
//! Each case goes the whole way: from nothing, looked at without a change, made right, right at once, from wrong,
//! taken away, and dead at each point at which power could fail. The tree is compared before and after whatever
//! may change nothing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells how far it came"
)]

mod bed;
mod cases;
mod drift;
mod examples;
mod failures;
mod recipes;
mod story;

use bed::{Bed, System};

/// Every case on one system.
fn all_cases(system: System) {
    let Some(bed) = Bed::start(system) else { return };
    let mut failed = Vec::new();
    // Part of a name, for who works on one case.
    let only = std::env::var("IDEAL_TEST_CASE").unwrap_or_default();
    for case in cases::all(system).into_iter().filter(|case| case.name.contains(&only)) {
        failed.extend(story::told(&bed, &case).err());
    }
    failed.extend(failures::all_are_told(&bed, &only));
    if only.is_empty() || only == "examples" {
        failed.extend(examples::all_work(&bed));
    }
    if system == System::Systemd && "recipes".contains(only.as_str()) {
        failed.extend(recipes::serve_and_are_mended(&bed).err().map(|error| format!("recipes: {error}")));
    }
    assert!(failed.is_empty(), "{} of the cases failed:\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn with_systemd() {
    all_cases(System::Systemd);
}

#[test]
fn without_systemd() {
    all_cases(System::Plain);
}
