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

fn count(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn random_seeds() {
    let from = count("IDEAL_SEED", 0);
    let mut bad = 0;
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    ideal_engine::simulation::seeds(from..from + count("IDEAL_SEEDS", 300), |seed, scenario, result| {
        for (what, times) in &result.sometimes {
            *seen.entry(what).or_default() += times;
        }
        if !result.violations.is_empty() {
            bad += 1;
            println!("seed {seed} ({}): {:?}", scenario.name, result.violations);
        }
    });
    println!("{seen:#?}");
    assert_eq!(bad, 0);
}

#[test]
fn a_freeze_at_every_boundary() {
    let mut bad = 0;
    let mut boundaries = 0;
    for scenario in scenarios().into_iter().take(2) {
        let calm = run(&scenario, &Options::calm(1));
        for k in 1..=calm.boundaries {
            for lenient in [false, true] {
                let mut options = Options::calm(1);
                options.faults.enforces_marks = !lenient;
                options.blows = BTreeMap::from([(k, Blow::Freeze)]);
                let result = run(&scenario, &options);
                if !result.violations.is_empty() {
                    bad += 1;
                    println!("{} freeze at {k} lenient {lenient}: {:?}", scenario.name, result.violations);
                }
                boundaries += 1;
            }
        }
    }
    println!("{boundaries} freezes");
    assert_eq!(bad, 0);
}

#[test]
fn plants_are_caught() {
    for plant in ideal_engine::simulation::Plant::ALL {
        let mut caught = 0;
        let begun = std::time::Instant::now();
        let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
        for seed in 0..count("IDEAL_SEEDS", 100) {
            let (scenario, mut options) = ideal_engine::simulation::seed_options(seed);
            options.plant = Some(plant);
            let one = std::time::Instant::now();
            let result = run(&scenario, &options);
            if one.elapsed().as_millis() > 1000 { println!("slow {plant:?} {seed} {:?} {:?}", one.elapsed(), result.calls); }
            caught += u64::from(!result.violations.is_empty());
            if let Some(v) = result.violations.first() { *kinds.entry(v[..3].to_owned()).or_default() += 1; }
        }
        println!("{plant:?}: {caught} {kinds:?} {:?}", begun.elapsed());
    }
}
