//! The program dead at every boundary that an up, an away and a wake pass on containers. Each time it is run again
//! and must converge, with nothing doubled, nothing left and no number lost. The same where it is killed at a
//! random moment.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::cluster::{EXT4, file};

/// How many lives go on at once, each in a project of its own.
const AT_ONCE: usize = 4;

const ACTS: [&[&str]; 3] = [&["up", "--yes"], &["away", "--yes"], &["wake", "--yes"]];

/// Runs a command until it is met: again after a crash, as a person would.
fn insist(bed: &Bed, arguments: &[&str]) {
    let mut last = None;
    for _ in 0..6 {
        let ran = bed.ideal(arguments);
        if ran.code == Some(0) {
            return;
        }
        last = Some(ran);
    }
    panic!("{arguments:?} does not converge: {last:?}");
}

/// What must hold after an act, however often the program died in it. Answers what the counter has come to.
fn hold(bed: &Bed, act: usize, before: usize, at: &str) -> usize {
    let volumes = bed.metas("volumes").len();
    if ACTS[act][0] == "away" {
        assert_eq!((volumes, bed.left()), (0, Vec::new()), "{at}");
        let lives = bed.metas("snapshots").into_iter().map(|seal| seal["life"].as_u64());
        let lives: Vec<Option<u64>> = lives.collect();
        assert_eq!(lives.len(), lives.iter().collect::<BTreeSet<_>>().len(), "{at}: no seal is doubled");
        return before;
    }
    assert_eq!((volumes, bed.loops().len()), (1, 1), "{at}");
    bed.numbers_rise_above(before)
}

fn end(bed: &Bed, at: &str) {
    insist(bed, &["destroy", "--snapshots", "--yes", "--name", "shop"]);
    assert_eq!(bed.left(), Vec::<String>::new(), "{at}");
    assert!(!bed.data().exists(), "{at}");
}

#[test]
fn dead_at_every_boundary_of_a_life_in_containers() {
    let Some(bed) = Bed::start("crashes") else { return };
    bed.write(&file(&bed, 0, EXT4));
    let boundaries = ACTS.map(|act| {
        let trace = bed.folder.join("trace");
        let _ = std::fs::remove_file(&trace);
        let status = bed.command(act).env("IDEAL_CRASH_TRACE", &trace).output().unwrap().status;
        assert!(status.success());
        let text = std::fs::read_to_string(&trace).unwrap();
        // Each where it is passed first: later passings write the same records again.
        text.lines().filter(|name| name.ends_with("#1")).map(str::to_owned).collect::<BTreeSet<_>>()
    });
    end(&bed, "no crash");
    let all: Vec<(usize, &String)> = boundaries
        .iter()
        .enumerate()
        .flat_map(|(act, names)| names.iter().map(move |at| (act, at)))
        .collect();
    let (next, deaths) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((dies_in, at)) = all.get(number) else { return };
                    deaths.fetch_add(life(&bed.beside(number + 1), *dies_in, at), Ordering::Relaxed);
                }
            });
        }
    });
    let (tried, deaths) = (all.len(), deaths.into_inner());
    eprintln!("{tried} boundaries of docker, {deaths} deaths");
    // Order differs a little from run to run; a boundary may come more seldom.
    assert!(deaths * 10 >= tried * 9, "{deaths} of {tried}");
    assert!(tried > 40, "{tried}");
}

/// A life in which the program dies at one boundary of one act; answers whether it did. What is put away is woken.
fn life(bed: &Bed, dies_in: usize, at: &str) -> usize {
    bed.write(&file(bed, 0, EXT4));
    let (mut seen, mut deaths) = (0, 0);
    let last = if dies_in == 0 { 0 } else { 2 };
    for (act, arguments) in ACTS.iter().enumerate().take(last + 1) {
        if act == dies_in {
            let output = bed.command(arguments).env("IDEAL_CRASH_AT", at).output().unwrap();
            deaths += usize::from(output.status.code().is_none());
        }
        insist(bed, arguments);
        seen = hold(bed, act, seen, at);
    }
    end(bed, at);
    deaths
}

#[test]
fn killed_at_random_moments_in_containers() {
    let Some(bed) = Bed::start("killed") else { return };
    bed.write(&file(&bed, 0, EXT4));
    // How long each act takes alone: beside others it takes longer, so that most kills come in time.
    let lengths = ACTS.map(|act| {
        let begun = Instant::now();
        bed.ideal(act).ended(0);
        begun.elapsed()
    });
    end(&bed, "no kill");
    let (next, struck) = (AtomicUsize::new(1), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > LIVES {
                        return;
                    }
                    struck.fetch_add(killed(&bed.beside(number), number, lengths), Ordering::Relaxed);
                }
            });
        }
    });
    let (all, struck) = (LIVES * ROUNDS.len(), struck.into_inner());
    eprintln!("{all} kills, {struck} of a command that still ran; alone the acts took {lengths:.1?}");
    assert!(struck * 4 >= all * 3, "{struck} of {all}: most come too late");
}

/// How many lives, of a kill in each round; where they strike follows from the number of the life.
const LIVES: usize = 10;
const ROUNDS: [usize; 5] = [0, 1, 2, 1, 2];

/// A life with a kill in each round; answers how many of them came while the command ran.
fn killed(bed: &Bed, life: usize, lengths: [Duration; 3]) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(life as u64);
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    bed.write(&file(bed, 0, EXT4));
    let (mut seen, mut struck) = (0, 0);
    for (round, act) in ROUNDS.into_iter().enumerate() {
        let mut child = bed.command(ACTS[act]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(lengths[act].mul_f64(random(1000) as f64 / 1000.0));
        struck += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        let _ = child.wait();
        insist(bed, ACTS[act]);
        seen = hold(bed, act, seen, &format!("life {life}, round {round}"));
    }
    end(bed, &format!("life {life}"));
    struck
}
