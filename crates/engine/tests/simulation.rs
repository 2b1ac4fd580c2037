//! The simulation gate: the real engine and the real journal on the simulated cloud. No violation is allowed.
//!
//! Each part prints how much it ran. `IDEAL_SEED` and `IDEAL_SEEDS` choose other seeds.
#![expect(clippy::print_stdout, reason = "how much ran is a part of the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ideal_engine::simulation::{
    Blow, Options, Plant, RunResult, Scenario, run, scenarios, seed_options, seeds, store_lost_at,
};

/// Runs, and if an invariant broke, runs again with a log and fails with it.
fn check(scenario: &Scenario, options: &Options, what: &str) -> RunResult {
    let result = run(scenario, options);
    if !result.violations.is_empty() {
        let mut options = options.clone();
        options.log = true;
        let log = run(scenario, &options).log.join("\n");
        panic!("{} {what}: {:#?}\n{log}", scenario.name, result.violations);
    }
    result
}

fn story(name: &str) -> Scenario {
    scenarios()
        .into_iter()
        .find(|own| own.name == name)
        .unwrap_or_else(|| panic!("no story is called {name}"))
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        let (scenario, options) = seed_options(seed);
        let (one, two) = (run(&scenario, &options), run(&scenario, &options));
        assert_eq!(
            (one.trace, one.boundaries, one.calls),
            (two.trace, two.boundaries, two.calls),
            "seed {seed}"
        );
    }
}

#[test]
fn without_faults_every_story_ends_as_demanded() {
    for scenario in scenarios() {
        let result = check(&scenario, &Options::calm(1), "calm");
        println!("{}: {} boundaries, {:?}", scenario.name, result.boundaries, result.calls);
    }
}

/// F1: the engine crashes once, at every boundary there is.
fn crash_everywhere(scenarios: &[Scenario]) {
    let begun = Instant::now();
    let mut names = BTreeSet::new();
    let mut runs = 0;
    for scenario in scenarios {
        let calm = run(scenario, &Options::calm(1));
        names.extend(calm.names);
        for boundary in 1..=calm.boundaries {
            let mut options = Options::calm(1);
            options.blows = BTreeMap::from([(boundary, Blow::Crash)]);
            check(scenario, &options, &format!("with a crash at boundary {boundary}"));
            runs += 1;
        }
    }
    println!("{runs} crashes at {} named boundaries in {:.1?}", names.len(), begun.elapsed());
}

#[test]
fn a_crash_at_every_boundary_first_half() {
    crash_everywhere(&scenarios()[..6]);
}

#[test]
fn a_crash_at_every_boundary_second_half() {
    crash_everywhere(&scenarios()[6..]);
}

/// The same where machines are asked for together and their agents are brought to them.
#[test]
fn a_crash_at_every_boundary_of_batches_and_agents() {
    let mut names = BTreeSet::new();
    for name in ["up-away-wake", "scale", "halt", "new-program"] {
        let mut options = Options::calm(1);
        (options.faults.batches, options.faults.brings) = (true, true);
        let scenario = story(name);
        let calm = check(&scenario, &options, "calm, in batches");
        names.extend(calm.names);
        for boundary in 1..=calm.boundaries {
            options.blows = BTreeMap::from([(boundary, Blow::Crash)]);
            check(&scenario, &options, &format!("in batches, with a crash at boundary {boundary}"));
        }
    }
    assert!(names.iter().any(|name| name.contains("bring-agent")), "{names:?}");
}

/// F5: everything that is done is done twice.
#[test]
fn every_step_twice() {
    for scenario in scenarios() {
        for seed in 0..20 {
            let mut options = Options::calm(seed);
            options.faults.twice = true;
            let result = check(&scenario, &options, "with every effect twice");
            assert!(result.sometimes.contains_key("effect twice"));
        }
    }
}

/// F3: the engine freezes at every boundary; another takes over, flips the demand and meets it; then the frozen one
/// wakes. With a cloud that enforces marks, and with one that lets everything pass.
fn freeze_everywhere(scenario: &Scenario) {
    let begun = Instant::now();
    let calm = run(scenario, &Options::calm(1));
    for boundary in 1..=calm.boundaries {
        for enforces_marks in [true, false] {
            let mut options = Options::calm(1);
            options.faults.enforces_marks = enforces_marks;
            options.blows = BTreeMap::from([(boundary, Blow::Freeze)]);
            check(scenario, &options, &format!("frozen at boundary {boundary} (marks {enforces_marks})"));
        }
    }
    println!("{}: {} freezes in {:.1?}", scenario.name, 2 * calm.boundaries, begun.elapsed());
}

#[test]
fn frozen_at_every_boundary_one_mount() {
    freeze_everywhere(&story("up-away-wake"));
}

#[test]
fn frozen_at_every_boundary_two_mounts() {
    freeze_everywhere(&story("two-mounts"));
}

#[test]
fn frozen_at_every_boundary_kills() {
    freeze_everywhere(&story("kill-and-heal"));
}

#[test]
fn frozen_at_every_boundary_halts() {
    freeze_everywhere(&story("halt"));
}

#[test]
fn frozen_at_every_boundary_programs() {
    freeze_everywhere(&story("new-program"));
}

