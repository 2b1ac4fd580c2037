//! Each fault of the bench once, on real nodes with a real engine: after every one there is exactly one of each replica,
//! nothing that belongs to nobody, and no acknowledged write is lost. The bench judges that itself, and fails.

use std::process::Command;

/// Why it cannot be tried here; none: it can.
fn missing() -> Option<&'static str> {
    let knows = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() {
        return Some("an engine of its own needs root");
    }
    if !knows("dockerd") || !knows("docker") {
        return Some("there is no dockerd: install docker.io");
    }
    let ideal = std::path::Path::new(env!("CARGO_BIN_EXE_ideal-bench")).with_file_name("ideal");
    (!ideal.exists()).then_some("the program `ideal` is not built beside this bench: build the workspace")
}

#[test]
fn no_fault_doubles_or_loses_anything() {
    if let Some(why) = missing() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("NOT TESTED: {why}");
        return;
    }
    let mut bench = Command::new(env!("CARGO_BIN_EXE_ideal-bench"));
    let ran = bench.arg("faults").env("IDEAL_BENCH_TIMES", "1").env("RUST_BACKTRACE", "0").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    eprintln!("{said}");
    assert!(said.contains("faults: 10 of them; one of every replica after each"), "{said}");
}
