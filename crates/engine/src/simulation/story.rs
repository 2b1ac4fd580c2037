//! Runs from seeds: which scenario, which faults, which crashes: all of it follows from one number.

use std::collections::BTreeMap;

use ideal_core::time::Span;
use ideal_providers::sim::{BEGINNING, Faults, Random};

use super::scenario::{Scenario, scenarios};
use super::stage::{Blow, Options, RunResult, run};

/// The scenario and the options of a seed.
pub fn seed_options(seed: u64) -> (Scenario, Options) {
    let mut random = Random::new(seed ^ 0x1dea_1dea_1dea_1dea);
    let mut all = scenarios();
    let pick = random.below(all.len() as u64);
    let scenario = all.swap_remove(usize::try_from(pick).unwrap_or(0));
    let until = BEGINNING + random.span(Span::mins(2), Span::mins(20));
    let mut faults = Faults::swarm(&mut random, until);
    // Machines that are ended while a hook or a turn waits make endless, if correct, stories: fewer of them.
    faults.machine_ended /= 2;
    // Drawn apart, so that nothing else of a seed depends on them.
    let mut apart = Random::new(seed ^ 0xba7c_4b41_1a9e_4750);
    faults.batches = apart.below(2) == 0;
    faults.brings = apart.below(3) == 0;
    let crashes = random.below(4);
    let blows: BTreeMap<u64, Blow> = (0..crashes).map(|_| (1 + random.below(150), Blow::Crash)).collect();
    (
        scenario,
        Options { seed, faults, blows, plant: None, tries: super::stage::MOST_TRIES, log: false, rest: true },
    )
}

/// Plays seeds one after another, and calls `each` with every result.
pub fn seeds(range: std::ops::Range<u64>, mut each: impl FnMut(u64, &Scenario, &RunResult)) {
    for seed in range {
        let (scenario, options) = seed_options(seed);
        let result = run(&scenario, &options);
        each(seed, &scenario, &result);
    }
}
