//! The program killed wherever it can be killed: at every named boundary that an up, an away and a wake pass, and
//! at random moments. Each time it is run again and must converge, with nothing doubled and no byte lost.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::bench::{self, Bench, whole};

/// One node with one volume.
fn small() -> Bench {
    Bench::new(&bench::file(0))
}

/// Runs a command until it is met: again after a crash, as a person would.
fn insist(bench: &Bench, arguments: &[&str]) {
    let mut last = None;
    for _ in 0..6 {
        let ran = bench.run(arguments);
        if ran.code == Some(0) {
            return;
        }
        last = Some(format!("{:?}\n{}\n{}", ran.code, ran.out, ran.err));
    }
    panic!("{arguments:?} does not converge: {}", last.unwrap_or_default());
}

/// What must hold of a launched cluster: one machine, one volume; every number there and in order.
fn launched(bench: &Bench, before: &str) -> String {
    assert_eq!((bench.machines().len(), bench.metas("volumes").len()), (1, 1), "nothing is doubled");
    bench.run(&["status", "--check"]).ended(0);
    let text = bench.counted(before.lines().count() + 2);
    assert!(text.starts_with(before), "every byte is there");
    text
}

/// What must hold of one that is away: nothing runs, one seal of each life at most, the newest with all.
fn away(bench: &Bench, before: &str) -> String {
    assert_eq!((bench.machines().len(), bench.metas("volumes").len()), (0, 0), "nothing is left");
    assert_eq!(bench.processes(), 0, "nothing runs");
    bench.run(&["status", "--check"]).ended(0);
    let lives: Vec<u64> = bench.metas("snapshots").iter().filter_map(|own| own["life"].as_u64()).collect();
    let distinct: BTreeSet<u64> = lives.iter().copied().collect();
    assert_eq!(lives.len(), distinct.len(), "no seal is doubled");
    let sealed = bench.sealed().pop().unwrap_or_default();
    whole(&sealed);
    assert!(sealed.starts_with(before), "every byte is there");
    sealed
}

/// What must hold of one that is halted: the same machine, of which nothing runs, and the volume beside its seal.
fn halted(bench: &Bench, before: &str) -> String {
    assert_eq!((bench.machines().len(), bench.metas("volumes").len()), (1, 1), "nothing is ended");
    assert_eq!(bench.processes(), 0, "nothing runs");
    bench.run(&["status", "--check"]).ended(0);
    let sealed = bench.sealed().pop().unwrap_or_default();
    whole(&sealed);
    assert!(sealed.starts_with(before), "every byte is there");
    sealed
}

const ACTS: [&[&str]; 5] = [&["up"], &["away", "--keep-nodes"], &["up"], &["away", "--yes"], &["wake"]];

/// Every boundary that each act passes, by a run that is let through.
fn boundaries() -> [Vec<String>; 5] {
    let bench = small();
    ACTS.map(|act| {
        let trace = bench.folder.join("trace");
        let _ = std::fs::remove_file(&trace);
        let status = bench.command(act).env("IDEAL_CRASH_TRACE", &trace).output().unwrap().status;
        assert!(status.success());
        bench.counted(usize::from(act[0] != "away") * 3);
        let text = std::fs::read_to_string(&trace).unwrap();
        text.lines().map(str::to_owned).collect()
    })
}

/// A life in which the program dies at one boundary of one act.
fn life(act: usize, at: &str) {
    let bench = small();
    let mut before = String::new();
    for (index, arguments) in ACTS.iter().enumerate() {
        let ids = || bench.machines().iter().map(|own| own["id"].clone()).collect::<Vec<_>>();
        let kept = ids();
        if index == act {
            let ran = bench.command(arguments).env("IDEAL_CRASH_AT", at).output().unwrap();
            // Order differs a little from run to run; a boundary may come more seldom.
            if ran.status.code() != Some(0) {
                assert_eq!(ran.status.code(), None, "{at}: {}", String::from_utf8_lossy(&ran.stderr));
                DEATHS.fetch_add(1, Ordering::Relaxed);
            }
        }
        insist(&bench, arguments);
        before = match arguments {
            ["away", "--keep-nodes"] => {
                assert_eq!(ids(), kept, "it is the same one still");
                halted(&bench, &before)
            }
            ["away", ..] => away(&bench, &before),
            _ => launched(&bench, &before),
        };
    }
}

static DEATHS: AtomicUsize = AtomicUsize::new(0);

/// Does each job on one of some threads; every failure is told with its job.
fn all<T: std::fmt::Debug + Clone + Send + 'static>(jobs: Vec<T>, each: impl Fn(T) + Sync) {
    let jobs = Mutex::new(jobs);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some(job) = jobs.lock().unwrap().pop() else { return };
                    let each = std::panic::AssertUnwindSafe(|| each(job.clone()));
                    if std::panic::catch_unwind(each).is_err() {
                        failed.lock().unwrap().push(job);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
}

#[test]
fn dead_at_every_boundary() {
    let boundaries = boundaries();
    let mut jobs = Vec::new();
    let mut names = BTreeSet::new();
    for (act, passed) in boundaries.iter().enumerate() {
        for at in passed {
            names.insert(at.split('#').next().unwrap_or_default().to_owned());
            jobs.push((act, at.clone()));
        }
    }
    let count = jobs.len();
    all(jobs, |(act, at)| life(act, &at));
    let deaths = DEATHS.load(Ordering::Relaxed);
    println!("{} distinct boundaries, {count} passings, {deaths} deaths: {names:?}", names.len());
    assert!(deaths * 10 >= count * 9, "most boundaries are passed again: {deaths} of {count}");
}

#[test]
fn killed_at_random_moments() {
    // Ten lives of five kills each; where they strike follows from the number of the life.
    all((0..10_u64).collect(), |seed| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed + 1);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let bench = small();
        let mut before = String::new();
        for round in 0..5 {
            let arguments: &[&str] = if round % 2 == 0 { &["up"] } else { &["away", "--yes"] };
            let mut child = bench.start(arguments);
            std::thread::sleep(Duration::from_micros(random(250_000)));
            let _ = child.kill();
            let _ = child.wait();
            insist(&bench, arguments);
            before = if arguments[0] == "away" { away(&bench, &before) } else { launched(&bench, &before) };
        }
    });
}
