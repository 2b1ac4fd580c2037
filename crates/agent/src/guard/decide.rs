//! What a guard does about one container: a plain function of what is seen, what it did before, and the time.

use ideal_core::time::{Span, Time};

/// What a container's label asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heal {
    /// It is only told.
    None,
    /// It is stopped when it is not well.
    Stop,
    /// It is started again when it is not well, and when it failed.
    Restart,
}

impl Heal {
    /// From the value of the label; none: it cannot be read.
    pub(crate) fn read(text: &str) -> Option<Heal> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Some(Heal::None),
            "stop" => Some(Heal::Stop),
            "restart" => Some(Heal::Restart),
            _ => None,
        }
    }
}

/// A container as a guard sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub heal: Heal,
    /// As the engine says: `running`, `exited`, `restarting` ...
    pub status: String,
    pub unhealthy: bool,
    /// How it ended, when it did and failed.
    pub failed: Option<String>,
    /// What its check said last.
    pub says: String,
    pub started: Time,
    /// When it ended; none: it runs.
    pub ended: Option<Time>,
    /// Whether its engine starts it again by itself.
    pub engine_restarts: bool,
}

impl Seen {
    /// How long it lives, or did.
    pub(crate) fn life(&self, now: Time) -> Span {
        self.ended.unwrap_or(now).since(self.started)
    }
}

/// What a guard remembers of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// When it was started again by this guard, within the window of the budget.
    pub recent: Vec<Time>,
    /// How often in a row, without a life worth the name.
    pub in_a_row: u32,
    /// Not before this instant again.
    pub next: Option<Time>,
    /// Somebody stopped it: it is left so until it runs again.
    pub stopped_by_hand: bool,
    /// When somebody asked it to end: whether that was a stop is told later.
    pub asked: Option<Time>,
    /// What was told of it last, so that it is told once.
    pub told: Option<Said>,
    /// Something is being done about it.
    pub busy: bool,
}

/// What was told of a container without anything being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Unwell,
    GivenUp,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    Nothing,
    /// Look again at this instant.
    Wait(Time),
    /// Ask it to end, kill it after its grace, start it.
    Restart(String),
    /// Start it: it has ended.
    Start(String),
    Stop(String),
    /// Say this once, and leave it.
    Tell(Said, String),
}

/// How fast a guard heals, and when it gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The wait before the second start; it doubles from there.
    pub first_wait: Span,
    /// The longest wait.
    pub longest_wait: Span,
    /// A container that lived this long failed for a new reason.
    pub lived: Span,
    /// How many starts within `window`.
    pub budget: usize,
    pub window: Span,
    /// How long after somebody asked it to end its end may be what was meant.
    pub hand: Span,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            first_wait: Span::secs(1),
            longest_wait: Span::secs(60),
            lived: Span::secs(60),
            budget: 10,
            window: Span::mins(30),
            hand: Span::secs(15),
        }
    }
}

/// What is to be done about a container now. Notes nothing: see [`did`].
pub(crate) fn decide(seen: &Seen, record: &Record, patience: &Patience, now: Time) -> Do {
    // Somebody is at it already: this guard, its engine, or a person who holds it still.
    if record.busy || matches!(seen.status.as_str(), "restarting" | "removing" | "paused" | "created") {
        return Do::Nothing;
    }
    let running = seen.status == "running";
    let why = match (running && seen.unhealthy, &seen.failed) {
        (true, _) if seen.says.is_empty() => "its check fails".to_owned(),
        (true, _) => format!("its check fails: {}", seen.says),
        (false, Some(how)) if !running => how.clone(),
        _ => return Do::Nothing,
    };
    match seen.heal {
        Heal::None if record.told == Some(Said::Unwell) => return Do::Nothing,
        Heal::None => return Do::Tell(Said::Unwell, format!("{why}; its label says to leave it")),
        Heal::Stop if running => return Do::Stop(why),
        Heal::Stop => return Do::Nothing,
        Heal::Restart => {}
    }
    if !running && (record.stopped_by_hand || seen.engine_restarts) {
        return Do::Nothing;
    }
    if let Some(asked) = record.asked.filter(|asked| !running && now < *asked + patience.hand) {
        return Do::Wait(asked + patience.hand);
    }
    let recent = record.recent.iter().filter(|at| now.since(**at) < patience.window).count();
    if recent >= patience.budget {
        return match record.told {
            Some(Said::GivenUp) => Do::Nothing,
            _ => Do::Tell(
                Said::GivenUp,
                format!("{why}; it was started again {recent} times and is left now: start it by hand"),
            ),
        };
    }
    match record.next.filter(|next| now < *next && seen.life(now) < patience.lived) {
        Some(next) => Do::Wait(next),
        None if running => Do::Restart(why),
        None => Do::Start(why),
    }
}

