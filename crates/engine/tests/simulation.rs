//! The simulation gate: the real engine and the real journal on the simulated cloud.

use std::collections::BTreeMap;

use ideal_engine::simulation::{Blow, Options, run, scenarios};

#[test]
fn calm_runs_end_as_demanded() {
    for scenario in scenarios() {
        let mut options = Options::calm(1);
        options.log = true;
        let result = run(&scenario, &options);
        println!("{}: {} boundaries, {:?}", scenario.name, result.boundaries, result.calls);
        assert!(result.violations.is_empty(), "{}: {:#?}\n{}", scenario.name, result.violations, result.log.join("\n"));
    }
}

#[test]
fn a_crash_at_every_boundary_is_recovered_from() {
    let mut boundaries = 0;
    for scenario in scenarios() {
        let calm = run(&scenario, &Options::calm(1));
        for k in 1..=calm.boundaries {
            let mut options = Options::calm(1);
            options.blows = BTreeMap::from([(k, Blow::Crash)]);
            let result = run(&scenario, &options);
            if !result.violations.is_empty() {
                options.log = true;
                let result = run(&scenario, &options);
                panic!("{} crash at {k}: {:#?}\n{}", scenario.name, result.violations, result.log.join("\n"));
            }
            boundaries += 1;
        }
    }
    println!("{boundaries} boundaries");
}
