//! The example of every kind, as its reference page shows it, is run: it can be made right, and is right then.

use std::path::Path;

use ideal_core::resource::Resource;
use serde_json::Value;

use crate::bed::Bed;

/// What an example takes for granted, by kind.
const BEFORE: [(&str, &str); 3] = [
    // Debian's own packages, should a case have set them aside.
    (
        "package",
        "for at in /root/sources/*; do
             [ ! -e \"$at\" ] || case \"$at\" in
                 */sources.list) mv \"$at\" /etc/apt/;;
                 *) mv \"$at\" /etc/apt/sources.list.d/;;
             esac
         done; rm -rf /root/sources",
    ),
    ("line", "mkdir -p /etc/ssh; touch /etc/ssh/sshd_config"),
    ("command", "rm -rf /srv/site; mkdir /srv/site; tar czf /site.tgz -C /srv site; rmdir /srv/site"),
];

/// The example in the doc comment of a kind's spec.
fn example(source: &str) -> Option<Value> {
    let (_, after) = source.split_once("/// ```yaml\n")?;
    let (example, _) = after.split_once("/// ```\n")?;
    let line = |line: &str| format!("    {}\n", line.strip_prefix("/// ").unwrap_or_default());
    let lines: String = example.lines().map(line).collect();
    let text = format!(
        "ideal: 1\nclouds:\n  a:\n    uuid: 5f0c6f2e-7d3c-4a53-9f0e-0b7a4a3f6c11\n    resources:\n{lines}"
    );
    let loaded = ideal_file::load(&ideal_file::Sources::one("example.yaml", text.clone()));
    let document = loaded.document.unwrap_or_else(|| panic!("{text}\n{:?}", loaded.diagnostics));
    let cloud = document.clouds.into_values().next()?;
    Some(serde_json::to_value(cloud.resources).unwrap())
}

/// What does not work.
pub(crate) fn all_work(bed: &Bed) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/resource");
    let mut failed = Vec::new();
    for kind in Resource::KINDS {
        // A plugin needs its program; the documents of plugins have an example of their own.
        if *kind == "plugin" {
            continue;
        }
        let source = std::fs::read_to_string(folder.join(format!("{kind}.rs"))).unwrap();
        let example = example(&source).unwrap_or_else(|| panic!("the kind {kind} has no example"));
        let begun = std::time::Instant::now();
        let before = BEFORE.iter().find(|(of, _)| of == kind).map_or(":", |(_, before)| before);
        let tried =
            bed.shell(before).and_then(|_| bed.converges(&example)).and_then(|_| bed.is_right(&example));
        eprintln!("{:?}: the example of {kind}: {:?}", bed.system, begun.elapsed());
        failed.extend(tried.err().map(|error| format!("{:?}, the example of {kind}: {error}", bed.system)));
    }
    failed
}