/// Notes that a container was started again.
pub(crate) fn did(record: &mut Record, seen: &Seen, patience: &Patience, now: Time) {
    record.in_a_row = if seen.life(now) >= patience.lived { 1 } else { record.in_a_row + 1 };
    let doubled = patience.first_wait.0.saturating_mul(1 << (record.in_a_row - 1).min(16));
    record.next = Some(now + Span(doubled.min(patience.longest_wait.0)));
    record.recent.retain(|at| now.since(*at) < patience.window);
    record.recent.push(now);
}

/// Notes that it is well, or was started by another hand: what was told may be told again.
pub(crate) fn is_well(record: &mut Record) {
    (record.stopped_by_hand, record.asked, record.told) = (false, None, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(heal: Heal, status: &str, unhealthy: bool, failed: Option<&str>) -> Seen {
        let failed = failed.map(str::to_owned);
        let (status, says, started) = (status.to_owned(), String::new(), Time(1_000_000));
        let ended = failed.is_some().then_some(started);
        Seen { heal, status, unhealthy, failed, says, started, ended, engine_restarts: false }
    }
    const NOW: Time = Time(1_100_000);

    #[test]
    fn each_label_has_its_way() {
        let failed = Some("it ended with 1");
        let fails = "its check fails".to_owned();
        let cases = [
            (seen(Heal::Restart, "running", true, None), Do::Restart(fails.clone())),
            (seen(Heal::Stop, "running", true, None), Do::Stop(fails.clone())),
            (seen(Heal::Restart, "running", false, None), Do::Nothing),
            (seen(Heal::Restart, "exited", false, failed), Do::Start("it ended with 1".into())),
            (seen(Heal::Stop, "exited", false, failed), Do::Nothing),
            (seen(Heal::Restart, "exited", false, None), Do::Nothing),
            // Who is at it already is not disturbed.
            (seen(Heal::Restart, "restarting", true, failed), Do::Nothing),
            (seen(Heal::Restart, "paused", true, None), Do::Nothing),
            (Seen { engine_restarts: true, ..seen(Heal::Restart, "exited", false, failed) }, Do::Nothing),
            (
                Seen { engine_restarts: true, ..seen(Heal::Restart, "running", true, None) },
                Do::Restart(fails.clone()),
            ),
        ];
        for (seen, expected) in cases {
            assert_eq!(decide(&seen, &Record::default(), &Patience::default(), NOW), expected, "{seen:?}");
        }
        let told =
            decide(&seen(Heal::None, "running", true, None), &Record::default(), &Patience::default(), NOW);
        assert!(matches!(told, Do::Tell(Said::Unwell, _)), "{told:?}");
    }

    #[test]
    fn what_a_person_stopped_stays_stopped() {
        let down = seen(Heal::Restart, "exited", false, Some("it ended with 143 (signal 15)"));
        let mut record = Record { stopped_by_hand: true, ..Record::default() };
        assert_eq!(decide(&down, &record, &Patience::default(), NOW), Do::Nothing);
        is_well(&mut record);
        assert!(matches!(decide(&down, &record, &Patience::default(), NOW), Do::Start(_)));
        // Whether it was stopped is told after its end.
        record.asked = Some(NOW);
        assert_eq!(decide(&down, &record, &Patience::default(), NOW), Do::Wait(NOW + Span::secs(15)));
        assert!(matches!(decide(&down, &record, &Patience::default(), NOW + Span::secs(15)), Do::Start(_)));
    }

    #[test]
    fn waits_grow_and_the_budget_ends() {
        let patience = Patience::default();
        let mut record = Record::default();
        let mut now = Time(1_000_000);
        let (mut waits, mut started) = (Vec::new(), now);
        let told = loop {
            let down = Seen {
                started,
                ended: Some(started),
                ..seen(Heal::Restart, "exited", false, Some("it ended with 1"))
            };
            match decide(&down, &record, &patience, now) {
                Do::Start(_) => did(&mut record, &down, &patience, now),
                Do::Wait(next) => {
                    waits.push(next.since(now).0 / 1000);
                    now = next;
                    continue;
                }
                other => break other,
            }
            started = now;
        };
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(matches!(told, Do::Tell(Said::GivenUp, _)), "{told:?}");
        record.told = Some(Said::GivenUp);
        let down = Seen {
            started,
            ended: Some(started),
            ..seen(Heal::Restart, "exited", false, Some("it ended with 1"))
        };
        assert_eq!(decide(&down, &record, &patience, now), Do::Nothing, "told once");
        // Half an hour later it has its chances again.
        assert!(matches!(decide(&down, &record, &patience, now + Span::mins(31)), Do::Start(_)));
    }
}
