//! What every journal must do. One suite, run on each implementation.

use ideal_core::journal::Record;
use ideal_core::time::Time;

use crate::{Journal, JournalError, Wish};

fn wish(holder: &str, now: u64, until: u64) -> Wish {
    Wish { holder: holder.to_owned(), now: Time(now), until: Time(until), above: 0, force: false }
}

fn note(text: &str) -> Record {
    Record::RunOpened { run: text.to_owned(), what: String::new(), by: String::new() }
}

/// Runs the whole suite; `fresh` makes an empty journal. Panics where the contract is broken.
#[expect(clippy::unwrap_used, reason = "a suite for tests: it fails by panicking")]
pub fn run(fresh: &dyn Fn() -> Box<dyn Journal>) {
    let journal = fresh();
    // Without a lease nothing is written.
    assert!(matches!(journal.append(1, Time(1), &[note("x")]), Err(JournalError::Lost { .. })));
    let first = journal.take(&wish("anna", 10, 20)).unwrap();
    // While it is held, nobody else gets it; when it is over, anybody does, with a higher epoch.
    let refused = journal.take(&wish("ben", 15, 30)).unwrap_err();
    assert!(matches!(&refused, JournalError::Held { holder, .. } if holder == "anna"), "{refused}");
    journal.append(first, Time(11), &[note("one"), note("two")]).unwrap();
    let second = journal.take(&wish("ben", 21, 30)).unwrap();
    assert!(second > first);
    // The one who lost it writes nothing more, and is told who has it.
    let lost = journal.append(first, Time(22), &[note("late")]).unwrap_err();
    assert!(matches!(&lost, JournalError::Lost { holder, .. } if holder == "ben"), "{lost}");
    assert!(journal.check(first).is_err() && journal.renew(first, Time(99)).is_err());
    journal.check(second).unwrap();
    journal.renew(second, Time(90)).unwrap();
    assert!(journal.take(&wish("carl", 50, 60)).is_err(), "renewed until 90");
    // Force, and an epoch seen elsewhere.
    let mut forced = wish("carl", 50, 60);
    forced.force = true;
    forced.above = 40;
    let third = journal.take(&forced).unwrap();
    assert_eq!(third, 41);
    // Given back, it is free at once.
    journal.release(third).unwrap();
    let fourth = journal.take(&wish("dora", 51, 60)).unwrap();
    // History is whole, in order, and pages.
    journal.append(fourth, Time(52), &[note("three")]).unwrap();
    let runs: Vec<String> = journal
        .history(0, 100)
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry.record {
            Record::RunOpened { run, .. } => Some(run),
            _ => None,
        })
        .collect();
    assert_eq!(runs, ["one", "two", "three"]);
    let newest = journal.history(0, 1).unwrap();
    assert_eq!((newest.len(), &newest[0].record), (1, &note("three")));
    // A checkpoint changes nothing but the time it takes.
    let before = journal.load().unwrap();
    journal.checkpoint(&before).unwrap();
    assert_eq!(journal.load().unwrap(), before);
    journal.append(fourth, Time(53), &[note("four")]).unwrap();
    assert_eq!(journal.load().unwrap().runs, before.runs + 1);
}
