//! The program dead at every boundary that an up, an away and a wake pass on containers. Each time it is run again
//! and must converge, with nothing doubled, nothing left and no number lost.

use std::collections::BTreeSet;

use crate::bed::Bed;
use crate::cluster::{DB, EXT4, file};

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
    bed.container(DB);
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
    let (mut tried, mut deaths) = (0, 0);
    for (dies_in, names) in boundaries.iter().enumerate() {
        for at in names {
            let mut seen = 0;
            for (act, arguments) in ACTS.iter().enumerate() {
                if act == dies_in {
                    let output = bed.command(arguments).env("IDEAL_CRASH_AT", at).output().unwrap();
                    deaths += usize::from(output.status.code().is_none());
                }
                if act <= dies_in || dies_in == 1 {
                    insist(&bed, arguments);
                    seen = hold(&bed, act, seen, at);
                }
            }
            end(&bed, at);
            tried += 1;
        }
    }
    eprintln!("{tried} boundaries of docker, {deaths} deaths");
    // Order differs a little from run to run; a boundary may come more seldom.
    assert!(deaths * 10 >= tried * 9, "{deaths} of {tried}");
    assert!(tried > 40, "{tried}");
}