/// The share of the gate's seeds that one test runs, so that both cores have work.
const SHARE: u64 = 1250;

fn seed_share(part: u64) {
    let begun = Instant::now();
    let share = number("IDEAL_SEEDS", 4 * SHARE) / 4;
    let from = number("IDEAL_SEED", 0) + part * share;
    let mut bad = Vec::new();
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut shoves = 0;
    seeds(from..from + share, |seed, scenario, result| {
        shoves += result.calls.shoves;
        for (what, times) in &result.sometimes {
            *seen.entry(what).or_default() += times;
        }
        if !result.violations.is_empty() {
            bad.push(format!("seed {seed} ({}): {:?}", scenario.name, result.violations));
        }
    });
    let rate = share as f64 / begun.elapsed().as_secs_f64();
    println!("{share} seeds from {from}, {shoves} calls, {rate:.0} seeds a second; {seen:?}");
    assert!(bad.is_empty(), "{} bad; replay with `ideal sim --seed N`\n{}", bad.len(), bad.join("\n"));
    // A share that never saw a fault proves nothing about it.
    for what in [
        "a batch",
        "an agent was brought",
        "answer lost",
        "stale list",
        "empty list",
        "machine died",
        "throttled",
        "busy",
        "backup",
    ] {
        assert!(share < 500 || seen.contains_key(what), "no run had: {what}");
    }
}

#[test]
fn random_seeds_first_quarter() {
    seed_share(0);
}
#[test]
fn random_seeds_second_quarter() {
    seed_share(1);
}
#[test]
fn random_seeds_third_quarter() {
    seed_share(2);
}
#[test]
fn random_seeds_last_quarter() {
    seed_share(3);
}

/// Every seed that ever failed is run for ever.
#[test]
fn saved_seeds() {
    for line in include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let seed = line.split_whitespace().next().unwrap().parse().unwrap();
        let (_, options) = seed_options(seed);
        // In every story: which one a seed plays changes with each that is added.
        for scenario in scenarios() {
            check(&scenario, &options, &format!("seed {seed}"));
        }
    }
}

/// The store is deleted in each state and in the middle of each way: what is planned from tags and agents alone is
/// what was planned before, or nothing (when nothing that was demanded since had been begun).
#[test]
fn the_store_can_be_lost_at_every_boundary() {
    let (mut same, mut nothing) = (0, 0);
    // Since when a machine is silent is nobody's to keep: who comes without a store waits anew before it is ended.
    let not = ["lose-store", "cut-off-and-fenced"];
    for scenario in scenarios().into_iter().filter(|scenario| !not.contains(&scenario.name)) {
        for boundary in 1.. {
            let Some(mut plans) = store_lost_at(&scenario, boundary) else { break };
            // Where a replica goes that lost its node is decided anew: that a node is told of it is no fact to keep.
            let carries = ["services", "cut-off-and-back"].contains(&scenario.name);
            for plan in [&mut plans.before, &mut plans.after] {
                plan.retain(|line| !(carries && line.starts_with("configure")));
            }
            if plans.before == plans.after {
                same += 1;
            } else {
                assert!(plans.after.is_empty(), "{} at boundary {boundary}: {plans:#?}", scenario.name);
                nothing += 1;
            }
        }
    }
    println!("{same} times the same plan, {nothing} times an empty one");
    assert!(same > 10 * nothing);
}

/// A planted fault is looked for with seeds, and with a freeze at each boundary; both with a cloud that lets
/// everything pass, so that no other guard hides it. The first catch is enough.
#[test]
fn every_planted_fault_is_caught() {
    let mut missed = Vec::new();
    for plant in Plant::ALL {
        let mut tries = 0;
        let caught = seeded(plant).chain(frozen(plant)).find_map(|(what, scenario, options)| {
            tries += 1;
            let result = run(&scenario, &options);
            // That it does not settle may have many reasons; what counts is that the harm itself is named.
            let harm = result.violations.iter().find(|violation| !violation.starts_with("I-9"));
            harm.map(|violation| format!("{what} ({}): {violation}", scenario.name))
        });
        println!("{plant:?}: after {tries} runs: {}", caught.as_deref().unwrap_or("NOT CAUGHT"));
        if caught.is_none() {
            missed.push(plant);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

fn seeded(plant: Plant) -> impl Iterator<Item = (String, Scenario, Options)> {
    // These two show only when one engine acts on what another has changed.
    let seeds = if matches!(plant, Plant::NoFencing | Plant::OneAct) { 0 } else { 400 };
    (0..seeds).map(move |seed| {
        let (scenario, mut options) = seed_options(seed);
        options.faults.enforces_marks = false;
        options.plant = Some(plant);
        options.tries = 4;
        (format!("seed {seed}"), scenario, options)
    })
}

fn frozen(plant: Plant) -> impl Iterator<Item = (String, Scenario, Options)> {
    let scenario = scenarios().remove(0);
    (1..300).map(move |boundary| {
        let mut options = Options::calm(1);
        options.faults.enforces_marks = false;
        options.plant = Some(plant);
        options.tries = 4;
        options.blows = BTreeMap::from([(boundary, Blow::Freeze)]);
        (format!("frozen at {boundary}"), scenario.clone(), options)
    })
}
