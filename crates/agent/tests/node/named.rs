//! Names of replicas elsewhere change often. They are no other wish: what runs, and what waits for a person, stays as it
//! is, and the node says that it is right.

use ideal_api::Verb;
use ideal_core::observed::Machine;
use ideal_core::resource::Declaration;
use ideal_core::slice::hash_with_names;
use serde_json::json;

use crate::bench::{Bench, until};

/// Tells a node the same wish with other names.
async fn tell(bench: &Bench, machine: &Machine, resources: &[Declaration], names: &str) -> String {
    let sleeper = json!({"command": ["sleep", "1000"]});
    let slice = Box::new(bench.slice(resources.to_vec(), vec![("pub", sleeper)]));
    let hash = hash_with_names("wish", names);
    let order = Verb::Apply { slice, hash: hash.clone(), secrets: Default::default() };
    bench.tell(machine, order).await;
    hash
}

#[tokio::test]
async fn other_names_are_no_other_wish() {
    let asks: Declaration =
        serde_json::from_value(json!({"file": {"path": "/a", "content": "good"}, "care": "ask"})).unwrap();
    for resources in [vec![], vec![asks]] {
        let bench = Bench::new();
        let machine = bench.machine().await;
        let hash = tell(&bench, &machine, &resources, "one").await;
        bench.converged(&machine, &hash).await;
        let before = bench.running(&machine).await;
        let file = bench.root(&machine).join("a");
        if !resources.is_empty() {
            std::fs::write(&file, "another").unwrap();
            let asked = async || bench.report(&machine).await.filter(|report| !report.left.is_empty());
            until("a person is asked", 10, asked).await;
        }
        let hash = tell(&bench, &machine, &resources, "two").await;
        let report = bench.converged(&machine, &hash).await;
        assert_eq!(bench.running(&machine).await.pid, before.pid);
        assert_eq!(report.left.len(), resources.len());
        if !resources.is_empty() {
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "another", "nobody was asked");
        }
        bench.terminate(&machine).await;
    }
}
