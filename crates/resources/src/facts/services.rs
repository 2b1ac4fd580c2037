//! Services of the system that run: of systemd by its control groups, else by the files in which they note their
//! process. No program is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::ground::Ground;

/// Every service that runs, and how it is.
pub(super) fn running(ground: &dyn Ground) -> BTreeMap<String, String> {
    let mut services = BTreeMap::new();
    if !ground.is_machine() {
        return services;
    }
    for root in ["/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice"] {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(unit) = name.strip_suffix(".service") else { continue };
            let runs =
                fs::read_to_string(entry.path().join("cgroup.procs")).is_ok_and(|text| !text.is_empty());
            if runs {
                services.insert(unit.to_owned(), "running".to_owned());
            }
        }
    }
    if services.is_empty() {
        for entry in fs::read_dir(ground.host_path("/run")).into_iter().flatten().flatten() {
            noted(&entry.path(), &mut services);
        }
    }
    services
}

/// A service that notes its process in `/run/NAME.pid` or `/run/NAME/NAME.pid`.
fn noted(path: &Path, services: &mut BTreeMap<String, String>) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (name, file) = match name.strip_suffix(".pid") {
        Some(name) => (name.to_owned(), path.to_owned()),
        None => (name.clone(), path.join(format!("{name}.pid"))),
    };
    let pid = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    if pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        services.insert(name, "running".to_owned());
    }
}
